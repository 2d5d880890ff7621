"""Every policy of the program as IAM reads it: actions that exist, resources and conditions that
they take, by the Service Authorization Reference as ``policy_sentry`` has it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from policy_sentry.querying.actions import get_action_data, get_actions_for_service

from tests.infra import configs
from tests.infra.test_plan import made

ACCOUNT = "123456789012"
_HERE = f"eu-central-1:{ACCOUNT}"
ARNS = {
    "batch/JobDefinition": f"arn:aws:batch:{_HERE}:job-definition/NAME:1",
    "batch/JobQueue": f"arn:aws:batch:{_HERE}:job-queue/NAME",
    "cloudfront/Distribution": f"arn:aws:cloudfront::{ACCOUNT}:distribution/NAME",
    "cloudwatch/EventBus": f"arn:aws:events:{_HERE}:event-bus/NAME",
    "cloudwatch/EventRule": f"arn:aws:events:{_HERE}:rule/NAME",
    "cloudwatch/LogDeliveryDestination": f"arn:aws:logs:{_HERE}:delivery-destination:NAME",
    "cloudwatch/LogGroup": f"arn:aws:logs:{_HERE}:log-group:NAME",
    "dynamodb/Table": f"arn:aws:dynamodb:{_HERE}:table/NAME",
    "elasticache/ServerlessCache": f"arn:aws:elasticache:{_HERE}:serverlesscache:NAME",
    "elasticache/User": f"arn:aws:elasticache:{_HERE}:user:NAME",
    "iam/Role": f"arn:aws:iam::{ACCOUNT}:role/NAME",
    "lambda/Function": f"arn:aws:lambda:{_HERE}:function:NAME",
    "s3/Bucket": "arn:aws:s3:::NAME",
    "sfn/StateMachine": f"arn:aws:states:{_HERE}:stateMachine:NAME",
    "sns/Topic": f"arn:aws:sns:{_HERE}:NAME",
    "sqs/Queue": f"arn:aws:sqs:{_HERE}:NAME",
}
"""What ARNs look like, by kind of resource (the references of the services)."""
BY_LAMBDA = "lambda:SourceFunctionArn"
"""Lambda sets it for the calls of a function's own code, whichever action (Lambda Developer Guide,
"Using source function ARN to control function access behavior")."""


def _policies(place: str, value: Any) -> Iterator[tuple[str, str]]:
    """Every policy of identities and resources within a value, as IAM gets it, with its place."""
    if isinstance(value, dict):
        if "Statement" in value:
            yield place, re.sub(r"\$\{([^}]+)\}", _filled, json.dumps(value))
            return
        for key, item in value.items():
            # What may take a role, and what a repository says of itself, name no resource.
            if key != "assumeRolePolicy":
                yield from _policies(f"{place} {key}", item)
    elif isinstance(value, list):
        for item in value:
            yield from _policies(place, item)


def _filled(found: re.Match[str]) -> str:
    kind, _, rest = found[1].partition(":")
    name, _, attribute = rest.rpartition(".")
    if found[1] == "aws.account":
        return ACCOUNT
    if attribute == "arn":
        return ARNS[kind].replace("NAME", f"safelight-{name}")
    if attribute == "streamArn":
        return ARNS[kind].replace("NAME", f"{name}/stream/2026-11-30T00:00:00.000")
    return f"safelight-{name}"


def _mistakes(text: str) -> list[str]:
    """What IAM would not understand in a policy."""
    found = []
    for statement in json.loads(text)["Statement"]:
        asked = {key for test in statement.get("Condition", {}).values() for key in test}
        for action in _listed(statement["Action"]):
            known = _known(action)
            found += [] if known else [f"there is no action {action}"]
            forms = {one["resource_arn_format"] for one in known}
            keys = {BY_LAMBDA, *(key for one in known for key in one["condition_keys"])}
            # Of a tag the reference says <key> or ${TagKey}.
            keys |= {re.sub(r"/.*", "/*", key) for key in keys}
            found += [
                f"{action} takes no resource {resource}"
                for resource in _listed(statement["Resource"])
                if resource != "*" and not any(_fits(resource, form) for form in forms)
            ]
            found += [
                f"{action} knows no condition {key}"
                for key in asked
                if not key.startswith("aws:") and not keys & {key, re.sub(r"/.*", "/*", key)}
            ]
    return found


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@cache
def _known(action: str) -> list[dict[str, Any]]:
    """Rows of the reference for an action: one for each kind of resource."""
    service, _, name = action.partition(":")
    if name == "*":
        every = get_actions_for_service(service)
        return [row for each in every for row in _known(each)]
    found = get_action_data(service, name)
    return list(found[service]) if found else []


def _fits(resource: str, form: str) -> bool:
    """Whether some ARN is of both: a resource with * in it, and a form like
    ``arn:${Partition}:sqs:${Region}:${Account}:${Name}``. The form * takes no ARN."""
    return form != "*" and _overlap(resource, re.sub(r"\$\{[^}]*\}", "*", form))


@cache
def _overlap(one: str, other: str) -> bool:
    """Whether two texts in which * is any text have a text in common."""
    if not one or not other:
        return not (one + other).strip("*")
    if one[0] == "*":
        return _overlap(one[1:], other) or _overlap(one, other[1:])
    if other[0] == "*":
        return _overlap(other, one)
    return one[0] == other[0] and _overlap(one[1:], other[1:])


@pytest.mark.parametrize("name", ["dev", "prod", "everything"])
def test_every_policy_says_what_iam_understands(name: str) -> None:
    """A misspelt action, or a resource that an action does not take, allows nothing at all."""
    plan = made("prod", configs.switched(on=True)) if name == "everything" else made(name)
    read = 0
    for resource in plan.resources:
        for place, text in _policies(resource.key, resource.inputs):
            if resource.kind == "ecr/RepositoryPolicy":  # it is of this one repository
                continue
            assert _mistakes(text) == [], place
            read += 1

    assert read > len({one.key for one in plan.resources if one.kind == "iam/RolePolicy"})


def test_mistakes_are_found() -> None:
    """So that the test above can fail."""
    right = {"Effect": "Allow", "Action": ["states:SendTaskSuccess"], "Resource": ["*"]}
    machine = ARNS["sfn/StateMachine"]

    def found(**changed: object) -> list[str]:
        return _mistakes(json.dumps({"Statement": [{**right, **changed}]}))

    assert found() == []
    assert found(Resource=machine) == [f"states:SendTaskSuccess takes no resource {machine}"]
    assert found(Action="states:SendTaskSucess") == ["there is no action states:SendTaskSucess"]
    assert found(Condition={"StringEquals": {"states:Colour": "red"}}) == [
        "states:SendTaskSuccess knows no condition states:Colour"
    ]
