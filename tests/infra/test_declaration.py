"""How many resources of which kind there are, whose they are, and what is exported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from pulumi.runtime import MockCallArgs, MockResourceArgs, Mocks

from batch.catalogue import KINDS
from tests.infra.declared import ANSWERS, BATCH_IMAGE, IMAGE, Declaration, declare
from worker.infra import program
from worker.settings import Settings

JOBS = len(KINDS)
COMPONENTS = {
    "safelight:storage:Buckets": 1,
    "safelight:storage:PrivateBucket": 3,
    "safelight:catalog:CatalogTable": 1,
    "safelight:events:AssetEventBus": 1,
    "safelight:intake:Intake": 1,
    "safelight:queues:QueueWithDeadLetters": 1,
    "safelight:functions:LambdaFunction": 1,
    "safelight:cost:CostControls": 1,
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
    "lambda/FunctionEventInvokeConfig": 1,
    "lambda/EventSourceMapping": 1,
}
FOR_BROWSERS = {"s3/BucketCorsConfiguration": 1, "s3/BucketAccelerateConfiguration": 1}
FOR_ORDER = {
    "safelight:queues:QueueWithDeadLetters": 1,
    "safelight:pipe:OrderingPipe": 1,
    "safelight:functions:LambdaFunction": 1,
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
    "safelight:heavy:HeavyJobs": 1,
    "safelight:network:Network": 1,
    "safelight:compute_environments:ComputeEnvironments": 1,
    "safelight:workflow:Workflow": 1,
    "safelight:functions:LambdaFunction": 1,
    "ec2/Vpc": 1,
    "ec2/Subnet": 3,
    "ec2/RouteTable": 1,
    "ec2/RouteTableAssociation": 3,
    "ec2/InternetGateway": 1,
    "ec2/Route": 1,
    "ec2/DefaultSecurityGroup": 1,
    "ec2/SecurityGroup": 1,
    "ec2/VpcEndpoint": 2,
    "ec2/LaunchTemplate": 1,
    "batch/ComputeEnvironment": 1,
    "batch/JobQueue": 3,
    "batch/SchedulingPolicy": 1,
    "batch/JobDefinition": JOBS,
    "iam/Role": 4,  # machine, job, function, state machine
    "iam/RolePolicy": 4,
    "iam/InstanceProfile": 1,
    "cloudwatch/LogGroup": 3,
    "cloudwatch/EventRule": 1,
    "cloudwatch/EventTarget": 1,
    "lambda/Function": 1,
    "lambda/FunctionEventInvokeConfig": 1,
    "lambda/Permission": 1,
    "sfn/StateMachine": 1,
    "sqs/Queue": 1,
    "sqs/QueuePolicy": 1,
}
FOR_WATCHING = {
    "safelight:observability:Observability": 1,
    "safelight:metric_filters:MetricFilters": 1,
    "safelight:notifications:AlarmTopic": 1,
    "sns/Topic": 1,
    "sns/TopicPolicy": 1,
    "cloudwatch/CompositeAlarm": 1,
    "cloudwatch/Dashboard": 1,
    "cloudwatch/LogMetricFilter": 1,
    "cloudwatch/MetricAlarm": 7,
}
FOR_WATCHING_HEAVY_WORK = {
    "cloudwatch/EventRule": 2,
    "cloudwatch/EventTarget": 2,
    "cloudwatch/LogGroup": 1,
    "cloudwatch/LogResourcePolicy": 1,
    "cloudwatch/LogMetricFilter": 4,
    "cloudwatch/MetricAlarm": 8,
}
EXTRAS = [FOR_BROWSERS, FOR_IMAGES, FOR_HEAVY_WORK, FOR_WATCHING, FOR_WATCHING_HEAVY_WORK]
FOR_EVERYTHING_ELSE = {
    # Access logs: a bucket with its guards, and a log of each of the others.
    "safelight:storage:PrivateBucket": 1,
    "s3/Bucket": 1,
    "s3/BucketPublicAccessBlock": 1,
    "s3/BucketOwnershipControls": 1,
    "s3/BucketServerSideEncryptionConfiguration": 1,
    "s3/BucketPolicy": 1,
    "s3/BucketLifecycleConfiguration": 1,
    "s3/BucketLogging": 3,
    # The copy elsewhere.
    "s3/BucketReplicationConfig": 1,
    "iam/Role": 1,
    "iam/RolePolicy": 1,
    # Provisioned capacity: reads and writes of the table and its four indexes.
    "appautoscaling/Target": 10,
    "appautoscaling/Policy": 10,
    "dynamodb/ContributorInsights": 5,
    # Machines that always run and those for when Spot has none; endpoints instead of a gateway.
    "batch/ComputeEnvironment": 2,
    "ec2/SecurityGroup": 1,
    "ec2/VpcEndpoint": 6,
    # Whom to tell, of unusual figures too.
    "sns/TopicSubscription": 1,
    "cloudwatch/MetricAlarm": 2,
    # Money.
    "budgets/Budget": 1,
    "costexplorer/AnomalyMonitor": 1,
    "costexplorer/AnomalySubscription": 2,
    "costexplorer/CostAllocationTag": 3,
    "serverlessrepository/CloudFormationStack": 1,
    "savingsplans/SavingsPlan": 1,
}
INSTEAD_OF_A_GATEWAY = {"ec2/InternetGateway": 1, "ec2/Route": 1}


def _together(*parts: Mapping[str, int]) -> Counter[str]:
    return sum((Counter(part) for part in (COMPONENTS, ALWAYS, *parts)), Counter())


def _counts(declared: Declaration) -> Counter[str]:
    return Counter(one.kind for one in declared.resources)


def test_a_stack_without_order_is_exactly_this(standard: Declaration) -> None:
    """Nothing more and nothing less than what the standard way needs."""
    assert _counts(standard) == _together(*EXTRAS)


def test_order_adds_a_queue_a_pipe_and_the_function_that_names_groups(
    ordered: Declaration,
) -> None:
    """FIFO is the standard way and these further resources."""
    assert _counts(ordered) == _together(*EXTRAS, FOR_ORDER, FOR_WATCHING_ORDER)


def test_everything_that_can_be_switched_on_is_exactly_this(full: Declaration) -> None:
    """Each option adds its own resources and no others."""
    whole = _together(*EXTRAS, FOR_ORDER, FOR_WATCHING_ORDER, FOR_EVERYTHING_ELSE)

    assert _counts(full) == whole - Counter(INSTEAD_OF_A_GATEWAY)


def test_what_is_switched_off_is_not_there(bare: Declaration) -> None:
    """Three buckets, a table, a queue, a function: what everything else stands on."""
    assert _counts(bare) == _together()
    assert not {"registry", "jobQueues", "heavyWorkflow", "alarmTopic"} & {*bare.exports}


def test_a_new_stack_has_repositories_alone() -> None:
    """They come before the images, and everything else after them."""
    first = declare({"registry": {"only": True}}, images={})

    assert _counts(first) == Counter(FOR_IMAGES)
    assert {*first.exports} == {"registry", "repositories"}


def test_every_resource_has_a_component_for_a_parent(ordered: Declaration) -> None:
    """Only the components of the program itself hang on the stack."""
    on_stack = {one.kind for one in ordered.resources if one.parent == "pulumi:pulumi:Stack"}

    assert on_stack == {
        "safelight:storage:Buckets",
        "safelight:catalog:CatalogTable",
        "safelight:events:AssetEventBus",
        "safelight:intake:Intake",
        "safelight:registry:Registry",
        "safelight:heavy:HeavyJobs",
        "safelight:workflow:Workflow",
        "safelight:observability:Observability",
        "safelight:cost:CostControls",
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


def test_the_command_line_is_told_where_everything_is(ordered: Declaration) -> None:
    """What the function is told, and what commands alone ask for."""
    settings = Settings.from_environment(ordered.exports["environment"])

    assert settings.batch_prefix == "safelight-test"
    assert settings.heavy_workflow == ordered.exports["heavyWorkflow"]
    assert settings.uploads_queue_url == ordered.exports["uploadsQueue"]
    assert settings.uploads_dlq_url == ordered.exports["uploadsDeadLetters"]
    assert settings.heavy_dlq_url == ordered.exports["heavyDeadLetters"]
    assert settings.queue_url == ordered.exports["workQueue"]


def test_names_of_jobs_begin_as_the_command_line_is_told(ordered: Declaration) -> None:
    """Queues and definitions are looked up by it."""
    prefix = ordered.exports["environment"]["SAFELIGHT_BATCH_PREFIX"]

    for arn in (
        *ordered.exports["jobQueues"].values(),
        *ordered.exports["jobDefinitions"].values(),
    ):
        assert arn.startswith(f"arn:aws:batch:{prefix}-")


def test_without_heavy_work_the_command_line_is_told_of_none(bare: Declaration) -> None:
    """Its settings are complete all the same."""
    assert Settings.from_environment(bare.exports["environment"]).heavy_workflow is None


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
    other = declare(stack="dev")

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
