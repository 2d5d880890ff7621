"""Jobs run here and now, without a stack: a private table that lasts as long as the command.

What may not live here: how any of it is shown.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.errors import ConfigurationError
from worker.jobs import JobRequest, JobState
from worker.local.batch import needs
from worker.local.batch.execution import ContainerExecutor, Executor, ProcessExecutor
from worker.local.batch.jobs import LocalJobs
from worker.local.batch.runner import POLL_SECONDS, Runner, Session
from worker.services.local_run.stop import Stop

ENGINE = "docker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """Jobs that have been handed in, and what runs them."""

    jobs: LocalJobs
    ids: tuple[str, ...]
    session: Session

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
            """Nobody waits for the rest."""

        def step(_seconds: float) -> None:
            if stop.requested:
                raise Ended
            self._step(stop)

        with contextlib.suppress(Ended):
            yield from self.jobs.with_pause(step).logs(id_, follow=True)

    def _step(self, stop: Stop) -> None:
        self.session.tick()
        select.select([stop], [], [], POLL_SECONDS)


@contextlib.contextmanager
def run_here(requests: Sequence[JobRequest], *, image: str | None = None) -> Iterator[Here]:
    """Hand jobs in to a table of their own. It and the logs stay only if a job has failed.

    Args:
        image: run in containers of this image; None runs child processes.

    Raises:
        ConfigurationError: there is no engine for containers.
    """
    executor = _executor(image)
    folder = Path(tempfile.mkdtemp(prefix="safelight-jobs-"))
    failed = False
    try:
        jobs = LocalJobs(folder)
        ids = tuple(dict.fromkeys(jobs.submit(request) for request in requests))
        runner = Runner(folder, needs=needs.of_catalog, executor=executor, slots=needs.processors())
        with runner.started() as session:
            yield Here(jobs=jobs, ids=ids, session=session)
        failed = bool(jobs.list(JobState.FAILED))
    finally:
        if not failed:
            shutil.rmtree(folder, ignore_errors=True)


def _executor(image: str | None) -> Executor:
    environment = needs.environment()
    if image is None:
        return ProcessExecutor(environment)
    if shutil.which(ENGINE, path=os.environ.get("PATH")) is None:
        text = f"{ENGINE} is not installed, or not on PATH; without --container none is needed"
        raise ConfigurationError(text, code="program_missing")
    return ContainerExecutor(image, environment, engine=ENGINE)
