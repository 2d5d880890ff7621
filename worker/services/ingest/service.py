"""One upload from event to record. Safe to run twice, in any order, or to be killed anywhere.

The steps, and why a crash between any two of them is harmless:

1. ``fetch``: the record and the original are read; nothing is written.
2. Renditions are stored under keys that derive from upload and recipe: a repeated run writes the
   same bytes to the same keys.
3. ``Catalog.commit`` is the one moment that counts. It is conditional on the sequencer: an older
   upload or a duplicate cannot win, a newer one always does.
4. Rejected originals are copied to quarantine before the commit and removed from intake after
   it; the event is published last. A retry finds the commit and repeats only these: both are
   idempotent, the event's id is the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from worker.errors import (
    AlreadyRecorded,
    MemoryPressure,
    ObjectChanged,
    ObjectMissing,
    Rejected,
    Superseded,
)
from worker.media import engine, sandbox
from worker.media.engine import Processed
from worker.media.probe import probe
from worker.media.refuse import check_bytes
from worker.media.sandbox import SandboxLimits
from worker.media.sniff import identify
from worker.model import Probe, Recipe
from worker.ports import Catalog, Events, ObjectStore
from worker.records import (
    AssetRecord,
    LogEntry,
    ObjectVersion,
    Status,
    Verdict,
    asset_id_of,
    version_of,
)
from worker.services.ingest import output
from worker.services.ingest.shelf import Shelf

_SNIFFED_BYTES = 65_536
"""Of an original that is too large to fetch, this much is read to tell what it is."""


class Outcome(StrEnum):
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
    """The object was deleted before it was processed."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """An upload with its bytes, or with what made them unnecessary."""

    upload: ObjectVersion
    asset: str
    data: bytes | None = None
    outcome: Outcome | None = None
    """Set when there is nothing to render."""
    known: AssetRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingested:
    """What was done with one upload."""

    outcome: Outcome
    asset: str
    upload: ObjectVersion
    record: AssetRecord | None = None
    copied: bool = False
    """Renditions were copied from identical bytes instead of made."""


class Ingest:
    """The use case. One instance serves many uploads, on several threads if wanted."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        catalog: Catalog,
        events: Events,
        policy: Policy,
        process: Callable[[bytes, Recipe], Processed] = engine.process,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Wire the service.

        Args:
            store: where originals and renditions lie.
            catalog: what is remembered.
            events: who is told.
            policy: buckets, recipe, limits.
            process: the engine; importable by name, because the sandbox runs it elsewhere.
            now: the clock, for records only: nothing is ordered by it.
        """
        self._store = store
        self._catalog = catalog
        self._events = events
        self._policy = policy
        self._process = process
        self._now = now
        self._shelf = Shelf(store, policy.delivery_bucket, threads=policy.upload_threads)

    def close(self) -> None:
        """Wait for the threads."""
        self._shelf.close()

    def fetch(self, upload: ObjectVersion) -> Fetched:
        """Read what is known and the original's bytes. Writes nothing.

        Raises:
            TransientError: a store does not answer.
        """
        policy = self._policy
        asset = asset_id_of(upload.bucket, upload.key)
        if upload.bucket != policy.intake_bucket:
            return Fetched(upload=upload, asset=asset, outcome=Outcome.IGNORED)
        known = self._catalog.get(asset)
        seen = self._seen(upload, known)
        if seen is not None:
            return Fetched(upload=upload, asset=asset, outcome=seen, known=known)
        whole = upload.size <= policy.heavy_bytes
        try:
            data, _ = self._store.get(
                upload.bucket,
                upload.key,
                version_id=upload.version_id,
                etag=upload.etag or None,
                first=None if whole else _SNIFFED_BYTES,
            )
        except ObjectMissing:
            return Fetched(upload=upload, asset=asset, outcome=Outcome.GONE, known=known)
        except ObjectChanged:
            return Fetched(upload=upload, asset=asset, outcome=Outcome.REPLACED, known=known)
        return Fetched(upload=upload, asset=asset, data=data, known=known)

    def finish(self, fetched: Fetched, *, receives: int = 1) -> Ingested:
        """Render, store, commit, tell.

        Args:
            fetched: from :meth:`fetch`.
            receives: how often the message has been received; from the second time on the
                engine runs in a sandboxed child, because the first time may have been ended by
                what the upload contains.

        Raises:
            TransientError: a store does not answer; what was done so far does no harm.
        """
        if fetched.outcome is not None:
            if fetched.outcome is Outcome.DUPLICATE and receives > 1 and fetched.known is not None:
                self._conclude(fetched.known)
            return Ingested(
                outcome=fetched.outcome,
                asset=fetched.asset,
                upload=fetched.upload,
                record=fetched.known,
            )
        try:
            return self._render(fetched, receives)
        except Rejected as rejection:
            return self._reject(fetched, receives, rejection)

    # --- the three ways ---------------------------------------------------------------------

    def _render(self, fetched: Fetched, receives: int) -> Ingested:
        policy = self._policy
        assert fetched.data is not None
        kind = identify(fetched.data)
        if isinstance(kind, str) and kind.startswith("video "):
            return self._set_aside(fetched, receives, "video", kind)
        check_bytes(fetched.upload.size, policy.recipe.limits)
        if fetched.upload.size > policy.heavy_bytes:
            return self._set_aside(fetched, receives, "too_large", f"{fetched.upload.size:,} bytes")
        found = probe(fetched.data, policy.recipe.limits, formats=policy.recipe.formats)
        moving = found.frames if found.animated else 1
        if (pixels := found.pixels * moving) > policy.heavy_pixels:
            return self._set_aside(
                fetched, receives, "too_many_pixels", f"{pixels:,} pixels", found
            )
        record = self._record(fetched, Status.REVIEW if policy.recipe.approval else Status.ACCEPTED)
        twin = self._twin(fetched)
        if twin is not None:
            copied = self._shelf.copy(twin, record)
            if copied is not None:
                return self._commit(fetched, copied, receives, copied=True)
        processed = self._run(fetched.data, receives)
        return self._commit(fetched, self._shelf.keep(processed, record), receives)

    def _reject(self, fetched: Fetched, receives: int, rejection: Rejected) -> Ingested:
        """Keep a copy of the original where nobody serves it, with the reason."""
        upload = fetched.upload
        record = replace(
            self._record(fetched, Status.REJECTED),
            verdict=Verdict(code=rejection.code, message=rejection.message),
        )
        try:
            self._store.copy(
                (upload.bucket, upload.key),
                (self._policy.quarantine_bucket, output.quarantine_key(record)),
                version_id=upload.version_id,
                metadata={
                    "reason-code": rejection.code,
                    "reason-message": rejection.message[:500],
                    "source-key": upload.key,
                    "sequencer": upload.sequencer,
                },
            )
        except ObjectMissing:
            return self._nothing(fetched, Outcome.GONE)
        return self._commit(fetched, record, receives)

    def _set_aside(
        self,
        fetched: Fetched,
        receives: int,
        code: str,
        message: str,
        found: Probe | None = None,
    ) -> Ingested:
        record = replace(
            self._record(fetched, Status.HEAVY),
            verdict=Verdict(code=code, message=message),
            probe=found,
        )
        return self._commit(fetched, record, receives)

    # --- steps ------------------------------------------------------------------------------

    def _seen(self, upload: ObjectVersion, known: AssetRecord | None) -> Outcome | None:
        if known is None or upload.newer_than(known.source.sequencer):
            return None
        if known.source.newer_than(upload.sequencer):
            return Outcome.STALE
        if known.recipe_digest != self._policy.recipe.digest:
            return None
        return Outcome.DUPLICATE

    def _run(self, data: bytes, receives: int) -> Processed:
        if receives > 1 or engine.needs_sandbox(data):
            return sandbox.run(
                self._process, data, self._policy.recipe, limits=self._policy.sandbox
            )
        try:
            return self._process(data, self._policy.recipe)
        except MemoryError:
            # The next receive runs in the sandbox, which tells a hungry picture from a full host.
            raise MemoryPressure("memory ran out while decoding") from None

    def _twin(self, fetched: Fetched) -> AssetRecord | None:
        """An accepted asset with the same bytes and recipe, whose renditions can be copied."""
        assert fetched.data is not None
        digest = hashlib.sha256(fetched.data).hexdigest()
        for candidate in self._catalog.by_content(digest):
            same_recipe = candidate.recipe_digest == self._policy.recipe.digest
            if same_recipe and candidate.status is Status.ACCEPTED and candidate.renditions:
                return candidate
        return None

    def _record(self, fetched: Fetched, status: Status) -> AssetRecord:
        recipe = self._policy.recipe
        upload = fetched.upload
        return AssetRecord(
            asset=fetched.asset,
            source=upload,
            recipe=recipe.name,
            recipe_digest=recipe.digest,
            version=version_of(upload.etag, upload.sequencer, recipe.digest),
            status=status,
            updated_at=self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        )

    def _commit(
        self, fetched: Fetched, record: AssetRecord, receives: int, *, copied: bool = False
    ) -> Ingested:
        entry = LogEntry(
            time=record.updated_at,
            kind=record.status.value,
            detail={"version": record.version}
            | ({"code": record.verdict.code} if record.verdict is not None else {}),
            id=record.version,
        )
        try:
            committed = self._catalog.commit(record, entry)
        except Superseded:
            # Keys of this version are nobody else's, and it will never be served.
            self._shelf.discard(record)
            return self._nothing(fetched, Outcome.STALE)
        except AlreadyRecorded:
            # Another worker was faster, with the same result. If it had this very message it may
            # have died after its commit, and nobody else will be told to conclude.
            winner = self._catalog.get(record.asset) if receives > 1 else None
            if winner is not None and winner.version == record.version:
                self._conclude(winner)
            return self._nothing(fetched, Outcome.DUPLICATE)
        self._conclude(committed)
        return Ingested(
            outcome=Outcome(committed.status.value),
            asset=committed.asset,
            upload=fetched.upload,
            record=committed,
            copied=copied,
        )

    def _conclude(self, record: AssetRecord) -> None:
        """What follows a commit; repeated by a retry that finds the commit."""
        source = record.source
        # Without a version id a delete could hit a newer upload: then expiry does it.
        if record.status is Status.REJECTED and source.version_id is not None:
            self._store.delete(source.bucket, source.key, version_id=source.version_id)
        self._events.publish([output.event_of(record)])

    def _nothing(self, fetched: Fetched, outcome: Outcome) -> Ingested:
        return Ingested(outcome=outcome, asset=fetched.asset, upload=fetched.upload)
