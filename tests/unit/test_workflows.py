"""What the local stack does for state machines: the tasks that it takes from the queue."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import batch.workflows
from tests.unit.memory_queue import MemoryQueue
from worker.domain.errors import (
    AccessDenied,
    MalformedMessage,
    Throttled,
    TransientError,
    Unreachable,
)
from worker.domain.job import JobState
from worker.local.batch.jobs import LocalJobs
from worker.local.batch.table import opened, request_of
from worker.local.iam_simulator import Require
from worker.local.workflows import (
    ATTEMPTS,
    INVOKE,
    INVOKE_AND_WAIT,
    QUEUE,
    SEND,
    SUBMIT_JOB,
    Deployed,
    WorkflowTasks,
    on_queue,
)

COMMAND = [
    *("run", "poster", "--input", "s3://b/k", "--output", "s3://o/p"),
    *("--asset", "a", "--access", "closed", "--trace", "00-1-2-01"),
    *("--param", "max_seconds=60"),
]
JOB: dict[str, Any] = {
    "JobName": "a-poster",
    "JobQueue": "arn:standard",
    "JobDefinition": "arn:poster:1",
    "ShareIdentifier": "poster",
    "ContainerOverrides": {"Command": COMMAND},
}
CALL = {"FunctionName": "arn:finish", "Payload": {"task": "finish"}}


class Tokens:
    """Remembers how tasks ended."""

    def __init__(self) -> None:
        self.outputs: dict[str, Any] = {}
        self.errors: dict[str, tuple[str, str]] = {}

    def succeed(self, token: str, output: object) -> None:
        """See ``TaskTokens``."""
        self.outputs[token] = output

    def fail(self, token: str, error: str, cause: str) -> None:
        """See ``TaskTokens``."""
        self.errors[token] = (error, cause)


class Rig:
    """The tasks of one machine, on a queue in memory and jobs that end when told."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.queue, self.tokens = folder, MemoryQueue(), Tokens()
        self.jobs = LocalJobs(folder)
        self.function: Callable[[Any], Any] = lambda _event: {}
        self.asked: list[tuple[str, str]] = []
        self.denied = ""

    def role_of(self, machine: str) -> Require:
        """What the role of a machine may do."""
        assert machine == "m"
        return self.require

    def require(self, action: str, resource: str) -> None:
        """See ``Require``."""
        self.asked.append((action, resource))
        if action == self.denied:
            raise AccessDenied(f"may not {action}")

    def tasks(self) -> WorkflowTasks:
        """In a process that has just been started."""
        return WorkflowTasks(
            queue=self.queue,
            url="heavy",
            dead_letters="dead",
            start=self.function,
            jobs=self.jobs,
            tokens=self.tokens,
            deployed=Deployed(
                kinds={"arn:poster:1": "poster"},
                queues={"arn:standard": "standard"},
                functions={"arn:finish": self.function},
                check=self.role_of,
            ),
        )

    def do(self, resource: str, parameters: Any, token: str = "t") -> None:
        """A state asks for something."""
        asked = {"machine": "m", "token": token, "resource": resource, "parameters": parameters}
        self.queue.send("heavy", [(json.dumps(asked), "", "")])
        self.tasks().once()

    def end(self, state: JobState, exit_code: int) -> None:
        """Every job ends."""
        with opened(self.folder) as database:
            values = (state.value, exit_code, "Essential container in task exited")
            database.execute("UPDATE jobs SET state = ?, exit_code = ?, reason = ?", values)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """With nothing in its queue."""
    return Rig(tmp_path)


# --- deploy -----------------------------------------------------------------------------------


def tasks_of(machine: Any) -> dict[str, Any]:
    """The tasks of a machine and of the branches in it, by name."""
    found = {}
    for name, state in machine["States"].items():
        if state["Type"] == "Task":
            found[name] = state
        for branch in state.get("Branches", ()):
            found |= tasks_of(branch)
    return found


def test_only_what_tasks_are_done_by_is_changed() -> None:
    """Parameters go along as they are; errors, results and what is next stay."""
    text = Path(batch.workflows.__file__).with_name("video.asl.json").read_text()

    before, after = tasks_of(json.loads(text)), tasks_of(json.loads(on_queue(text, "m")))

    assert len(before) == 10
    assert before.keys() == after.keys()
    for name, state in after.items():
        old, changed = before[name], {"Resource", "Parameters", "TimeoutSeconds"}
        assert state["Resource"] == SEND
        sent = state["Parameters"]["MessageBody"]
        assert state["Parameters"]["QueueUrl"] == QUEUE
        assert (sent["token.$"], sent["machine"]) == ("$$.Task.Token", "m")
        assert (sent["resource"], sent["parameters"]) == (old["Resource"], old["Parameters"])
        kept = [{k: v for k, v in one.items() if k not in changed} for one in (old, state)]
        assert kept[0] == kept[1]


