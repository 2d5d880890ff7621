"""The provider plugin for Pulumi's engine, asked as the engine asks, without the engine.

``make engine-test`` runs the engine itself, on machines that have it (docs/engine.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format, struct_pb2
from pulumi.runtime.proto import provider_pb2 as messages
from pulumi.runtime.proto import provider_pb2_grpc

from tests import emulators
from tests.engine import properties, provider, rules
from tests.engine.account import Account
from tests.infra.configs import switched
from tests.infra.declared import Declaration, Resource
from worker.infra import program, stack_file
from worker.local import emulator
from worker.local.deploy.resource_types import RESOURCE_TYPES, EmulatorClients

LONGEST_STACK = "s" * 20
"""As many characters as the configuration allows a stack's name."""
ROLE = "aws:iam/role:Role"
POLICY = "aws:iam/rolePolicy:RolePolicy"
QUEUE = "aws:sqs/queue:Queue"
DEFINITION = "aws:batch/jobDefinition:JobDefinition"
TRUST = """{"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
]}"""
RIGHTS = """{"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["*"]}
]}"""


def token_of(resource: Resource) -> str:
    """The type as the engine has it."""
    return resource.urn.split("::")[2].rpartition("$")[2]


def custom(declared: Declaration) -> list[Resource]:
    """All resources of AWS."""
    return [one for one in declared.resources if token_of(one).startswith("aws:")]


def test_every_type_of_the_program_has_its_rules() -> None:
    """And every rule is about inputs and types that there are."""
    assert {*rules.REPLACES} == {*RESOURCE_TYPES}
    read = sorted(" ".join(rules.READ.values()).split())
    assert read == sorted(token.split(":")[1] for token in RESOURCE_TYPES)
    for table in (rules.REPLACES, rules.KEYS):
        for token, names in table.items():
            assert not [one for one in names if not properties.is_input(token, one)], token
    for token, name in rules.AUTO_NAMED.items():
        assert properties.is_input(token, name)
    for token, users in rules.HOLDS.items():
        assert {token, *users} <= {*RESOURCE_TYPES}
    assert {*rules.NAMES, *rules.LENGTHS, *rules.DELETED_FIRST} <= {*RESOURCE_TYPES}


@pytest.mark.parametrize("name", ["ordered", "standard", "bare", "chosen"])
def test_the_provider_takes_all_that_the_program_declares(
    name: str, request: pytest.FixtureRequest
) -> None:
    """Every input is one that the SDK has, and every name one that AWS takes."""
    declared: Declaration = request.getfixturevalue(name)
    for one in custom(declared):
        assert not [*properties.problems(token_of(one), one.inputs)], one.name


def test_names_of_the_longest_stack_are_not_too_long() -> None:
    """With all that can be switched on, and the eight characters that the provider adds."""
    config = {**stack_file.IMAGES, **switched(on=True)}
    for one in custom(program.declare(LONGEST_STACK, config, region="eu-central-1")):
        token, given = token_of(one), {**one.inputs}
        if properties.auto_named(token):
            end = "-1a2b3c4" + (".fifo" if given.get("fifoQueue") else "")
            given.setdefault(properties.name_input(token), one.urn.rpartition("::")[2] + end)
        assert not [*properties.problems(token, given)], one.name


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorClients]:
    """The clients of an emulator."""
    emulators.make_sure(tmp_path_factory)
    log = tmp_path_factory.mktemp("emulator") / "log"
    started = emulator.start(port=emulator.free_port(), log=log)
    yield EmulatorClients(started.environment)
    started.stop()


class Engine:
    """Asks a provider as the engine does.

    Args:
        port: where it listens.
    """

    def __init__(self, port: int) -> None:
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.stub = provider_pb2_grpc.ResourceProviderStub(self.channel)

    def check(self, token: str, news: dict[str, Any], olds: dict[str, Any] | None = None) -> Any:
        """Inputs as the provider completes them, and what it refuses."""
        return self.stub.Check(
            messages.CheckRequest(
                urn=urn(token),
                news=struct(news),
                olds=struct(olds or {}),
                autonaming=messages.CheckRequest.AutonamingOptions(proposed_name="it-1a2b3c4"),
            )
        )

    def create(self, token: str, inputs: dict[str, Any]) -> Any:
        """Its id and properties."""
        return self.stub.Create(messages.CreateRequest(urn=urn(token), properties=struct(inputs)))

    def diff(self, token: str, old: dict[str, Any], new: dict[str, Any]) -> Any:
        """What changes, and how."""
        return self.stub.Diff(
            messages.DiffRequest(urn=urn(token), old_inputs=struct(old), news=struct(new))
        )

    def delete(self, token: str, made: Any) -> None:
        """Delete what was created."""
        self.stub.Delete(
            messages.DeleteRequest(urn=urn(token), id=made.id, properties=made.properties)
        )


def urn(token: str) -> str:
    """Of a resource called ``it``."""
    return f"urn:pulumi:dev::safelight::{token}::it"


def struct(values: dict[str, Any]) -> struct_pb2.Struct:
    """A message."""
    found = struct_pb2.Struct()
    json_format.ParseDict(values, found)
    return found


def values(message: struct_pb2.Struct) -> dict[str, Any]:
    """What is in a message."""
    found: dict[str, Any] = program.whole(json_format.MessageToDict(message))
    return found


