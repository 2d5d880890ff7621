"""The program's resources on plain mocks: what it declares, without creating anything."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from pulumi.runtime import MockCallArgs, MockResourceArgs, Mocks, rpc
from pulumi.runtime.mocks import MockMonitor

from worker.local.deploy import program
from worker.local.deploy.registrar import whole

ACCOUNT = "123456789012"
ECR = f"{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com"
IMAGE = f"{ECR}/safelight@sha256:{'ab' * 32}"
BATCH_IMAGE = f"{ECR}/safelight-batch@sha256:{'cd' * 32}"
IMAGES = {"image": IMAGE, "batchImage": BATCH_IMAGE}
STACK = "test"
ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "aws:index/getCallerIdentity:getCallerIdentity": {
        "accountId": ACCOUNT,
        "arn": "arn:me",
        "userId": "me",
        "id": "me",
    },
    "aws:index/getRegion:getRegion": {"region": "eu-central-1", "id": "eu-central-1"},
    "aws:index/getAvailabilityZones:getAvailabilityZones": {
        "names": [f"eu-central-1{letter}" for letter in "abcd"],
        "id": "eu-central-1",
    },
    "aws:savingsplans/getOfferings:getOfferings": {
        "offerings": [{"offeringId": "compute-for-a-year"}],
    },
}
"""What the program may look up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One resource with everything that was said about it."""

    kind: str
    """``aws:s3/bucket:Bucket`` is ``s3/Bucket``; components of ours keep their token."""
    name: str
    """Without project and stack."""
    inputs: Mapping[str, Any]
    parent: str
    """The parent's own kind."""
    waits_for: frozenset[tuple[str, str]]
    """Kind and name of all it depends on."""
    ignores: tuple[str, ...] = ()
    """Inputs whose changes are left alone."""
    protected: bool = False
    kept: bool = False
    """Whether it stays when it is no longer declared."""

    def document(self, key: str) -> Any:
        """An input that is JSON text."""
        return json.loads(self.inputs[key])

    def statements(self, key: str = "policy") -> list[dict[str, Any]]:
        """The statements of a policy."""
        found: list[dict[str, Any]] = self.document(key)["Statement"]
        return found

    def takes(self, argument: str) -> bool:
        """Whether such a resource can be told this at all, as the SDK has it."""
        return argument in _arguments(self.kind)


@cache
def _arguments(kind: str) -> frozenset[str]:
    """What a kind of resource can be told; nothing for components of ours."""
    module, _, name = kind.partition("/")
    if not name:
        return frozenset()
    service = import_module(f"pulumi_aws.{'lambda_' if module == 'lambda' else module}")
    # The second name is the usual one; the first is there where another type has the second.
    found = getattr(service, f"{name}InitArgs", None) or getattr(service, f"{name}Args")
    return frozenset(inspect.signature(found).parameters)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """All that one run of the program has registered."""

    resources: tuple[Resource, ...]
    exports: Mapping[str, Any]

    def of(self, kind: str) -> list[Resource]:
        """All resources of a kind, by name."""
        found = [one for one in self.resources if one.kind == kind]
        return sorted(found, key=lambda one: one.name)

    def one(self, kind: str, name: str) -> Resource:
        """The one resource of that kind and name."""
        (found,) = [one for one in self.of(kind) if one.name == name]
        return found


class _Mocks(Mocks):
    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        service = args.typ.partition("/")[0]
        named = {"name": args.name, "bucket": args.name} | args.inputs
        return f"id-{args.name}", named | {
            "arn": f"arn:{service}:{args.name}",
            "url": f"https://{service}/{args.name}",
            "repositoryUrl": f"{ECR}/{named['name']}",
            "prefixListId": f"pl-{args.name}",
        }

    def call(self, args: MockCallArgs) -> Any:
        return ANSWERS[args.token]


class _Monitor(MockMonitor):
    """Remembers the registrations; the mocks are not told parents and dependencies."""

    def __init__(self, mocks: Mocks) -> None:
        super().__init__(mocks)
        self.requests: list[Any] = []

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        answer = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        if request.type != "pulumi:pulumi:Stack":
            self.requests.append(request)
        return answer


def declare(
    config: Mapping[str, Any] | None = None,
    *,
    stack: str = STACK,
    images: Mapping[str, str] = IMAGES,
) -> Declaration:
    """Run the program with a configuration; the images are given."""
    mocks = _Mocks()
    monitor = _Monitor(mocks)
    exports = program.run(mocks, stack=stack, config={**images, **(config or {})}, monitor=monitor)
    return Declaration(
        resources=tuple(_resource(request, stack) for request in monitor.requests),
        exports=exports,
    )


def _resource(request: Any, stack: str) -> Resource:
    return Resource(
        kind=_short(request.type),
        name=request.name.removeprefix(f"safelight-{stack}-"),
        inputs=whole(rpc.deserialize_properties(request.object)),
        parent=_short(request.parent.split("::")[2].split("$")[-1]),
        waits_for=frozenset(
            (_short(kind.split("$")[-1]), name.removeprefix(f"safelight-{stack}-"))
            for kind, name in (urn.split("::")[2:4] for urn in request.dependencies)
        ),
        ignores=tuple(request.ignoreChanges),
        protected=request.protect,
        kept=request.retainOnDelete,
    )


def _short(token: str) -> str:
    package, module, kind = token.split(":")
    return f"{module.partition('/')[0]}/{kind}" if package == "aws" else token
