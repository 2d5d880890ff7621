"""Keeps every registration of a run of the Pulumi program. What is answered is up to the mocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi.runtime import Mocks, rpc
from pulumi.runtime.mocks import MockMonitor

from worker.domain.errors import ConfigurationError
from worker.infra import program
from worker.infra.declaration import STACK_KIND, Declaration, Resource, short_kind, short_name
from worker.infra.program import whole

OPTIONS = ("protect", "retainOnDelete", "deleteBeforeReplace", "ignoreChanges", "deletedWith")
"""What is kept of a registration beside its inputs."""


class Recorder(MockMonitor):
    """Remembers the registrations; the mocks are not told parents, dependencies and options."""

    def __init__(self, mocks: Mocks) -> None:
        super().__init__(mocks)
        self.requests: list[Any] = []

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        """The URN as Pulumi's engine makes it, with all kinds from the outermost on; mocks name
        two of them.
        """
        kinds = parent.split("::")[2].split("$") if parent else []
        whole_kind = "$".join([*(kind for kind in kinds if kind != STACK_KIND), type_])
        return "::".join(
            [f"urn:pulumi:{pulumi.get_stack()}", pulumi.get_project(), whole_kind, name]
        )

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        """Answer as mocks do, and keep the request."""
        answer = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        if request.type != STACK_KIND:
            self.requests.append((answer.urn, request))
        return answer


def record(mocks: Mocks, *, stack: str, config: Mapping[str, Any]) -> Declaration:
    """Run the program and return what it has declared.

    Args:
        mocks: answer each registration and each look-up.
        stack: the stack's name.
        config: without the ``safelight:`` prefix, see ``program.run``.

    Raises:
        CheckoutMissing: the program is not here.
        pulumi.RunError: the configuration is mistaken.
        ConfigurationError: two resources have one identity.
    """
    monitor = Recorder(mocks)
    exports = program.run(mocks, stack=stack, config=config, monitor=monitor)
    twice = sorted(
        urn for urn, count in Counter(urn for urn, _ in monitor.requests).items() if count > 1
    )
    if twice:
        # The mocks take it; Pulumi's engine refuses it, half-way through a deployment.
        raise ConfigurationError(f"the program declares these more than once: {', '.join(twice)}")
    return Declaration(
        resources=tuple(
            _resource(urn, request, stack)
            for urn, request in sorted(monitor.requests, key=lambda one: str(one[0]))
        ),
        exports=exports,
    )


def _resource(urn: str, request: Any, stack: str) -> Resource:
    dependencies = {*request.dependencies}
    needs = {*dependencies}
    if request.provider:
        needs.add(request.provider.rpartition("::")[0])
    return Resource(
        urn=urn,
        kind=short_kind(request.type),
        name=short_name(request.name, stack),
        inputs=whole(rpc.deserialize_properties(request.object)),
        parent=_kind_of(request.parent),
        parent_urn=request.parent,
        waits_for=frozenset(
            (_kind_of(one), short_name(one.split("::")[3], stack)) for one in dependencies
        ),
        needs=tuple(sorted(needs)),
        options=_options(request),
        component=not request.custom,
    )


def _kind_of(urn: str) -> str:
    """The kind in a URN, which names all kinds from the outermost on."""
    return short_kind(urn.split("::")[2].rpartition("$")[2])


def _options(request: Any) -> dict[str, Any]:
    found = {name: getattr(request, name) for name in OPTIONS}
    found["ignoreChanges"] = list(found["ignoreChanges"])
    return {name: value for name, value in found.items() if value}
