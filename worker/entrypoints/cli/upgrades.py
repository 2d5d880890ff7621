"""``safelight upgrades``: encode what is viewed often at a higher effort."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.domain.errors import InputError
from worker.entrypoints.cli import output
from worker.entrypoints.cli.parameters import Number
from worker.entrypoints.cli.target import Target, data_option, find_target, json_option

if TYPE_CHECKING:
    from worker.services.popularity import Popularity
    from worker.services.upgrade import Upgrade, Upgraded


@click.command(name="upgrades")
@click.option(
    "--log",
    "logs",
    multiple=True,
    metavar="FILE|S3-PREFIX",
    help="Logs of the edges, JSON, gzip or not.  [default: the local stack's delivery server]",
)
@click.option(
    "--days",
    type=Number(0.01, 90),
    default=1.0,
    show_default=True,
    help="That the logs are of; older objects below a prefix are not read.",
)
@click.option(
    "--budget",
    type=Number(0, 10_000),
    default=1.0,
    show_default=True,
    help="Most US dollars that this run may cost, by worker/prices.toml.",
)
@click.option("--apply", is_flag=True, help="Do it. Without this option it is only shown.")
@data_option
@json_option
def command(
    *,
    logs: tuple[str, ...],
    days: float,
    budget: float,
    apply: bool,
    data: Path | None,
    as_json: bool,
) -> None:
    """Encode files that are viewed often at a higher effort, where it pays.

    Addresses stay. A file is tried once. The rule: views x bytes saved x price of a gigabyte must
    be more than encoding and one invalidation cost.
    """
    from worker.services.breaker import OptionalWork
    from worker.services.popularity import Popularity

    target = find_target(data)
    popularity = Popularity()
    _count(target, logs, days, popularity)
    service = target.app.upgrades
    if apply:
        target.app.breaker.require(OptionalWork.UPGRADE)
    found = service.plan(popularity, days=days, budget=budget)
    for one in found:
        done = service.apply(one) if apply else None
        if as_json:
            output.print_line(_json(one, done))
        else:
            click.echo(output.one_line(_text(one, done)))
    said = f"{popularity.lines:,} lines, {popularity.ignored:,} are no views of pictures"
    costs = sum(one.costs for one in found)
    said += f"; {len(found)} assets for ${costs:.4f}"
    click.echo(said if apply else f"{said}; nothing was done: --apply does it", err=True)


def _count(target: Target, logs: tuple[str, ...], days: float, popularity: Popularity) -> None:
    from worker.services.popularity import lines_of, read_logs

    for one in logs or _own_logs(target):
        if one.startswith("s3://"):
            bucket, _, prefix = one.removeprefix("s3://").partition("/")
            since = datetime.now(UTC) - timedelta(days=days)
            read_logs(target.app.store, bucket, prefix, since=since, popularity=popularity)
            continue
        try:
            popularity.add(lines_of(Path(one).read_bytes()))
        except OSError as error:
            text = f"{one}: {error.strerror or error}"
            raise InputError(text, code="input_unreadable") from error


def _own_logs(target: Target) -> list[str]:
    """Those of the local stack's delivery server."""
    from worker.local.access_log import NAME

    if target.local is None:
        raise InputError("name the logs of the distribution: --log s3://BUCKET/AWSLogs/")
    folder = target.local.data / "logs"
    return [str(path) for path in (folder / f"{NAME}.1", folder / NAME) if path.exists()]


def _json(one: Upgrade, done: Upgraded | None) -> dict[str, Any]:
    return {
        "asset": one.record.asset,
        "files": [
            {
                "key": file.rendition.key,
                "format": file.rendition.format.value,
                "bytes": file.rendition.bytes,
                "views": file.views,
                "saves_usd": round(file.saves, 6),
            }
            for file in one.files
        ],
        "costs_usd": round(one.costs, 6),
        "saves_usd": round(one.saves, 6),
        "replaced": None if done is None else done.files,
        "bytes_saved": None if done is None else done.bytes_saved,
        "reason": None if done is None else done.reason or None,
    }


def _text(one: Upgrade, done: Upgraded | None) -> str:
    files = ", ".join(
        f"{file.rendition.name}.{file.rendition.format.extension} ({file.views:,} views)"
        for file in one.files
    )
    text = f"{one.record.asset}  {files}  saves ${one.saves:.4f} for ${one.costs:.4f}"
    if done is None:
        return text
    if done.reason:
        return f"{text}: not encoded, {done.reason}"
    return f"{text}: {done.files} replaced, {done.bytes_saved:,} bytes less, {done.kept} kept"
