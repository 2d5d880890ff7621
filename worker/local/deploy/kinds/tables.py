"""DynamoDB tables and what is reported of them."""

from __future__ import annotations

from collections.abc import Mapping
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


def _insights(aws: Aws, declared: Declared) -> Created:
    inputs = declared.inputs
    asked = {"IndexName": inputs.get("indexName"), "ContributorInsightsMode": inputs.get("mode")}
    aws.dynamodb.update_contributor_insights(
        TableName=inputs["tableName"],
        ContributorInsightsAction="ENABLE",
        **{key: value for key, value in asked.items() if value is not None},
    )
    return f"{inputs['tableName']}/{inputs.get('indexName') or ''}", {}


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
                "readCapacity",
                "streamEnabled",
                "streamViewType",
                "tags",
                "ttl",
                "writeCapacity",
            }
        ),
    ),
    "aws:dynamodb/contributorInsights:ContributorInsights": Kind(
        _insights, frozenset({"indexName", "mode", "tableName"})
    ),
}
