"""The ledger on the local stack: what is uploaded is counted once, and a spent limit pauses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration.running import Running, stack, until
from tests.unit.pictures import encoded, photo

LIMIT = ("--daily-limit", "0.000001")
"""US dollars: less than an upload costs."""


def report(running: Running, *words: str) -> Any:
    """What the command prints, after the ledger has seen the last upload."""
    return running.json("cost", "report", *words)


def uploads(running: Running) -> int:
    """Of all days that the report has."""
    return sum(day["work"]["objects"] for day in report(running)["days"])


@pytest.mark.timeout(300)
def test_uploads_are_counted_once_and_a_spent_limit_pauses(tmp_path: Path) -> None:
    """By owner; intake goes on, a job that may wait does not, and a new start counts no twice."""
    pictures = [tmp_path / f"{number}.jpg" for number in range(4)]
    for number, path in enumerate(pictures):
        path.write_bytes(encoded(photo(60, 40, seed=number), "JPEG"))
    data = tmp_path / "data"
    with stack(data, *LIMIT) as running:
        running.run("put", *pictures[:3], "--owner", "anna", "--wait")
        until(lambda: uploads(running) == 3)
        until(lambda: report(running)["trip"] is not None)

        refused = running.failure("submit", "denoise", pictures[0], code=75)
        assert refused["code"] == "paused"
        accepted = running.json("put", pictures[3], "--owner", "ben", "--wait")
        assert accepted["status"] == "accepted"
        until(lambda: uploads(running) == 4)
        running.run("cost", "resume")
        assert report(running)["trip"]["resumed"]
    (data / "state" / "ledger.json").unlink()  # every change that the stream still has comes again
    with stack(data, *LIMIT) as running:
        running.run("put", pictures[0], "--owner", "zoe", "--wait")
        until(lambda: uploads(running) == 5)
        names = {one["name"]: one for one in report(running, "--by", "owner")["names"]}
        assert {name: one["work"]["objects"] for name, one in names.items()} == {
            "anna": 3,
            "ben": 1,
            "zoe": 1,
        }
        running.run("assets", "rm", "--owner", "anna", "--yes")
        names = {one["name"]: one for one in report(running, "--by", "owner")["names"]}
        assert {name: one["work"]["objects"] for name, one in names.items()} == {
            "": 3,
            "ben": 1,
            "zoe": 1,
        }
        assert [one["owner"] for one in running.json("assets", "list")] == ["zoe", "ben"]
