"""Erasing an asset: all files made of it, its original, and its record.

An erasure may be interrupted anywhere: the record is removed last, so a repeated call finds it and
completes the work. Concurrent work cannot bring the asset back: the catalog refuses an outcome of a
removed record, and the refused writer removes its files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice

from worker.domain.asset import (
    ERASED,
    AssetRecord,
    LogEntry,
    folder_of,
    is_tombstone,
    tombstone,
)
from worker.domain.errors import (
    AssetMissing,
    ConfigurationError,
    Conflict,
    EngineError,
    JobMissing,
    TransientError,
)
from worker.domain.keys import asset_prefix
from worker.domain.ledger import LedgerAccount
from worker.ports import Catalog, Jobs, Ledger, ObjectStore
from worker.services.access import invalidate
from worker.services.job_results import listed_files
from worker.settings import Settings

THREADS = 16
"""Parallel deletions: a long video has ten thousand files."""
_PAGE = 100
"""Page size of the list of an owner's assets."""
_CHUNK = 1_000
"""Objects of one page, which are removed before the next page is listed."""
STOP_SECONDS = 60.0
"""Maximum wait for jobs to end. A stopped job has 30 s to end by itself."""
ORPHANED = timedelta(hours=1)
"""Age from which a file without a record is an orphan: ingest takes minutes, and inputs of jobs
have a record."""
_SECOND = len("2026-01-02T03:04:05")
LOOK_SECONDS = 0.5
"""Interval between two checks of stopped jobs."""
_REASON = "its asset is removed"
RUNNING = "RUNNING"
"""States of unfinished jobs in their asset's record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """The result of an erasure."""

    record: AssetRecord
    """The removed record."""
    jobs: int
    """Number of stopped jobs."""
    files: int
    """Number of removed files in the delivery bucket, of all versions."""
    quarantined: int
    """Number of removed originals in quarantine."""
    originals: int
    """Number of removed versions of the original, delete markers included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Eraser:
    """The use case.

    Args:
        jobs: None if jobs cannot be stopped: then they run to their end, and their workflow removes
            their files when it finishes.
        say: called with a sentence about each slow step.
    """

    catalog: Catalog
    store: ObjectStore
    settings: Settings
    jobs: Jobs | None = None
    say: Callable[[str], None] = lambda _: None
    pause: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def erase(self, asset: str) -> Erased:
        """Remove an asset with everything that belongs to it. An upload of the API leaves a
        tombstone: its id stays taken, and a ticket that is still valid cannot bring it back.

        Renditions that other assets copied because of identical bytes belong to those assets and
        stay. Files that a job wrote into a folder chosen by a person stay too, if the job's result
        does not name them.

        Raises:
            AssetMissing: no such asset; ``asset_erased`` if a tombstone is all that is left.
            TransientError: ``jobs_end``: jobs have not ended yet; or a store does not answer. The
                same call completes the work.
        """
        record = self.catalog.get(asset)
        if record is None or is_tombstone(record):
            self._remove_orphans(asset)  # files of a call that was interrupted after the record
            raise missing(asset, record)
        erased = self.erase_all(record)
        if folder_of(record.source.key) is not None:  # other keys may be uploaded to again
            now = self.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            leave_tombstone(self.catalog, record, time=now)
        return erased

    def erase_all(self, record: AssetRecord) -> Erased:
        """The same for a known record, whether or not the catalog still has it.

        Raises:
            TransientError: see :meth:`erase`.
        """
        stopped, asset = self._stop_jobs(record), record.asset
        settings = self.settings
        files = self._remove_below(settings.delivery_bucket, asset_prefix(asset))
        files += self._remove_results(asset)
        quarantined = self._remove_below(settings.quarantine_bucket, asset_prefix(asset))
        originals = self._remove_original(record)
        self.catalog.delete(asset)
        # Ingest may have stored files between the first listing and the removal of the record. From
        # now on its commit is refused, and it removes its files itself.
        late = self._remove_below(settings.delivery_bucket, asset_prefix(asset))
        quarantined += self._remove_below(settings.quarantine_bucket, asset_prefix(asset))
        if late:  # edges may have cached these files after the invalidation
            invalidate(self.catalog, record, "removed")
            self.catalog.delete(asset)
        files += late
        return Erased(
            record=record,
            jobs=stopped,
            files=files,
            quarantined=quarantined,
            originals=originals,
        )

    def _remove_orphans(self, asset: str) -> None:
        """Remove old files of an asset without a record. A record for young files may still
        follow."""
        until = (self.now() - ORPHANED).isoformat()
        for bucket in (self.settings.delivery_bucket, self.settings.quarantine_bucket):
            found = self.store.list(bucket, asset_prefix(asset))
            old = (one.key for one in found if one.modified[:_SECOND] < until[:_SECOND])
            self._remove(bucket, _plain(old))

    def erase_owner(self, owner: str) -> Iterator[Erased]:
        """Remove all assets of an owner, one after the other, and tombstones, which name the owner.

        Raises:
            TransientError: see :meth:`erase`.
        """
        before, found = -1, 0
        while found > before:  # an index lags behind the table, so some assets appear late
            before, cursor = found, None
            while True:
                page = self.catalog.by_owner(owner, limit=_PAGE, cursor=cursor)
                for record in page.records:
                    known = self.catalog.get(record.asset)
                    if known is None:
                        self._remove_orphans(record.asset)
                        continue
                    erased = self.erase_all(known)
                    found += 1
                    yield erased
                cursor = page.cursor
                if cursor is None:
                    break

    # --- jobs -------------------------------------------------------------------------------

    def _stop_jobs(self, record: AssetRecord) -> int:
        """Stop the asset's jobs and wait until they have ended, so that they write no more
        files."""
        live = self._live(record.asset)
        if not live:
            return 0
        self.say(f"{record.source.key} is at work: {len(live)} jobs are stopped first")
        assert self.jobs is not None
        for job in live:
            self.jobs.stop(job, _REASON)
        deadline = self.clock() + STOP_SECONDS
        # Listed again each time: a workflow may just have submitted the next job.
        while left := self._live(record.asset):
            if self.clock() > deadline:
                raise TransientError(
                    f"{len(left)} jobs of {record.asset} have not ended yet; try again",
                    code="jobs_end",
                )
            for job in left - live:
                self.jobs.stop(job, _REASON)
            live |= left
            self.pause(LOOK_SECONDS)
        return len(live)

    def _live(self, asset: str) -> set[str]:
        """Unfinished jobs of the asset: those of its workflow, by name, and all others."""
        if self.jobs is None:
            return set()
        try:
            found = {job.id for job in self.jobs.named(f"{asset}-") if not job.state.ended}
        except ConfigurationError as error:
            # A deployment without heavy work has neither queues nor jobs.
            self.say(f"no jobs are looked for: {error.message}")
            return set()
        # Children of arrays are recorded one by one, and stopped with their parent.
        said = {
            job.id.partition(":")[0] for job in self.catalog.jobs(asset) if job.state == RUNNING
        }
        for job in said - found:
            with suppress(JobMissing):  # ended long ago; Batch has forgotten it
                if not self.jobs.describe(job).state.ended:
                    found.add(job)
        return found

    def _remove_results(self, asset: str) -> int:
        """Remove the files of jobs of the asset that wrote their results elsewhere."""
        bucket, count = self.settings.delivery_bucket, 0
        for target in {job.detail.get("output", "") for job in self.catalog.jobs(asset)}:
            folder = target.removeprefix(f"s3://{bucket}/").rstrip("/") + "/"
            elsewhere = not target.startswith(f"s3://{bucket}/") or folder == "/"
            if elsewhere or folder.startswith(asset_prefix(asset)):
                continue
            spread, _, name = folder[:-1].partition("/")
            if name and "/" not in name and name.endswith(spread):
                # A folder that belongs to the job, as named by ``batch.submit``.
                count += self._remove_below(bucket, folder)
                continue
            with suppress(EngineError):
                count += self._remove(bucket, _plain(listed_files(self.store, bucket, folder)))
        return count

    # --- objects ----------------------------------------------------------------------------

    def _remove_original(self, record: AssetRecord) -> int:
        """Remove every version: a delete marker would only hide them."""
        source = record.source
        folder = folder_of(source.key)
        versions = self.store.all_versions(source.bucket, folder or source.key)
        mine = (one for one in versions if folder or one[0] == source.key)
        return self._remove(source.bucket, mine)

    def _remove_below(self, bucket: str, prefix: str) -> int:
        found = (one.key for one in self.store.list(bucket, prefix))
        return self._remove(bucket, _plain(found))

    def _remove(self, bucket: str, objects: Iterable[tuple[str, str | None]]) -> int:
        """Delete objects as they are listed, in parallel; returns their number."""
        count, rest = 0, iter(objects)
        with ThreadPoolExecutor(THREADS, thread_name_prefix="erase") as pool:
            while chunk := list(islice(rest, _CHUNK)):
                done = [
                    pool.submit(self.store.delete, bucket, key, version_id=version)
                    for key, version in chunk
                ]
                for one in done:
                    one.result()
                count += len(chunk)
        return count


