"""Domain types of the catalog: what is remembered about an asset over time. Frozen values.

``domain.image`` says what one picture is; this module says what has happened to an upload: where
it lies, how it was judged, what was made of it, and the events that tell others.
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
    """Where an asset stands, from before its upload to after its deletion."""

    WAITING = "waiting"
    """An upload was asked for, and nothing has arrived."""
    UPLOADED = "uploaded"
    """The original is there and has not been processed yet."""
    PROCESSING = "processing"
    """Too big or too slow for the ingest function: waits for Batch jobs."""
    REVIEW = "review"
    """Everything is made; waits for a person."""
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    PUBLISHED = "published"
    """A person has approved it for everybody."""
    DELETED = "deleted"
    """The original was deleted; its renditions may still be there."""


TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    Status.WAITING: frozenset(Status) - {Status.WAITING, Status.PUBLISHED},
    Status.UPLOADED: frozenset(Status) - {Status.WAITING, Status.UPLOADED, Status.PUBLISHED},
    Status.PROCESSING: frozenset({Status.REVIEW, Status.ACCEPTED, Status.REJECTED, Status.DELETED}),
    # What jobs have made may still wait for a person, and never the other way round.
    Status.REVIEW: frozenset({Status.ACCEPTED, Status.REJECTED, Status.PUBLISHED, Status.DELETED}),
    Status.ACCEPTED: frozenset({Status.PUBLISHED, Status.DELETED}),
    Status.REJECTED: frozenset({Status.DELETED}),
    Status.PUBLISHED: frozenset({Status.ACCEPTED, Status.REJECTED, Status.DELETED}),
    Status.DELETED: frozenset(),
}
"""Which status may follow which under the same upload and recipe. A newer upload may follow all."""

SERVED = frozenset({Status.REVIEW, Status.ACCEPTED, Status.PUBLISHED})
"""What was made of the original is whole."""
PUBLIC = frozenset({Status.ACCEPTED, Status.PUBLISHED})
"""Everybody may read what was made of the original."""
HELD = "held"
"""Verdict of an asset that somebody has held back."""
DECISIONS: Mapping[Status, frozenset[Status]] = {
    Status.REVIEW: PUBLIC | {Status.REVIEW},
    Status.PUBLISHED: PUBLIC | {Status.REVIEW},
    Status.REJECTED: frozenset({Status.REVIEW}),
}
"""What a person may decide, and of assets in which status."""


def workflow_of(recipe: Recipe, status: Status) -> str:
    """The workflow of an upload of a recipe that is recorded in a status; empty for none."""
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
    """Sent with the upload; empty if none was."""

    @property
    def trace(self) -> str:
        """The correlation id of everything that follows from this upload, a ``traceparent``."""
        return self.traceparent or derived(self.bucket, self.key, self.sequencer)

    def newer_than(self, sequencer: str) -> bool:
        """Whether this upload is newer than the one ``sequencer`` belongs to."""
        return sort_key(self.sequencer) > sort_key(sequencer)


SEQUENCER_WIDTH = 64
"""Hex digits sequencers are padded to. S3's have 16 to 18 today; nothing promises a length."""


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
    """As in ``ObjectVersion``; empty if the event has none."""
    version_id: str | None = None
    """Of what was deleted, or of the delete marker that was made or deleted."""
    time: str = ""
    """ISO 8601 with Z, by the store's clock."""
    expired: bool = False
    """By the bucket's lifecycle rules, not by a person or a program."""

    @property
    def target(self) -> ObjectVersion:
        """The deleted object, as far as the event names it."""
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
    """Whether an object only stands for a folder, as the S3 console makes them."""
    return key.endswith("/") and size == 0


_NAMESPACE = uuid.UUID("6f3f7a52-2a0b-5d3c-9c1e-7d5e1a4b8c90")


def asset_id_of(bucket: str, key: str) -> str:
    """The asset that an object belongs to.

    Uploads issued by the API carry their id in the key (``{hh}/uploads/{asset}/{filename}``);
    any other object has one derived from its name (UUIDv5, RFC 9562), so that a new upload under
    the same key is a new version of the same asset.
    """
    if folder_of(key) is not None:
        return str(uuid.UUID(key.split("/")[2]))
    return str(uuid.uuid5(_NAMESPACE, f"s3://{bucket}/{key}"))


