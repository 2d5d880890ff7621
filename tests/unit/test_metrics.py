"""The list of metrics, what is counted, and the lines that are written."""

from __future__ import annotations

import asyncio
import io
import json
import math
import re
import threading
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from batch.catalogue import KINDS
from worker.adapters import emf
from worker.domain import metrics
from worker.domain.metrics import (
    METRICS,
    OTHER,
    MetricCounts,
    MetricGroup,
    MetricSpec,
    Source,
    Statistic,
    Unit,
)
from worker.entrypoints.api.trace_context import TraceContext
from worker.services.finalize import FinalizeOutcome
from worker.services.hot_files import CacheOutcome
from worker.services.ingest import IngestOutcome

UNBOUNDED = {"owner", "recipe", "asset", "key", "endpoint", "tag", "bucket", "user", "url"}


def written(service: str = "ingest", namespace: str = "Safelight/test") -> list[dict[str, Any]]:
    """The lines of what was counted."""
    found = emf.lines(metrics.take(), service, namespace, now=1_800_000_000.5)
    return [json.loads(json.dumps(one)) for one in found]


def values(line: dict[str, Any]) -> dict[tuple[str, ...], Any]:
    """The metrics of a line, as CloudWatch reads them: by name, dimensions and unit."""
    found: dict[tuple[str, ...], Any] = {}
    for directive in line["_aws"]["CloudWatchMetrics"]:
        for names in directive["Dimensions"]:
            for one in directive["Metrics"]:
                dimensions = tuple(f"{name}={line[name]}" for name in names)
                found[(one["Name"], *dimensions, one["Unit"])] = line[one["Name"]]
    return found


# --- the list ---------------------------------------------------------------------------------


def test_the_list_has_each_metric_once() -> None:
    """Names are words of CloudWatch's own style, and each says what it is."""
    names = [one.name for one in METRICS]

    assert names == sorted(set(names))
    assert len(METRICS) > 25
    for one in METRICS:
        assert re.fullmatch(r"[A-Z][A-Za-z]{3,30}", one.name)
        assert one.says.endswith(".")
        assert len(one.says) > 20
        assert one.services


def test_dimensions_are_closed_sets() -> None:
    """Each value that is possible is written down, and none names a person or a file."""
    for one in METRICS:
        assert not UNBOUNDED & one.dimensions.keys()
        for found in one.dimensions.values():
            assert len(found) == len(set(found)) <= 40
            assert all(re.fullmatch(r"[a-z0-9][a-z0-9_-]{1,40}", value) for value in found)
            assert OTHER not in found


def test_the_sets_are_those_of_the_code() -> None:
    """Every value that the code can emit is in the set of its dimension."""
    assert set(metrics.OUTCOMES) == {one.value for one in IngestOutcome}
    assert set(metrics.FINISHED_OUTCOMES) == {one.value for one in FinalizeOutcome}
    assert set(metrics.CACHE_OUTCOMES) == {one.value for one in CacheOutcome}
    assert set(metrics.KINDS) == set(KINDS)


def test_units_fit_to_names() -> None:
    """The unit of a metric matches its name."""
    for one in METRICS:
        if one.name.endswith("Seconds"):
            assert one.unit is Unit.SECONDS
            assert one.statistic is not Statistic.SUM
        if "Bytes" in one.name:
            assert one.unit is Unit.BYTES


def test_all_metrics_together_have_a_price() -> None:
    """At $0.30 each a month (docs/metrics.md) even all of them at once stay affordable."""
    most = sum(one.distinct for one in METRICS)

    assert most < 300


# --- counting ---------------------------------------------------------------------------------


def test_counts_are_added_up() -> None:
    """One value for each combination of dimensions, whatever the number of calls."""
    for outcome in ("accepted", "rejected", "accepted"):
        metrics.add(metrics.UPLOADS, outcome=outcome)
    metrics.add(metrics.BYTES_IN, 1_000)
    metrics.add(metrics.BYTES_IN, 234)

    first, second = written()

    assert values(first) == {
        ("Uploads", "outcome=accepted", "Count"): 2,
        ("BytesIn", "Bytes"): 1_234,
    }
    assert values(second) == {("Uploads", "outcome=rejected", "Count"): 1}


