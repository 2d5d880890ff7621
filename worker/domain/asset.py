"""Domain types of the catalog: what is remembered about an asset over time. Frozen values.

``domain.image`` says what one picture is; this module describes what has happened to an upload: its
key, its verdict, and the files made of it.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from worker.domain.image import (
    Dropped,
    FirstViewRendition,
    MediaFormat,
    Metadata,
    Probe,
    Recipe,
    StoredRendition,
)
from worker.domain.label import Label
from worker.domain.moderation import Moderation, ModerationOutcome
from worker.domain.trace import derived


class Status(StrEnum):
    """Status of an asset, from before its upload to after its deletion."""

    WAITING = "waiting"
    """An upload was announced, and the original has not arrived."""
    UPLOADED = "uploaded"
    """The original has arrived and has not been processed yet."""
    PROCESSING = "processing"
    """Too large or too slow for the ingest function: waits for jobs."""
    REVIEW = "review"
    """All files are made; the asset waits for a person."""
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    PUBLISHED = "published"
    """A person has approved it for everybody."""
    DELETED = "deleted"
    """The original was deleted; its renditions may still exist."""


TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    Status.WAITING: frozenset(Status) - {Status.WAITING, Status.PUBLISHED},
    Status.UPLOADED: frozenset(Status) - {Status.WAITING, Status.UPLOADED, Status.PUBLISHED},
    Status.PROCESSING: frozenset({Status.REVIEW, Status.ACCEPTED, Status.REJECTED, Status.DELETED}),
    # An asset may go from processing to review, but never back.
    Status.REVIEW: frozenset({Status.ACCEPTED, Status.REJECTED, Status.PUBLISHED, Status.DELETED}),
    Status.ACCEPTED: frozenset({Status.PUBLISHED, Status.DELETED}),
    Status.REJECTED: frozenset({Status.DELETED}),
    Status.PUBLISHED: frozenset({Status.ACCEPTED, Status.REJECTED, Status.DELETED}),
    Status.DELETED: frozenset(),
}
"""Allowed transitions for the same upload and recipe. A newer upload may follow any status."""

SERVED = frozenset({Status.REVIEW, Status.ACCEPTED, Status.PUBLISHED})
"""Statuses in which all files of the original are made."""
PUBLIC = frozenset({Status.ACCEPTED, Status.PUBLISHED})
"""Statuses in which everybody may read the files of the original."""
HELD = "held"
"""Verdict of an asset that somebody has held back."""
DECISIONS: Mapping[Status, frozenset[Status]] = {
    Status.REVIEW: PUBLIC | {Status.REVIEW},
    Status.PUBLISHED: PUBLIC | {Status.REVIEW},
    Status.REJECTED: frozenset({Status.REVIEW}),
}
"""The decisions that a person may make, each with the statuses in which it is allowed."""


def workflow_of(recipe: Recipe, status: Status) -> str:
    """The workflow that an upload starts when it is recorded with this status; empty for none."""
    if status is Status.PROCESSING:
        return recipe.heavy_workflow
    return recipe.each_workflow if status in SERVED else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectVersion:
    """One upload of one object, as an S3 event names it."""

    bucket: str
    key: str
    etag: str
    """Without quotes."""
    sequencer: str
    """Orders events of one key: hexadecimal, compared after padding (see ``newer_than``)."""
    size: int
    """Bytes."""
    version_id: str | None = None
    time: str = ""
    """When the object was created, ISO 8601 with Z, by the store's clock."""
    traceparent: str = ""
    """Trace context that was sent with the upload; empty if none was."""

    @property
    def trace(self) -> str:
        """The trace context of all work on this upload, a ``traceparent``."""
        return self.traceparent or derived(self.bucket, self.key, self.sequencer)

    def newer_than(self, sequencer: str) -> bool:
        """Whether this upload is newer than the one ``sequencer`` belongs to."""
        return sort_key(self.sequencer) > sort_key(sequencer)


