"""What counted work costs, and what work the pipeline's events tell of."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from tests.unit.test_console_changes import event
from worker import prices
from worker.adapters.event_log import EventLog
from worker.domain.ledger import CountedWork, work_of
from worker.local.changes import Counts
from worker.local.console import costs
from worker.services.cost import cost

PRICE, NEED = prices.load()
FILES = [{"bytes": 100}, {"bytes": 200}]


def test_costs_of_work_add_up() -> None:
    """Twice the work costs twice as much, in every part; a thousand photos of 1 MB cost cents."""
    work = CountedWork(
        objects=1_000, bytes=10**9, files=6_000, stored=2 * 2**30, heavy=3, job_hours=1.5
    )
    one, two = cost(work, PRICE, NEED), cost(work + work, PRICE, NEED)
    for part in fields(one):
        assert getattr(two, part.name) == pytest.approx(2 * getattr(one, part.name)), part.name
    assert one.jobs == pytest.approx(1.5 * PRICE.vcpu_hour)
    assert one.storage_month == pytest.approx(2 * PRICE.storage_month)
    seconds = 1_000 * (NEED.seconds_fixed + NEED.seconds_per_megabyte)
    assert one.compute == pytest.approx(seconds * NEED.gigabytes * PRICE.gigabyte_second)
    assert one.requests > 6_000 * PRICE.put_request
    assert one.total == pytest.approx(one.requests + one.compute + one.catalog + one.jobs)
    assert 0.01 < one.total < 1


def test_no_work_costs_nothing() -> None:
    """Not even a fraction of a cent."""
    assert cost(CountedWork(), PRICE, NEED).total == 0


def test_an_event_tells_of_work() -> None:
    """An accepted picture with its files, a rejected one without; other events of none."""
    accepted = work_of(event(1, "accepted", bytes=1_000, renditions=FILES))
    assert accepted == CountedWork(objects=1, bytes=1_000, files=2, stored=1_300)
    assert work_of(event(1, "rejected", bytes=1_000)).objects == 1
    assert work_of(event(1, "deleted", bytes=1_000)) == CountedWork()


@pytest.mark.parametrize("detail", [{}, {"bytes": "many", "renditions": 3}, {"renditions": [3]}])
def test_an_event_of_another_form_is_an_upload_of_unknown_size(detail: dict[str, object]) -> None:
    """An event log of an earlier Safelight has no sizes."""
    found = work_of(event(1, "accepted", **detail))
    assert (found.objects, found.bytes, found.stored) == (1, 0, 0)


def test_work_is_counted_by_day(tmp_path: Path) -> None:
    """An upload that waits for jobs is one upload, fetched whole by none of its functions."""
    path = tmp_path / "events.jsonl"
    log, counts = EventLog(path), Counts(path)
    log.publish([event(1, "processing", bytes=5_000), event(2, bytes=1_000, renditions=FILES)])
    assert counts.days()["2026-11-29"].objects == 2
    done = {"was": "processing", "bytes": 5_000, "renditions": FILES, "files": FILES}
    log.publish([event(1, "accepted", **done)])
    assert counts.days() == {
        "2026-11-29": CountedWork(objects=2, heavy=1, bytes=1_000, files=6, stored=6_900)
    }


def test_a_thousand_pictures_cost_the_same_beside_videos() -> None:
    """Jobs and the state machine are of videos: they count in the sum alone."""
    work = CountedWork(objects=10, bytes=10**7, files=60, stored=10**8)
    video = CountedWork(objects=0, heavy=3)
    alone, beside = (
        costs({"2026-11-29": work}, {}),
        costs({"2026-11-29": work + video}, {"2026-11-29": CountedWork(job_hours=1)}),
    )
    assert beside["thousand_usd"] == pytest.approx(alone["thousand_usd"])
    assert alone["thousand_usd"] == pytest.approx(100 * alone["usd"])
    assert beside["usd"] > alone["usd"]


def test_every_line_of_the_file_is_a_figure() -> None:
    """Prices and assumptions alike, with source and day, for whoever reads a sum."""
    assert {one.name for one in prices.figures()} == {
        one.name for one in (*fields(PRICE), *fields(NEED)) if one.name not in ("region", "above")
    }
    assert all(one.source and one.noted.startswith("20") and one.of for one in prices.figures())
