"""``safelight assets``: look things up in the catalog, tag, remove, try heavy work again."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.domain.errors import AssetMissing, Conflict
from worker.entrypoints.cli import output
from worker.entrypoints.cli.asset_list import list_command, picture_text, record_json
from worker.entrypoints.cli.reach import data_option, json_option, reach
from worker.services.process_files.wording import size_text

if TYPE_CHECKING:
    from worker.domain.asset import AssetRecord, JobRecord, LogEntry, StoredMedia
    from worker.ports import Catalog
    from worker.services.erase import Erased


@click.group(name="assets")
def group() -> None:
    """List, show, tag and remove what the catalog knows."""


group.add_command(list_command)

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
                f"{f'the same as {each.same_as}, ' if each.same_as else ''}"
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


def _media(file: StoredMedia, bucket: str) -> str:
    shown = f"{file.width}x{file.height}, " if file.width else ""
    return f"{shown}{size_text(file.bytes)}, s3://{bucket}/{file.key}"


def _rows(record: AssetRecord) -> list[tuple[str, object]]:
    verdict, metadata = record.verdict, record.metadata
    return [
        ("status", record.status.value),
        ("reason", f"{verdict.code}: {verdict.message}" if verdict else None),
        ("source", f"s3://{record.source.bucket}/{record.source.key}"),
        ("size", size_text(record.source.size)),
        ("picture", picture_text(record) if record.probe or record.film else None),
        ("warnings", ", ".join(record.warnings)),
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
    """Remove assets for good, with everything that ever belonged to them.

    Renditions of all versions, results of jobs, every version of the original, rejected originals
    in quarantine, tags, timeline and record. Jobs that are at work are stopped first. Ended
    half-way, the same command completes the work.
    """
    reached = reach(data)

    def say(text: str) -> None:
        click.echo(output.one_line(text), err=True)

    eraser = reached.app.eraser(reached.jobs, say)
    for asset in assets:
        erased = eraser.erase(asset)
        if as_json:
            output.print_line(
                {
                    "asset": asset,
                    "key": erased.record.source.key,
                    "jobs_stopped": erased.jobs,
                    "files": erased.files,
                    "originals": erased.originals,
                    "quarantined": erased.quarantined,
                }
            )
        else:
            click.echo(output.one_line(_removed_text(erased)))


def _removed_text(erased: Erased) -> str:
    parts = [
        (erased.jobs, "job stopped", "jobs stopped"),
        (erased.files, "file made of it", "files made of it"),
        (erased.originals, "version of the original", "versions of the original"),
        (erased.quarantined, "original in quarantine", "originals in quarantine"),
    ]
    said = [f"{count:,} {one if count == 1 else many}" for count, one, many in parts if count]
    record = erased.record
    return f"removed {record.asset}  {record.source.key}: {', '.join(said) or 'its record'}"


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


def _require(catalog: Catalog, asset: str) -> AssetRecord:
    record = catalog.get(asset)
    if record is None:
        raise AssetMissing(f"there is no asset {asset}; assets list finds ids, --key by a key")
    return record
