"""``safelight deliver explain``: every step of a decision, and what the bucket has."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.edge.clients import ASSET, SPREAD, VERSION, load
from tests.unit.cli_pipeline import pipeline
from tests.unit.test_deliver import World
from tests.unit.test_first_view import World as FirstViewWorld
from worker.entrypoints.cli import run
from worker.infra.edge import EdgeFunction, explain, source

URL = f"https://media.example/{ASSET}/{VERSION}/w/auto?utm=1"


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    """What the command prints."""
    assert run(["deliver", "explain", *words]) == code
    out, err = capsys.readouterr()
    return out if code == 0 else err


def test_each_step_is_named_with_what_it_went_by(capsys: pytest.CaptureFixture[str]) -> None:
    """Path, client, format, width, the list of widths, the line, the key."""
    headers = ["Accept: image/avif,image/webp,*/*", "Sec-CH-Width: 700", "Save-Data: on"]

    text = said(
        capsys, URL, *(word for one in headers for word in ("--header", one)), "--recipe", "product"
    )

    assert [line.split()[0] for line in text.splitlines() if not line.startswith(" ")] == [
        *("path", "client", "format", "width", "next", "slow", "key", "Vary"),
    ]
    assert "avif (the recipe makes jpg, avif, webp; image/avif 1, image/webp 1, */* 1)" in text
    assert "1 down: 640 px" in text
    assert f"{SPREAD}/{ASSET}/{VERSION}/w/auto-640.avif" in text


def test_the_steps_lead_to_what_the_function_answers() -> None:
    """For every client of the table."""
    function = EdgeFunction(source())
    for one in load()[1]:
        steps, key = explain(function, f"/{ASSET}/{VERSION}/w/auto", one.headers)
        found = {step.name: step.result for step in steps}
        snapped = found.get("slow line", found["next width"])
        assert key.endswith(f"w/auto-{snapped.split(' ')[-2]}.{found['format'].split(' ')[0]}"), (
            one.name
        )


def test_a_url_that_names_nothing_is_said_so(capsys: pytest.CaptureFixture[str]) -> None:
    """And a wrong header is wrong use, as is what is no URL at all."""
    assert "404" in said(capsys, "/nothing")
    assert "is no URL" in said(capsys, "https://[::1/large", code=2)
    assert "is not of the form" in said(capsys, URL, "--header", "Accept", code=2)


def test_a_bot_and_a_forced_format(capsys: pytest.CaptureFixture[str]) -> None:
    """A bot gets JPEG; an ending needs no header."""
    bot = said(capsys, URL, "--header", "User-Agent: Googlebot/2.1", "--header", "ECT: 2g")
    forced = said(capsys, f"/{ASSET}/{VERSION}/large.webp")

    assert "a bot: JPEG, and no hints" in bot
    assert "w/auto-1280.jpg" in bot
    assert "forced by the URL" in forced


def test_the_stack_is_asked_what_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of the bucket, or what stands in for it."""
    with pipeline(tmp_path / "data", capsys, monkeypatch) as shown:
        made = World()
        shown.store, shown.catalog = made.store, made.catalog
        more = ("--stored", "--data", str(shown.data))

        there = said(capsys, f"/{ASSET}/{VERSION}/large.jpg", *more)
        missing = said(capsys, f"/{ASSET}/{VERSION}/large.webp", *more)
        wider = said(capsys, f"/{ASSET}/{VERSION}/w/3840.jpg", *more)
        unknown = said(capsys, f"/{ASSET}/{VERSION}/huge.jpg", *more)

    assert "bucket      image/jpeg, " in there
    assert "the function gives large.jpg, the nearest file" in missing
    assert "gives 404 with the widest file as its body: large.jpg" in wider
    assert "the function answers 404, text/plain" in unknown


def test_what_is_made_at_first_view_is_said_with_its_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing is made for it."""
    with pipeline(tmp_path / "data", capsys, monkeypatch) as shown:
        made = FirstViewWorld()
        shown.store, shown.catalog = made.store, made.catalog
        before = made.store.keys("delivery")
        more = ("--stored", "--data", str(shown.data))

        small = said(capsys, f"/{ASSET}/{VERSION}/w/320.webp", *more)
        large = said(capsys, f"/{ASSET}/{VERSION}/w/960.jxl", *more)
        widest = said(capsys, f"/{ASSET}/{VERSION}/w/1280.jpg", *more)

    assert "gives w/320.webp, made at first view from medium.jpg" in small
    assert "gives w/960.webp, made at first view from the original" in large
    assert "gives large.jpg, " in widest
    assert made.store.keys("delivery") == before
