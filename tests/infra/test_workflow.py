"""What is said about the state machine, its function and the rule between bus and function."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batch.catalogue import KINDS
from batch.workflows.compiler import compiled
from stack.workflow import filled, used
from tests.infra.declared import Declaration
from worker.domain.errors import WorkflowError
from worker.local.workflows import INVOKE, SUBMIT_JOB
from worker.recipes.workflow import load

ARN = "arn:aws:states:eu-central-1:123456789012:stateMachine:"


def test_the_state_machine_names_what_was_deployed(ordered: Declaration) -> None:
    """Every placeholder of the file is filled with a resource of this stack."""
    text = ordered.one("sfn/StateMachine", "video").inputs["definition"]

    assert "${" not in text
    assert json.loads(text)["StartAt"]
    for kind in re.findall(r"arn:aws:batch:safelight-test-([a-z-]+)", text):
        assert kind in {*KINDS, "standard"}


def test_the_deployed_definition_is_whole(ordered: Declaration) -> None:
    """With the names of this stack in it: every state is reached, every next one is there."""
    machine = json.loads(ordered.one("sfn/StateMachine", "video").inputs["definition"])

    for level in _levels(machine):
        assert _reached(level) == level["States"].keys()


def test_every_task_is_tried_again_when_it_is_throttled(ordered: Declaration) -> None:
    """And no failing job ends an execution before the record is committed."""
    machine = json.loads(ordered.one("sfn/StateMachine", "video").inputs["definition"])
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
    """Without the choice there is no right; with it those to count, blur and tag, too."""
    without, granted = (_actions(one) for one in (ordered, chosen))
    assert not [one for one in without if one.startswith("rekognition:")]
    assert granted - without == {
        "rekognition:DetectModerationLabels",
        "rekognition:DetectLabels",
        "dynamodb:UpdateItem",
        "dynamodb:BatchGetItem",
        "dynamodb:DeleteItem",
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
    text = json.dumps(compiled(load("video")))
    filled = ordered.one("sfn/StateMachine", "video").inputs["definition"]
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
        filled(compiled(load("video")), {"Queue": "q"})


def test_every_job_has_a_share(ordered: Declaration) -> None:
    """Queues with a scheduling policy refuse jobs without one, of letters and digits."""
    definition = json.loads(ordered.one("sfn/StateMachine", "video").inputs["definition"])
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
    function = ordered.one("lambda/Function", "workflow")
    variables = function.inputs["environment"]["variables"]
    machines = dict(one.split("=") for one in variables["SAFELIGHT_WORKFLOWS"].split(","))

    assert machines.keys() == {"video", "approve", "moderate"}
    for name, arn in machines.items():
        machine = ordered.one("sfn/StateMachine", name)
        assert arn == ARN + machine.inputs["name"]
        assert "arn:aws:lambda:safelight-test-workflow" in machine.inputs["definition"]


def test_what_has_a_workflow_reaches_the_function(ordered: Declaration) -> None:
    """The rule on our own bus, its target with dead letters, and the right to call."""
    rule = ordered.one("cloudwatch/EventRule", "workflow")
    target = ordered.one("cloudwatch/EventTarget", "workflow")

    assert rule.document("eventPattern") == {
        "source": ["safelight"],
        "$or": [
            {"detail": {"data": {"workflow": [{"exists": True}]}}},
            {"detail-type": ["asset.approved", "asset.disapproved", "asset.held"]},
            {"detail": {"data": {"was": ["review"]}}},
            {"detail": {"data": {"replaced": ["review"]}}},
        ],
    }
    assert rule.inputs["eventBusName"] == "safelight-test-events"
    assert target.inputs["deadLetterConfig"] == {"arn": "arn:aws:sqs:safelight-test-heavy-dead"}
    assert ("lambda/Permission", "workflow") in target.waits_for


def test_only_the_function_and_its_rights_on_these_resources(ordered: Declaration) -> None:
    """It starts this machine, reads results, commits, moves what is rejected."""
    rights = {
        action: one["Resource"]
        for one in ordered.one("iam/RolePolicy", "workflow").statements()
        for action in one["Action"]
    }

    assert rights["states:StartExecution"] == [
        f"{ARN}safelight-test-{name}" for name in ("video", "approve", "moderate")
    ]
    assert rights["states:SendTaskSuccess"] == ["*"]
    assert "batch:SubmitJob" not in rights
    assert "events:PutEvents" not in rights


def test_the_state_machine_waits_for_its_rights(ordered: Declaration) -> None:
    """AWS tries the role when the machine is made."""
    assert ("iam/RolePolicy", "video") in ordered.one("sfn/StateMachine", "video").waits_for


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


def test_machines_begin_no_trace_of_their_own(ordered: Declaration) -> None:
    """Their stages write spans of the upload's trace; X-Ray's own would be another one."""
    for machine in ordered.of("sfn/StateMachine"):
        assert "tracingConfiguration" not in machine.inputs


def test_jobs_are_traced_unless_told(ordered: Declaration, chosen: Declaration) -> None:
    """As the functions are: by variables of the definition and a right of the role."""
    wanted = {"name": "SAFELIGHT_TRACE_TO", "value": "xray"}
    for declared, traced in ((ordered, True), (chosen, False)):
        for definition in declared.of("batch/JobDefinition"):
            properties = json.loads(definition.inputs["containerProperties"])
            assert (wanted in properties["environment"]) is traced
        statements = declared.one("iam/RolePolicy", "job").statements()
        assert any("xray:PutSpans" in one["Action"] for one in statements) is traced


@pytest.mark.parametrize("name", ["approve", "moderate"])
def test_a_machine_without_jobs_may_only_call_the_function(ordered: Declaration, name: str) -> None:
    """And write its log."""
    statements = ordered.one("iam/RolePolicy", name).statements()
    rights = {action: one["Resource"] for one in statements for action in one["Action"]}

    assert rights["lambda:InvokeFunction"] == ["arn:aws:lambda:safelight-test-workflow"]
    assert {action.partition(":")[0] for action in rights} == {"lambda", "logs"}


def test_each_machine_has_its_role_log_and_alarm(ordered: Declaration) -> None:
    """A failed review does not ring as a failed video."""
    for name in ("video", "approve", "moderate"):
        machine = ordered.one("sfn/StateMachine", name)
        assert machine.inputs["roleArn"] == f"arn:aws:iam:safelight-test-{name}"
        assert machine.inputs["type"] == "STANDARD"
        log = machine.inputs["loggingConfiguration"]
        assert log["includeExecutionData"] is False
        assert ordered.one("cloudwatch/MetricAlarm", f"{name}-failed")


def test_the_api_starts_only_jobs_again(full: Declaration) -> None:
    """Its right and its setting name the machines of heavy uploads."""
    (rights,) = (
        one["Resource"]
        for one in full.one("iam/RolePolicy", "api").statements()
        if "states:StartExecution" in one["Action"]
    )

    assert rights == [f"{ARN}safelight-test-video"]


def test_a_team_deploys_its_own_workflow(tmp_path: Path) -> None:
    """By the path of its file; one with mistakes, or with a name that is taken, stops."""
    text = STRICT
    (tmp_path / "strict.toml").write_text(text)
    found = used(["approve", str(tmp_path / "strict.toml"), "approve"])
    assert [*found] == ["video", "approve", "strict"]

    (tmp_path / "other.toml").write_text(text.replace('"strict"', '"approve"'))
    with pytest.raises(ValueError, match="two workflows with the name approve"):
        used(["approve", str(tmp_path / "other.toml")])
    (tmp_path / "wrong.toml").write_text(text.replace('"people"', '"peple"', 1))
    with pytest.raises(WorkflowError, match="peple"):
        used([str(tmp_path / "wrong.toml")])


STRICT = """
name = "strict"
version = 1
starts = "always"
first = "people"
failed = "broken"
[stages.people]
kind = "approve"
on = { approved = "open", rejected = "refuse", held = "end" }
[stages.refuse]
kind = "reject"
next = "end"
[stages.open]
kind = "publish"
next = "end"
[stages.broken]
kind = "fail"
error = "Broken"
message = "Look at it."
"""
