"""``safelight cost report`` and ``resume``, as people read them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.unit.cli_pipeline import Pipeline, pipeline
from tests.unit.memory_ledger import counted
from worker.domain.ledger import Trip

NOW = datetime.now(UTC).isoformat()
"""One moment, so that no test crosses midnight."""
MONTH = NOW[:7]


@pytest.fixture
def world(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pipeline]:
    """A pipeline with three uploads of this moment."""
    with pipeline(tmp_path / "data", capsys, monkeypatch) as world:
        owners = ("anna", "", "\x1b[31m\u202eeve")
        entries = [counted(number, owner=name, time=NOW) for number, name in enumerate(owners, 1)]
        world.ledger.add("shard", entries)
        yield world


def test_a_report_has_the_days_and_what_is_left_out(world: Pipeline) -> None:
    """The sum, how far it is counted, each day with work; why there is no forecast."""
    said, _ = world.run("cost", "report", "--month", MONTH)
    first, parts, header, day, *rest = said.splitlines()
    assert first.startswith(f"{MONTH}: $")
    assert NOW[:10] in first
    assert "compute $" in parts
    assert header.split() == ["day", "usd", "uploads", "files", "vCPU", "hours", "questions"]
    assert (day.split()[0], day.split()[2]) == (NOW[:10], "3")
    assert "no forecast" in "\n".join(rest)
    assert "Not counted" in rest[-1]


def test_names_cannot_move_the_cursor(world: Pipeline) -> None:
    """A hostile owner is escaped, nobody has a name of its own, and the rest is summed up."""
    said, _ = world.run("cost", "report", "--by", "owner")
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert r"\x1b[31m" in said
    assert "(no owner)" in said
    said, _ = world.run("cost", "report", "--by", "owner", "--limit", "1")
    assert "and 2 more: $" in said


def test_one_owner_alone(world: Pipeline) -> None:
    """By name, also the empty one; of a stranger there is nothing."""
    assert [one["name"] for one in world.json("cost", "report", "--owner", "anna")["names"]] == [
        "anna"
    ]
    assert [one["name"] for one in world.json("cost", "report", "--owner", "")["names"]] == [""]
    assert world.json("cost", "report", "--owner", "zoe")["names"] == []


def test_a_month_that_is_over_says_nothing_of_today(
    world: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither of the daily limit nor of a forecast; and that nothing is recorded."""
    monkeypatch.setattr(
        "worker.bootstrap.assemble",
        lambda settings, _: world.assemble(replace(settings, daily_limit=1.0)),
    )
    said, _ = world.run("cost", "report", "--month", MONTH)
    assert "daily limit: $1.00, not passed today" in said
    said, _ = world.run("cost", "report", "--month", "2020-02")
    assert said.splitlines()[0] == "2020-02: nothing is recorded"
    assert "limit" not in said
    assert "forecast" not in said


@pytest.mark.parametrize(
    "words", [("--month", "2026-13"), ("--month", "9999-01"), ("--asset", "x" * 3, "--by", "day")]
)
def test_mistakes_are_told(world: Pipeline, words: tuple[str, ...]) -> None:
    """A month that is none or has not begun, and an asset that is not there."""
    _, said = world.run("cost", "report", *words, code=2)
    assert said.startswith("error[")


def test_work_is_resumed_for_the_day(world: Pipeline) -> None:
    """Only where something pauses."""
    _, said = world.run("cost", "resume", code=2)
    assert "nothing pauses" in said
    world.ledger.trip(Trip(day=NOW[:10], time=NOW, usd=2.0, limit=1.0))
    said, _ = world.run("cost", "resume")
    assert "goes on within a minute" in said
    trip = world.ledger.tripped()
    assert trip is not None
    assert trip.resumed
    said, _ = world.run("cost", "resume")
    assert said == f"nothing to do: the limit of today is lifted since {trip.resumed[11:16]} UTC\n"
    assert world.ledger.tripped() == trip
