"""``safelight cost``: prices of a region, one's own prices, measured durations, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.unit.bills import NEED, PRICE, ROOT, curve, line, priced
from worker import prices
from worker.domain.bill import Design, Traffic
from worker.domain.errors import ConfigurationError, InputError, ProblemsError
from worker.entrypoints.cli import run
from worker.services import tuning_curve
from worker.services.bill import bill
from worker.services.bill_levers import (
    LEVERS,
)
from worker.services.tuning_curve import PhotoSet

# --- prices -------------------------------------------------------------------------------------


def test_steps_of_a_price() -> None:
    """7 million questions: a million at the first price, four at the second, two at the third."""
    assert PRICE.usd("rekognition", 7e6) == pytest.approx(1_000 + 3_200 + 1_200)
    assert PRICE.usd("put_request", 10) == pytest.approx(10 * 5e-6)
    assert PRICE.usd("put_request", 0) == 0


def test_prices_never_rise_with_the_amount_and_are_never_negative() -> None:
    """Of all regions that the file has."""
    for region in prices.regions():
        for one in prices.figures(region):
            steps = [one.value, *(usd for _, usd in one.above)]
            assert all(step >= 0 for step in steps), one.name
            assert steps == sorted(steps, reverse=True), one.name
            assert [low for low, _ in one.above] == sorted(low for low, _ in one.above)


def test_an_unknown_region_is_refused() -> None:
    """With the names of those that are known."""
    with pytest.raises(InputError, match="us-east-1, eu-central-1") as caught:
        prices.load("mars-north-1")
    assert caught.value.code == "input_region"


def test_a_price_that_is_not_known_stops_the_bill_that_needs_it() -> None:
    """No price is guessed: Frankfurt's bill says which one is missing, and a given one is taken."""
    price, need = prices.load("eu-central-1")
    with pytest.raises(
        InputError, match=r"prices of eu-central-1 are not known: .*pipe_request.*endpoint_hour"
    ) as caught:
        bill(Design(), Traffic(), price, need)
    assert caught.value.code == "input_price"

    missing = prices.unknown(price)
    text = "\n".join(f"{name} = {getattr(PRICE, name)}" for name in missing)
    whole = prices.own_prices(price, text, "mine")
    assert bill(Design(), Traffic(), whole, need).total > 1.05 * priced().total


def test_the_region_of_the_preset_can_be_priced(capsys: pytest.CaptureFixture[str]) -> None:
    """The command in the note works, filled prices are named, and the bill is higher."""
    assert run(["cost", "--json"]) == 0
    plain = capsys.readouterr()
    assert "prices are not known: --region eu-central-1 --fill" in plain.err

    assert run(["cost", "--region", "eu-central-1", "--fill", "--json"]) == 0
    filled = capsys.readouterr()
    assert json.loads(filled.out)["total"] > 1.05 * json.loads(plain.out)["total"]
    price = prices.load("eu-central-1")[0]
    (note,) = [one for one in filled.err.splitlines() if "are those of us-east-1" in one]
    assert all(name in note for name in prices.unknown(price))
    # A filled price has its steps; a known one keeps its own.
    assert prices.filled(price).tiers("rekognition") == PRICE.tiers("rekognition")
    assert prices.filled(price).tiers("storage_month") == price.tiers("storage_month")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("put_reqest = 1e-6", "did you mean put_request?"),
        ("put_request = -1", "must be from 0 to 1,000,000 US dollars"),
        ("put_request = 1e300", "must be from 0 to 1,000,000 US dollars"),
        ("machine_plan_year = 7", "is a share: must be from 0 to 1"),
        ("spot_share = 40", "is a share: must be from 0 to 1"),
        ("table_plan = -0.1", "is a share: must be from 0 to 1"),
        ('put_request = "cheap"', "must be a number"),
        ("put_request = true", "must be a number"),
        ("put_request = nan", "must be a number"),
        ("above = 3", "is no price"),
    ],
)
def test_wrong_prices_of_ones_own_are_refused(text: str, said: str) -> None:
    """By name, before anything is priced."""
    with pytest.raises(ProblemsError, match=said.replace("?", r"\?")):
        prices.own_prices(PRICE, text, "mine")


