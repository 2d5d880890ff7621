"""Reads the local stack's metrics from the logs of its processes and jobs.

On AWS CloudWatch reads the same lines from the log groups. A line that is cut off, or no line of
metrics, is skipped: a log may end anywhere.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.domain.metrics import METRICS, MetricSpec, Statistic, Unit
from worker.local.address import JOBS

_MARK = '"_aws"'
_SPECS: Mapping[str, MetricSpec] = {one.name: one for one in METRICS}


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricValue:
    """One value as it was written."""

    metric: MetricSpec
    dimensions: tuple[tuple[str, str], ...]
    time: float
    """Seconds since 1970."""
    value: float
    """In the unit of the metric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSummary:
    """The values of a metric under the same dimensions."""

    metric: MetricSpec
    dimensions: tuple[tuple[str, str], ...]
    values: tuple[float, ...]
    """Ascending."""

    @property
    def figure(self) -> float:
        """The metric's own statistic of them."""
        return statistic(self.metric.statistic, self.values)


def statistic(kind: Statistic, values: tuple[float, ...]) -> float:
    """A statistic of at least one value, ascending. A percentile is the nearest rank."""
    match kind:
        case Statistic.SUM:
            return math.fsum(values)
        case Statistic.AVERAGE:
            return math.fsum(values) / len(values)
        case Statistic.MAXIMUM:
            return values[-1]
        case Statistic.P90:
            return values[math.ceil(0.9 * len(values)) - 1]


def logs(data: Path) -> tuple[Path, ...]:
    """The logs of a local stack's processes and jobs."""
    return (*sorted((data / "logs").glob("*.log")), *sorted((data / JOBS / "logs").rglob("*.log")))


def read(paths: Iterable[Path], *, since: float = 0.0) -> Iterator[MetricValue]:
    """Every value in some logs.

    Args:
        paths: of logs; a log that has been deleted meanwhile is skipped. since: seconds since 1970;
            lines written before are left out.
    """
    for path in paths:
        try:
            with path.open(encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    if _MARK in line:
                        yield from (one for one in _values(line) if one.time >= since)
        except OSError:
            continue


def summarise(values: Iterable[MetricValue]) -> tuple[MetricSummary, ...]:
    """One summary for each metric and its dimensions, in the order of the list."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], list[float]] = {}
    for one in values:
        found.setdefault((one.metric.name, one.dimensions), []).append(one.value)
    return tuple(
        MetricSummary(metric=_SPECS[name], dimensions=dimensions, values=tuple(sorted(numbers)))
        for (name, dimensions), numbers in sorted(found.items())
    )


def plain(one: MetricSummary) -> dict[str, object]:
    """A summary as JSON-ready values."""
    return {
        "metric": one.metric.name,
        "dimensions": dict(one.dimensions),
        "unit": one.metric.unit.value,
        "statistic": one.metric.statistic.value,
        "value": one.figure,
        "values": len(one.values),
    }


def figure_text(one: MetricSummary) -> str:
    """The figure of a summary with its unit, for people."""
    match one.metric.unit:
        case Unit.SECONDS:
            return f"{one.figure:.3f} s"
        case Unit.DOLLARS:
            return f"${one.figure:.9f}"
        case Unit.BYTES:
            return f"{one.figure:,.0f} B"
        case Unit.COUNT:
            return f"{one.figure:,.0f}"


def _values(line: str) -> Iterator[MetricValue]:
    try:
        said: Any = json.loads(line)
        about = said["_aws"]
        time = float(about["Timestamp"]) / 1000
        for directive in about["CloudWatchMetrics"]:
            for names in directive["Dimensions"]:
                dimensions = tuple((str(name), str(said[name])) for name in names)
                for one in directive["Metrics"]:
                    yield from _of(said, str(one["Name"]), dimensions, time)
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return


def _of(
    said: Mapping[str, Any], name: str, dimensions: tuple[tuple[str, str], ...], time: float
) -> Iterator[MetricValue]:
    spec, found = _SPECS.get(name), said[name]
    if spec is None:  # of an older Safelight
        return
    for value in found if isinstance(found, list) else [found]:
        number = float(value)
        if math.isfinite(number):
            yield MetricValue(metric=spec, dimensions=dimensions, time=time, value=number)
