"""What the emulator holds and serves: buckets, queues, the table, roles, the bus and its rules.

Each function creates a resource or takes over the one that an earlier deploy has created. State
machines are in ``workflows``; all other types are only ``registered``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from worker.local.deploy import emulator_patches
from worker.local.deploy.kinds.kind import (
    Created,
    DeclaredResource,
    EmulatorClients,
    ResourceType,
    camel_to_pascal,
)

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import TableDescriptionTypeDef

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
    return name, {"bucket": name, "arn": f"arn:aws:s3:::{name}"}


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
"""Inputs and what SQS calls them."""


def _queue(aws: EmulatorClients, declared: DeclaredResource) -> Created:
    fifo = bool(declared.inputs.get("fifoQueue"))
    name = declared.physical_name + (".fifo" if fifo else "")
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
        "Tags": declared.tag_list,
        **_capacity(inputs),
    }
    if inputs["streamEnabled"]:
        wanted["StreamSpecification"] = {
            "StreamEnabled": True,
            "StreamViewType": inputs["streamViewType"],
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
    return name, {"name": name, "arn": table["TableArn"]}


def _capacity(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What is provisioned; nothing of a table that is paid by the request."""
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
    """Switching on what is on already is an error."""
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


RESOURCE_TYPES = {
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
}
