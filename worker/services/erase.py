"""Taking an asset back: everything that was ever made of it, its original, what is known about it.

The order makes it safe to be ended anywhere: the record goes last, so the same call finds it and
completes the work. What works on the asset meanwhile can bring nothing back: an outcome that was
made of a record is refused once that is gone, and the refused writer removes what it has made.
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
"""Deletions at the same time: a long video has ten thousand files."""
_PAGE = 100
"""Assets of an owner that are listed at once."""
_CHUNK = 1_000
"""Objects of one page, removed before the next one is asked for."""
STOP_SECONDS = 60.0
"""Longest wait for jobs to end. A job that is stopped has 30 s to end by itself."""
ORPHANED = timedelta(hours=1)
"""A file without a record for so long will never get one: ingest is done within minutes, and what
jobs work on has a record."""
_SECOND = len("2026-01-02T03:04:05")
LOOK_SECONDS = 0.5
"""Between two looks at jobs that are to end."""
_REASON = "its asset is removed"
RUNNING = "RUNNING"
"""What a job that works says of itself in its asset's record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What was removed."""

    record: AssetRecord
    """What was known of the asset."""
    jobs: int
    """Stopped."""
    files: int
    """In the delivery bucket, of all versions of the asset."""
    quarantined: int
    """Rejected originals."""
    originals: int
    """Versions of the original, markers of deletions included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Eraser:
    """The use case.

    Args:
        jobs: None where they cannot be stopped: then they go on to their ends, and what
            they leave is removed when their workflow finishes.
        say: told, in a sentence, what takes time.
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

        Copies of renditions that other assets made because their bytes are identical are theirs
        and stay, as do files that a job wrote beside others into a target that a person chose and
        that its result does not name.

        Raises:
            AssetMissing: no such asset; ``asset_erased`` if a tombstone is all that is left.
            TransientError: ``jobs_end``: jobs have not ended yet; or a store does not answer. The
                same call completes the work.
        """
        record = self.catalog.get(asset)
        if record is None or is_tombstone(record):
            self._remove_orphans(asset)  # of a call that was ended between the record and the rest
            raise missing(asset, record)
        erased = self.erase_all(record)
        if folder_of(record.source.key) is not None:  # other keys may be uploaded to again
            now = self.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            leave_tombstone(self.catalog, record, time=now)
        return erased

    def erase_all(self, record: AssetRecord) -> Erased:
        """The same for an asset whose record is known, whether the catalog still has it or not.

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
        # Ingest may have recorded what it made between the first look and the end of the record.
        # From now on its commit is refused, and it removes its files itself.
        late = self._remove_below(settings.delivery_bucket, asset_prefix(asset))
        quarantined += self._remove_below(settings.quarantine_bucket, asset_prefix(asset))
        if late:  # edges may have cached those after they were told that the asset is erased
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
        """Remove old files of an asset that has no record; young ones may be about to get one."""
        until = (self.now() - ORPHANED).isoformat()
        for bucket in (self.settings.delivery_bucket, self.settings.quarantine_bucket):
            found = self.store.list(bucket, asset_prefix(asset))
            old = (one.key for one in found if one.modified[:_SECOND] < until[:_SECOND])
            self._remove(bucket, _plain(old))

    def erase_owner(self, owner: str) -> Iterator[Erased]:
        """Remove all assets of an owner, one after the other, tombstones too: they name the owner.

        Raises:
            TransientError: see :meth:`erase`.
        """
        before, found = -1, 0
        while found > before:  # an index is behind the table: what it shows late is removed late
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
        """Stop what works on the asset, and wait until it has ended: it must write nothing more."""
        live = self._live(record.asset)
        if not live:
            return 0
        self.say(f"{record.source.key} is at work: {len(live)} jobs are stopped first")
        assert self.jobs is not None
        for job in live:
            self.jobs.stop(job, _REASON)
        deadline = self.clock() + STOP_SECONDS
        # Asked anew each time: a workflow may just have handed the next job in.
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
        """Jobs that have not ended: those of the asset's workflow, by name, and any other's."""
        if self.jobs is None:
            return set()
        try:
            found = {job.id for job in self.jobs.named(f"{asset}-") if not job.state.ended}
        except ConfigurationError as error:
            # A deployment without heavy work has no queues, and no jobs.
            self.say(f"no jobs are looked for: {error.message}")
            return set()
        # Children of arrays are recorded one by one, and stopped with their parent.
        said = {
            job.id.partition(":")[0] for job in self.catalog.jobs(asset) if job.state == RUNNING
        }
        for job in said - found:
            with suppress(JobMissing):  # long ended, and forgotten
                if not self.jobs.describe(job).state.ended:
                    found.add(job)
        return found

    def _remove_results(self, asset: str) -> int:
        """Files of jobs that were submitted for the asset and left their results elsewhere."""
        bucket, count = self.settings.delivery_bucket, 0
        for target in {job.detail.get("output", "") for job in self.catalog.jobs(asset)}:
            folder = target.removeprefix(f"s3://{bucket}/").rstrip("/") + "/"
            elsewhere = not target.startswith(f"s3://{bucket}/") or folder == "/"
            if elsewhere or folder.startswith(asset_prefix(asset)):
                continue
            spread, _, name = folder[:-1].partition("/")
            if name and "/" not in name and name.endswith(spread):
                # A target of the job's own, as ``batch.submit`` names them.
                count += self._remove_below(bucket, folder)
                continue
            with suppress(EngineError):
                count += self._remove(bucket, _plain(listed_files(self.store, bucket, folder)))
        return count

    # --- objects ----------------------------------------------------------------------------

    def _remove_original(self, record: AssetRecord) -> int:
        """Every version: a marker of a deletion would only hide them."""
        source = record.source
        folder = folder_of(source.key)
        versions = self.store.all_versions(source.bucket, folder or source.key)
        mine = (one for one in versions if folder or one[0] == source.key)
        return self._remove(source.bucket, mine)

    def _remove_below(self, bucket: str, prefix: str) -> int:
        found = (one.key for one in self.store.list(bucket, prefix))
        return self._remove(bucket, _plain(found))

    def _remove(self, bucket: str, objects: Iterable[tuple[str, str | None]]) -> int:
        """Delete objects as they are listed, many at a time; how many there were."""
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
    with suppress(Conflict):  # a later upload has taken the id: it is what counts
        catalog.commit(tombstone(record, time=time), LogEntry(time=time, kind=ERASED, id=ERASED))


def _plain(keys: Iterable[str]) -> Iterator[tuple[str, None]]:
    """Objects of buckets that keep no versions."""
    return ((key, None) for key in keys)


def forget_owner(ledger: Ledger, owner: str, *, today: date) -> int:
    """Take an owner's name out of the ledger, whose sums stay; how many lines had it.

    Args:
        today: of UTC. Work that is not counted yet will have the name again.
    """
    # From tomorrow, by a clock that is ahead, to what DynamoDB deletes some days late.
    days = range(-1, LedgerAccount.OWNER.kept_days + 7)
    return ledger.forget(owner, [(today - timedelta(days=back)).isoformat() for back in days])
