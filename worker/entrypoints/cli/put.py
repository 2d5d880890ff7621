"""``safelight put``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.entrypoints.cli import output
from worker.entrypoints.cli.parameters import Number
from worker.entrypoints.cli.target import data_option, find_target, json_option
from worker.services.process_files.wording import size_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.domain.asset import AssetRecord, JobRecord
    from worker.ports import Catalog
    from worker.services.put_files import Placed


@click.command(name="put")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE..."
)
@click.option("--prefix", default="uploads/", show_default=True, help="Start of every key.")
@click.option("--owner", metavar="OWNER", help="Owner of the uploads.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="A tag; may be repeated.")
@click.option(
    "--attribute",
    "attributes",
    multiple=True,
    metavar="NAME=VALUE",
    help="An attribute; may be repeated.",
)
@click.option("--recipe", metavar="NAME", help="Name of a recipe of the deployment.")
@click.option("--wait", is_flag=True, help="Wait for each verdict, and for the jobs of videos.")
@click.option("--no-jobs", is_flag=True, help="With --wait: only until each upload is recorded.")
@click.option(
    "--timeout",
    type=Number(min=0.1),
    metavar="SECONDS",
    help="Longest wait.  [default: 120 for a record, no limit for jobs]",
)
@data_option
@json_option
def command(
    *,
    files: tuple[Path, ...],
    prefix: str,
    owner: str | None,
    tags: tuple[str, ...],
    attributes: tuple[str, ...],
    recipe: str | None,
    wait: bool,
    no_jobs: bool,
    timeout: float | None,
    data: Path | None,
    as_json: bool,
) -> int:
    """Upload files into the intake bucket and print their asset ids.

    A name that was used before makes a new version of the same asset. Owner, tags,
    attributes and recipe are stored as metadata of the object and appear in its record.

    With --wait the command ends with 1 if a file was rejected, and with 75 if one has no verdict in
    time or its jobs failed.
    """
    from worker.domain.errors import InputError
    from worker.services.put_files import put_all

    if no_jobs and not wait:
        raise click.UsageError("--no-jobs needs --wait")
    metadata = metadata_of(owner, tags, attributes, recipe)
    app = find_target(data).app
    if recipe is not None and recipe not in app.recipes.all:
        known = ", ".join(sorted(app.recipes.all))
        raise InputError(f"no recipe {recipe} here: {known}", code="recipe_unknown")
    placed = []
    for one in put_all(
        files,
        store=app.store,
        bucket=app.settings.intake_bucket,
        prefix=prefix,
        metadata=metadata,
    ):
        placed.append(one)
        if not wait:
            _print_upload(one, as_json=as_json)
    if not wait:
        return 0
    commands = [f"safelight assets show {one.asset}" for one in placed[:3]]
    with output.explain_interrupt(
        "the uploads are processed all the same; to look at them:", commands, data
    ):
        return _await(placed, app.catalog, timeout, jobs=not no_jobs, as_json=as_json)


def _await(
    placed: Sequence[Placed], catalog: Catalog, timeout: float | None, *, jobs: bool, as_json: bool
) -> int:
    from worker.services.put_files import RECORD_SECONDS, Waited, await_records, await_verdicts

    if jobs:
        watch = _UploadWatch(quiet=as_json)
        found = await_verdicts(placed, catalog=catalog, seconds=timeout, watch=watch.look)
    else:
        recorded = await_records(placed, catalog=catalog, seconds=timeout or RECORD_SECONDS)
        found = (Waited(upload=one, record=record) for one, record in recorded)
    code = 0
    for one in found:
        if one.trouble:
            code = output.TRY_AGAIN
        elif one.record.status.value == "rejected":
            code = code or output.REJECTED
        _print_record(one.upload, one.record, one.trouble, as_json=as_json)
    return code


class _UploadWatch:
    """Prints the progress of the jobs of uploads, a line for every tenth."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._last: dict[str, tuple[str, int]] = {}

    def look(self, one: Placed, jobs: Sequence[JobRecord]) -> None:
        """Print what changed."""
        for job in () if self._quiet else jobs:
            percent = job.percent or 0.0
            key = (job.state, int(percent / 10))
            if key != self._last.get(job.id):
                self._last[job.id] = key
                doing = f" {percent:.0f}% {job.detail.get('doing', '')}".rstrip()
                said = doing if job.state == "RUNNING" else ""
                line = f"{one.key}: {job.kind} {job.state.lower()}{said}"
                click.echo(output.one_line(line), err=True)


