"""How a job and its lines are said to a person."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from worker.domain.job import JobState, JobStatus
from worker.entrypoints.cli.jobs import exit_code, log_json, log_text, standing, state_text
from worker.services.process_files.wording import age_text


@pytest.mark.parametrize(
    ("code", "expected"), [(65, 1), (1, 70), (2, 2), (75, 75), (137, 75), (None, 75)]
)
def test_the_exit_code_of_a_job_is_translated(code: int | None, expected: int) -> None:
    """Rejected, a defect, wrong use, try again."""
    failed = JobStatus(id="j", name="n", kind="k", state=JobState.FAILED, exit_code=code)
    good = JobStatus(id="g", name="n", kind="k", state=JobState.SUCCEEDED, exit_code=0)

    assert exit_code([good, failed]) == expected
    assert exit_code([good]) == 0


def test_an_output_folder_that_cannot_be_written_is_no_defect() -> None:
    """The same exit code as for every other command."""
    trouble = "output_unwritable: /proc/x: No such file or directory"
    failed = JobStatus(
        id="j", name="n", kind="k", state=JobState.FAILED, exit_code=1, trouble=trouble
    )

    assert exit_code([failed]) == 3


def test_why_a_job_failed_is_told_by_who_knows() -> None:
    """The job itself, unless it was stopped: then whoever stopped it."""
    common: dict[str, Any] = {"id": "j", "name": "n", "kind": "k", "state": JobState.FAILED}

    said = JobStatus(**common, reason="exited", trouble="truncated: it ends early")
    stopped = JobStatus(**common, reason="no longer wanted", trouble="stopped: by SIGTERM")
    silent = JobStatus(**common, reason="exited")

    assert [state_text(job) for job in (said, stopped, silent)] == [
        "FAILED - truncated: it ends early",
        "FAILED - no longer wanted",
        "FAILED - exited",
    ]
    assert standing(said) == "truncated: it ends early"
    assert standing(replace(said, attempts=2)) == "attempt 2: truncated: it ends early"


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"event": "done", "seconds": 3.21, "outputs": 4}, "done in 3.2 s, files: 4"),
        ({"event": "unchanged", "seconds": 0.1}, "done before, nothing to do in 100 ms"),
        ({"event": "heartbeat", "percent": 50.0, "doing": "waiting"}, " 50.0 %  waiting"),
        (
            {"event": "stopped", "code": "stopped", "message": "SIGTERM"},
            "stopped: SIGTERM",
        ),
        ({"event": "failed", "code": "engine_failed", "message": "x", "at": "run.py:3"}, None),
        ({"event": "news of a later version"}, "news of a later version: "),
    ],
    ids=lambda value: value["event"] if isinstance(value, dict) else "",
)
def test_every_event_is_a_sentence(event: dict[str, Any], said: str | None) -> None:
    """Those of docs/jobs.md, and one that nobody knows yet."""
    line = json.dumps({"time": "2026-01-02T03:04:05.678Z", **event})
    expected = "failed: engine_failed: x (run.py:3)" if said is None else said

    assert log_text(line) == f"2026-01-02 03:04:05  {expected}"
    assert log_json(line) == json.loads(line)


@pytest.mark.parametrize("line", ["", "plain", "{", '{"a": 1}', "[1, 2]", "[3] x", "{" * 3000])
def test_what_is_no_event_stays_as_it_is(line: str) -> None:
    """Programs write lines of their own."""
    assert log_text(line) == line
    assert log_json(line) == {"line": line}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        *((-5, "0 s"), (0, "0 s"), (99, "99 s"), (100, "1 min"), (5999, "99 min")),
        *((6000, "1 h"), (172_799, "47 h"), (172_800, "2 d"), (86_400 * 1500, "1,500 d")),
    ],
)
def test_an_age_is_a_number_and_a_unit(seconds: int, said: str) -> None:
    """Rounded down; a clock that is ahead makes nothing younger than now."""
    now = datetime(2026, 1, 2, tzinfo=UTC)

    assert age_text((now - timedelta(seconds=seconds)).isoformat(), now) == said


@pytest.mark.parametrize("time", ["", "soon", "2026-01-01T00:00:00"])
def test_an_unknown_time_has_no_age(time: str) -> None:
    """Nothing is guessed about a time without its zone."""
    assert age_text(time, datetime(2026, 1, 2, tzinfo=UTC)) == ""
