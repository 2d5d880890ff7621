"""Spans of the domain: what they belong to, when they end, and what they may say."""

from __future__ import annotations

import ast
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path

import pytest

from worker.domain import trace
from worker.domain.errors import Throttled

SENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-01"
CALLS = {"trace.span", "trace.begin", "trace.finished", "self._traced_step"}
ROOT = Path(__file__).parents[2]


class _Kept:
    """Keeps spans; takes every trace but one for sampled."""

    def __init__(self) -> None:
        self.spans: list[trace.Span] = []
        self.flushed: list[str] = []

    def sampled(self, trace: str) -> bool:
        return not OTHER.startswith(f"00-{trace}")

    def record(self, span: trace.Span) -> None:
        self.spans.append(span)

    def flush(self, service: str) -> None:
        self.flushed.append(service)


@pytest.fixture
def kept() -> Iterator[_Kept]:
    """A recorder that is installed for one test."""
    found = _Kept()
    trace.install(found)
    yield found
    trace.install(None)


def test_spans_lie_in_each_other(kept: _Kept) -> None:
    """A block's spans are its children, in one trace that the first one begins or is given."""
    with trace.span("ingest", parent=SENT, bytes=3) as outer, trace.span("fetch") as inner:
        further: dict[str, trace.Attribute] = {"http.response.status_code": 200}
        inner.set(asset="a", **further)
    assert [one.name for one in kept.spans] == ["fetch", "ingest"]
    assert outer.parent == trace.span_id(SENT)
    assert inner.parent == outer.span_id
    assert {one.trace for one in kept.spans} == {trace.trace_id(SENT)}
    assert outer.attributes == {"safelight.bytes": 3}
    assert inner.attributes == {"safelight.asset": "a", "http.response.status_code": 200}
    with trace.span("ingest") as root:
        assert root.parent == ""
    assert root.trace not in ("", trace.trace_id(SENT))


def test_an_invalid_parent_is_none(kept: _Kept) -> None:
    """An invalid traceparent starts a new trace."""
    with trace.span("ingest", parent="nonsense") as root:
        pass
    assert trace.valid(root.traceparent)
    assert root.parent == ""


def test_what_is_sent_on_says_whether_its_trace_is_sampled(kept: _Kept) -> None:
    """The flag is the decision of this process, whatever the sender's was."""
    with trace.span("ingest", parent=SENT) as one:
        assert trace.current() == one.traceparent == f"00-{one.trace}-{one.span_id}-01"
    with trace.span("ingest", parent=OTHER):
        assert trace.current().endswith("-00")


def test_a_top_span_joins_a_trace_late(kept: _Kept) -> None:
    """The object says which trace it is of; what was read to find out goes along."""
    top = trace.begin("ingest", parent=OTHER)
    with top.active(), trace.span("fetch") as below:
        top.join(SENT)
        below.join(OTHER)
        top.join("nonsense")
    top.end()
    assert {one.trace for one in kept.spans} == {trace.trace_id(SENT)}
    assert top.parent == trace.span_id(SENT)
    assert below.parent == top.span_id


def test_an_error_is_the_end_of_its_span(kept: _Kept) -> None:
    """Ours by its code, any other by its class; never by its text, which may name a file."""
    with pytest.raises(Throttled), trace.span("ingest"):
        raise Throttled("photo of Anna.jpg")
    with pytest.raises(ValueError, match="Anna"), trace.span("ingest"):
        raise ValueError("Anna")
    with trace.span("ingest") as told:
        told.fail("engine_failed")
    assert [one.error for one in kept.spans] == ["throttled", "ValueError", "engine_failed"]
    assert "Anna" not in repr(kept.spans)


