"""The local runner against AWS Batch's rules: states, attempts, timeouts, stops."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.local_batch.rig import FOREVER, OK, RESOURCES, STUBBORN, Rig, ends_with
from worker.domain.errors import ConfigurationError, InputError
from worker.domain.job import JobState
from worker.job_context import Stop
from worker.local.batch.execution import start_ticks
from worker.local.batch.jobs import LocalJobs
from worker.local.batch.resources import EXITED, NOT_STARTED, TIMED_OUT
from worker.local.batch.runner import Runner


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """A local Batch with two vCPUs."""
    return Rig(tmp_path / "batch")


def test_a_job_runs_once_and_succeeds(rig: Rig) -> None:
    """From SUBMITTED to SUCCEEDED, with its times and its exit code."""
    job = rig.submit("print('hello')")
    before = rig.jobs.describe(job)

    rig.finish()
    after = rig.jobs.describe(job)

    assert (before.state, before.attempts, before.started_at) == (JobState.SUBMITTED, 0, "")
    assert (after.state, after.attempts, after.exit_code) == (JobState.SUCCEEDED, 1, 0)
    assert after.created_at <= after.started_at <= after.stopped_at
    assert (after.reason, after.progress) == (EXITED, 1.0)
    assert list(rig.jobs.logs(job)) == ["hello"]


def test_a_job_is_told_what_batch_tells_it(rig: Rig) -> None:
    """Id, attempt, queue; and nothing of an array."""
    names = "AWS_BATCH_JOB_ID AWS_BATCH_JOB_ATTEMPT AWS_BATCH_JQ_NAME AWS_BATCH_JOB_ARRAY_INDEX"
    job = rig.submit(
        f"import os; print(*[os.environ.get(n) for n in '{names}'.split()])", queue="bulk"
    )

    rig.finish()

    assert list(rig.jobs.logs(job)) == [f"{job} 1 bulk None"]


@pytest.mark.parametrize(
    ("codes", "state", "attempts"),
    [
        ((75, 75, 0), JobState.SUCCEEDED, 3),
        ((75, 75, 75), JobState.FAILED, 3),
        ((65,), JobState.FAILED, 1),
        ((75, 65), JobState.FAILED, 2),
        ((1,), JobState.FAILED, 1),
    ],
    ids=str,
)
def test_the_exit_code_decides_whether_it_is_tried_again(
    rig: Rig, codes: tuple[int, ...], state: JobState, attempts: int
) -> None:
    """Rules are data; attempts are limited; the last exit code is what is reported."""
    job = rig.submit(ends_with(*codes))

    rig.finish()
    found = rig.jobs.describe(job)

    assert (found.state, found.attempts, found.exit_code) == (state, attempts, codes[-1])


def test_without_a_rule_that_fits_a_job_is_tried_again(rig: Rig) -> None:
    """As Batch does it."""
    rig.resources = replace(RESOURCES, rules=())
    job = rig.submit(ends_with(9, 9, 9))

    rig.finish()

    assert rig.jobs.describe(job).attempts == 3


def test_an_attempt_that_takes_too_long_is_ended_and_not_tried_again(rig: Rig) -> None:
    """SIGTERM at the timeout; that the job would be retried otherwise makes no difference."""
    rig.resources = replace(RESOURCES, timeout_seconds=0)
    job = rig.submit(FOREVER)

    rig.finish()
    found = rig.jobs.describe(job)

    assert (found.state, found.reason, found.attempts) == (JobState.FAILED, TIMED_OUT, 1)


def test_a_stopped_job_gets_sigterm_first(rig: Rig) -> None:
    """It can put its things in order; its exit code is kept; it is not tried again."""
    program = (
        "import os, signal, sys\n"
        # Not print, which cannot be reentered: the signal may come while it still prints 'begun'.
        "signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b'tidied\\n'), sys.exit(75)))\n"
        f"{FOREVER}"
    )
    job = rig.submit(program)
    with rig.ticking() as until:
        until(lambda: rig.begun(job))
        rig.jobs.stop(job, "no longer wanted")
        until(lambda: rig.state(job).ended)

    found = rig.jobs.describe(job)
    assert (found.state, found.reason, found.exit_code) == (JobState.FAILED, "no longer wanted", 75)
    assert list(rig.jobs.logs(job)) == ["begun", "tidied"]


def test_a_job_that_ignores_sigterm_is_killed(rig: Rig) -> None:
    """After the grace, which is 30 s unless told."""
    job = rig.submit(STUBBORN)
    with rig.ticking(rig.runner(stop_seconds=0.05)) as until:
        until(lambda: rig.begun(job))
        rig.jobs.stop(job, "enough")
        until(lambda: rig.state(job).ended)

    assert rig.jobs.describe(job).exit_code == 128 + signal.SIGKILL


def test_what_a_job_has_started_ends_with_it(rig: Rig) -> None:
    """A child program that outlives its job is killed, as the end of a container does it."""
    program = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-I', '-S', '-c', {FOREVER!r}])\n"
        "print(child.pid, flush=True)"
    )
    job = rig.submit(program)

    with rig.ticking() as until:
        until(lambda: rig.state(job).ended)
        left = next(int(line) for line in rig.jobs.logs(job) if line.isdigit())
        until(lambda: start_ticks(left) is None)


def test_a_stop_before_the_start_needs_no_runner(rig: Rig) -> None:
    """A waiting job fails at once."""
    job = rig.submit()

    rig.jobs.stop(job, "changed my mind")

    found = rig.jobs.describe(job)
    assert (found.state, found.reason, found.attempts) == (JobState.FAILED, "changed my mind", 0)


def test_a_stop_of_what_has_ended_changes_nothing(rig: Rig) -> None:
    """A job that has succeeded stays so."""
    job = rig.submit()
    rig.finish()

    rig.jobs.stop(job, "late")

    assert rig.jobs.describe(job).state == JobState.SUCCEEDED


def test_one_folder_has_one_runner(rig: Rig) -> None:
    """A second runner would start every job twice."""
    with rig.ticking(), pytest.raises(InputError) as caught, rig.ticking():
        pass

    assert caught.value.code == "output_busy"


def test_vcpus_are_given_away_once(rig: Rig) -> None:
    """Two slots: two jobs of one vCPU at a time; one that wants more than there is runs alone."""
    rig.slots = 2
    first, second, third = (rig.submit(FOREVER) for _ in range(3))
    with rig.ticking() as until:
        until(lambda: rig.begun(first) and rig.begun(second))
        assert rig.state(third) == JobState.RUNNABLE
        rig.jobs.stop(first, "enough")
        until(lambda: rig.begun(third))

    rig.resources = replace(RESOURCES, vcpus=64)
    huge = rig.submit()
    for job in (second, third):
        rig.jobs.stop(job, "enough")
    rig.finish()
    assert rig.state(huge) == JobState.SUCCEEDED


def test_the_urgent_go_first(rig: Rig) -> None:
    """By queue, then by priority, then by age."""
    rig.slots = 1
    late = rig.submit(queue="bulk", priority=9)
    plain = rig.submit()
    first = rig.submit(priority=5)
    urgent = rig.submit(queue="urgent")

    rig.finish()
    order = sorted((late, plain, first, urgent), key=lambda job: rig.jobs.describe(job).started_at)

    runs = [line.partition(":")[0] for line in rig.said if "attempt 1 of" in line]
    assert runs == [urgent, first, plain, late]
    assert set(order) == set(runs)


def test_a_program_that_is_not_there_fails_the_job(rig: Rig, tmp_path: Path) -> None:
    """The runner goes on; the job says why."""

    class Broken:
        def start(self, task: object) -> object:
            raise FileNotFoundError(2, "No such file or directory", "docker")

    job = rig.submit()
    runner = Runner(rig.folder, resources=lambda _: RESOURCES, executor=Broken(), slots=1)  # type: ignore[arg-type]

    rig.finish(runner)

    found = rig.jobs.describe(job)
    assert found.state == JobState.FAILED
    assert found.reason.startswith(NOT_STARTED)


def test_a_kind_that_nobody_knows_fails_its_job(rig: Rig) -> None:
    """And only that: the next job runs."""

    def resources(kind: str) -> object:
        if kind == "odd":
            raise ConfigurationError("no such kind: odd")
        return RESOURCES

    odd, good = rig.submit(kind="odd"), rig.submit()

    rig.finish(rig.runner(resources=resources))  # type: ignore[arg-type]

    assert (rig.state(odd), rig.state(good)) == (JobState.FAILED, JobState.SUCCEEDED)
    assert "no such kind: odd" in rig.jobs.describe(odd).reason


def test_progress_is_what_the_job_has_last_said(rig: Rig) -> None:
    """A JSON line with progress, wherever it stands in the log."""
    said = json.dumps({"event": "progress", "percent": 25.0, "doing": "encode"})
    lines = [said, "{not json", "[]", '{"percent": 700}', '{"percent": "x"}']
    job = rig.submit(f"print({chr(10).join(lines)!r})\n{FOREVER}")
    with rig.ticking() as until:
        until(lambda: rig.begun(job))
        found = rig.jobs.describe(job)

    assert (found.progress, found.doing) == (0.25, "encode")


def test_what_went_wrong_is_what_the_job_has_said(rig: Rig) -> None:
    """The code and the sentence of its last line about it."""
    said = json.dumps({"event": "rejected", "code": "truncated", "message": "it ends early"})
    job = rig.submit(f"import sys; print({said!r}); sys.exit(65)")

    rig.finish()

    assert rig.jobs.describe(job).trouble == "truncated: it ends early"


def test_logs_can_be_followed_over_attempts(rig: Rig) -> None:
    """Lines come as they are written, from every attempt, and the end of the job is the end."""
    job = rig.submit("import os, sys; print(os.environ['AWS_BATCH_JOB_ATTEMPT']); sys.exit(75)")
    runner = rig.runner()
    with runner.started() as session:
        following = LocalJobs(rig.folder, sleep=lambda _seconds: session.tick())

        assert list(following.logs(job, follow=True)) == ["1", "2", "3"]


def test_old_jobs_are_forgotten(rig: Rig) -> None:
    """A week after their end, with their logs; those of today stay."""
    old, new = rig.submit(), rig.submit()
    rig.finish()
    rig.execute(f"UPDATE jobs SET stopped = '2001-01-01T00:00:00.000Z' WHERE id = '{old}'")

    rig.finish()

    assert [found.id for found in rig.jobs.list()] == [new]
    assert [path.name for path in (rig.folder / "logs").iterdir()] == [new]


def test_a_runner_that_is_asked_to_stop_stops(rig: Rig) -> None:
    """Also before it has begun."""
    job = rig.submit(OK)
    stop = Stop()
    stop.request()

    rig.runner().run(stop)
    stop.close()

    assert rig.state(job) == JobState.SUBMITTED