def metadata_of(
    owner: str | None,
    tags: Sequence[str],
    attributes: Sequence[str],
    recipe: str | None = None,
) -> dict[str, str]:
    """Return owner, tags, attributes and recipe as metadata of an object.

    Args:
        attributes: ``NAME=VALUE`` each.

    Raises:
        UsageError: a text is not NAME=VALUE, or an attribute is given twice.
        InputError: an asset cannot have tags or attributes of this length or number.
    """
    from worker.domain.errors import InputError
    from worker.domain.user_metadata import UserMetadata, check_id, from_metadata, to_metadata

    pairs: dict[str, str] = {}
    for text in attributes:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--attribute must be NAME=VALUE, not {text!r}")
        if name in pairs:
            raise click.UsageError(f"--attribute {name} is given twice")
        pairs[name] = value
    if owner is not None:
        check_id(owner, "owner")
    said = UserMetadata(
        owner=owner or "", tags=frozenset(tags), attributes=pairs, recipe=recipe or ""
    )
    metadata = to_metadata(said)
    # Ingest would leave out what it cannot store: report them here instead.
    ignored = from_metadata(metadata).ignored
    if ignored:
        raise InputError("; ".join(ignored))
    return metadata


def _print_upload(one: Placed, *, as_json: bool) -> None:
    if as_json:
        output.print_line(_placed(one))
    else:
        click.echo(f"{one.asset}  {output.one_line(one.key)}")


def _print_record(one: Placed, record: AssetRecord, trouble: str, *, as_json: bool) -> None:
    if as_json:
        verdict = record.verdict
        output.print_line(
            {
                **_placed(one),
                "status": record.status.value,
                "reason": {"code": verdict.code, "message": verdict.message} if verdict else None,
                "warnings": list(record.warnings),
                "renditions": [
                    {
                        "name": each.name,
                        "format": each.format.value,
                        "width": each.width,
                        "height": each.height,
                        "bytes": each.bytes,
                        "key": each.key,
                    }
                    for each in record.renditions
                ],
                "media": [
                    {
                        "name": each.name,
                        "format": each.format.value,
                        "bytes": each.bytes,
                        "key": each.key,
                    }
                    for each in record.media
                ],
                "trouble": trouble or None,
            }
        )
        return
    why = ""
    if record.verdict:
        why = f": {record.verdict.code}, {record.verdict.message}"
    elif record.warnings:
        why = f": {', '.join(record.warnings)}"
    line = f"{record.status.value:9} {one.asset}  {one.key}{why}"
    click.echo(output.one_line(line))
    for each in record.renditions:
        shape = f"{each.width}x{each.height}"
        text = f"{each.name:12} {shape:>11} {each.format.value:5} {size_text(each.bytes):>8}"
        click.echo(output.one_line(f"  {text}  {each.key}"))
    for media in record.media:
        text = f"{media.name:12} {'':>11} {media.format.value:5} {size_text(media.bytes):>8}"
        click.echo(output.one_line(f"  {text}  {media.key}"))
    if trouble:
        click.echo(output.one_line(f"  {trouble}"), err=True)
        if record.status.value == "processing" and "failed" in trouble:
            click.echo(f"  safelight assets retry {one.asset} starts the work again", err=True)


def _placed(one: Placed) -> dict[str, Any]:
    return {
        "file": str(one.path),
        "asset": one.asset,
        "bucket": one.bucket,
        "key": one.key,
        "etag": one.etag,
        "version_id": one.version_id,
    }
