"""Spans as they were written: requests of the OpenTelemetry Protocol, and what CloudWatch keeps.

Everything in them is from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from worker.domain import trace
from worker.ports import SpanRecord

MOST_TEXT = 200
"""Characters of a name or a value."""


def otlp_spans(value: object) -> Iterator[tuple[str, SpanRecord | None]]:
    """The spans of a request to export traces, as JSON (OpenTelemetry Protocol 1.x, "JSON Protobuf
    encoding"), each with the id of its trace; None stands for one that makes no sense.

    Raises:
        ValueError: it is none.
    """
    try:
        resources: Any = value["resourceSpans"]  # type: ignore[index]
        for resource in resources:
            service = _attributes(resource.get("resource", {}).get("attributes", ())).get(
                "service.name", ""
            )
            for scope in resource.get("scopeSpans", ()):
                for span in scope.get("spans", ()):
                    yield str(span.get("traceId", "")), _span(span, service, _attributes)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no export of spans: {error!r}") from error


def stored_span(value: object) -> SpanRecord | None:
    """A span as CloudWatch keeps it in the log group ``aws/spans``; None if it makes no sense."""
    if not isinstance(value, Mapping):
        return None
    resource = value.get("resource")
    known = resource.get("attributes", {}) if isinstance(resource, Mapping) else {}
    service = known.get("service.name", "") if isinstance(known, Mapping) else ""
    return _span(value, str(service), _texts)


def _span(
    value: Any, service: str, attributes: Callable[[Any], Mapping[str, str]]
) -> SpanRecord | None:
    try:
        start, end = int(value["startTimeUnixNano"]), int(value["endTimeUnixNano"])
        id_, parent = value["spanId"], value.get("parentSpanId") or ""
        name, status = value["name"], value.get("status") or {}
        if not (0 < start <= end < 2**63 and all(isinstance(x, str) for x in (id_, parent, name))):
            return None
        said = attributes(value.get("attributes") or ())
        began = trace.moment(said.get(trace.BEGAN, ""))
        failed = str(status.get("code", "")) in ("2", "ERROR", "STATUS_CODE_ERROR")
        return SpanRecord(
            id=id_,
            parent=parent,
            name=name[:MOST_TEXT],
            service=service[:MOST_TEXT],
            start=min(start, began) if began > 0 else start,
            end=end,
            error=(str(status.get("message") or "error") if failed else "")[:MOST_TEXT],
            attributes=said,
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _attributes(listed: Any) -> dict[str, str]:
    """Of OTLP: a list of names with a value of some kind."""
    found = {}
    for one in listed:
        (value,) = one["value"].values()
        found[str(one["key"])[:MOST_TEXT]] = _text(value)
    return found


def _texts(mapped: Any) -> dict[str, str]:
    return {str(name)[:MOST_TEXT]: _text(value) for name, value in dict(mapped).items()}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)[:MOST_TEXT]
