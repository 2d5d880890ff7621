"""Every type of resource the program may register, and what becomes of it here.

Types that the emulator supports are created, or adopted if an earlier deployment has created them:
buckets, queues, the table, roles, the bus and its rules, state machines. Every other type is only
registered with an identity. A type that is missing fails the deploy, and so does an input that a
created type does not name: what the program says is done, registered with a reason, or refused.
``emulator_patches`` has the three places where what the emulator gets is not what is declared.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.local.deploy import emulator_patches
from worker.local.roles import RootClients
from worker.local.workflows import on_queue

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import StreamSpecificationTypeDef, TableDescriptionTypeDef


@dataclass(frozen=True, slots=True)
class DeclaredResource:
    """A resource as the program registered it."""

    name: str
    """The logical name."""
    inputs: Mapping[str, Any]
    """In camel case, whole numbers whole."""

    @property
    def physical_name(self) -> str:
        """The name given, or the logical one.

        Pulumi would add seven random characters; here the same name every time makes a second
        deploy find what the first one made.
        """
        if "namePrefix" in self.inputs:
            return f"{self.inputs['namePrefix']}local"
        return str(self.inputs.get("name") or self.name)

    @property
    def tag_list(self) -> list[Any]:
        """Tags in the form most services take."""
        return [{"Key": key, "Value": text} for key, text in self.inputs.get("tags", {}).items()]

    @property
    def tags(self) -> dict[str, str]:
        """Tags in the form the other services take."""
        return dict(self.inputs.get("tags", {}))


Created = tuple[str, Mapping[str, Any]]
"""Id and computed properties."""


@dataclass(frozen=True, slots=True)
class ResourceType:
    """How to create, or take over, a resource of one type."""

    create: Callable[[EmulatorClients, DeclaredResource], Created]
    inputs: frozenset[str] | None
    """Every input it heeds; None where nothing is created."""
    reason: str = ""
    """Why it is not created, of one that is only registered."""


class EmulatorClients(RootClients):
    """The root user's clients at an emulator. Safe between threads.

    Args:
        environment: endpoint, credentials and region, from ``emulator.client_environment``; what
            the process has of its own might lead to a real account.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        super().__init__(environment)
        self.region = environment["AWS_REGION"]
        self.account: str = self._client("sts").get_caller_identity()["Account"]

    def arn(self, service: str, resource: str) -> str:
        """An ARN in this account and region; CloudFront has no regions."""
        region = "" if service == "cloudfront" else self.region
        return f"arn:aws:{service}:{region}:{self.account}:{resource}"

    def _make(self, service: str, more: Any = None) -> Any:
        client = super()._make(service, more)
        # botocore makes these classes at first use, and two threads that are first at once get
        # different ones: what one of them raises, the other's except does not catch.
        _ = client.exceptions
        return client


def camel_to_pascal(value: Any) -> Any:
    """Nested inputs in the spelling of the AWS APIs: ``blockPublicAcls`` -> ``BlockPublicAcls``."""
    if isinstance(value, dict):
        return {key[:1].upper() + key[1:]: camel_to_pascal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [camel_to_pascal(item) for item in value]
    return value


# --- buckets ----------------------------------------------------------------------------------


def _bucket(aws: EmulatorClients, declared: DeclaredResource) -> Created:
    name = str(declared.inputs.get("bucket") or declared.name)
    with contextlib.suppress(aws.s3.exceptions.BucketAlreadyOwnedByYou):  # from an earlier run
        aws.s3.create_bucket(
            Bucket=name,
            CreateBucketConfiguration={"LocationConstraint": aws.region},  # type: ignore[typeddict-item]
        )
    aws.s3.put_bucket_tagging(
        Bucket=name,
        Tagging={"TagSet": declared.tag_list},
    )
    return name, {
        "bucket": name,
        "arn": f"arn:aws:s3:::{name}",
        "bucketRegionalDomainName": f"{name}.s3.{aws.region}.amazonaws.com",
    }


def _versioning(aws: EmulatorClients, bucket: str, inputs: Any) -> None:
    aws.s3.put_bucket_versioning(
        Bucket=bucket,
        VersioningConfiguration=camel_to_pascal(inputs["versioningConfiguration"]),
    )


def _bucket_policy(aws: EmulatorClients, bucket: str, inputs: Any) -> None:
    aws.s3.put_bucket_policy(Bucket=bucket, Policy=emulator_patches.bucket(inputs["policy"]))


def _lifecycle(aws: EmulatorClients, bucket: str, inputs: Any) -> None:
    rules = camel_to_pascal(inputs["rules"])
    for rule in rules:
        rule["ID"] = rule.pop("Id")  # the two of S3's names that are no Pascal case
    aws.s3.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": rules}
    )


