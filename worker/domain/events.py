"""Events: what happened to an asset, told to others as CloudEvents 1.0.

CNCF CloudEvents 1.0.2 (https://github.com/cloudevents/spec) names the attributes. What an event
says is under ``data``, so that its names cannot hide those of the envelope.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.domain.asset import AssetRecord, Status, medium_of
from worker.domain.moderation import told

SOURCE = "safelight"
"""Of all events, for rules of the bus too."""
VERSION = 1
"""Of the schema of every type that is not in ``VERSIONS``. It goes up when a reader of the old
form could misread the new one; what is added changes no version."""
VERSIONS: Mapping[str, int] = {}
HELD = "asset.held"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened, told to others. The same happening has the same id."""

    id: str
    type: str
    """``asset.accepted``, ``job.failed`` and the like: docs/events.md has all of them."""
    asset: str
    time: str
    """ISO 8601 UTC; of the record that it tells of."""
    detail: Mapping[str, object] = field(default_factory=dict)
    traceparent: str = ""
    """Of the upload that it follows from."""
    subject: str = ""
    """What it happened to; empty: the asset."""


def schema_of(kind: str) -> str:
    """The name of the JSON Schema of events of a type."""
    return f"urn:safelight:event:{kind}:{VERSIONS.get(kind, VERSION)}"


def cloud_event(event: Event) -> dict[str, Any]:
    """The event as JSON: the attributes of CloudEvents and two of our own.

    ``asset`` and ``traceparent`` are extension attributes, the second one as in CloudEvents'
    "Distributed Tracing" extension.
    """
    told = {
        "specversion": "1.0",
        "id": event.id,
        "source": SOURCE,
        "type": event.type,
        "subject": event.subject or event.asset,
        "datacontenttype": "application/json",
        "dataschema": schema_of(event.type),
        "asset": event.asset,
    }
    # No attribute may be empty.
    some = {"time": event.time, "traceparent": event.traceparent}
    told |= {name: text for name, text in some.items() if text}
    return {**told, "data": dict(event.detail)}


def type_of(status: Status) -> str:
    """The type of the event of an asset that has come into a status."""
    return HELD if status is Status.REVIEW else f"asset.{status.value}"


def event_of(record: AssetRecord, *, was: Status | None = None) -> Event:
    """The event that tells of a record; the same record gives the same event.

    Args:
        was: the status of the same version before.
    """
    detail: dict[str, object] = {
        "key": record.source.key,
        "bytes": record.source.size,
        "version": record.version,
        "recipe": record.recipe,
        "status": record.status.value,
        "media": medium_of(record).value,
        "renditions": [
            {
                "name": one.name,
                "format": one.format.value,
                "width": one.width,
                "height": one.height,
                "bytes": one.bytes,
                "key": one.key,
            }
            for one in record.renditions
        ],
    }
    if was is not None:
        detail["was"] = was.value
    if record.workflow:
        detail["workflow"] = record.workflow
    if record.replaces:
        detail["replaces"] = record.replaces
    if record.warnings or record.film is not None:
        detail["warnings"] = list(record.warnings)
    if record.film is not None:
        detail["duration_ms"] = record.film.duration_ms
        detail["files"] = [
            {"name": one.name, "format": one.format.value, "bytes": one.bytes, "key": one.key}
            for one in record.media
        ]
    if record.moderation is not None:
        detail["moderation"] = told(record.moderation)
    if record.verdict is not None:
        detail["reason"] = {"code": record.verdict.code, "message": record.verdict.message}
    return Event(
        id=f"{record.asset}/{record.version}/{record.status.value}",
        type=type_of(record.status),
        asset=record.asset,
        time=record.updated_at,
        detail=detail,
        traceparent=record.source.trace,
    )
