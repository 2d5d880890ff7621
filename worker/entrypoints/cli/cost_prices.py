"""``safelight cost prices``: what is known of prices, how sure it is, and AWS's own list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime

import click

from worker import prices
from worker.domain.errors import InputError, StorageFull
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


@group.command(name="update")
@click.option(
    "--region",
    default=prices.HOME,
    show_default=True,
    metavar="REGION",
    help="Also one that there are no prices of yet.",
)
@click.option(
    "--from",
    "source",
    default="",
    metavar="URL|FOLDER",
    help="Where the list is: an address, or a folder with files OFFER.json.  [default: AWS's own]",
)
@click.option("--write", is_flag=True, help="Write what is found into worker/prices.toml.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def update(*, region: str, source: str, write: bool, as_json: bool) -> None:
    """Compare the prices with AWS's price list, which is public.

    Without --write nothing is changed. Prices without a usage type are compared by hand.
    """
    from worker.adapters.price_list import ADDRESS, PriceList
    from worker.services.price_update import compare, rewritten

    listed = PriceList(source or ADDRESS, region)
    known = prices.figures(region) if region in prices.regions() else ()
    found = compare(known, prices.figures(), listed.offer)
    if write:
        _write(lambda text: rewritten(text, region, found.changes, datetime.now(UTC).date()))
    if as_json:
        output.print_json(asdict(found))
        return
    changed = [one for one in found.changes if one.changed]
    for one in changed:
        was = "not known" if one.old is None else f"{one.old:.10g}"
        steps = ", ".join(f"{usd:.10g} from {low:,.0f} on" for low, usd in one.steps[1:])
        click.echo(f"{one.name}: {was} -> {one.new:.10g}{f', {steps}' if steps else ''}")
    did = "written" if write else "found"
    click.echo(f"{len(found.changes)} prices of {region} compared, {len(changed)} changes {did}")
    if found.missing:
        click.echo(f"not in the list: {', '.join(found.missing)}")
    click.echo(f"to be compared by hand: {', '.join(found.by_hand)}")


def _write(change: Callable[[str], str]) -> None:
    from worker.atomic import atomic_write, disk_full

    path = prices.FILE
    try:
        text = path.read_text("utf-8")
        atomic_write(path, change(text).encode())
    except OSError as error:
        if disk_full(error):
            raise StorageFull(f"no space left to write {path}") from error
        raise InputError(
            f"cannot write {path}: {error.strerror}", code="output_unwritable"
        ) from error
