"""The outbox: sends an event for each change of the catalog.

A stream delivers the changes of the catalog in order. The events of a batch are sent before the
next batch is read, so an event is sent at least once, and never without its record. A repeated
event has the same id.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from worker.domain import trace
from worker.domain.errors import EngineError, SafelightError, TransientError
from worker.domain.events import Event
from worker.ports import Events, Queue

RECORDS_TOGETHER = 25
"""Number of changes whose events are sent by one call of the port."""
LETTER_BYTES = 200_000
"""Largest dead letter with the whole change, in bytes; the dead letter of a larger change has only
the keys of the item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The result of a batch of changes."""

    events: int = 0
    """Sent."""
    unreadable: int = 0
    """Changes that became dead letters."""
    failed: str = ""
    """Sequence number of the first change to retry; empty if there is none."""
    error: TransientError | None = None
    """Why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbox:
    """The use case.

    Args:
        read: returns the events of a change in the form of the stream.
        dead_letters: queue of invalid changes, with the reason.
    """

    read: Callable[[Mapping[str, Any]], Sequence[Event]]
    events: Events
    queue: Queue
    dead_letters: str

    def handle(self, records: Sequence[Mapping[str, Any]]) -> Told:
        """Send the events of changes, in their order.

        An invalid change would block all later changes for as long as the stream keeps it, so it
        becomes a dead letter. If the bus does not answer, the batch is retried.
        """
        sent, unreadable = 0, 0
        for start in range(0, len(records), RECORDS_TOGETHER):
            chunk = records[start : start + RECORDS_TOGETHER]
            try:
                told, bad = self._tell(chunk)
            except TransientError as error:
                number = str(chunk[0]["dynamodb"]["SequenceNumber"])
                return Told(events=sent, unreadable=unreadable, failed=number, error=error)
            sent, unreadable = sent + told, unreadable + bad
        return Told(events=sent, unreadable=unreadable)

    def _tell(self, records: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
        """Send events; returns the number of sent events and of dead letters."""
        read: list[tuple[Mapping[str, Any], Sequence[Event]]] = []
        bad = 0
        for record in records:
            try:
                read.append((record, self.read(record)))
            except EngineError as error:
                self._give_up(record, error)
                bad += 1
        events = [event for _, own in read for event in own]
        with _traced(events):
            try:
                self.events.publish(events)
            except EngineError:
                # One of them may be too large: send them one by one.
                for record, own in read:
                    try:
                        self.events.publish(own)
                    except EngineError as error:
                        self._give_up(record, error)
                        bad += 1
        return len(events), bad

    def _give_up(self, record: Mapping[str, Any], error: SafelightError) -> None:
        letter = {"code": error.code, "reason": error.message[:1_000], "record": record}
        body = json.dumps(letter, default=_text, separators=(",", ":"))
        if len(body.encode()) > LETTER_BYTES:
            change = {"Keys": record["dynamodb"].get("Keys")}
            body = json.dumps({**letter, "record": {"dynamodb": change}}, default=_text)
        self.queue.send(self.dead_letters, [(body, "", "")])


@contextmanager
def _traced(events: Sequence[Event]) -> Iterator[None]:
    """Write a span of the joint work into the trace of each asset."""
    start, error = time.time_ns(), ""
    try:
        yield
    except SafelightError as failure:
        error = failure.code
        raise
    finally:
        for one in events if trace.recording() else ():
            parent = one.traceparent
            trace.finished("wait outbox", start=trace.moment(one.time), end=start, parent=parent)
            trace.finished(
                "tell",
                start=start,
                parent=parent,
                error=error,
                event=one.type,
                asset=one.asset,
            )


def _text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
