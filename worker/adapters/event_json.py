"""Events as JSON: the one shape that EventBridge carries and the local log keeps.

``{"id", "asset", "time", "traceparent", "data": {...}}``; the event's type stands beside it
(``detail-type``).
What an event says lies under ``data``, so that no word in it can hide one of ours.
"""

from __future__ import annotations

import json
from typing import Any

from worker.domain import trace
from worker.domain.asset import Event
from worker.domain.errors import EngineError


def detail(event: Event) -> dict[str, Any]:
    """The event without its type."""
    return {
        "id": event.id,
        "asset": event.asset,
        "time": event.time,
        "traceparent": event.traceparent,
        "data": dict(event.detail),
    }


def text(value: dict[str, Any]) -> str:
    """JSON on one line. Raises ``EngineError`` for what JSON cannot say."""
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise EngineError(f"an event cannot be written as JSON: {error}") from error


def line(event: Event) -> str:
    """The event with its type, as one line of a log, without the line break."""
    return text({"type": event.type, **detail(event)})


def parse(line: str) -> Event | None:
    """The event of a log's line, or None if the line is none."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    words = {name: value.get(name) for name in ("id", "type", "asset", "time")}
    data = value.get("data", {})
    if not all(isinstance(word, str) for word in words.values()) or not isinstance(data, dict):
        return None
    traceparent = trace.valid(value.get(trace.NAME))
    return Event(**words, detail=data, traceparent=traceparent)  # type: ignore[arg-type]  # texts