def _notification(aws: EmulatorClients, bucket: str, inputs: Any) -> None:
    wanted: Any = {
        "QueueConfigurations": [
            {"Id": one["id"], "QueueArn": one["queueArn"], "Events": one["events"]}
            for one in inputs["queues"]
        ]
    }
    if inputs["eventbridge"]:
        wanted["EventBridgeConfiguration"] = {}
    aws.s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=wanted)


def _cors(aws: EmulatorClients, bucket: str, inputs: Any) -> None:
    rules = camel_to_pascal(inputs["corsRules"])
    for rule in rules:
        if "Id" in rule:
            rule["ID"] = rule.pop("Id")
    aws.s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": rules})


def _on_bucket(change: Any, *inputs: str) -> ResourceType:
    def create(aws: EmulatorClients, declared: DeclaredResource) -> Created:
        bucket = declared.inputs["bucket"]
        change(aws, bucket, declared.inputs)
        return bucket, {}

    return ResourceType(create, frozenset({"bucket", *inputs}))


# --- queues -----------------------------------------------------------------------------------

QUEUE_ATTRIBUTES = {
    "contentBasedDeduplication": "ContentBasedDeduplication",
    "deduplicationScope": "DeduplicationScope",
    "fifoQueue": "FifoQueue",
    "fifoThroughputLimit": "FifoThroughputLimit",
    "messageRetentionSeconds": "MessageRetentionPeriod",
    "receiveWaitTimeSeconds": "ReceiveMessageWaitTimeSeconds",
    "redrivePolicy": "RedrivePolicy",
    "sqsManagedSseEnabled": "SqsManagedSseEnabled",
    "visibilityTimeoutSeconds": "VisibilityTimeout",
}
"""Names of SQS's attributes by the inputs of Pulumi."""


def _queue(aws: EmulatorClients, declared: DeclaredResource) -> Created:
    fifo = bool(declared.inputs.get("fifoQueue"))
    # A name that is given, as Pulumi's engine gives it, has the ending already.
    name = declared.physical_name.removesuffix(".fifo") + (".fifo" if fifo else "")
    attributes: dict[str, str] = {
        attribute: _text(declared.inputs[given])
        for given, attribute in QUEUE_ATTRIBUTES.items()
        if given in declared.inputs
    }
    try:
        url = aws.sqs.create_queue(
            QueueName=name,
            Attributes=attributes,  # type: ignore[arg-type]
            tags=declared.inputs.get("tags", {}),
        )["QueueUrl"]
    except aws.sqs.exceptions.QueueNameExists:
        url = aws.sqs.get_queue_url(QueueName=name)["QueueUrl"]
    # An emulator with the queue kept may answer with the old one and its old attributes.
    attributes.pop("FifoQueue", None)
    aws.sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)  # type: ignore[arg-type]
    return url, {"name": name, "url": url, "arn": aws.arn("sqs", name)}


def _queue_policy(attribute: str, given: str) -> ResourceType:
    def create(aws: EmulatorClients, declared: DeclaredResource) -> Created:
        url = declared.inputs["queueUrl"]
        values: Mapping[Any, str] = {attribute: declared.inputs[given]}
        aws.sqs.set_queue_attributes(QueueUrl=url, Attributes=values)
        return url, {}

    return ResourceType(create, frozenset({"queueUrl", given}))


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


