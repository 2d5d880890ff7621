"""The waterfall of a trace: what it shows, and what it says is missing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.cli_pipeline import Pipeline, pipeline
from tests.unit.fakes import MemoryCatalog
from tests.unit.traces import BEGAN, SECOND, found, otlp, span, write_lines, write_trace
from worker.adapters.spans import MOST_TEXT, otlp_spans, stored_span
from worker.domain import trace
from worker.domain.asset import JobRecord, Status
from worker.domain.errors import AssetMissing, TraceMissing
from worker.entrypoints.cli import run
from worker.local.records import LONGEST_LINE, LocalLogs, LocalTraces
from worker.ports import FoundSpans, SpanRecord
from worker.services.waterfall import TraceWaterfall, Waterfalls, expected, plain, waterfall

ROOT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACE, TOP = ROOT[3:35], ROOT[36:52]
WHOLE = (
    span("upload", 0, 0.01, id_=TOP),
    span("wait intake", 0.01, 0.49, parent=TOP),
    span("ingest", 0.5, 1, parent=TOP, id_="1" * 16),
    span("fetch", 0.5, 0.2, parent="1" * 16),
    span("store.get", 0.55, 0.1, parent=b"fetch".hex()[:16].ljust(16, "0")),
    span("render", 0.7, 0.8, parent="1" * 16),
    span("deliver", 1.5, 0.1, parent=TOP, service="deliver"),
)


@pytest.fixture
def world(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pipeline]:
    """A pipeline without assets."""
    with pipeline(tmp_path / "data", capsys, monkeypatch) as made:
        yield made


def of(*spans: SpanRecord, **more: object) -> TraceWaterfall:
    """The waterfall of spans."""
    return waterfall(found(*spans), root=ROOT, **more)  # type: ignore[arg-type]


def shape(shown: TraceWaterfall) -> list[tuple[str, int]]:
    """Names and depths, from top to bottom."""
    return [(row.span.name, row.depth) for row in shown.rows]


@given(st.permutations(WHOLE))
def test_spans_stand_below_the_one_they_lie_in_by_their_starts(spans: list[SpanRecord]) -> None:
    """In whatever order they were written."""
    shown = of(*spans)

    assert shape(shown) == [
        ("upload", 0),
        ("wait intake", 1),
        ("ingest", 1),
        ("fetch", 2),
        ("store.get", 3),
        ("render", 2),
        ("deliver", 1),
    ]
    assert (shown.start, shown.seconds) == (BEGAN, 1.6)
    assert (shown.whole, shown.gaps, shown.missing) == (True, (), ())
    assert {row.span.name for row in shown.rows if row.waits} == {"wait intake"}
    assert {row.span.name for row in shown.rows if row.calls} == {"store.get"}


def test_a_time_that_nothing_covers_is_a_gap() -> None:
    """Between what ended last and what begins next, however deep both lie."""
    shown = of(*(one for one in WHOLE if one.name != "wait intake"))

    (gap,) = shown.gaps
    assert (gap.after, gap.seconds) == ("upload", 0.49)
    assert gap.start == BEGAN + SECOND // 100
    assert not shown.whole


@pytest.mark.parametrize(("between", "gaps"), [(0.0, 0), (0.05, 0), (0.051, 1), (3.0, 1)])
def test_clocks_differ_a_little(between: float, gaps: int) -> None:
    """A gap is longer than the difference of two clocks."""
    first = span("upload", 0, 1, id_=TOP)
    assert len(of(first, span("ingest", 1 + between, 1, parent=TOP)).gaps) == gaps


def test_later_deliveries_are_counted_and_nobody_misses_the_time_before() -> None:
    """Each new view of a file would make the upload look small, and everything else missing."""
    later = (
        span("wait viewer", 1.2, 90, id_="c" * 16, parent=TOP),
        span("deliver", 91, 1, id_="d" * 16, parent=TOP),
        span("catalog.get", 91, 0.5, parent="d" * 16),
        span("deliver", 900, 1, id_="e" * 16, parent=TOP),
    )
    before = span("wait viewer", 1.2, 0.3, id_="b" * 16, parent=TOP)

    shown = of(*WHOLE, before, *later)

    assert (shown.seconds, shown.later, shown.whole) == (1.6, 2, True)
    assert "catalog.get" not in {row.span.name for row in shown.rows}
    upgrade = span("upgrade", 90_000, 60, parent=TOP)
    assert of(*WHOLE, upgrade).gaps == ()
    assert of(*WHOLE, replace(upgrade, name="tell")).gaps != ()


def test_no_wait_begins_before_the_upload() -> None:
    """S3 says in whole seconds when a file was written; whatever else is earlier stays so."""
    early = span("wait viewer", -0.7, 2.2, parent=TOP)
    shown = of(*WHOLE, early)
    assert (shown.start, shape(shown)[0], shown.whole) == (BEGAN, ("upload", 0), True)
    (wait,) = (row.span for row in shown.rows if row.span.name == "wait viewer")
    assert (wait.start, wait.end) == (BEGAN, early.end)
    assert of(*WHOLE, span("request POST", -1, 0.5)).start == BEGAN - SECOND


def test_a_long_span_covers_short_ones() -> None:
    """A gap is measured from the latest end, not from the end of the latest span."""
    spans = (
        span("job transcode", 0, 10),
        span("job poster", 1, 1),
        span("stage finish", 10, 1),
    )
    assert of(*spans).gaps == ()


def test_what_lies_in_a_span_that_is_missing_is_shown_as_such() -> None:
    """A process was killed before it wrote: what others have written below is there."""
    shown = of(*(one for one in WHOLE if one.name != "ingest"))

    orphans = {row.span.name: row.depth for row in shown.rows if row.orphan}
    assert orphans == {"fetch": 1, "render": 1}
    assert not shown.whole
    assert ("store.get", 2) in shape(shown)


def test_the_span_above_the_first_one_is_the_callers() -> None:
    """The caller's span above the root does not count as missing."""
    spans = (span("upload", 0, 1, id_=TOP, parent="c" * 16), span("ingest", 1, 1, parent=TOP))
    assert of(*spans).whole


