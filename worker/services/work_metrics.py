"""Counts what functions have done: each entry point calls these with its results.

Times that messages bring are of another machine's clock. One that is missing, in the future, or
older than a queue keeps messages is no age.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from worker.domain import metrics
from worker.domain.asset import AssetRecord
from worker.domain.errors import EngineError, MalformedMessage, SafelightError
from worker.domain.image import StoredRendition

if TYPE_CHECKING:  # most functions need neither, and their imports are slow
    from worker.services.finalize import Finished
    from worker.services.ingest import IngestResult

OLDEST_SECONDS = 14 * 86_400.0
"""No queue keeps a message longer (Amazon SQS Developer Guide, "Message quotas")."""
AHEAD_SECONDS = 60.0
"""A time that lies further in the future is no time: a clock was set back, or is wrong."""
WORKED = frozenset({"accepted", "rejected", "processing", "review"})
"""Outcomes of uploads that were fetched and probed."""


def age_of(sent: object, now: float) -> float | None:
    """How long ago something was sent, in seconds, at least 0; None if it cannot be said.

    Args:
        sent: seconds since 1970, as text or number; whatever a message has there.
        now: seconds since 1970.
    """
    if isinstance(sent, bool) or not isinstance(sent, str | int | float):
        return None
    try:
        age = now - float(sent)
    except (ValueError, OverflowError):
        return None
    if not -AHEAD_SECONDS <= age <= OLDEST_SECONDS:  # NaN neither
        return None
    return max(0.0, age)


def sent_of(record: Mapping[str, Any]) -> float | None:
    """When a message was sent, by Lambda's record of it: seconds since 1970; None if unknown."""
    text = str(record.get("attributes", {}).get("SentTimestamp", ""))
    return int(text) / 1000 if text.isascii() and text.isdigit() and int(text) else None


def changed_of(record: Mapping[str, Any]) -> object:
    """When the catalog was changed, by the stream's record of it; see ``age_of``."""
    change = record.get("dynamodb")
    return change.get("ApproximateCreationDateTime") if isinstance(change, Mapping) else None


def begun(service: str, sent: Iterable[object], *, now: float | None = None) -> None:
    """Count how old the messages of a call are.

    Args:
        service: whose call it is.
        sent: when each was sent; see ``age_of``.
        now: seconds since 1970.
    """
    moment = time.time() if now is None else now
    for one in sent:
        if (age := age_of(one, moment)) is not None:
            metrics.add(metrics.QUEUE_SECONDS, age, service=service)


def put_back(service: str, error: SafelightError, *, times: int = 1) -> None:
    """Count messages that come again because of an error."""
    metrics.add(metrics.RETRIES, times, service=service)
    if isinstance(error, MalformedMessage | EngineError):
        poison(error.code, times=times)


def poison(code: str, *, times: int = 1) -> None:
    """Count an upload that no further attempt can complete."""
    metrics.add(metrics.POISON, times, code=code)


def uploaded(done: IngestResult, *, age: float | None) -> None:
    """Count a handled upload event.

    Args:
        done: its result.
        age: of its message by now, seconds; None if unknown.
    """
    metrics.add(metrics.UPLOADS, outcome=done.outcome.value)
    record = done.record
    if record is None or done.outcome.value not in WORKED:
        return
    if done.outcome.value == "rejected":
        rejected(record)
        return
    metrics.add(metrics.BYTES_IN, done.upload.size)
    made = sum(one.bytes for one in record.renditions)
    if done.copied:
        metrics.add(metrics.BYTES_SAVED, made, by="copy")
    elif made:
        metrics.add(metrics.BYTES_OUT, made)
    if saved := saved_by_format(record.renditions):
        metrics.add(metrics.BYTES_SAVED, saved, by="format")
    if done.outcome.value == "accepted" and age is not None:
        metrics.add(metrics.READY_SECONDS, age)


def finished(done: Finished) -> None:
    """Count an upload whose jobs have ended."""
    metrics.add(metrics.FINISHED, outcome=done.outcome.value)
    record = done.record
    if record is None or done.outcome.value not in WORKED:
        return
    if done.outcome.value == "rejected":
        rejected(record)
        return
    made = sum(one.bytes for one in record.renditions) + sum(one.bytes for one in record.media)
    if made:
        metrics.add(metrics.BYTES_OUT, made)


def rejected(record: AssetRecord) -> None:
    """Count a rejection by its reason; one by the sandbox is poison as well."""
    code = record.verdict.code if record.verdict is not None else ""
    metrics.add(metrics.REJECTIONS, reason=code)
    if code in metrics.POISONS:
        poison(code)


def saved_by_format(renditions: Iterable[StoredRendition]) -> int:
    """Bytes that a client saves who takes the smallest file of each size.

    The comparison is with the largest file of that size: of the formats that recipes make, that is
    the one that every client takes, or at least not a smaller one.
    """
    sizes: dict[str, list[int]] = {}
    for one in renditions:
        sizes.setdefault(one.name, []).append(one.bytes)
    return sum(max(found) - min(found) for found in sizes.values())
