"""One upload from event to record. Safe to run twice, in any order, or to be killed anywhere.

The steps, and why a crash between any two of them is harmless:

1. ``fetch`` and ``render`` read and make; nothing is written.
2. Renditions are stored under keys that derive from upload and recipe: a repeated run writes the
   same bytes to the same keys.
3. ``Catalog.commit`` is the one moment that counts. It is conditional on the sequencer: an older
   upload or a duplicate cannot win, a newer one always does.
4. Rejected originals are copied to quarantine before the commit and removed from intake after
   it; the event is published last. A retry finds the commit and repeats only these: both are
   idempotent, the event's id is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from worker.domain.asset import (
    AssetRecord,
    LogEntry,
    ObjectVersion,
    Removal,
    Status,
    Verdict,
    version_of,
)
from worker.domain.errors import (
    AlreadyRecorded,
    AssetMissing,
    InputError,
    ObjectMissing,
    Superseded,
)
from worker.domain.image import Recipe
from worker.domain.keys import asset_prefix, prefix_of, version_prefix
from worker.imaging import engine
from worker.imaging.engine import ProcessedImage
from worker.ports import Catalog, Events, ObjectStore, StoredObject
from worker.services.ingest.commit import conclude, entry_of, quarantine
from worker.services.ingest.prepare import (
    Decision,
    Download,
    IngestOutcome,
    Policy,
    Preparer,
    moved,
)
from worker.services.ingest.rendition_store import RenditionStore

ORIGINAL_GONE = "original_gone"
"""Verdict of an asset whose original somebody deleted."""
SERVED = (Status.ACCEPTED, Status.REVIEW)
_SECOND = len("2026-01-02T03:04:05")


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
        events: Events,
        policy: Policy,
        process: Callable[[bytes, Recipe], ProcessedImage] = engine.process,
        erase: Callable[[str], object] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Wire the service.

        Args:
            store: where originals and renditions lie.
            catalog: what is remembered.
            events: who is told.
            policy: buckets, recipe, limits.
            process: the engine; importable by name, because the sandbox runs it elsewhere.
            erase: removes an asset whose original was deleted; None keeps it, as ``gone``.
            now: the clock, for records only: nothing is ordered by it.
        """
        self._store = store
        self._catalog = catalog
        self._events = events
        self._policy = policy
        self._erase = erase
        self._now = now
        self._shelf = RenditionStore(store, policy.delivery_bucket, threads=policy.upload_threads)
        self._preparer = Preparer(store=store, catalog=catalog, policy=policy, process=process)

    def close(self) -> None:
        """Wait for the threads."""
        self._shelf.close()

    def fetch(self, change: ObjectVersion | Removal, *, receives: int = 1) -> Download:
        """Read what there is; see :meth:`Preparer.fetch`."""
        return self._preparer.fetch(change, receives=receives)

    def render(self, fetched: Download) -> Decision:
        """Decide and make what is to be written; see :meth:`Preparer.render`."""
        return self._preparer.render(fetched)

    def settle(self, prepared: Decision) -> IngestResult:
        """Store, commit, tell.

        Raises:
            TransientError: a store does not answer; what was done so far does no harm.
        """
        fetched = prepared.fetched
        if fetched.removal is not None:
            return self._removed(fetched, fetched.removal)
        if fetched.outcome is not None:
            if fetched.receives > 1 and fetched.known is not None:
                self._repeat(fetched, fetched.known)
            return replace(self._nothing(fetched, fetched.outcome), record=fetched.known)
        if prepared.status is Status.REJECTED:
            return self._reject(prepared)
        if prepared.status is not None:
            return self._commit(fetched, self._record(prepared, prepared.status))
        approval = self._policy.recipe.approval
        record = self._record(prepared, Status.REVIEW if approval else Status.ACCEPTED)
        copied = self._shelf.copy(prepared.twin, record) if prepared.twin is not None else None
        if copied is None:
            # A twin whose renditions have expired since is made anew.
            record = self._shelf.keep(prepared.processed or self._preparer.run(fetched), record)
        done = self._commit(fetched, copied or record, copied=copied is not None)
        if prepared.renamed is not None and done.record is not None:
            self._adopt(prepared.renamed, done.record)
        return done

    def _repeat(self, fetched: Download, known: AssetRecord) -> None:
        """Do what follows a commit for whoever may have died after it."""
        if fetched.outcome is IngestOutcome.DUPLICATE:
            self._conclude(known)
            self._ended(fetched, known)
        elif fetched.outcome is IngestOutcome.STALE:
            # It may have been recorded, and replaced before what it had replaced was let go.
            served = version_prefix(known)
            self._shelf.expire(asset_prefix(known.asset), since=known.updated_at, but=served)

    def _reject(self, prepared: Decision) -> IngestResult:
        """Keep a copy of the original where nobody serves it, with the reason."""
        record = self._record(prepared, Status.REJECTED)
        if not quarantine(self._store, self._policy.quarantine_bucket, record):
            return self._nothing(prepared.fetched, IngestOutcome.GONE)
        return self._commit(prepared.fetched, record)

    def _record(self, prepared: Decision, status: Status) -> AssetRecord:
        recipe = self._policy.recipe
        upload = prepared.fetched.upload
        return AssetRecord(
            asset=prepared.fetched.asset,
            source=upload,
            recipe=recipe.name,
            recipe_digest=recipe.digest,
            version=version_of(upload.etag, upload.sequencer, recipe.digest),
            status=status,
            owner=prepared.fetched.labels.owner,
            tags=prepared.fetched.labels.tags,
            attributes=prepared.fetched.labels.attributes,
            verdict=prepared.verdict,
            probe=prepared.probe,
            updated_at=self._time(),
        )

    def _commit(
        self, fetched: Download, record: AssetRecord, *, copied: bool = False
    ) -> IngestResult:
        try:
            entry = entry_of(record, ignored=fetched.labels.ignored)
            committed = self._catalog.commit(record, entry)
        except Superseded:
            # Keys of this version are nobody else's, and it will never be served.
            self._shelf.discard(record)
            return self._nothing(fetched, IngestOutcome.STALE)
        except AlreadyRecorded:
            # Another worker was faster, with the same result. If it had this very message it may
            # have died after its commit, and nobody else will be told to conclude.
            winner = self._catalog.get(record.asset) if fetched.receives > 1 else None
            if winner is not None and winner.version == record.version:
                self._conclude(winner)
            return self._nothing(fetched, IngestOutcome.DUPLICATE)
        self._conclude(committed)
        return replace(self._ended(fetched, committed), copied=copied)

    def _conclude(self, record: AssetRecord) -> None:
        """What follows a commit; repeated by a retry that finds the commit."""
        if record.replaces and record.status is not Status.GONE:
            place = prefix_of(record.asset, record.replaces)
            self._shelf.expire(place, since=record.updated_at)
        conclude(self._store, self._events, record)

    def _ended(self, fetched: Download, record: AssetRecord) -> IngestResult:
        """After a commit: whoever deleted the original meanwhile was told that there is no record.

        A deletion before this look is seen here, and one after it finds the record.
        """
        source = record.source
        if record.status is not Status.REJECTED and self._current(source) is None:
            return self._lose(fetched, record)
        outcome = IngestOutcome(record.status.value)
        return replace(self._nothing(fetched, outcome), record=record)

    # --- deletions --------------------------------------------------------------------------

    def _removed(self, fetched: Download, removal: Removal) -> IngestResult:
        """Something was deleted: what lies under its key now decides, not what the event says."""
        known = self._catalog.get(fetched.asset)
        if known is None or known.source.key != removal.key:
            return self._nothing(fetched, IngestOutcome.UNCHANGED)
        current = self._current(fetched.upload)
        older = removal.sequencer and known.source.newer_than(removal.sequencer)
        if older or (current is None and known.status is Status.REJECTED):
            # Another deletion followed; or what was rejected was removed here.
            return replace(self._nothing(fetched, IngestOutcome.UNCHANGED), record=known)
        if current is None:
            return self._lose(fetched, known)
        same = _is_version(current, known.source)
        # What is newer than the record's upload has an event of its own.
        later = current.modified[:_SECOND] > known.source.time[:_SECOND] > ""
        if not removal.sequencer or (later and not same):
            return replace(self._nothing(fetched, IngestOutcome.UNCHANGED), record=known)
        if same and known.status is not Status.GONE:
            return replace(self._nothing(fetched, IngestOutcome.UNCHANGED), record=known)
        # An older version came to light, or the marker of a deletion is gone: as if it were
        # uploaded at this moment.
        again = replace(
            fetched.upload,
            etag=current.etag,
            size=current.size,
            version_id=current.version_id,
        )
        return self.settle(self.render(self.fetch(again, receives=fetched.receives)))

    def _lose(self, fetched: Download, known: AssetRecord) -> IngestResult:
        """The original is gone: erase the asset, or say so in its record."""
        if known.status is not Status.GONE:
            self._follow(fetched, replace(known, status=Status.GONE))
        if self._erase is not None:
            with suppress(AssetMissing):
                self._erase(known.asset)
            return replace(self._nothing(fetched, IngestOutcome.ERASED), record=known)
        if known.status is Status.GONE:
            if fetched.receives > 1:
                self._conclude(known)
            return replace(self._nothing(fetched, IngestOutcome.DUPLICATE), record=known)
        removal = fetched.removal
        how = "expired by a rule of the bucket" if removal and removal.expired else "deleted"
        verdict = Verdict(code=ORIGINAL_GONE, message=f"the original was {how}")
        gone = replace(known, status=Status.GONE, verdict=verdict, updated_at=self._time())
        try:
            committed = self._catalog.commit(gone, entry_of(gone))
        except (Superseded, AlreadyRecorded):
            return self._nothing(fetched, IngestOutcome.STALE)
        self._conclude(committed)
        return replace(self._nothing(fetched, IngestOutcome.GONE), record=committed)

    def _follow(self, fetched: Download, old: AssetRecord) -> None:
        """If the original was renamed, hand on what people have said of it."""
        time = fetched.removal.time if fetched.removal is not None else old.updated_at
        for new in self._catalog.by_content(old.metadata.sha256) if old.metadata else ():
            if new.status in SERVED and moved(old, new.source, time):
                self._adopt(old, new)

    def _adopt(self, old: AssetRecord, new: AssetRecord) -> None:
        """Give an asset the tags and attributes of the one that it was a moment ago."""
        if new.owner not in ("", old.owner) or new.status not in SERVED:
            return
        attributes = {n: text for n, text in old.attributes.items() if n not in new.attributes}
        # Together they may be too many, and somebody may be faster in removing it.
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

    def _nothing(self, fetched: Download, outcome: IngestOutcome) -> IngestResult:
        return IngestResult(outcome=outcome, asset=fetched.asset, upload=fetched.upload)


def _is_version(found: StoredObject, source: ObjectVersion) -> bool:
    if found.version_id is not None and source.version_id is not None:
        return found.version_id == source.version_id
    return found.etag == source.etag