def test_prices_of_ones_own_that_are_no_toml() -> None:
    """The message names the file."""
    with pytest.raises(ConfigurationError, match="mine: "):
        prices.own_prices(PRICE, "= =", "mine")


def test_a_price_of_ones_own_has_no_steps() -> None:
    """A contract says one price."""
    own = prices.own_prices(PRICE, "rekognition = 0.0001", "mine")
    assert own.usd("rekognition", 300e6) == pytest.approx(30_000)


def test_old_prices_are_told_with_their_age() -> None:
    """Not in the first months; then with the days and the command; and a clock that is behind."""
    noted = date.fromisoformat(min(one.noted for one in prices.figures() if one.usd))

    assert prices.warning(noted, "us-east-1") == ""
    assert prices.warning(date.fromordinal(noted.toordinal() + 120)) == ""
    assert "up to 121 days old" in prices.warning(date.fromordinal(noted.toordinal() + 121))
    assert "is it right?" in prices.warning(date.fromordinal(noted.toordinal() - 1))


# --- measured durations -------------------------------------------------------------------------


def test_durations_of_large_photos_are_scaled_to_small_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A million bytes of photos that were measured at ten: 0.31 of 2.2 assumed seconds, never
    nothing; the goal and a note say so."""
    seen = replace(curve(m1769=0.48, m2048=0.4), photos=PhotoSet(count=9, bytes=1e7, pixels=3e7))
    found = bill(Design(memory=1769), Traffic(), PRICE, NEED, seen)
    seconds = 0.48 * 0.31 / 2.2
    assert line(found, "Lambda, ingest").amount == pytest.approx(300e6 * seconds * 1769 / 1024)

    path = tmp_path / "durations.json"
    path.write_text(tuning_curve.written(replace(seen, batch=10)))
    words = ["--durations", str(path), "--set", "memory=1769"]
    assert run(["cost", *words]) == 0
    said = capsys.readouterr()
    assert "(scaled from photos of 10 MB)" in said.out
    assert "are of photos of 10 MB, the bill is of 1 MB: they are scaled" in said.err


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"measured": "2019-01-01"}, "days old: `safelight tune` measures them anew"),
        ({"measured": "2999-01-01"}, "is it right?"),
        ({"recipe": "../../x"}, "of the recipe ../../x, the bill is of default"),
        ({"recipe": "modern"}, "of the recipe modern, the bill is of default"),
        ({}, "of x86_64, and the bill takes arm64 to be as fast"),
        ({"batch": 10}, "of batches of 10, the design has batches of 1"),
    ],
)
def test_durations_of_something_else_are_told(
    changes: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Notes describe the differences between the measured and the priced configuration."""
    path = tmp_path / "durations.json"
    seen = replace(curve(m885=0.5, m1769=0.4), **({"batch": 1} | changes))
    path.write_text(tuning_curve.written(seen))
    assert run(["cost", "--durations", str(path)]) == 0
    assert said in capsys.readouterr().err


def test_durations_without_photos_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the name of what is wrong."""
    path = tmp_path / "durations.json"
    plain = json.loads(tuning_curve.written(curve(m1769=0.4)))
    path.write_text(json.dumps({**plain, "photos": None}))
    assert run(["cost", "--durations", str(path)]) == 2
    assert "photos must be an object" in capsys.readouterr().err


def test_the_command_takes_measured_durations(capsys: pytest.CaptureFixture[str]) -> None:
    """The file that is committed; the goal of compute says that they are measured."""
    assert run(["cost", "--durations", str(ROOT / "docs" / "durations.json")]) == 0
    assert "(measured durations)" in capsys.readouterr().out


# --- the command --------------------------------------------------------------------------------


def test_the_command_prints_each_line_with_its_formula(capsys: pytest.CaptureFixture[str]) -> None:
    """Amount, unit, price, sum and where the amount comes from; the goals; how sure prices are."""
    assert run(["cost"]) == 0

    said = capsys.readouterr()
    for one in priced().lines:
        (shown, *_) = [
            text for text in said.out.splitlines() if one.name in text and one.formula in text
        ]
        assert f"${one.usd:,.2f}" in shown
    assert "bill ÷ naive design" in said.out
    assert "prod is deployed in eu-central-1" in said.err
    assert "from memory" in said.err


def test_the_command_prints_levers_plans_and_what_is_uncertain(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each lever has a row."""
    assert run(["cost", "--levers"]) == 0

    said = capsys.readouterr().out
    assert all(lever.name in said for lever in LEVERS)
    assert "Compute Savings Plan, 1 year, for Lambda" in said
    assert "views of an upload" in said


