"""``safelight put``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.entrypoints.cli import output
from worker.entrypoints.cli.reach import data_option, json_option, reach
from worker.entrypoints.cli.waiting import going_on
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
@click.option("--prefix", default="uploads/", show_default=True, help="Begins every key.")
@click.option("--owner", metavar="OWNER", help="Whose the uploads are.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="A tag; may be repeated.")
@click.option(
    "--attribute",
    "attributes",
    multiple=True,
    metavar="NAME=VALUE",
    help="An attribute; may be repeated.",
)
@click.option("--wait", is_flag=True, help="Wait for each verdict, of a video for its jobs, too.")
@click.option("--no-jobs", is_flag=True, help="With --wait: only until each is recorded.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    metavar="SECONDS",
    help="Longest wait.  [default: 120 for a record, as long as it takes for jobs]",
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
    wait: bool,
    no_jobs: bool,
    timeout: float | None,
    data: Path | None,
    as_json: bool,
) -> int:
    """Upload files into the intake bucket and print their asset ids.

    The same name again is a new version of the same asset. Owner, tags and attributes go with each
    file as metadata of the object, and are in its record once that is there.

    With --wait the command ends with 1 if a file was rejected, and with 75 if one has no verdict in
    time or its jobs failed.
    """
    from worker.services.put_files import place

    if no_jobs and not wait:
        raise click.UsageError("--no-jobs needs --wait: without it nothing is waited for")
    metadata = labels_metadata(owner, tags, attributes)
    app = reach(data).app
    placed = []
    for one in place(
        files,
        store=app.store,
        bucket=app.settings.intake_bucket,
        prefix=prefix,
        metadata=metadata,
    ):
        placed.append(one)
        if not wait:
            _say_placed(one, as_json=as_json)
    if not wait:
        return 0
    commands = [f"safelight assets show {one.asset}" for one in placed[:3]]
    with going_on("what is uploaded is processed all the same; to look at it:", commands, data):
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
        _say_record(one.upload, one.record, one.trouble, as_json=as_json)
    return code


class _UploadWatch:
    """Says how the jobs of uploads stand, a line whenever one has done another tenth."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._last: dict[str, tuple[str, int]] = {}

    def look(self, one: Placed, jobs: Sequence[JobRecord]) -> None:
        """Say what is new."""
        for job in () if self._quiet else jobs:
            percent = job.percent or 0.0
            key = (job.state, int(percent / 10))
            if key != self._last.get(job.id):
                self._last[job.id] = key
                doing = f" {percent:.0f}% {job.detail.get('doing', '')}".rstrip()
                said = doing if job.state == "RUNNING" else ""
                line = f"{one.key}: {job.kind} {job.state.lower()}{said}"
                click.echo(output.one_line(line), err=True)


def labels_metadata(
    owner: str | None, tags: Sequence[str], attributes: Sequence[str]
) -> dict[str, str]:
    """Return owner, tags and attributes as an object carries them.

    Args:
        attributes: ``NAME=VALUE`` each.

    Raises:
        UsageError: a text is none, or an attribute is given twice.
        InputError: something is longer or more than an asset can have.
    """
    from worker.domain.errors import InputError
    from worker.domain.labels import Labels, check_id, from_metadata, to_metadata

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
    metadata = to_metadata(Labels(owner=owner or "", tags=frozenset(tags), attributes=pairs))
    # Whoever records the upload leaves out what it cannot take: that is said here instead.
    ignored = from_metadata(metadata).ignored
    if ignored:
        raise InputError("; ".join(ignored))
    return metadata


def _say_placed(one: Placed, *, as_json: bool) -> None:
    if as_json:
        output.print_line(_placed(one))
    else:
        click.echo(f"{one.asset}  {output.one_line(one.key)}")


def _say_record(one: Placed, record: AssetRecord, trouble: str, *, as_json: bool) -> None:
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
