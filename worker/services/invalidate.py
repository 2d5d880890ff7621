"""Invalidates cached files of assets that were deleted, closed or changed.

A queue receives the events of assets that were deleted, erased, held or replaced. Each asset is
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
    """The result of a batch."""

    assets: tuple[str, ...] = ()
    """Assets whose files are invalidated."""
    failures: Mapping[str, SafelightError] = field(default_factory=dict)
    """Errors by the id of the message, which must be retried."""


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
    """Write a span of the joint work into the trace of each asset."""
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
    """A reference derived from the events, so that a batch that is delivered twice is one
    invalidation.

    It uses the ids of the bus: an event that is published again after another removal has a new id
    and invalidates again.
    """
    ids = "\n".join(sorted({event.id for event in events.values()}))
    return f"safelight-{hashlib.sha256(ids.encode()).hexdigest()[:_REFERENCE]}"
