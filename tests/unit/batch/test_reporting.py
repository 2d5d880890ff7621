"""What a job says about itself: how often, how far, how long still."""

from __future__ import annotations

import io
import json
import threading
from typing import Any

import pytest

from batch.catalogue import KINDS
from batch.reporting import Identity, JobReporter
from tests.unit.batch.attempts import JobsCatalog
from worker.domain.asset import JobRecord

ASSET = "7b6b3b1c-2f6e-4a57-9c55-0d1d5ad1c001"


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        """Start at nothing."""
        self.now = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


def said(log: io.StringIO) -> list[dict[str, Any]]:
    """The lines."""
    return [json.loads(line) for line in log.getvalue().splitlines()]


def test_progress_is_throttled_and_estimated() -> None:
    """One line in two seconds unless there is news; the time left follows from this attempt."""
    log, clock = io.StringIO(), Clock()
    reporter = JobReporter(Identity(kind="poster", job="j"), log, clock=clock)

    for second in range(11):
        clock.now = float(second)
        # An attempt that goes on from a checkpoint at a half.
        reporter.progress(0.5 + second * 0.04, "encoding")
    reporter.progress(0.9, "packaging")
    reporter.progress(2.0, "packaging")

    lines = said(log)
    assert [line["percent"] for line in lines] == [50.0, 58.0, 66.0, 74.0, 82.0, 90.0, 90.0, 100.0]
    assert "seconds_left" not in lines[0]
    assert lines[4]["percent_per_second"] == 4.0
    assert lines[4]["seconds_left"] == 4.5
    assert lines[-1]["seconds_left"] == 0.0


def test_what_a_checkpoint_had_tells_nothing_of_the_speed() -> None:
    """A step that goes on from a half is no faster for it, and numbers in it are no news."""
    log, clock = io.StringIO(), Clock()
    reporter = JobReporter(Identity(kind="transcode", job="j"), log, clock=clock)

    reporter.progress(0.0, "looking at the video")
    for second in range(11):
        clock.now = float(second)
        reporter.progress(0.5 + second * 0.01, f"encoding, {50 + second} of 100 parts done")

    lines = said(log)
    assert [line["percent"] for line in lines] == [0.0, 50.0, 52.0, 54.0, 56.0, 58.0, 60.0]
    assert "seconds_left" not in lines[1]
    assert (lines[-1]["percent_per_second"], lines[-1]["seconds_left"]) == (1.0, 40.0)


def test_a_quiet_job_has_a_heartbeat() -> None:
    """Without progress a line says that the job is alive."""
    beaten = threading.Event()

    class Log(io.StringIO):
        def write(self, text: str) -> int:
            if '"heartbeat"' in text:
                beaten.set()
            return super().write(text)

    with JobReporter(Identity(kind="poster", job="j"), Log(), heartbeat=0.01):
        assert beaten.wait(30)


def test_nothing_is_recorded_after_the_last_word() -> None:
    """A write in the background cannot make a job that has ended run again."""
    catalog = JobsCatalog()
    identity = Identity(kind="poster", job="j", asset=ASSET)
    reporter = JobReporter(identity, io.StringIO(), catalog=lambda: catalog)

    reporter.record("RUNNING")
    reporter.record("SUCCEEDED")
    reporter.record("RUNNING")

    assert [job.state for job in catalog.written] == ["RUNNING", "SUCCEEDED"]


def test_all_attempts_of_a_job_are_paid() -> None:
    """The vCPU seconds of an attempt that lost its machine are in those of the next one."""
    catalog, clock = JobsCatalog(), Clock()
    vcpus = KINDS["transcode"].vcpus
    for attempt, (seconds, state) in enumerate(((60, "RUNNING"), (30, "SUCCEEDED")), start=1):
        identity = Identity(kind="transcode", job="j", attempt=attempt, asset=ASSET)
        reporter = JobReporter(identity, io.StringIO(), catalog=lambda: catalog, clock=clock)
        clock.now += seconds
        reporter.record(state)

    assert [float(job.detail["vcpu_seconds"]) for job in catalog.written] == [
        60 * vcpus,
        90 * vcpus,
    ]


def test_a_catalog_that_hangs_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last word is given up with a warning while an earlier write does not come back."""
    monkeypatch.setattr("batch.reporting.RECORD_SECONDS", 0.01)
    entered, release = threading.Event(), threading.Event()
    log = io.StringIO()

    class Hanging(JobsCatalog):
        def put_job(self, job: JobRecord) -> None:
            entered.set()
            release.wait(30)

    identity = Identity(kind="poster", job="j", asset=ASSET)
    with JobReporter(identity, log, catalog=Hanging) as reporter:
        assert entered.wait(30)
        reporter.record("SUCCEEDED")
        release.set()

    assert "warning" in [line["event"] for line in said(log)]


def test_a_log_that_nobody_reads_any_more_is_no_error() -> None:
    """A closed pipe does not end the work."""
    log = io.StringIO()
    log.close()

    JobReporter(Identity(kind="poster", job="j"), log).event("started")
