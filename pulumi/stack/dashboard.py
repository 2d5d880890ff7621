"""The dashboard's content as data: a chart of each metric in the list (``worker.domain.metrics``),
and of everything that has an alarm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pulumi_aws as aws

from stack.alarms import Alarm, Band
from stack.scope import Scope
from worker.domain import metrics
from worker.domain.metrics import METRICS, MetricGroup, MetricSpec, Source, Statistic, Unit

COLUMNS, WIDTH, HEIGHT, HEADING = 3, 8, 6, 1
PERIOD = 300
"""Seconds of one figure of a metric."""


def body(alarms: Sequence[Alarm], region: str, namespace: str) -> Mapping[str, Any]:
    """All widgets: what follows from metrics, the list of metrics group by group, the alarms.

    Args:
        alarms: of the stack.
        region: of its metrics.
        namespace: of the metrics that the stack counts itself.
    """
    parts: list[tuple[str, Sequence[Mapping[str, Any]]]] = [("Summary", _summary(namespace))]
    for group in MetricGroup:
        mine = [one for one in METRICS if one.group is group]
        parts.append((group.value, [_metric(one, namespace) for one in mine]))
    parts.append(("Alarms", [_alarm(alarm) for alarm in alarms]))
    return {"widgets": list(_placed(parts, region))}


def dashboard_name(scope: Scope) -> str:
    """The name of a stack's dashboard."""
    return scope.name("overview")


def dashboard_address(scope: Scope) -> str:
    """Its URL in the AWS console."""
    region = aws.get_region().region
    console = f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}"
    return f"{console}#dashboards/dashboard/{dashboard_name(scope)}"


def _placed(
    parts: Sequence[tuple[str, Sequence[Mapping[str, Any]]]], region: str
) -> Iterator[Mapping[str, Any]]:
    """Each part under its heading, three charts in a row."""
    top = 0
    for heading, charts in parts:
        if not charts:
            continue
        yield {
            "type": "text",
            "x": 0,
            "y": top,
            "width": COLUMNS * WIDTH,
            "height": HEADING,
            "properties": {"markdown": f"## {heading}"},
        }
        top += HEADING
        for number, properties in enumerate(charts):
            yield {
                "type": "metric",
                "x": WIDTH * (number % COLUMNS),
                "y": top + HEIGHT * (number // COLUMNS),
                "width": WIDTH,
                "height": HEIGHT,
                "properties": {"region": region, **properties},
            }
        top += HEIGHT * -(-len(charts) // COLUMNS)


def _metric(metric: MetricSpec, namespace: str) -> Mapping[str, Any]:
    """A chart of one metric, a line for each combination of dimension values."""
    stat = metric.statistic.value
    title = f"{metric.name} ({unit_of(metric)}, {stat})"
    if metric.source is Source.LOG or not metric.dimensions:
        lines: list[Any] = [[namespace, name, {"stat": stat}] for name in metric.names]
    else:
        # Metrics that do not exist yet are found once they do; none is listed by hand.
        schema = ",".join((f'"{namespace}"', *metric.dimensions))
        search = f"SEARCH('{{{schema}}} MetricName=\"{metric.name}\"', '{stat}', {PERIOD})"
        lines = [[{"expression": search, "id": "found", "label": ""}]]
    stacked = metric.statistic is Statistic.SUM and bool(metric.dimensions)
    return {"title": title, "period": PERIOD, "stacked": stacked, "metrics": lines}


def unit_of(metric: MetricSpec) -> str:
    """The unit in words."""
    return "USD" if metric.unit is Unit.DOLLARS else metric.unit.value.lower()


def _summary(namespace: str) -> Sequence[Mapping[str, Any]]:
    """Figures derived from several metrics: per 100 uploads, per 100 reads, per million images."""
    accepted = _line(namespace, metrics.UPLOADS, "accepted", outcome="accepted")
    rejected = _line(namespace, metrics.UPLOADS, "rejected", outcome="rejected")
    reads = [_line(namespace, metrics.CACHE_READS, one, outcome=one) for one in CACHED]
    return [
        _formula(
            "uploads rejected (%)",
            "100 * FILL(rejected, 0) / (FILL(accepted, 0) + FILL(rejected, 0))",
            [accepted, rejected],
        ),
        _formula(
            "cache hits (%)",
            "100 * (FILL(hit, 0) + FILL(stale, 0))"
            " / (FILL(hit, 0) + FILL(stale, 0) + FILL(miss, 0))",
            reads,
        ),
        _formula(
            "cost of a million images (USD)",
            "1000000 * each",
            [_line(namespace, metrics.COST_PER_IMAGE, "each")],
        ),
    ]


CACHED = ("hit", "stale", "miss")


def _line(namespace: str, metric: MetricSpec, key: str, **dimensions: str) -> list[Any]:
    """An invisible line of a chart, under the name ``key`` for a formula."""
    labels = [part for pair in metrics.labels_of(metric, dimensions) for part in pair]
    options = {"id": key, "stat": metric.statistic.value, "visible": False}
    return [namespace, metric.name, *labels, options]


def _formula(title: str, formula: str, lines: Sequence[list[Any]]) -> Mapping[str, Any]:
    drawn = [{"expression": formula, "label": title, "id": "result"}]
    return {"title": title, "period": PERIOD, "stacked": False, "metrics": [*lines, drawn]}


def _alarm(alarm: Alarm) -> Mapping[str, Any]:
    """A chart of what an alarm watches, with the line or the band it must not cross."""
    lines: list[Any] = []
    for key, metric in alarm.metrics.items():
        dimensions = [part for pair in metric.dimensions.items() for part in pair]
        options = {"id": key, "stat": metric.statistic, "visible": alarm.formula is None}
        lines.append([metric.namespace, metric.name, *dimensions, options])
    if alarm.formula is not None:
        lines.append([{"expression": alarm.formula, "label": alarm.name, "id": "result"}])
    drawn = {"title": alarm.name, "period": alarm.period, "metrics": lines}
    if isinstance(alarm.above, Band):
        lines.append([{"expression": alarm.band(), "label": "usual", "id": "band"}])
        return drawn
    return drawn | {"annotations": {"horizontal": [{"label": "alarm", "value": alarm.above}]}}
