"""``ports.Jobs`` on the table of a local Batch. Any number of processes, with or without a runner.

This module neither starts nor signals processes: it writes a stop to the table, and the runner acts
on it.
"""

from __future__ import annotations

import re
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random

from worker.adapters.timestamps import now_text
from worker.domain.errors import JobMissing, JobRejected
from worker.domain.job import JobRequest, JobState, JobStatus
from worker.local.batch import joblog
from worker.local.batch.table import ACTIVE, ENDED, WAITING, insert, opened, request_of, writing

QUEUES = ("urgent", "standard", "bulk")
"""In the order in which waiting jobs are started."""
SMALLEST_ARRAY, LARGEST_ARRAY = 2, 10_000
"""As AWS Batch has them (AWS Batch User Guide, "Array jobs")."""
NOTICE_SECONDS = 120.0
"""Between the notice of a Spot reclaim and the end of the machine, at most."""
FOLLOW_SECONDS = 0.25

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


class LocalJobs:
    """Jobs in a folder: ``jobs.sqlite`` and ``logs/``.

    Args:
        folder: made when it is needed.
        sleep: between two looks while logs are followed.
    """

    def __init__(self, folder: Path, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._folder = folder
        self._sleep = sleep

    def with_pause(self, sleep: Callable[[float], None]) -> LocalJobs:
        """The same jobs, with something else to do between two looks."""
        return LocalJobs(self._folder, sleep=sleep)

    def submit(self, request: JobRequest, *, token: str | None = None) -> str:
        """See ``Jobs.submit``. One transaction: two at the same moment get the same id.

        Args:
            request: the job.
            token: of the task of a state machine that waits for its end: see ``awaited``.

        Raises:
            JobRejected: what AWS Batch would refuse too.
        """
        _check(request)
        with opened(self._folder) as database, writing(database):
            id_ = _submit(database, request)
            if token is not None:
                # The same token comes again with a message that comes twice and with a retry.
                database.execute("INSERT OR REPLACE INTO tokens VALUES (?, ?)", (token, id_))
        return id_

    def awaited(self) -> Mapping[str, JobStatus | None]:
        """The tokens of tasks that wait for a job: its status once it has ended, None before."""
        with opened(self._folder) as database:
            rows = database.execute(
                "SELECT tokens.token, jobs.* FROM tokens JOIN jobs ON jobs.id = tokens.job"
            ).fetchall()
            return {
                row["token"]: (
                    self._status(database, row) if JobState(row["state"]).ended else None
                )
                for row in rows
            }

    def forget_token(self, token: str) -> None:
        """The task has been answered."""
        with opened(self._folder) as database, writing(database):
            database.execute("DELETE FROM tokens WHERE token = ?", (token,))

    def describe(self, job: str) -> JobStatus:
        """See ``Jobs.describe``."""
        with opened(self._folder) as database:
            return self._status(database, _row(database, job))

    def list(self, state: JobState | None = None, *, limit: int = 100) -> Sequence[JobStatus]:
        """See ``Jobs.list``."""
        with opened(self._folder) as database:
            rows = database.execute(
                "SELECT * FROM jobs WHERE parent IS NULL AND (?1 IS NULL OR state = ?1)"
                " ORDER BY number DESC LIMIT ?2",
                (None if state is None else state.value, limit),
            ).fetchall()
            return tuple(self._status(database, row) for row in rows)

    def children(self, job: str) -> Sequence[JobStatus]:
        """See ``Jobs.children``."""
        with opened(self._folder) as database:
            parent = _row(database, job)
            rows = database.execute(
                "SELECT * FROM jobs WHERE parent = ? ORDER BY child", (parent["id"],)
            ).fetchall()
            return tuple(self._status(database, row) for row in rows)

    def named(self, prefix: str) -> Sequence[JobStatus]:
        """See ``Jobs.named``."""
        with opened(self._folder) as database:
            rows = database.execute(
                "SELECT * FROM jobs WHERE parent IS NULL AND substr(name, 1, ?) = ?",
                (len(prefix), prefix),
            ).fetchall()
            return tuple(self._status(database, row) for row in rows)

    def stop(self, job: str, reason: str) -> None:
        """See ``Jobs.stop``. A waiting job fails at once; a running job gets SIGTERM from the
        runner."""
        with opened(self._folder) as database, writing(database):
            id_ = _row(database, job)["id"]
            mine = "(id = :id OR parent = :id)"
            values = {"id": id_, "reason": reason or "stopped", "now": now_text()}
            database.execute(
                f"UPDATE jobs SET stop_reason = :reason WHERE {mine}"  # noqa: S608 - constants
                f" AND state NOT IN {ENDED}",
                values,
            )
            database.execute(
                f"UPDATE jobs SET state = 'FAILED', reason = :reason, stopped = :now WHERE {mine}"  # noqa: S608 - constants
                f" AND size IS NULL AND state IN {WAITING}",
                values,
            )

    def logs(self, job: str, *, follow: bool = False) -> Iterator[str]:
        """See ``Jobs.logs``. Lines of all attempts in order; of an array child after child."""
        status = self.describe(job)
        if status.array_size is not None:
            for n in range(status.array_size):
                yield from (f"[{n}] {line}" for line in self.logs(f"{job}:{n}", follow=follow))
            return

        def state() -> tuple[int, bool]:
            now = self.describe(job)
            return now.attempts, now.state.ended

        yield from joblog.read(
            lambda attempt: joblog.path(self._folder, job, attempt),
            state,
            pause=(lambda: self._sleep(FOLLOW_SECONDS)) if follow else None,
        )

    def reclaim(
        self, probability: float, *, chance: Random, notice_seconds: float = NOTICE_SECONDS
    ) -> tuple[str, ...]:
        """Take the machine away from each running job with a probability; returns whose.

        As with Spot: SIGTERM at once, SIGKILL after the notice, status reason ``Host EC2*``.
        """
        with opened(self._folder) as database, writing(database):
            rows = database.execute(
                "SELECT id FROM jobs WHERE state = 'RUNNING' AND reclaim IS NULL"
                " AND stop_reason IS NULL ORDER BY number"
            ).fetchall()
            hit = [str(row["id"]) for row in rows if chance.random() < probability]
            database.executemany(
                "UPDATE jobs SET reclaim = ? WHERE id = ?",
                [(min(notice_seconds, NOTICE_SECONDS), id_) for id_ in hit],
            )
        return tuple(hit)

    def running(self) -> int:
        """How many jobs, or children of arrays, run at this moment."""
        with opened(self._folder) as database:
            found = database.execute(
                f"SELECT count(*) FROM jobs WHERE state IN {ACTIVE}"  # noqa: S608 - constants
            ).fetchone()
            return int(found[0])

    def _status(self, database: sqlite3.Connection, row: sqlite3.Row) -> JobStatus:
        counts = database.execute(
            "SELECT state, count(*) FROM jobs WHERE parent = ? GROUP BY state", (row["id"],)
        ).fetchall()
        log = joblog.path(self._folder, row["id"], row["attempts"]) if row["attempts"] else None
        progress = joblog.progress(log) if log is not None and row["state"] == "RUNNING" else None
        done = 1.0 if row["state"] == "SUCCEEDED" else None
        failed = log is not None and row["state"] in {"FAILED", "RUNNABLE"}
        return JobStatus(
            id=row["id"],
            name=row["name"],
            kind=row["kind"],
            state=JobState(row["state"]),
            queue=row["queue"],
            reason=row["reason"],
            exit_code=row["exit_code"],
            attempts=row["attempts"],
            created_at=row["created"],
            started_at=row["started"],
            stopped_at=row["stopped"],
            array_size=row["size"],
            array_counts={JobState(state): count for state, count in counts},
            log="" if log is None else str(log),
            output=request_of(database, row).output,
            progress=progress.share if progress else done,
            doing=progress.doing if progress else "",
            trouble=joblog.trouble(log) if failed and log is not None else "",
        )


def _submit(database: sqlite3.Connection, request: JobRequest) -> str:
    before = database.execute(
        "SELECT id FROM jobs WHERE name = ? AND queue = ? AND parent IS NULL"
        " AND state <> 'FAILED'"
        # Asked to stop is as good as failed: its runner has only not got to it yet.
        " AND stop_reason IS NULL ORDER BY number DESC LIMIT 1",
        (request.name, request.queue),
    ).fetchone()
    if before is not None:
        return str(before["id"])
    id_ = str(uuid.uuid4())
    insert(database, id_, request, now_text())
    return id_


def _row(database: sqlite3.Connection, job: str) -> sqlite3.Row:
    found: sqlite3.Row | None = database.execute(
        "SELECT * FROM jobs WHERE id = ?", (job,)
    ).fetchone()
    if found is None:
        raise JobMissing(f"there is no job {job}")
    return found


def _check(request: JobRequest) -> None:
    if not _NAME.fullmatch(request.name):
        text = "is not 1 to 128 letters, digits, hyphens and underscores"
        raise JobRejected(f"the name of a job, {request.name!r}, {text}")
    if request.queue not in QUEUES:
        raise JobRejected(f"there is no queue {request.queue}; there are {', '.join(QUEUES)}")
    size = request.array_size
    if size is not None and not SMALLEST_ARRAY <= size <= LARGEST_ARRAY:
        raise JobRejected(f"an array has {SMALLEST_ARRAY} to {LARGEST_ARRAY} children, not {size}")
