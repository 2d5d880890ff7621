"""Events on an EventBridge bus. Consumers match on ``source`` and ``detail-type``."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from worker.adapters.aws.batching import batches
from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.errors import aws_call, for_code
from worker.adapters.event_log import event_line
from worker.domain.errors import SafelightError, Throttled, TransientError
from worker.domain.events import SOURCE, Event

BATCH = 10
"""Entries in one request (Amazon EventBridge User Guide, "Sending events with PutEvents")."""
BATCH_BYTES = 256 * 1024
"""Of all entries in one request (the same, "Calculating PutEvents event entry size")."""
TIME_BYTES = 14
"""Bytes that an entry's time counts as (the same)."""
ROUNDS = 4
"""How often entries are sent that the bus did not take, the first time included."""
PAUSE_SECONDS = 0.2
"""Before the second round; doubled for each further one, times 0.5 to 1 at random."""


class EventBridgeEvents:
    """Events on one bus.

    Args:
        bus: its name or ARN.
        pause: what waits between two rounds; given the seconds.
    """

    def __init__(
        self, clients: AwsClients, bus: str, *, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._clients = clients
        self._bus = bus
        self._pause = pause

    def publish(self, events: Sequence[Event]) -> None:
        """See ``Events.publish``. After an error any of the events may have been sent.

        Raises:
            Throttled: some were not taken in ``ROUNDS`` rounds.
            EngineError: an event is larger than ``BATCH_BYTES``, or the bus finds it malformed.
        """
        entries = [self._entry(event) for event in events]
        for batch in batches(entries, _entry_bytes, count=BATCH, size=BATCH_BYTES):
            self._send(batch)

    def _entry(self, event: Event) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "EventBusName": self._bus,
            "Source": SOURCE,
            "DetailType": event.type,
            "Detail": event_line(event),
        }
        time = _time(event.time)
        if time is not None:
            entry["Time"] = time
        return entry

    def _send(self, entries: list[dict[str, Any]]) -> None:
        error: SafelightError = Throttled("nothing was sent")
        for turn in range(ROUNDS):
            if turn:
                self._pause(PAUSE_SECONDS * 2 ** (turn - 1) * random.uniform(0.5, 1))
            batch: Any = entries
            with aws_call(f"publish to {self._bus}"):
                answer = self._clients.events.put_events(Entries=batch)
            if not answer.get("FailedEntryCount"):
                return
            # Answers stand in the order of the entries.
            results: Sequence[Mapping[str, Any]] = answer["Entries"]
            refused = [
                (entry, result)
                for entry, result in zip(entries, results, strict=True)
                if result.get("ErrorCode")
            ]
            errors = [self._error(result) for _, result in refused]
            for error in errors:
                if not isinstance(error, TransientError):
                    raise error
            entries = [entry for entry, _ in refused]
        raise Throttled(error.message)

    def _error(self, result: Mapping[str, Any]) -> SafelightError:
        code = str(result["ErrorCode"])
        message = " ".join(str(result.get("ErrorMessage") or "no message").split())
        return for_code(code, f"publish to {self._bus}: {message} ({code})")


def _time(text: str) -> datetime | None:
    """The time of an event; None if it has none: the bus then takes its own clock's."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _entry_bytes(entry: Mapping[str, Any]) -> int:
    size = sum(len(entry[name].encode()) for name in ("Source", "DetailType", "Detail"))
    return size + (TIME_BYTES if "Time" in entry else 0)


def replay(
    clients: AwsClients,
    archive: str,
    bus: str,
    *,
    first: datetime,
    last: datetime,
    rules: Sequence[str] = (),
) -> dict[str, object]:
    """Begin a replay of an archive into its bus; EventBridge carries it out.

    Args:
        archive: its ARN.
        bus: its name.
        rules: names of those that get the events; none means all.

    Returns:
        Name and state of the replay.
    """
    with aws_call(f"replay {archive}"):
        arn = clients.events.describe_event_bus(Name=bus)["Arn"]
        destination: Any = {"Arn": arn}
        if rules:
            destination["FilterArns"] = [
                clients.events.describe_rule(Name=rule, EventBusName=bus)["Arn"] for rule in rules
            ]
        name = f"safelight-{datetime.now(UTC):%Y%m%dT%H%M%S}"
        answer = clients.events.start_replay(
            ReplayName=name,
            EventSourceArn=archive,
            EventStartTime=first,
            EventEndTime=last,
            Destination=destination,
        )
    return {"replay": name, "state": answer["State"]}
