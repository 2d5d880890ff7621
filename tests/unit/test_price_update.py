"""AWS's price list: steps of a usage type, what differs from the file, and how it is rewritten."""

from __future__ import annotations

import json
import threading
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from worker import prices
from worker.adapters.price_list import PriceList
from worker.domain.errors import InputError, Unreachable
from worker.entrypoints.cli import run
from worker.services.price_update import compare, parse_offer, rewritten, steps_of

TODAY = date(2027, 3, 1)
TEXT = prices.FILE.read_text("utf-8")


def offer(*products: tuple[str, list[tuple[float, str]]]) -> dict[str, Any]:
    """A file of the list: usage types with their steps."""
    return {
        "publicationDate": "2027-02-20T10:00:00Z",
        "products": {
            str(at): {"attributes": {"usagetype": usage}} for at, (usage, _) in enumerate(products)
        },
        "terms": {
            "OnDemand": {
                str(at): {
                    "term": {
                        "priceDimensions": {
                            str(row): {"beginRange": str(low), "pricePerUnit": {"USD": usd}}
                            for row, (low, usd) in enumerate(steps)
                        }
                    }
                }
                for at, (_, steps) in enumerate(products)
            }
        },
    }


def listed(change: float = 1.0, prefix: str = "") -> Mapping[str, dict[str, Any]]:
    """Offers with every price that the file knows a usage type of, times a factor."""
    found: dict[str, dict[str, list[tuple[float, str]]]] = {}
    for one in prices.figures():
        if one.offer:
            steps = [(0.0, one.value), *one.above]
            usages = found.setdefault(one.offer, {})
            usages[prefix + one.usage] = [(low, f"{usd * change:.12f}") for low, usd in steps]
    return {code: offer(*usages.items()) for code, usages in found.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of offers as they were fetched, in which everything is dearer by a tenth."""
    for code, found in listed(1.1).items():
        (tmp_path / f"{code}.json").write_text(json.dumps(found))
    return tmp_path


def test_steps_with_and_without_the_prefix_of_a_region() -> None:
    """The prefix is of capitals and digits; another usage type with the same end is another one."""
    found = offer(
        ("EUC1-Requests-Tier1", [(0, "0.0000054")]),
        ("EUC1-Requests-ZIA-Tier1", [(0, "0.00001")]),
    )
    assert steps_of(found, "Requests-Tier1") == ((0.0, 5.4e-6),)
    assert steps_of(found, "Tier1") == ()


def test_a_free_step_is_left_out() -> None:
    """Bills here have no free tier: the first price that is paid is the first step."""
    found = offer(("TimedStorage-ByteHrs", [(0, "0.0"), (25, "0.25"), (1000, "0.2")]))
    assert steps_of(found, "TimedStorage-ByteHrs") == ((0.0, 0.25), (1000.0, 0.2))


def test_products_that_differ_are_no_price() -> None:
    """Products with different prices are ambiguous; products with the same price count as one."""
    differ = offer(("Request", [(0, "0.1")]), ("USE1-Request", [(0, "0.2")]))
    agree = offer(("Request", [(0, "0.1")]), ("USE1-Request", [(0, "0.1")]))

    assert steps_of(differ, "Request") == ()
    assert steps_of(agree, "Request") == ((0.0, 0.1),)


@pytest.mark.parametrize(
    "text",
    [
        b"<html>",
        b"[]",
        b"{}",
        b'{"products": [], "terms": {}}',
        json.dumps(offer(("Request", [(0, "-1")]))).encode(),
        json.dumps(offer(("Request", [(0, "cheap")]))).encode(),
        json.dumps(offer(("Request", [(0, "NaN")]))).encode(),
    ],
)
def test_what_is_no_price_list_is_refused(text: bytes) -> None:
    """No price comes from it."""
    with pytest.raises(InputError, match="no file of AWS's price list"):
        steps_of(parse_offer(text), "Request")


def test_the_same_list_changes_nothing() -> None:
    """All prices that name a usage type are found as they are; the others are told."""
    found = compare(prices.figures(), prices.figures(), lambda code, _: listed()[code])

    assert found.missing == ()
    assert not [one for one in found.changes if one.changed]
    assert {one.name for one in found.changes} | {*found.by_hand} == {
        one.name for one in prices.figures() if one.usd
    }


def test_the_file_is_rewritten_with_what_the_list_says() -> None:
    """Values, steps, day and source; comments, assumptions and all other lines stay as they are."""
    found = compare(prices.figures(), prices.figures(), lambda code, _: listed(1.1)[code])
    text = rewritten(TEXT, prices.HOME, found.changes, TODAY)
    before, after = tomllib.loads(TEXT), tomllib.loads(text)

    for one in found.changes:
        line, old = after["prices"][one.name], before["prices"][one.name]
        assert line["value"] == pytest.approx(1.1 * old["value"])
        assert line["noted"] == TODAY
        assert line["seen"].startswith("price list of 2027-02-20")
        assert [low for low, _ in line.get("above", [])] == [low for low, _ in old.get("above", [])]
        assert line["of"] == old["of"]
    assert after["assumptions"] == before["assumptions"]
    assert after["regions"] == before["regions"]
    kept = {one.name for one in prices.figures() if one.usd} - {one.name for one in found.changes}
    assert all(after["prices"][name] == before["prices"][name] for name in kept)
    assert [one for one in text.splitlines() if one.startswith("#")] == [
        one for one in TEXT.splitlines() if one.startswith("#")
    ]


def test_a_region_is_added() -> None:
    """The prices of the list are added; worldwide prices are not repeated."""
    found = compare((), prices.figures(), lambda code, _: listed(1.2, "EUW1-")[code])
    text = rewritten(TEXT, "eu-west-1", found.changes, TODAY)
    added = tomllib.loads(text)["regions"]["eu-west-1"]

    assert added["put_request"]["value"] == pytest.approx(6e-6)
    assert len(added) == len(found.changes)
    assert all(one.old is None and one.changed for one in found.changes)
    assert rewritten(text, "eu-west-1", found.changes, TODAY) == text


def test_the_command_compares_with_a_folder(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file changes only with --write."""
    assert run(["cost", "prices", "update", "--from", str(folder)]) == 0

    said = capsys.readouterr().out
    assert "put_request: 5e-06 -> 5.5e-06" in said
    assert "to be compared by hand: " in said
    assert prices.FILE.read_text("utf-8") == TEXT


def test_the_command_writes_the_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole, in place of the old one."""
    copy = tmp_path / "prices.toml"
    copy.write_text(TEXT)
    monkeypatch.setattr(prices, "FILE", copy)

    assert run(["cost", "prices", "update", "--from", str(folder), "--write"]) == 0
    assert tomllib.loads(copy.read_text())["prices"]["put_request"]["value"] == 5.5e-6
    assert (
        run(["cost", "prices", "update", "--from", str(folder), "--region", "eu-west-1", "--write"])
        == 0
    )
    assert "[regions.eu-west-1]" in copy.read_text()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--from", "/nowhere"], "input_missing"),
        (["--region", "../../etc"], "input_region"),
        (["--region", "Europe"], "input_region"),
    ],
)
def test_a_list_that_there_is_not_is_said(
    words: list[str], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its code, and nothing on standard output."""
    assert run(["cost", "prices", "update", *words, "--json"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert json.loads(said.err)["error"]["code"] == code


# --- over HTTP ----------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """A server of offers, and the paths that it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answer with an offer, 403 for an unknown one as AWS does, 500 for a broken one."""
            asked.append(self.path)
            code = self.path.split("/")[4]
            status = {"Nothing": 403, "Broken": 500}.get(code, 200)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(listed().get(code, {})).encode())

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{made.server_address[1]}", asked
        made.shutdown()
        thread.join()


def test_each_file_is_fetched_once(server: tuple[str, list[str]]) -> None:
    """Of the region, or of the whole world."""
    address, asked = server
    found = PriceList(address, "eu-central-1")

    assert found.offer("AWSLambda", False) == found.offer("AWSLambda", False)
    assert "products" in found.offer("AmazonCloudFront", True)
    assert asked == [
        "/offers/v1.0/aws/AWSLambda/current/eu-central-1/index.json",
        "/offers/v1.0/aws/AmazonCloudFront/current/index.json",
    ]


def test_what_the_list_does_not_have_and_what_fails(server: tuple[str, list[str]]) -> None:
    """One is a mistake, the other may work later; so may a list that does not answer at all."""
    found = PriceList(server[0], "eu-central-1")

    with pytest.raises(InputError, match="has no Nothing of eu-central-1"):
        found.offer("Nothing", False)
    with pytest.raises(Unreachable, match="answers 500"):
        found.offer("Broken", False)
    with pytest.raises(Unreachable, match="does not answer"):
        PriceList("http://127.0.0.1:1", "eu-central-1").offer("AWSLambda", False)
