"""Removes what may be read no more, or not as it was, from the caches of the edges.

A queue gets the events of assets that were deleted, erased, held back or replaced. Each asset is
one cache tag, whatever the number of its files, and a batch of events is one invalidation. Nothing
is lost: a message stays in its queue until CloudFront has accepted an invalidation of its asset.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.domain import trace
from worker.domain.errors import MalformedMessage, SafelightError
from worker.domain.keys import cache_tag
from worker.ports import EdgeCaches
from worker.services.messages import AssetEvent, asset_event

_REFERENCE = 32
"""Hex digits of a reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invalidated:
    """What became of a batch."""

    assets: tuple[str, ...] = ()
    """Whose files the edges forget."""
    failures: Mapping[str, SafelightError] = field(default_factory=dict)
    """By the id of the message, which must come again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invalidate:
    """The use case."""

    edges: EdgeCaches

    def handle(self, bodies: Mapping[str, str]) -> Invalidated:
        """Invalidate the assets of a batch.

        Args:
            bodies: of the messages, by their ids.
        """
        events: dict[str, AssetEvent] = {}
        failures: dict[str, SafelightError] = {}
        for message, body in bodies.items():
            try:
                events[message] = asset_event(body)
            except MalformedMessage as error:
                failures[message] = error
        assets = tuple(sorted({event.asset for event in events.values()}))
        if assets:
            start = time.time_ns()
            try:
                self.edges.forget([cache_tag(one) for one in assets], once=_reference(events))
            except SafelightError as error:
                _trace(events, start, error.code)
                return Invalidated(failures={**failures, **dict.fromkeys(events, error)})
            _trace(events, start)
        return Invalidated(assets=assets, failures=failures)


def _trace(events: Mapping[str, AssetEvent], start: int, error: str = "") -> None:
    """What was done for several assets at once, as spans in the trace of each."""
    for one in events.values() if trace.recording() else ():
        trace.finished(
            "wait invalidate", start=trace.moment(one.time), end=start, parent=one.traceparent
        )
        trace.finished(
            "invalidate",
            start=start,
            parent=one.traceparent,
            error=error,
            event=one.type,
            asset=one.asset,
        )


def _reference(events: Mapping[str, AssetEvent]) -> str:
    """The same for the same events: a batch that is delivered twice is one invalidation.

    The ids are those of the bus, not ours: an event that is published again after more was removed
    has another one, and invalidates again.
    """
    ids = "\n".join(sorted({event.id for event in events.values()}))
    return f"safelight-{hashlib.sha256(ids.encode()).hexdigest()[:_REFERENCE]}"
