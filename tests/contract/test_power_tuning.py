"""What power tuning reads from Step Functions and Lambda: on the emulator, and given answers.

``botocore.stub`` checks the given answers against botocore's models of the services.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.stub import Stubber

from tests.contract.canned import clients_for
from worker.adapters.aws import functions
from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.stepfunctions import StepFunctionsWorkflows
from worker.domain.errors import AccessDenied, EngineError, SafelightError, Throttled
from worker.domain.workflow import RunResult
from worker.local.emulator import ACCOUNT
from worker.services.tune import FunctionFacts

WAITS = {
    "StartAt": "Wait",
    "States": {"Wait": {"Type": "Wait", "Seconds": 3600, "End": True}},
}
FAILS = {
    "StartAt": "Publisher",
    "States": {"Publisher": {"Type": "Fail", "Error": "Lambda.Unknown", "Cause": "out of memory"}},
}
TUNED = {
    "StartAt": "Analyzer",
    "States": {
        "Analyzer": {
            "Type": "Pass",
            "Result": {"power": 1769, "stats": [{"value": 1769, "averageDuration": 612.5}]},
            "ResultPath": "$.analysis",
            "Next": "Optimizer",
        },
        "Optimizer": {
            "Type": "Pass",
            "ResultPath": None,
            "OutputPath": "$.analysis",
            "End": True,
        },
    },
}
"""The last states of Lambda Power Tuning 4.4.0 (``statemachine.asl.json``), without functions."""


def ended(workflows: StepFunctionsWorkflows, workflow: str, name: str) -> RunResult:
    """What an execution has left, once it has ended."""
    while (found := workflows.result(workflow, name)) is None:
        pass
    return found


def test_an_execution_leaves_its_output(clients: AwsClients, fresh: Callable[[str], str]) -> None:
    """Parsed; an execution that runs has none, and one that failed its error and cause."""
    machines = {}
    for name, definition in (("waits", WAITS), ("tuned", TUNED), ("fails", FAILS)):
        machines[name] = clients.stepfunctions.create_state_machine(
            name=fresh(name),
            definition=json.dumps(definition),
            roleArn=f"arn:aws:iam::{ACCOUNT}:role/any",
        )["stateMachineArn"]
    workflows = StepFunctionsWorkflows(clients, machines)
    for workflow in machines:
        workflows.start(workflow, "one", {"num": 5})

    assert workflows.result("waits", "one") is None
    found = ended(workflows, "tuned", "one")
    assert (found.succeeded, found.failures) == (True, ())
    assert found.output == {
        "power": 1769,
        "stats": [{"value": 1769, "averageDuration": 612.5}],
    }
    found = ended(workflows, "fails", "one")
    assert not found.succeeded
    assert found.failures == ("Lambda.Unknown: out of memory",)


MACHINE = f"arn:aws:states:eu-central-1:{ACCOUNT}:stateMachine:tuning"
WHEN = datetime(2026, 11, 30, tzinfo=UTC)


def described(status: str, **members: object) -> dict[str, Any]:
    """An answer of DescribeExecution, in the form of botocore's model."""
    return {
        "executionArn": f"{MACHINE.replace('stateMachine', 'execution')}:one",
        "stateMachineArn": MACHINE,
        "name": "one",
        "status": status,
        "startDate": WHEN,
        **members,
    }


def test_failures_of_functions_are_read_from_the_history() -> None:
    """Those of tasks that were retried or whose error was caught, in an execution that succeeded.

    ``CleanUpOnError`` of Lambda Power Tuning is an end whose ``OutputPath`` is null: SUCCEEDED with
    ``{}``.
    """
    events: list[dict[str, Any]] = [
        {
            "type": "LambdaFunctionFailed",
            "lambdaFunctionFailedEventDetails": {"error": "Lambda.Unknown", "cause": "killed"},
        },
        {
            "type": "LambdaFunctionTimedOut",
            "lambdaFunctionTimedOutEventDetails": {"error": "States.Timeout"},
        },
        {
            "type": "LambdaFunctionSucceeded",
            "lambdaFunctionSucceededEventDetails": {"output": "{}"},
        },
        {
            "type": "LambdaFunctionStartFailed",
            "lambdaFunctionStartFailedEventDetails": {},
        },
    ]
    history = [
        {"timestamp": WHEN, "id": number, **event} for number, event in enumerate(events, start=1)
    ]
    with clients_for("http://127.0.0.1:1") as aws, Stubber(aws.stepfunctions) as stub:
        stub.add_response("describe_execution", described("SUCCEEDED", output="{}"))
        stub.add_response("get_execution_history", {"events": history[:2], "nextToken": "more"})
        stub.add_response("get_execution_history", {"events": history[2:]})

        found = StepFunctionsWorkflows(aws, {"tuning": MACHINE}).result("tuning", "one")

    assert found == RunResult(
        succeeded=True,
        output={},
        failures=(
            "Lambda.Unknown: killed",
            "States.Timeout",
            "LambdaFunctionStartFailed",
        ),
    )


def test_an_output_that_is_no_json_is_a_defect() -> None:
    """It is not taken for an empty one."""
    with clients_for("http://127.0.0.1:1") as aws, Stubber(aws.stepfunctions) as stub:
        stub.add_response("describe_execution", described("SUCCEEDED", output="{"))
        stub.add_response("get_execution_history", {"events": []})

        with pytest.raises(EngineError, match="the output of one is not JSON"):
            StepFunctionsWorkflows(aws, {"tuning": MACHINE}).result("tuning", "one")


@pytest.mark.parametrize(
    ("given", "log_format"),
    [({"LoggingConfig": {"LogFormat": "JSON"}}, "JSON"), ({}, "Text")],
)
def test_what_lambda_says_of_a_function(given: dict[str, Any], log_format: str) -> None:
    """Memory, architecture and log format; a function without a format logs text."""
    with clients_for("http://127.0.0.1:1") as aws, Stubber(aws.functions) as stub:
        stub.add_response(
            "get_function_configuration",
            {"MemorySize": 1769, "Architectures": ["arm64"], **given},
            {"FunctionName": "f"},
        )

        found = functions.facts(aws, "f")

    assert found == FunctionFacts(memory=1769, architecture="arm64", log_format=log_format)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("TooManyRequestsException", Throttled),
        ("AccessDeniedException", AccessDenied),
        ("ResourceNotFoundException", SafelightError),
    ],
)
def test_what_lambda_refuses_has_its_error(code: str, kind: type[SafelightError]) -> None:
    """A person who may not look at the function, or too often, is told so."""
    with clients_for("http://127.0.0.1:1") as aws, Stubber(aws.functions) as stub:
        stub.add_client_error("get_function_configuration", code)

        with pytest.raises(kind, match="look at function f"):
            functions.facts(aws, "f")
