"""One upload from event to record. Safe to run twice, in any order, or to be killed anywhere.

Three steps; a crash between any two of them is harmless:

1. ``fetch`` and ``render`` read and make. They write nothing, so that they may run ahead of time
   and be thrown away.
2. ``commit`` stores renditions under keys that derive from upload and recipe: a repeated run
   writes the same bytes to the same keys. ``Catalog.commit`` is the one moment that counts. It is
   conditional on the sequencer: an older upload or a duplicate cannot win, a newer one always does.
3. A rejected original is copied to quarantine before the commit and removed from intake after it. A
   retry finds the commit and repeats only this, which is idempotent.

``ingest_pipeline`` runs the steps side by side for the messages of one batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import TypeAlias, assert_never

from worker.domain import trace
from worker.domain.asset import (
    SERVED,
    VIDEO_CODE,
    AssetRecord,
    LogEntry,
    ObjectVersion,
    Removal,
    Status,
    Verdict,
    asset_id_of,
    is_tombstone,
    moved,
    version_of,
    workflow_of,
)
from worker.domain.errors import (
    AlreadyRecorded,
    AssetMissing,
    EngineError,
    InputError,
    MemoryPressure,
    ObjectChanged,
    ObjectMissing,
    PoisonInput,
    Problem,
    Reason,
    RecipeError,
    Rejected,
    Superseded,
    Throttled,
    TransientError,
)
from worker.domain.image import Limits, Probe, Recipe
from worker.domain.keys import prefix_of, version_prefix
from worker.domain.moderation import Moderation, ModerationOutcome
from worker.domain.user_metadata import UserMetadata, from_metadata
from worker.imaging import engine
from worker.imaging.engine import ProcessedImage
from worker.imaging.formats.sniff import identify, sniff, video_container
from worker.imaging.probe import accept, probe
from worker.imaging.rejections import check_bytes
from worker.imaging.stills import blurred
from worker.ports import Catalog, Moderator, ObjectStore, StoredObject
from worker.recipes import focused, point_of
from worker.services.access import Access, invalidate
from worker.services.breaker import OptionalWork, never
from worker.services.commit import (
    RenditionStore,
    after_commit,
    timeline_entry,
)
from worker.services.moderate import FirstLook, UploadedContent, moderated, put_blurred, stills_of
from worker.services.moderate import copied as copied_verdict
from worker.services.originals import quarantine, remove_original
from worker.subprocesses import sandbox
from worker.subprocesses.sandbox import FirstTry, SandboxLimits

ORIGINAL_GONE = "original_gone"
"""Verdict of an asset whose original was deleted."""
_SNIFFED_BYTES = 65_536
"""Of an original that is too large to fetch, this much is read to tell what it is."""
_SECOND = len("2026-01-02T03:04:05")

Engine: TypeAlias = Callable[[bytes, Recipe, Probe, str], ProcessedImage]
"""Makes a picture; given what was already found out: the probe and the SHA-256."""


class IngestOutcome(StrEnum):
    """What became of one upload event."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    PROCESSING = "processing"
    REVIEW = "review"
    DUPLICATE = "duplicate"
    """Exactly this upload is recorded already."""
    STALE = "stale"
    """A newer upload under the same key is recorded already."""
    DELETED = "deleted"
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
    choose: Callable[[str], Recipe | None] = lambda _: None
    """The recipe of a name that an upload has chosen; None if there is none."""
    sandbox: SandboxLimits
    upload_threads: int = 8
    video: bool = True
    """Videos wait for jobs; without it they are rejected."""
    video_bytes: int = 20_000_000_000
    """Most bytes of a video, inclusive."""


# --- what was fetched, and what was decided -----------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A message's change of one object."""

    upload: ObjectVersion
    """Of a deletion: names the object alone."""
    asset: str
    receives: int
    """How often its message has been received."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoWork(Received):
    """There is nothing to make; an earlier try may have died after its commit."""

    outcome: IngestOutcome
    known: AssetRecord | None = None
    version: str = ""
    """What this upload makes is named so; empty if nothing can have been made of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion(Received):
    """An object was deleted. It is looked at when its turn to commit comes."""

    removal: Removal


