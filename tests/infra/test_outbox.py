"""From a change of the catalog to an event: stream, event source, rights, and what fails."""

from __future__ import annotations

import json

from tests.infra.declared import Declaration
from worker.adapters.aws.dynamodb.stream import FILTERS

DEAD = "arn:aws:sqs:safelight-test-outbox-dead"
MOST_FILTERS = 5
"""Of an event source (AWS Lambda Developer Guide, "Control which events Lambda sends to your
function")."""


def test_the_function_gets_each_change_that_may_tell_something(ordered: Declaration) -> None:
    """In order, from the first on, until it is told or the time is over; nothing is dropped."""
    mapping = ordered.one("lambda/EventSourceMapping", "outbox")

    inputs = dict(mapping.inputs)
    filters = [json.loads(one["pattern"]) for one in inputs.pop("filterCriteria")["filters"]]
    assert filters == list(FILTERS)
    assert len(filters) <= MOST_FILTERS
    assert all({*one} == {"dynamodb"} for one in filters)
    inputs.pop("tags")
    assert inputs == {
        "eventSourceArn": "arn:aws:dynamodb:safelight-test-catalog/stream/1",
        "functionName": "arn:aws:lambda:safelight-test-outbox",
        "startingPosition": "TRIM_HORIZON",
        "batchSize": 100,
        "parallelizationFactor": 4,
        "functionResponseTypes": ["ReportBatchItemFailures"],
        "bisectBatchOnFunctionError": True,
        "maximumRecordAgeInSeconds": 21_600,
        "maximumRetryAttempts": -1,
        "destinationConfig": {"onFailure": {"destinationArn": DEAD}},
    }
    assert ("iam/RolePolicy", "outbox") in mapping.waits_for


def test_the_function_may_read_the_stream_send_and_give_up(ordered: Declaration) -> None:
    """The records themselves are none of its business."""
    rights = {
        action: one["Resource"]
        for one in ordered.one("iam/RolePolicy", "outbox").statements()
        for action in one["Action"]
        if not action.startswith(("logs:", "xray:"))
    }

    stream = ["arn:aws:dynamodb:safelight-test-catalog/stream/*"]
    assert rights == {
        "dynamodb:DescribeStream": stream,
        "dynamodb:GetRecords": stream,
        "dynamodb:GetShardIterator": stream,
        "dynamodb:ListStreams": ["*"],
        "events:PutEvents": ["arn:aws:cloudwatch:safelight-test-events"],
        "sqs:SendMessage": [DEAD],
    }


def test_nobody_else_may_send_events(ordered: Declaration) -> None:
    """An event without a record cannot be."""
    senders = [
        role.name
        for role in ordered.of("iam/RolePolicy")
        for one in role.statements()
        if "events:PutEvents" in one["Action"]
    ]

    assert senders == ["outbox"]


def test_events_are_kept_for_as_long_as_is_chosen(
    ordered: Declaration, chosen: Declaration
) -> None:
    """All of the bus; and none where no archive is wanted."""
    archive = ordered.one("cloudwatch/EventArchive", "events")

    assert archive.inputs["eventSourceArn"] == "arn:aws:cloudwatch:safelight-test-events"
    assert archive.inputs["retentionDays"] == 14
    assert "eventPattern" not in archive.inputs
    assert ordered.exports["eventArchive"] == "arn:aws:cloudwatch:safelight-test-events"
    assert chosen.of("cloudwatch/EventArchive") == []
    assert chosen.exports["eventArchive"] is None
