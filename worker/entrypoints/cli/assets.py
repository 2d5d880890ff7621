"""``safelight assets``: list, show, tag, remove, and start heavy work again."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.domain import trace
from worker.domain.asset import Status
from worker.domain.errors import AssetMissing, Conflict
from worker.entrypoints.cli import output
from worker.entrypoints.cli.parameters import Number
from worker.entrypoints.cli.target import (
    Target,
    data_option,
    find_target,
    json_option,
    page_options,
    print_cursor,
)
from worker.services import find_assets
from worker.services.process_files.wording import age_text, size_text
from worker.services.put_files import jobs_of

if TYPE_CHECKING:
    from worker.domain.asset import AssetRecord, JobRecord, LogEntry, StoredMedia
    from worker.ports import Catalog
    from worker.services.erase import Erased


@click.group(name="assets")
def group() -> None:
    """List, show, tag and remove assets of the catalog."""


# --- show -------------------------------------------------------------------------------------


@group.command(name="show")
@click.argument("asset")
@data_option
@json_option
def show_command(*, asset: str, data: Path | None, as_json: bool) -> None:
    """Show an asset: record, renditions, timeline, jobs."""
    target = find_target(data)
    catalog, settings = target.app.catalog, target.app.settings
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
        ("labels", ", ".join(f"{one.name} {one.confidence:.0f} %" for one in record.labels)),
        ("attributes", ", ".join(f"{name}={text}" for name, text in record.attributes.items())),
        ("created", record.created_at),
        ("updated", record.updated_at),
    ]


def _line(line: LogEntry) -> tuple[str, object]:
    said = {name: text for name, text in line.detail.items() if name != trace.NAME}
    detail = ", ".join(f"{name} {text}" for name, text in said.items())
    return line.time, f"{line.kind}  {detail}"


def _job(job: JobRecord) -> tuple[str, object]:
    return job.created_at, f"{job.kind} {job.state} {job.id}"


# --- tag and rm -------------------------------------------------------------------------------


@group.command(name="tag")
@click.argument("asset")
@click.argument("tags", nargs=-1, required=True, metavar="TAG...")
@click.option("--remove", is_flag=True, help="Remove the tags instead.")
@data_option
@json_option
def tag_command(
    *, asset: str, tags: tuple[str, ...], remove: bool, data: Path | None, as_json: bool
) -> None:
    """Add tags to an asset, or remove them. Repeating it changes nothing."""
    catalog = find_target(data).app.catalog
    record = catalog.update(
        asset, add_tags=() if remove else tags, remove_tags=tags if remove else ()
    )
    if as_json:
        output.print_json(record_json(record))
    else:
        click.echo(output.one_line(f"{asset}  {', '.join(sorted(record.tags)) or 'no tags'}"))


@group.command(name="rm")
@click.argument("assets", nargs=-1, metavar="[ASSET...]")
@click.option("--owner", metavar="NAME", help="All assets of this owner, and the name itself.")
@click.option("--yes", is_flag=True, help="With --owner: do not ask.")
@data_option
@json_option
def rm_command(
    *, assets: tuple[str, ...], owner: str | None, yes: bool, data: Path | None, as_json: bool
) -> None:
    """Remove assets for good, with everything that ever belonged to them.

    That is renditions of all versions, results of jobs, every version of the original, rejected
    originals in quarantine, tags, timeline and record. Running jobs are stopped first. If the
    command is interrupted, run it again to complete the removal.

    The id of an asset that was uploaded through the API is never used again, and its addresses are
    410. --owner leaves not even that: it removes all assets of an owner and takes the name out of
    the ledger, whose sums stay. The ledger counts uploads within a minute or so: of an owner who
    has just uploaded, run it again then. It asks for the name again; where nobody can be asked it
    needs --yes.
    """
    if bool(assets) == bool(owner):
        raise click.UsageError("give ASSET... or --owner NAME")
    if owner and not yes:
        _ask(owner)
    target = find_target(data)

    def say(text: str) -> None:
        click.echo(output.one_line(text), err=True)

    eraser = target.app.eraser(target.jobs, say)
    found = eraser.erase_owner(owner) if owner else (eraser.erase(asset) for asset in assets)
    for erased in found:
        if as_json:
            output.print_line(
                {
                    "asset": erased.record.asset,
                    "key": erased.record.source.key,
                    "jobs_stopped": erased.jobs,
                    "files": erased.files,
                    "originals": erased.originals,
                    "quarantined": erased.quarantined,
                }
            )
        else:
            click.echo(output.one_line(_removed_text(erased)))
    if owner:
        _forget(target, owner, as_json=as_json)


def _ask(owner: str) -> None:
    """Go on only if a person types the name, as for the deletion of a stack (`make destroy`)."""
    if not sys.stdin.isatty():
        raise click.UsageError("--owner removes everything of an owner: nobody is asked, add --yes")
    shown = output.one_line(owner)
    click.echo(f"All assets of {shown} are removed for good.", err=True)
    if click.prompt("Type the name of the owner to go on", err=True) != owner:
        raise click.UsageError(f"that is not {shown}: nothing was removed")


def _forget(target: Target, owner: str, *, as_json: bool) -> None:
    from worker.services.erase import forget_owner

    assert target.app.ledger is not None
    lines = forget_owner(target.app.ledger, owner, today=datetime.now(UTC).date())
    if as_json:
        output.print_line({"owner": owner, "ledger_lines": lines})
    else:
        many = "1 line" if lines == 1 else f"{lines:,} lines"
        click.echo(output.one_line(f"removed {owner} from {many} of the ledger"))


def _removed_text(erased: Erased) -> str:
    parts = [
        (erased.jobs, "job stopped", "jobs stopped"),
        (erased.files, "file made from it", "files made from it"),
        (erased.originals, "version of the original", "versions of the original"),
        (erased.quarantined, "original in quarantine", "originals in quarantine"),
    ]
    said = [f"{count:,} {one if count == 1 else many}" for count, one, many in parts if count]
    record = erased.record
    return f"removed {record.asset}  {record.source.key}: {', '.join(said) or 'its record'}"


# --- retry ------------------------------------------------------------------------------------


@group.command(name="hold")
@click.argument("assets", nargs=-1, required=True, metavar="ASSET...")
@click.option("--reason", default="", metavar="TEXT", help="Kept in the record and the timeline.")
@data_option
@json_option
def hold_command(*, assets: tuple[str, ...], reason: str, data: Path | None, as_json: bool) -> None:
    """Keep assets from everybody until somebody publishes them.

    Files stay where they are and are closed: the distribution cannot read them, and one
    invalidation for each asset removes them from the edges. If the command is interrupted, run it
    again to complete it.
    """
    access = find_target(data).app.access
    for asset in assets:
        _print_decided(access.hold(asset, reason), "held", as_json=as_json)


@group.command(name="publish")
@click.argument("assets", nargs=-1, required=True, metavar="ASSET...")
@data_option
@json_option
def publish_command(*, assets: tuple[str, ...], data: Path | None, as_json: bool) -> None:
    """Let everybody read assets that wait for review or were held."""
    access = find_target(data).app.access
    for asset in assets:
        _print_decided(access.publish(asset), "published", as_json=as_json)


def _print_decided(record: AssetRecord, what: str, *, as_json: bool) -> None:
    if as_json:
        status = record.status.value
        output.print_line({"asset": record.asset, "key": record.source.key, "status": status})
    else:
        click.echo(output.one_line(f"{what} {record.asset}  {record.source.key}"))


@group.command(name="retry")
@click.argument("asset")
@data_option
@json_option
def retry_command(*, asset: str, data: Path | None, as_json: bool) -> None:
    """Start the heavy work on an asset again after its jobs failed.

    Finished parts are not repeated.
    """
    app = find_target(data).app
    record = _require(app.catalog, asset)
    run = app.runs.restart(asset, record.version)
    if run is None:
        raise Conflict(f"asset {asset} is {record.status.value}: it waits for no heavy work")
    if as_json:
        output.print_json({"asset": asset, "version": record.version, "run": run})
    else:
        click.echo(output.one_line(f"started {run}"))


def _require(catalog: Catalog, asset: str) -> AssetRecord:
    record = catalog.get(asset)
    if record is None:
        raise AssetMissing(
            f"there is no asset {asset}; assets list shows ids, with --key that of a key"
        )
    return record


# --- list -------------------------------------------------------------------------------------


_MEANINGS = {
    "waiting": "its upload was requested but has not arrived",
    "uploaded": "its original has arrived but is not ingested yet",
    "accepted": "all renditions are made",
    "rejected": "it can never be accepted; the code says why (docs/errors.md)",
    "processing": "it waits for jobs; the list shows their progress",
    "review": "it waits for a person",
    "published": "a person approved it for everybody",
    "deleted": "the original was deleted; its renditions are still there",
}
_LIST_EPILOG = "\n".join(
    ["\b", "Statuses", *(f"  {each.value:10} {_MEANINGS[each.value]}" for each in Status)]
)


@group.command(name="list", epilog=_LIST_EPILOG)
@click.option(
    "--status",
    type=click.Choice([each.value for each in Status]),
    help="Only assets of this status.",
)
@click.option("--owner", metavar="OWNER", help="Only assets of this owner.")
@click.option("--tag", metavar="TAG", help="Only assets with this tag.")
@click.option(
    "--confidence",
    type=Number(0, 100),
    metavar="PERCENT",
    help="With --tag label:NAME: only those whose label is at least that certain.",
)
@click.option("--similar", metavar="ASSET", help="Only assets that look like this one.")
@click.option(
    "--key",
    metavar="KEY",
    help="Only assets of this key in the intake bucket; * is any text: 'uploads/2024*'.",
)
@page_options("assets")
@data_option
@json_option
def list_command(
    *,
    status: str | None,
    owner: str | None,
    tag: str | None,
    confidence: float | None,
    similar: str | None,
    key: str | None,
    limit: int,
    cursor: str | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """List assets, newest first; the age is the time since the status changed.

    Give one of --status, --owner, --tag and --similar; --key goes with any but the last. With
    --json an array is printed; if there are more assets, {"cursor": ...} goes to standard error.
    """
    chosen = [name for name in (status, owner, tag, similar) if name is not None]
    if len(chosen) > 1:
        raise click.UsageError("give one of --status, --owner, --tag and --similar")
    if similar is not None and (cursor is not None or key is not None):
        raise click.UsageError("--similar takes neither --cursor nor --key")
    if confidence is not None and tag is None:
        raise click.UsageError("--confidence needs --tag, the tag of a label: label:dog")
    target = find_target(data)
    catalog = target.app.catalog
    if similar is not None:
        near = find_assets.similar(catalog, similar, limit)
        if as_json:
            output.print_json(
                [
                    record_json(one.record) | {"waits_for": None, "distance": one.distance}
                    for one in near
                ]
            )
        else:
            print_records([one.record for one in near], [f"{one.distance} bits" for one in near])
        return
    wanted = find_assets.AssetFilter(
        status=status, owner=owner, tag=tag, confidence=confidence, key=key
    )
    bucket = target.app.settings.intake_bucket
    page = find_assets.find(catalog, wanted, bucket=bucket, limit=limit, cursor=cursor)
    waits = {record.asset: _waits_for(catalog, record) for record in page.records}
    if as_json:
        output.print_json(
            [record_json(record) | {"waits_for": waits[record.asset]} for record in page.records]
        )
        print_cursor(page.cursor, as_json=True)
        return
    print_records(page.records, [_what(one, waits[one.asset]) for one in page.records])
    print_cursor(page.cursor, as_json=False)
    if not chosen and key is None and cursor is None:
        _print_unrecorded(target)


# --- columns -------------------------------------------------------------------------------


def _waits_for(catalog: Catalog, record: AssetRecord) -> list[dict[str, Any]] | None:
    """The jobs that a record waits for, as far as they have started; None if it does not wait."""
    if record.status.value != "processing":
        return None
    return [
        {"kind": job.kind, "state": job.state, "percent": job.percent, "job": job.id}
        for job in jobs_of(record, catalog.jobs(record.asset))
    ]


def _what(record: AssetRecord, waits: Sequence[dict[str, Any]] | None) -> str:
    """The last column: why a record waits, why it was rejected, or its tags."""
    code = record.verdict.code if record.verdict else ""
    if waits is not None:
        return f"waits for jobs ({code}): {', '.join(_standing(waits)) or 'none has started'}"
    if record.status.value == "review":
        return "waits for a person" + (f" ({code})" if code else "")
    return code or ", ".join(sorted(record.tags))


def _standing(waits: Sequence[dict[str, Any]]) -> Iterator[str]:
    done = sum(job["state"] == "SUCCEEDED" for job in waits)
    if done:
        yield f"{done} done"
    for job in waits:
        if job["state"] == "FAILED":
            yield f"{job['kind']} failed"
        elif job["state"] != "SUCCEEDED":
            yield f"{job['kind']} at {job['percent'] or 0:.0f} %"


def _print_unrecorded(target: Target) -> None:
    """Print how many uploads are still in the queues, without a record."""
    queues = [pair.queue for pair in target.queue_pairs if pair.queue]
    waiting = sum(target.app.queue.depth(queue, taken=True) for queue in queues)
    if waiting:
        click.echo(f"about {waiting:,} uploads are not recorded yet", err=True)


# --- records ----------------------------------------------------------------------------------


def print_records(records: Sequence[AssetRecord], notes: Sequence[str]) -> None:
    """Print records for a person, each with a note."""
    if not records:
        click.echo("no assets")
        return
    now = datetime.now(UTC)
    rows = [
        (
            record.status.value,
            age_text(record.updated_at, now),
            picture_text(record),
            str(len(record.renditions)) if record.renditions else "",
            record.asset,
            record.source.key,
            note,
        )
        for record, note in zip(records, notes, strict=True)
    ]
    output.print_rows(("status", "age", "picture", "renditions"), ("asset", "key", "what"), rows)


def picture_text(record: AssetRecord) -> str:
    """Return format and size of an asset; its bytes while those are not known."""
    if record.film is not None:
        video = record.film
        return f"{video.codec} {video.width}x{video.height}, {video.duration_ms / 1000:.1f} s"
    if record.probe is None:
        return size_text(record.source.size)
    probe = record.probe
    return f"{probe.format.value} {probe.upright_width}x{probe.upright_height}"


def record_json(record: AssetRecord) -> dict[str, Any]:
    """Return a record as JSON-ready values: every field, empty or not."""
    value = asdict(record)
    value["tags"] = sorted(record.tags)
    value["attributes"] = dict(record.attributes)
    return value
