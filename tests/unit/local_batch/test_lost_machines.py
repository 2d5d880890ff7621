"""Machines that go away: reclaimed ones, killed runners, a stack that is stopped and started."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.local_batch.rig import FOREVER, RESOURCES, STUBBORN, Rig
from worker.domain.job import JobState
from worker.local.batch.runner import QUIT

ROOT = Path(__file__).parents[3]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """A local Batch with two vCPUs."""
    return Rig(tmp_path / "batch")


def test_a_reclaimed_machine_is_another_attempt(rig: Rig) -> None:
    """SIGTERM, no exit code, Batch's own status reason, and the job runs again."""
    job = rig.submit(
        f"import os\nif os.environ['AWS_BATCH_JOB_ATTEMPT'] == '2': raise SystemExit\n{FOREVER}"
    )
    with rig.ticking() as until:
        until(lambda: rig.begun(job))
        assert list(rig.jobs.reclaim(1.0, chance=random.Random(0))) == [job]
        until(lambda: rig.state(job).ended)

    found = rig.jobs.describe(job)
    assert (found.state, found.attempts) == (JobState.SUCCEEDED, 2)
    assert any("Host EC2 (instance i-" in line for line in rig.said)


def test_a_reclaim_ends_with_a_kill(rig: Rig) -> None:
    """Two minutes after the notice at most: here at once."""
    rig.resources = replace(RESOURCES, attempts=1)
    job = rig.submit(STUBBORN)
    with rig.ticking() as until:
        until(lambda: rig.begun(job))
        rig.jobs.reclaim(1.0, chance=random.Random(0), notice_seconds=0)
        until(lambda: rig.state(job).ended)

    found = rig.jobs.describe(job)
    assert (found.state, found.exit_code) == (JobState.FAILED, None)
    assert found.reason.startswith("Host EC2 (instance i-")
    assert found.reason.endswith(") terminated.")


def test_who_ends_well_before_the_machine_goes_has_succeeded(rig: Rig) -> None:
    """A reclaim takes nothing from a job that finishes within its notice."""
    program = (
        f"import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n{FOREVER}"
    )
    job = rig.submit(program)
    with rig.ticking() as until:
        until(lambda: rig.begun(job))
        rig.jobs.reclaim(1.0, chance=random.Random(0))
        until(lambda: rig.state(job).ended)

    assert rig.state(job) == JobState.SUCCEEDED


def test_a_probability_of_nothing_reclaims_nothing(rig: Rig) -> None:
    """Chance decides for each job; no job is hit twice at the same time."""
    job = rig.submit(FOREVER)
    with rig.ticking() as until:
        until(lambda: rig.begun(job))

        assert list(rig.jobs.reclaim(0.0, chance=random.Random(0))) == []
        assert list(rig.jobs.reclaim(1.0, chance=random.Random(0))) == [job]
        assert list(rig.jobs.reclaim(1.0, chance=random.Random(0))) == []


def test_jobs_of_a_killed_runner_count_as_lost_with_their_machine(rig: Rig) -> None:
    """The next runner ends what is left of them and tries them again."""
    job = rig.submit(
        f"import os\nif os.environ['AWS_BATCH_JOB_ATTEMPT'] == '2': raise SystemExit\n{STUBBORN}"
    )
    killed = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from tests.unit.local_batch.rig import Rig\n"
        "rig = Rig(Path(sys.argv[1]))\n"
        "with rig.ticking() as until:\n"
        "    until(lambda: rig.begun(sys.argv[2])); os.kill(os.getpid(), signal.SIGKILL)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", killed, str(rig.folder), job], cwd=ROOT, check=False
    )
    assert (ran.returncode, rig.state(job)) == (-signal.SIGKILL, JobState.RUNNING)

    rig.finish(rig.runner(quit_seconds=0.1))

    found = rig.jobs.describe(job)
    assert (found.state, found.attempts) == (JobState.SUCCEEDED, 2)
    assert any("its runner was killed" in line and "Host EC2" in line for line in rig.said)


def test_a_killed_runner_does_not_undo_a_stop(rig: Rig) -> None:
    """A job that was to be stopped is not tried again by the next runner."""
    job = rig.submit()
    rig.execute("UPDATE jobs SET state = 'RUNNING', attempts = 1, stop_reason = 'enough'")

    rig.finish()

    assert (rig.state(job), rig.jobs.describe(job).reason) == (JobState.FAILED, "enough")


def test_a_stopped_runner_uses_up_no_attempt(rig: Rig) -> None:
    """Jobs of a stack that is stopped and started go on, however often."""
    rig.resources = replace(RESOURCES, attempts=1)
    job = rig.submit(
        f"import os\nif os.environ['AWS_BATCH_JOB_ATTEMPT'] == '3': raise SystemExit\n{FOREVER}"
    )
    for _ in range(2):
        with rig.ticking() as until:
            until(lambda: rig.begun(job))
        assert (rig.state(job), rig.jobs.describe(job).reason) == (JobState.RUNNABLE, QUIT)

    rig.finish()

    assert rig.state(job) == JobState.SUCCEEDED