def missing(asset: str, record: AssetRecord | None) -> AssetMissing:
    """The error for an asset of which there is no record, or a tombstone."""
    if record is None:
        return AssetMissing(f"there is no asset {asset}")
    return AssetMissing(f"asset {asset} was deleted", code="asset_erased")


def leave_tombstone(catalog: Catalog, record: AssetRecord, *, time: str) -> None:
    """Leave a tombstone in the place of an asset whose record is gone.

    Args:
        time: ISO 8601 UTC.
    """
    with suppress(Conflict):  # a later upload has the id already, and stays
        catalog.commit(tombstone(record, time=time), LogEntry(time=time, kind=ERASED, id=ERASED))


def _plain(keys: Iterable[str]) -> Iterator[tuple[str, None]]:
    """Objects of unversioned buckets."""
    return ((key, None) for key in keys)


def forget_owner(ledger: Ledger, owner: str, *, today: date) -> int:
    """Remove an owner's name from the ledger, whose sums stay; returns the number of lines.

    Args:
        today: of UTC. Work that is not counted yet will add the name again.
    """
    # From tomorrow, for a clock that is ahead, to days that DynamoDB deletes late.
    days = range(-1, LedgerAccount.OWNER.kept_days + 7)
    return ledger.forget(owner, [(today - timedelta(days=back)).isoformat() for back in days])
