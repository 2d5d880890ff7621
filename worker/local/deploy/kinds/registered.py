"""What the emulator does nothing with: registered with an identity, created nowhere. Each with why.

Tests of the program (tests/infra) assert these resources as they are declared, with every input; no
effect of theirs could be seen here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.local.deploy.kinds.kind import (
    Created,
    DeclaredResource,
    EmulatorClients,
    ResourceType,
)


def _registered(service: str, path: str, reason: str, **computed: str) -> ResourceType:
    """A type whose ARNs are ``arn:aws:SERVICE:...:PATH``, with the name in place of ``{}``.

    Args:
        computed: further properties that the program reads, with the name in place of ``{}``.
    """

    def create(aws: EmulatorClients, declared: DeclaredResource) -> Created:
        name = declared.physical_name
        more: Mapping[str, Any] = {key: text.format(name) for key, text in computed.items()}
        return name, {"name": name, "arn": aws.arn(service, path.format(name)), **more}

    return ResourceType(create, None, reason)


def _setting(reason: str) -> ResourceType:
    """A type that belongs to another resource and has no ARN of its own."""

    def create(_aws: EmulatorClients, declared: DeclaredResource) -> Created:
        return declared.name, {}

    return ResourceType(create, None, reason)


_NO_SERVICE = "the emulator has no {}"
_NO_MACHINES = "no machine starts: the local stack runs the jobs"
_NOT_WATCHED = "the emulator counts and watches nothing"
_NOBODY_IS_TOLD = "no alarm goes off that would tell somebody"
_NO_LOGS = "the local stack's processes write files"
_NOT_CALLED = "the emulator would look for the function's image: the local stack runs the functions"
_NOT_PULLED = "no image is pushed or pulled"
_NO_EFFECT = "the emulator keeps it and behaves the same without it"

RESOURCE_TYPES: Mapping[str, ResourceType] = {
    "aws:appautoscaling/policy:Policy": _registered(
        "autoscaling", "scalingPolicy:{}", _NO_SERVICE.format("Application Auto Scaling")
    ),
    "aws:appautoscaling/target:Target": _registered(
        "application-autoscaling",
        "scalable-target/{}",
        _NO_SERVICE.format("Application Auto Scaling"),
    ),
    "aws:batch/computeEnvironment:ComputeEnvironment": _registered(
        "batch", "compute-environment/{}", _NO_MACHINES
    ),
    "aws:batch/jobDefinition:JobDefinition": _registered(
        "batch", "job-definition/{}:1", _NO_MACHINES
    ),
    "aws:batch/jobQueue:JobQueue": _registered("batch", "job-queue/{}", _NO_MACHINES),
    "aws:batch/schedulingPolicy:SchedulingPolicy": _registered(
        "batch", "scheduling-policy/{}", _NO_MACHINES
    ),
    "aws:budgets/budget:Budget": _registered("budgets", "budget/{}", "nothing costs anything here"),
    "aws:cloudwatch/compositeAlarm:CompositeAlarm": _registered(
        "cloudwatch", "alarm:{}", _NOT_WATCHED
    ),
    "aws:cloudwatch/dashboard:Dashboard": _registered("cloudwatch", "dashboard/{}", _NOT_WATCHED),
    "aws:cloudwatch/eventTarget:EventTarget": _setting(
        "every target is a function, topic or log group, which are registered only; the local stack"
        " adds its own target to the rule of heavy uploads"
    ),
    "aws:cloudwatch/logGroup:LogGroup": _registered("logs", "log-group:{}", _NO_LOGS),
    "aws:cloudwatch/logMetricFilter:LogMetricFilter": _setting(_NO_LOGS),
    "aws:cloudwatch/logResourcePolicy:LogResourcePolicy": _setting(_NO_LOGS),
    "aws:cloudwatch/metricAlarm:MetricAlarm": _registered("cloudwatch", "alarm:{}", _NOT_WATCHED),
    "aws:costexplorer/anomalyMonitor:AnomalyMonitor": _registered(
        "ce", "anomalymonitor/{}", _NO_SERVICE.format("Cost Explorer")
    ),
    "aws:costexplorer/anomalySubscription:AnomalySubscription": _registered(
        "ce", "anomalysubscription/{}", _NO_SERVICE.format("Cost Explorer")
    ),
    "aws:costexplorer/costAllocationTag:CostAllocationTag": _setting(
        _NO_SERVICE.format("Cost Explorer")
    ),
    "aws:dynamodb/contributorInsights:ContributorInsights": _setting(_NOT_WATCHED),
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": _registered(
        "ec2", "security-group/{}", _NO_MACHINES
    ),
    "aws:ec2/internetGateway:InternetGateway": _registered(
        "ec2", "internet-gateway/{}", _NO_MACHINES
    ),
    "aws:ec2/launchTemplate:LaunchTemplate": _registered("ec2", "launch-template/{}", _NO_MACHINES),
    "aws:ec2/route:Route": _setting(_NO_MACHINES),
    "aws:ec2/routeTable:RouteTable": _registered("ec2", "route-table/{}", _NO_MACHINES),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": _setting(_NO_MACHINES),
    "aws:ec2/securityGroup:SecurityGroup": _registered("ec2", "security-group/{}", _NO_MACHINES),
    "aws:ec2/subnet:Subnet": _registered("ec2", "subnet/{}", _NO_MACHINES),
    "aws:ec2/vpc:Vpc": _registered("ec2", "vpc/{}", _NO_MACHINES),
    "aws:ec2/vpcEndpoint:VpcEndpoint": _registered(
        "ec2", "vpc-endpoint/{}", _NO_MACHINES, prefixListId="pl-{}"
    ),
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": _setting(_NOT_PULLED),
    "aws:ecr/repository:Repository": _registered(
        "ecr", "repository/{}", _NOT_PULLED, repositoryUrl="local/{}"
    ),
    "aws:ecr/repositoryPolicy:RepositoryPolicy": _setting(_NOT_PULLED),
    "aws:iam/instanceProfile:InstanceProfile": _registered(
        "iam", "instance-profile/{}", _NO_MACHINES
    ),
    "aws:lambda/eventSourceMapping:EventSourceMapping": _registered(
        "lambda",
        "event-source-mapping:{}",
        "the emulator would take messages away from the local stack's workers",
    ),
    "aws:lambda/function:Function": _registered("lambda", "function:{}", _NOT_CALLED),
    "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig": _setting(_NOT_CALLED),
    "aws:lambda/permission:Permission": _setting(_NOT_CALLED),
    "aws:pipes/pipe:Pipe": _registered(
        "pipes",
        "pipe/{}",
        "the emulator keeps neither the enrichment nor the parameters of a pipe and moves"
        " nothing; the local stack runs it",
    ),
    "aws:s3/bucketAccelerateConfiguration:BucketAccelerateConfiguration": _setting(_NO_EFFECT),
    "aws:s3/bucketLogging:BucketLogging": _setting(_NO_EFFECT),
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": _setting(_NO_EFFECT),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": _setting(_NO_EFFECT),
    "aws:s3/bucketReplicationConfig:BucketReplicationConfig": _setting(_NO_EFFECT),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": (
        _setting(_NO_EFFECT)
    ),
    "aws:savingsplans/savingsPlan:SavingsPlan": _registered(
        "savingsplans", "savingsplan/{}", "nothing costs anything here"
    ),
    "aws:serverlessrepository/cloudFormationStack:CloudFormationStack": _registered(
        "cloudformation",
        "stack/{}",
        _NO_SERVICE.format("application repository to take applications from"),
    ),
    "aws:sns/topic:Topic": _registered("sns", "{}", _NOBODY_IS_TOLD),
    "aws:sns/topicPolicy:TopicPolicy": _setting(_NOBODY_IS_TOLD),
    "aws:sns/topicSubscription:TopicSubscription": _setting(_NOBODY_IS_TOLD),
}
