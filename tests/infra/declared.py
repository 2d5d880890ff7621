"""The program's resources on plain mocks: what it declares, without creating anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pulumi.runtime import MockCallArgs, MockResourceArgs, Mocks, rpc
from pulumi.runtime.mocks import MockMonitor

from worker.local.deploy import program
from worker.local.deploy.registrar import whole

ACCOUNT = "123456789012"
IMAGE = f"{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com/safelight@sha256:{'ab' * 32}"
BATCH_IMAGE = f"{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com/safelight-batch@sha256:{'cd' * 32}"
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

    def document(self, key: str) -> Any:
        """An input that is JSON text."""
        return json.loads(self.inputs[key])

    def statements(self, key: str = "policy") -> list[dict[str, Any]]:
        """The statements of a policy."""
        found: list[dict[str, Any]] = self.document(key)["Statement"]
        return found


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


def declare(config: Mapping[str, Any] | None = None, *, stack: str = STACK) -> Declaration:
    """Run the program with a configuration; the image is given."""
    mocks = _Mocks()
    monitor = _Monitor(mocks)
    exports = program.run(
        mocks,
        stack=stack,
        config={"image": IMAGE, "batchImage": BATCH_IMAGE, **(config or {})},
        monitor=monitor,
    )
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
    )


def _short(token: str) -> str:
    package, module, kind = token.split(":")
    return f"{module.partition('/')[0]}/{kind}" if package == "aws" else token