SEQUENCER_WIDTH = 64
"""Hex digits that sequencers are padded to. S3's have 16 to 18 today, without a documented
maximum."""


def sort_key(sequencer: str) -> str:
    """A sequencer in a form whose lexical order is the order of events.

    S3 sequencers of one key are compared as hexadecimal strings, the shorter one padded with
    zeros on the right (Amazon S3 User Guide, "Event message structure").
    """
    return sequencer.strip().upper().ljust(SEQUENCER_WIDTH, "0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """A deletion of an object, or of one version of it, as an event of S3 names it."""

    bucket: str
    key: str
    sequencer: str
    """As in ``ObjectVersion``; empty if the event has no sequencer."""
    version_id: str | None = None
    """Version id of the deleted version, or of the delete marker that was made or deleted."""
    time: str = ""
    """ISO 8601 with Z, by the store's clock."""
    expired: bool = False
    """Deleted by the bucket's lifecycle rules, not by a person or a program."""

    @property
    def target(self) -> ObjectVersion:
        """The deleted object, as far as the event describes it."""
        return ObjectVersion(
            bucket=self.bucket,
            key=self.key,
            etag="",
            sequencer=self.sequencer,
            size=0,
            version_id=self.version_id,
            time=self.time,
        )


def is_folder(key: str, size: int) -> bool:
    """Whether an object is a placeholder of a folder, as the S3 console makes them."""
    return key.endswith("/") and size == 0


_NAMESPACE = uuid.UUID("6f3f7a52-2a0b-5d3c-9c1e-7d5e1a4b8c90")


def asset_id_of(bucket: str, key: str) -> str:
    """The asset that an object belongs to.

    Uploads issued by the API carry their id in the key (``{hh}/uploads/{asset}/{filename}``); for
    any other object the id is derived from its name (UUIDv5, RFC 9562), so that a new upload under
    the same key is a new version of the same asset.
    """
    if folder_of(key) is not None:
        return str(uuid.UUID(key.split("/")[2]))
    return str(uuid.uuid5(_NAMESPACE, f"s3://{bucket}/{key}"))


def folder_of(key: str) -> str | None:
    """The folder that all uploads of one asset share, with its slash; None if the asset has no such
    folder."""
    parts = key.split("/", 3)
    if len(parts) < 4 or parts[1] != "uploads":
        return None
    try:
        uuid.UUID(parts[2])
    except ValueError:
        return None
    return "/".join(parts[:3]) + "/"


SUPERSEDED = {"superseded": "true"}
"""Tag of the files of a replaced version: a lifecycle rule of the bucket expires them."""


CLOSED = {"closed": "true"}
"""Tag of closed files: the delivery bucket's policy denies the distribution access to them. Files
are closed if their asset waits for a person, if its original is gone, or if their version was
replaced."""


def version_of(etag: str, sequencer: str, recipe_digest: str) -> str:
    """16 hex digits that identify one upload processed by one recipe; part of every output key."""
    text = "\n".join((etag, sort_key(sequencer), recipe_digest))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoInfo:
    """Facts about an accepted video, as a person sees it: upright, with square pixels."""

    container: str
    """ffmpeg's names of it, with commas: ``mov,mp4,m4a,3gp,3g2,mj2``, ``matroska,webm``."""
    duration_ms: int
    width: int
    height: int
    frame_rate: str
    """Frames a second in lowest terms: ``25``, ``30000/1001``."""
    codec: str
    """Codec of the video track, by ffmpeg's short name: ``h264``, ``hevc``, ``vp9`` ..."""
    bit_depth: int = 8
    hdr: bool = False
    audio_tracks: int = 0
    subtitle_tracks: int = 0
    warnings: tuple[str, ...] = ()
    """Codes of defects: ``damaged``, ``audio_ignored`` and the like (docs/jobs.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMedia:
    """A file of a video in the delivery bucket, other than a picture.

    Playlists name other files, relative to themselves; those are not listed here. Everything made
    of one upload lies under one prefix (``domain.keys.version_prefix``).
    """

    name: str
    """``film``, ``stream``, ``storyboard`` ..."""
    format: MediaFormat
    bytes: int
    key: str
    sha256: str
    width: int = 0
    """Width of the largest variant; 0 for a file without pictures."""
    height: int = 0
    duration_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The reason of an asset's status."""

    code: str
    message: str


class UploadMethod(StrEnum):
    """How the bytes of an upload are sent to the intake bucket."""

    POST = "post"
    """A form: exact key, size and type are conditions of its signature."""
    PUT = "put"
    """One request: exact key, size, type and checksum are signed, and it can be used once."""
    MULTIPART = "multipart"
    """Parts, each of which can be sent again."""


class UploadRoute(StrEnum):
    """The network path of an upload's bytes into the intake bucket."""

    DIRECT = "direct"
    """Directly to the bucket's host, in its region."""
    ACCELERATED = "accelerated"
    """Through the nearest edge (S3 Transfer Acceleration)."""
    DISTRIBUTION = "distribution"
    """Through the distribution that serves renditions; without forms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingUpload:
    """An announced upload, of an asset whose original has not arrived or is not processed yet."""

    method: UploadMethod
    media_type: str
    expires_at: str
    """ISO 8601 UTC: the record is removed then, unless the original has arrived."""
    request: str
    """Digest of the request: it distinguishes a repeated request from a different one."""
    sha256: str = ""
    """64 hex digits, if the client has announced a digest."""
    upload_id: str = ""
    """S3's upload id of an upload in parts."""
    part_size: int = 0
    """Bytes of each part except the last."""
    route: UploadRoute = UploadRoute.DIRECT
    """The default route of tickets; the client may ask for another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetRecord:
    """Everything the catalog knows about the current version of an asset."""

    asset: str
    """UUID."""
    source: ObjectVersion
    recipe: str
    recipe_digest: str
    version: str
    """From :func:`version_of`."""
    status: Status
    owner: str = ""
    verdict: Verdict | None = None
    """Set if the asset is rejected, waits for jobs or is in review."""
    probe: Probe | None = None
    metadata: Metadata | None = None
    renditions: tuple[StoredRendition, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    first_view: tuple[FirstViewRendition, ...] = ()
    """Renditions that are made at their first view."""
    film: VideoInfo | None = None
    """Facts about an accepted video. Its pictures are ``renditions``, and ``metadata`` describes
    its poster."""
    media: tuple[StoredMedia, ...] = ()
    """Playable files of an accepted video."""
    copied_from: str | None = None
    """The asset whose renditions were copied because the bytes are identical."""
    replaces: str = ""
    """The version that was recorded before this one and whose files expire; empty if there was
    none."""
    upload: PendingUpload | None = None
    """The announced upload, while the asset waits for its original."""
    focal_point: tuple[float, float] | None = None
    """The centre of crops, if somebody has set one: see ``RenditionSpec.focal_point``."""
    labels: tuple[Label, ...] = ()
    """Labels of the picture by a model, sorted by falling confidence."""
    labelled: str = ""
    """The rules by which the model was asked, ``LabelRules.mark``; empty if it was not asked."""
    chosen_recipe: str = ""
    """The name of the recipe that the upload has chosen; empty for the deployment's recipe."""
    workflow: str = ""
    """The workflow that has to run for this version; empty if none has to."""
    moderation: Moderation | None = None
    """The result of moderation for this version; None if its recipe has no moderation."""
    tags: frozenset[str] = frozenset()
    attributes: Mapping[str, str] = field(default_factory=dict)
    created_at: str = ""
    """ISO 8601 UTC: when the first version was recorded."""
    updated_at: str = ""
    revision: int = 0
    """Rises with every write; a write names the revision that it has read (optimistic
    concurrency)."""

    @property
    def held(self) -> bool:
        """Whether somebody holds the asset. New files of a held asset also wait for a person."""
        held = self.verdict is not None and self.verdict.code == HELD
        return held and self.status is Status.REVIEW

    @property
    def blurred(self) -> bool:
        """Whether viewers get a blurred picture while the asset waits for a person."""
        known = self.moderation
        blurs = known is not None and known.outcome is ModerationOutcome.BLUR
        return blurs and self.status is Status.REVIEW

    @property
    def warnings(self) -> tuple[str, ...]:
        """Codes of defects of the original that did not prevent its acceptance."""
        seen = self.film or self.probe
        return () if seen is None else seen.warnings


RENAME = timedelta(minutes=10)
"""Longest time between the two halves of a rename, a copy and a deletion."""
ERASED = "erased"
"""Verdict of a tombstone, which prevents the id of a deleted asset from being reused."""
_LAST = "F" * 64
"""A sequencer that is newer than that of any upload."""


def tombstone(record: AssetRecord, *, time: str) -> AssetRecord:
    """The record of a deleted asset. It prevents a ticket that is still valid from creating the
    asset again.

    Args:
        time: ISO 8601 UTC.
    """
    return AssetRecord(
        asset=record.asset,
        source=replace(record.source, sequencer=_LAST, etag="", version_id=None),
        recipe=record.recipe,
        recipe_digest="",
        version="",
        status=Status.DELETED,
        owner=record.owner,
        verdict=Verdict(code=ERASED, message="the asset was deleted"),
        created_at=record.created_at,
        updated_at=time,
    )


def is_tombstone(record: AssetRecord) -> bool:
    """Whether the record is a tombstone of a deleted asset."""
    verdict = record.verdict
    return record.status is Status.DELETED and verdict is not None and verdict.code == ERASED


def moved(old: AssetRecord, new: ObjectVersion, deleted: str) -> bool:
    """Whether an original was renamed: its bytes were stored under another key, and then it was
    deleted.

    Args:
        old: of the asset whose original is gone.
        new: of the same bytes.
        deleted: time of the deletion, ISO 8601.
    """
    if old.status is not Status.DELETED or old.source.bucket != new.bucket:
        return False
    try:
        between = datetime.fromisoformat(deleted) - datetime.fromisoformat(new.time)
    except (ValueError, TypeError):
        return False
    return old.source.key != new.key and timedelta(0) <= between <= RENAME


class MediaType(StrEnum):
    """Kind of an upload: image or video."""

    IMAGE = "image"
    VIDEO = "video"


VIDEO_CODE = "video"
"""Verdict of a heavy asset that is a video; any other code means an image that is too large."""


def medium_of(record: AssetRecord) -> MediaType:
    """The kind of a record's upload: it follows from the files made of it, or from the reason why
    it waits."""
    waits = record.status is Status.PROCESSING and record.verdict is not None
    if record.film is not None or (waits and record.verdict.code == VIDEO_CODE):  # type: ignore[union-attr]
        return MediaType.VIDEO
    return MediaType.IMAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """An entry of an asset's timeline."""

    time: str
    """ISO 8601 UTC, with microseconds."""
    kind: str
    """``ingested``, ``rejected``, ``tagged`` ..."""
    detail: Mapping[str, str] = field(default_factory=dict)
    id: str = ""
    """Makes a repeated write of the same entry idempotent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """A job of an asset."""

    asset: str
    id: str
    kind: str
    state: str
    created_at: str
    updated_at: str
    detail: Mapping[str, str] = field(default_factory=dict)

    @property
    def percent(self) -> float | None:
        """Progress, 0 to 100; None if the job has not reported any."""
        try:
            return float(self.detail.get("percent", ""))
        except ValueError:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of records, with the cursor of the next page."""

    records: tuple[AssetRecord, ...]
    cursor: str | None = None
    """Opaque; None on the last page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Similar:
    """A near duplicate."""

    record: AssetRecord
    distance: int
    """Bits in which the perceptual hashes differ, 0 to 64."""
