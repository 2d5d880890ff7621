"""What tracing costs: uploads take turns, on services in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.test_ingest_handler import World
from worker.bench import tracing
from worker.domain import trace
from worker.services.backfill import IngestTask, Listing


def test_uploads_take_turns_with_and_without_spans(tmp_path: Path) -> None:
    """Each mode has as many; only those that are traced write, and afterwards nobody does."""
    world, each = World(), 3
    total = (tracing.WARM_UP + each) * len(tracing.MODES)
    for number in range(total):
        world.store.upload("intake", f"bench/{number}.jpg", tracing._picture(number))
    listed = list(Listing(store=world.store, bucket="intake").after(""))
    task = IngestTask(queue=world.queue, url="uploads", bucket="intake")
    for start in range(0, total, 10):
        task.do(listed[start : start + 10])

    events = tracing._events(world.app, "uploads", total)
    found = tracing.in_turns(lambda: world.app, events, tmp_path)

    assert {mode: len(one) for mode, one in found.cpu_seconds.items()} == dict.fromkeys(
        tracing.MODES, each
    )
    assert all(found.median(mode) > 0 for mode in tracing.MODES)
    assert 5 < found.spans < 60
    assert 100 < found.span_bytes < 1_000
    assert "without" not in {path.name for path in tmp_path.iterdir()}
    assert len(world.catalog.records) == total
    assert not world.queue.bodies("uploads")
    assert not trace.recording()


def test_an_upload_that_is_not_handled_ends_it(tmp_path: Path) -> None:
    """Figures of failures would be wrong."""
    world = World()
    event = {
        "Records": [
            {"messageId": "1", "receiptHandle": "r", "body": "no JSON", "attributes": {}},
        ]
    }
    with pytest.raises(AssertionError, match="not handled"):
        tracing.in_turns(lambda: world.app, [event], tmp_path)
    assert not trace.recording()
