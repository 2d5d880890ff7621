"""Spans as OpenTelemetry's SDK makes them, written as OTLP in JSON.

The SDK gets each span with its own ids and times, so that what else is installed there (a
processor, an exporter) sees it as well. The environment is not read: this module defines the
resource. The form is that of OTLP 1.x (OpenTelemetry Protocol Specification, "JSON Protobuf
Encoding"): ids in hexadecimal, 64-bit numbers as texts, kinds and states as numbers.

Imported when spans are written for the first time, and by nothing else: see ``adapters.tracing``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

import worker
from worker.domain import trace
from worker.domain.trace import Span

SPANS_TOGETHER = 1_000
"""In one request: X-Ray takes 10,000 and 5 MB (CloudWatch User Guide, "OTLP endpoints"), and one of
ours has less than 4 kB."""
SCOPE = "safelight"
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class _GivenIds(IdGenerator):
    """Gives out the ids that a span has already."""

    trace = 0
    span = 0

    def generate_trace_id(self) -> int:
        return self.trace

    def generate_span_id(self) -> int:
        return self.span


class _Ended(SpanProcessor):
    """Keeps what has ended, for one request."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


@cache
def _provider(service: str) -> tuple[TracerProvider, _GivenIds, _Ended]:
    ids, ended = _GivenIds(), _Ended()
    said = {
        "service.namespace": "safelight",
        "service.name": service,
        "service.version": worker.__version__,
        # Of Lambda: where the log is.
        "faas.name": os.environ.get("AWS_LAMBDA_FUNCTION_NAME", ""),
        "aws.log.group.names": os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME", ""),
        # Of Batch.
        "aws.batch.job.id": os.environ.get("AWS_BATCH_JOB_ID", ""),
    }
    provider = TracerProvider(
        sampler=ALWAYS_ON,  # what comes here is to be written
        resource=Resource({name: text for name, text in said.items() if text}),
        id_generator=ids,
        shutdown_on_exit=False,
    )
    provider.add_span_processor(ended)
    return provider, ids, ended


def requests(service: str, spans: Sequence[Span]) -> Iterator[bytes]:
    """Spans as requests to an endpoint of OTLP, ``ExportTraceServiceRequest`` each.

    Args:
        service: becomes ``service.name``.
        spans: that have ended.
    """
    for start in range(0, len(spans), SPANS_TOGETHER):
        readable = _readable(service, spans[start : start + SPANS_TOGETHER])
        request = {
            "resourceSpans": [
                {
                    "resource": {"attributes": _attributes(readable[0].resource.attributes)},
                    "scopeSpans": [
                        {
                            "scope": {"name": SCOPE, "version": worker.__version__},
                            "spans": [_span(one) for one in readable],
                        }
                    ],
                }
            ]
        }
        yield json.dumps(request, separators=(",", ":")).encode()


def _readable(service: str, spans: Sequence[Span]) -> Sequence[ReadableSpan]:
    provider, ids, ended = _provider(service)
    tracer = provider.get_tracer(SCOPE, worker.__version__)
    for one in spans:
        ids.trace, ids.span = int(one.trace, 16), int(one.span_id, 16)
        made = tracer.start_span(
            one.name,
            context=_above(one),
            kind=SpanKind[one.kind.upper()],
            attributes=dict(one.attributes),
            links=[Link(_context(trace.trace_id(to), trace.span_id(to))) for to in one.links],
            start_time=one.start,
        )
        if one.error:
            made.set_attribute("error.type", one.error)
            made.set_status(Status(StatusCode.ERROR, one.error))
        made.end(one.stop)
    done, ended.spans = ended.spans, []
    return done


def _context(trace_id: str, span_id: str) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=_SAMPLED)


def _above(span: Span) -> Context:
    if not span.parent:
        return Context()
    return set_span_in_context(NonRecordingSpan(_context(span.trace, span.parent)), Context())


def _span(span: ReadableSpan) -> dict[str, Any]:
    context = span.context
    made: dict[str, Any] = {
        "traceId": f"{context.trace_id:032x}",
        "spanId": f"{context.span_id:016x}",
        "name": span.name,
        # The protocol counts from 1, and 0 is "unspecified".
        "kind": span.kind.value + 1,
        "startTimeUnixNano": str(span.start_time),
        "endTimeUnixNano": str(span.end_time),
        "attributes": _attributes(span.attributes or {}),
    }
    if span.parent is not None:
        made["parentSpanId"] = f"{span.parent.span_id:016x}"
    if span.links:
        made["links"] = [
            {"traceId": f"{one.context.trace_id:032x}", "spanId": f"{one.context.span_id:016x}"}
            for one in span.links
        ]
    if span.status.status_code is StatusCode.ERROR:
        made["status"] = {"code": StatusCode.ERROR.value, "message": span.status.description or ""}
    return made


def _attributes(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in attributes.items()]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"stringValue": str(value)}
