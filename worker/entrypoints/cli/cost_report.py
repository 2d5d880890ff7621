"""``safelight cost report`` and ``safelight cost resume``: what the ledger has counted."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.domain.errors import InputError
from worker.domain.ledger import LedgerAccount, Trip, dollars
from worker.entrypoints.cli import output
from worker.entrypoints.cli.target import data_option, find_target, json_option

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from worker.services.cost import CostParts
    from worker.services.cost_report import AssetCost, CostReport, CostReports, NameCost

NOBODY = "(no owner)"
PARTS = ("compute", "requests", "catalog", "jobs", "questions")


@click.command(name="report")
@click.option("--month", default="", metavar="YYYY-MM", help="Of UTC.  [default: the current one]")
@click.option(
    "--by",
    type=click.Choice(["day", "owner", "recipe"]),
    default="day",
    show_default=True,
    help="What the lines are of.",
)
@click.option("--owner", metavar="NAME", help="One owner alone; an empty text is nobody.")
@click.option("--asset", metavar="ID", help="The current version of an asset, from its record.")
@click.option(
    "--limit",
    type=click.IntRange(1, 1_000_000),
    default=20,
    show_default=True,
    metavar="N",
    help="At most N owners or recipes, the dearest first.",
)
@data_option
@json_option
def report(
    *,
    month: str,
    by: str,
    owner: str | None,
    asset: str | None,
    limit: int,
    data: Path | None,
    as_json: bool,
) -> None:
    """Print what the work of a month has cost, with a forecast of the current one.

    The ledger counts uploads, files, jobs and questions to Rekognition from what the catalog
    records; worker/prices.toml prices them. The bill of AWS has more: storage, delivery, logs.
    """
    if asset is not None and (month or owner is not None or by != "day"):
        raise click.UsageError("--asset stands alone")
    if owner is not None and by != "day":
        raise click.UsageError("give --owner or --by")
    target, now = find_target(data), datetime.now(UTC)
    reports = _reports(target.app)
    if asset is not None:
        _print_asset(reports.asset(asset), as_json=as_json)
        return
    found = reports.month(month, now=now)
    names: Sequence[NameCost] | None = None
    if owner is not None:
        names = reports.names(month, LedgerAccount.OWNER, now=now, name=owner)
    elif by != "day":
        names = reports.names(month, LedgerAccount(by), now=now)
    limit_usd = target.app.settings.daily_limit
    if as_json:
        output.print_json(_json(found, names if names is None else names[:limit], limit_usd))
        return
    _print_month(found, names, limit, limit_usd, today=now.date().isoformat())


@click.command(name="resume")
@data_option
@json_option
def resume(*, data: Path | None, as_json: bool) -> None:
    """Let paused work go on for the rest of the day, although the daily limit is spent."""
    app, now = find_target(data).app, datetime.now(UTC)
    assert app.ledger is not None
    today, time = now.strftime("%Y-%m-%d"), now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    found = app.ledger.resume(today, time=time)
    if found is None:
        raise InputError(f"nothing pauses: no limit was passed on {today}", code="input_day")
    if as_json:
        output.print_json(asdict(found))
        return
    if found.resumed != time:  # of several people the first is written down
        since = output.one_line(found.resumed[11:16])
        click.echo(f"nothing to do: the limit of today is lifted since {since} UTC")
        return
    click.echo("paused work goes on within a minute, until midnight UTC without a limit")


def _reports(app: Any) -> CostReports:
    from worker import prices
    from worker.services.cost_report import CostReports

    price, need = prices.load()
    return CostReports(ledger=app.ledger, catalog=app.catalog, prices=price, need=need)


# --- words ------------------------------------------------------------------------------------


def _json(found: CostReport, names: Sequence[NameCost] | None, limit: float) -> Mapping[str, Any]:
    told: dict[str, Any] = asdict(found)
    told["parts"]["total"] = found.parts.total
    told["daily_limit"] = limit or None
    if names is not None:
        told["names"] = [asdict(one) for one in names]
    return told


def _print_month(
    found: CostReport,
    names: Sequence[NameCost] | None,
    limit: int,
    limit_usd: float,
    *,
    today: str,
) -> None:
    if not found.counted_to:
        click.echo(f"{found.month}: nothing is recorded")
    else:
        counted = f"counted up to {found.counted_to[:16].replace('T', ' ')} UTC"
        click.echo(f"{found.month}: {dollars(found.usd)}, {counted}")
        click.echo(f"  {_parts(found.parts)}")
    if names is not None:
        _print_names(names, limit)
    elif found.counted_to:
        _print_days(found)
    current = found.days[-1].day == today
    ahead = found.forecast
    if ahead is not None:
        click.echo(
            f"at the end of the month: {dollars(ahead.expected)}, four times of five from"
            f" {dollars(ahead.low)} to {dollars(ahead.high)} (by {ahead.days} days)"
        )
    elif current:
        click.echo("no forecast: it takes 4 complete days")
    if limit_usd and current:
        click.echo(_limit(found.trip, limit_usd, today))
    from worker.services.cost import LEFT_OUT

    click.echo(
        f"storage of what was added: {dollars(found.parts.storage_month)} a month. {LEFT_OUT}"
    )


def _print_days(found: CostReport) -> None:
    """Those with a record; how many have none."""
    days = [one for one in found.days if one.recorded]
    output.print_rows(
        ("day", "usd", "uploads", "files", "vCPU hours", "questions"),
        (),
        [
            (
                one.day,
                dollars(one.usd),
                f"{one.work.objects:,}",
                f"{one.work.files:,}",
                f"{one.work.job_hours:,.2f}",
                f"{one.work.questions:,}",
            )
            for one in days
        ],
    )
    if len(days) < len(found.days):
        click.echo(f"nothing is recorded of {len(found.days) - len(days)} other days")


def _print_names(names: Sequence[NameCost], limit: int) -> None:
    output.print_rows(
        ("usd", "share", "uploads", "files", "vCPU hours", "questions"),
        ("name",),
        [
            (
                dollars(one.usd),
                f"{100 * one.share:.1f} %",
                f"{one.work.objects:,}",
                f"{one.work.files:,}",
                f"{one.work.job_hours:,.2f}",
                f"{one.work.questions:,}",
                one.name or NOBODY,
            )
            for one in names[:limit]
        ],
    )
    if len(names) > limit:
        rest = sum(one.usd for one in names[limit:])
        click.echo(f"and {len(names) - limit:,} more: {dollars(rest)}")


def _limit(trip: Trip | None, limit: float, today: str) -> str:
    if trip is None or trip.day != today:
        return f"daily limit: {dollars(limit)}, not passed today"
    if trip.resumed:
        return f"daily limit: {dollars(trip.limit)}, passed and lifted for today"
    from worker.services.breaker import wording

    return f"optional work pauses: {wording(trip)}"


def _print_asset(found: AssetCost, *, as_json: bool) -> None:
    if as_json:
        told = asdict(found)
        told["parts"]["total"] = found.parts.total
        output.print_json(told)
        return
    who = f"{found.owner or NOBODY}, recipe {found.recipe}, version {found.version}"
    click.echo(output.one_line(f"{found.asset}: {dollars(found.parts.total)} ({who})"))
    click.echo(f"  {_parts(found.parts)}")
    work = found.work
    click.echo(
        f"  {work.files} files, {work.stored:,} bytes stored, {work.job_hours:.3f} vCPU hours,"
        f" {work.questions} questions; {dollars(found.parts.storage_month)} a month of storage"
    )


def _parts(parts: CostParts) -> str:
    return ", ".join(f"{name} {dollars(getattr(parts, name))}" for name in PARTS)
