"""Events of assets, jobs and reviews, as CloudEvents 1.0.

CNCF CloudEvents 1.0.2 (https://github.com/cloudevents/spec) names the attributes. The payload is
under ``data``, so that its names cannot collide with those of the envelope.

Services do not send events. Each event follows from a change of an item in the catalog, so that a
record and its events never disagree: :func:`of_record`, :func:`of_line`, :func:`of_job` and
:func:`of_review` map a change to an event. The ``TypedDict``s are the contract: the JSON Schemas in
docs/events are generated from them and their docstrings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NotRequired, TypedDict, cast

from worker.domain import trace
from worker.domain.asset import AssetRecord, JobRecord, LogEntry, Status, is_tombstone, medium_of
from worker.domain.moderation import told
from worker.domain.review import Review, ReviewState

SOURCE = "safelight"
"""``source`` of all events; rules of the bus match it."""
VERSION = 1
"""Schema version of every type that is not in ``VERSIONS``. It rises if a reader of the old form
could misread the new form; additional fields do not change it."""
VERSIONS: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event. A repeated event of the same change has the same id."""

    id: str
    type: str
    """``asset.accepted``, ``job.failed`` and the like: docs/events.md has all of them."""
    asset: str
    time: str
    """ISO 8601 UTC: the time of the record's change."""
    detail: Mapping[str, object] = field(default_factory=dict)
    traceparent: str = ""
    """Trace context of the upload."""
    subject: str = ""
    """CloudEvents ``subject``; empty for the asset."""


def schema_of(kind: str) -> str:
    """The id of the JSON Schema of a type."""
    return f"urn:safelight:event:{kind}:{VERSIONS.get(kind, VERSION)}"


def cloud_event(event: Event) -> dict[str, Any]:
    """The event as JSON: the attributes of CloudEvents and two extension attributes.

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


# --- what events say ----------------------------------------------------------------------------


class ReasonData(TypedDict):
    """The reason of a status."""

    code: str
    """Stable; docs/errors.md lists them."""
    message: str
    """For people."""


class FileData(TypedDict):
    """A file of a video, other than a picture."""

    name: str
    format: str
    bytes: int
    key: str
    """In the delivery bucket."""


class RenditionData(FileData):
    """A picture that was made of the original."""

    width: int
    """Pixels."""
    height: int


class SeenData(TypedDict):
    """A label that a moderator reported."""

    name: str
    category: str
    confidence: float
    """0 to 100."""


class CrossedData(TypedDict):
    """A threshold of the recipe that was reached."""

    category: str
    outcome: str
    threshold: float
    confidence: float


class ModerationData(TypedDict):
    """The decision of moderation, and its basis."""

    outcome: str
    """``pass``, ``blur``, ``uncertain``, ``hold`` or ``reject``."""
    tier: str
    """The tier that decided: ``earlier``, ``classifier``, ``rekognition``, ``person`` or
    ``unavailable``."""
    labels: list[SeenData]
    crossed: list[CrossedData]
    model: str
    model_version: str
    time: str
    """ISO 8601 UTC."""
    sampled: bool
    """The picture is public while a moderator examines it as a sample."""
    earlier: str
    """The asset whose verdict was reused; empty if none was."""
    error: str
    """Code of the error if no moderator could be asked; otherwise empty."""


class AssetData(TypedDict):
    """An asset, as recorded from this event on."""

    key: str
    """Key of the original, in the intake bucket."""
    bytes: int
    """Size of the original; 0 before it has arrived."""
    version: str
    """Identifies one upload processed by one recipe; empty before the original has arrived."""
    recipe: str
    """Name of the recipe."""
    status: str
    """As in the API: ``waiting``, ``uploaded``, ``processing``, ``review``, ``accepted``,
    ``rejected``, ``published`` or ``deleted``."""
    media: str
    """``image`` or ``video``."""
    renditions: list[RenditionData]
    was: NotRequired[str]
    """The earlier status of the same version; absent if the version is new."""
    replaced: NotRequired[str]
    """``review`` if this is a new version and the previous version waited for people."""
    workflow: NotRequired[str]
    """The workflow that has to start now; absent if none has to, or if it runs already."""
    replaces: NotRequired[str]
    """The previous version, whose files expire."""
    warnings: NotRequired[list[str]]
    """Codes of defects of the original that did not prevent its acceptance."""
    duration_ms: NotRequired[int]
    """Duration of a video, in milliseconds."""
    files: NotRequired[list[FileData]]
    """Playable files of a video."""
    moderation: NotRequired[ModerationData]
    reason: NotRequired[ReasonData]
    """The reason of the status, if it has one."""


class GoneData(TypedDict):
    """An asset that was removed from the catalog."""

    key: str
    """Key of the original, in the intake bucket."""
    version: str
    status: str
    """``erased`` or ``expired``."""
    was: str
    """The earlier status."""


class InvalidatedData(TypedDict):
    """Cached files of the asset are no longer valid."""

    version: str
    """The version that is recorded now; empty if the asset is gone."""
    cause: str
    """``closed``, ``replaced``, ``upgraded`` or ``removed``."""


class FailedData(TypedDict):
    """A job that an asset waits for has failed; a person has to look into it."""

    version: str
    job: str
    """Kind of the job."""
    error: str
    cause: str


class JobData(TypedDict):
    """A job of an asset."""

    job: str
    """Id of the job."""
    kind: str
    state: str
    """State in AWS Batch: ``SUBMITTED``, ``RUNNING``, ``SUCCEEDED`` or ``FAILED``."""
    attempt: NotRequired[int]
    """Number of the attempt, from 1."""
    output: NotRequired[str]
    """Location of the results."""
    reason: NotRequired[ReasonData]
    """Why the job failed or was cancelled."""


class DecisionData(TypedDict):
    """The decision of one person."""

    reviewer: str
    decision: str
    """``approve`` or ``reject``."""
    reason: str
    """The reviewer's reason; may be empty."""
    time: str
    """ISO 8601 UTC."""


