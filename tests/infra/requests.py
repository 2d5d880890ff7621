"""Every request to AWS that the Pulumi program's resources become.

The types that the local stack creates are sent by its own code (``worker.local.deploy``), to
clients that write down what is asked and answer it themselves. Of every other type ``CALLS`` says
which operations make it; its inputs are put into the shape that the operation's model has. Pulumi's
names are Terraform's: the service's own, in camel case, with a block in place of a list of one, a
plural for a list, a list for CloudFront's ``Items``, a map for tags. What is named otherwise is
``renamed``, and what goes nowhere is ``kept`` from the request, each with its reason.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pulumi
from botocore.model import ListShape, MapShape, Shape, StructureShape
from pulumi.runtime import MockResourceArgs

from tests.infra.declared import IMAGES
from tests.service_models import operation
from worker.infra import program
from worker.local.deploy.registrar import Registrar
from worker.local.deploy.resource_types import REGISTERED, EmulatorClients
from worker.local.emulator import client_environment

Request = tuple[str, str, str, Mapping[str, Any]]
"""The resource, the service, the operation, and what it is told."""

STACK = "test"
PULUMI_ADDS = 7
"""Characters that Pulumi adds to a name after a hyphen, where the program gives none."""
AWS_ADDS = 26
"""Characters that Pulumi's provider of AWS adds to a prefix."""
_ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "GetCallerIdentity": {"Account": "123456789012"},
    "CreateQueue": {"QueueUrl": "https://sqs.eu-central-1.amazonaws.com/123456789012/any"},
    "CreateTable": {
        "TableDescription": {
            "TableName": "any",
            "TableArn": "arn:aws:dynamodb:eu-central-1:123456789012:table/any",
            "StreamSpecification": {"StreamEnabled": True},
            "LatestStreamArn": (
                "arn:aws:dynamodb:eu-central-1:123456789012:table/any/stream/"
                "2026-11-30T00:00:00.000"
            ),
        }
    },
    "DescribeTable": {"Table": {"TableStatus": "ACTIVE"}},
    "DescribeTimeToLive": {"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}},
    "CreateRole": {"Role": {"Arn": "arn:aws:iam::123456789012:role/any"}},
    "CreateEventBus": {
        "EventBusArn": "arn:aws:events:eu-central-1:123456789012:event-bus/any",
    },
    "PutRule": {"RuleArn": "arn:aws:events:eu-central-1:123456789012:rule/any"},
}
"""What the local stack's code reads of answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """An operation that a type of resource becomes, or part of it."""

    service: str
    operation: str
    takes: frozenset[str] | None = None
    """The inputs that go into this one; None for all that no other one takes."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Inputs and members whose names are not those of the model: where it stands, and its name."""
    given: Mapping[str, Any] = field(default_factory=dict)
    """What Pulumi's provider adds by itself."""
    name: str = ""
    """The input that is the resource's own name, which the provider gives where the program gives
    none."""
    change: Callable[[dict[str, Any]], dict[str, Any]] = dict
    """Makes the form of the request, where that is another one than the inputs'."""


_IDS = {"aws:ec2/subnet:Subnet": "subnet", "aws:ec2/securityGroup:SecurityGroup": "sg"}
"""What ids begin with of which the model of another service has a pattern."""


