"""A local Batch whose jobs are one-line Python programs, driven tick by tick."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from worker.domain.job import JobRequest, JobState
from worker.job_context import Stop
from worker.local.batch.execution import ProcessExecutor, Task
from worker.local.batch.jobs import LocalJobs
from worker.local.batch.resources import Resources
from worker.local.batch.runner import Runner
from worker.local.batch.table import opened

LIMIT_SECONDS = 60.0
"""Before a test that waits for something gives up; nothing waits for so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule as ``batch.catalogue`` has them."""

    action: str
    exit_code: str | None = None
    status_reason: str | None = None


RULES = (
    Rule(action="RETRY", status_reason="Host EC2*"),
    Rule(action="EXIT", exit_code="65"),
    Rule(action="RETRY", exit_code="75"),
    Rule(action="EXIT", exit_code="*"),
    Rule(action="EXIT", status_reason="*"),
)
RESOURCES = Resources(vcpus=1, attempts=3, timeout_seconds=60, rules=RULES)  # type: ignore[arg-type]

OK = "pass"
FOREVER = "import time; print('begun', flush=True)\nwhile True: time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {FOREVER}"
"""Says that it has begun once it cannot be asked to end any more."""


def ends_with(*codes: int) -> str:
    """A program whose attempts end with these codes, one after the other."""
    return f"import os, sys; sys.exit({codes}[int(os.environ['AWS_BATCH_JOB_ATTEMPT']) - 1])"


class Rig:
    """Jobs in a folder and a way to run them.

    The program of a job is its parameter ``program``.
    """

    def __init__(self, folder: Path, *, resources: Resources = RESOURCES, slots: float = 2) -> None:
        self.folder = folder
        self.jobs = LocalJobs(folder, sleep=lambda _seconds: None)
        self.resources = resources
        self.slots = slots
        self.said: list[str] = []
        self._names = itertools.count()

    def request(self, program: str = OK, **changes: object) -> JobRequest:
        """A request that nobody has made before."""
        made = JobRequest(
            name=f"job-{next(self._names)}",
            kind="test",
            inputs=(),
            output="out",
            parameters={"program": program},
        )
        return replace(made, **changes)  # type: ignore[arg-type]

    def submit(self, program: str = OK, **changes: object) -> str:
        """Submit a new job."""
        return self.jobs.submit(self.request(program, **changes))

    def runner(
        self,
        *,
        resources: Callable[[str], Resources] | None = None,
        stop_seconds: float = 30,
        quit_seconds: float = 5,
    ) -> Runner:
        """A runner of the folder."""
        return Runner(
            self.folder,
            resources=resources or (lambda _kind: self.resources),
            executor=ProcessExecutor({"PATH": os.environ["PATH"]}, command=_program),
            slots=self.slots,
            stop_seconds=stop_seconds,
            quit_seconds=quit_seconds,
            say=self.said.append,
        )

    def finish(self, runner: Runner | None = None) -> None:
        """Run everything to its end."""
        stop = Stop()
        try:
            (runner or self.runner()).run(stop, until_idle=True, poll_seconds=0.01)
        finally:
            stop.close()

    @contextmanager
    def ticking(
        self, runner: Runner | None = None
    ) -> Iterator[Callable[[Callable[[], bool]], None]]:
        """Gives a function that ticks until something has happened; stops everything at the end."""
        runner = runner or self.runner()
        with runner.started() as session:

            def until(happened: Callable[[], bool]) -> None:
                deadline = time.monotonic() + LIMIT_SECONDS
                while not happened():
                    assert time.monotonic() < deadline, self.said
                    session.tick()
                    time.sleep(0.005)

            yield until

    def state(self, job: str) -> JobState:
        """Of a job."""
        return self.jobs.describe(job).state

    def begun(self, job: str) -> bool:
        """Whether the program of the job has said so in its present attempt."""
        found = self.jobs.describe(job)
        return found.state == JobState.RUNNING and "begun" in Path(found.log).read_text("utf-8")

    def execute(self, statement: str) -> None:
        """Change the table behind the runner's back."""
        with opened(self.folder) as database:
            database.execute(statement)


def _program(task: Task) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", task.request.parameters["program"]]
