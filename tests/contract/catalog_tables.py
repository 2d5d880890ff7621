"""The catalog's table in the emulator, made from the same data as the deployed one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from worker.adapters.aws.dynamodb import schema

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodb.type_defs import GlobalSecondaryIndexTypeDef, KeySchemaElementTypeDef


def make_table(client: DynamoDBClient, name: str) -> None:
    """Create the table. It is ready when this returns: the emulator makes no one wait."""
    indexes: list[GlobalSecondaryIndexTypeDef] = [
        {
            "IndexName": index,
            "KeySchema": _keys(*schema.index_keys(index)),
            "Projection": {"ProjectionType": schema.INDEX_PROJECTION},
        }
        for index in schema.INDEXES
    ]
    client.create_table(
        TableName=name,
        BillingMode=schema.BILLING_MODE,
        AttributeDefinitions=[
            {"AttributeName": attribute, "AttributeType": "S"} for attribute in schema.ATTRIBUTES
        ],
        KeySchema=_keys(schema.PARTITION_KEY, schema.SORT_KEY),
        GlobalSecondaryIndexes=indexes,
    )


def _keys(partition: str, sort: str) -> list[KeySchemaElementTypeDef]:
    return [
        {"AttributeName": partition, "KeyType": "HASH"},
        {"AttributeName": sort, "KeyType": "RANGE"},
    ]


def everything_in(client: DynamoDBClient, name: str) -> dict[tuple[str, str], Any]:
    """Every item of a table by its key."""
    pages = client.get_paginator("scan").paginate(TableName=name, ConsistentRead=True)
    items = [item for page in pages for item in page["Items"]]
    return {(item["PK"]["S"], item["SK"]["S"]): item for item in items}
