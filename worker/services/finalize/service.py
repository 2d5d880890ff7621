"""Start the jobs of a heavy upload, and commit its record when they have ended.

Safe to run twice, in any order, or to be killed anywhere: a start has a name that is the same for
the same upload, and the commit is the catalog's, conditional on the sequencer, from ``heavy`` to a
final state once. What surrounds it is ``ingest.closing``, as for ordinary pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from math import ceil

from worker.domain.asset import AssetRecord, LogEntry, MediaType, Status, Verdict, medium_of
from worker.domain.errors import AlreadyRecorded, ConfigurationError, Superseded
from worker.domain.keys import prefix_of, version_prefix
from worker.ports import Catalog, Events, ObjectStore, Workflows
from worker.services.finalize import picture, results, video
from worker.services.finalize.results import Result
from worker.services.ingest.commit import conclude, entry_of, quarantine

WORKFLOW = "heavy"
MOST_GROUPS = 32
"""Parts that a large video is divided into at most."""
THREADS = 16
"""Deletions at the same time."""


class FinalizeOutcome(StrEnum):
    """What became of a heavy upload."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    REVIEW = "review"
    GONE = "gone"
    """The original was deleted while jobs were at work: what they made is removed."""
    FAILED = "failed"
    """A job failed for no fault of the upload, which still waits."""
    STALE = "stale"
    """A newer upload is recorded, or the asset is erased: what was made of this one is removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalizePolicy:
    """What the service is told once."""

    delivery_bucket: str
    quarantine_bucket: str
    video_seconds: int
    """Longest video, seconds."""
    video_array_bytes: int
    """Videos of so many bytes and more are divided among several machines."""
    recipe: str
    """Of pictures, as the settings name it."""
    approval: bool = False
    """It asks for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReport:
    """How a job ended, as the state machine says."""

    kind: str
    failed: bool
    error: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What was done."""

    outcome: FinalizeOutcome
    record: AssetRecord | None = None


class Finalizer:
    """The use case."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        catalog: Catalog,
        events: Events,
        policy: FinalizePolicy,
        workflows: Workflows | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Wire it; without ``workflows`` it can finish, and not start.

        ``now`` is for records only: nothing is ordered by it.
        """
        self._store, self._catalog, self._events = store, catalog, events
        self._policy, self._workflows, self._now = policy, workflows, now

    # --- start ------------------------------------------------------------------------------

    def start(self, asset: str, version: str, *, attempt: int = 1) -> str | None:
        """Start the workflow of an upload that waits; the same upload again is the same run.

        Args:
            asset: its id.
            version: which upload of it.
            attempt: a higher number starts again what has failed.

        Returns:
            The id of the run; None if the upload waits for nothing (any more).

        Raises:
            ConfigurationError: the settings name no state machine.
            TransientError: catalog or state machine do not answer.
        """
        record = self._catalog.get(asset)
        waits = record is not None and record.version == version
        if record is None or not waits or record.status is not Status.HEAVY:
            return None
        if self._workflows is None:
            raise ConfigurationError("no state machine is named: set SAFELIGHT_HEAVY_WORKFLOW")
        name = f"{asset}-{version}"
        run = name if attempt == 1 else f"{name}-{attempt}"
        return self._workflows.start(WORKFLOW, run, self._payload(record, name))

    def _payload(self, record: AssetRecord, name: str) -> dict[str, object]:
        """The input of the state machine: everything its jobs are told."""
        policy, source = self._policy, record.source
        # Half the size that is not divided at all: then no part is smaller than a whole one's half.
        groups = ceil(2 * source.size / policy.video_array_bytes)
        return {
            "name": name,
            "asset": record.asset,
            "version": record.version,
            "media": medium_of(record).value,
            "divided": source.size >= policy.video_array_bytes,
            "groups": max(2, min(MOST_GROUPS, groups)),
            "source": f"s3://{source.bucket}/{source.key}",
            "output": f"s3://{policy.delivery_bucket}/{version_prefix(record)[:-1]}",
            "recipe": policy.recipe,
            "max_seconds": policy.video_seconds,
        }

    # --- finish -----------------------------------------------------------------------------

    def finish(self, asset: str, version: str, jobs: Sequence[JobReport] = ()) -> Finished:
        """Commit what the jobs of an upload have left.

        Raises:
            TransientError: a store does not answer; what was done so far does no harm.
            EngineError: a job has left what cannot be used.
        """
        record = self._catalog.get(asset)
        if record is None or record.version != version:
            return self._stale(asset, version)
        if record.status is not Status.HEAVY:
            # Committed before; who did it may have died before others were told.
            self._end(record)
            return Finished(outcome=FinalizeOutcome(record.status.value), record=record)
        medium = medium_of(record)
        wanted = video.ALL if medium is MediaType.VIDEO else picture.ALL
        needed = video.NEEDED if medium is MediaType.VIDEO else picture.ALL
        found = {kind: self._read(record, kind) for kind in wanted}
        for kind in needed:
            verdict = found[kind]
            if isinstance(verdict, Verdict):
                return self._reject(record, verdict)
        if any(found[kind] is None for kind in needed):
            return self._fail(record, jobs)
        done = {kind: one for kind, one in found.items() if isinstance(one, Result)}
        if any(one.input_etag not in ("", record.source.etag) for one in done.values()):
            # Overwritten while it waited: the newer upload's own event follows.
            return self._stale(asset, version)
        return self._accept(record, done, medium)

    def _read(self, record: AssetRecord, kind: str) -> Result | Verdict | None:
        # A picture's renditions lie where ingest would have put them.
        below = "" if kind == picture.PROCESS else f"{kind}/"
        folder = version_prefix(record) + below
        return results.read(self._store, self._policy.delivery_bucket, folder, kind)

    def _accept(self, record: AssetRecord, done: dict[str, Result], medium: MediaType) -> Finished:
        approval = self._policy.approval
        status = Status.REVIEW if approval else Status.ACCEPTED
        base = replace(record, status=status, verdict=None, updated_at=self._time())
        make = video.film_record if medium is MediaType.VIDEO else picture.picture_record
        return self._commit(make(base, done, self._store, self._policy.delivery_bucket))

    def _reject(self, record: AssetRecord, verdict: Verdict) -> Finished:
        rejected = replace(record, status=Status.REJECTED, verdict=verdict, updated_at=self._time())
        # An original that is gone is rejected all the same: nothing can be made of it.
        quarantine(self._store, self._policy.quarantine_bucket, rejected)
        return self._commit(rejected)

    def _fail(self, record: AssetRecord, jobs: Sequence[JobReport]) -> Finished:
        """Say in the timeline which jobs failed; the asset waits for somebody to look."""
        time = self._time()
        for job in jobs:
            if job.failed:
                entry = LogEntry(
                    time=time,
                    kind="job_failed",
                    detail={
                        "version": record.version,
                        "job": job.kind,
                        "error": job.error[:100],
                        "cause": job.cause[:1000],
                    },
                    id=f"{record.version}-{job.kind}",
                )
                self._catalog.log(record.asset, entry)
        if self._catalog.get(record.asset) is None:  # erased since it was looked at
            return self._stale(record.asset, record.version)
        return Finished(outcome=FinalizeOutcome.FAILED, record=record)

    def _commit(self, record: AssetRecord) -> Finished:
        try:
            committed = self._catalog.commit(record, entry_of(record))
        except Superseded:
            return self._stale(record.asset, record.version)
        except AlreadyRecorded:
            # The same finish, running twice: the other one was faster.
            known = self._catalog.get(record.asset)
            if known is None or known.version != record.version:
                return Finished(outcome=FinalizeOutcome.STALE)
            committed = known
        self._end(committed)
        return Finished(outcome=FinalizeOutcome(committed.status.value), record=committed)

    def _end(self, record: AssetRecord) -> None:
        """What follows a commit; repeated by a retry that finds the commit."""
        unmade = record.status is Status.GONE and not record.renditions
        if record.status is Status.REJECTED or unmade:
            self._discard(record.asset, record.version)
        elif record.film is not None:
            # Encoded by several machines: joined by now, and as large as the film itself.
            self._remove(version_prefix(record) + video.PARTS)
        conclude(self._store, self._events, record)

    def _stale(self, asset: str, version: str) -> Finished:
        """Nobody waits for what was made: remove it, and of an erased asset what jobs recorded."""
        self._discard(asset, version)
        if self._catalog.get(asset) is None:
            self._catalog.delete(asset)
        return Finished(outcome=FinalizeOutcome.STALE)

    def _discard(self, asset: str, version: str) -> None:
        """Remove everything made of an upload that will never be served."""
        self._remove(prefix_of(asset, version))

    def _remove(self, prefix: str) -> None:
        bucket = self._policy.delivery_bucket
        keys = [found.key for found in self._store.list(bucket, prefix)]
        # A long film has ten thousand segments, and the function a minute.
        with ThreadPoolExecutor(THREADS, thread_name_prefix="discard") as pool:
            for done in [pool.submit(self._store.delete, bucket, key) for key in keys]:
                done.result()

    def _time(self) -> str:
        return self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
