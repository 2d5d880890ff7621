"""Jobs on AWS Batch: the exact requests, and what its answers and errors become."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.batch_stubs import BY_NAME, COMMAND, QUEUE, REQUEST, SUBMISSION, Stubs
from worker.adapters.aws.batch import Pace
from worker.domain.errors import (
    AccessDenied,
    ConfigurationError,
    EngineError,
    JobMissing,
    JobRejected,
    SafelightError,
    Throttled,
    Unreachable,
)
from worker.domain.job import JobState


@pytest.fixture
def stubs() -> Iterator[Stubs]:
    """Every answer that was prepared must have been asked for."""
    made = Stubs()
    with made.batch, made.logs:
        yield made
        made.batch.assert_no_pending_responses()
        made.logs.assert_no_pending_responses()
    made.clients.close()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"array_size": 3}, {"arrayProperties": {"size": 3}}),
        (
            {"asset": None},
            {
                "tags": {"safelight:kind": "transcode"},
                "containerOverrides": {"command": COMMAND[:-2]},
            },
        ),
        (
            {"kind": "hdr-merge"},
            {
                "jobDefinition": "sl-test-hdr-merge",
                "shareIdentifier": "hdrmerge",  # letters and digits only
                "containerOverrides": {"command": ["run", "hdr-merge", *COMMAND[2:]]},
                "tags": {"safelight:kind": "hdr-merge", "safelight:asset": "a1"},
            },
        ),
    ],
    ids=["single", "array", "without an asset", "another kind"],
)
def test_a_job_is_submitted_once_its_name_is_found_free(
    stubs: Stubs, changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    """The queue is asked for the name; then the whole request, nothing more, nothing less."""
    stubs.free(*[expected["jobDefinition"]] if "jobDefinition" in expected else ())
    stubs.submitted(SUBMISSION | expected)

    assert stubs.jobs.submit(replace(REQUEST, **changes)) == "j1"


def test_a_live_or_finished_job_of_the_name_is_that_job(stubs: Stubs) -> None:
    """Found on a later page, among others whose names only look alike; nothing is submitted."""
    name = REQUEST.name
    stubs.queues(QUEUE)
    stubs.summaries(
        BY_NAME,
        {"jobId": "failed", "jobName": name, "status": "FAILED"},
        {"jobId": "upper", "jobName": name.upper()},
        {"jobId": "stopped", "jobName": name, "isTerminated": True},
        token="more",
    )
    stubs.summaries(
        {**BY_NAME, "nextToken": "more"}, {"jobId": "j9", "jobName": name, "status": "SUCCEEDED"}
    )

    assert stubs.jobs.submit(REQUEST) == "j9"


def test_of_two_that_are_submitted_at_once_the_older_stays(stubs: Stubs) -> None:
    """The submitter of the younger job stops it and gets the id of the older one."""
    name = REQUEST.name
    stubs.free()
    stubs.submitted(
        SUBMISSION,
        {"jobId": "failed", "jobName": name, "status": "FAILED", "createdAt": 1},
        {"jobId": "older", "jobName": name, "status": "SUBMITTED", "createdAt": 999},
        {"jobId": "younger", "jobName": name, "status": "SUBMITTED", "createdAt": 1001},
    )
    stubs.detail()
    reason = "the same job was submitted before: older"
    stubs.batch.add_response("terminate_job", {}, {"jobId": "j1", "reason": reason})

    assert stubs.jobs.submit(REQUEST) == "older"


def test_a_job_that_the_list_does_not_have_yet_is_the_job(stubs: Stubs) -> None:
    """Batch lists a new job a moment late."""
    stubs.free()
    answer = {"jobName": REQUEST.name, "jobId": "j1"}
    stubs.batch.add_response("submit_job", answer, SUBMISSION)
    stubs.summaries(BY_NAME)

    assert stubs.jobs.submit(REQUEST) == "j1"


def test_a_command_that_is_too_long_is_not_sent(stubs: Stubs) -> None:
    """Batch would cut it off with a worse message."""
    with pytest.raises(JobRejected, match="prefix"):
        stubs.jobs.submit(replace(REQUEST, inputs=("s3://bucket/" + "k" * 900,) * 30))


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("ClientException", 400, JobRejected),
        ("ServerException", 500, Unreachable),
        ("TooManyRequestsException", 429, Throttled),
        ("AccessDeniedException", 403, AccessDenied),
        ("Surprise", 400, EngineError),
    ],
)
def test_errors_of_batch_become_ours(
    stubs: Stubs, code: str, status: int, error: type[SafelightError]
) -> None:
    """Transient errors are retryable; refusals of Batch have a message of one line."""
    stubs.free()
    stubs.batch.add_client_error(
        "submit_job", service_error_code=code, service_message="no\n such", http_status_code=status
    )

    with pytest.raises(error, match="no such"):
        stubs.jobs.submit(REQUEST)


def test_a_deployment_that_is_not_there_is_told(stubs: Stubs) -> None:
    """With the setting that may be wrong; nothing is submitted."""
    stubs.queues()
    with pytest.raises(ConfigurationError, match="SAFELIGHT_BATCH_PREFIX"):
        stubs.jobs.submit(REQUEST)

    stubs.free("sl-test-poster-0a1b2c3")
    with pytest.raises(ConfigurationError, match="job definition sl-test-transcode"):
        stubs.jobs.submit(REQUEST)


def test_names_are_looked_up_once(stubs: Stubs) -> None:
    """Not for every job."""
    stubs.free()
    for number in range(3):
        if number:
            stubs.summaries(BY_NAME)
        stubs.submitted(SUBMISSION)

    assert [stubs.jobs.submit(REQUEST) for _ in range(3)] == ["j1", "j1", "j1"]


def test_a_description_has_all_that_batch_knows(stubs: Stubs) -> None:
    """Names are without prefixes, times are text, the running attempt counts."""
    stubs.detail(statusReason="because")

    found = stubs.jobs.describe("j1")

    assert (found.id, found.kind, found.queue) == ("j1", "audio-waveform", "urgent")
    assert (found.state, found.attempts, found.reason) == (JobState.RUNNING, 2, "because")
    assert (found.created_at, found.started_at) == (
        "2023-11-14T22:13:20.000Z",
        "2023-11-14T22:13:21.000Z",
    )
    assert (found.stopped_at, found.log, found.output) == ("", "second", "s3://d/out/")


def test_a_parent_counts_its_children(stubs: Stubs) -> None:
    """States nobody is in are left out."""
    summary = {"SUCCEEDED": 2, "FAILED": 0, "RUNNING": 1}
    stubs.detail(status="PENDING", arrayProperties={"size": 3, "statusSummary": summary})

    found = stubs.jobs.describe("j1")

    assert found.array_size == 3
    assert found.array_counts == {JobState.SUCCEEDED: 2, JobState.RUNNING: 1}


def test_children_are_in_order_of_their_index(stubs: Stubs) -> None:
    """Batch lists them by state; a single job has none, and nothing is listed."""
    stubs.detail()
    assert list(stubs.jobs.children("j1")) == []

    stubs.detail(arrayProperties={"size": 2})
    for state in JobState:
        index = {"RUNNING": 1, "SUCCEEDED": 0}.get(state.value)
        made = (
            [{"jobId": f"j1:{index}", "status": state.value, "arrayProperties": {"index": index}}]
            if index is not None
            else []
        )
        stubs.summaries({"arrayJobId": "j1", "jobStatus": state.value, "maxResults": 100}, *made)

    found = stubs.jobs.children("j1")

    assert [(each.id, each.state) for each in found] == [
        ("j1:0", JobState.SUCCEEDED),
        ("j1:1", JobState.RUNNING),
    ]


QUEUES = {queue: f"sl-test-{queue}-0a1b2c3" for queue in ("urgent", "standard", "bulk")}


def test_a_list_is_of_every_queue_newest_first(stubs: Stubs) -> None:
    """All states with one request a queue, as many as asked for; one state is Batch's filter."""
    every = {"filters": [{"name": "AFTER_CREATED_AT", "values": ["0"]}], "maxResults": 100}
    stubs.queues(*QUEUES.values())
    for number, (queue, name) in enumerate(QUEUES.items(), 1):
        stubs.summaries(
            {"jobQueue": name, **every},
            {"jobId": queue, "createdAt": number * 1000},
            {"jobId": f"{queue}-older", "createdAt": 500},
        )
    for name in QUEUES.values():
        stubs.summaries({"jobQueue": name, "jobStatus": "FAILED", "maxResults": 100})

    assert [found.id for found in stubs.jobs.list(limit=3)] == ["bulk", "standard", "urgent"]
    assert list(stubs.jobs.list(JobState.FAILED)) == []


