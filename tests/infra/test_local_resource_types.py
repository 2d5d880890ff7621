"""The local stack knows everything that the program can declare: no option ends `make up`."""

from __future__ import annotations

import pytest

from tests.infra.declared import Declaration, Resource
from worker.local.deploy.resource_types import RESOURCE_TYPES, ResourceType


def kind_of(resource: Resource) -> ResourceType | None:
    """What the local stack knows of a resource's type."""
    module, _, name = resource.kind.partition("/")
    found = [
        kind
        for token, kind in RESOURCE_TYPES.items()
        if token.startswith(f"aws:{module}/") and token.endswith(f":{name}")
    ]
    return found[0] if found else None


@pytest.mark.parametrize("name", ["ordered", "standard", "full", "bare", "chosen"])
def test_every_type_and_input_is_known(name: str, request: pytest.FixtureRequest) -> None:
    """A type or input that a deploy would refuse is found here, without an embedded AWS."""
    declared: Declaration = request.getfixturevalue(name)
    resources = [one for one in declared.resources if ":" not in one.kind]
    assert resources

    for one in resources:
        kind = kind_of(one)
        assert kind is not None, one.kind
        assert kind.inputs is None or {*one.inputs} <= kind.inputs, one.kind
