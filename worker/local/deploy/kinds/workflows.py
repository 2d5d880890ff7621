"""State machines. The embedded AWS runs them; the local stack does their jobs and functions."""

from __future__ import annotations

from typing import Any

from worker.local.deploy.kinds.kind import Created, DeclaredResource, EmulatorClients, ResourceType
from worker.local.workflows import on_queue


def _machine(aws: EmulatorClients, declared: DeclaredResource) -> Created:
    name, inputs = declared.physical_name, declared.inputs
    asked: dict[str, Any] = {
        "definition": on_queue(inputs["definition"]),
        "roleArn": inputs["roleArn"],
    }
    if "loggingConfiguration" in inputs:
        asked["loggingConfiguration"] = _logging(inputs["loggingConfiguration"])
    if "tracingConfiguration" in inputs:
        asked["tracingConfiguration"] = dict(inputs["tracingConfiguration"])
    arn = aws.arn("states", f"stateMachine:{name}")
    try:
        aws.stepfunctions.create_state_machine(
            name=name,
            type=inputs["type"],
            tags=[{"key": key, "value": text} for key, text in declared.tags.items()],
            **asked,
        )
    except aws.stepfunctions.exceptions.StateMachineAlreadyExists:
        aws.stepfunctions.update_state_machine(stateMachineArn=arn, **asked)
    return arn, {"name": name, "arn": arn}


def _logging(wanted: dict[str, Any]) -> dict[str, Any]:
    asked = {key: value for key, value in wanted.items() if key != "logDestination"}
    group = wanted.get("logDestination")
    if group:
        asked["destinations"] = [{"cloudWatchLogsLogGroup": {"logGroupArn": group}}]
    return asked


RESOURCE_TYPES = {
    "aws:sfn/stateMachine:StateMachine": ResourceType(
        _machine,
        frozenset(
            {
                "definition",
                "loggingConfiguration",
                "name",
                "roleArn",
                "tags",
                "tracingConfiguration",
                "type",
            }
        ),
    )
}
