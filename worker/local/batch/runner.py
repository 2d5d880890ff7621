"""The runner: moves jobs of one table through Batch's states, one loop in one thread.

It decides what is started when, what is signalled when, and what the end of an attempt means.
"""

from __future__ import annotations

import contextlib
import select
import shutil
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path

from worker.adapters.disk_errors import disk_call
from worker.adapters.timestamps import now_text, utc_text
from worker.atomic import lock_folder
from worker.domain.errors import InputError, SafelightError
from worker.domain.job import JobState
from worker.job_context import Stop
from worker.local.batch import joblog
from worker.local.batch.execution import Executor, StartedAttempt, Task, end_orphans, start_ticks
from worker.local.batch.jobs import QUEUES
from worker.local.batch.resources import (
    EXITED,
    NOT_STARTED,
    TIMED_OUT,
    Resources,
    host_lost,
    is_retried,
)
from worker.local.batch.table import ACTIVE, ENDED, advance, forget, opened, request_of, writing

STOP_SECONDS = 30.0
"""Between SIGTERM and SIGKILL (AWS Batch User Guide, "Job timeouts")."""
POLL_SECONDS = 0.1
QUIT = "the runner was stopped"
"""Status reason, in place of Batch's, of a job that goes on when the runner does."""
KEPT_DAYS = 7
"""Days after which ended jobs and their logs are deleted, as AWS Batch does."""

_NEXT = (
    "SELECT * FROM jobs WHERE state = 'RUNNABLE' AND size IS NULL ORDER BY CASE queue "  # noqa: S608 - constants
    + " ".join(f"WHEN '{queue}' THEN {place}" for place, queue in enumerate(QUEUES))
    + " END, priority DESC, number LIMIT 1"
)


class _Cause(Enum):
    """The reason why an attempt was stopped."""

    STOP = "stop"
    TIMEOUT = "timeout"
    RECLAIM = "reclaim"
    QUIT = "quit"
    """The runner itself stops: no attempt of the job is used up."""


@dataclass(slots=True, kw_only=True)
class _Live:
    """An attempt that runs."""

    task: Task
    running: StartedAttempt
    resources: Resources
    deadline: float
    cause: _Cause | None = None
    kill_at: float = float("inf")

    def ask_to_end(self, cause: _Cause, now: float, seconds: float) -> None:
        """Ask it to end; the first cause is the one that counts, the earliest end holds."""
        self.kill_at = min(self.kill_at, now + seconds)
        if self.cause is None:
            self.cause = cause
            self.running.terminate()


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """The outcome of an attempt."""

    state: JobState
    reason: str
    exit_code: int | None = None
    spared: int = 0
    """Attempts of the job that do not count."""


def _failed(
    resources: Resources, attempts: int, reason: str, code: int | None, spared: int
) -> _End:
    more = is_retried(resources, attempts=attempts, exit_code=code, reason=reason)
    state = JobState.RUNNABLE if more else JobState.FAILED
    return _End(state=state, reason=reason, exit_code=code, spared=spared)


def _record(database: sqlite3.Connection, id_: str, end: _End) -> None:
    stopped = now_text() if end.state.ended else ""
    database.execute(
        "UPDATE jobs SET state = ?, reason = ?, exit_code = ?, stopped = ?, spared = ?,"
        " reclaim = NULL, pid = NULL, start_ticks = NULL WHERE id = ?",
        (end.state.value, end.reason, end.exit_code, stopped, end.spared, id_),
    )


