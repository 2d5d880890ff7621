"""From an upload event to everything that will be written about it. Reads, decides, renders;
writes nothing, so that it may be done ahead of time and thrown away.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from worker.domain.asset import (
    VIDEO_CODE,
    AssetRecord,
    ObjectVersion,
    Removal,
    Status,
    Verdict,
    asset_id_of,
)
from worker.domain.errors import EngineError, MemoryPressure, ObjectChanged, ObjectMissing, Rejected
from worker.domain.image import Limits, Probe, Recipe
from worker.domain.labels import Labels, from_metadata
from worker.imaging import engine
from worker.imaging.engine import ProcessedImage
from worker.imaging.formats.sniff import identify, video_container
from worker.imaging.probe import accept, probe
from worker.imaging.rejections import check_bytes
from worker.ports import Catalog, ObjectStore
from worker.subprocesses import sandbox
from worker.subprocesses.sandbox import SandboxLimits

RENAME = timedelta(minutes=10)
"""Longest time between the two halves of a rename, a copy and a deletion."""
_SNIFFED_BYTES = 65_536
"""Of an original that is too large to fetch, this much is read to tell what it is."""


class IngestOutcome(StrEnum):
    """What became of one upload event."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    HEAVY = "heavy"
    REVIEW = "review"
    DUPLICATE = "duplicate"
    """Exactly this upload is recorded already."""
    STALE = "stale"
    """A newer upload under the same key is recorded already."""
    GONE = "gone"
    """The original was deleted, before it was processed or since."""
    ERASED = "erased"
    """The original was deleted, and with it all that was made of it."""
    UNCHANGED = "unchanged"
    """Something was deleted that is not what the record is of."""
    REPLACED = "replaced"
    """The object was overwritten before it was processed; its own event follows or came first."""
    IGNORED = "ignored"
    """An event of a bucket that is not the intake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the service is told once."""

    recipe: Recipe
    intake_bucket: str
    delivery_bucket: str
    quarantine_bucket: str
    heavy_bytes: int
    heavy_pixels: int
    sandbox: SandboxLimits
    upload_threads: int = 8
    video: bool = True
    """Videos wait as heavy; without it they are rejected."""
    video_bytes: int = 20_000_000_000
    """Most bytes of a video, inclusive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """An upload with its bytes, or with what made them unnecessary."""

    upload: ObjectVersion
    asset: str
    receives: int
    """How often its message has been received."""
    removal: Removal | None = None
    """Set for a deletion, which is looked at when its turn comes: ``upload`` only names it."""
    data: bytes | None = None
    labels: Labels = field(default_factory=Labels)
    """From the metadata of the object."""
    outcome: IngestOutcome | None = None
    """Set when there is nothing to do or only an earlier try to conclude."""
    known: AssetRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Everything that is to be written, by value. One of ``processed``, ``twin`` and ``verdict``
    is set, or the fetch has an outcome already.
    """

    fetched: Download
    processed: ProcessedImage | None = None
    twin: AssetRecord | None = None
    """An asset with identical bytes, whose renditions are to be copied."""
    renamed: AssetRecord | None = None
    """An asset with identical bytes whose original was deleted a moment ago."""
    status: Status | None = None
    """With a verdict: rejected or heavy."""
    verdict: Verdict | None = None
    probe: Probe | None = None


