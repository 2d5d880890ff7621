"""Workflows on Step Functions."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from tests.contract.canned import Canned, clients_for, serving
from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.stepfunctions import INPUT_BYTES, StepFunctionsWorkflows, execution_name
from worker.domain.errors import (
    ConfigurationError,
    EngineError,
    SafelightError,
    TaskRefused,
    Unreachable,
)
from worker.domain.workflow import RunState
from worker.local.emulator import ACCOUNT, REGION, free_port
from worker.ports import Executions

WAITS = {
    "StartAt": "Wait",
    "States": {"Wait": {"Type": "Wait", "Seconds": 3600, "End": True}},
}
ENDS = {"StartAt": "Pass", "States": {"Pass": {"Type": "Pass", "End": True}}}


@dataclass(frozen=True)
class Floor:
    """Workflows called ``waits`` and ``ends``, and what they were started with."""

    workflows: Executions
    payloads: Callable[[str], list[Any]]


@pytest.fixture
def floor(clients: AwsClients, fresh: Callable[[str], str]) -> Floor:
    """Two state machines: one that waits, one that ends."""
    machines = {}
    for name, definition in (("waits", WAITS), ("ends", ENDS)):
        machines[name] = clients.stepfunctions.create_state_machine(
            name=fresh(name),
            definition=json.dumps(definition),
            roleArn=f"arn:aws:iam::{ACCOUNT}:role/any",
        )["stateMachineArn"]

    def payloads(name: str) -> list[Any]:
        listed = clients.stepfunctions.list_executions(stateMachineArn=machines[name])
        arns = [each["executionArn"] for each in listed["executions"]]
        described = [clients.stepfunctions.describe_execution(executionArn=arn) for arn in arns]
        return [json.loads(each["input"]) for each in described]

    return Floor(StepFunctionsWorkflows(clients, machines), payloads)


def test_a_start_carries_its_payload(floor: Floor) -> None:
    """The run gets what it was started with, text of any language included."""
    payload = {"asset": "a", "numbers": [1, 2.5], "title": "größer 🙂"}

    floor.workflows.start("waits", "one", payload)

    assert floor.payloads("waits") == [payload]
    assert floor.payloads("ends") == []


@pytest.mark.parametrize("workflow", ["waits", "ends"])
@pytest.mark.parametrize("again", [{"x": 1}, {"x": 2}], ids=["same", "other"])
def test_a_name_starts_once(floor: Floor, workflow: str, again: dict[str, object]) -> None:
    """Started again while running or ended, with any payload, a name gives the first run."""
    first = floor.workflows.start(workflow, "one", {"x": 1})

    assert floor.workflows.start(workflow, "one", again) == first
    assert floor.payloads(workflow) == [{"x": 1}]


def test_two_at_once_start_one(floor: Floor) -> None:
    """Workers that start the same name at the same time start one run."""
    with ThreadPoolExecutor(4) as threads:
        ids = list(threads.map(lambda n: floor.workflows.start("waits", "n", {}), range(8)))

    assert len(set(ids)) == 1
    assert floor.payloads("waits") == [{}]


@pytest.mark.parametrize(
    "name",
    ["", " ", "a b", "a/b:c*?", "日本語", "\ud800", "\x00", "x" * 80, "x" * 81, "é" * 200],
    ids=lambda name: ascii(name[:8]),
)
def test_any_name_starts_once(floor: Floor, name: str) -> None:
    """Names that Step Functions would refuse work, too, and mean the same the next time."""
    first = floor.workflows.start("waits", name, {})

    assert floor.workflows.start("waits", name, {}) == first
    assert floor.payloads("waits") == [{}]


def test_names_stay_apart(floor: Floor) -> None:
    """Names that look alike once cleaned, or in two workflows, are runs of their own."""
    names = ["a b", "a/b", "a:b", "a-b", "x" * 81, "x" * 82]
    ids = {floor.workflows.start("waits", name, {}) for name in names}
    ids.add(floor.workflows.start("ends", "a-b", {}))

    assert len(ids) == 7


def test_an_unknown_workflow_is_a_mistake_of_the_deployment(floor: Floor) -> None:
    """A workflow that nobody has deployed is said by its name."""
    with pytest.raises(ConfigurationError, match="nothing"):
        floor.workflows.start("nothing", "one", {})


@pytest.mark.parametrize(
    "payload",
    [{"x": float("nan")}, {"x": b"bytes"}, {"x": "x" * INPUT_BYTES}],
    ids=["nan", "bytes", "large"],
)
def test_impossible_payloads_are_defects(floor: Floor, payload: dict[str, object]) -> None:
    """A payload that is not JSON or too large is refused before an execution starts."""
    with pytest.raises(EngineError):
        floor.workflows.start("waits", "one", payload)
    assert floor.payloads("waits") == []


def test_names_that_are_allowed_stay() -> None:
    """An allowed name is the execution's name: people look for it in the console."""
    assert execution_name("asset_1-v2") == "asset_1-v2"
    assert execution_name("x" * 80) == "x" * 80


def test_other_names_stay_readable() -> None:
    """Of another name the allowed part stays, and a digest tells it from its like."""
    name = execution_name("uploads/a cat.jpg")
    assert name.startswith("uploads-a-cat-jpg-")
    assert len(name) == len("uploads-a-cat-jpg-") + 16
    assert len(execution_name("é" * 500)) <= 80


