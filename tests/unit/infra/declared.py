"""Declarations by hand, small enough to see what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.infra.program import STACK_KIND, Declaration, Resource

STACK = f"urn:pulumi:test::safelight::{STACK_KIND}::safelight-test"


def component(kind: str, name: str, *, parent: Resource | None = None) -> Resource:
    """A component, on the stack or in another one."""
    return _resource(f"safelight:{kind}", name, {}, parent, (), component=True)


def resource(
    kind: str,
    name: str,
    inputs: Mapping[str, Any] | None = None,
    *,
    parent: Resource | None = None,
    needs: tuple[Resource, ...] = (),
    options: Mapping[str, Any] | None = None,
) -> Resource:
    """A resource of AWS: ``s3/Bucket``."""
    return _resource(kind, name, inputs or {}, parent, needs, options=options or {})


def declaration(*resources: Resource, exports: Mapping[str, Any] | None = None) -> Declaration:
    """All of them."""
    return Declaration(resources=resources, exports=exports or {})


def _resource(
    kind: str,
    name: str,
    inputs: Mapping[str, Any],
    parent: Resource | None,
    needs: tuple[Resource, ...],
    *,
    component: bool = False,
    options: Mapping[str, Any] | None = None,
) -> Resource:
    return Resource(
        kind=kind,
        name=name,
        inputs=inputs,
        parent=STACK_KIND if parent is None else parent.kind,
        parent_urn=STACK if parent is None else parent.urn,
        urn=f"urn:pulumi:test::safelight::{kind}::safelight-test-{name}",
        waits_for=frozenset((one.kind, one.name) for one in needs),
        needs=tuple(sorted(one.urn for one in needs)),
        options=options or {},
        component=component,
    )