def test_a_trace_without_its_root_is_shown() -> None:
    """Children of a missing root are not orphans."""
    assert of(*WHOLE[1:]).whole
    assert of(*WHOLE[1:], expected=["upload"]).missing == ("upload",)


def test_steps_that_must_have_been_done_are_missed() -> None:
    """The catalog knows them: what no span shows was not traced."""
    shown = of(*WHOLE, expected=["upload", "ingest", "tell", "job transcode"])
    assert shown.missing == ("tell", "job transcode")
    assert not shown.whole


def test_what_was_sent_twice_is_one_span() -> None:
    """By its id."""
    assert len(of(*WHOLE, *WHOLE).rows) == len(WHOLE)


def test_of_a_span_that_several_write_the_last_end_counts() -> None:
    """Each stage of a run writes that the run goes on until there."""
    ends = (3.0, 5.0, 4.0)
    (row,) = of(*(span("run", 0, end, parent=TOP) for end in ends)).rows
    assert row.seconds == 5.0


def test_spans_that_lie_in_each_other_are_shown_once() -> None:
    """No honest process writes them; the list still ends, and has each."""
    spans = (
        span("a", 0, 1, id_="a" * 16, parent="b" * 16),
        span("b", 0, 1, id_="b" * 16, parent="a" * 16),
        span("c", 0, 1, id_="c" * 16, parent="c" * 16),
    )
    shown = of(*spans)
    assert shape(shown) == [("a", 0), ("b", 1), ("c", 0)]
    assert [row.span.name for row in shown.rows if row.orphan] == ["a", "c"]
    assert not shown.whole


def test_a_span_in_no_other_is_an_orphan() -> None:
    """Only the first one, and that of a call of the API, lie in nothing."""
    strays = (span("ingest", 1, 1), span("request GET /assets", 2, 1))
    shown = of(span("upload", 0, 2.5, id_=TOP), *strays)
    assert [row.span.name for row in shown.rows if row.orphan] == ["ingest"]


@given(
    st.lists(
        st.builds(
            lambda at, long, id_, parent: span("x", at, long, id_=id_, parent=parent),
            st.floats(0, 100),
            st.floats(0, 100),
            st.sampled_from(["1", "2", "3", "4", "5", TOP]),
            st.sampled_from(["", "1", "2", "3", "4", "5", "6", TOP]),
        ),
        min_size=1,
    )
)
def test_any_spans_make_a_waterfall(spans: list[SpanRecord]) -> None:
    """Each span is in it once, no gap overlaps a span, and JSON holds it."""
    shown = of(*spans)

    assert sorted(row.span.id for row in shown.rows) == sorted({one.id for one in spans})
    for gap in shown.gaps:
        assert all(row.span.end <= gap.start or row.span.start >= gap.end for row in shown.rows)
    assert json.loads(json.dumps(plain(shown)))["seconds"] >= 0


# --- what the catalog knows ---------------------------------------------------------------------


