"""``safelight cost prices``: what is known of prices, how sure it is, and AWS's own list."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

import click

from worker import prices
from worker.entrypoints.cli import output


@click.group(name="prices")
def group() -> None:
    """Show the prices that bills are made of."""


@group.command(name="show")
@click.option("--region", default=prices.HOME, show_default=True, metavar="REGION")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(*, region: str, as_json: bool) -> None:
    """Print each price with its source, the day it was noted, and how sure it is."""
    found = prices.figures(region)
    if as_json:
        output.print_json([asdict(one) for one in found])
        return
    rows = [
        [
            one.name,
            f"{one.value:.10f}".rstrip("0").rstrip(".") if one.usd else f"{one.value:g}",
            one.noted,
            ("price" if one.seen else "from memory") if one.usd else "assumption",
            one.of,
            one.seen or one.source,
        ]
        for one in found
    ]
    output.print_rows(["name", "value", "noted", "kind"], ["what", "source"], rows)
    days, oldest = prices.age(datetime.now(UTC).date(), region)
    click.echo(
        f"regions: {', '.join(prices.regions())}; the oldest price is {days} days old: {oldest}"
    )
