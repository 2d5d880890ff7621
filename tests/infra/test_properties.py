"""What holds for every configuration that is accepted."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from stack.config import LOG_DAYS
from tests.infra.declared import Declaration, declare

LONGEST_STACK = "x" * 20
NAME_LIMITS = {
    "s3/Bucket": 63,
    "sqs/Queue": 80 - len(".fifo"),
    "dynamodb/Table": 255,
    "iam/Role": 64,
    "lambda/Function": 64,
    "pipes/Pipe": 64,
    "cloudwatch/EventBus": 256,
    "cloudwatch/LogGroup": 512,
    "cloudwatch/EventRule": 64,
    "cloudwatch/MetricAlarm": 255,
    "sns/Topic": 256,
    "batch/ComputeEnvironment": 128,
    "batch/JobQueue": 128,
    "batch/JobDefinition": 128,
    "batch/SchedulingPolicy": 128,
    "sfn/StateMachine": 80,
    "iam/InstanceProfile": 128,
    "ec2/LaunchTemplate": 125,
    "ecr/Repository": 256,
    "budgets/Budget": 100,
}
"""Longest names AWS takes (the services' API references)."""
AUTO_NAMING = len("-1234567")


@st.composite
def intakes(draw: st.DrawFn) -> dict[str, Any]:
    """Values of the intake that go together."""
    ordering = draw(st.sampled_from(["fifo", "standard"]))
    batch = draw(st.integers(1, 10 if ordering == "fifo" else 1000))
    window = draw(st.integers(1 if batch > 10 else 0, 300)) if ordering == "standard" else 0
    return {
        "ordering": ordering,
        "architecture": draw(st.sampled_from(["arm64", "x86_64"])),
        "memory": draw(st.integers(1700, 10240)),
        "timeout": draw(st.integers(61, 900)),
        "batchSize": batch,
        "batchWindow": window,
        "maximumConcurrency": draw(st.integers(2, 1000)),
        "maximumReceives": draw(st.integers(2, 100)),
        "logRetentionDays": draw(st.sampled_from(LOG_DAYS)),
    }


configs = st.fixed_dictionaries(
    {
        "intake": intakes(),
        "storage": st.fixed_dictionaries(
            {"forceDestroy": st.booleans(), "eventBridge": st.booleans()}
        ),
        "catalog": st.fixed_dictionaries(
            {
                "deletionProtection": st.booleans(),
                "pointInTimeRecovery": st.booleans(),
                "stream": st.booleans(),
            }
        ),
        "registry": st.fixed_dictionaries({"enabled": st.booleans()}),
        "heavy": st.fixed_dictionaries(
            {
                "enabled": st.booleans(),
                "architecture": st.sampled_from(["arm64", "x86_64"]),
                "zones": st.integers(1, 4),
                "baselineVcpus": st.integers(0, 100),
                "spotVcpus": st.integers(2, 10_000),
                "overflowVcpus": st.integers(0, 100),
                "privateNetwork": st.booleans(),
                "logRetentionDays": st.sampled_from(LOG_DAYS),
            }
        ),
        "observability": st.fixed_dictionaries(
            {
                "enabled": st.booleans(),
                "email": st.sampled_from(["", "who@example.com"]),
                "anomalies": st.booleans(),
            }
        ),
        "cost": st.fixed_dictionaries(
            {
                "monthlyBudget": st.integers(0, 1000),
                "anomalyDollars": st.integers(0, 1000),
                "email": st.just("who@example.com"),
            }
        ),
        "tags": st.dictionaries(st.text("abcdef", min_size=1), st.text("xyz"), max_size=3),
    }
)


@settings(max_examples=12, deadline=None)
@given(config=configs)
def test_every_accepted_configuration_is_safe(config: dict[str, Any]) -> None:
    """Whatever is chosen: nothing public, nothing unbounded, nothing without a name."""
    declared = declare(config, stack=LONGEST_STACK)

    _no_bucket_without_its_guards(declared)
    _no_queue_without_dead_letters(declared, config["intake"])
    _no_right_on_everything(declared)
    _no_log_for_ever(declared, config)
    _no_queue_of_jobs_that_batch_would_refuse(declared)
    _no_way_in(declared)
    _no_function_beyond_limits(declared)
    _no_name_too_long(declared)
    _no_resource_without_tags(declared, config["tags"])


def _no_bucket_without_its_guards(declared: Declaration) -> None:
    buckets = [one.name for one in declared.of("s3/Bucket")]
    for guard in (
        "s3/BucketPublicAccessBlock",
        "s3/BucketPolicy",
        "s3/BucketOwnershipControls",
        "s3/BucketServerSideEncryptionConfiguration",
        "s3/BucketLifecycleConfiguration",
    ):
        assert [one.name for one in declared.of(guard)] == buckets
    for policy in declared.of("s3/BucketPolicy"):
        assert all(statement["Effect"] == "Deny" for statement in policy.statements())


def _no_queue_without_dead_letters(declared: Declaration, intake: dict[str, Any]) -> None:
    names = {one.name for one in declared.of("sqs/Queue")}
    for queue in declared.of("sqs/Queue"):
        assert queue.inputs["sqsManagedSseEnabled"] is True
        if queue.name == "heavy-dead":
            continue  # what EventBridge could not deliver: nobody works on it, nothing sends it on
        assert queue.inputs["visibilityTimeoutSeconds"] >= 6 * intake["timeout"]
        if queue.name.endswith("-dead"):
            continue
        policy = queue.document("redrivePolicy")
        dead = declared.one("sqs/Queue", f"{queue.name}-dead")
        assert dead.name in names
        assert policy["deadLetterTargetArn"].endswith(f"-{dead.name}")
        assert policy["maxReceiveCount"] == intake["maximumReceives"]
        assert dead.inputs.get("fifoQueue") == queue.inputs.get("fifoQueue")
        retention = "messageRetentionSeconds"
        assert dead.inputs[retention] > queue.inputs[retention]


WITHOUT_RESOURCES = frozenset(
    {
        "batch:DescribeJobs",
        "logs:CreateLogDelivery",
        "logs:GetLogDelivery",
        "logs:UpdateLogDelivery",
        "logs:DeleteLogDelivery",
        "logs:ListLogDeliveries",
        "logs:PutResourcePolicy",
        "logs:DescribeResourcePolicies",
        "logs:DescribeLogGroups",
        "xray:PutTraceSegments",
        "xray:PutTelemetryRecords",
        "xray:GetSamplingRules",
        "xray:GetSamplingTargets",
    }
)
"""Actions that IAM grants for the account only (Service Authorization Reference)."""
NUMBERED = "arn:aws:batch:eu-central-1:123456789012:job/*"
"""Jobs, which have no names of ours."""
BATCH_RULE = "rule/StepFunctionsGetEventsForBatchJobsRule"
"""The one rule that Step Functions keeps for all."""


def _no_right_on_everything(declared: Declaration) -> None:
    for policy in declared.of("iam/RolePolicy"):
        for statement in policy.statements():
            actions = set(statement["Action"])
            assert all("*" not in action for action in actions)
            for resource in statement["Resource"]:
                if resource == "*":
                    assert actions <= WITHOUT_RESOURCES
                elif resource == NUMBERED:
                    assert actions == {"batch:TerminateJob"}
                elif not resource.endswith(BATCH_RULE):
                    # Objects of a bucket and streams of a log group have names of their own.
                    assert "*" not in resource.removesuffix("/*").removesuffix(":*")
                    assert f"safelight-{LONGEST_STACK}-" in resource


def _no_log_for_ever(declared: Declaration, config: dict[str, Any]) -> None:
    groups = {one.name: one.inputs["retentionInDays"] for one in declared.of("cloudwatch/LogGroup")}
    assert {one.name for one in declared.of("lambda/Function")} <= {*groups}
    allowed = {config["intake"]["logRetentionDays"], config["heavy"]["logRetentionDays"]}
    assert {*groups.values()} <= allowed


def _no_queue_of_jobs_that_batch_would_refuse(declared: Declaration) -> None:
    for queue in declared.of("batch/JobQueue"):
        orders = queue.inputs["computeEnvironmentOrders"]
        assert 1 <= len(orders) <= 3
        assert [one["order"] for one in orders] == list(range(1, len(orders) + 1))
    for definition in declared.of("batch/JobDefinition"):
        assert len(definition.inputs["retryStrategy"]["evaluateOnExits"]) <= 5
        assert 1 <= definition.inputs["retryStrategy"]["attempts"] <= 10
        assert definition.inputs["timeout"]["attemptDurationSeconds"] >= 60


def _no_way_in(declared: Declaration) -> None:
    for group in declared.of("ec2/SecurityGroup"):
        for rule in group.inputs["ingress"]:
            assert not rule.get("cidrBlocks")
            assert rule["securityGroups"]
    for template in declared.of("ec2/LaunchTemplate"):
        assert template.inputs["metadataOptions"]["httpTokens"] == "required"
        (disk,) = template.inputs["blockDeviceMappings"]
        assert disk["ebs"]["encrypted"] == "true"


def _no_function_beyond_limits(declared: Declaration) -> None:
    for function in declared.of("lambda/Function"):
        assert 128 <= function.inputs["memorySize"] <= 10240
        assert 1 <= function.inputs["timeout"] <= 900
        assert ("iam/RolePolicy", function.name) in function.waits_for


def _no_name_too_long(declared: Declaration) -> None:
    for kind, limit in NAME_LIMITS.items():
        for one in declared.of(kind):
            name = f"safelight-{LONGEST_STACK}-{one.name}"
            assert len(name) + AUTO_NAMING <= limit


def _no_resource_without_tags(declared: Declaration, tags: dict[str, str]) -> None:
    taggable = {*NAME_LIMITS, "lambda/EventSourceMapping"}
    for one in declared.resources:
        if one.kind in taggable:
            found = one.inputs["tags"]
            assert {"Project", "Stack", "Component"} <= {*found}
            assert tags.items() <= found.items()
