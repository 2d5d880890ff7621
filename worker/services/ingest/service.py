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
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from worker.errors import AlreadyRecorded, Superseded
from worker.media import engine
from worker.media.engine import Processed
from worker.model import Recipe
from worker.ports import Catalog, Events, ObjectStore
from worker.records import AssetRecord, ObjectVersion, Status, version_of
from worker.services.ingest.closing import conclude, entry_of, quarantine
from worker.services.ingest.prepare import Fetched, Outcome, Policy, Prepared, Preparer
from worker.services.ingest.shelf import Shelf


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
        self._now = now
        self._shelf = Shelf(store, policy.delivery_bucket, threads=policy.upload_threads)
        self._preparer = Preparer(store=store, catalog=catalog, policy=policy, process=process)

    def close(self) -> None:
        """Wait for the threads."""
        self._shelf.close()

    def fetch(self, upload: ObjectVersion, *, receives: int = 1) -> Fetched:
        """Read what there is; see :meth:`Preparer.fetch`."""
        return self._preparer.fetch(upload, receives=receives)

    def render(self, fetched: Fetched) -> Prepared:
        """Decide and make what is to be written; see :meth:`Preparer.render`."""
        return self._preparer.render(fetched)

    def settle(self, prepared: Prepared) -> Ingested:
        """Store, commit, tell.

        Raises:
            TransientError: a store does not answer; what was done so far does no harm.
        """
        fetched = prepared.fetched
        if fetched.outcome is not None:
            concluded = fetched.outcome is Outcome.DUPLICATE and fetched.receives > 1
            if concluded and fetched.known is not None:
                self._conclude(fetched.known)
            return replace(self._nothing(fetched, fetched.outcome), record=fetched.known)
        if prepared.status is Status.REJECTED:
            return self._reject(prepared)
        if prepared.status is not None:
            return self._commit(fetched, self._record(prepared, prepared.status))
        approval = self._policy.recipe.approval
        record = self._record(prepared, Status.REVIEW if approval else Status.ACCEPTED)
        if prepared.twin is not None:
            copied = self._shelf.copy(prepared.twin, record)
            if copied is not None:
                return self._commit(fetched, copied, copied=True)
        # A twin whose renditions have expired since is made anew.
        processed = prepared.processed or self._preparer.run(fetched)
        return self._commit(fetched, self._shelf.keep(processed, record))

    def _reject(self, prepared: Prepared) -> Ingested:
        """Keep a copy of the original where nobody serves it, with the reason."""
        record = self._record(prepared, Status.REJECTED)
        if not quarantine(self._store, self._policy.quarantine_bucket, record):
            return self._nothing(prepared.fetched, Outcome.GONE)
        return self._commit(prepared.fetched, record)

    def _record(self, prepared: Prepared, status: Status) -> AssetRecord:
        recipe = self._policy.recipe
        upload = prepared.fetched.upload
        return AssetRecord(
            asset=prepared.fetched.asset,
            source=upload,
            recipe=recipe.name,
            recipe_digest=recipe.digest,
            version=version_of(upload.etag, upload.sequencer, recipe.digest),
            status=status,
            verdict=prepared.verdict,
            probe=prepared.probe,
            updated_at=self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        )

    def _commit(self, fetched: Fetched, record: AssetRecord, *, copied: bool = False) -> Ingested:
        try:
            committed = self._catalog.commit(record, entry_of(record))
        except Superseded:
            # Keys of this version are nobody else's, and it will never be served.
            self._shelf.discard(record)
            return self._nothing(fetched, Outcome.STALE)
        except AlreadyRecorded:
            # Another worker was faster, with the same result. If it had this very message it may
            # have died after its commit, and nobody else will be told to conclude.
            winner = self._catalog.get(record.asset) if fetched.receives > 1 else None
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
        conclude(self._store, self._events, record)

    def _nothing(self, fetched: Fetched, outcome: Outcome) -> Ingested:
        return Ingested(outcome=outcome, asset=fetched.asset, upload=fetched.upload)