class ReviewData(TypedDict):
    """A decided review."""

    id: str
    state: str
    """``approved`` or ``rejected``."""
    needed: int
    """Number of people who must approve."""
    waits: bool
    """Whether a workflow waits for the decision."""
    decisions: list[DecisionData]
    """Oldest first."""


class ReviewedData(TypedDict):
    """People's decision about a version. The change of its status follows, with a separate
    event."""

    version: str
    review: ReviewData


HELD: Literal["asset.held"] = "asset.held"
UPGRADED: Literal["asset.upgraded"] = "asset.upgraded"
ERASED: Literal["asset.erased"] = "asset.erased"
EXPIRED: Literal["asset.expired"] = "asset.expired"
INVALIDATED: Literal["asset.invalidated"] = "asset.invalidated"
FAILED: Literal["asset.failed"] = "asset.failed"


def type_of(status: Status) -> str:
    """The type of the event of an asset that changes to a status."""
    return HELD if status is Status.REVIEW else f"asset.{status.value}"


LINES: Mapping[str, str] = {"invalidated": INVALIDATED, "job_failed": FAILED}
"""Event types of timeline entries, by kind. Other entries cause no event."""
JOBS: Mapping[str, str] = {
    "SUBMITTED": "job.submitted",
    "RUNNING": "job.started",
    "SUCCEEDED": "job.succeeded",
    "FAILED": "job.failed",
}
"""Event types of jobs, by state. The other states lead back to ``RUNNING`` and cause no event."""
CANCELLED = "job.cancelled"
STOPPED = "stopped"
"""The code of a job that somebody has stopped."""
REVIEWS: Mapping[ReviewState, str] = {
    ReviewState.APPROVED: "asset.approved",
    ReviewState.REJECTED: "asset.disapproved",
}
"""Event types of decided reviews."""
TYPES: Mapping[str, type] = {
    **{type_of(status): AssetData for status in Status},
    UPGRADED: AssetData,
    ERASED: GoneData,
    EXPIRED: GoneData,
    INVALIDATED: InvalidatedData,
    FAILED: FailedData,
    **dict.fromkeys(REVIEWS.values(), ReviewedData),
    **dict.fromkeys((*JOBS.values(), CANCELLED), JobData),
}
"""Every type of event, with the type of its payload."""
MEANING: Mapping[str, str] = {
    "asset.waiting": "An upload was asked for; nothing has arrived.",
    "asset.uploaded": "The original has arrived and is not processed yet.",
    "asset.processing": "The original waits for jobs.",
    "asset.accepted": "Everything is made, and everybody may read it.",
    "asset.rejected": "The original is refused; `reason` says why.",
    HELD: "Nobody may read the files until people or a workflow have decided.",
    "asset.approved": "People have approved a version; `asset.published` follows.",
    "asset.disapproved": "People have rejected a version; `asset.rejected` follows.",
    "asset.published": "A person or a workflow has let everybody read it.",
    UPGRADED: "A file was replaced by a smaller one under the same address.",
    "asset.deleted": "The original is gone; the files stay, closed.",
    ERASED: "The asset is removed with everything that was made of it.",
    EXPIRED: "An upload that was asked for never came.",
    FAILED: "A job has failed for no fault of the original; a person has to look.",
    INVALIDATED: "Files were closed, replaced or removed: caches must forget the asset.",
    "job.submitted": "A job of an asset is in its queue.",
    "job.started": "A job runs; after an attempt that failed it is told again.",
    "job.succeeded": "A job has ended well.",
    "job.failed": "A job has failed for good; `reason` says why.",
    CANCELLED: "Somebody has stopped a job.",
}
"""The meaning of each type, for people."""


# --- what follows from a change -----------------------------------------------------------------


