"""The two stacks that ship, from their own files: how many resources, and exactly which."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

import pytest

from batch.catalogue import KINDS
from stack.config import SECTIONS, read
from tests.golden import Golden
from tests.infra import presets, rules
from tests.infra.declared import IMAGES, STACK, Declaration

SMALL = {
    "batch/ComputeEnvironment": 1,
    "batch/JobDefinition": len(KINDS),
    "batch/JobQueue": 3,
    "batch/SchedulingPolicy": 1,
    "cloudwatch/EventBus": 1,
    "cloudwatch/EventRule": 1,
    "cloudwatch/EventTarget": 1,
    "cloudwatch/LogGroup": 5,
    "dynamodb/Table": 1,
    "ec2/DefaultSecurityGroup": 1,
    "ec2/InternetGateway": 1,
    "ec2/LaunchTemplate": 1,
    "ec2/Route": 1,
    "ec2/RouteTable": 1,
    "ec2/RouteTableAssociation": 3,
    "ec2/SecurityGroup": 1,
    "ec2/Subnet": 3,
    "ec2/Vpc": 1,
    "ec2/VpcEndpoint": 2,
    "ecr/LifecyclePolicy": 2,
    "ecr/Repository": 2,
    "ecr/RepositoryPolicy": 1,
    "iam/InstanceProfile": 1,
    "iam/Role": 7,
    "iam/RolePolicy": 7,
    "lambda/EventSourceMapping": 1,
    "lambda/Function": 3,
    "lambda/FunctionEventInvokeConfig": 2,
    "lambda/Permission": 1,
    "pipes/Pipe": 1,
    "s3/Bucket": 3,
    "s3/BucketAccelerateConfiguration": 1,
    "s3/BucketCorsConfiguration": 1,
    "s3/BucketLifecycleConfiguration": 3,
    "s3/BucketNotification": 1,
    "s3/BucketOwnershipControls": 3,
    "s3/BucketPolicy": 3,
    "s3/BucketPublicAccessBlock": 3,
    "s3/BucketServerSideEncryptionConfiguration": 3,
    "s3/BucketVersioning": 1,
    "sfn/StateMachine": 1,
    "sqs/Queue": 5,
    "sqs/QueuePolicy": 2,
    "sqs/RedriveAllowPolicy": 2,
}
"""``dev``."""
LARGE = SMALL | {
    # A baseline before Spot, an overflow behind it.
    "batch/ComputeEnvironment": 3,
    # Six interface endpoints instead of a way out.
    "ec2/VpcEndpoint": 8,
    "ec2/SecurityGroup": 2,
    "ec2/InternetGateway": 0,
    "ec2/Route": 0,
    # A bucket of access logs.
    "s3/Bucket": 4,
    "s3/BucketLifecycleConfiguration": 4,
    "s3/BucketLogging": 3,
    "s3/BucketOwnershipControls": 4,
    "s3/BucketPolicy": 4,
    "s3/BucketPublicAccessBlock": 4,
    "s3/BucketServerSideEncryptionConfiguration": 4,
    # Somebody looks.
    "cloudwatch/CompositeAlarm": 1,
    "cloudwatch/Dashboard": 1,
    "cloudwatch/EventRule": 3,
    "cloudwatch/EventTarget": 3,
    "cloudwatch/LogGroup": 6,
    "cloudwatch/LogMetricFilter": 5,
    "cloudwatch/LogResourcePolicy": 1,
    "cloudwatch/MetricAlarm": 19,
    "dynamodb/ContributorInsights": 5,
    "sns/Topic": 1,
    "sns/TopicPolicy": 1,
}
"""``prod``."""


@pytest.fixture(scope="module", params=presets.NAMES)
def preset(request: pytest.FixtureRequest) -> tuple[str, Declaration]:
    """Each of them, by name."""
    return request.param, presets.declared(request.param)


def test_a_preset_is_so_many_resources(preset: tuple[str, Declaration]) -> None:
    """Exactly these, of each kind."""
    name, declared = preset
    wanted: Mapping[str, int] = {"dev": SMALL, "prod": LARGE}[name]

    assert Counter(one.kind for one in declared.resources if "/" in one.kind) == Counter(
        {kind: count for kind, count in wanted.items() if count}
    )


def test_the_presets_are_exactly_these_resources(golden: Golden) -> None:
    """Every input of every resource, parameters of jobs and the state machine included."""
    for name, shown in presets.files().items():
        golden.check(name, shown)


def test_a_preset_keeps_every_rule(preset: tuple[str, Declaration]) -> None:
    """As any accepted configuration does."""
    name, declared = preset

    rules.check(declared, read({**IMAGES, **presets.values(name)}, stack=STACK))


def test_a_stack_to_try_things_in_can_be_destroyed_whole() -> None:
    """What holds data lets go of it; in production it does not."""
    kinds = {"s3/Bucket": "forceDestroy", "ecr/Repository": "forceDelete"}
    for name, free in (("dev", True), ("prod", False)):
        declared = presets.declared(name)
        for kind, key in kinds.items():
            assert {one.inputs[key] for one in declared.of(kind)} == {free}
        table = declared.one("dynamodb/Table", "catalog").inputs
        assert table["deletionProtectionEnabled"] is not free


def test_a_stack_to_try_things_in_has_nothing_that_is_paid_by_the_hour() -> None:
    """No machine that always runs, no endpoint with an address, no provisioned capacity."""
    declared = presets.declared("dev")

    assert {
        one.inputs["computeResources"]["minVcpus"]
        for one in declared.of("batch/ComputeEnvironment")
    } == {0}
    assert {one.inputs["vpcEndpointType"] for one in declared.of("ec2/VpcEndpoint")} == {"Gateway"}
    assert declared.one("dynamodb/Table", "catalog").inputs["billingMode"] == "PAY_PER_REQUEST"
    assert not declared.of("cloudwatch/MetricAlarm")


def test_production_has_room_for_ten_million_uploads_a_day() -> None:
    """116 a second on average at 0.35 s each (docs/benchmarks.md), and several times that."""
    mapping = presets.declared("prod").one("lambda/EventSourceMapping", "ingest")
    average = 10_000_000 / 86_400 * 0.35

    assert mapping.inputs["scalingConfig"]["maximumConcurrency"] >= 5 * average


def test_the_readme_explains_every_value_of_both() -> None:
    """A row for each key that one of them sets, with what they say, and why."""
    text = (presets.PROGRAM / "README.md").read_text("utf-8")
    section = text.partition("### The presets")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([\w.]+)` \| (.*?) ?\| (.*?) ?\| .{10,} \|$", section, re.MULTILINE)
    said = {
        name: {
            f"{part}.{key}": str(value).lower()
            for part in SECTIONS
            for key, value in presets.values(name).get(part, {}).items()
        }
        for name in presets.NAMES
    }
    wanted = {
        (key, said["dev"].get(key, ""), said["prod"].get(key, ""))
        for key in {*said["dev"], *said["prod"]}
    }

    assert {*rows} == wanted
    assert len(rows) == len(wanted)
