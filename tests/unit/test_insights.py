"""Logs and spans on AWS: the queries that are asked, and what is made of the answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from botocore.stub import Stubber

from tests.unit.traces import BEGAN, SECOND
from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.logs import MOST_GROUPS, MOST_LINES, Insights
from worker.domain.errors import ConfigurationError, Throttled, TransientError
from worker.ports import FoundSpans

ASSET = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
NOW = datetime(2026, 1, 15, tzinfo=UTC)
SINCE = "2026-01-14T23:00:00.000000Z"


class World:
    """Insights whose every call is foreseen."""

    def __init__(self) -> None:
        clients = AwsClients(
            {
                "AWS_REGION": "eu-central-1",
                "AWS_ACCESS_KEY_ID": "a",
                "AWS_SECRET_ACCESS_KEY": "b",
                "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
            },
            attempts=1,
        )
        self.stub = Stubber(clients.logs)
        self.slept = 0.0
        self.insights = Insights(
            clients, "safelight-prod", now=lambda: NOW, sleep=self.sleep, clock=lambda: self.slept
        )

    def sleep(self, seconds: float) -> None:
        """Time goes by."""
        self.slept += seconds

    def groups(self, *names: str) -> None:
        """The account has these of functions and jobs, and none of state machines."""
        for prefix, found in (
            ("safelight-prod-", names),
            ("/aws/vendedlogs/states/safelight-prod-", ()),
        ):
            self.stub.add_response(
                "describe_log_groups",
                {"logGroups": [{"logGroupName": one} for one in found]},
                {"logGroupNamePrefix": prefix},
            )

    def query(self, groups: list[str], text: str, first: str = "2026-01-14T22:55:00+00:00") -> None:
        """This is asked."""
        self.stub.add_response(
            "start_query",
            {"queryId": "q"},
            {
                "logGroupNames": groups,
                "startTime": int(datetime.fromisoformat(first).timestamp()),
                "endTime": int(NOW.timestamp()) + 1,
                "queryString": text,
                "limit": MOST_LINES,
            },
        )

    def answer(self, status: str, *rows: dict[str, str]) -> None:
        """A look at the query finds this."""
        results = [[{"field": name, "value": value} for name, value in row.items()] for row in rows]
        self.stub.add_response(
            "get_query_results", {"status": status, "results": results}, {"queryId": "q"}
        )


@pytest.fixture
def world() -> Iterator[World]:
    """Calls that were foreseen are made."""
    made = World()
    with made.stub:
        yield made
        made.stub.assert_no_pending_responses()


def test_all_groups_of_the_stack_are_asked_for_the_words(world: World) -> None:
    """Fifty at a time; a query that runs is looked at again."""
    names = [f"safelight-prod-{number}" for number in range(MOST_GROUPS + 1)]
    text = (
        f'fields @timestamp, @log, @message | filter @message like "{ASSET}" or '
        f'@message like "{TRACE}" | sort @timestamp asc'
    )
    world.groups(*names)
    world.query(names[:MOST_GROUPS], text)
    world.answer("Running")
    row = {"@timestamp": "2026-01-14 23:00:01.500", "@log": "123:safelight-prod-1"}
    world.answer("Complete", {**row, "@message": '{"a": 1}\n', "@ptr": "p"})
    world.query(names[MOST_GROUPS:], text)
    world.answer("Complete")

    (line,) = world.insights.lines([ASSET, 'x" or @message like "', TRACE], since=SINCE)

    assert (line.text, line.source) == ('{"a": 1}', "safelight-prod-1")
    assert line.time == "2026-01-14T23:00:01.500Z"
    assert world.slept > 0


def test_a_stack_without_logs_is_said(world: World) -> None:
    """The prefix is a setting that may be wrong."""
    world.groups()
    with pytest.raises(ConfigurationError, match="SAFELIGHT_BATCH_PREFIX"):
        world.insights.lines([ASSET])


@pytest.mark.parametrize("status", ["Failed", "Cancelled", "Timeout", "Unknown"])
def test_a_query_that_fails_may_be_asked_again(world: World, status: str) -> None:
    """It costs what it has looked through, and gives nothing."""
    world.query(["aws/spans"], SPANS, "2026-01-01T00:00:00+00:00")
    world.answer(status)
    with pytest.raises(TransientError) as caught:
        world.insights.spans(TRACE)
    assert caught.value.code == "query_failed"


def test_a_query_that_never_ends_is_given_up(world: World) -> None:
    """After minutes."""
    world.query(["aws/spans"], SPANS, "2026-01-01T00:00:00+00:00")
    for _ in range(602):
        world.answer("Running")
    with pytest.raises(TransientError, match="running"):
        world.insights.spans(TRACE)


SPANS = f'fields @message | filter traceId = "{TRACE}" | sort @timestamp asc'


def test_spans_of_a_trace_are_lines_of_one_group(world: World) -> None:
    """Lines that are not spans are counted."""
    span = {
        "resource": {"attributes": {"service.name": "ingest"}},
        "traceId": TRACE,
        "spanId": "00f067aa0ba902b7",
        "name": "upload",
        "startTimeUnixNano": BEGAN,
        "endTimeUnixNano": BEGAN + SECOND,
        "status": {"code": "UNSET"},
    }
    world.query(["aws/spans"], SPANS)
    world.answer(
        "Complete", {"@message": json.dumps(span)}, {"@message": "no JSON"}, {"@message": "{}"}, {}
    )

    found = world.insights.spans(TRACE, since=SINCE)

    (one,) = found.spans
    assert (one.name, one.service, one.parent) == ("upload", "ingest", "")
    assert found.unreadable == 3


def test_what_is_no_trace_is_not_asked_for(world: World) -> None:
    """It would be part of a query."""
    assert world.insights.spans('" or 1 == 1 | "') == FoundSpans()


def test_errors_are_those_of_the_tree(world: World) -> None:
    """An account that keeps no spans has no such group; too many queries at once may pass."""
    world.stub.add_client_error("start_query", "ResourceNotFoundException", "no aws/spans")
    with pytest.raises(ConfigurationError):
        world.insights.spans(TRACE)
    world.stub.add_client_error("start_query", "LimitExceededException", "too many", 400)
    with pytest.raises(Throttled):
        world.insights.spans(TRACE)