@pytest.fixture
def served(aws: EmulatorClients, tmp_path: Path) -> Iterator[Callable[[], Engine]]:
    """Starts the provider anew on the same account, as each command of the engine does."""
    running: list[tuple[Any, Engine]] = []

    def start() -> Engine:
        server, port = provider.serve(Account(aws, tmp_path / "account.json"))
        running.append((server, Engine(port)))
        return running[-1][1]

    yield start
    for server, engine in running:
        engine.channel.close()
        server.stop(None).wait()


def test_a_name_is_made_once(served: Callable[[], Engine]) -> None:
    """A generated name stays on updates; a new resource gets a new name."""
    engine = served()
    first = values(engine.check(QUEUE, {"fifoQueue": True}).inputs)
    assert first["name"] == "it-1a2b3c4.fifo"
    again = values(
        engine.check(QUEUE, {"fifoQueue": True, "tags": {}}, {**first, "name": "x"}).inputs
    )
    assert again["name"] == "x"
    given = values(engine.check(QUEUE, {"name": "mine"}, first).inputs)
    assert given == {"name": "mine"}


def test_a_queue_has_the_name_that_the_engine_knows(served: Callable[[], Engine]) -> None:
    """The ending of an ordered queue is part of the name once."""
    engine = served()
    inputs = {"fifoQueue": True, "name": "it-1a2b3c4.fifo"}
    found = values(engine.create(QUEUE, inputs).properties)
    assert found["name"] == inputs["name"]
    assert found["arn"].endswith(":it-1a2b3c4.fifo")


def test_what_the_provider_refuses_is_named(served: Callable[[], Engine]) -> None:
    """Inputs that do not exist, that are missing, and names that are too long."""
    engine = served()
    refused = {one.property for one in engine.check(ROLE, {"nmae": "a"}).failures}
    assert refused == {"nmae", "assumeRolePolicy"}
    (one,) = engine.check(ROLE, {"assumeRolePolicy": TRUST, "name": "r" * 65}).failures
    assert one.property == "name"
    assert "65 characters, of at most 64" in one.reason
    assert engine.check("aws:ec2/instance:Instance", {}).failures


def test_a_difference_says_where_and_whether_it_replaces() -> None:
    """A nested input by its path; a queue that keeps no order any more is another queue."""
    kinds = messages.PropertyDiff.Kind
    old = {"fifoQueue": True, "tags": {"a": "1", "b": "2"}, "visibilityTimeoutSeconds": 3}
    new = {"tags": {"a": "1", "b": "3"}, "visibilityTimeoutSeconds": 3, "delaySeconds": 1}
    assert properties.differences(QUEUE, old, new) == {
        "fifoQueue": kinds.DELETE_REPLACE,
        "tags.b": kinds.UPDATE,
        "delaySeconds": kinds.ADD,
    }


def test_a_nested_property_replaces_alone() -> None:
    """Its siblings do not; an entry more of a list does, and another value in an entry does not."""
    kinds = messages.PropertyDiff.Kind
    old = {"retryStrategy": {"attempts": 1, "evaluateOnExits": [{"action": "EXIT"}]}}
    new = {
        "retryStrategy": {"attempts": 2, "evaluateOnExits": [{"action": "RETRY"}, {"action": "a"}]}
    }
    assert properties.differences(DEFINITION, old, new) == {
        "retryStrategy.attempts": kinds.UPDATE,
        "retryStrategy.evaluateOnExits[0].action": kinds.UPDATE,
        "retryStrategy.evaluateOnExits[1]": kinds.ADD_REPLACE,
    }
    assert properties.differences(DEFINITION, old, {}) == {"retryStrategy": kinds.DELETE_REPLACE}
    few = {"retryStrategy": {"attempts": 1}}
    assert properties.differences(DEFINITION, few, {}) == {"retryStrategy": kinds.DELETE}


def test_a_name_of_its_own_has_to_be_free_first(served: Callable[[], Engine]) -> None:
    """The old resource goes first where the new one has its name; else the new one comes first."""
    engine = served()
    chosen = {"name": "mine", "fifoQueue": True}
    made = {"name": "it-1a2b3c4", properties.DEFAULTS: ["name"], "fifoQueue": True}
    assert engine.diff(QUEUE, chosen, {"name": "mine"}).deleteBeforeReplace
    assert not engine.diff(QUEUE, made, {**made, "fifoQueue": False}).deleteBeforeReplace
    lifecycle = "aws:ecr/lifecyclePolicy:LifecyclePolicy"
    assert engine.diff(lifecycle, {"policy": "a"}, {"policy": "b"}).deleteBeforeReplace


def test_the_account_refuses_what_aws_refuses(served: Callable[[], Engine]) -> None:
    """A second resource of one name, and the deletion of what is in use, by a later command too."""
    role = {"assumeRolePolicy": TRUST, "description": "of a test", "name": "it"}
    engine = served()
    made = engine.create(ROLE, role)
    policy = engine.create(POLICY, {"name": "it", "role": "it", "policy": RIGHTS})

    engine = served()
    with pytest.raises(grpc.RpcError, match="AlreadyExists"):
        engine.create(ROLE, role)
    with pytest.raises(grpc.RpcError, match="InUse"):
        engine.delete(ROLE, made)
    engine.delete(POLICY, policy)
    engine.delete(ROLE, made)
    engine.delete(ROLE, made)  # is gone: no error
    assert engine.create(ROLE, role).id == "it"
