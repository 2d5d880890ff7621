"""The dashboard's content as data: what was done, and a chart of everything that has an alarm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pulumi_aws as aws

from stack.alarms import Alarm, Band
from stack.scope import Scope

NAMESPACE = "Safelight"
"""Of the figures that functions and jobs count themselves (``worker.entrypoints``,
``batch.reporting``), for all stacks of an account and region together."""
OUTCOMES = ("Accepted", "Rejected", "Processing", "Review", "Duplicate", "Failed")
"""Of an upload, or of a try."""
COLUMNS, WIDTH, HEIGHT = 3, 8, 6


def body(alarms: Sequence[Alarm], region: str) -> Mapping[str, Any]:
    """All widgets, three in a row."""
    widgets = [_uploads(), _jobs(), *(_alarm(alarm) for alarm in alarms)]
    return {"widgets": list(_placed(widgets, region))}


def dashboard_name(scope: Scope) -> str:
    """The name of a stack's dashboard."""
    return scope.name("overview")


def dashboard_address(scope: Scope) -> str:
    """Its URL in the AWS console."""
    region = aws.get_region().region
    console = f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}"
    return f"{console}#dashboards/dashboard/{dashboard_name(scope)}"


def _placed(widgets: Sequence[Mapping[str, Any]], region: str) -> Iterator[Mapping[str, Any]]:
    for number, properties in enumerate(widgets):
        yield {
            "type": "metric",
            "x": WIDTH * (number % COLUMNS),
            "y": HEIGHT * (number // COLUMNS),
            "width": WIDTH,
            "height": HEIGHT,
            "properties": {"region": region, **properties},
        }


def _uploads() -> Mapping[str, Any]:
    lines = [[NAMESPACE, outcome, "service", "ingest", {"stat": "Sum"}] for outcome in OUTCOMES]
    return {"title": "uploads by outcome", "period": 300, "stacked": True, "metrics": lines}


def _jobs() -> Mapping[str, Any]:
    search = f"SEARCH('{{{NAMESPACE},service,kind,outcome}} MetricName=\"Jobs\"', 'Sum', 300)"
    lines = [[{"expression": search, "id": "jobs"}]]
    return {"title": "jobs by kind and outcome", "period": 300, "stacked": True, "metrics": lines}


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
