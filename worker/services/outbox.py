"""The outbox: events follow from what the catalog has written, and from nothing else.

A stream brings the changes of the catalog in order. What each tells goes to the bus before the next
batch is asked for, so an event is sent at least once, and never without its record. An event that
is sent again has the same id.
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
"""Changes whose events are sent by one call of the port."""
LETTER_BYTES = 200_000
"""Of a dead letter with the whole change; that of a larger one has the keys of the item alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What became of a batch of changes."""

    events: int = 0
    """Sent."""
    unreadable: int = 0
    """Changes that went to the dead letters."""
    failed: str = ""
    """Sequence number of the first change that must come again; empty if none must."""
    error: TransientError | None = None
    """Why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbox:
    """The use case.

    Args:
        read: the events that follow from a change, as the stream has it.
        dead_letters: queue of changes that nothing can be made of, with the reason.
    """

    read: Callable[[Mapping[str, Any]], Sequence[Event]]
    events: Events
    queue: Queue
    dead_letters: str

    def handle(self, records: Sequence[Mapping[str, Any]]) -> Told:
        """Send the events of changes, in their order.

        A change that cannot be read would stop all that follow it for as long as the stream keeps
        it, so it goes to the dead letters. The bus not answering stops them: they come again.
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
        """How many events were sent, and how many changes went to the dead letters."""
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
                # One of them is too large, say: find out which, and send the others.
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
    """What is done for several assets at once, as a span in the trace of each."""
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