def test_durations_keep_their_values() -> None:
    """Percentiles need each; they are in the unit of their metric."""
    for seconds in (0.25, 0.5):
        metrics.add(metrics.STAGE_SECONDS, seconds, stage="render")

    (line,) = written()

    assert values(line) == {("StageSeconds", "stage=render", "Seconds"): [0.25, 0.5]}


def test_a_line_has_what_cloudwatch_asks_for() -> None:
    """Time in milliseconds, the namespace of the stack, the service as a plain property."""
    metrics.add(metrics.BYTES_OUT, 7)

    (line,) = written("deliver")

    assert line == {
        "_aws": {
            "Timestamp": 1_800_000_000_500,
            "CloudWatchMetrics": [
                {
                    "Namespace": "Safelight/test",
                    "Dimensions": [[]],
                    "Metrics": [{"Name": "BytesOut", "Unit": "Bytes"}],
                }
            ],
        },
        "service": "deliver",
        "BytesOut": 7,
    }


def test_metrics_that_do_not_contradict_share_a_line() -> None:
    """One line for an ordinary event: logs are billed by their size."""
    metrics.add(metrics.UPLOADS, outcome="accepted")
    metrics.add(metrics.STAGE_SECONDS, 1, stage="render")
    metrics.add(metrics.QUEUE_SECONDS, 2, service="ingest")
    metrics.add(metrics.READY_SECONDS, 3)

    (line,) = written()

    assert len(values(line)) == 4


def test_more_values_than_a_line_takes_go_to_further_lines() -> None:
    """A hundred values a metric; no value is lost."""
    for number in range(250):
        metrics.add(metrics.READY_SECONDS, number)

    found = [line["ReadySeconds"] for line in written()]

    assert [len(one) for one in found] == [100, 100, 50]
    assert [value for one in found for value in one] == list(range(250))


def test_nothing_counted_is_nothing_written(capsys: pytest.CaptureFixture[str]) -> None:
    """Missing metrics are no line and no error; what was written is not written again."""
    emf.flush("ingest")
    assert capsys.readouterr().out == ""

    metrics.add(metrics.EVENTS, 3)
    emf.flush("outbox")
    emf.flush("outbox")

    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["Events"] == 3