def test_jobs_are_found_by_the_beginning_of_their_name(stubs: Stubs) -> None:
    """In every queue, in any state; Batch knows no case, and names do."""
    stubs.queues(*QUEUES.values())
    named = {"filters": [{"name": "JOB_NAME", "values": ["film-*"]}], "maxResults": 100}
    for queue, name in QUEUES.items():
        stubs.summaries(
            {"jobQueue": name, **named},
            {"jobId": queue, "jobName": f"film-{queue}", "status": "SUCCEEDED"},
            {"jobId": "other", "jobName": f"Film-{queue}"},
        )

    assert [found.id for found in stubs.jobs.named("film-")] == ["urgent", "standard", "bulk"]


def test_a_stop_says_why(stubs: Stubs) -> None:
    """The reason ends up in the job's record; Batch takes at most so many characters."""
    stubs.detail()
    stubs.batch.add_response("terminate_job", {}, {"jobId": "j1", "reason": "x" * 1024})

    stubs.jobs.stop("j1", "x" * 2000)


def test_a_job_that_batch_does_not_know_is_missing(stubs: Stubs) -> None:
    """Also for a stop, which Batch itself takes for any id."""
    for ask in (
        lambda: stubs.jobs.describe("j1"),
        lambda: stubs.jobs.stop("j1", "x"),
        lambda: list(stubs.jobs.logs("j1")),
    ):
        stubs.batch.add_response("describe_jobs", {"jobs": []}, {"jobs": ["j1"]})
        with pytest.raises(JobMissing):
            ask()


