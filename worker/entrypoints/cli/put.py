"""``safelight put``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.entrypoints.cli import output
from worker.entrypoints.cli.reach import data_option, json_option, reach
from worker.services.local_run.wording import size_text

if TYPE_CHECKING:
    from worker.records import AssetRecord
    from worker.services.uploads import Placed


@click.command(name="put")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE..."
)
@click.option("--prefix", default="uploads/", show_default=True, help="Begins every key.")
@click.option("--wait", is_flag=True, help="Wait until each is recorded; print the verdict.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="Longest wait.",
)
@data_option
@json_option
def command(
    *,
    files: tuple[Path, ...],
    prefix: str,
    wait: bool,
    timeout: float,
    data: Path | None,
    as_json: bool,
) -> int:
    """Upload files into the intake bucket and print their asset ids.

    The same name again is a new version of the same asset. With --wait the command ends with 1 if
    a file was rejected, and with 75 if one is not recorded in time.
    """
    from worker.services.uploads import await_records, place

    app = reach(data).app
    placed = []
    for one in place(files, store=app.store, bucket=app.settings.intake_bucket, prefix=prefix):
        placed.append(one)
        if not wait:
            _say_placed(one, as_json=as_json)
    if not wait:
        return 0
    rejected = False
    for one, record in await_records(placed, catalog=app.catalog, seconds=timeout):
        rejected |= record.status.value == "rejected"
        _say_record(one, record, as_json=as_json)
    return output.REJECTED if rejected else 0


def _say_placed(one: Placed, *, as_json: bool) -> None:
    if as_json:
        output.print_line(_placed(one))
    else:
        click.echo(f"{one.asset}  {output.one_line(one.key)}")


def _say_record(one: Placed, record: AssetRecord, *, as_json: bool) -> None:
    if as_json:
        verdict = record.verdict
        output.print_line(
            {
                **_placed(one),
                "status": record.status.value,
                "reason": {"code": verdict.code, "message": verdict.message} if verdict else None,
                "warnings": list(record.film.warnings) if record.film else [],
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
            }
        )
        return
    why = f": {record.verdict.code}, {record.verdict.message}" if record.verdict else ""
    if record.film is not None and record.film.warnings:
        why = f": {', '.join(record.film.warnings)}"
    line = f"{record.status.value:9} {one.asset}  {one.key}{why}"
    click.echo(output.one_line(line))
    for each in record.renditions:
        shape = f"{each.width}x{each.height}"
        text = f"{each.name:12} {shape:>11} {each.format.value:5} {size_text(each.bytes):>8}"
        click.echo(output.one_line(f"  {text}  {each.key}"))


def _placed(one: Placed) -> dict[str, Any]:
    return {
        "file": str(one.path),
        "asset": one.asset,
        "bucket": one.bucket,
        "key": one.key,
        "etag": one.etag,
        "version_id": one.version_id,
    }