# --- the table --------------------------------------------------------------------------------


def _table(aws: EmulatorClients, declared: DeclaredResource) -> Created:
    name, inputs = declared.physical_name, declared.inputs
    wanted: dict[str, Any] = {
        "TableName": name,
        "BillingMode": inputs["billingMode"],
        "KeySchema": _keys([(inputs["hashKey"], "HASH"), (inputs["rangeKey"], "RANGE")]),
        "AttributeDefinitions": [
            {"AttributeName": one["name"], "AttributeType": one["type"]}
            for one in inputs["attributes"]
        ],
        "GlobalSecondaryIndexes": [
            {
                "IndexName": one["name"],
                "KeySchema": _keys(
                    [(key["attributeName"], key["keyType"]) for key in one["keySchemas"]]
                ),
                "Projection": {"ProjectionType": one["projectionType"]},
                **_capacity(one),
            }
            for one in inputs["globalSecondaryIndexes"]
        ],
        "DeletionProtectionEnabled": inputs["deletionProtectionEnabled"],
        "StreamSpecification": {
            "StreamEnabled": inputs["streamEnabled"],
            "StreamViewType": inputs["streamViewType"],
        },
        "Tags": declared.tag_list,
        **_capacity(inputs),
    }
    try:
        table = aws.dynamodb.create_table(**wanted)["TableDescription"]
    except aws.dynamodb.exceptions.ResourceInUseException:
        table = aws.dynamodb.describe_table(TableName=name)["Table"]
        _require_same_keys(table, wanted)
    aws.dynamodb.get_waiter("table_exists").wait(
        TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    _expire(aws, name, inputs["ttl"])
    aws.dynamodb.update_continuous_backups(
        TableName=name,
        PointInTimeRecoverySpecification={
            "PointInTimeRecoveryEnabled": inputs["pointInTimeRecovery"]["enabled"]
        },
    )
    return name, {
        "name": name,
        "arn": table["TableArn"],
        "streamArn": _stream(aws, table, wanted["StreamSpecification"]),
    }


def _stream(
    aws: EmulatorClients, table: TableDescriptionTypeDef, wanted: StreamSpecificationTypeDef
) -> str:
    """The ARN of the table's stream, which a table of an earlier program may lack."""
    if not table.get("StreamSpecification", {}).get("StreamEnabled"):
        found = aws.dynamodb.update_table(TableName=table["TableName"], StreamSpecification=wanted)
        table = found["TableDescription"]
    return table["LatestStreamArn"]


def _capacity(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The provisioned capacity; nothing for a table on demand."""
    if wanted.get("readCapacity") is None:
        return {}
    reads, writes = wanted["readCapacity"], wanted["writeCapacity"]
    return {"ProvisionedThroughput": {"ReadCapacityUnits": reads, "WriteCapacityUnits": writes}}


def _keys(keys: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"AttributeName": attribute, "KeyType": kind} for attribute, kind in keys]


def _require_same_keys(table: TableDescriptionTypeDef, wanted: dict[str, Any]) -> None:
    """DynamoDB cannot change the keys of a table that is there."""
    indexes = {one["IndexName"]: one["KeySchema"] for one in table["GlobalSecondaryIndexes"]}
    asked = {one["IndexName"]: one["KeySchema"] for one in wanted["GlobalSecondaryIndexes"]}
    if table["KeySchema"] != wanted["KeySchema"] or indexes != asked:
        raise ValueError(
            "the table kept from an earlier run has other keys; remove the local stack's data"
        )


def _expire(aws: EmulatorClients, name: str, ttl: dict[str, Any]) -> None:
    """Switching it on twice is an error."""
    found = aws.dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    if found.get("TimeToLiveStatus") not in ("ENABLED", "ENABLING"):
        aws.dynamodb.update_time_to_live(
            TableName=name,
            TimeToLiveSpecification={
                "Enabled": ttl["enabled"],
                "AttributeName": ttl["attributeName"],
            },
        )


# --- roles ------------------------------------------------------------------------------------


def _role(aws: EmulatorClients, declared: DeclaredResource) -> Created:
    name = declared.physical_name
    trust = emulator_patches.trust(declared.inputs["assumeRolePolicy"], aws.account)
    try:
        role = aws.iam.create_role(
            RoleName=name,
            AssumeRolePolicyDocument=trust,
            Description=declared.inputs["description"],
            Tags=declared.tag_list,
        )["Role"]
    except aws.iam.exceptions.EntityAlreadyExistsException:
        aws.iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust)
        role = aws.iam.get_role(RoleName=name)["Role"]
    return name, {"name": name, "arn": role["Arn"]}


def _role_policy(aws: EmulatorClients, declared: DeclaredResource) -> Created:
    role = declared.inputs["role"]
    aws.iam.put_role_policy(
        RoleName=role,
        PolicyName=declared.physical_name,
        PolicyDocument=emulator_patches.rights(declared.inputs["policy"]),
    )
    return f"{role}:{declared.physical_name}", {"name": declared.physical_name}


# --- events -----------------------------------------------------------------------------------


def _bus(aws: EmulatorClients, declared: DeclaredResource) -> Created:
    name = declared.physical_name
    try:
        arn = aws.events.create_event_bus(
            Name=name,
            Description=declared.inputs["description"],
            Tags=declared.tag_list,
        )["EventBusArn"]
    except aws.events.exceptions.ResourceAlreadyExistsException:
        arn = aws.events.describe_event_bus(Name=name)["Arn"]
    return name, {"name": name, "arn": arn}


def _rule(aws: EmulatorClients, declared: DeclaredResource) -> Created:
    name, inputs = declared.physical_name, declared.inputs
    asked = {
        "EventBusName": inputs.get("eventBusName"),
        "EventPattern": inputs.get("eventPattern"),
        "ScheduleExpression": inputs.get("scheduleExpression"),
        "Description": inputs.get("description"),
    }
    arn = aws.events.put_rule(
        Name=name,
        Tags=declared.tag_list,
        **{key: value for key, value in asked.items() if value is not None},
    )["RuleArn"]
    return name, {"name": name, "arn": arn}


# --- state machines ---------------------------------------------------------------------------
# The emulator runs them; the local stack does their jobs and functions.


def _machine(aws: EmulatorClients, declared: DeclaredResource) -> Created:
    name, inputs = declared.physical_name, declared.inputs
    asked: dict[str, Any] = {
        "definition": on_queue(inputs["definition"], name),
        "roleArn": inputs["roleArn"],
    }
    if "loggingConfiguration" in inputs:
        asked["loggingConfiguration"] = _logging(inputs["loggingConfiguration"])
    if "tracingConfiguration" in inputs:
        asked["tracingConfiguration"] = dict(inputs["tracingConfiguration"])
    arn = aws.arn("states", f"stateMachine:{name}")
    try:
        aws.stepfunctions.create_state_machine(
            name=name,
            type=inputs["type"],
            tags=[{"key": key, "value": text} for key, text in declared.tags.items()],
            **asked,
        )
    except aws.stepfunctions.exceptions.StateMachineAlreadyExists:
        aws.stepfunctions.update_state_machine(stateMachineArn=arn, **asked)
    return arn, {"name": name, "arn": arn}


def _logging(wanted: dict[str, Any]) -> dict[str, Any]:
    asked = {key: value for key, value in wanted.items() if key != "logDestination"}
    group = wanted.get("logDestination")
    if group:
        asked["destinations"] = [{"cloudWatchLogsLogGroup": {"logGroupArn": group}}]
    return asked


_CREATED = {
    # forceDestroy tells Pulumi, not S3.
    "aws:s3/bucket:Bucket": ResourceType(_bucket, frozenset({"bucket", "forceDestroy", "tags"})),
    "aws:s3/bucketVersioning:BucketVersioning": _on_bucket(_versioning, "versioningConfiguration"),
    "aws:s3/bucketPolicy:BucketPolicy": _on_bucket(_bucket_policy, "policy"),
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": _on_bucket(
        _lifecycle, "rules"
    ),
    "aws:s3/bucketNotification:BucketNotification": _on_bucket(
        _notification, "eventbridge", "queues"
    ),
    "aws:s3/bucketCorsConfiguration:BucketCorsConfiguration": _on_bucket(_cors, "corsRules"),
    "aws:sqs/queue:Queue": ResourceType(_queue, frozenset({*QUEUE_ATTRIBUTES, "name", "tags"})),
    "aws:sqs/queuePolicy:QueuePolicy": _queue_policy("Policy", "policy"),
    "aws:sqs/redriveAllowPolicy:RedriveAllowPolicy": _queue_policy(
        "RedriveAllowPolicy", "redriveAllowPolicy"
    ),
    "aws:dynamodb/table:Table": ResourceType(
        _table,
        frozenset(
            (
                *("attributes", "billingMode", "deletionProtectionEnabled"),
                *("globalSecondaryIndexes", "hashKey", "name", "pointInTimeRecovery", "rangeKey"),
                *("readCapacity", "streamEnabled", "streamViewType", "tags", "ttl"),
                "writeCapacity",
            )
        ),
    ),
    "aws:iam/role:Role": ResourceType(
        _role, frozenset({"assumeRolePolicy", "description", "name", "tags"})
    ),
    "aws:iam/rolePolicy:RolePolicy": ResourceType(
        _role_policy, frozenset({"name", "policy", "role"})
    ),
    "aws:cloudwatch/eventBus:EventBus": ResourceType(
        _bus, frozenset({"description", "name", "tags"})
    ),
    "aws:cloudwatch/eventRule:EventRule": ResourceType(
        _rule,
        frozenset(
            (
                *("description", "eventBusName", "eventPattern", "name", "scheduleExpression"),
                "tags",
            )
        ),
    ),
    "aws:sfn/stateMachine:StateMachine": ResourceType(
        _machine,
        frozenset(
            {
                "definition",
                "loggingConfiguration",
                "name",
                "roleArn",
                "tags",
                "tracingConfiguration",
                "type",
            }
        ),
    ),
}


# --- registered only --------------------------------------------------------------------------
# Tests of the program (tests/infra) assert these resources as they are declared, with every input;
# no effect of theirs could be seen here.

_REASONS: Mapping[str, Mapping[str, str]] = {
    "the local stack serves the same app itself, and checks tokens itself": {
        "aws:apigatewayv2/api:Api": "apigateway:/apis/{}",
        "aws:apigatewayv2/authorizer:Authorizer": "",
        "aws:apigatewayv2/integration:Integration": "",
        "aws:apigatewayv2/route:Route": "",
        "aws:apigatewayv2/stage:Stage": "apigateway:/apis/stages/{}",
    },
    "the emulator has no Application Auto Scaling": {
        "aws:appautoscaling/policy:Policy": "autoscaling:scalingPolicy:{}",
        "aws:appautoscaling/target:Target": "application-autoscaling:scalable-target/{}",
    },
    "no machine starts: the local stack runs the jobs": {
        "aws:batch/computeEnvironment:ComputeEnvironment": "batch:compute-environment/{}",
        "aws:batch/jobDefinition:JobDefinition": "batch:job-definition/{}:1",
        "aws:batch/jobQueue:JobQueue": "batch:job-queue/{}",
        "aws:batch/schedulingPolicy:SchedulingPolicy": "batch:scheduling-policy/{}",
        "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": "ec2:security-group/{}",
        "aws:ec2/internetGateway:InternetGateway": "ec2:internet-gateway/{}",
        "aws:ec2/launchTemplate:LaunchTemplate": "ec2:launch-template/{}",
        "aws:ec2/route:Route": "",
        "aws:ec2/routeTable:RouteTable": "ec2:route-table/{}",
        "aws:ec2/routeTableAssociation:RouteTableAssociation": "",
        "aws:ec2/securityGroup:SecurityGroup": "ec2:security-group/{}",
        "aws:ec2/subnet:Subnet": "ec2:subnet/{}",
        "aws:ec2/vpc:Vpc": "ec2:vpc/{}",
        "aws:ec2/vpcEndpoint:VpcEndpoint": "ec2:vpc-endpoint/{}",
        "aws:iam/instanceProfile:InstanceProfile": "iam:instance-profile/{}",
    },
    "the local stack runs a Redis or Valkey of its own, where one is installed": {
        "aws:elasticache/serverlessCache:ServerlessCache": "elasticache:serverlesscache:{}",
        "aws:elasticache/user:User": "elasticache:user:{}",
        "aws:elasticache/userGroup:UserGroup": "elasticache:usergroup:{}",
    },
    "the local stack answers for the distribution": {
        "aws:cloudfront/function:Function": "cloudfront:function/{}",
        "aws:lambda/functionUrl:FunctionUrl": "lambda:function-url:{}",
        "aws:lambda/alias:Alias": "lambda:function:{}:live",
        "aws:cloudfront/cachePolicy:CachePolicy": "cloudfront:cache-policy/{}",
        "aws:cloudfront/distribution:Distribution": "cloudfront:distribution/{}",
        "aws:cloudfront/originAccessControl:OriginAccessControl": (
            "cloudfront:origin-access-control/{}"
        ),
        "aws:cloudfront/originRequestPolicy:OriginRequestPolicy": (
            "cloudfront:origin-request-policy/{}"
        ),
        "aws:cloudfront/responseHeadersPolicy:ResponseHeadersPolicy": (
            "cloudfront:response-headers-policy/{}"
        ),
        "aws:cloudwatch/logDelivery:LogDelivery": "logs:delivery:{}",
        "aws:cloudwatch/logDeliveryDestination:LogDeliveryDestination": (
            "logs:delivery-destination:{}"
        ),
        "aws:cloudwatch/logDeliverySource:LogDeliverySource": "logs:delivery-source:{}",
        "aws:wafv2/webAcl:WebAcl": "wafv2:global/webacl/{}",
    },
    "the local stack signs people in itself, by tokens": {
        "aws:cognito/resourceServer:ResourceServer": "",
        "aws:cognito/userGroup:UserGroup": "",
        "aws:cognito/userPool:UserPool": "cognito-idp:userpool/{}",
        "aws:cognito/userPoolClient:UserPoolClient": "",
        "aws:cognito/userPoolDomain:UserPoolDomain": "",
    },
    "the local stack serves the console from its folder": {
        "aws:s3/bucketObject:BucketObject": "",
    },
    "nothing costs anything here": {
        "aws:budgets/budget:Budget": "budgets:budget/{}",
        "aws:savingsplans/savingsPlan:SavingsPlan": "savingsplans:savingsplan/{}",
    },
    "the emulator counts and watches nothing": {
        "aws:cloudwatch/compositeAlarm:CompositeAlarm": "cloudwatch:alarm:{}",
        "aws:cloudwatch/dashboard:Dashboard": "cloudwatch:dashboard/{}",
        "aws:cloudwatch/metricAlarm:MetricAlarm": "cloudwatch:alarm:{}",
        "aws:dynamodb/contributorInsights:ContributorInsights": "",
    },
    "a target is a function, topic or log group, which are registered only, or a queue; the local"
    " stack adds targets of its own to the rules that it needs": {
        "aws:cloudwatch/eventTarget:EventTarget": "",
    },
    "the log of events is a file, from which they are sent again": {
        "aws:cloudwatch/eventArchive:EventArchive": "events:archive/{}",
    },
    "the local stack's processes write files": {
        "aws:cloudwatch/logGroup:LogGroup": "logs:log-group:{}",
        "aws:cloudwatch/logMetricFilter:LogMetricFilter": "",
        "aws:cloudwatch/logResourcePolicy:LogResourcePolicy": "",
    },
    "the emulator has no Cost Explorer": {
        "aws:cloudcontrol/resource:Resource": "ce:anomalymonitor/{}",  # the monitor (stack.cost)
        "aws:costexplorer/anomalySubscription:AnomalySubscription": "ce:anomalysubscription/{}",
        "aws:costexplorer/costAllocationTag:CostAllocationTag": "",
    },
    "no image is pushed or pulled": {
        "aws:ecr/lifecyclePolicy:LifecyclePolicy": "",
        "aws:ecr/repository:Repository": "ecr:repository/{}",
        "aws:ecr/repositoryPolicy:RepositoryPolicy": "",
    },
    "the emulator would take messages away from the local stack's workers": {
        "aws:lambda/eventSourceMapping:EventSourceMapping": "lambda:event-source-mapping:{}",
    },
    "the emulator would look for the function's image: the local stack runs the functions": {
        "aws:lambda/function:Function": "lambda:function:{}",
        "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig": "",
        "aws:lambda/permission:Permission": "",
    },
    "the emulator keeps neither the enrichment nor the parameters of a pipe and"
    " moves nothing; the local stack runs it": {
        "aws:pipes/pipe:Pipe": "pipes:pipe/{}",
    },
    "the emulator keeps it and behaves the same without it": {
        "aws:s3/bucketAccelerateConfiguration:BucketAccelerateConfiguration": "",
        "aws:s3/bucketLogging:BucketLogging": "",
        "aws:s3/bucketOwnershipControls:BucketOwnershipControls": "",
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": "",
        "aws:s3/bucketReplicationConfig:BucketReplicationConfig": "",
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": (
            ""
        ),
    },
    "the emulator has no application repository to take applications from": {
        "aws:serverlessrepository/cloudFormationStack:CloudFormationStack": (
            "cloudformation:stack/{}"
        ),
    },
    "no alarm goes off": {
        "aws:sns/topic:Topic": "sns:{}",
        "aws:sns/topicPolicy:TopicPolicy": "",
        "aws:sns/topicSubscription:TopicSubscription": "",
    },
}
"""Types that are only registered, by the reason. The text is of an ARN, without account and region
and with the name in place of ``{}``; empty where a type belongs to another resource and has none.
"""
_COMPUTED: Mapping[str, Mapping[str, Any]] = {
    "aws:apigatewayv2/api:Api": {"apiEndpoint": "http://127.0.0.1/{}", "executionArn": "{}"},
    "aws:cloudfront/distribution:Distribution": {"domainName": "{}.invalid"},
    "aws:lambda/function:Function": {"invokeArn": "{}", "version": "1"},
    "aws:lambda/functionUrl:FunctionUrl": {"functionUrl": "https://{}.invalid/"},
    "aws:ec2/vpcEndpoint:VpcEndpoint": {"prefixListId": "pl-{}"},
    "aws:ecr/repository:Repository": {"repositoryUrl": "local/{}"},
    "aws:elasticache/serverlessCache:ServerlessCache": {
        "endpoints": [{"address": "{}.invalid", "port": 6379}],
    },
}
"""Further properties that the program reads, with the name in place of ``{}``."""


def _with_name(value: Any, name: str) -> Any:
    """A value with the name in place of ``{}`` in all its texts."""
    if isinstance(value, str):
        return value.format(name)
    if isinstance(value, Mapping):
        return {key: _with_name(one, name) for key, one in value.items()}
    return [_with_name(one, name) for one in value] if isinstance(value, list) else value


def _registered(kind: str, arn: str, reason: str) -> ResourceType:
    service, _, path = arn.partition(":")

    def create(aws: EmulatorClients, declared: DeclaredResource) -> Created:
        if not arn:
            return declared.name, {}
        name = declared.physical_name
        more = _with_name(_COMPUTED.get(kind, {}), name)
        return name, {"name": name, "arn": aws.arn(service, path.format(name)), **more}

    return ResourceType(create, None, reason)


REGISTERED: Mapping[str, ResourceType] = {
    kind: _registered(kind, arn, reason)
    for reason, kinds in _REASONS.items()
    for kind, arn in kinds.items()
}
RESOURCE_TYPES: Mapping[str, ResourceType] = {**_CREATED, **REGISTERED}
