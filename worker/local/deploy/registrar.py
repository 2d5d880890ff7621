"""Hands each resource the program registers to the code that creates its kind."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pulumi.runtime import MockCallArgs, MockResourceArgs, Mocks

from worker.infra.program import whole
from worker.local.deploy.resource_types import (
    RESOURCE_TYPES,
    DeclaredResource,
    EmulatorClients,
    ResourceType,
)

INVOKES: Mapping[str, Callable[[EmulatorClients], dict[str, Any]]] = {
    "aws:index/getAvailabilityZones:getAvailabilityZones": lambda aws: {
        "id": aws.region,
        "names": [f"{aws.region}{letter}" for letter in "abc"],
    },
    # Resources cost nothing in the local stack; purchases are only registered.
    "aws:savingsplans/getOfferings:getOfferings": lambda _aws: {
        "id": "local",
        "offerings": [{"offeringId": "local"}],
    },
    "aws:index/getRegion:getRegion": lambda aws: {"id": aws.region, "region": aws.region},
    "aws:index/getCallerIdentity:getCallerIdentity": lambda aws: {
        "id": aws.account,
        "accountId": aws.account,
        "arn": f"arn:aws:iam::{aws.account}:root",
        "userId": aws.account,
    },
}
"""Look-ups the program may make."""


ROLES: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "aws:lambda/function:Function": lambda inputs: inputs["role"],
    "aws:pipes/pipe:Pipe": lambda inputs: inputs["roleArn"],
    "aws:sfn/stateMachine:StateMachine": lambda inputs: inputs["roleArn"],
    "aws:batch/jobDefinition:JobDefinition": lambda inputs: json.loads(
        inputs["containerProperties"]
    )["jobRoleArn"],
}
"""Types of resources that act with a role, with the name of the input that holds the role."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A resource that could not be created."""

    what: str
    error: Exception


class Registrar(Mocks):
    """Creates the registered resources. Called from several threads; the clients are safe to share.

    Args:
        aws: where to create them. types: the known types of resources.
    """

    def __init__(
        self, aws: EmulatorClients, types: Mapping[str, ResourceType] = RESOURCE_TYPES
    ) -> None:
        self._aws = aws
        self._types = types
        self.failures: list[Failure] = []
        """In order; after the first one Pulumi stops registering, with a message of its own."""
        self.created: list[str] = []
        self.role_holders: list[dict[str, str]] = []
        """Resources that act with a role: ``type``, ``name``, ``arn``, ``role``, and ``code`` of
        a function, ``enrichment`` of a pipe. The local stack runs them."""

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        """Create, or take over, one resource; answer with its id and all its properties."""
        inputs = whole(args.inputs)
        if not args.custom:
            return args.name, inputs  # a component of ours: a name for its children
        what = f"{args.typ} {args.name}"
        try:
            kind = self._types.get(args.typ)
            if kind is None:
                raise NotImplementedError("the local stack does not know this type of resource")
            unknown = [] if kind.inputs is None else sorted({*inputs} - kind.inputs)
            if unknown:
                raise NotImplementedError(f"the local stack ignores {', '.join(unknown)}")
            identity, computed = kind.create(
                self._aws, DeclaredResource(name=args.name, inputs=inputs)
            )
        except Exception as error:
            self.failures.append(Failure(what, error))
            raise
        self.created.append(what)
        if args.typ in ROLES:
            self.role_holders.append(_role_holder(args.typ, args.name, {**inputs, **computed}))
        return identity, {**inputs, **computed}

    def call(self, args: MockCallArgs) -> Any:
        """Answer an invoke with its result alone, which Pulumi takes for one without failures."""
        answer = INVOKES.get(args.token)
        if answer is None:
            error = NotImplementedError("the local stack does not know this look-up")
            self.failures.append(Failure(args.token, error))
            raise error
        return answer(self._aws)


def _role_holder(kind: str, name: str, resource: Mapping[str, Any]) -> dict[str, str]:
    code = "".join(resource.get("imageConfig", {}).get("commands", ()))
    return {
        "type": kind.rpartition(":")[2],
        "name": name,
        "arn": resource["arn"],
        "role": ROLES[kind](resource),
        "code": code or resource.get("handler", ""),
        "enrichment": resource.get("enrichment", ""),
    }