@dataclass(frozen=True, slots=True, kw_only=True)
class Download(Received):
    """An upload with its bytes: all of them, or the first ones of what is too large here."""

    data: bytes = field(repr=False)
    user_metadata: UserMetadata
    """From the metadata of the object; the recipe comes from the record if that has one."""
    recipe: Recipe
    """By which it is made."""
    sha256: str = ""
    """Of all bytes; empty for what goes to no engine here."""
    same: tuple[AssetRecord, ...] = ()
    """Assets with identical bytes."""
    revision: int = 0
    """Of the record that the catalog had of the asset; 0 if it had none."""


Fetched: TypeAlias = NoWork | Deletion | Download


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """The renditions are made."""

    of: Download
    processed: ProcessedImage
    renamed: AssetRecord | None
    """An asset with identical bytes whose original was deleted a moment ago."""
    moderation: Moderation | None = None
    """None if the recipe asks for none."""
    blurred: bytes = field(default=b"", repr=False)
    """A JPEG that everybody gets while a person looks at the picture, if moderation wants that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """The renditions of identical bytes are to be copied."""

    of: Download
    duplicate: AssetRecord
    renamed: AssetRecord | None
    probe: Probe
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """No renditions: the upload is rejected, or waits for jobs."""

    of: Download
    status: Status
    verdict: Verdict
    probe: Probe | None = None


Decision: TypeAlias = NoWork | Deletion | Encoded | Duplicate | Judged


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestResult:
    """What was done with one upload."""

    outcome: IngestOutcome
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
        policy: Policy,
        process: Engine = engine.process,
        first: FirstTry = sandbox.here,
        erase: Callable[[str], object] | None = None,
        remember: Callable[[Recipe], object] = lambda _: None,
        classifier: Moderator | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        put_off: Callable[[OptionalWork], bool] = never,
    ) -> None:
        """Wire the service.

        Args:
            store: where originals and renditions lie.
            catalog: records of assets.
            policy: buckets, recipe, limits.
            process: the engine; importable by name, because the sandbox runs it elsewhere.
            first: runs it at the first try of a picture.
            erase: removes an asset whose original was deleted; None keeps it, as ``deleted``.
            remember: told the recipe before its first record: it keeps it for later.
            classifier: looks at pictures whose recipe wants that; needed by such recipes only.
            now: the clock, for records only: nothing is ordered by it.
            put_off: whether optional work waits: the sampling of moderation, and nothing else here.
        """
        self._store = store
        self._catalog = catalog
        self._policy = policy
        self._process = process
        self._first = first
        self._erase = erase
        self._remember = remember
        self._now = now
        self._first_look = FirstLook(
            catalog=catalog, classifier=classifier, now=now, put_off=put_off
        )
        self._first_look.check(policy.recipe)
        self._renditions = RenditionStore(
            store, policy.delivery_bucket, threads=policy.upload_threads
        )
        self._access = Access(catalog=catalog, store=store, bucket=policy.delivery_bucket, now=now)

    def close(self) -> None:
        """Wait for the threads."""
        self._renditions.close()

    # --- fetch ------------------------------------------------------------------------------

    def fetch(self, change: ObjectVersion | Removal, *, receives: int = 1) -> Fetched:
        """Read what is known and the original's bytes; nothing of a deletion.

        Raises:
            TransientError: a store does not answer.
        """
        upload = change if isinstance(change, ObjectVersion) else change.target
        asset, version = asset_id_of(upload.bucket, upload.key), ""

        def nothing(outcome: IngestOutcome, known: AssetRecord | None = None) -> NoWork:
            return NoWork(
                upload=upload,
                asset=asset,
                receives=receives,
                outcome=outcome,
                known=known,
                version=version,
            )

        if upload.bucket != self._policy.intake_bucket:
            return nothing(IngestOutcome.IGNORED)
        if isinstance(change, Removal):
            return Deletion(upload=upload, asset=asset, receives=receives, removal=change)
        known = self._catalog.get(asset)
        upload = _traced(upload, known)
        chosen = _recorded_choice(upload, known)
        recipe = self._recipe_for(upload, known, chosen or "")
        version = version_of(upload.etag, upload.sequencer, recipe.digest)
        seen = _seen(upload, known, recipe)
        if seen is not None:
            return nothing(seen, known)
        whole = upload.size <= self._policy.heavy_bytes
        try:
            data, found = self._store.get(
                upload.bucket,
                upload.key,
                version_id=upload.version_id,
                etag=upload.etag or None,
                first=None if whole else _SNIFFED_BYTES,
            )
        except ObjectMissing:
            return nothing(IngestOutcome.DELETED, known)
        except ObjectChanged:
            return nothing(IngestOutcome.REPLACED, known)
        user_metadata = from_metadata(found.metadata)
        if chosen is not None:
            user_metadata = replace(user_metadata, recipe=chosen)
        elif user_metadata.recipe:
            recipe, user_metadata = self._recipe_of(user_metadata)
        sent = trace.valid(found.metadata.get(trace.NAME))
        upload = replace(upload, traceparent=sent or upload.traceparent)
        if known is None or known.upload is None:  # else the API has written it
            moment = trace.moment(upload.time)
            # One that was sent is the id of the sender's own span.
            parent, own = upload.traceparent, "" if upload.traceparent else upload.trace
            trace.finished("upload", start=moment, end=moment, parent=parent, own=own)
        else:
            begun, arrived = trace.moment(known.created_at), trace.moment(upload.time)
            trace.finished("wait upload", start=begun, end=arrived, parent=upload.trace)
        sha256, same = "", tuple[AssetRecord, ...]()
        if whole and upload.size <= recipe.limits.bytes and sniff(data) is not None:
            # Here and not when it is rendered: the encoding thread waits for no answer.
            sha256 = hashlib.sha256(data).hexdigest()
            same = tuple(self._catalog.by_content(sha256))
        return Download(
            upload=upload,
            asset=asset,
            receives=receives,
            data=data,
            user_metadata=user_metadata,
            recipe=recipe,
            sha256=sha256,
            same=same,
            revision=known.revision if known is not None else 0,
        )

    def _recipe_for(self, upload: ObjectVersion, known: AssetRecord | None, chosen: str) -> Recipe:
        """The recipe, with the point that cuts of this upload keep: what somebody has said, else
        what the recipe wants of the labels.

        Raises ``RecipeError`` if the deployment has lost it since the API took it.
        """
        recipe = self._policy.choose(chosen) if chosen else self._policy.recipe
        if recipe is None:
            said = "is no longer a recipe of this deployment; restore it, then redrive"
            raise RecipeError(f"recipe {chosen}", (Problem("", said),))
        if known is None or upload.newer_than(known.source.sequencer):
            return recipe
        return focused(recipe, point_of(known, recipe))

    def _recipe_of(self, user_metadata: UserMetadata) -> tuple[Recipe, UserMetadata]:
        """The recipe that an object names; that of the deployment where there is no such one."""
        if (found := self._policy.choose(user_metadata.recipe)) is not None:
            return found, user_metadata
        ignored = (*user_metadata.ignored, f"recipe: there is no {user_metadata.recipe} here")
        return self._policy.recipe, replace(user_metadata, recipe="", ignored=ignored)

    # --- render -----------------------------------------------------------------------------

    def render(self, fetched: Fetched) -> Decision:
        """Decide, and make the renditions if it comes to that.

        From the second receive on the engine runs in a fresh sandboxed child, because the first
        time may have been ended by what the upload contains.

        Raises:
            TransientError: a store does not answer, or memory ran out.
        """
        if not isinstance(fetched, Download):
            return fetched
        try:
            return self._decide(fetched)
        except Rejected as rejection:
            verdict = Verdict(code=rejection.code, message=rejection.message)
            return Judged(of=fetched, status=Status.REJECTED, verdict=verdict)

    def _decide(self, download: Download) -> Decision:
        policy, recipe = self._policy, download.recipe
        data, size = download.data, download.upload.size

        def heavy(code: str, message: str, found: Probe | None = None) -> Judged:
            verdict = Verdict(code=code, message=message)
            return Judged(of=download, status=Status.PROCESSING, verdict=verdict, probe=found)

        if policy.video and video_container(data) is not None:
            check_bytes(size, Limits(bytes=policy.video_bytes))
            return heavy(VIDEO_CODE, str(identify(data)))
        check_bytes(size, recipe.limits)
        if size > policy.heavy_bytes:
            # What no job would accept either need not be sent to one.
            accept(data, recipe.formats)
            return heavy("too_large", f"{size:,} bytes")
        found = probe(data, recipe.limits, formats=recipe.formats)
        pixels = found.pixels * (found.frames if found.animated else 1)
        if pixels > policy.heavy_pixels:
            return heavy("too_many_pixels", f"{pixels:,} pixels", found)
        sha256, same = download.sha256, download.same
        renamed = next((one for one in same if moved(one, download.upload, one.updated_at)), None)
        duplicate = _duplicate(same, recipe)
        if duplicate is not None:
            return Duplicate(
                of=download, duplicate=duplicate, renamed=renamed, probe=found, sha256=sha256
            )
        return self._encoded(download, found, sha256, renamed)

    def _encoded(
        self, download: Download, found: Probe, sha256: str, renamed: AssetRecord | None
    ) -> Encoded:
        """Make the renditions, and moderate them if the recipe wants that."""
        processed = self._run(download, found, sha256)
        made = Encoded(of=download, processed=processed, renamed=renamed)
        rules = download.recipe.moderation
        if rules is None:
            return made
        whole = (found.upright_width, found.upright_height)
        limits = self._policy.sandbox
        look = cache(lambda: self._first(stills_of, processed.renditions, whole, limits=limits))
        content = UploadedContent(
            version=self._version(download),
            phash=processed.metadata.measures.phash,
            same=download.same,
        )
        moderation = self._first_look.judge(rules, content, look)
        blurs = moderation.outcome is ModerationOutcome.BLUR
        shape = self._first(blurred, look()[0], limits=limits) if blurs else b""
        return replace(made, moderation=moderation, blurred=shape)

    def _run(self, download: Download, found: Probe, sha256: str) -> ProcessedImage:
        """The engine, in a sandbox of its own where that is needed."""
        data, recipe = download.data, download.recipe
        alone = download.receives > 1 or engine.needs_sandbox(data)
        run: FirstTry = sandbox.run if alone else self._first
        try:
            made = run(self._process, data, recipe, found, sha256, limits=self._policy.sandbox)
        except MemoryError:
            # The next receive runs in the sandbox, which tells a hungry picture from a full host.
            raise MemoryPressure("memory ran out while decoding") from None
        except PoisonInput as error:
            if not alone and error.reason is Reason.TIMED_OUT:
                raise TransientError(f"the first try was too slow: {error.message}") from error
            raise
        # The child has decoded hostile bytes: its answer may be a lie, and names become keys.
        promised = {spec.name for spec in recipe.renditions}
        if not {one.name for one in made.renditions} <= promised:
            raise EngineError("the sandboxed engine returned renditions nobody asked for")
        return made

    # --- commit -----------------------------------------------------------------------------

    def commit(self, decision: Decision) -> IngestResult:
        """Store, record, tell.

        Raises:
            TransientError: a store does not answer; what was done so far does no harm.
        """
        match decision:
            case NoWork():
                known = decision.known
                if known is not None and is_tombstone(known):
                    # An earlier ticket has brought it. No record would name it, so it is removed.
                    remove_original(self._store, decision.upload)
                elif decision.receives > 1:
                    self._repeat(decision)
                return _result(decision, decision.outcome, decision.known)
            case Deletion():
                return self._deleted(decision)
            case Judged():
                record = self._record(decision.of, decision.status)
                return self._judge(
                    decision.of, replace(record, verdict=decision.verdict, probe=decision.probe)
                )
            case Encoded():
                made = self._made(decision.of, decision.moderation)
                if made.status is Status.REJECTED:
                    processed = decision.processed
                    # What it looks like is kept: the next upload of it is known at once.
                    seen = replace(made, probe=processed.probe, metadata=processed.metadata)
                    return self._judge(decision.of, seen)
                if decision.blurred:
                    put_blurred(self._store, self._policy.delivery_bucket, made, decision.blurred)
                return self._serve(decision, self._renditions.put_all(decision.processed, made))
            case Duplicate():
                verdict = copied_verdict(decision.duplicate, self._time())
                made = self._made(decision.of, verdict)
                copied = self._renditions.copy_all(decision.duplicate, made)
                if copied is not None:
                    return replace(self._serve(decision, copied), copied=True)
                # The renditions of the duplicate have expired since: they are made anew.
                return self.commit(
                    self._encoded(decision.of, decision.probe, decision.sha256, decision.renamed)
                )
            case _:
                assert_never(decision)

    def _judge(self, download: Download, record: AssetRecord) -> IngestResult:
        if record.status is Status.REJECTED and not quarantine(
            self._store, self._policy.quarantine_bucket, record
        ):
            return _result(download, IngestOutcome.DELETED)
        return self._commit(download, record)

    def _serve(self, decision: Encoded | Duplicate, record: AssetRecord) -> IngestResult:
        done = self._commit(decision.of, record)
        if decision.renamed is not None and done.record is not None:
            self._adopt(decision.renamed, done.record)
        return done

    def _made(self, download: Download, moderation: Moderation | None) -> AssetRecord:
        recipe = download.recipe
        record = self._record(download, Status.REVIEW if recipe.approval else Status.ACCEPTED)
        return moderated(record, moderation, recipe.workflow)

    def _record(self, download: Download, status: Status) -> AssetRecord:
        recipe, upload, user_metadata = download.recipe, download.upload, download.user_metadata
        return AssetRecord(
            asset=download.asset,
            source=upload,
            recipe=recipe.name,
            recipe_digest=recipe.digest,
            chosen_recipe=user_metadata.recipe,
            version=self._version(download),
            status=status,
            workflow=workflow_of(recipe, status),
            owner=user_metadata.owner,
            tags=user_metadata.tags,
            attributes=user_metadata.attributes,
            updated_at=self._time(),
            revision=download.revision,
        )

    def _version(self, download: Download) -> str:
        upload = download.upload
        return version_of(upload.etag, upload.sequencer, download.recipe.digest)

    def _commit(self, download: Download, record: AssetRecord) -> IngestResult:
        try:
            self._remember(download.recipe)
            entry = timeline_entry(record, ignored=download.user_metadata.ignored)
            committed = self._catalog.commit(record, entry, new=not download.revision)
        except Superseded:
            # No other version has these keys, and this one will never be served.
            self._renditions.delete_all(record)
            self._require_erased(record)
            return _result(download, IngestOutcome.STALE)
        except AlreadyRecorded:
            # Another worker was faster, with the same result. If it had this very message it may
            # have died after its commit, and no other message will have it finished.
            winner = self._catalog.get(record.asset)
            if winner is not None and winner.version == record.version and download.receives > 1:
                self._after_commit(winner)
            # It may be held or published by now, and this has opened or closed its files.
            if winner is None or winner.status is not record.status:
                self._access.follow(record.asset)
            return _result(download, IngestOutcome.DUPLICATE)
        if committed.status is not record.status:  # it is held
            self._access.follow(committed.asset)
        self._after_commit(committed)
        status = IngestOutcome(committed.status.value)
        return self._gone_since(download, committed) or _result(download, status, committed)

    def _require_erased(self, record: AssetRecord) -> None:
        """Raise Throttled if the record of an upload went by its time to live, and not with its
        original: the next receive records the upload anew."""
        gone = record.revision > 0 and self._catalog.get(record.asset) is None
        if gone and self._current(record.source) is not None:
            raise Throttled(f"asset {record.asset}: its record expired while it was made")

    def _repeat(self, found: NoWork) -> None:
        """Do what follows a commit, or a commit that was refused: the process that had the message
        before may have died in between."""
        known = found.known
        if known is not None and found.outcome is IngestOutcome.DUPLICATE:
            self._after_commit(known)
            if known.status in SERVED:  # its files may have been stored open, and be held since
                self._access.follow(known.asset)
            self._gone_since(found, known)
            return
        own = prefix_of(found.asset, found.version)
        if found.outcome is IngestOutcome.STALE:
            self._expire_replaced(found, own)
        elif found.version and (known is None or known.version != found.version):
            self._renditions.discard(own)  # it was never recorded, and no other one has its keys

    def _expire_replaced(self, found: NoWork, own: str) -> None:
        """Let files of all versions expire that were recorded and are not current.

        This upload may have been recorded, and replaced before what it had replaced was let go.
        Versions that are just being made are in no timeline: they are not touched.
        """
        recorded = {line.detail.get("version", "") for line in self._catalog.timeline(found.asset)}
        current = self._catalog.get(found.asset)  # after the timeline: none of it is newer
        if current is None:
            return
        for version in sorted(recorded - {"", current.version, found.version}):
            prefix = prefix_of(found.asset, version)
            self._renditions.expire(prefix, since=current.updated_at, by=version_prefix(current))
        # Its own files may have been stored after it was replaced, by a process that died then.
        self._renditions.expire(own, since=self._time(), by=own)
        invalidate(self._catalog, current, "replaced")

    def _after_commit(self, record: AssetRecord) -> None:
        """What follows a commit; repeated by a retry that finds the commit."""
        if record.replaces and record.status is not Status.DELETED:
            replaced = prefix_of(record.asset, record.replaces)
            self._renditions.expire(replaced, since=record.updated_at, by=version_prefix(record))
            invalidate(self._catalog, record, "replaced")
        if record.status is Status.DELETED:
            if record.renditions:
                self._access.follow(record.asset)
            invalidate(self._catalog, record, "closed")
        after_commit(self._store, record)

    def _gone_since(self, received: Received, record: AssetRecord) -> IngestResult | None:
        """After a commit: a delete of the original meanwhile has found no record.

        A deletion before this look is seen here, and one after it finds the record.
        """
        if record.status is not Status.REJECTED and self._current(record.source) is None:
            return self._original_gone(received, record)
        return None

    # --- deletions --------------------------------------------------------------------------

    def _deleted(self, deletion: Deletion) -> IngestResult:
        """What lies under the key now decides, not what the event says."""
        removal = deletion.removal
        known = self._catalog.get(deletion.asset)
        if known is None or known.source.key != removal.key:
            return _result(deletion, IngestOutcome.UNCHANGED)
        current = self._current(deletion.upload)
        older = removal.sequencer and known.source.newer_than(removal.sequencer)
        if older or (current is None and known.status is Status.REJECTED):
            # Another deletion followed; or what was rejected was removed here.
            return _result(deletion, IngestOutcome.UNCHANGED, known)
        if current is None:
            return self._original_gone(deletion, known)
        same = _is_version(current, known.source)
        # What is newer than the record's upload has an event of its own.
        later = current.modified[:_SECOND] > known.source.time[:_SECOND] > ""
        recorded = same and known.status is not Status.DELETED
        if not removal.sequencer or (later and not same) or recorded:
            return _result(deletion, IngestOutcome.UNCHANGED, known)
        # An older version became current, or the marker of a deletion is gone: as if it were
        # uploaded at this moment.
        again = replace(
            deletion.upload,
            etag=current.etag,
            size=current.size,
            version_id=current.version_id,
        )
        return self.commit(self.render(self.fetch(again, receives=deletion.receives)))

    def _original_gone(self, received: Received, known: AssetRecord) -> IngestResult:
        """The original is gone: erase the asset, or say so in its record."""
        removal = received.removal if isinstance(received, Deletion) else None
        if known.status is not Status.DELETED:
            self._follow(replace(known, status=Status.DELETED), removal)
        if self._erase is not None:
            with suppress(AssetMissing):
                self._erase(known.asset)
            return _result(received, IngestOutcome.ERASED, known)
        if known.status is Status.DELETED:
            if received.receives > 1:
                self._after_commit(known)
            return _result(received, IngestOutcome.DUPLICATE, known)
        how = "expired by a rule of the bucket" if removal and removal.expired else "deleted"
        verdict = Verdict(code=ORIGINAL_GONE, message=f"the original was {how}")
        gone = replace(known, status=Status.DELETED, verdict=verdict, updated_at=self._time())
        try:
            committed = self._catalog.commit(gone, timeline_entry(gone))
        except (Superseded, AlreadyRecorded):
            return _result(received, IngestOutcome.STALE)
        self._after_commit(committed)
        return _result(received, IngestOutcome.DELETED, committed)

    def _follow(self, old: AssetRecord, removal: Removal | None) -> None:
        """If the original was renamed, hand on what people have said of it."""
        deleted = removal.time if removal is not None else old.updated_at
        for new in self._catalog.by_content(old.metadata.sha256) if old.metadata else ():
            if new.status in SERVED and moved(old, new.source, deleted):
                self._adopt(old, new)

    def _adopt(self, old: AssetRecord, new: AssetRecord) -> None:
        """Give an asset the tags and attributes of the one that it was a moment ago."""
        if new.owner not in ("", old.owner) or new.status not in SERVED:
            return
        attributes = {n: text for n, text in old.attributes.items() if n not in new.attributes}
        # Together they may be too many, and another process may remove it first.
        with suppress(InputError, AssetMissing):
            self._catalog.update(new.asset, add_tags=old.tags, set_attributes=attributes)
            detail = {"from": old.source.key, "asset": old.asset}
            line = LogEntry(
                time=self._time(), kind="renamed", detail=detail, id=f"{old.version}-renamed"
            )
            self._catalog.log(new.asset, line)

    def _current(self, source: ObjectVersion) -> StoredObject | None:
        try:
            return self._store.head(source.bucket, source.key)
        except ObjectMissing:
            return None

    def _time(self) -> str:
        return self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _traced(upload: ObjectVersion, known: AssetRecord | None) -> ObjectVersion:
    """The upload with the trace that its record has: the API began it, or ingest was here before.

    S3's events carry none, and the object's metadata is read later, or not at all.
    """
    if upload.traceparent or known is None:
        return upload
    begun, same = known.upload is not None, known.source.sequencer == upload.sequencer
    return replace(upload, traceparent=known.source.traceparent) if begun or same else upload


def _recorded_choice(upload: ObjectVersion, known: AssetRecord | None) -> str | None:
    """The recipe that the record says was chosen, empty for none; None: only the object can say."""
    if known is None or (known.upload is None and upload.newer_than(known.source.sequencer)):
        return None
    return known.chosen_recipe


def _duplicate(same: Iterable[AssetRecord], recipe: Recipe) -> AssetRecord | None:
    """An accepted asset with the same bytes and recipe, whose renditions can be copied."""
    for candidate in same:
        same_recipe = candidate.recipe_digest == recipe.digest
        if same_recipe and candidate.status is Status.ACCEPTED and candidate.renditions:
            return candidate
    return None


def _seen(upload: ObjectVersion, known: AssetRecord | None, recipe: Recipe) -> IngestOutcome | None:
    """Why an upload is not looked at again; None if it is."""
    if known is None or upload.newer_than(known.source.sequencer):
        return None
    if known.source.newer_than(upload.sequencer):
        return IngestOutcome.STALE
    return None if known.recipe_digest != recipe.digest else IngestOutcome.DUPLICATE


def _is_version(found: StoredObject, source: ObjectVersion) -> bool:
    if found.version_id is not None and source.version_id is not None:
        return found.version_id == source.version_id
    return found.etag == source.etag


def _result(
    received: Received, outcome: IngestOutcome, record: AssetRecord | None = None
) -> IngestResult:
    return IngestResult(
        outcome=outcome, asset=received.asset, upload=received.upload, record=record
    )