class Preparer:
    """The reading half of ingest."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        catalog: Catalog,
        policy: Policy,
        process: Callable[[bytes, Recipe], ProcessedImage],
    ) -> None:
        """Wire it; ``process`` is importable by name, because the sandbox runs it elsewhere."""
        self._store = store
        self._catalog = catalog
        self._policy = policy
        self._process = process

    def fetch(self, change: ObjectVersion | Removal, *, receives: int = 1) -> Download:
        """Read what is known and the original's bytes; nothing of a deletion.

        Raises:
            TransientError: a store does not answer.
        """
        policy = self._policy
        removal = change if isinstance(change, Removal) else None
        upload = change if isinstance(change, ObjectVersion) else _named_by(change)
        asset = asset_id_of(upload.bucket, upload.key)
        base = Download(upload=upload, asset=asset, receives=receives, removal=removal)
        if upload.bucket != policy.intake_bucket:
            return replace(base, outcome=IngestOutcome.IGNORED, removal=None)
        if removal is not None:
            return base
        base = replace(base, known=self._catalog.get(asset))
        seen = self._seen(upload, base.known)
        if seen is not None:
            return replace(base, outcome=seen)
        whole = upload.size <= policy.heavy_bytes
        try:
            data, found = self._store.get(
                upload.bucket,
                upload.key,
                version_id=upload.version_id,
                etag=upload.etag or None,
                first=None if whole else _SNIFFED_BYTES,
            )
        except ObjectMissing:
            return replace(base, outcome=IngestOutcome.GONE)
        except ObjectChanged:
            return replace(base, outcome=IngestOutcome.REPLACED)
        return replace(base, data=data, labels=from_metadata(found.metadata))

    def render(self, fetched: Download) -> Decision:
        """Decide, and make the renditions if it comes to that.

        From the second receive on the engine runs in a sandboxed child, because the first time
        may have been ended by what the upload contains.

        Raises:
            TransientError: a store does not answer, or memory ran out.
        """
        if fetched.outcome is not None or fetched.removal is not None:
            return Decision(fetched=fetched)
        try:
            return self._decided(fetched)
        except Rejected as rejection:
            verdict = Verdict(code=rejection.code, message=rejection.message)
            return Decision(fetched=fetched, status=Status.REJECTED, verdict=verdict)

    def run(self, fetched: Download) -> ProcessedImage:
        """The engine, in the sandbox where that is needed."""
        assert fetched.data is not None
        recipe = self._policy.recipe
        if fetched.receives > 1 or engine.needs_sandbox(fetched.data):
            limits = self._policy.sandbox
            made = sandbox.run(self._process, fetched.data, recipe, limits=limits)
            # The child has decoded hostile bytes: its answer may be a lie, and names become keys.
            promised = {spec.name for spec in recipe.renditions}
            if not {one.name for one in made.renditions} <= promised:
                raise EngineError("the sandboxed engine returned renditions nobody asked for")
            return made
        try:
            return self._process(fetched.data, recipe)
        except MemoryError:
            # The next receive runs in the sandbox, which tells a hungry picture from a full host.
            raise MemoryPressure("memory ran out while decoding") from None

    def _decided(self, fetched: Download) -> Decision:
        policy = self._policy
        assert fetched.data is not None

        def heavy(code: str, message: str, found: Probe | None = None) -> Decision:
            verdict = Verdict(code=code, message=message)
            return Decision(fetched=fetched, status=Status.HEAVY, verdict=verdict, probe=found)

        size = fetched.upload.size
        if policy.video and video_container(fetched.data) is not None:
            check_bytes(size, Limits(bytes=policy.video_bytes))
            return heavy(VIDEO_CODE, str(identify(fetched.data)))
        check_bytes(size, policy.recipe.limits)
        if size > policy.heavy_bytes:
            # What no job would accept either need not be sent to one.
            accept(fetched.data, policy.recipe.formats)
            return heavy("too_large", f"{size:,} bytes")
        found = probe(fetched.data, policy.recipe.limits, formats=policy.recipe.formats)
        pixels = found.pixels * (found.frames if found.animated else 1)
        if pixels > policy.heavy_pixels:
            return heavy("too_many_pixels", f"{pixels:,} pixels", found)
        same = self._catalog.by_content(hashlib.sha256(fetched.data).hexdigest())
        renamed = next((one for one in same if moved(one, fetched.upload, one.updated_at)), None)
        twin = self._twin(same)
        if twin is not None:
            return Decision(fetched=fetched, twin=twin, renamed=renamed)
        return Decision(fetched=fetched, processed=self.run(fetched), renamed=renamed)

    def _seen(self, upload: ObjectVersion, known: AssetRecord | None) -> IngestOutcome | None:
        if known is None or upload.newer_than(known.source.sequencer):
            return None
        if known.source.newer_than(upload.sequencer):
            return IngestOutcome.STALE
        if known.recipe_digest != self._policy.recipe.digest:
            return None
        return IngestOutcome.DUPLICATE

    def _twin(self, same: Iterable[AssetRecord]) -> AssetRecord | None:
        """An accepted asset with the same bytes and recipe, whose renditions can be copied."""
        for candidate in same:
            same_recipe = candidate.recipe_digest == self._policy.recipe.digest
            if same_recipe and candidate.status is Status.ACCEPTED and candidate.renditions:
                return candidate
        return None


def moved(old: AssetRecord, new: ObjectVersion, deleted: str) -> bool:
    """Whether an original was renamed: its bytes came under another key, and then it was deleted.

    Args:
        old: of the asset whose original is gone.
        new: of the same bytes.
        deleted: when the original went, ISO 8601.
    """
    if old.status is not Status.GONE or old.source.bucket != new.bucket:
        return False
    try:
        between = datetime.fromisoformat(deleted) - datetime.fromisoformat(new.time)
    except (ValueError, TypeError):
        return False
    return old.source.key != new.key and timedelta(0) <= between <= RENAME


def _named_by(removal: Removal) -> ObjectVersion:
    return ObjectVersion(
        bucket=removal.bucket,
        key=removal.key,
        etag="",
        sequencer=removal.sequencer,
        size=0,
        version_id=removal.version_id,
        time=removal.time,
    )
