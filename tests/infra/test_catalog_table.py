"""What is said about the catalog's table."""

from __future__ import annotations

from tests.infra.declared import Declaration
from worker.adapters.aws.dynamodb import schema


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


def test_each_of_its_switches_can_be_off(chosen: Declaration) -> None:
    """A stack to try things in pays for none of them."""
    table = chosen.one("dynamodb/Table", "catalog").inputs

    assert table["pointInTimeRecovery"] == {"enabled": False}
    assert table["deletionProtectionEnabled"] is False
    # Not its stream: nobody would be told of anything.
    assert (table["streamEnabled"], table["streamViewType"]) == (True, "NEW_AND_OLD_IMAGES")


def test_the_table_is_paid_by_request_unless_told(ordered: Declaration) -> None:
    """The table has no provisioned capacity and no auto scaling."""
    table = ordered.one("dynamodb/Table", "catalog")

    assert not {"readCapacity", "writeCapacity"} & {*table.inputs}
    assert "ignoreChanges" not in table.options
    assert not ordered.of("appautoscaling/Target")
    assert not ordered.of("dynamodb/ContributorInsights")


def test_provisioned_capacity_follows_the_load(chosen: Declaration) -> None:
    """Reads and writes, of the table and of each index, between the bounds that were given."""
    table = chosen.one("dynamodb/Table", "catalog")
    targets = {
        (one.inputs["resourceId"], one.inputs["scalableDimension"]): (
            one.inputs["minCapacity"],
            one.inputs["maxCapacity"],
        )
        for one in chosen.of("appautoscaling/Target")
    }
    name = "table/safelight-test-catalog"

    assert table.inputs["billingMode"] == "PROVISIONED"
    assert (table.inputs["readCapacity"], table.inputs["writeCapacity"]) == (2, 3)
    for index in table.inputs["globalSecondaryIndexes"]:
        assert (index["readCapacity"], index["writeCapacity"]) == (2, 3)
    assert targets == {
        (place, f"dynamodb:{kind}:{what}CapacityUnits"): ends
        for what, ends in (("Read", (2, 20)), ("Write", (3, 30)))
        for place, kind in [
            (name, "table"),
            *((f"{name}/index/{index}", "index") for index in schema.INDEXES),
        ]
    }


def test_each_target_has_the_policy_of_its_own_metric(full: Declaration) -> None:
    """Seven tenths of what is there should be in use."""
    targets = {
        one.name: (one.inputs["resourceId"], one.inputs["scalableDimension"])
        for one in full.of("appautoscaling/Target")
    }
    for policy in full.of("appautoscaling/Policy"):
        place = (policy.inputs["resourceId"], policy.inputs["scalableDimension"])
        tracked = policy.inputs["targetTrackingScalingPolicyConfiguration"]
        what = "Read" if "Read" in place[1] else "Write"
        assert place == targets[policy.name]
        assert tracked["targetValue"] == 70
        assert tracked["predefinedMetricSpecification"] == {
            "predefinedMetricType": f"DynamoDB{what}CapacityUtilization"
        }


def test_a_deploy_leaves_alone_what_the_scaling_has_set(full: Declaration) -> None:
    """Else every deploy would start again from the lower bound."""
    assert full.one("dynamodb/Table", "catalog").options["ignoreChanges"] == [
        "readCapacity",
        "writeCapacity",
        "globalSecondaryIndexes[*].readCapacity",
        "globalSecondaryIndexes[*].writeCapacity",
    ]


def test_throttled_keys_are_told_of_table_and_indexes(full: Declaration) -> None:
    """And of nothing that is not throttled, which would be paid by the request."""
    found = full.of("dynamodb/ContributorInsights")

    assert {one.inputs.get("indexName") for one in found} == {None, *schema.INDEXES}
    assert {one.inputs["mode"] for one in found} == {"THROTTLED_KEYS"}
