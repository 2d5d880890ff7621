"""docs/metrics.md has each metric of the list, written from the list."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker import prices
from worker.domain.metrics import METRICS, MetricGroup, MetricSpec, Source, Unit

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
TABLES = re.compile(r"(?<=<!-- metrics -->\n).*?(?=<!-- end -->)", re.DOTALL)
MANY = 17
"""Values of a dimension that a cell names; of more it has the number."""


def written() -> str:
    """The tables, a group after the other, and what all of it costs."""
    parts = []
    for group in MetricGroup:
        mine = [one for one in METRICS if one.group is group]
        rows = "\n".join(row(one) for one in mine)
        parts.append(
            f"### {group.value}\n\n| Metric | Unit | Statistic | Dimensions | Counted by | Says |\n"
            f"| --- | --- | --- | --- | --- | --- |\n{rows}\n"
        )
    return "\n".join(["", *parts, cost()]) + "\n"


def row(metric: MetricSpec) -> str:
    """A line of a table."""
    unit = "USD" if metric.unit is Unit.DOLLARS else metric.unit.value
    names = f"`{metric.name}`"
    if metric.source is Source.LOG:
        names = f"`{metric.names[0]}` ..." if metric.dimensions else names
    by = "log" if metric.source is Source.LOG else ", ".join(metric.services)
    cells = (names, unit, metric.statistic.value, "; ".join(dimensions(metric)), by, metric.says)
    return f"| {' | '.join(cells)} |"


def dimensions(metric: MetricSpec) -> Iterator[str]:
    """Each dimension with its values, or their number."""
    for name, values in metric.dimensions.items():
        said = ", ".join(values) if len(values) <= MANY else f"{len(values)} values"
        yield f"`{name}`: {said}"


def cost() -> str:
    """What CloudWatch bills at most."""
    price, _ = prices.load()
    most = sum(one.distinct for one in METRICS)
    usd = most * price.metric_month
    return (
        f"These are at most {most} metrics for CloudWatch, {price.metric_month:.2f} USD a month"
        f" each: {usd:.2f} USD if all\nare counted in every hour of a month. A metric is billed"
        " for the hours in which it has\nvalues: eleven photos and their delivery, on a laptop,"
        " count 21 of them."
    )


def test_the_page_has_the_list(pytestconfig: pytest.Config) -> None:
    """With ``--write-golden`` it is written; else it must be what the list says now."""
    text = PAGE.read_text("utf-8")
    now = TABLES.sub(lambda _: written(), text)
    if pytestconfig.getoption("write_golden"):
        PAGE.write_text(now, "utf-8")

    assert PAGE.read_text("utf-8") == now
    assert TABLES.search(text)
