"""What the program says is done or refused, never dropped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pulumi.runtime import MockCallArgs, MockResourceArgs

from worker.infra.program import whole
from worker.local.deploy import fingerprint
from worker.local.deploy.__main__ import merged
from worker.local.deploy.registrar import Registrar
from worker.local.deploy.resource_types import (
    REGISTERED,
    RESOURCE_TYPES,
    Created,
    DeclaredResource,
    EmulatorClients,
    ResourceType,
    camel_to_pascal,
)

TYPE = "aws:thing/thing:Thing"


class _NoAws(EmulatorClients):
    """Clients for nothing."""

    def __init__(self) -> None:
        self.account, self.region = "000000000000", "eu-central-1"


def _create(aws: EmulatorClients, declared: DeclaredResource) -> Created:
    if declared.inputs.get("size") == 13:
        raise OSError("no such size")
    return f"id of {declared.physical_name}", {"arn": aws.arn("thing", declared.physical_name)}


@pytest.fixture
def registrar() -> Registrar:
    """Knows one kind."""
    return Registrar(_NoAws(), {TYPE: ResourceType(_create, frozenset({"name", "size"}))})


def _args(inputs: dict[str, Any], *, kind: str = TYPE, custom: bool = True) -> MockResourceArgs:
    return MockResourceArgs(typ=kind, name="mine", inputs=inputs, custom=custom)


def test_a_known_resource_is_created_and_answered_with_all_its_properties(
    registrar: Registrar,
) -> None:
    """Inputs come back beside what was computed, whole numbers whole."""
    identity, state = registrar.new_resource(_args({"size": 2.0}))

    assert identity == "id of mine"
    assert state == {"size": 2, "arn": "arn:aws:thing:eu-central-1:000000000000:mine"}
    assert registrar.created == [f"{TYPE} mine"]


def test_a_name_that_is_given_is_kept(registrar: Registrar) -> None:
    """Else the logical name is the physical one, so that a second deploy finds the first."""
    assert registrar.new_resource(_args({"name": "given"}))[0] == "id of given"


def test_components_create_nothing(registrar: Registrar) -> None:
    """They are names for their children."""
    component = _args({"x": 1.0}, kind="safelight:storage:Buckets", custom=False)

    assert registrar.new_resource(component) == ("mine", {"x": 1})
    assert registrar.created == []


def test_an_unknown_type_is_refused(registrar: Registrar) -> None:
    """And remembered for the message that a person gets."""
    with pytest.raises(NotImplementedError, match="does not know this type"):
        registrar.new_resource(_args({}, kind="aws:other/other:Other"))

    assert [failure.what for failure in registrar.failures] == ["aws:other/other:Other mine"]


def test_an_unknown_input_is_refused(registrar: Registrar) -> None:
    """The error names the inputs that the registrar would ignore."""
    with pytest.raises(NotImplementedError, match="ignores colour, shape"):
        registrar.new_resource(_args({"size": 1.0, "shape": "round", "colour": "red"}))


def test_a_refused_resource_is_remembered(registrar: Registrar) -> None:
    """Pulumi wraps errors; the first one is kept as it was."""
    with pytest.raises(OSError, match="no such size"):
        registrar.new_resource(_args({"size": 13.0}))

    assert [str(failure.error) for failure in registrar.failures] == ["no such size"]


def test_account_and_place_are_answered_and_other_look_ups_are_refused(
    registrar: Registrar,
) -> None:
    """Invokes are answered from the emulator, or not at all."""

    def asked(name: str) -> Any:
        return registrar.call(MockCallArgs(f"aws:index/{name}:{name}", {}, ""))

    assert asked("getCallerIdentity")["accountId"] == "000000000000"
    assert asked("getRegion")["region"] == "eu-central-1"
    assert len(asked("getAvailabilityZones")["names"]) == 3
    with pytest.raises(NotImplementedError):
        asked("getPartition")


def test_what_is_only_registered_says_why() -> None:
    """Everything else is created."""
    assert {name for name, one in RESOURCE_TYPES.items() if one.reason} == {*REGISTERED}


@pytest.mark.parametrize("kind", sorted(REGISTERED))
def test_what_is_registered_has_an_identity(kind: str) -> None:
    """The same in each deploy, without a call; others refer to it by its ARN if it has one."""
    made = [REGISTERED[kind].create(_NoAws(), DeclaredResource("mine", {})) for _ in range(2)]

    assert made[0] == made[1]
    assert made[0][0] == "mine"
    assert made[0][1].get("arn", "arn:aws:").startswith("arn:aws:")


def test_role_holders_are_remembered() -> None:
    """The local stack runs it with that role."""
    kind = "aws:pipes/pipe:Pipe"
    registrar = Registrar(
        _NoAws(), {kind: ResourceType(_create, frozenset({"roleArn", "enrichment"}))}
    )

    registrar.new_resource(_args({"roleArn": "arn:role", "enrichment": "arn:function"}, kind=kind))

    (holder,) = registrar.role_holders
    assert (holder["type"], holder["role"], holder["enrichment"]) == (
        *("Pipe", "arn:role", "arn:function"),
    )


def test_another_program_or_place_is_told_by_its_fingerprint(tmp_path: Path) -> None:
    """A stack that is started again deploys if there is anything new to deploy."""
    for name in ("pulumi/stack", "worker/recipes", "batch"):
        (tmp_path / name).mkdir(parents=True)
    program = tmp_path / "pulumi" / "stack" / "intake.py"
    program.write_text("a = 1")
    (tmp_path / "worker" / "recipes" / "default.toml").write_text("b = 1")

    def told(endpoint: str = "http://127.0.0.1:1") -> str:
        return fingerprint.fingerprint(endpoint, tmp_path / "pulumi")

    first = told()
    (tmp_path / "pulumi" / "notes.md").write_text("read by people")
    assert told() == first
    assert told("http://127.0.0.1:2") != first
    program.write_text("a = 2")
    assert told() != first


def test_whole_numbers_become_whole_everywhere() -> None:
    """Others stay as they are."""
    assert whole({"a": [1.0, 1.5, True, "2.0"], "b": {"c": 3.0}}) == {
        "a": [1, 1.5, True, "2.0"],
        "b": {"c": 3},
    }


def test_nested_names_change_their_case() -> None:
    """As the services spell them; values stay."""
    assert camel_to_pascal({"rules": [{"noncurrentDays": 1, "text": "asIs"}]}) == {
        "Rules": [{"NoncurrentDays": 1, "Text": "asIs"}]
    }


def test_configurations_are_merged_map_by_map() -> None:
    """A value that is given replaces one value, not its neighbours."""
    base = {"storage": {"forceDestroy": True}, "image": "a"}

    assert merged(base, {"storage": {"quarantineDays": 1}, "image": "b", "tags": {"x": "y"}}) == {
        "storage": {"forceDestroy": True, "quarantineDays": 1},
        "image": "b",
        "tags": {"x": "y"},
    }