def test_a_machine_that_is_gone_is_said(clients: AwsClients) -> None:
    """A state machine that does not exist is a mistake of the deployment, not the weather."""
    arn = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:gone"
    with pytest.raises(ConfigurationError):
        StepFunctionsWorkflows(clients, {"review": arn}).start("review", "one", {})


def test_nobody_listening_is_unreachable() -> None:
    """A refused connection is transient."""
    arn = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:review"
    with clients_for(f"http://127.0.0.1:{free_port()}") as clients, pytest.raises(Unreachable):
        StepFunctionsWorkflows(clients, {"review": arn}).start("review", "one", {})


# --- answers to stages that wait ----------------------------------------------------------------

DOCUMENTED = {
    "InvalidToken": "task_unknown",  # "The provided token is not valid."
    "TaskDoesNotExist": "task_unknown",  # "The activity does not exist."
    # "The task token has either expired or the task associated with the token has already been
    # closed.": timed out and used are one to AWS.
    "TaskTimedOut": "task_timed_out",
}
"""AWS Step Functions API Reference, SendTaskSuccess: what it says of a token, and ours."""
OUTCOME = {"outcome": "approved"}


@pytest.mark.parametrize("said", DOCUMENTED)
def test_a_refused_token_is_said_by_its_code(said: str) -> None:
    """As AWS documents its answers; the token is in no message."""
    body = json.dumps({"__type": said, "message": "told so by a test"}).encode()
    refusing = Canned(status=400, body=body, headers={"Content-Type": "application/x-amz-json-1.0"})
    with (
        serving(refusing),
        clients_for(refusing.endpoint) as clients,
        pytest.raises(TaskRefused) as caught,
    ):
        StepFunctionsWorkflows(clients, {}).answer("secret-token", OUTCOME)

    assert caught.value.code == DOCUMENTED[said]
    assert not caught.value.retryable
    assert caught.value.__cause__ is None
    assert "secret-token" not in str(caught.value)


@pytest.mark.parametrize("said", ["ThrottlingException", "ServiceUnavailable", "AccessDenied"])
def test_another_failure_of_an_answer_is_no_refusal(said: str) -> None:
    """The task still waits, so the answer may be retried."""
    body = json.dumps({"__type": said, "message": "told so by a test"}).encode()
    failing = Canned(
        status=503 if said == "ServiceUnavailable" else 400,
        body=body,
        headers={"Content-Type": "application/x-amz-json-1.0"},
    )
    with (
        serving(failing),
        clients_for(failing.endpoint) as clients,
        pytest.raises(SafelightError) as caught,
    ):
        StepFunctionsWorkflows(clients, {}).answer("secret-token", OUTCOME)

    assert not isinstance(caught.value, TaskRefused)
    assert "secret-token" not in str(caught.value)


def test_an_answer_lets_a_run_go_on(clients: AwsClients, fresh: Callable[[str], str]) -> None:
    """The stage's output is the answer; a second answer finds nothing that waits."""
    queue = clients.sqs.create_queue(QueueName=fresh("tokens"))["QueueUrl"]
    asks = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "Parameters": {"QueueUrl": queue, "MessageBody.$": "$$.Task.Token"},
        "End": True,
    }
    machine = clients.stepfunctions.create_state_machine(
        name=fresh("asks"),
        definition=json.dumps({"StartAt": "Ask", "States": {"Ask": asks}}),
        roleArn=f"arn:aws:iam::{ACCOUNT}:role/any",
    )["stateMachineArn"]
    workflows = StepFunctionsWorkflows(clients, {"asks": machine})
    run = workflows.start("asks", "one", {})
    (message,) = clients.sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20)["Messages"]
    token = message["Body"]

    workflows.answer(token, OUTCOME)

    ended: Any = {"status": "RUNNING"}
    while ended["status"] == "RUNNING":
        ended = clients.stepfunctions.describe_execution(executionArn=run)
    assert (ended["status"], json.loads(ended["output"])) == ("SUCCEEDED", OUTCOME)
    for wrong in (token, "never-issued"):
        with pytest.raises(TaskRefused):
            workflows.answer(wrong, OUTCOME)


# --- looking at runs ----------------------------------------------------------------------------


def test_runs_are_listed_newest_first_and_by_state(floor: Floor) -> None:
    """Without their inputs; at most as many as asked for."""
    for name in ("one", "two", "three"):
        floor.workflows.start("waits", name, {})
    assert [run.name for run in floor.workflows.runs("waits", limit=2)] == ["three", "two"]
    assert len(floor.workflows.runs("waits", RunState.RUNNING, limit=50)) == 3
    assert floor.workflows.runs("waits", RunState.FAILED, limit=50) == []
    assert floor.workflows.runs("ends", limit=50) == []
    with pytest.raises(ConfigurationError, match="nothing"):
        floor.workflows.runs("nothing", limit=1)


def test_a_run_is_shown_with_its_input_and_states(floor: Floor) -> None:
    """Found by the name it was started with, whatever that is; one that is not there is None."""
    floor.workflows.start("ends", "a/b", {"asset": "größer"})

    found = floor.workflows.run("ends", "a/b")
    while found is not None and found.state is RunState.RUNNING:
        found = floor.workflows.run("ends", "a/b")

    assert found is not None
    assert (found.workflow, found.state, found.input) == (
        "ends",
        RunState.SUCCEEDED,
        {"asset": "größer"},
    )
    assert found.states == ("Pass",)
    assert found.started_at <= found.stopped_at
    assert found.started_at.endswith("Z")
    assert floor.workflows.run("ends", "c") is None
    assert floor.workflows.run("waits", "a/b") is None
