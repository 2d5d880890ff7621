"""Jobs run here and now, without a stack: a private table that lasts as long as the command."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.adapters.disk_errors import disk_call
from worker.domain.errors import AccessDenied, ConfigurationError
from worker.domain.job import JobRequest, JobState
from worker.job_context import Stop, processors
from worker.local.batch.execution import ContainerExecutor, Executor, ProcessExecutor
from worker.local.batch.jobs import LocalJobs
from worker.local.batch.resources import job_environment, resources_of
from worker.local.batch.runner import KEPT_DAYS, POLL_SECONDS, Runner

ENGINE = "docker"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRun:
    """Submitted jobs, and the function that runs them."""

    jobs: LocalJobs
    ids: tuple[str, ...]
    session: Runner

    def work(self, stop: Stop, *, lines: bool) -> Iterator[str | None]:
        """Run the jobs to their end, or until asked to stop.

        Args:
            lines: give the lines that the jobs write, in order of the jobs; None in between
                means that some time has passed.
        """
        for id_ in self.ids if lines else ():
            yield from self._lines(id_, stop)
        while not self.session.idle() and not stop.requested:
            self._step(stop)
            yield None

    def _lines(self, id_: str, stop: Stop) -> Iterator[str]:
        class Ended(Exception):
            """The rest is not waited for."""

        def step(_seconds: float) -> None:
            if stop.requested:
                raise Ended
            self._step(stop)

        with contextlib.suppress(Ended):
            yield from self.jobs.with_pause(step).logs(id_, follow=True)

    def _step(self, stop: Stop) -> None:
        self.session.tick()
        select.select([stop], [], [], POLL_SECONDS)


def runs_folder() -> Path:
    """Where runs are, each in a folder of its own: ``$XDG_STATE_HOME/safelight/jobs``.

    ``~/.local/state`` unless set (XDG Base Directory Specification); where that cannot be written,
    as in a container with a read-only root, one for each user in the temporary folder.
    """
    state = Path(os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state"))  # noqa: PTH111 - Path.home() raises where there is none
    fallback = Path(tempfile.gettempdir()) / f"safelight-{os.getuid()}"
    for home in (state / "safelight", fallback):
        folder = home / "jobs"
        if not folder.is_absolute():
            continue  # no home, or a variable that the specification has ignored
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if folder.stat().st_uid == os.getuid() and os.access(folder, os.W_OK):
                return folder
    raise AccessDenied(f"{fallback} cannot be written, and jobs must log somewhere; set TMPDIR")


def forget_old_runs(folder: Path, *, now: float) -> None:
    """Remove the files of runs that began more than ``KEPT_DAYS`` ago."""
    for left in folder.iterdir():
        with contextlib.suppress(OSError):  # another run removes it at the same time
            if left.stat().st_mtime < now - KEPT_DAYS * 86_400:
                shutil.rmtree(left)


@contextlib.contextmanager
def run_local(requests: Sequence[JobRequest], *, image: str | None = None) -> Iterator[LocalRun]:
    """Submit jobs to a table of their own. It and the logs stay only if a job has failed.

    Args:
        image: run in containers of this image; None runs child processes.

    Raises:
        ConfigurationError: there is no engine for containers.
        AccessDenied: there is no place for logs.
    """
    executor = _executor(image)
    runs = runs_folder()
    forget_old_runs(runs, now=time.time())
    began = time.strftime("%Y-%m-%dT%H-%M-%S-")
    with disk_call(runs):
        folder = Path(tempfile.mkdtemp(prefix=began, dir=runs))
    failed = False
    try:
        jobs = LocalJobs(folder)
        ids = tuple(dict.fromkeys(jobs.submit(request) for request in requests))
        runner = Runner(folder, resources=resources_of, executor=executor, slots=processors())
        with runner.started() as session:
            yield LocalRun(jobs=jobs, ids=ids, session=session)
        failed = bool(jobs.list(JobState.FAILED))
    finally:
        if not failed:
            shutil.rmtree(folder, ignore_errors=True)


def _executor(image: str | None) -> Executor:
    environment = job_environment()
    if image is None:
        return ProcessExecutor(environment)
    if shutil.which(ENGINE, path=os.environ.get("PATH")) is None:
        text = f"{ENGINE} is not installed, or not on PATH; without --container none is needed"
        raise ConfigurationError(text, code="program_missing")
    return ContainerExecutor(image, environment, engine=ENGINE)
