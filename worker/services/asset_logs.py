"""All log lines about an asset, of all functions and jobs, in chronological order.

A line belongs to an asset if it names the asset or its trace. Lines that name the asset also reveal
the traces of its earlier uploads, whose lines are included.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from worker.domain import trace
from worker.domain.errors import AssetMissing
from worker.ports import Catalog, LogLine, LogStore

MOST_TRACES = 20
"""Most traces of an asset whose lines are searched; the newest are used."""
_TRACE = re.compile(r"\b00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}\b")
_TIMES = ("timestamp", "time", "date")
_TAKEN = frozenset(
    {*_TIMES, "level", "service", "message", "location", "event", "sampling_rate", trace.NAME}
)
"""Fields of a line that are not shown behind its message."""
_REQUEST = ("cs-method", "cs-uri-stem", "sc-status", "x-edge-result-type")


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetLine:
    """A parsed log line."""

    time: str
    """ISO 8601 UTC; empty if the line has none."""
    service: str
    """The service that wrote the line."""
    level: str
    message: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    """The other fields of the line."""
    trace: str = ""
    """Traceparent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetLogs:
    """The use case."""

    catalog: Catalog
    logs: LogStore

    def of_asset(self, asset: str, *, since: str = "") -> tuple[AssetLine, ...]:
        """All lines of an asset, oldest first. An erased asset has lines for as long as logs are
        kept.

        Args:
            since: start of the search, ISO 8601 UTC; empty for the creation of the asset.

        Raises:
            AssetMissing: there is no such asset, and no line about it.
            TransientError: a store does not answer.
        """
        record = self.catalog.get(asset)
        known = {asset}
        if record is not None:
            known.add(trace.trace_id(record.source.trace))
            since = since or record.created_at
        found = list(self.logs.lines(sorted(known), since=since))
        # Only by lines that name the asset, not by lines of its traces: a caller may send one trace
        # with several uploads, and that would include all of them.
        more = _traces(line.text for line in found if asset in line.text) - known
        if more:
            found += self.logs.lines(sorted(more)[:MOST_TRACES], since=since)
        if record is None and not found:
            raise AssetMissing(f"there is no asset {asset}, and no log line about it")
        lines = (read_line(line) for line in dict.fromkeys(found))
        return tuple(sorted((one for one in lines if one is not None), key=lambda one: one.time))


def _traces(texts: Iterable[str]) -> set[str]:
    return {found for text in texts for found in _TRACE.findall(text)}


def read_line(line: LogLine) -> AssetLine | None:
    """A parsed line; None for a line of metrics."""
    value = _object(line.text)
    if value is None:
        return _words(line)
    if "_aws" in value:
        return None
    service = str(value.get("service") or ("batch" if "job" in value else line.source))
    message = str(value.get("message") or "")
    if "event" in value:  # a line of a job; its message is part of the text
        message = " ".join(filter(None, (str(value["event"]), message)))
    elif "cs-method" in value:
        message = " ".join(str(value.get(name, "")) for name in _REQUEST)
    fields = {
        name: one
        for name, one in value.items()
        if name not in _TAKEN and not name.startswith(("cs-", "sc-", "x-edge")) and one is not None
    }
    return AssetLine(
        time=_time(value) or line.time,
        service=service,
        level=str(value.get("level") or "INFO"),
        message=message,
        fields=fields,
        trace=trace.valid(value.get(trace.NAME)),
    )


def _words(line: LogLine) -> AssetLine:
    """A line that is not JSON: a traceback, or a line of the local stack, which begins with the
    time."""
    first, _, rest = line.text.partition(" ")
    time = _iso(first)
    return AssetLine(
        time=time or line.time,
        service=line.source,
        level="INFO",
        message=rest if time else line.text,
    )


def _object(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _time(value: Mapping[str, Any]) -> str:
    texts: Sequence[str] = [str(value[name]) for name in _TIMES if name in value]
    if "date" in value and "time" in value:
        return _iso(f"{value['date']}T{value['time']}Z")
    # Powertools writes a comma before the milliseconds.
    return next((found for text in texts if (found := _iso(text.replace(",", ".")))), "")


def _iso(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return ""
    if moment.tzinfo is None:
        return ""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