def test_other_states_stay() -> None:
    """Tasks that the embedded AWS does itself, and a limit that a task has."""
    other = {"Type": "Task", "Resource": "arn:aws:states:::sns:publish", "End": True}
    job = {"Type": "Task", "Resource": SUBMIT_JOB, "TimeoutSeconds": 9, "End": True}
    loop = {"Type": "Map", "ItemProcessor": {"States": {"B": job}}, "End": True}

    states = json.loads(on_queue(json.dumps({"States": {"A": other, "L": loop}}), "m"))["States"]

    assert states["A"] == other
    inner = states["L"]["ItemProcessor"]["States"]["B"]
    assert (inner["Resource"], inner["TimeoutSeconds"]) == (SEND, 9)


# --- jobs -------------------------------------------------------------------------------------


def test_a_job_is_submitted_and_answered_for_when_it_has_ended(rig: Rig) -> None:
    """With what Batch says of it; by whichever process looks, and once."""
    rig.do(SUBMIT_JOB, JOB)

    (job,) = rig.jobs.list()
    assert (job.name, job.kind, job.queue, job.output) == (
        *("a-poster", "poster", "standard"),
        "s3://o/p",
    )
    with opened(rig.folder) as database:
        (row,) = database.execute("SELECT * FROM jobs")
        assert request_of(database, row).traceparent == "00-1-2-01"
        assert request_of(database, row).closed
    assert rig.tokens.outputs == {}
    rig.end(JobState.SUCCEEDED, 0)
    rig.tasks().once()
    assert rig.tokens.outputs.pop("t") == {
        "JobId": job.id,
        "JobName": "a-poster",
        "Status": "SUCCEEDED",
        "StatusReason": "Essential container in task exited",
        "Container": {"ExitCode": 0},
    }
    rig.tasks().once()
    assert rig.tokens.outputs == {}


def test_a_failed_job_fails_its_task(rig: Rig) -> None:
    """The cause is the description of the job."""
    rig.do(SUBMIT_JOB, JOB)
    rig.end(JobState.FAILED, 65)
    rig.tasks().once()

    error, cause = rig.tokens.errors["t"]
    assert error == "States.TaskFailed"
    assert json.loads(cause)["Container"] == {"ExitCode": 65}


def test_a_state_that_asks_again_gets_the_same_job(rig: Rig) -> None:
    """An execution that was started again has other tokens; all that wait are answered."""
    rig.do(SUBMIT_JOB, JOB, "lost")
    rig.do(SUBMIT_JOB, JOB, "again")
    rig.end(JobState.SUCCEEDED, 0)
    rig.do(SUBMIT_JOB, JOB, "late")
    rig.tasks().once()

    assert len(rig.jobs.list()) == 1
    assert {*rig.tokens.outputs} == {"lost", "again", "late"}


def test_an_array_has_the_size_that_the_state_says(rig: Rig) -> None:
    """Numbers are numbers, or their text."""
    rig.do(SUBMIT_JOB, {**JOB, "ArrayProperties": {"Size": 5}})

    assert rig.jobs.list()[0].array_size == 5


@pytest.mark.parametrize(
    "changes",
    [
        {"JobDefinition": "arn:other"},
        {"JobQueue": "arn:other"},
        {"Tags": {}},
        {"ContainerOverrides": {"Command": ["run", "poster"]}},
        {"ContainerOverrides": {"Command": ["run", "stitch", *COMMAND[2:]]}},
        {"ContainerOverrides": {"Command": ["run", "poster", "--output", "o", "--oops", "1"]}},
        {"ContainerOverrides": {"Command": ["run", "poster", "--output", "o", "--param", "x"]}},
        {"ContainerOverrides": {"Command": COMMAND, "Vcpus": 4}},
    ],
)
def test_what_is_no_job_fails_its_task(rig: Rig, changes: dict[str, Any]) -> None:
    """A task that is not understood fails."""
    rig.do(SUBMIT_JOB, {**JOB, **changes})

    assert rig.tokens.errors["t"][0] == "States.Runtime"
    assert rig.jobs.list() == ()
    assert rig.queue.bodies("heavy") == []


def test_what_batch_refuses_fails_its_task(rig: Rig) -> None:
    """With the error of Batch."""
    rig.do(SUBMIT_JOB, {**JOB, "JobName": "no name"})

    assert rig.tokens.errors["t"][0] == "Batch.ClientException"


# --- functions --------------------------------------------------------------------------------


