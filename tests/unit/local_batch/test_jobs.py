"""What the local jobs promise whoever submits: one job a name, arrays, refusals."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.local_batch.rig import FOREVER, OK, Rig, ends_with
from worker.domain.errors import ConfigurationError, JobMissing, JobRejected
from worker.domain.job import JobState
from worker.local.batch.resources import CHILD_FAILED


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """A local Batch with two vCPUs."""
    return Rig(tmp_path / "batch")


def test_the_same_name_twice_is_one_job(rig: Rig) -> None:
    """While it waits, runs, and after it has succeeded."""
    request = rig.request()
    job = rig.jobs.submit(request)

    assert rig.jobs.submit(request) == job
    rig.finish()
    assert rig.jobs.submit(request) == job
    assert len(rig.jobs.list()) == 1


def test_a_name_that_has_failed_is_tried_anew(rig: Rig) -> None:
    """After a failure or a stop the same request is another job."""
    request = rig.request(ends_with(65))
    failed = rig.jobs.submit(request)
    rig.finish()

    again = rig.jobs.submit(request)
    rig.jobs.stop(again, "enough")

    assert len({failed, again, rig.jobs.submit(request)}) == 3


def test_another_queue_is_another_job(rig: Rig) -> None:
    """A job that waits in a long queue can be submitted again to the urgent queue."""
    request = rig.request(queue="bulk")

    assert rig.jobs.submit(request) != rig.jobs.submit(replace(request, queue="urgent"))


def test_many_who_submit_the_same_at_once_get_one_job(rig: Rig) -> None:
    """Looking and adding are one transaction."""
    request = rig.request()
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: rig.jobs.submit(request), range(32)))

    assert len(found) == 1


def test_children_of_an_array_know_their_index(rig: Rig) -> None:
    """One parent, as many children; the parent's state is theirs together."""
    program = (
        "import os; print(os.environ['AWS_BATCH_JOB_ID'], os.environ['AWS_BATCH_JOB_ARRAY_INDEX'],"
        " os.environ['AWS_BATCH_JOB_ARRAY_SIZE'])"
    )
    job = rig.submit(program, array_size=3)

    rig.finish()

    parent = rig.jobs.describe(job)
    assert (parent.state, parent.array_size, parent.attempts) == (JobState.SUCCEEDED, 3, 0)
    assert parent.array_counts == {JobState.SUCCEEDED: 3}
    assert [child.id for child in rig.jobs.children(job)] == [f"{job}:{n}" for n in range(3)]
    assert list(rig.jobs.logs(job)) == [f"[{n}] {job}:{n} {n} 3" for n in range(3)]
    assert [found.id for found in rig.jobs.list()] == [job]
    assert list(rig.jobs.children(f"{job}:1")) == []


def test_one_failed_child_fails_the_array_and_stops_no_other(rig: Rig) -> None:
    """The others run to their end."""
    program = "import os, sys; sys.exit(65 * (os.environ['AWS_BATCH_JOB_ARRAY_INDEX'] == '1'))"
    job = rig.submit(program, array_size=3)

    rig.finish()

    parent = rig.jobs.describe(job)
    assert (parent.state, parent.reason) == (JobState.FAILED, CHILD_FAILED)
    assert parent.array_counts == {JobState.SUCCEEDED: 2, JobState.FAILED: 1}


def test_jobs_are_found_by_the_beginning_of_their_name(rig: Rig) -> None:
    """Parents of arrays and not their children; no sign in a name means anything."""
    job = rig.submit(OK, array_size=2)
    name = rig.jobs.describe(job).name

    assert [found.id for found in rig.jobs.named(name[:3])] == [job]
    assert rig.jobs.named("%") == ()


def test_stopping_an_array_stops_every_child(rig: Rig) -> None:
    """Those that run and those that wait; the parent says why."""
    job = rig.submit(FOREVER, array_size=4)
    with rig.ticking() as until:
        until(lambda: rig.begun(f"{job}:0") and rig.begun(f"{job}:1"))
        rig.jobs.stop(job, "enough")
        until(lambda: rig.state(job).ended)

    assert {child.reason for child in rig.jobs.children(job)} == {"enough"}
    assert rig.jobs.describe(job).reason == "enough"


def test_the_largest_array_is_no_effort(rig: Rig) -> None:
    """10,000 children of a stopped job: added, ended and counted without a process."""
    job = rig.submit(array_size=10_000)

    rig.jobs.stop(job, "enough")
    rig.finish()

    assert rig.state(job) == JobState.FAILED
    assert rig.jobs.describe(job).array_counts == {JobState.FAILED: 10_000}


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"name": "a b"},
        {"name": "a" * 129},
        {"queue": "fast"},
        {"array_size": 1},
        {"array_size": 10_001},
    ],
    ids=",".join,
)
def test_what_batch_would_refuse_is_refused(rig: Rig, changes: dict[str, object]) -> None:
    """With a code; nothing is added."""
    with pytest.raises(JobRejected):
        rig.jobs.submit(replace(rig.request(), **changes))  # type: ignore[arg-type]

    assert list(rig.jobs.list()) == []


def test_lists_are_newest_first_and_by_state(rig: Rig) -> None:
    """At most as many as asked for."""
    jobs = [rig.submit() for _ in range(3)]
    rig.jobs.stop(jobs[0], "enough")

    assert [found.id for found in rig.jobs.list(limit=2)] == [jobs[2], jobs[1]]
    assert [found.id for found in rig.jobs.list(JobState.FAILED)] == [jobs[0]]


def test_a_job_that_is_not_there_is_said_so(rig: Rig) -> None:
    """By every method, with one code."""
    for ask in (
        lambda: rig.jobs.describe("x"),
        lambda: rig.jobs.stop("x", "y"),
        lambda: rig.jobs.children("x"),
        lambda: list(rig.jobs.logs("x")),
    ):
        with pytest.raises(JobMissing):
            ask()


def test_lines_that_are_no_text_can_be_read(rig: Rig) -> None:
    """Bytes that are no UTF-8, a line that never ends, a missing end of line."""
    job = rig.submit(
        r"import sys; sys.stdout.buffer.write(b'\xff\r\n' + b'a' * 3_000_000 + b'\nlast')"
    )

    rig.finish()
    lines = list(rig.jobs.logs(job))

    assert (lines[0], lines[-1]) == ("�", "last")
    assert sum(len(line) for line in lines[1:-1]) == 3_000_000
    assert max(map(len, lines)) <= 1_100_000


def test_a_file_that_is_no_table_is_an_error_of_ours(tmp_path: Path) -> None:
    """No traceback of SQLite's, and the file stays as it is."""
    (tmp_path / "jobs.sqlite").write_bytes(b"something else, long enough to be looked at" * 100)

    with pytest.raises(ConfigurationError):
        Rig(tmp_path).jobs.list()


def test_a_table_of_another_version_is_left_alone(tmp_path: Path) -> None:
    """A newer Safelight has made it."""
    with sqlite3.connect(tmp_path / "jobs.sqlite") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()

    with pytest.raises(ConfigurationError, match="version 99"):
        Rig(tmp_path).jobs.list()
