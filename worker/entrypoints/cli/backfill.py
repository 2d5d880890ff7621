"""``safelight backfill``."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.adapters.disk_errors import disk_call
from worker.atomic import atomic_write
from worker.domain.errors import InputError
from worker.entrypoints.cli import output
from worker.entrypoints.cli.parameters import Number
from worker.entrypoints.cli.target import DATA, data_option, find_target, json_option
from worker.services.process_files.wording import seconds_text, size_text

if TYPE_CHECKING:
    from worker.bootstrap import Application
    from worker.services.backfill import BackfillProgress, BackfillSource, Estimate

_EPILOG = """
For objects that were in the bucket before Safelight was notified of uploads. Uploads that Safelight
has already handled are skipped, whatever the recipe: a real event always takes precedence.

With --cache-tags: every file of an asset carries the cache tag a:ASSET, and one invalidation
removes all of them from the caches. The command rewrites objects that lack the tag, unchanged
otherwise. Rules of the bucket that expire old objects then count them as new.

After a stop, a kill or a failure the same command continues; an object that is sent twice is
ingested once. The state is in FILE (--state).
"""


@click.command(name="backfill", epilog=_EPILOG)
@click.argument("address", required=False, metavar="[s3://BUCKET/PREFIX]")
@click.option(
    "--inventory",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Objects of an S3 Inventory file (.csv or .csv.gz) instead of a listing.",
)
@click.option(
    "--columns",
    default="Bucket, Key, Size, LastModifiedDate, ETag",
    show_default=True,
    metavar="NAMES",
    help="Columns of the inventory: fileSchema in its manifest.json.",
)
@click.option(
    "--rate",
    type=Number(min=0.01, max=3000),
    default=50.0,
    show_default=True,
    metavar="N",
    help="Objects a second.",
)
@click.option(
    "--cache-tags",
    is_flag=True,
    help="Instead, add the cache tag of their asset to objects of the delivery bucket.",
)
@click.option("--dry-run", is_flag=True, help="Count the objects and estimate the cost.")
@click.option(
    "--state",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where the state is kept.  [default: a file in .safelight/backfill]",
)
@data_option
@json_option
def command(
    *,
    address: str | None,
    inventory: Path | None,
    columns: str,
    rate: float,
    cache_tags: bool,
    dry_run: bool,
    state: Path | None,
    data: Path | None,
    as_json: bool,
) -> int:
    """Ingest objects that are already in the intake bucket, at a set rate."""
    from worker import prices
    from worker.job_context import Stop
    from worker.services import backfill
    from worker.services.breaker import OptionalWork

    if (address is None) == (inventory is None):
        raise click.UsageError("give s3://BUCKET/PREFIX or --inventory FILE")
    app = find_target(data).app
    bucket = app.settings.delivery_bucket if cache_tags else app.settings.intake_bucket
    tags = backfill.CacheTagTask(store=app.store, bucket=bucket) if cache_tags else None
    source = _source(app, bucket, address, inventory, columns)
    path = state or _default_state(data, source.name)
    progress = load(path, source.name)
    if progress.mark and not as_json:
        click.echo(f"continuing after {progress.sent} objects ({path})", err=True)
    if dry_run:
        price, need = prices.load()
        if tags is not None:
            found = tags.estimate(source, after=progress.mark, price=price)
        else:
            found = backfill.estimate(
                source,
                bucket=bucket,
                after=progress.mark,
                price=price,
                need=replace(need, renditions=_renditions(app)),
            )
        _print_estimate(found, rate, as_json=as_json)
        return 0
    stop = Stop()
    with stop.on_signals():
        progress = backfill.run(
            source,
            task=tags
            or backfill.IngestTask(queue=app.queue, url=app.settings.queue_url, bucket=bucket),
            rate=rate,
            progress=progress,
            save=lambda progress: save(path, progress),
            stopped=lambda: stop.requested or app.breaker.paused() is not None,
            pause=stop.wait,
        )
    _print_progress(progress, "tagged" if cache_tags else "enqueued", as_json=as_json)
    if not progress.finished and not stop.requested:
        app.breaker.require(OptionalWork.BACKFILL)
    return 0 if progress.finished else output.INTERRUPTED


def _source(
    app: Application, wanted: str, address: str | None, inventory: Path | None, columns: str
) -> BackfillSource:
    from worker.services.backfill import Listing
    from worker.services.inventory import open_inventory

    if inventory is not None:
        return open_inventory(inventory, columns)
    assert address is not None
    scheme, _, rest = address.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise click.UsageError(f"{address!r} is not of the form s3://BUCKET/PREFIX")
    if bucket != wanted:
        if wanted == app.settings.delivery_bucket:
            raise InputError(f"{address}: only the delivery bucket, {wanted}, has cache tags")
        text = f"{address}: only the intake bucket, {wanted}, is ingested"
        raise InputError(f"{text}; copy the objects there")
    return Listing(store=app.store, bucket=bucket, prefix=prefix)


def _renditions(app: Application) -> int:
    """Most files that the recipe makes of an image at upload."""
    from worker import recipes

    specs = recipes.load(app.settings.recipe).renditions
    return sum(not one.first_view for spec in specs for one in spec.encodings)


# --- state ------------------------------------------------------------------------------------


def _default_state(data: Path | None, source: str) -> Path:
    digest = hashlib.sha256(source.encode(errors="surrogateescape")).hexdigest()[:12]
    return (data or DATA) / "backfill" / f"{digest}.json"


def load(path: Path, source: str) -> BackfillProgress:
    """Read the state of an earlier run; after a finished one it starts anew.

    Raises:
        InputError: the file is of another source, or is not a state.
    """
    from worker.services.backfill import BackfillProgress

    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return BackfillProgress(source=source)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}", code="input_unreadable") from error
    try:
        progress = BackfillProgress(**json.loads(text))
        known = progress.source
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{path} is not the state of a backfill", code="input_unreadable"
        ) from error
    if known != source:
        raise InputError(f"{path} is the state of {known}, not of {source}; choose another --state")
    return BackfillProgress(source=source) if progress.finished else progress


def save(path: Path, progress: BackfillProgress) -> None:
    """Replace the state atomically."""
    with disk_call(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, json.dumps(asdict(progress)) + "\n")


# --- words ------------------------------------------------------------------------------------


def _print_estimate(found: Estimate, rate: float, *, as_json: bool) -> None:
    seconds = found.objects / rate
    if as_json:
        output.print_json({**asdict(found), "total_usd": found.total_usd, "seconds": seconds})
        return
    rows = [
        ("objects", f"{found.objects:,}, {size_text(found.bytes)}"),
        ("skipped", f"{found.skipped:,}" if found.skipped else None),
        ("time", f"{seconds_text(seconds)} at {rate:g} a second"),
        ("requests", f"${found.requests_usd:,.2f}  (S3, SQS, EventBridge)"),
        ("compute", f"${found.compute_usd:,.2f}  (Lambda)"),
        ("catalog", f"${found.catalog_usd:,.2f}  (DynamoDB)"),
        ("total", f"${found.total_usd:,.2f}  without storage, list prices of us-east-1"),
    ]
    output.console().print(output.table("dry run: nothing is sent", rows))


def _print_progress(progress: BackfillProgress, done: str, *, as_json: bool) -> None:
    if as_json:
        output.print_json(asdict(progress))
        return
    skipped = f", {progress.skipped} skipped" if progress.skipped else ""
    line = f"{progress.sent} objects {done}, {size_text(progress.bytes)}{skipped}"
    click.echo(line)
    if not progress.finished:
        click.echo("stopped; run the same command again to continue", err=True)
