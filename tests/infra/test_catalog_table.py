"""What is said about the catalog's table."""

from __future__ import annotations

from tests.infra.declared import Declaration, declare
from worker.adapters.dynamodb import schema


def test_the_table_has_the_adapters_keys_and_indexes(ordered: Declaration) -> None:
    """Both are made from the same data, and this is it."""
    table = ordered.one("dynamodb/Table", "catalog").inputs

    assert (table["hashKey"], table["rangeKey"]) == ("PK", "SK")
    assert table["billingMode"] == schema.BILLING_MODE
    assert {one["name"]: one["type"] for one in table["attributes"]} == dict.fromkeys(
        schema.ATTRIBUTES, "S"
    )
    assert table["globalSecondaryIndexes"] == [
        {
            "name": f"GSI{number}",
            "keySchemas": [
                {"attributeName": f"GSI{number}PK", "keyType": "HASH"},
                {"attributeName": f"GSI{number}SK", "keyType": "RANGE"},
            ],
            "projectionType": schema.INDEX_PROJECTION,
        }
        for number in (1, 2, 3, 4)
    ]
    assert table["ttl"] == {"enabled": True, "attributeName": schema.TTL_ATTRIBUTE}


def test_the_table_is_safe_by_default(ordered: Declaration) -> None:
    """It can be brought back to any second, cannot be deleted by mistake, and tells its changes."""
    table = ordered.one("dynamodb/Table", "catalog").inputs

    assert table["pointInTimeRecovery"] == {"enabled": True}
    assert table["deletionProtectionEnabled"] is True
    assert (table["streamEnabled"], table["streamViewType"]) == (True, "NEW_AND_OLD_IMAGES")


def test_each_of_its_switches_can_be_off() -> None:
    """A stack to try things in pays for none of them."""
    off = {"pointInTimeRecovery": False, "deletionProtection": False, "stream": False}

    table = declare({"catalog": off}).one("dynamodb/Table", "catalog").inputs

    assert table["pointInTimeRecovery"] == {"enabled": False}
    assert table["deletionProtectionEnabled"] is False
    assert table["streamEnabled"] is False
    assert "streamViewType" not in table