def test_the_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    """The same figures for programs."""
    assert run(["cost", "--json", "--month", "12", "--set", "lazy=true"]) == 0

    said = json.loads(capsys.readouterr().out)
    assert said["total"] == pytest.approx(priced(Design(lazy=True), month=12).total)
    assert said["design"]["lazy"] is True
    assert {one["name"] for one in said["levers"]} == {one.name for one in LEVERS}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--region", "mars"], "input_region"),
        (["--region", "eu-central-1"], "input_price"),
        (["--preset", "nothing"], "input_missing"),
        (["--images-per-day", "-1"], "usage"),
        (["--views", "nan"], "usage"),
        (["--month", "0"], "usage"),
        (["--misses", "101"], "usage"),
        (["--set", "lasy=true"], "parameters_invalid"),
        (["--set", "lazy=maybe"], "parameters_invalid"),
        (["--set", "spot=2"], "configuration_invalid"),
        (["--prices", "/nowhere/prices.toml"], "input_missing"),
        (["--svg", "bill.gif"], "input_invalid"),
        (["--durations", "/nowhere/durations.json"], "input_missing"),
    ],
)
def test_wrong_use_of_the_bill_is_said(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a code, and nothing on standard output."""
    assert run(["cost", *words, "--json"]) == 2

    found = capsys.readouterr()
    assert found.out == ""
    assert json.loads(found.err.splitlines()[-1])["error"]["code"] == said


def test_prices_of_ones_own_change_the_bill(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a file of names and dollars."""
    own = tmp_path / "own.toml"
    own.write_text("put_request = 0.0")

    assert run(["cost", "--prices", str(own), "--json"]) == 0
    total = json.loads(capsys.readouterr().out)["total"]
    assert total == pytest.approx(priced().total - 1_500 - 7_350)


def test_the_waterfall_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Text stays text, so that the picture can be searched; the same bill draws the same bytes."""
    first, second = tmp_path / "a.svg", tmp_path / "b.svg"
    assert run(["cost", "--svg", str(first)]) == 0
    assert run(["cost", "--svg", str(second)]) == 0

    assert first.read_bytes() == second.read_bytes()
    assert "moderation in tiers" in first.read_text("utf-8")


def test_small_mistakes_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    """A choice without a value is called that; without pictures there are no goals; the month that
    is asked for is told; a load that is next to none is refused."""
    assert run(["cost", "--set", "lazy"]) == 2
    assert "lazy: has no value: lazy=VALUE" in capsys.readouterr().err
    assert run(["cost", "--images-per-day", "0"]) == 0
    assert "MISSED" not in capsys.readouterr().out
    assert run(["cost", "--month", "1200"]) == 0
    assert "month 1200: $5," in capsys.readouterr().out
    assert run(["cost", "--images-per-day", "1e-320"]) == 2
    assert "must be 0, or 0.001 or more" in capsys.readouterr().err
    assert run(["cost", "--set", "trace_percent=0"]) == 0
    assert "(if 1 % is sampled; here 0 %)" in capsys.readouterr().out


def test_the_dearest_prices_still_make_a_bill_in_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The greatest load at the greatest price is a number, and JSON has no other ones."""
    own = tmp_path / "own.toml"
    own.write_text("\n".join(f"{name} = 1e6" for name in ("put_request", "event", "get_request")))
    words = [
        "--images-per-day",
        "1e12",
        "--views",
        "1e9",
        "--mb",
        "100000",
        "--month",
        "1200",
        "--json",
        "--prices",
    ]
    assert run(["cost", *words, "--json", "--prices", str(own)]) == 0

    def refused(name: str) -> None:
        raise AssertionError(name)

    assert json.loads(capsys.readouterr().out, parse_constant=refused)["total"] > 1e20