def test_an_asset_leads_to_its_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By its record; of one that does not exist, or was not traced, there is an error."""
    world = Pipeline(tmp_path, capsys)
    record, other = world.record("a.jpg"), world.record("b.jpg")
    write_trace(tmp_path, record)
    use = Waterfalls(catalog=world.catalog, traces=LocalTraces(data=tmp_path))

    shown = use.of_asset(record.asset)

    assert (shown.trace, shown.asset) == (trace.trace_id(record.source.trace), record.asset)
    assert shown.whole
    assert shape(shown)[0] == ("upload", 0)
    with pytest.raises(TraceMissing, match="sampled"):
        use.of_asset(other.asset)
    with pytest.raises(AssetMissing):
        use.of_asset("none")


def test_jobs_that_have_ended_must_be_in_the_trace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of this version: earlier ones have traces of their own, and what runs has written nothing."""
    record = Pipeline(tmp_path, capsys).record("a.mp4")
    job = JobRecord(
        asset=record.asset,
        id="j",
        kind="poster",
        state="SUCCEEDED",
        created_at="",
        updated_at="",
        detail={"output": f"s3://delivery/aa/{record.asset}/{record.version}/poster"},
    )
    jobs = [
        job,
        replace(job, kind="transcode", state="FAILED"),
        replace(job, kind="preview", state="RUNNING"),
        replace(job, kind="storyboard", detail={"output": "s3://delivery/aa/x/older/poster"}),
    ]
    steps = ("upload", "ingest", "tell", "job poster", "job transcode")
    assert expected(record, jobs) == steps
    waiting = replace(record, version="", status=Status.WAITING)
    assert expected(waiting, ()) == ("upload",)
    assert MemoryCatalog().jobs(record.asset) == []


# --- files of the local stack -------------------------------------------------------------------


def test_spans_are_read_from_all_files_but_what_is_none(tmp_path: Path) -> None:
    """Hostile and half-written lines are counted or passed over, and take nothing with them."""
    good = otlp(TRACE, [WHOLE[0]], "api")
    backwards = replace(WHOLE[2], start=WHOLE[2].end, end=WHOLE[2].start)
    write_lines(tmp_path, "1.jsonl", [good, f"{TRACE} is no JSON", '{"resourceSpans": 7}'])
    write_lines(
        tmp_path,
        "2.jsonl",
        [
            otlp("0" * 32, [WHOLE[1]]),
            otlp(TRACE, [WHOLE[2], backwards]),
            f'"{TRACE}"',
            f'{{"resourceSpans": [{{"scopeSpans": "{TRACE}"}}]}}',
            "[" * 100_000 + TRACE,
            "x" * (LONGEST_LINE + 10) + TRACE,
        ],
    )
    write_lines(tmp_path, "3.jsonl", [otlp(TRACE, [WHOLE[3]])])
    with (tmp_path / "traces" / "3.jsonl").open("a") as file:
        file.write(json.dumps(otlp(TRACE, [WHOLE[4]])))  # no end of the line: still being written

    read = LocalTraces(data=tmp_path).spans(TRACE)

    assert {one.name for one in read.spans} == {"upload", "ingest", "fetch"}
    assert read.unreadable == 6
    (first,) = (one for one in read.spans if one.name == "upload")
    assert (first.service, first.start, first.end) == ("api", WHOLE[0].start, WHOLE[0].end)
    assert first.attributes == {"safelight.bytes": "7", "safelight.copied": "true"}
    assert LocalTraces(data=tmp_path / "none").spans(TRACE) == FoundSpans()


def test_a_file_that_goes_meanwhile_is_no_error(tmp_path: Path) -> None:
    """The stack keeps the newest files only, and somebody may be reading the oldest."""
    write_lines(tmp_path, "2.jsonl", [otlp(TRACE, [WHOLE[0]])])
    (tmp_path / "traces" / "1.jsonl").symlink_to(tmp_path / "gone")
    assert len(LocalTraces(data=tmp_path).spans(TRACE).spans) == 1


def test_what_is_no_file_of_spans_is_passed_over(tmp_path: Path) -> None:
    """A folder, a pipe that nobody writes to; each line of rubbish is counted."""
    write_lines(tmp_path, "1.jsonl", [otlp(TRACE, [WHOLE[0]]), otlp("0" * 32, [WHOLE[1]])])
    write_lines(tmp_path, "2.jsonl", ["null", "[7]", '{"a": 1}'])
    rubbish = b"".join(bytes([number]) * 1_000 + b"\n" for number in range(128, 256))
    (tmp_path / "traces" / "3.jsonl").write_bytes(rubbish)
    (tmp_path / "traces" / "d.jsonl").mkdir()
    os.mkfifo(tmp_path / "traces" / "p.jsonl")

    read = LocalTraces(data=tmp_path).spans(TRACE)

    assert ([one.name for one in read.spans], read.unreadable) == (["upload"], 3 + 128)
    (tmp_path / "logs" / "d.log").mkdir(parents=True)
    assert LocalLogs(data=tmp_path).lines([TRACE]) == ()


