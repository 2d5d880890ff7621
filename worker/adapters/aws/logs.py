"""Logs and spans on AWS, by queries of CloudWatch Logs Insights.

A query is paid by what it looks through (CloudWatch pricing: Logs Insights, by the GB), so each
takes a first moment. Spans that were sent to X-Ray are lines of the log group ``aws/spans`` once
the account has Transaction Search (Amazon CloudWatch User Guide, "Spans").
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.errors import aws_call
from worker.adapters.spans import stored_span
from worker.domain.errors import ConfigurationError, TransientError
from worker.ports import FoundSpans, LogLine

SPANS = "aws/spans"
"""Log group of X-Ray's spans."""
MOST_LINES = 10_000
"""Of a query (Amazon CloudWatch Logs User Guide, "limit")."""
MOST_GROUPS = 50
"""Log groups of a query (CloudWatch Logs API Reference, StartQuery)."""
DAYS = 14
"""That are looked through if nobody says since when."""
EARLIER = timedelta(minutes=5)
"""Before the given moment: clocks differ, and the first line may be older than the record."""
POLL_SECONDS = 0.5
QUERY_SECONDS = 300.0
"""Longest wait for a query. It is cheap to ask again, and the same lines are paid again."""
_WORD = re.compile(r"[0-9a-f-]{8,64}")
_FAMILIES = ("", "/aws/vendedlogs/states/")
"""Prefixes of log group names, before the stack's own prefix."""


class Insights:
    """``LogStore`` and ``TraceStore`` of a deployed stack.

    Args:
        prefix: that names of the stack's log groups begin with: ``safelight-prod``.
        sleep: waits, seconds.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        clients: AwsClients,
        prefix: str,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clients, self._prefix = clients, prefix
        self._now, self._sleep, self._clock = now, sleep, clock

    def lines(self, words: Sequence[str], *, since: str = "") -> Sequence[LogLine]:
        """See ``LogStore``.

        Raises:
            ConfigurationError: the account has no log group of the stack.
            TransientError: ``query_failed``: a query did not end.
        """
        wanted = [word for word in words if _WORD.fullmatch(word)]
        groups = list(self._groups())
        if not groups:
            text = f"there is no log group of {self._prefix} in this account and region"
            raise ConfigurationError(f"{text}; SAFELIGHT_BATCH_PREFIX says what names begin with")
        if not wanted:
            return ()
        found = " or ".join(f'@message like "{word}"' for word in wanted)
        query = f"fields @timestamp, @log, @message | filter {found} | sort @timestamp asc"
        return tuple(
            LogLine(
                text=row.get("@message", "").rstrip("\n"),
                # The log group behind the number of the account.
                source=row.get("@log", "").rpartition(":")[2],
                time=_iso(row.get("@timestamp", "")),
            )
            for start in range(0, len(groups), MOST_GROUPS)
            for row in self._rows(groups[start : start + MOST_GROUPS], query, since)
        )

    def spans(self, trace: str, *, since: str = "") -> FoundSpans:
        """See ``TraceStore``.

        Raises:
            ConfigurationError: the account keeps no spans.
            TransientError: ``query_failed``: a query did not end.
        """
        if not _WORD.fullmatch(trace):
            return FoundSpans()
        query = f'fields @message | filter traceId = "{trace}" | sort @timestamp asc'
        found, unreadable = [], 0
        for row in self._rows([SPANS], query, since):
            try:
                span = stored_span(json.loads(row.get("@message", "")))
            except (ValueError, RecursionError):
                span = None
            if span is None:
                unreadable += 1
            else:
                found.append(span)
        return FoundSpans(spans=tuple(found), unreadable=unreadable)

    def _groups(self) -> Iterator[str]:
        for family in _FAMILIES:
            with aws_call("list log groups"):
                pages = self._clients.logs.get_paginator("describe_log_groups").paginate(
                    logGroupNamePrefix=f"{family}{self._prefix}-"
                )
                yield from [one["logGroupName"] for page in pages for one in page["logGroups"]]

    def _rows(self, groups: Sequence[str], query: str, since: str) -> Iterator[Mapping[str, str]]:
        now = self._now()
        first = datetime.fromisoformat(since) - EARLIER if since else now - timedelta(days=DAYS)
        client = self._clients.logs
        with aws_call(f"query the log groups {', '.join(groups)}"):
            id_ = client.start_query(
                logGroupNames=list(groups),
                startTime=int(first.timestamp()),
                endTime=int(now.timestamp()) + 1,
                queryString=query,
                limit=MOST_LINES,
            )["queryId"]
        deadline = self._clock() + QUERY_SECONDS
        while True:
            with aws_call("read the result of a query of logs"):
                answer = client.get_query_results(queryId=id_)
            status = answer["status"]
            if status == "Complete":
                break
            if status not in ("Scheduled", "Running") or self._clock() > deadline:
                text = f"the query of logs {id_} has not ended: {status.lower()}"
                raise TransientError(text, code="query_failed")
            self._sleep(POLL_SECONDS)
        for row in answer["results"]:
            yield {one.get("field", ""): one.get("value", "") for one in row}


def _iso(text: str) -> str:
    """``2026-11-30 03:20:51.940``, which is UTC, as ISO 8601."""
    return f"{text.replace(' ', 'T')}Z" if text else ""
