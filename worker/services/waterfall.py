"""The trace of an asset as a waterfall: its spans in order, what no span covers, what is missing.

Spans come from files or a log, written by many processes: everything in them is from outside.
Unreadable spans are counted and dropped. A part may be missing: a process was killed before it
wrote, or a trace is older than what is kept. Then what is there is shown, and the hole with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from worker.domain import trace
from worker.domain.asset import AssetRecord, JobRecord
from worker.domain.errors import AssetMissing, TraceMissing
from worker.ports import Catalog, FoundSpans, SpanRecord, TraceStore

GAP_SECONDS = 0.05
"""A shorter time between two spans is no gap: the clocks of two machines differ by more, and S3
gives the time of an upload in milliseconds."""
MOST_SPANS = 10_000
"""Of a trace. X-Ray shows no more (Amazon CloudWatch User Guide, "Transaction Search")."""
_NANO = 1_000_000_000
BY_ITSELF = frozenset({"deliver", "upgrade"})
"""Spans that begin when somebody wants it: the time before them is nobody's."""
_ENDED = frozenset({"SUCCEEDED", "FAILED"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a waterfall."""

    span: SpanRecord
    depth: int
    """0 for a span without a parent."""
    orphan: bool = False
    """The span that it lies in is missing, or lies in this one itself."""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.span.end - self.span.start) / _NANO

    @property
    def waits(self) -> bool:
        """Whether nothing is done in it."""
        return self.span.name.startswith("wait ")

    @property
    def calls(self) -> bool:
        """Whether it is a call of a port, and no step."""
        return "." in self.span.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A time that no span covers."""

    start: int
    """Nanoseconds since 1970."""
    end: int
    after: str
    """Name of the span that ended last before it."""

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.end - self.start) / _NANO


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceWaterfall:
    """A trace, to be shown."""

    trace: str
    """Its id."""
    asset: str
    rows: tuple[Row, ...]
    """Each span below the one that it lies in, those beside each other by their starts."""
    gaps: tuple[Gap, ...] = ()
    missing: tuple[str, ...] = ()
    """Steps in the catalog's record without a span, by the names of their spans."""
    later: int = 0
    """Deliveries after the first one, which are not shown."""
    unreadable: int = 0
    """See ``FoundSpans``."""

    @property
    def start(self) -> int:
        """Nanoseconds since 1970 of its first moment."""
        return min(row.span.start for row in self.rows)

    @property
    def end(self) -> int:
        """Of its last moment."""
        return max(row.span.end for row in self.rows)

    @property
    def seconds(self) -> float:
        """From the first moment to the last."""
        return (self.end - self.start) / _NANO

    @property
    def whole(self) -> bool:
        """Whether every step is there, and no time is left out."""
        return not (self.gaps or self.missing or any(row.orphan for row in self.rows))

    def offset(self, moment: int) -> float:
        """Seconds from its first moment to another one."""
        return (moment - self.start) / _NANO


@dataclass(frozen=True, slots=True, kw_only=True)
class Waterfalls:
    """The use case.

    Args:
        catalog: has the trace of an asset, and the steps that must have run.
        traces: has the spans.
    """

    catalog: Catalog
    traces: TraceStore

    def of_asset(self, asset: str) -> TraceWaterfall:
        """The trace of the current upload of an asset.

        Raises:
            AssetMissing: there is no such asset.
            TraceMissing: no span of it was written, or none is left.
            TransientError: a store does not answer.
        """
        record = self.catalog.get(asset)
        if record is None:
            raise AssetMissing(f"there is no asset {asset}")
        root = record.source.trace
        found = self.traces.spans(
            trace.trace_id(root), since=record.created_at or record.source.time
        )
        if not found.spans:
            text = f"no span of the trace {trace.trace_id(root)} is there"
            raise TraceMissing(f"{text}: it was not sampled, is not written yet, or has expired")
        return waterfall(
            found, root=root, asset=asset, expected=expected(record, self.catalog.jobs(asset))
        )


def expected(record: AssetRecord, jobs: Sequence[JobRecord]) -> tuple[str, ...]:
    """Steps that must have been done for a record to be as it is, by the names of their spans."""
    steps = ["upload"] if record.upload is None else []
    if record.version:  # its original has been looked at
        steps += ["ingest", "tell"]
    mine = [one for one in jobs if f"/{record.version}/" in one.detail.get("output", "") + "/"]
    steps += sorted({f"job {one.kind}" for one in mine if one.state in _ENDED})
    return tuple(steps)


def waterfall(
    found: FoundSpans, *, root: str, asset: str = "", expected: Iterable[str] = ()
) -> TraceWaterfall:
    """The waterfall of spans.

    Args:
        found: at least one span.
        root: traceparent of the upload. Children of its span, or of a caller's span, are not
            orphans, even if that span is missing.
        asset: its id.
        expected: names of spans that must be there.
    """
    spans, later = _to_the_first_delivery(
        _from_the_root(_distinct(found.spans), trace.span_id(root))
    )
    names = {span.name for span in spans}
    return TraceWaterfall(
        trace=trace.trace_id(root),
        asset=asset,
        rows=tuple(_rows(spans, trace.span_id(root))),
        gaps=tuple(_gaps(spans)),
        missing=tuple(name for name in expected if name not in names),
        later=later,
        unreadable=found.unreadable,
    )


def _distinct(spans: Iterable[SpanRecord]) -> list[SpanRecord]:
    """Each once, by their starts. Repeated spans have the same id. If several processes write a
    span with partial data, the last one counts."""
    known = {span.id: span for span in sorted(spans, key=lambda span: span.end)}
    return sorted(known.values(), key=lambda span: (span.start, -span.end, span.id))[:MOST_SPANS]


def _from_the_root(spans: list[SpanRecord], root: str) -> list[SpanRecord]:
    """The spans, with waits that begin with the upload and not before it: S3 says in whole seconds
    when a file was written, which may be before somebody asked to upload it."""
    begun = next((span.start for span in spans if span.id == root), 0)
    moved = [
        replace(span, start=min(begun, span.end))
        if span.start < begun and span.name.startswith("wait ")
        else span
        for span in spans
    ]
    return sorted(moved, key=lambda span: (span.start, -span.end, span.id))


def _to_the_first_delivery(spans: list[SpanRecord]) -> tuple[list[SpanRecord], int]:
    """The spans without those of later deliveries, and how many of these there are.

    Each file that the edge asks for again is one more, for as long as the asset is there.
    """
    later = [one.id for one in spans if one.name == "deliver"][1:]
    dropped = set(later)
    waits = sorted((one for one in spans if one.name == "wait viewer"), key=lambda one: one.end)
    dropped |= {one.id for one in waits[1:]}
    if not dropped:
        return spans, 0
    above = {one.id: one.parent for one in spans}

    def within(id_: str) -> bool:
        seen: set[str] = set()
        while id_ in above and id_ not in seen:
            if id_ in dropped:
                return True
            seen.add(id_)
            id_ = above[id_]
        return False

    return [one for one in spans if not within(one.id)], len(later)


def _rows(spans: Sequence[SpanRecord], root: str) -> Iterator[Row]:
    known = {span.id for span in spans}
    below: dict[str, list[SpanRecord]] = defaultdict(list)
    tops: list[SpanRecord] = []
    for span in spans:
        above = span.parent
        if above not in known and span.id != root:
            above = root  # what it lies in is missing, or is of a caller: it is of this upload
        (below[above] if above in known else tops).append(span)
    # The caller of the API has a span above ours that only the caller knows.
    first = next((span.id for span in tops if span.id == root or _begins(span)), "")
    shown: set[str] = set()
    # A list and not recursion: how deep it goes is said by whoever wrote the spans.
    left = [(span, 0) for span in reversed(tops)]
    while left or len(shown) < len(spans):
        circle = not left
        if circle:  # spans that name each other as the one above
            left = [(next(span for span in spans if span.id not in shown), 0)]
        span, depth = left.pop()
        if span.id in shown:
            continue
        shown.add(span.id)
        # Each span but the first lies in another one.
        lost = span.parent not in known and span.parent != root
        lost = lost and span.id not in (root, first) and bool(span.parent or not _begins(span))
        yield Row(span=span, depth=depth, orphan=lost or circle)
        left += [(one, depth + 1) for one in reversed(below[span.id])]


def _begins(span: SpanRecord) -> bool:
    return span.name == "upload" or span.name.startswith("request ")


def _gaps(spans: Sequence[SpanRecord]) -> Iterator[Gap]:
    """Times between the first moment and the last that no span covers."""
    last = spans[0]
    for span in spans[1:]:
        apart = span.start - last.end > GAP_SECONDS * _NANO
        if apart and span.name not in BY_ITSELF:
            yield Gap(start=last.end, end=span.start, after=last.name)
        if span.end > last.end:
            last = span


# --- as JSON ------------------------------------------------------------------------------------


def plain(shown: TraceWaterfall) -> dict[str, Any]:
    """A waterfall as JSON-ready values. Times are seconds from ``start``."""
    return {
        "trace": shown.trace,
        "asset": shown.asset,
        "start": _text_of(shown.start),
        "seconds": round(shown.seconds, 6),
        "whole": shown.whole,
        "missing": list(shown.missing),
        "later_deliveries": shown.later,
        "unreadable": shown.unreadable,
        "gaps": [
            {"at": _short(shown, gap.start), "seconds": round(gap.seconds, 6), "after": gap.after}
            for gap in shown.gaps
        ],
        "spans": [
            {
                "id": row.span.id,
                "parent": row.span.parent,
                "name": row.span.name,
                "service": row.span.service,
                "depth": row.depth,
                "orphan": row.orphan,
                "at": _short(shown, row.span.start),
                "seconds": round(row.seconds, 6),
                "error": row.span.error,
                "attributes": dict(row.span.attributes),
            }
            for row in shown.rows
        ],
    }


def _short(shown: TraceWaterfall, moment: int) -> float:
    return round(shown.offset(moment), 6)


def _text_of(moment: int) -> str:
    found = datetime.fromtimestamp(moment / _NANO, UTC)
    return found.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