def folder_of(key: str) -> str | None:
    """The folder that all uploads of one asset share, with its slash; None if the key is alone."""
    parts = key.split("/", 3)
    if len(parts) < 4 or parts[1] != "uploads":
        return None
    try:
        uuid.UUID(parts[2])
    except ValueError:
        return None
    return "/".join(parts[:3]) + "/"


SUPERSEDED = {"superseded": "true"}
"""Tag of files of a version that was replaced: a rule of the bucket's lifecycle expires them."""


CLOSED = {"closed": "true"}
"""Tag of files that the delivery bucket's policy refuses the distribution: of an asset that waits
for a person or whose original is gone, and of a version that was replaced."""


def version_of(etag: str, sequencer: str, recipe_digest: str) -> str:
    """16 hex digits naming what is made of one upload by one recipe; part of every output key."""
    text = "\n".join((etag, sort_key(sequencer), recipe_digest))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoInfo:
    """Facts about an accepted video, as a person sees it: upright, pixels square."""

    container: str
    """ffmpeg's names of it, with commas: ``mov,mp4,m4a,3gp,3g2,mj2``, ``matroska,webm``."""
    duration_ms: int
    width: int
    height: int
    frame_rate: str
    """Frames a second in lowest terms: ``25``, ``30000/1001``."""
    codec: str
    """Of the video track, by the program's short name: ``h264``, ``hevc``, ``vp9`` ..."""
    bit_depth: int = 8
    hdr: bool = False
    audio_tracks: int = 0
    subtitle_tracks: int = 0
    warnings: tuple[str, ...] = ()
    """Oddities, by code: ``damaged``, ``audio_ignored`` and the like (docs/jobs.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMedia:
    """A file of a video in the delivery bucket that is no picture.

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
    """Of the largest variant; 0 where nothing is shown."""
    height: int = 0
    duration_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Why an asset stands where it stands."""

    code: str
    message: str


class UploadMethod(StrEnum):
    """How the bytes of an upload come into the intake bucket."""

    POST = "post"
    """A form: exact key, size and type are conditions of its signature."""
    PUT = "put"
    """One request: exact key, size, type and checksum are signed, and it works once."""
    MULTIPART = "multipart"
    """Parts, which can be sent again one by one."""


class UploadRoute(StrEnum):
    """The network path of an upload's bytes into the intake bucket."""

    DIRECT = "direct"
    """To the bucket's own address, in its region."""
    ACCELERATED = "accelerated"
    """Through the nearest edge (S3 Transfer Acceleration)."""
    DISTRIBUTION = "distribution"
    """Through the distribution that renditions are read from; no forms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingUpload:
    """What was asked for, of an asset whose original is not there yet or not processed yet."""

    method: UploadMethod
    media_type: str
    expires_at: str
    """ISO 8601 UTC: the record goes then, unless something has arrived."""
    request: str
    """Digest of what was asked for: tells a repeated request from another one."""
    sha256: str = ""
    """64 hex digits if the client has promised one."""
    upload_id: str = ""
    """S3's, of an upload in parts."""
    part_size: int = 0
    """Bytes of each part but the last."""
    route: UploadRoute = UploadRoute.DIRECT
    """The route of tickets, unless the client asks for another one."""


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
    """Set when rejected, heavy or in review."""
    probe: Probe | None = None
    metadata: Metadata | None = None
    renditions: tuple[StoredRendition, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    first_view: tuple[FirstViewRendition, ...] = ()
    """What the recipe leaves to delivery."""
    film: VideoInfo | None = None
    """Of an accepted video; its pictures are ``renditions``, its ``metadata`` is of the poster."""
    media: tuple[StoredMedia, ...] = ()
    """Of an accepted video: what plays."""
    copied_from: str | None = None
    """The asset whose renditions were copied because the bytes are identical."""
    replaces: str = ""
    """The version recorded before this one, whose files expire; empty if there was none."""
    upload: PendingUpload | None = None
    """Of an asset that waits for its original."""
    focal_point: tuple[float, float] | None = None
    """What cuts keep in the middle, if somebody has said so: see ``RenditionSpec.focal_point``."""
    labels: tuple[Label, ...] = ()
    """What a model has seen in the picture, the most confident first."""
    labelled: str = ""
    """By which rules the model was asked: ``LabelRules.mark``; empty if it was not."""
    chosen_recipe: str = ""
    """The name of the recipe that the upload has chosen; empty: the deployment chooses."""
    workflow: str = ""
    """The workflow that has to run for this version; empty for ordinary ones."""
    moderation: Moderation | None = None
    """What moderation says about this version; None if its recipe asks for none."""
    tags: frozenset[str] = frozenset()
    attributes: Mapping[str, str] = field(default_factory=dict)
    created_at: str = ""
    """ISO 8601 UTC: when the first version was recorded."""
    updated_at: str = ""
    revision: int = 0
    """Goes up with every write; a write names the one it read (optimistic concurrency)."""

    @property
    def held(self) -> bool:
        """Whether somebody has held it back: whatever is made of it waits for a person too."""
        held = self.verdict is not None and self.verdict.code == HELD
        return held and self.status is Status.REVIEW

    @property
    def blurred(self) -> bool:
        """Whether everybody gets a blurred picture while it waits for a person."""
        known = self.moderation
        blurs = known is not None and known.outcome is ModerationOutcome.BLUR
        return blurs and self.status is Status.REVIEW

    @property
    def warnings(self) -> tuple[str, ...]:
        """Codes of oddities of the original, which was accepted all the same."""
        seen = self.film or self.probe
        return () if seen is None else seen.warnings


RENAME = timedelta(minutes=10)
"""Longest time between the two halves of a rename, a copy and a deletion."""
ERASED = "erased"
"""Verdict of a tombstone, which keeps the id of a deleted asset from being used again."""
_LAST = "F" * 64
"""A sequencer after that of every upload."""


def tombstone(record: AssetRecord, *, time: str) -> AssetRecord:
    """The record of a deleted asset: with it, a ticket that is still valid cannot bring it back.

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
    """Whether an original was renamed: its bytes came under another key, and then it was deleted.

    Args:
        old: of the asset whose original is gone.
        new: of the same bytes.
        deleted: when the original went, ISO 8601.
    """
    if old.status is not Status.DELETED or old.source.bucket != new.bucket:
        return False
    try:
        between = datetime.fromisoformat(deleted) - datetime.fromisoformat(new.time)
    except (ValueError, TypeError):
        return False
    return old.source.key != new.key and timedelta(0) <= between <= RENAME


class MediaType(StrEnum):
    """What kind of thing an upload is."""

    IMAGE = "image"
    VIDEO = "video"


VIDEO_CODE = "video"
"""Verdict of a heavy asset that is a video; any other code means an image that is too much."""


def medium_of(record: AssetRecord) -> MediaType:
    """Whether a record is of a video: by what was made of it, or by why it waits."""
    waits = record.status is Status.PROCESSING and record.verdict is not None
    if record.film is not None or (waits and record.verdict.code == VIDEO_CODE):  # type: ignore[union-attr]
        return MediaType.VIDEO
    return MediaType.IMAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One line of an asset's timeline."""

    time: str
    """ISO 8601 UTC, with microseconds."""
    kind: str
    """``ingested``, ``rejected``, ``tagged`` ..."""
    detail: Mapping[str, str] = field(default_factory=dict)
    id: str = ""
    """Makes a repeated write of the same entry one entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """Heavy work asked for an asset."""

    asset: str
    id: str
    kind: str
    state: str
    created_at: str
    updated_at: str
    detail: Mapping[str, str] = field(default_factory=dict)

    @property
    def percent(self) -> float | None:
        """How far it is, 0 to 100; None if it has not said."""
        try:
            return float(self.detail.get("percent", ""))
        except ValueError:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some records and the way to the next ones."""

    records: tuple[AssetRecord, ...]
    cursor: str | None = None
    """Opaque; None on the last page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Similar:
    """A near duplicate."""

    record: AssetRecord
    distance: int
    """Bits in which the perceptual hashes differ, 0 to 64."""
