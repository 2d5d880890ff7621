"""``safelight assets``: look things up in the catalog, tag, remove, try heavy work again."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.entrypoints.cli import output
from worker.entrypoints.cli.reach import data_option, json_option, reach
from worker.errors import AssetMissing, Conflict
from worker.services.local_run.wording import size_text

if TYPE_CHECKING:
    from worker.ports import Catalog
    from worker.records import AssetRecord, JobRecord, LogEntry, Page, StoredMedia

_STATUSES = ("accepted", "rejected", "heavy", "review")


@click.group(name="assets")
def group() -> None:
    """List, show, tag and remove what the catalog knows."""


# --- list -------------------------------------------------------------------------------------


@group.command(name="list")
@click.option("--status", type=click.Choice(_STATUSES), help="Only those that stand so.")
@click.option("--owner", metavar="OWNER", help="Only those of one owner.")
@click.option("--tag", metavar="TAG", help="Only those with a tag.")
@click.option("--similar", metavar="ASSET", help="Only those that look like an asset.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most so many."
)
@click.option("--cursor", metavar="CURSOR", help="Go on where an earlier list ended.")
@data_option
@json_option
def list_command(
    *,
    status: str | None,
    owner: str | None,
    tag: str | None,
    similar: str | None,
    limit: int,
    cursor: str | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """List assets, newest first.

    One choice at a time; without any, assets of every status, without a cursor.
    """
    chosen = [name for name in (status, owner, tag, similar) if name is not None]
    if len(chosen) > 1:
        raise click.UsageError("one of --status, --owner, --tag and --similar at a time")
    if cursor is not None and (not chosen or similar is not None):
        raise click.UsageError("--cursor goes with --status, --owner or --tag")
    catalog = reach(data).app.catalog
    if similar is not None:
        _list_similar(catalog, similar, limit, as_json=as_json)
        return
    page = _page(catalog, status=status, owner=owner, tag=tag, limit=limit, cursor=cursor)
    if as_json:
        records = [record_json(record) for record in page.records]
        output.print_json({"assets": records, "cursor": page.cursor})
        return
    _print_records(page.records)
    if page.cursor is not None:
        click.echo(f"more: --cursor {page.cursor}")


def _page(
    catalog: Catalog,
    *,
    status: str | None,
    owner: str | None,
    tag: str | None,
    limit: int,
    cursor: str | None,
) -> Page:
    from worker.records import Page, Status

    if owner is not None:
        return catalog.by_owner(owner, limit=limit, cursor=cursor)
    if tag is not None:
        return catalog.by_tag(tag, limit=limit, cursor=cursor)
    if status is not None:
        return catalog.by_status(Status(status), limit=limit, cursor=cursor)
    found = [record for each in Status for record in catalog.by_status(each, limit=limit).records]
    found.sort(key=lambda record: (record.updated_at, record.asset), reverse=True)
    return Page(records=tuple(found[:limit]))


def _list_similar(catalog: Catalog, asset: str, limit: int, *, as_json: bool) -> None:
    record = _require(catalog, asset)
    alike = catalog.similar(record.metadata.measures.phash) if record.metadata else ()
    near = [one for one in alike if one.record.asset != asset][:limit]
    if as_json:
        output.print_json(
            {
                "assets": [{**record_json(one.record), "distance": one.distance} for one in near],
                "cursor": None,
            }
        )
    else:
        _print_records([one.record for one in near], [f"{one.distance} bits" for one in near])


def _print_records(records: Sequence[AssetRecord], notes: Iterable[str] = ()) -> None:
    from rich.table import Table
    from rich.text import Text

    if not records:
        click.echo("no assets")
        return
    grid = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("status", "asset", "picture", "renditions", "key", "what"):
        grid.add_column(name, overflow="fold", no_wrap=name == "asset")
    said = [*notes, *[""] * len(records)]
    for record, note in zip(records, said, strict=False):
        row = (
            record.status.value,
            record.asset,
            _picture(record),
            str(len(record.renditions)) if record.renditions else "",
            record.source.key,
            note or (record.verdict.code if record.verdict else ", ".join(sorted(record.tags))),
        )
        grid.add_row(*(Text(output.one_line(cell)) for cell in row))
    output.console().print(grid)


def _media(file: StoredMedia, bucket: str) -> str:
    shown = f"{file.width}x{file.height}, " if file.width else ""
    return f"{shown}{size_text(file.bytes)}, s3://{bucket}/{file.key}"


def _picture(record: AssetRecord) -> str:
    if record.film is not None:
        film = record.film
        return f"{film.codec} {film.width}x{film.height}, {film.duration_ms / 1000:.1f} s"
    if record.probe is None:
        return size_text(record.source.size)
    probe = record.probe
    return f"{probe.format.value} {probe.upright_width}x{probe.upright_height}"


# --- show -------------------------------------------------------------------------------------


@group.command(name="show")
@click.argument("asset")
@data_option
@json_option
def show_command(*, asset: str, data: Path | None, as_json: bool) -> None:
    """Show everything known about an asset: record, renditions, timeline, jobs."""
    reached = reach(data)
    catalog, settings = reached.app.catalog, reached.app.settings
    record = _require(catalog, asset)
    timeline, jobs = catalog.timeline(asset), catalog.jobs(asset)
    if as_json:
        output.print_json(
            {
                **record_json(record),
                "timeline": [asdict(line) for line in timeline],
                "jobs": [asdict(job) for job in jobs],
            }
        )
        return
    console = output.console()
    console.print(output.table(asset, _rows(record)))
    if record.renditions:
        rows = [
            (
                f"{each.name}.{each.format.extension}",
                f"{each.width}x{each.height}, {size_text(each.bytes)}, "
                f"s3://{settings.delivery_bucket}/{each.key}",
            )
            for each in record.renditions
        ]
        console.print(output.table("renditions", rows))
    if record.media:
        rows = [
            (f"{each.name}.{each.format.extension}", _media(each, settings.delivery_bucket))
            for each in record.media
        ]
        console.print(output.table("media", rows))
    console.print(output.table("timeline", [_line(line) for line in timeline]))
    if jobs:
        console.print(output.table("jobs", [_job(job) for job in jobs]))


def _rows(record: AssetRecord) -> list[tuple[str, object]]:
    verdict, metadata = record.verdict, record.metadata
    return [
        ("status", record.status.value),
        ("reason", f"{verdict.code}: {verdict.message}" if verdict else None),
        ("source", f"s3://{record.source.bucket}/{record.source.key}"),
        ("size", size_text(record.source.size)),
        ("picture", _picture(record) if record.probe or record.film else None),
        ("warnings", ", ".join(record.film.warnings) if record.film else None),
        ("title", metadata.tags.title if metadata else None),
        ("taken", metadata.tags.taken_at if metadata else None),
        ("dominant colour", metadata.measures.dominant if metadata else None),
        ("sha256", metadata.sha256 if metadata else None),
        ("recipe", record.recipe),
        ("version", record.version),
        ("copied from", record.copied_from),
        ("dropped", ", ".join(f"{one.name}.{one.format}" for one in record.dropped)),
        ("owner", record.owner),
        ("tags", ", ".join(sorted(record.tags))),
        ("attributes", ", ".join(f"{name}={text}" for name, text in record.attributes.items())),
        ("created", record.created_at),
        ("updated", record.updated_at),
    ]


def _line(line: LogEntry) -> tuple[str, object]:
    detail = ", ".join(f"{name} {text}" for name, text in line.detail.items())
    return line.time, f"{line.kind}  {detail}"


def _job(job: JobRecord) -> tuple[str, object]:
    return job.created_at, f"{job.kind} {job.state} {job.id}"


# --- tag and rm -------------------------------------------------------------------------------


@group.command(name="tag")
@click.argument("asset")
@click.argument("tags", nargs=-1, required=True, metavar="TAG...")
@click.option("--remove", is_flag=True, help="Take the tags away instead.")
@data_option
@json_option
def tag_command(
    *, asset: str, tags: tuple[str, ...], remove: bool, data: Path | None, as_json: bool
) -> None:
    """Give tags to an asset, or take them away. Repeating it changes nothing."""
    catalog = reach(data).app.catalog
    record = catalog.update(
        asset, add_tags=() if remove else tags, remove_tags=tags if remove else ()
    )
    if as_json:
        output.print_json(record_json(record))
    else:
        click.echo(output.one_line(f"{asset}  {', '.join(sorted(record.tags)) or 'no tags'}"))


@group.command(name="rm")
@click.argument("assets", nargs=-1, required=True, metavar="ASSET...")
@data_option
@json_option
def rm_command(*, assets: tuple[str, ...], data: Path | None, as_json: bool) -> None:
    """Remove assets: renditions, original and record.

    Of the original, earlier versions stay behind a delete marker until the bucket's lifecycle
    rule ends them.
    """
    from worker.services.erase import erase

    app = reach(data).app
    removed = []
    for asset in assets:
        record = erase(asset, catalog=app.catalog, store=app.store, settings=app.settings)
        removed.append(asset)
        if not as_json:
            count = len(record.renditions)
            click.echo(output.one_line(f"removed {asset}, {count} renditions, {record.source.key}"))
    if as_json:
        output.print_json({"removed": removed})


# --- retry ------------------------------------------------------------------------------------


@group.command(name="retry")
@click.argument("asset")
@data_option
@json_option
def retry_command(*, asset: str, data: Path | None, as_json: bool) -> None:
    """Start the heavy work on an asset again, after jobs of it failed.

    What is done is not done again.
    """
    app = reach(data).app
    record = _require(app.catalog, asset)
    # Any number that was not used before: a run's name starts one run only.
    run = app.heavy.start(asset, record.version, attempt=int(time.time()))
    if run is None:
        raise Conflict(f"asset {asset} is {record.status.value}: it waits for no heavy work")
    if as_json:
        output.print_json({"asset": asset, "version": record.version, "run": run})
    else:
        click.echo(output.one_line(f"started {run}"))


# --- records ----------------------------------------------------------------------------------


def record_json(record: AssetRecord) -> dict[str, Any]:
    """Return a record as JSON-ready values: every field, whether it says something or not."""
    value = asdict(record)
    value["tags"] = sorted(record.tags)
    value["attributes"] = dict(record.attributes)
    return value


def _require(catalog: Catalog, asset: str) -> AssetRecord:
    record = catalog.get(asset)
    if record is None:
        raise AssetMissing(f"there is no asset {asset}")
    return record
