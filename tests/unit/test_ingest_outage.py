"""The world at its worst: a store that is gone for a minute, clocks that are wrong."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.unit.fakes import Fuse, MemoryCatalog, MemoryStore
from tests.unit.test_ingest import OTHER, PHOTO, POLICY
from tests.unit.test_ingest_handler import GIF, KEY, World, event, failed
from worker.domain.asset import Status
from worker.domain.errors import Unreachable
from worker.services.ingest import Ingest, IngestOutcome, NoWork

MAXIMUM_RECEIVES = 5
"""The Pulumi program's default: after so many a message is a dead letter."""


class Outage(Fuse):
    """Breaks every call until a moment on a clock that the test moves."""

    seconds = 0.0
    until = 60.0

    def around(self, name: str, effect: object) -> object:
        """Answer only after the outage."""
        if self.seconds < self.until:
            raise Unreachable("no answer")
        assert callable(effect)
        return effect()


@pytest.mark.parametrize("broken", ["store", "catalog"])
def test_a_minute_without_an_answer_loses_nothing(broken: str) -> None:
    """The growing waits outlast the outage before the message counts as a dead letter."""
    outage = Outage()
    world = World(**{broken: outage})  # type: ignore[arg-type]
    value = event("s3_notification")
    message = value["Records"][0]
    world.store.upload("intake", KEY, GIF)
    receives = 0
    while True:
        receives += 1
        assert receives <= MAXIMUM_RECEIVES
        message["attributes"]["ApproximateReceiveCount"] = str(receives)
        if not failed(world.handle(value)):
            break
        outage.seconds += world.queue.hidden[-1][1]
    assert receives > 1
    assert list(world.statuses.values()) == [Status.ACCEPTED]


def test_wrong_clocks_decide_nothing() -> None:
    """Event times and our own clock may say anything: the sequencer orders uploads."""
    store, catalog = MemoryStore(), MemoryCatalog()
    older = replace(store.upload("intake", "a", PHOTO), time="2099-01-01T00:00:00.000Z")
    newer = replace(store.upload("intake", "a", OTHER), time="1970-01-01T00:00:00.000Z")
    moments = iter([datetime(2099, 1, 1, tzinfo=UTC), datetime(1999, 1, 1, tzinfo=UTC)])
    ingest = Ingest(
        store=store,
        catalog=catalog,
        policy=POLICY,
        now=lambda: next(moments),
    )
    outcomes = [ingest.commit(ingest.render(ingest.fetch(one))).outcome for one in (older, newer)]
    assert outcomes == [IngestOutcome.ACCEPTED, IngestOutcome.ACCEPTED]
    again = ingest.fetch(older)
    assert isinstance(again, NoWork)
    assert again.outcome is IngestOutcome.STALE
    (record,) = catalog.records.values()
    assert record.source == newer
