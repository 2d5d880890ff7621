"""Traces as they lie in the folder of a local stack."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from worker.domain import trace
from worker.domain.asset import AssetRecord
from worker.ports import FoundSpans, SpanRecord

SECOND = 1_000_000_000
BEGAN = 1_700_000_000 * SECOND
"""Nanoseconds since 1970."""


def span(
    name: str, at: float, seconds: float, *, id_: str = "", parent: str = "", **more: Any
) -> SpanRecord:
    """A span, by seconds from ``BEGAN``; its id is made of its name."""
    start = BEGAN + round(at * SECOND)
    return SpanRecord(
        id=id_ or name.encode().hex()[:16].ljust(16, "0"),
        parent=parent,
        name=name,
        service=more.pop("service", "ingest"),
        start=start,
        end=start + round(seconds * SECOND),
        **more,
    )


def otlp(
    trace_id: str, spans: Sequence[SpanRecord], service: str = "ingest", **more: Any
) -> dict[str, Any]:
    """A request to export spans, as OTLP has it in JSON."""
    return {
        "resourceSpans": [
            {
                "resource": {
                    "attributes": [{"key": "service.name", "value": {"stringValue": service}}]
                },
                "scopeSpans": [
                    {"scope": {"name": "s"}, "spans": [_plain(trace_id, one) for one in spans]}
                ],
            }
        ],
        **more,
    }


def _plain(trace_id: str, one: SpanRecord) -> Mapping[str, Any]:
    value: dict[str, Any] = {
        "traceId": trace_id,
        "spanId": one.id,
        "name": one.name,
        "kind": 1,
        "startTimeUnixNano": str(one.start),
        "endTimeUnixNano": str(one.end),
        "attributes": [
            {"key": "safelight.bytes", "value": {"intValue": "7"}},
            {"key": "safelight.copied", "value": {"boolValue": True}},
        ],
        "status": {"code": 2, "message": one.error} if one.error else {},
    }
    return value | ({"parentSpanId": one.parent} if one.parent else {})


def write_lines(data: Path, name: str, lines: Sequence[object]) -> None:
    """A file of the folder of traces; a text is a line as it is."""
    folder = data / "traces"
    folder.mkdir(parents=True, exist_ok=True)
    texts = [one if isinstance(one, str) else json.dumps(one) for one in lines]
    (folder / name).write_text("".join(f"{text}\n" for text in texts), "utf-8")


def write_trace(data: Path, record: AssetRecord) -> None:
    """What an upload that went well leaves: spans and log lines."""
    root, id_ = trace.span_id(record.source.trace), trace.trace_id(record.source.trace)
    spans = [
        span("upload", 0, 0.01, id_=root),
        span("wait intake", 0.01, 0.5, parent=root),
        span("ingest", 0.51, 1, parent=root),
        span("tell", 1.51, 0.1, parent=root),
    ]
    write_lines(data, "1.jsonl", [otlp(id_, spans)])
    (data / "logs").mkdir(exist_ok=True)
    line = {"timestamp": "2026-01-01 00:00:00,000+0000", "message": "ingested", "level": "INFO"}
    (data / "logs" / "worker-1.log").write_text(
        json.dumps({**line, "service": "ingest", "asset": record.asset, "bytes": 7}) + "\n"
    )


def found(*spans: SpanRecord) -> FoundSpans:
    """What a store has."""
    return FoundSpans(spans=spans)