class _Clients(EmulatorClients):
    """Clients that write down every request and send none."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Mapping[str, Any]]] = []
        super().__init__(client_environment("http://127.0.0.1:9"))

    def _make(self, service: str, more: Any = None) -> Any:
        client = super()._make(service, more)
        client.meta.events.register_first("before-parameter-build", self._note)
        client.meta.events.register("before-call", _answer)
        return client

    def _note(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        self.asked.append((model.service_model.service_name, model.name, dict(params)))


def _answer(model: Any, **_: Any) -> tuple[Any, dict[str, Any]]:
    return SimpleNamespace(status_code=200), dict(_ANSWERS.get(model.name, {}))


class _Requests(Registrar):
    """The local stack's registrar, whose clients only write down; it knows all other types, too."""

    def __init__(self) -> None:
        self.clients = _Clients()
        super().__init__(self.clients)
        self.made: list[Request] = []
        self._one_at_a_time = threading.Lock()

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        with self._one_at_a_time:  # what is asked meanwhile is this one's
            return self._made_of(args)

    def _made_of(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        before = len(self.clients.asked)
        answer = super().new_resource(args)
        what = f"{args.typ} {args.name}"
        if args.typ in REGISTERED:
            self.made += (
                (what, *one) for one in requests(args.typ, args.name, program.whole(args.inputs))
            )
        else:
            self.made += ((what, *one) for one in self.clients.asked[before:])
        short = _IDS.get(args.typ)
        return (f"{short}-{len(self.made):017x}", answer[1]) if short else answer


def of(config: Mapping[str, Any]) -> list[Request]:
    """Every request that a configuration's resources become."""
    made = _Requests()
    program.run(made, stack=STACK, config={**IMAGES, **config})
    return made.made


def requests(
    kind: str, name: str, inputs: Mapping[str, Any]
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The requests that a resource becomes of which the local stack creates nothing.

    Raises:
        KeyError: the type is in no table here.
        ValueError: an input is no member of the request.
    """
    calls = CALLS[kind]
    left_out = {**KEPT["*"], **KEPT.get(kind, {})}
    told = {key: value for key, value in inputs.items() if key not in left_out}
    prefix = told.pop("namePrefix", None)
    full = f"{name}-{'0' * PULUMI_ADDS}" if prefix is None else f"{prefix}{'0' * AWS_ADDS}"
    claimed = frozenset().union(*(call.takes or () for call in calls))
    for call in calls:
        takes = {*told} - claimed if call.takes is None else {*told} & call.takes
        if call.takes is not None and not takes:
            continue
        own = {key: value for key, value in told.items() if key in takes}
        if call.name:
            own.setdefault(call.name, full)
        shape = operation(call.service, call.operation).input_shape
        assert isinstance(shape, StructureShape)
        request = fit(call.change(own), shape, call.renamed)
        yield call.service, call.operation, _merged(call.given, request)


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        key: _merged(first[key], second[key])
        for key in {*first} & {*second}
        if isinstance(first[key], Mapping)
    }
    return {**first, **second, **both}


def fit(value: Any, shape: Shape, renamed: Mapping[str, str], path: str = "") -> Any:
    """A value of Pulumi's in the form that a model has.

    Raises:
        ValueError: a member is not in the model.
    """
    if isinstance(value, pulumi.Asset | pulumi.Archive):
        return b"file"
    if isinstance(shape, StructureShape):
        return _structure(value, shape, renamed, path)
    if isinstance(shape, ListShape):
        if isinstance(value, Mapping):
            value = _pairs(value, shape) or [value]
        elif not isinstance(value, list):
            value = [value]
        return [fit(item, shape.member, renamed, f"{path}[]") for item in value]
    if isinstance(shape, MapShape):
        return {key: fit(item, shape.value, renamed, path) for key, item in value.items()}
    return _scalar(value, shape.type_name)


def _scalar(value: Any, kind: str) -> Any:
    if kind == "string" and not isinstance(value, str):
        return json.dumps(value)
    if kind in {"integer", "long", "double", "float"} and isinstance(value, str):
        return float(value) if kind in {"double", "float"} else int(value)
    if kind == "boolean" and isinstance(value, str):
        return value == "true"
    return value.encode() if kind == "blob" else value


def _pairs(value: Mapping[str, Any], shape: ListShape) -> list[Mapping[str, Any]]:
    """A map, where the model has a list of keys, or names, and values."""
    members = getattr(shape.member, "members", {})
    names = {_plain(name) for name in members}
    for key in ("key", "name"):
        if names == {key, "value"}:
            return [{key: name, "value": text} for name, text in value.items()]
    return []


def _structure(
    value: Any, shape: StructureShape, renamed: Mapping[str, str], path: str
) -> dict[str, Any]:
    if "Items" in shape.members:
        return _counted(value, shape, renamed, path)
    if isinstance(value, list):
        if len(value) > 1:
            raise ValueError(f"{path}: several, where the service takes one")
        value = value[0] if value else {}
    if isinstance(value, str) and value.startswith("{"):
        value = json.loads(value)
    if not isinstance(value, Mapping) and {*shape.members} == {"Value"}:
        value = {"value": value}
    made = {}
    for key, item in value.items():
        at = f"{path}.{key}".lstrip(".")
        member = _member(renamed.get(at, key), shape)
        if member is None:
            raise ValueError(f"{at}: {shape.name} has only {', '.join(shape.members)}")
        if item is not None:
            made[member] = fit(item, shape.members[member], renamed, at)
    return made


def _counted(
    value: Any, shape: StructureShape, renamed: Mapping[str, str], path: str
) -> dict[str, Any]:
    """A list as CloudFront has it: the items, how many they are, and perhaps more."""
    whole = isinstance(value, Mapping) and all(_member(key, shape) for key in value)
    more = dict(value) if whole else {"items": value}
    items = fit(more.pop("items", []), shape.members["Items"], renamed, path)
    made = {_member(key, shape) or key: item for key, item in more.items()}
    made = {key: fit(item, shape.members[key], renamed, path) for key, item in made.items()}
    if "Quantity" in shape.members:
        made["Quantity"] = len(items)
    return {**made, **({"Items": items} if items else {})}


def _member(key: str, shape: StructureShape) -> str | None:
    found = {_plain(name): name for name in shape.members}
    plain = _plain(key)
    for candidate in (plain, plain.removesuffix("s"), f"{plain}s", f"{plain[:-1]}ies"):
        if candidate in found:
            return found[candidate]
    return None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


# --- what each type becomes -------------------------------------------------------------------


Inputs = dict[str, Any]


def _one(service: str, operation: str, /, **more: Any) -> tuple[Call, ...]:
    return (Call(service=service, operation=operation, **more),)


def _within(member: str, *outside: str) -> Callable[[Inputs], Inputs]:
    """All inputs as members of one member of the request, but those named."""

    def change(told: Inputs) -> Inputs:
        inner = {key: value for key, value in told.items() if key not in outside}
        return {member: inner, **{key: told[key] for key in outside if key in told}}

    return change


def _tags_for(kind: str) -> Callable[[Inputs], Inputs]:
    """EC2's tags stand beside the type of what they are on."""

    def change(told: Inputs) -> Inputs:
        rest = {key: value for key, value in told.items() if key != "tags"}
        return {**rest, "tagSpecifications": [{"resourceType": kind, "tags": told["tags"]}]}

    return change


def _template(told: Inputs) -> Inputs:
    named = _within("launchTemplateData", "tags", "launchTemplateName")(told)
    return _tags_for("launch-template")(named)


def _function(told: Inputs) -> Inputs:
    code = {"imageUri": told["imageUri"]} if "imageUri" in told else {"zipFile": told["code"]}
    return {**{key: told[key] for key in told if key not in {"imageUri", "code"}}, "code": code}


def _target(told: Inputs) -> Inputs:
    found = _within("targets", "rule", "eventBusName")(told)
    return {**found, "targets": [{"id": "pulumi", **found["targets"]}]}


def _distribution(told: Inputs) -> Inputs:
    config = {
        **told,
        "defaultCacheBehavior": _behaviour(told["defaultCacheBehavior"]),
        "cacheBehaviors": [_behaviour(one) for one in told["orderedCacheBehaviors"]],
    }
    del config["orderedCacheBehaviors"]
    return {"distributionConfigWithTags": _within("distributionConfig", "tags")(config)}


def _behaviour(told: Inputs) -> Inputs:
    """The methods that are kept are part of those that are allowed."""
    rest = {key: value for key, value in told.items() if key != "cachedMethods"}
    methods = {"items": told["allowedMethods"], "cachedMethods": told["cachedMethods"]}
    return {**rest, "allowedMethods": methods}


def _alarm(told: Inputs) -> Inputs:
    queries = [
        {key: value for key, value in one.items() if key != "metric"} | _stat(one.get("metric"))
        for one in told.get("metricQueries", [])
    ]
    rest = {key: value for key, value in told.items() if key != "metricQueries"}
    return {**rest, **({"metrics": queries} if queries else {})}


def _stat(metric: Inputs | None) -> Inputs:
    if metric is None:
        return {}
    return {"metricStat": _within("metric", "period", "stat", "unit")(metric)}


def _rules(told: Inputs) -> Inputs:
    """Rules of a security group: who may come, each beside the rule's description."""
    [(_, rules)] = told.items()
    return {"ipPermissions": [_permission(rule) for rule in rules]}


def _permission(rule: Inputs) -> Inputs:
    who = {
        "cidrBlocks": ("ipRanges", "cidrIp"),
        "prefixListIds": ("prefixListIds", "prefixListId"),
        "securityGroups": ("userIdGroupPairs", "groupId"),
    }
    made = {"ipProtocol": rule["protocol"]}
    for key, value in rule.items():
        if key in who:
            several, one = who[key]
            made[several] = [{one: each, "description": rule["description"]} for each in value]
        elif key not in {"protocol", "description"}:
            made[key] = value
    return made


CALLS: Mapping[str, tuple[Call, ...]] = {
    "aws:batch/computeEnvironment:ComputeEnvironment": _one(
        "batch", "CreateComputeEnvironment", name="computeEnvironmentName"
    ),
    "aws:batch/jobDefinition:JobDefinition": _one(
        "batch", "RegisterJobDefinition", name="jobDefinitionName"
    ),
    "aws:batch/jobQueue:JobQueue": _one("batch", "CreateJobQueue", name="jobQueueName"),
    "aws:batch/schedulingPolicy:SchedulingPolicy": _one(
        "batch", "CreateSchedulingPolicy", name="name"
    ),
    "aws:cloudfront/cachePolicy:CachePolicy": _one(
        "cloudfront", "CreateCachePolicy", name="name", change=_within("cachePolicyConfig")
    ),
    "aws:cloudfront/distribution:Distribution": _one(
        "cloudfront",
        "CreateDistributionWithTags",
        given={"DistributionConfigWithTags": {"DistributionConfig": {"CallerReference": "any"}}},
        renamed={
            f"distributionConfigWithTags.distributionConfig.{one}[].originId": "id"
            for one in ("origins", "originGroups")
        },
        change=_distribution,
    ),
    "aws:cloudfront/function:Function": _one(
        "cloudfront",
        "CreateFunction",
        name="name",
        renamed={"code": "functionCode"},
        change=_within("functionConfig", "code", "name", "tags"),
    ),
    "aws:cloudfront/originAccessControl:OriginAccessControl": _one(
        "cloudfront",
        "CreateOriginAccessControl",
        name="name",
        change=_within("originAccessControlConfig"),
    ),
    "aws:cloudfront/responseHeadersPolicy:ResponseHeadersPolicy": _one(
        "cloudfront",
        "CreateResponseHeadersPolicy",
        name="name",
        change=_within("responseHeadersPolicyConfig"),
    ),
    "aws:cloudwatch/compositeAlarm:CompositeAlarm": _one("cloudwatch", "PutCompositeAlarm"),
    "aws:cloudwatch/dashboard:Dashboard": _one("cloudwatch", "PutDashboard", name="dashboardName"),
    "aws:cloudwatch/eventArchive:EventArchive": _one("events", "CreateArchive", name="archiveName"),
    "aws:cloudwatch/eventTarget:EventTarget": _one(
        "events",
        "PutTargets",
        renamed={"targets[].inputTransformer.inputPaths": "inputPathsMap"},
        change=_target,
    ),
    "aws:cloudwatch/logDelivery:LogDelivery": _one("logs", "CreateDelivery"),
    "aws:cloudwatch/logDeliveryDestination:LogDeliveryDestination": _one(
        "logs", "PutDeliveryDestination", name="name"
    ),
    "aws:cloudwatch/logDeliverySource:LogDeliverySource": _one(
        "logs", "PutDeliverySource", name="name"
    ),
    "aws:cloudwatch/logGroup:LogGroup": (
        Call(
            service="logs",
            operation="CreateLogGroup",
            name="name",
            renamed={"name": "logGroupName"},
        ),
        Call(
            service="logs",
            operation="PutRetentionPolicy",
            takes=frozenset({"retentionInDays"}),
            name="logGroupName",
        ),
    ),
    "aws:cloudwatch/logMetricFilter:LogMetricFilter": _one(
        "logs",
        "PutMetricFilter",
        name="filterName",
        renamed={
            "pattern": "filterPattern",
            "metricTransformation[].name": "metricName",
            "metricTransformation[].namespace": "metricNamespace",
            "metricTransformation[].value": "metricValue",
        },
    ),
    "aws:cloudwatch/logResourcePolicy:LogResourcePolicy": _one("logs", "PutResourcePolicy"),
    "aws:cloudwatch/metricAlarm:MetricAlarm": _one(
        "cloudwatch", "PutMetricAlarm", name="alarmName", change=_alarm
    ),
    "aws:dynamodb/contributorInsights:ContributorInsights": _one(
        "dynamodb",
        "UpdateContributorInsights",
        given={"ContributorInsightsAction": "ENABLE"},
        renamed={"mode": "contributorInsightsMode"},
    ),
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": _one(
        "ec2",
        "CreateTags",
        given={"Resources": ["sg-1"]},
    ),
    "aws:ec2/internetGateway:InternetGateway": (
        Call(
            service="ec2",
            operation="CreateInternetGateway",
            change=_tags_for("internet-gateway"),
        ),
        Call(
            service="ec2",
            operation="AttachInternetGateway",
            takes=frozenset({"vpcId"}),
            given={"InternetGatewayId": "igw-1"},
        ),
    ),
    "aws:ec2/launchTemplate:LaunchTemplate": _one(
        "ec2", "CreateLaunchTemplate", name="launchTemplateName", change=_template
    ),
    "aws:ec2/route:Route": _one("ec2", "CreateRoute"),
    "aws:ec2/routeTable:RouteTable": _one(
        "ec2", "CreateRouteTable", change=_tags_for("route-table")
    ),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": _one("ec2", "AssociateRouteTable"),
    "aws:ec2/securityGroup:SecurityGroup": (
        Call(
            service="ec2",
            operation="CreateSecurityGroup",
            name="groupName",
            change=_tags_for("security-group"),
        ),
        Call(
            service="ec2",
            operation="AuthorizeSecurityGroupEgress",
            takes=frozenset({"egress"}),
            given={"GroupId": "sg-1"},
            change=_rules,
        ),
        Call(
            service="ec2",
            operation="AuthorizeSecurityGroupIngress",
            takes=frozenset({"ingress"}),
            given={"GroupId": "sg-1"},
            change=_rules,
        ),
    ),
    "aws:ec2/subnet:Subnet": (
        Call(service="ec2", operation="CreateSubnet", change=_tags_for("subnet")),
        Call(
            service="ec2",
            operation="ModifySubnetAttribute",
            takes=frozenset({"mapPublicIpOnLaunch"}),
            given={"SubnetId": "subnet-1"},
        ),
    ),
    "aws:ec2/vpc:Vpc": (
        Call(service="ec2", operation="CreateVpc", change=_tags_for("vpc")),
        *(
            Call(
                service="ec2",
                operation="ModifyVpcAttribute",
                takes=frozenset({one}),
                given={"VpcId": "vpc-1"},
            )
            for one in ("enableDnsHostnames", "enableDnsSupport")
        ),
    ),
    "aws:ec2/vpcEndpoint:VpcEndpoint": _one(
        "ec2", "CreateVpcEndpoint", change=_tags_for("vpc-endpoint")
    ),
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": _one(
        "ecr",
        "PutLifecyclePolicy",
        renamed={"repository": "repositoryName", "policy": "lifecyclePolicyText"},
    ),
    "aws:ecr/repository:Repository": _one(
        "ecr", "CreateRepository", renamed={"name": "repositoryName"}
    ),
    "aws:ecr/repositoryPolicy:RepositoryPolicy": _one(
        "ecr",
        "SetRepositoryPolicy",
        renamed={"repository": "repositoryName", "policy": "policyText"},
    ),
    "aws:elasticache/serverlessCache:ServerlessCache": _one(
        "elasticache", "CreateServerlessCache", renamed={"name": "serverlessCacheName"}
    ),
    "aws:elasticache/user:User": _one("elasticache", "CreateUser"),
    "aws:elasticache/userGroup:UserGroup": _one("elasticache", "CreateUserGroup"),
    "aws:iam/instanceProfile:InstanceProfile": (
        Call(service="iam", operation="CreateInstanceProfile", name="instanceProfileName"),
        Call(
            service="iam",
            operation="AddRoleToInstanceProfile",
            takes=frozenset({"role"}),
            renamed={"role": "roleName"},
            name="instanceProfileName",
        ),
    ),
    "aws:lambda/eventSourceMapping:EventSourceMapping": _one(
        "lambda",
        "CreateEventSourceMapping",
        renamed={"destinationConfig.onFailure.destinationArn": "destination"},
    ),
    "aws:lambda/function:Function": (
        Call(
            service="lambda",
            operation="CreateFunction",
            name="functionName",
            change=_function,
        ),
        Call(
            service="lambda",
            operation="PutFunctionConcurrency",
            takes=frozenset({"reservedConcurrentExecutions"}),
            name="functionName",
        ),
    ),
    "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig": _one(
        "lambda", "PutFunctionEventInvokeConfig"
    ),
    "aws:lambda/functionUrl:FunctionUrl": _one(
        "lambda", "CreateFunctionUrlConfig", renamed={"authorizationType": "authType"}
    ),
    "aws:lambda/permission:Permission": _one(
        "lambda", "AddPermission", name="statementId", renamed={"function": "functionName"}
    ),
    "aws:pipes/pipe:Pipe": _one("pipes", "CreatePipe", name="name"),
    "aws:s3/bucketAccelerateConfiguration:BucketAccelerateConfiguration": _one(
        "s3",
        "PutBucketAccelerateConfiguration",
        change=_within("accelerateConfiguration", "bucket"),
    ),
    "aws:s3/bucketLogging:BucketLogging": _one(
        "s3",
        "PutBucketLogging",
        change=lambda told: _within("bucketLoggingStatus", "bucket")(
            _within("loggingEnabled", "bucket")(told)
        ),
    ),
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": _one(
        "s3", "PutBucketOwnershipControls", change=_within("ownershipControls", "bucket")
    ),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": _one(
        "s3",
        "PutPublicAccessBlock",
        change=_within("publicAccessBlockConfiguration", "bucket"),
    ),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": (
        _one(
            "s3",
            "PutBucketEncryption",
            change=_within("serverSideEncryptionConfiguration", "bucket"),
        )
    ),
    "aws:sns/topic:Topic": _one(
        "sns",
        "CreateTopic",
        name="name",
        change=lambda told: {
            **{key: told[key] for key in told if key != "displayName"},
            "attributes": {"DisplayName": told["displayName"]},
        },
    ),
    "aws:sns/topicPolicy:TopicPolicy": _one(
        "sns",
        "SetTopicAttributes",
        change=lambda told: {
            "topicArn": told["arn"],
            "attributeName": "Policy",
            "attributeValue": told["policy"],
        },
    ),
}
"""The operations of each type, of those that the presets have."""
KEPT: Mapping[str, Mapping[str, str]] = {
    "*": {"region": "the provider sends the request there"},
    "aws:cloudfront/function:Function": {"publish": "asks for PublishFunction, by its name alone"},
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": {
        "vpcId": "finds the group",
        "ingress": "is empty: the provider takes away what is there",
        "egress": "is empty: the provider takes away what is there",
    },
    "aws:ec2/launchTemplate:LaunchTemplate": {
        "updateDefaultVersion": "the provider then names the version it has just made",
    },
    "aws:ecr/repository:Repository": {"forceDelete": "tells Pulumi, not the service"},
}
"""Inputs that go into no request of the type, and why."""
