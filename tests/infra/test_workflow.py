"""What is said about the state machine, its function and the rule between bus and function."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from batch.catalogue import KINDS
from stack.workflow import DEFINITION, filled
from tests.infra.declared import Declaration
from worker.local.workflows import INVOKE, SUBMIT_JOB


def test_the_state_machine_names_what_was_deployed(ordered: Declaration) -> None:
    """Every placeholder of the file is filled with a resource of this stack."""
    text = ordered.one("sfn/StateMachine", "heavy").inputs["definition"]

    assert "${" not in text
    assert json.loads(text)["StartAt"]
    for kind in re.findall(r"arn:aws:batch:safelight-test-([a-z-]+)", text):
        assert kind in {*KINDS, "standard"}


def test_the_deployed_definition_is_whole(ordered: Declaration) -> None:
    """With the names of this stack in it: every state is reached, every next one is there."""
    machine = json.loads(ordered.one("sfn/StateMachine", "heavy").inputs["definition"])

    for level in _levels(machine):
        assert _reached(level) == level["States"].keys()


def test_every_task_is_tried_again_when_it_is_throttled(ordered: Declaration) -> None:
    """And no failing job ends an execution before the record is committed."""
    machine = json.loads(ordered.one("sfn/StateMachine", "heavy").inputs["definition"])
    throttled = {
        SUBMIT_JOB: "Batch.TooManyRequestsException",
        INVOKE: "Lambda.TooManyRequestsException",
    }
    states = [state for level in _levels(machine) for state in level["States"].values()]
    tasks = [state for state in states if state["Type"] == "Task"]

    assert [one["Resource"] for one in tasks].count(SUBMIT_JOB) == 9
    for task in tasks:
        retried = {name for rule in task["Retry"] for name in rule["ErrorEquals"]}
        assert throttled[task["Resource"]] in retried
        if task["Resource"] == SUBMIT_JOB:
            assert [one["ErrorEquals"] for one in task["Catch"]] == [["States.ALL"]]
        else:
            assert "TransientError" in retried


def test_rekognition_is_asked_only_where_it_was_chosen(
    ordered: Declaration, chosen: Declaration
) -> None:
    """Without the choice there is no right; with it there are those to count and to blur, too."""
    without, granted = (_actions(one) for one in (ordered, chosen))
    assert not [one for one in without if one.startswith("rekognition:")]
    assert granted - without == {
        "rekognition:DetectModerationLabels",
        "rekognition:DetectLabels",
        "dynamodb:UpdateItem",
        "dynamodb:BatchGetItem",
    }
    variables = chosen.one("lambda/Function", "workflow").inputs["environment"]["variables"]
    assert variables["SAFELIGHT_REKOGNITION_RATE"] == "50"


def _actions(declared: Declaration) -> set[str]:
    """What the workflow function may do."""
    policy = json.loads(declared.one("iam/RolePolicy", "workflow").inputs["policy"])
    return {action for statement in policy["Statement"] for action in statement["Action"]}


def _levels(machine: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A machine, and the branches in it."""
    yield machine
    for state in machine["States"].values():
        for branch in state.get("Branches", ()):
            yield from _levels(branch)


def _reached(level: dict[str, Any]) -> set[str]:
    """The states that are reached from the first, also those that are not there."""
    found, left = set(), [level["StartAt"]]
    while left:
        name = left.pop()
        if name in found:
            continue
        found.add(name)
        state = level["States"].get(name, {})
        ways = [state, *state.get("Choices", ()), *state.get("Catch", ())]
        left += [way[key] for way in ways for key in ("Next", "Default") if key in way]
    return found


def test_every_name_that_the_file_wants_is_given_by_its_meaning(ordered: Declaration) -> None:
    """Each job's definition under the kind's own name; no name stands for two things."""
    text = DEFINITION.read_text("utf-8")
    filled = ordered.one("sfn/StateMachine", "heavy").inputs["definition"]
    wanted = {*re.findall(r"\$\{(\w+)\}", text)}

    assert {"Queue", "WorkflowFunction"} < wanted
    for name in wanted:
        if name.startswith("Job"):
            kind = re.sub("(?<!^)(?=[A-Z])", "-", name.removeprefix("Job")).lower()
            arn = f"arn:aws:batch:safelight-test-{kind}"
            assert filled.count(f'"{arn}"') == text.count(f"${{{name}}}")