def test_an_error_has_its_code(tmp_path: Path) -> None:
    """The message of the status."""
    write_lines(tmp_path, "1.jsonl", [otlp(TRACE, [replace(WHOLE[0], error="throttled")])])
    (one,) = LocalTraces(data=tmp_path).spans(TRACE).spans
    assert one.error == "throttled"


def test_a_span_of_cloudwatch_is_read() -> None:
    """Numbers are numbers there, and attributes an object."""
    value = {
        "resource": {"attributes": {"service.name": "batch"}},
        "traceId": TRACE,
        "spanId": TOP,
        "parentSpanId": "1" * 16,
        "name": "job poster",
        "kind": "INTERNAL",
        "startTimeUnixNano": BEGAN,
        "endTimeUnixNano": BEGAN + SECOND,
        "attributes": {"safelight.asset": "a", "n": 7, "ok": True, "x": "y" * 1000},
        "status": {"code": "ERROR", "message": "timed_out"},
    }
    one = stored_span(value)
    assert one is not None
    assert (one.service, one.name, one.error, one.parent) == (
        *("batch", "job poster", "timed_out"),
        "1" * 16,
    )
    assert one.attributes["n"] == "7"
    assert one.attributes["ok"] == "true"
    assert len(one.attributes["x"]) == MOST_TEXT
    no_spans: list[object] = [None, [], {}]
    for wrong in (*no_spans, {**value, "spanId": 7}, {**value, "endTimeUnixNano": "soon"}):
        assert stored_span(wrong) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        *("resourceSpans", "resource", "attributes", "scopeSpans", "spans"),
                        *("traceId", "spanId", "name", "startTimeUnixNano", "endTimeUnixNano"),
                        *("status", "code", "key", "value", "service.name"),
                    ]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=20,
    )
)
def test_any_json_is_spans_or_none(value: object) -> None:
    """Any JSON gives spans or the one expected error."""
    with suppress(ValueError):
        list(otlp_spans(value))
    stored_span(value)


# --- the command --------------------------------------------------------------------------------


def test_the_command_draws_it(world: Pipeline) -> None:
    """Steps with their times and bars; calls only if they are asked for."""
    record = world.record("a.jpg")
    root, id_ = trace.span_id(record.source.trace), trace.trace_id(record.source.trace)
    spans = [replace(one, parent=root if one.parent == TOP else one.parent) for one in WHOLE]
    spans[0] = replace(spans[0], id=root)
    spans[5] = replace(spans[5], error="out_of_memory\x1b[31m")
    write_lines(world.data, "1.jsonl", [otlp(id_, [one]) for one in spans])

    said, wrong = world.run("trace", record.asset)

    lines = said.splitlines()
    assert lines[0].startswith(f"trace {id_}  2023-11-14 22:13:20+00:00  7 spans  1.600 s")
    assert [line.split()[3] for line in lines[1:]] == [
        *("upload", "wait", "ingest", "fetch", "render", "deliver"),
    ]
    assert "░░░░" in lines[2]
    assert "████" in lines[3]
    assert "out_of_memory\\x1b" in lines[5]
    assert wrong == "missing: tell: no span shows it (or not yet)\n"
    assert "store.get" in world.run("trace", record.asset, "--calls")[0]


def test_the_command_says_what_is_missing(world: Pipeline) -> None:
    """A gap has a line, what lies in nothing has a mark, and both are said in words."""
    record = world.record("a.jpg")
    id_ = trace.trace_id(record.source.trace)
    write_lines(
        world.data, "1.jsonl", [otlp(id_, [WHOLE[3], WHOLE[5]]), f"{id_} nonsense", "nonsense"]
    )
    write_lines(world.data, "2.jsonl", [otlp(id_, [span("ingest", 9, 1)])])

    said, wrong = world.run("trace", record.asset)

    assert "? nothing after render" in said
    assert "? fetch" in said
    assert "missing: upload, tell" in wrong
    assert "what 3 of the spans" in wrong
    assert "2 lines could not be read" in wrong
    found_ = world.json("trace", record.asset)
    assert (found_["whole"], found_["unreadable"], len(found_["gaps"])) == (False, 2, 1)


def test_the_command_of_no_trace_fails(world: Pipeline) -> None:
    """With a code for programs."""
    record = world.record("a.jpg")
    assert world.error("trace", record.asset)["code"] == "trace_missing"
    assert world.error("trace", "none")["code"] == "asset_missing"
    assert run(["trace"]) == 2
