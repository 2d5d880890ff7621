"""DynamoDB tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from worker.local.deploy.kinds.kind import Aws, Created, Declared, Kind

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import TableDescriptionTypeDef


def _table(aws: Aws, declared: Declared) -> Created:
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
            }
            for one in inputs["globalSecondaryIndexes"]
        ],
        "DeletionProtectionEnabled": inputs["deletionProtectionEnabled"],
        "Tags": declared.tag_list,
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


def _expire(aws: Aws, name: str, ttl: dict[str, Any]) -> None:
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


KINDS = {
    "aws:dynamodb/table:Table": Kind(
        _table,
        frozenset(
            {
                "attributes",
                "billingMode",
                "deletionProtectionEnabled",
                "globalSecondaryIndexes",
                "hashKey",
                "name",
                "pointInTimeRecovery",
                "rangeKey",
                "streamEnabled",
                "streamViewType",
                "tags",
                "ttl",
            }
        ),
    )
}