@pytest.mark.parametrize(
    ("said", "space"), [("Safelight/prod", "Safelight/prod"), (" ", "Safelight")]
)
def test_a_stack_has_a_namespace_of_its_own(
    said: str, space: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two stacks of one account are not added up."""
    monkeypatch.setenv(emf.VARIABLE, said)

    metrics.add(metrics.EVENTS)
    emf.flush("outbox")

    (directive,) = json.loads(capsys.readouterr().out)["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == space


def test_what_was_counted_is_written_although_the_work_fails(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Retries are counted by calls that raise."""

    @emf.flushing("workflow")
    def handler(event: dict[str, Any]) -> None:
        metrics.add(metrics.RUNS)
        raise KeyError(event["id"])

    with pytest.raises(KeyError):
        handler({"id": "x"})

    assert json.loads(capsys.readouterr().out)["service"] == "workflow"


def test_a_request_to_the_api_writes_what_it_has_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Work that the API puts off is counted; a page that only reads writes nothing."""

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        if scope["method"] == "POST":
            metrics.add(metrics.PAUSED, work="remake")

    async def silent(*_: object) -> Any:
        raise AssertionError("the app neither reads nor answers")

    for method in ("GET", "POST"):
        scope: Scope = {"type": "http", "method": method, "path": "/assets/a/remake", "headers": []}
        asyncio.run(TraceContext(app)(scope, silent, silent))

    (line,) = [json.loads(one) for one in capsys.readouterr().out.splitlines()]
    assert values(line) == {("Paused", "work=remake", "Count"): 1}
    assert line["service"] == "api"


def test_a_log_that_cannot_be_written_fails_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader of standard output has gone."""
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr("sys.stdout", closed)

    metrics.add(metrics.EVENTS)
    emf.flush("outbox")

    assert metrics.take() == ()


def test_a_value_outside_the_set_is_another() -> None:
    """A job's code or a new outcome makes no metric of its own."""
    metrics.add(metrics.REJECTIONS, reason="of_a_stranger")
    metrics.add(metrics.REJECTIONS, reason="of_another")

    (line,) = written()

    assert values(line) == {("Rejections", f"reason={OTHER}", "Count"): 2}


@pytest.mark.parametrize("dimensions", [{}, {"reason": "corrupt", "owner": "ann"}, {"owner": "a"}])
def test_other_dimensions_are_a_mistake_of_the_code(dimensions: dict[str, str]) -> None:
    """Dimensions that the metric does not declare raise TypeError."""
    with pytest.raises(TypeError, match="has the dimensions"):
        metrics.add(metrics.REJECTIONS, 1, **dimensions)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_not_counted(value: float) -> None:
    """JSON has no such numbers, and CloudWatch would refuse the whole line."""
    metrics.add(metrics.READY_SECONDS, value)

    assert metrics.take() == ()


def test_an_age_before_the_beginning_is_none() -> None:
    """The clock of the sender was ahead, or was set back since."""
    metrics.add(metrics.READY_SECONDS, -3600)

    assert [one.values for one in metrics.take()] == [(0,)]


def test_a_duration_is_counted_of_what_fails_too() -> None:
    """A stage that is slow and then fails is what people look for."""
    with pytest.raises(ZeroDivisionError), metrics.timed(metrics.STAGE_SECONDS, stage="fetch"):
        1 / 0  # noqa: B018 - fails

    (one,) = metrics.take()
    assert one.labels == (("stage", "fetch"),)
    assert len(one.values) == 1


@st.composite
def counts(draw: st.DrawFn) -> tuple[MetricSpec, float, dict[str, str]]:
    """Something that any code may count."""
    spec = draw(st.sampled_from([one for one in METRICS if one.source is Source.CODE]))
    labels = {
        name: draw(st.sampled_from((*found, "a stranger's")))
        for name, found in spec.dimensions.items()
    }
    return spec, draw(st.integers(0, 10**12)), labels


@given(st.lists(counts(), max_size=400))
def test_whatever_is_counted_is_written_as_cloudwatch_wants_it(
    counted: list[tuple[MetricSpec, float, dict[str, str]]],
) -> None:
    """Every value is written under its own dimensions, and each line keeps the format's limits
    (Amazon CloudWatch User Guide, "Specification: Embedded metric format")."""
    wanted: Counter[tuple[str, ...]] = Counter()
    for spec, value, labels in counted:
        metrics.add(spec, value, **labels)
        known = metrics.labels_of(spec, labels)
        wanted[spec.name, *(f"{name}={one}" for name, one in known), spec.unit.value] += int(value)

    found: Counter[tuple[str, ...]] = Counter()
    for line in written():
        assert len(json.dumps(line)) < 256_000
        for directive in line["_aws"]["CloudWatchMetrics"]:
            assert 0 < len(directive["Metrics"]) <= 100
            assert len(directive["Dimensions"]) == 1
        for key, value in values(line).items():
            each = value if isinstance(value, list) else [value]
            assert len(each) <= 100
            found[key] += int(sum(each))

    assert found == wanted


def test_threads_lose_no_count() -> None:
    """The pipeline's three threads count at the same time."""
    counts, start = MetricCounts(), threading.Barrier(4)

    def work() -> None:
        start.wait()
        for _ in range(5_000):
            counts.add(metrics.BYTES_OUT, 1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    assert [one.values for one in counts.take()] == [(20_000,)]


def test_a_process_that_never_writes_keeps_a_bounded_number() -> None:
    """The command line uses the same services and writes no metrics."""
    for _ in range(metrics.MOST_VALUES + 10):
        metrics.add(metrics.READY_SECONDS, 1)

    (one,) = metrics.take()
    assert len(one.values) == metrics.MOST_VALUES


def test_the_price_counts_combinations() -> None:
    """Two outcomes of three kinds are six metrics."""
    one = MetricSpec(
        name="Things",
        unit=Unit.COUNT,
        services=("x",),
        group=MetricGroup.MONEY,
        dimensions={"kind": ("a", "b", "c"), "outcome": ("d", "e")},
        says="Things.",
    )

    assert one.distinct == 6
    assert metrics.BYTES_IN.distinct == 1
    assert {one.source for one in METRICS} == set(Source)
