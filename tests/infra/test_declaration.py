"""How many resources of which kind there are, whose they are, and what is exported."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from pulumi.runtime import MockCallArgs, MockResourceArgs, Mocks

from batch.catalog import KINDS
from tests.infra.declared import ANSWERS, BATCH_IMAGE, IMAGE, Declaration, declare
from worker.local.deploy import program
from worker.settings import Settings

JOBS = len(KINDS)
COMPONENTS = {
    "safelight:storage:Buckets": 1,
    "safelight:storage:PrivateBucket": 3,
    "safelight:catalog:Catalog": 1,
    "safelight:events:Events": 1,
    "safelight:intake:Intake": 1,
    "safelight:queues:QueueWithDeadLetters": 1,
    "safelight:functions:Function": 1,
    "safelight:cost:Cost": 1,
}
ALWAYS = {
    "s3/Bucket": 3,
    "s3/BucketPublicAccessBlock": 3,
    "s3/BucketOwnershipControls": 3,
    "s3/BucketServerSideEncryptionConfiguration": 3,
    "s3/BucketPolicy": 3,
    "s3/BucketLifecycleConfiguration": 3,
    "s3/BucketVersioning": 1,
    "s3/BucketNotification": 1,
    "dynamodb/Table": 1,
    "cloudwatch/EventBus": 1,
    "cloudwatch/LogGroup": 1,
    "sqs/Queue": 2,
    "sqs/QueuePolicy": 1,
    "sqs/RedriveAllowPolicy": 1,
    "iam/Role": 1,
    "iam/RolePolicy": 1,
    "lambda/Function": 1,
    "lambda/EventSourceMapping": 1,
}
FOR_ORDER = {
    "safelight:queues:QueueWithDeadLetters": 1,
    "safelight:pipe:OrderingPipe": 1,
    "safelight:functions:Function": 1,
    "cloudwatch/LogGroup": 1,
    "sqs/Queue": 2,
    "sqs/RedriveAllowPolicy": 1,
    "iam/Role": 2,
    "iam/RolePolicy": 2,
    "lambda/Function": 1,
    "pipes/Pipe": 1,
}
FOR_WATCHING_ORDER = {"cloudwatch/MetricAlarm": 2}
FOR_IMAGES = {
    "safelight:registry:Registry": 1,
    "ecr/Repository": 2,
    "ecr/LifecyclePolicy": 2,
    "ecr/RepositoryPolicy": 1,
}
FOR_HEAVY_WORK = {
    "safelight:heavy:Heavy": 1,
    "safelight:network:Network": 1,
    "safelight:machines:Machines": 1,
    "safelight:workflow:Workflow": 1,
    "safelight:functions:Function": 1,
    "ec2/Vpc": 1,
    "ec2/Subnet": 3,
    "ec2/RouteTable": 1,
    "ec2/RouteTableAssociation": 3,
    "ec2/InternetGateway": 1,
    "ec2/Route": 1,
    "ec2/SecurityGroup": 1,
    "ec2/VpcEndpoint": 2,
    "ec2/LaunchTemplate": 1,
    "batch/ComputeEnvironment": 1,
    "batch/JobQueue": 3,
    "batch/SchedulingPolicy": 1,
    "batch/JobDefinition": JOBS,
    "iam/Role": 4,  # machine, job, function, state machine
    "iam/RolePolicy": 3,
    "iam/RolePolicyAttachment": 1,
    "iam/InstanceProfile": 1,
    "cloudwatch/LogGroup": 3,
    "cloudwatch/EventRule": 1,
    "cloudwatch/EventTarget": 1,
    "lambda/Function": 1,
    "lambda/Permission": 1,
    "sfn/StateMachine": 1,
    "sqs/Queue": 1,
    "sqs/QueuePolicy": 1,
}
FOR_WATCHING = {
    "safelight:observability:Observability": 1,
    "sns/Topic": 1,
    "sns/TopicPolicy": 1,
    "cloudwatch/CompositeAlarm": 1,
    "cloudwatch/Dashboard": 1,
    "cloudwatch/EventRule": 1,
    "cloudwatch/EventTarget": 1,
    "cloudwatch/MetricAlarm": 11,
}
_EXTRAS = Counter(FOR_IMAGES) + Counter(FOR_HEAVY_WORK) + Counter(FOR_WATCHING)


def test_a_stack_without_order_is_exactly_this(standard: Declaration) -> None:
    """Nothing more and nothing less than what the standard way needs."""
    counts = Counter(one.kind for one in standard.resources)

    assert counts == Counter(COMPONENTS) + Counter(ALWAYS) + _EXTRAS


def test_order_adds_a_queue_a_pipe_and_the_function_that_names_groups(
    ordered: Declaration,
) -> None:
    """FIFO is the standard way and these further resources."""
    counts = Counter(one.kind for one in ordered.resources)

    assert (
        counts
        == Counter(COMPONENTS)
        + Counter(ALWAYS)
        + Counter(FOR_ORDER)
        + Counter(FOR_WATCHING_ORDER)
        + _EXTRAS
    )


def test_what_is_switched_off_is_not_there() -> None:
    """Without repositories and heavy work a stack is what it was before they came."""
    small = declare({name: {"enabled": False} for name in ("registry", "heavy", "observability")})
    counts = Counter(one.kind for one in small.resources)

    assert counts == Counter(COMPONENTS) + Counter(ALWAYS) + Counter(FOR_ORDER)
    assert not {"repositories", "jobQueues", "heavyWorkflow"} & {*small.exports}


def test_every_resource_has_a_component_for_a_parent(ordered: Declaration) -> None:
    """Only the components of the program itself hang on the stack."""
    on_stack = {one.kind for one in ordered.resources if one.parent == "pulumi:pulumi:Stack"}

    assert on_stack == {
        "safelight:storage:Buckets",
        "safelight:catalog:Catalog",
        "safelight:events:Events",
        "safelight:intake:Intake",
        "safelight:registry:Registry",
        "safelight:heavy:Heavy",
        "safelight:workflow:Workflow",
        "safelight:observability:Observability",
        "safelight:cost:Cost",
    }


def test_the_exported_environment_is_the_functions_own(ordered: Declaration) -> None:
    """What the local workers get is what the function gets."""
    function = ordered.one("lambda/Function", "ingest")

    assert ordered.exports["ingestEnvironment"] == function.inputs["environment"]["variables"]


def test_the_environment_is_one_that_the_worker_accepts(ordered: Declaration) -> None:
    """The worker finds in it the names of exactly these resources."""
    settings = Settings.from_environment(ordered.exports["ingestEnvironment"])

    assert settings == Settings(
        table="safelight-test-catalog",
        intake_bucket="safelight-test-intake",
        delivery_bucket="safelight-test-delivery",
        quarantine_bucket="safelight-test-quarantine",
        event_bus="safelight-test-events",
        queue_url="https://aws:sqs/safelight-test-ordered",
        dlq_url="https://aws:sqs/safelight-test-ordered-dead",
    )


def test_the_exports_name_both_queues_and_their_dead_letters(
    ordered: Declaration, standard: Declaration
) -> None:
    """With order the workers read another queue than S3 fills; without, the same one."""
    names = ("uploadsQueue", "uploadsDeadLetters", "workQueue", "workDeadLetters")

    assert [ordered.exports[name].rpartition("test-")[2] for name in names] == [
        "uploads",
        "uploads-dead",
        "ordered",
        "ordered-dead",
    ]
    assert [standard.exports[name].rpartition("test-")[2] for name in names] == [
        "uploads",
        "uploads-dead",
        "uploads",
        "uploads-dead",
    ]


def test_another_stack_has_other_names(ordered: Declaration) -> None:
    """Two stacks share an account without meeting."""
    names = {"intakeBucket", "deliveryBucket", "quarantineBucket", "table", "eventBus"}
    other = declare(stack="other")

    for name in names:
        assert other.exports[name] != ordered.exports[name]


def test_a_resource_that_fails_ends_the_run_with_its_error() -> None:
    """A refused resource is an error at once, not a run that waits for ever."""

    class Refusing(Mocks):
        def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, object]]:
            if args.typ == "aws:dynamodb/table:Table":
                raise RuntimeError("no table for you")
            return args.name, {**args.inputs, "arn": "arn", "url": "url", "bucket": "b"}

        def call(self, args: MockCallArgs) -> Any:
            return ANSWERS[args.token]

    with pytest.raises(RuntimeError, match="no table for you"):
        program.run(Refusing(), stack="test", config={"image": IMAGE, "batchImage": BATCH_IMAGE})