def test_a_function_is_called_and_its_answer_is_the_output(rig: Rig) -> None:
    """As ``lambda:invoke`` gives it."""
    events = []

    def answer(event: Any) -> Any:
        events.append(event)
        return {"outcome": "accepted"}

    rig.function = answer

    rig.do(INVOKE, CALL)

    assert events == [{"task": "finish"}]
    assert rig.tokens.outputs["t"] == {
        "StatusCode": 200,
        "ExecutedVersion": "$LATEST",
        "Payload": {"outcome": "accepted"},
    }


@pytest.mark.parametrize(
    ("raised", "error", "message"),
    [
        (TransientError("down", code="x"), "TransientError", "down"),
        (ValueError("what?"), "ValueError", "what?"),
    ],
)
def test_what_a_function_raises_fails_its_task(
    rig: Rig, raised: Exception, error: str, message: str
) -> None:
    """By the name of the class, which a definition matches."""

    def fail(_event: Any) -> Any:
        raise raised

    rig.function = fail
    rig.do(INVOKE, CALL)

    found, cause = rig.tokens.errors["t"]
    assert (found, json.loads(cause)) == (error, {"errorType": error, "errorMessage": message})


def test_a_task_that_waits_is_answered_only_if_its_call_fails(rig: Rig) -> None:
    """The token goes on with the parameters; who gets it answers."""
    events: list[Any] = []
    rig.function = events.append
    rig.do(INVOKE_AND_WAIT, {**CALL, "Payload": {"task": "approve", "token": "t"}})
    assert events == [{"task": "approve", "token": "t"}]
    assert rig.tokens.outputs == rig.tokens.errors == {}

    def fail(_event: Any) -> None:
        raise Throttled("too many")

    rig.function = fail
    rig.do(INVOKE_AND_WAIT, CALL, "u")
    assert rig.tokens.outputs == {}
    assert rig.tokens.errors["u"][0] == "Throttled"


def test_a_function_that_is_not_there_or_answers_no_json(rig: Rig) -> None:
    """Fails its task, as Lambda does."""
    rig.function = lambda _event: {1, 2}
    rig.do(INVOKE, CALL, "set")
    rig.do(INVOKE, {**CALL, "FunctionName": "arn:other"}, "missing")

    assert rig.tokens.errors["set"][0] == "TypeError"
    assert rig.tokens.errors["missing"][0] == "Lambda.ResourceNotFoundException"


# --- rights -----------------------------------------------------------------------------------


def test_the_role_is_asked_before_each_step(rig: Rig) -> None:
    """For the definition and the queue of a job, for its state, for a function."""
    rig.do(SUBMIT_JOB, JOB)
    rig.end(JobState.SUCCEEDED, 0)
    rig.do(INVOKE, CALL)

    assert rig.asked == [
        ("batch:SubmitJob", "arn:poster:1"),
        ("batch:SubmitJob", "arn:standard"),
        ("batch:DescribeJobs", "*"),
        ("lambda:InvokeFunction", "arn:finish"),
    ]


@pytest.mark.parametrize(
    ("denied", "resource", "parameters", "error"),
    [
        ("batch:SubmitJob", SUBMIT_JOB, JOB, "Batch.AccessDeniedException"),
        ("lambda:InvokeFunction", INVOKE, CALL, "Lambda.AccessDeniedException"),
    ],
)
def test_what_the_role_does_not_allow_is_not_done(
    rig: Rig, denied: str, resource: str, parameters: Any, error: str
) -> None:
    """The task fails with the error of the service that refuses."""
    events: list[Any] = []
    rig.denied, rig.function = denied, events.append

    rig.do(resource, parameters)

    assert rig.tokens.errors["t"] == (error, f"may not {denied}")
    assert rig.jobs.list() == ()
    assert events == []


# --- events -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "error", "left", "dead"),
    [
        ("{}", None, 0, 0),
        ("not JSON", None, 0, 0),
        ("{}", MalformedMessage("what?"), 0, 1),
        ("{}", Unreachable("down"), 1, 0),
    ],
)
def test_events_are_done_when_they_are_done(
    rig: Rig, body: str, error: Exception | None, left: int, dead: int
) -> None:
    """One whose handler may succeed later comes again; one that never can is a dead letter after
    three calls, as with Lambda."""

    def start(_event: Any) -> Any:
        if error is not None:
            raise error

    rig.function = start
    rig.queue.send("heavy", [(body, "", "")])

    for _ in range(ATTEMPTS - 1):
        rig.tasks().once()
        assert rig.queue.bodies("dead") == []
        for one in rig.queue.waiting["heavy"]:
            one.hidden = False
    rig.tasks().once()

    assert len(rig.queue.bodies("heavy")) == left
    records = [json.loads(text) for text in rig.queue.bodies("dead")]
    answer = {"errorType": "MalformedMessage", "errorMessage": "what?"}
    assert records == [{"requestPayload": {}, "responsePayload": answer}] * dead