def of_record(
    old: AssetRecord | None, new: AssetRecord | None, *, time: str = "", expired: bool = False
) -> Event | None:
    """The event of a change of an asset's record, or None.

    Args:
        old: None if there was none.
        new: None if there is none any more.
        time: time of the change, ISO 8601 UTC, for a removed record.
        expired: whether the record was removed because its time to live had passed.
    """
    if new is None:
        return None if old is None or is_tombstone(old) else _gone(old, time, expired=expired)
    if is_tombstone(new):
        return None  # the removal of the record has already caused an event
    same = old is not None and old.version == new.version and old.source == new.source
    if old is None:
        return event_of(new)
    if not same:
        # A workflow that waits for a review of the previous version must learn that it is void.
        return event_of(new, replaced=old.status if old.status is Status.REVIEW else None)
    started = new.workflow not in ("", old.workflow)
    if old.status is not new.status or started:
        return event_of(new, was=old.status, started=started)
    if new.status is Status.REVIEW and old.verdict != new.verdict:
        return event_of(new, was=old.status, started=False)  # held for another reason
    if old.renditions != new.renditions:
        return event_of(new, UPGRADED, was=old.status, started=False)
    return None


def _gone(old: AssetRecord, time: str, *, expired: bool) -> Event:
    kind = EXPIRED if expired else ERASED
    data: GoneData = {
        "key": old.source.key,
        "version": old.version,
        "status": kind.removeprefix("asset."),
        "was": old.status.value,
    }
    return _event(old, kind, data, time=time)


def event_of(
    record: AssetRecord,
    kind: str | None = None,
    *,
    was: Status | None = None,
    replaced: Status | None = None,
    started: bool = True,
) -> Event:
    """The event of a record. The same record gives the same event.

    Args:
        kind: type of the event; None takes the type of the status.
        was: the earlier status of the same version.
        replaced: the status of the previous version, if the event should contain it.
        started: whether the record's workflow, if it has one, has to start now.
    """
    data: AssetData = {
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
        data["was"] = was.value
    if replaced is not None:
        data["replaced"] = replaced.value
    if started and record.workflow:
        data["workflow"] = record.workflow
    if record.replaces:
        data["replaces"] = record.replaces
    if record.warnings or record.film is not None:
        data["warnings"] = list(record.warnings)
    if record.film is not None:
        data["duration_ms"] = record.film.duration_ms
        data["files"] = [
            {"name": one.name, "format": one.format.value, "bytes": one.bytes, "key": one.key}
            for one in record.media
        ]
    if record.moderation is not None:
        data["moderation"] = cast("ModerationData", told(record.moderation))
    if record.verdict is not None:
        data["reason"] = {"code": record.verdict.code, "message": record.verdict.message}
    return _event(record, kind or type_of(record.status), data, time=record.updated_at)


def _event(record: AssetRecord, kind: str, data: Mapping[str, object], *, time: str) -> Event:
    name = kind.removeprefix("asset.")
    return Event(
        id=f"{record.asset}/{record.version}/{name}/{record.revision}",
        type=kind,
        asset=record.asset,
        time=time,
        detail=data,
        traceparent=record.source.trace,
    )


def of_line(asset: str, entry: LogEntry) -> Event | None:
    """The event of a new timeline entry, or None."""
    kind = LINES.get(entry.kind)
    if kind is None:
        return None
    names = (InvalidatedData if kind == INVALIDATED else FailedData).__annotations__
    return Event(
        id=f"{asset}/{entry.id}/{entry.time}",
        type=kind,
        asset=asset,
        time=entry.time,
        detail={name: entry.detail.get(name, "") for name in names},
        traceparent=trace.valid(entry.detail.get(trace.NAME)),
    )


def of_job(old: JobRecord | None, new: JobRecord | None) -> Event | None:
    """The event of a job's change of state, or None. Progress causes no event."""
    if new is None or new.state not in JOBS or (old is not None and old.state == new.state):
        return None
    kind, detail = JOBS[new.state], new.detail
    data: JobData = {"job": new.id, "kind": new.kind, "state": new.state}
    attempt = detail.get("attempt", "")
    if attempt.isascii() and attempt.isdigit():
        data["attempt"] = int(attempt)
    if detail.get("output"):
        data["output"] = detail["output"]
    if new.state == "FAILED":
        code = detail.get("code", "")
        kind = CANCELLED if code == STOPPED else kind
        data["reason"] = {"code": code, "message": detail.get("reason", "")}
    name = kind.removeprefix("job.")
    return Event(
        id=f"{new.asset}/{new.id}/{name}/{attempt or 0}",
        type=kind,
        asset=new.asset,
        time=new.updated_at,
        detail=data,
        traceparent=trace.valid(detail.get(trace.NAME)),
        subject=new.id,
    )


def of_review(old: Review | None, new: Review | None) -> Event | None:
    """The event of a review that was decided, or None."""
    kind = None if new is None else REVIEWS.get(new.state)
    if new is None or kind is None or (old is not None and old.state is new.state):
        return None
    data: ReviewedData = {
        "version": new.version,
        "review": {
            "id": new.id,
            "state": new.state.value,
            "needed": new.needed,
            "waits": bool(new.execution),
            "decisions": [
                {
                    "reviewer": one.reviewer,
                    "decision": one.decision.value,
                    "reason": one.reason,
                    "time": one.time,
                }
                for one in new.decisions
            ],
        },
    }
    name = kind.removeprefix("asset.")
    return Event(
        id=f"{new.id}/{name}",
        type=kind,
        asset=new.asset,
        time=new.closed_at,
        detail=data,
        traceparent=new.traceparent,
    )