class Runner:
    """Runs the jobs of a folder.

    Args:
        folder: of the table and the logs.
        resources: of a kind. May raise ``SafelightError``: such a job fails.
        executor: starts attempts.
        slots: vCPUs to give away. A job that needs more runs alone.
        stop_seconds: from SIGTERM to SIGKILL.
        quit_seconds: the same when the runner itself is stopped.
        say: told, in a sentence, what happens to a job.
    """

    def __init__(
        self,
        folder: Path,
        *,
        resources: Callable[[str], Resources],
        executor: Executor,
        slots: float,
        stop_seconds: float = STOP_SECONDS,
        quit_seconds: float = 10.0,
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self._folder = folder
        self._resources = resources
        self._executor = executor
        self._slots = slots
        self._stop_seconds = stop_seconds
        self._quit_seconds = quit_seconds
        self._say = say
        self._live: dict[str, _Live] = {}
        self._seen: int | None = None
        # The instance id of a reclaimed machine, which is stable.
        self._instance = f"i-{uuid.uuid4().hex[:17]}"

    def run(
        self, stop: Stop, *, until_idle: bool = False, poll_seconds: float = POLL_SECONDS
    ) -> None:
        """Run jobs until asked to stop or, with ``until_idle``, until all have ended.

        Raises:
            InputError: ``output_busy``: another runner works in the folder.
            ConfigurationError, Unreachable, StorageFull: the table cannot be used.
        """
        with self.started() as session:
            while not stop.requested and not (until_idle and session.idle()):
                session.tick()
                select.select([stop], [], [], poll_seconds)

    @contextlib.contextmanager
    def started(self) -> Iterator[Runner]:
        """As ``run``, for callers with a loop of their own. At the end everything is stopped."""
        with self._alone(), opened(self._folder) as self._database:
            self._recover()
            try:
                yield self
            finally:
                self._stop_all()

    def tick(self) -> None:
        """Look at everything once; to be called several times a second, while it is started."""
        ended = self._reap()
        self._end_late()
        version = self._database.execute("PRAGMA data_version").fetchone()[0]
        if not ended and version == self._seen:
            return  # no write since: nothing can have changed
        self._seen = version
        self._apply_requests()
        with writing(self._database):
            advance(self._database, now_text())
        self._launch()

    # --- attempts that run --------------------------------------------------------------------

    def _reap(self) -> bool:
        ended = [
            (live, code)
            for live in self._live.values()
            if (code := live.running.poll()) is not None
        ]
        for live, code in ended:
            del self._live[live.task.id]
            self._record_end(live, code)
        return bool(ended)

    def _end_late(self) -> None:
        now = time.monotonic()
        for live in self._live.values():
            if live.cause is None and now >= live.deadline:
                live.ask_to_end(_Cause.TIMEOUT, now, self._stop_seconds)
            if now >= live.kill_at:
                live.running.kill()
                live.kill_at = float("inf")

    def _apply_requests(self) -> None:
        """Carry out the requests of other processes in the table."""
        rows = self._database.execute(
            f"SELECT id, stop_reason, reclaim FROM jobs WHERE state IN {ACTIVE}"  # noqa: S608 - constants
            " AND (stop_reason IS NOT NULL OR reclaim IS NOT NULL)"
        ).fetchall()
        now = time.monotonic()
        for row in rows:
            live = self._live.get(row["id"])
            if live is None:
                continue
            if row["stop_reason"] is not None:
                live.ask_to_end(_Cause.STOP, now, self._stop_seconds)
            elif live.cause is None:
                self._say(f"{live.task.id}: its machine is reclaimed")
                live.ask_to_end(_Cause.RECLAIM, now, row["reclaim"])

    def _record_end(self, live: _Live, code: int) -> None:
        with writing(self._database):
            row = self._database.execute(
                "SELECT stop_reason, spared FROM jobs WHERE id = ?", (live.task.id,)
            ).fetchone()
            end = self._outcome(live, code, row["stop_reason"], row["spared"])
            _record(self._database, live.task.id, end)
        ended = f"attempt {live.task.attempt} ended with {code}"
        self._say(f"{live.task.id}: {ended}: {end.state}, {end.reason}")

    def _outcome(self, live: _Live, code: int, stopped: str | None, spared: int) -> _End:
        """Handle the end of an attempt."""
        if live.cause is _Cause.TIMEOUT:  # a job that takes too long is not tried again
            return _End(state=JobState.FAILED, reason=TIMED_OUT, exit_code=code, spared=spared)
        if stopped is not None:
            return _End(state=JobState.FAILED, reason=stopped, exit_code=code, spared=spared)
        if code == 0:
            return _End(state=JobState.SUCCEEDED, reason=EXITED, exit_code=0, spared=spared)
        if live.cause is _Cause.QUIT:
            return _End(state=JobState.RUNNABLE, reason=QUIT, spared=spared + 1)
        attempts = live.task.attempt - spared
        if live.cause is _Cause.RECLAIM:
            return self._lost(live.resources, attempts, spared)  # and the exit code with it
        return _failed(live.resources, attempts, EXITED, code, spared)

    def _lost(self, resources: Resources, attempts: int, spared: int) -> _End:
        return _failed(resources, attempts, host_lost(self._instance), None, spared)

    # --- starting -------------------------------------------------------------------------------

    def _launch(self) -> None:
        free = self._slots - sum(live.task.vcpus for live in self._live.values())
        while free > 0:
            row = self._database.execute(_NEXT).fetchone()
            if row is None:
                return
            try:
                resources = self._resources(row["kind"])
            except SafelightError as error:
                self._refuse(row, Resources(), error.message)
                continue
            vcpus = min(resources.vcpus, self._slots)
            # The first in line waits for its room: those behind it must not overtake it for ever.
            if vcpus > free:
                return
            free -= vcpus if self._begin(row, resources, vcpus) else 0

    def _refuse(self, row: sqlite3.Row, resources: Resources, why: str) -> None:
        """An attempt that could not even begin."""
        made = self._database.execute(
            "SELECT attempts FROM jobs WHERE id = ?", (row["id"],)
        ).fetchone()
        attempts = made["attempts"] - row["spared"]
        end = _failed(resources, max(1, attempts), f"{NOT_STARTED}: {why}", None, row["spared"])
        with writing(self._database):
            _record(self._database, row["id"], end)
            advance(self._database, now_text())
        self._say(f"{row['id']}: {end.state}, {end.reason}")

    def _begin(self, row: sqlite3.Row, resources: Resources, vcpus: float) -> bool:
        task = Task(
            id=row["id"],
            attempt=row["attempts"] + 1,
            request=request_of(self._database, row),
            child=row["child"],
            vcpus=vcpus,
            memory_mib=resources.memory_mib,
            log=joblog.path(self._folder, row["id"], row["attempts"] + 1),
        )
        with disk_call(task.log):
            task.log.parent.mkdir(parents=True, exist_ok=True)
            task.log.touch()
        # Before the process: a runner killed in between knows that there may be one.
        with writing(self._database):
            taken = self._database.execute(
                "UPDATE jobs SET state = 'STARTING', attempts = attempts + 1, started = ?"
                " WHERE id = ? AND state = 'RUNNABLE'",
                (now_text(), task.id),
            ).rowcount
        if not taken:  # stopped in this very moment
            return False
        try:
            running = self._executor.start(task)
        except (OSError, SafelightError) as error:
            self._refuse(row, resources, str(error))
            return False
        with writing(self._database):
            self._database.execute(
                "UPDATE jobs SET state = 'RUNNING', pid = ?, start_ticks = ? WHERE id = ?",
                (running.pid, start_ticks(running.pid), task.id),
            )
        deadline = time.monotonic() + resources.timeout_seconds
        self._live[task.id] = _Live(
            task=task, running=running, resources=resources, deadline=deadline
        )
        self._say(f"{task.id}: attempt {task.attempt} of {row['name']} runs, process {running.pid}")
        return True

    # --- begin and end of the runner --------------------------------------------------------------

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with contextlib.ExitStack() as held:
            with disk_call(self._folder):
                try:
                    held.enter_context(lock_folder(self._folder))
                except BlockingIOError as error:
                    text = f"{self._folder}: another runner of jobs works there"
                    raise InputError(text, code="output_busy") from error
            yield

    def _recover(self) -> None:
        """Clean up after a killed runner: its attempts count as lost with their machine."""
        rows = self._database.execute(f"SELECT * FROM jobs WHERE state IN {ACTIVE}").fetchall()  # noqa: S608 - constants
        end_orphans(
            [(row["pid"], row["start_ticks"]) for row in rows if row["pid"]],
            seconds=self._quit_seconds,
        )
        for row in rows:
            log = joblog.path(self._folder, row["id"], row["attempts"])
            self._executor.remove_orphan(row["id"], row["attempts"], log)
            end = self._lost_with_runner(row)
            with writing(self._database):
                _record(self._database, row["id"], end)
            self._say(f"{row['id']}: its runner was killed: {end.state}, {end.reason}")
        before = utc_text(datetime.now(UTC) - timedelta(days=KEPT_DAYS))
        with writing(self._database):
            old = forget(self._database, before)
        for id_ in old:
            shutil.rmtree(self._folder / joblog.FOLDER / id_, ignore_errors=True)

    def _lost_with_runner(self, row: sqlite3.Row) -> _End:
        stopped, spared = row["stop_reason"], row["spared"]
        if stopped is not None:
            return _End(state=JobState.FAILED, reason=stopped, spared=spared)
        try:
            resources = self._resources(row["kind"])
        except SafelightError:
            resources = Resources()
        return self._lost(resources, row["attempts"] - spared, spared)

    def _stop_all(self) -> None:
        """Stop running attempts; they go on when a runner starts again."""
        now = time.monotonic()
        for live in self._live.values():
            live.ask_to_end(_Cause.QUIT, now, self._quit_seconds)
        while self._live:
            if not self._reap():
                time.sleep(0.02)
            self._end_late()

    def idle(self) -> bool:
        """Whether every job has ended."""
        if self._live:
            return False
        found = self._database.execute(f"SELECT 1 FROM jobs WHERE state NOT IN {ENDED} LIMIT 1")  # noqa: S608 - constants
        return found.fetchone() is None