def test_a_name_that_is_not_given_stops_the_deployment() -> None:
    """And says which."""
    with pytest.raises(ValueError, match="not given: JobBatchProcess, JobPoster"):
        filled({"Queue": "q"})


def test_every_job_has_a_share(ordered: Declaration) -> None:
    """Queues with a scheduling policy refuse jobs without one, of letters and digits."""
    definition = json.loads(ordered.one("sfn/StateMachine", "heavy").inputs["definition"])
    shares = {job["JobName.$"]: job.get("ShareIdentifier", "") for job in _jobs(definition)}

    assert len(shares) == 9
    assert all(re.fullmatch("[a-z]+", share) for share in shares.values())
    for queue in ordered.of("batch/JobQueue"):
        assert queue.inputs["schedulingPolicyArn"]


def _jobs(value: Any) -> Iterator[dict[str, Any]]:
    """The parameters of every job in a definition."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        if "JobDefinition" in value:
            yield value
        for inner in value.values():
            yield from _jobs(inner)


def test_function_and_state_machine_know_each_other(ordered: Declaration) -> None:
    """The machine's name is fixed: the function is told its ARN before it is made."""
    machine = ordered.one("sfn/StateMachine", "heavy")
    function = ordered.one("lambda/Function", "workflow")
    variables = function.inputs["environment"]["variables"]

    assert variables["SAFELIGHT_HEAVY_WORKFLOW"] == (
        f"arn:aws:states:eu-central-1:123456789012:stateMachine:{machine.inputs['name']}"
    )
    assert "arn:aws:lambda:safelight-test-workflow" in machine.inputs["definition"]


def test_heavy_uploads_reach_the_function(ordered: Declaration) -> None:
    """The rule on our own bus, its target with dead letters, and the right to call."""
    rule = ordered.one("cloudwatch/EventRule", "heavy")
    target = ordered.one("cloudwatch/EventTarget", "heavy")

    assert rule.document("eventPattern") == {
        "source": ["safelight"],
        "detail-type": ["asset.processing"],
    }
    assert rule.inputs["eventBusName"] == "safelight-test-events"
    assert target.inputs["deadLetterConfig"] == {"arn": "arn:aws:sqs:safelight-test-heavy-dead"}
    assert ("lambda/Permission", "heavy") in target.waits_for


def test_only_the_function_and_its_rights_on_these_resources(ordered: Declaration) -> None:
    """It starts this machine, reads results, commits, moves what is rejected, and tells."""
    rights = {
        action: one["Resource"]
        for one in ordered.one("iam/RolePolicy", "workflow").statements()
        for action in one["Action"]
    }

    assert rights["states:StartExecution"] == [
        "arn:aws:states:eu-central-1:123456789012:stateMachine:safelight-test-heavy"
    ]
    assert "batch:SubmitJob" not in rights
    assert rights["events:PutEvents"] == ["arn:aws:cloudwatch:safelight-test-events"]


def test_the_state_machine_waits_for_its_rights(ordered: Declaration) -> None:
    """AWS tries the role when the machine is made."""
    assert ("iam/RolePolicy", "heavy") in ordered.one("sfn/StateMachine", "heavy").waits_for


def test_what_the_function_fails_on_is_kept(ordered: Declaration) -> None:
    """The bus hands over and does not wait: after two more tries the event is a dead letter."""
    unattended = ordered.one("lambda/FunctionEventInvokeConfig", "workflow")
    dead = "arn:aws:sqs:safelight-test-heavy-dead"
    rights = {
        tuple(one["Action"]): one["Resource"]
        for one in ordered.one("iam/RolePolicy", "workflow").statements()
    }

    assert unattended.inputs["maximumRetryAttempts"] == 2
    assert unattended.inputs["destinationConfig"] == {"onFailure": {"destination": dead}}
    assert rights[("sqs:SendMessage",)] == [dead]
    assert ordered.exports["heavyDeadLetters"] == "https://aws:sqs/safelight-test-heavy-dead"


def test_executions_are_traced_unless_told(ordered: Declaration, chosen: Declaration) -> None:
    """As the functions are."""
    key = "tracingConfiguration"

    assert ordered.one("sfn/StateMachine", "heavy").inputs[key] == {"enabled": True}
    assert chosen.one("sfn/StateMachine", "heavy").inputs[key] == {"enabled": False}