def test_lines_are_those_of_every_attempt(stubs: Stubs) -> None:
    """Stream after stream, each until its token stays the same; one that is gone is no error."""
    options = {"logDriver": "awslogs", "options": {"awslogs-group": "/safelight/jobs"}}
    stubs.group = "/safelight/jobs"
    stubs.detail(container={"logStreamName": "second", "logConfiguration": options})
    stubs.logs.add_client_error("get_log_events", service_error_code="ResourceNotFoundException")
    stubs.events({"logStreamName": "second"}, ["a\n", "b"], "t1")
    stubs.events({"logStreamName": "second", "nextToken": "t1"}, ["c"], "t2")
    stubs.events({"logStreamName": "second", "nextToken": "t2"}, [], "t2")

    assert list(stubs.jobs.logs("j1")) == ["a", "b", "c"]


def test_lines_can_be_followed_to_the_end_of_the_job(stubs: Stubs) -> None:
    """Read on from where it was; a last time after the job has ended."""
    one: dict[str, Any] = {"attempts": [], "container": {"logStreamName": "s"}}
    stubs.detail(**one)
    stubs.events({"logStreamName": "s"}, ["a"], "t1")
    stubs.events({"logStreamName": "s", "nextToken": "t1"}, [], "t1")
    stubs.detail(**one, status="SUCCEEDED")
    stubs.events({"logStreamName": "s", "nextToken": "t1"}, ["b"], "t2")
    stubs.events({"logStreamName": "s", "nextToken": "t2"}, [], "t2")

    assert list(stubs.jobs.logs("j1", follow=True)) == ["a", "b"]
    assert stubs.slept == [2.0]


def test_submits_stay_below_the_limit() -> None:
    """A second's worth at once, then one each fraction of a second; a pause fills the bucket."""
    now, waits = [0.0], []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    pace = Pace(40, clock=lambda: now[0], sleep=sleep)
    for _ in range(200):
        pace.wait()

    assert len(waits) == 160
    assert now[0] == pytest.approx(160 / 40)
    now[0] += 100
    waits.clear()
    for _ in range(40):
        pace.wait()
    assert waits == []