def test_a_span_ends_once_and_not_before_it_began(
    kept: _Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that is set back during the work gives no negative duration."""
    one = trace.begin("ingest")
    monkeypatch.setattr(time, "time_ns", lambda: one.start - 3_600_000_000_000)
    one.end()
    first = one.stop
    one.end(ValueError())
    assert (kept.spans, one.stop, one.error) == ([one], first, "")
    assert one.start < one.stop < one.start + 3_600_000_000_000


def test_what_lies_in_the_past_is_written_too(kept: _Kept) -> None:
    """A wait has both times; an unknown start is no span, and an end before it is the start."""
    began = trace.moment("2026-11-28T04:00:00.500Z")
    assert began == 1_795_838_400_500_000_000
    trace.finished("wait intake", start=began, end=began + 5, parent=SENT)
    trace.finished("wait intake", start=began, end=began - 5, parent=SENT)
    trace.finished("wait intake", start=trace.moment("yesterday"))
    trace.finished("wait intake", start=trace.moment("2026-11-28T04:00:00"))
    assert [(one.start, one.stop) for one in kept.spans] == [(began, began + 5), (began, began)]


def test_the_root_has_the_ids_that_others_were_told(kept: _Kept) -> None:
    """The span has the id that was passed to others before, and a parent only within the same
    trace."""
    start = trace.moment("2026-11-28T04:00:00Z")
    trace.finished("upload", start=start, own=SENT)
    client = f"00-{trace.trace_id(SENT)}-cccccccccccccccc-01"
    trace.finished("upload", start=start, own=SENT, parent=client)
    trace.finished("upload", start=start, own=SENT, parent=OTHER)
    assert [(one.trace, one.span_id, one.parent) for one in kept.spans] == [
        (trace.trace_id(SENT), trace.span_id(SENT), ""),
        (trace.trace_id(SENT), trace.span_id(SENT), "c" * 16),
        (trace.trace_id(SENT), trace.span_id(SENT), ""),
    ]


def test_a_thread_takes_the_context_that_it_is_given(kept: _Kept) -> None:
    """Copied with the context, or made current there: both are the same trace."""
    with ThreadPoolExecutor(1) as pool, trace.span("ingest", parent=SENT) as top:
        copied = copy_context()
        assert pool.submit(copied.run, trace.current).result() == top.traceparent
        assert pool.submit(trace.current).result() == ""

        def there() -> str:
            with top.active():
                return trace.current()

        assert pool.submit(there).result() == top.traceparent


def test_without_a_recorder_the_trace_is_passed_on() -> None:
    """No span is written, and the trace context is passed on."""
    assert not trace.recording()
    with trace.span("ingest", parent=SENT) as one:
        one.set(bytes=1)
        one.fail("throttled")
        one.join(OTHER)
        with trace.span("fetch"), one.active():
            assert trace.current() == SENT == one.traceparent
    begun = trace.begin("ingest", parent=OTHER)
    begun.end()
    assert (one.attributes, one.error, trace.current()) == ({}, "", "")


def test_a_service_writes_its_spans_at_the_end(kept: _Kept) -> None:
    """Of a block and of a function, after an error too."""
    with pytest.raises(Throttled), trace.flushing("ingest"), trace.span("ingest"):
        raise Throttled("no")

    @trace.flushing("deliver")
    def handler() -> None:
        assert kept.flushed == ["ingest"]
        trace.begin("deliver").end()

    handler()
    assert kept.flushed == ["ingest", "deliver"]
    assert [one.service for one in kept.spans] == ["ingest", "deliver"]


def test_every_span_in_the_code_has_a_name_of_the_list() -> None:
    """A name is explained in one place, or it is not written."""
    found = set()
    for path in [*(ROOT / "worker").rglob("*.py"), *(ROOT / "batch").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                called = f"{ast.unparse(node.func.value)}.{node.func.attr}"
                if called in CALLS:
                    found.add(ast.unparse(node.args[0]))
    # A variable has its name from one of the other calls.
    found -= {"name", "_name(scope)"}
    literal = {re.sub(r"\{[^}]*\}", "*", one.removeprefix("f")).strip("'\"") for one in found}
    assert {"ingest", "commit", "wait outbox", "stage *", "job *"} <= literal <= set(trace.SPANS)
