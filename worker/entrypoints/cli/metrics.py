"""``safelight metrics``: what the local stack has counted."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.domain.errors import InputError
from worker.domain.metrics import METRICS
from worker.entrypoints.cli import output
from worker.entrypoints.cli.parameters import Number
from worker.entrypoints.cli.target import DATA, data_option, json_option

if TYPE_CHECKING:
    from worker.local.metrics import MetricSummary


@click.command(name="metrics")
@click.option(
    "--minutes",
    type=Number(0.01, 525_600),
    help="Only of the last so many minutes.  [default: all that the logs have]",
)
@data_option
@json_option
def command(*, minutes: float | None, data: Path | None, as_json: bool) -> None:
    """Show what the local stack has counted, from the logs of its processes and jobs.

    The names, dimensions and statistics are those that CloudWatch has on AWS, where the dashboard
    shows them: docs/metrics.md lists all. The stack need not run.
    """
    from worker.local import metrics as local

    folder = data or DATA
    if not (folder / "logs").is_dir():
        raise InputError(f"{folder}: no local stack has run there", code="input_missing")
    since = 0.0 if minutes is None else time.time() - 60 * minutes
    found = local.summarise(local.read(local.logs(folder), since=since))
    if as_json:
        output.print_json([local.plain(one) for one in found])
        return
    if found:
        rows = [_row(one, local.figure_text(one)) for one in found]
        output.print_rows(("METRIC", "STATISTIC", "VALUE", "VALUES"), ("DIMENSIONS",), rows)
    names = {one.metric.name for one in found}
    click.echo(f"{len(names)} of {len(METRICS)} metrics were counted", err=True)


def _row(one: MetricSummary, figure: str) -> tuple[str, ...]:
    said = ", ".join(f"{name}={value}" for name, value in one.dimensions)
    statistic = one.metric.statistic.value
    return (one.metric.name, statistic, figure, str(len(one.values)), said)
