"""``safelight assets list``: which assets the catalog knows, page by page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.domain.asset import Page, Status, asset_id_of
from worker.domain.errors import AssetMissing
from worker.entrypoints.cli import output
from worker.entrypoints.cli.reach import Target, data_option, json_option, reach
from worker.entrypoints.cli.rows import print_rows
from worker.services.process_files.wording import age_text, size_text
from worker.services.put_files import jobs_of

if TYPE_CHECKING:
    from worker.domain.asset import AssetRecord
    from worker.ports import Catalog

MOST_LOOKED_AT = 10_000
"""Records that one search for a part of a key reads; then it says from where to go on."""
_SEARCH_PAGE = 200

_MEANINGS = {
    "waiting": "its upload was asked for, and nothing has arrived",
    "uploaded": "its original is there, and nobody has looked at it yet",
    "accepted": "everything has been made",
    "rejected": "it can never be accepted; the code says why (docs/errors.md)",
    "processing": "it waits for jobs; the list says how far they are",
    "review": "it waits for a person",
    "published": "a person has approved it for everybody",
    "deleted": "somebody deleted the original; what was made of it is still there",
}
_EPILOG = "\n".join(
    ["\b", "Statuses", *(f"  {each.value:10} {_MEANINGS[each.value]}" for each in Status)]
)


@click.command(name="list", epilog=_EPILOG)
@click.option(
    "--status",
    type=click.Choice([each.value for each in Status]),
    help="Only assets of this status.",
)
@click.option("--owner", metavar="OWNER", help="Only assets of this owner.")
@click.option("--tag", metavar="TAG", help="Only assets with this tag.")
@click.option("--similar", metavar="ASSET", help="Only assets that look like this one.")
@click.option(
    "--key",
    metavar="KEY",
    help="Only assets of this key in the intake bucket; * is any text: 'uploads/2024*'.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    default=50,
    show_default=True,
    help="At most N assets.",
    metavar="N",
)
@click.option("--cursor", metavar="CURSOR", help="Go on where the list that printed it ended.")
@data_option
@json_option
def list_command(
    *,
    status: str | None,
    owner: str | None,
    tag: str | None,
    similar: str | None,
    key: str | None,
    limit: int,
    cursor: str | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """List assets, newest first: the age is that of their present status.

    One of --status, --owner, --tag and --similar at a time, --key beside any but the last. With
    --json an array; if there are more, {"cursor": ...} on standard error.
    """
    chosen = [name for name in (status, owner, tag, similar) if name is not None]
    if len(chosen) > 1:
        raise click.UsageError("one of --status, --owner, --tag and --similar at a time")
    if similar is not None and (cursor is not None or key is not None):
        raise click.UsageError("--similar has no pages and no keys: leave out --cursor and --key")
    reached = reach(data)
    catalog = reached.app.catalog
    if similar is not None:
        _list_similar(catalog, similar, limit, as_json=as_json)
        return
    pages = _pages(catalog, status=status, owner=owner, tag=tag)
    if key is None:
        page = pages(limit, cursor)
    elif "*" in key:
        page = _search(pages, _pattern(key), limit, cursor)
    else:
        page = _named(catalog, reached.app.settings.intake_bucket, key)
        page = Page(records=tuple(one for one in page.records if _is_of(one, status, owner, tag)))
    waits = {record.asset: _waits_for(catalog, record) for record in page.records}
    if as_json:
        output.print_json(
            [record_json(record) | {"waits_for": waits[record.asset]} for record in page.records]
        )
        if page.cursor is not None:
            click.echo(json.dumps({"cursor": page.cursor}), err=True)
        return
    print_records(page.records, [_what(one, waits[one.asset]) for one in page.records])
    if page.cursor is not None:
        click.echo(f"there are more: --cursor {page.cursor}", err=True)
    if not chosen and key is None and cursor is None:
        _say_unrecorded(reached)


# --- what is listed ---------------------------------------------------------------------------


def _pages(
    catalog: Catalog, *, status: str | None, owner: str | None, tag: str | None
) -> Callable[[int, str | None], Page]:
    """The list that was chosen: a page of so many records from a cursor on."""
    if owner is not None:
        return lambda limit, cursor: catalog.by_owner(owner, limit=limit, cursor=cursor)
    if tag is not None:
        return lambda limit, cursor: catalog.by_tag(tag, limit=limit, cursor=cursor)
    if status is not None:
        chosen = Status(status)
        return lambda limit, cursor: catalog.by_status(chosen, limit=limit, cursor=cursor)
    return lambda limit, cursor: catalog.list_assets(limit=limit, cursor=cursor)


def _named(catalog: Catalog, bucket: str, key: str) -> Page:
    """The asset of a key: its id follows from that, so it is one look, however many there are."""
    record = catalog.get(asset_id_of(bucket, key))
    found = record is not None and record.source.key == key
    return Page(records=(record,) if record is not None and found else ())


def _is_of(record: AssetRecord, status: str | None, owner: str | None, tag: str | None) -> bool:
    return (
        status in (None, record.status.value)
        and owner in (None, record.owner)
        and (tag is None or tag in record.tags)
    )


def _pattern(key: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in key.split("*")), re.DOTALL)


def _search(
    pages: Callable[[int, str | None], Page],
    pattern: re.Pattern[str],
    limit: int,
    cursor: str | None,
) -> Page:
    """Records of a list whose keys fit. No index has keys in order: the list itself is read."""
    found: list[AssetRecord] = []
    for _ in range(MOST_LOOKED_AT // _SEARCH_PAGE):
        page = pages(_SEARCH_PAGE, cursor)
        for number, record in enumerate(page.records, start=1):
            if pattern.fullmatch(record.source.key):
                found.append(record)
            if len(found) == limit:
                # A cursor goes on behind the last record of a page, so the page is cut there.
                more = pages(number, cursor).cursor
                return Page(records=tuple(found), cursor=more)
        cursor = page.cursor
        if cursor is None:
            break
    return Page(records=tuple(found), cursor=cursor)


def _list_similar(catalog: Catalog, asset: str, limit: int, *, as_json: bool) -> None:
    record = catalog.get(asset)
    if record is None:
        raise AssetMissing(f"there is no asset {asset}")
    alike = catalog.similar(record.metadata.measures.phash) if record.metadata else ()
    near = [one for one in alike if one.record.asset != asset][:limit]
    if as_json:
        output.print_json(
            [
                record_json(one.record) | {"waits_for": None, "distance": one.distance}
                for one in near
            ]
        )
    else:
        print_records([one.record for one in near], [f"{one.distance} bits" for one in near])


# --- what waits -------------------------------------------------------------------------------


def _waits_for(catalog: Catalog, record: AssetRecord) -> list[dict[str, Any]] | None:
    """The jobs of a record that waits for them, as far as they have begun; None if it does not."""
    if record.status.value != "processing":
        return None
    return [
        {"kind": job.kind, "state": job.state, "percent": job.percent, "job": job.id}
        for job in jobs_of(record, catalog)
    ]


def _what(record: AssetRecord, waits: Sequence[dict[str, Any]] | None) -> str:
    """What there is to say about a record, beside what every record has."""
    code = record.verdict.code if record.verdict else ""
    if waits is not None:
        return f"waits for jobs ({code}): {', '.join(_standing(waits)) or 'none has begun'}"
    if record.status.value == "review":
        return f"waits for a person ({code})"
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


def _say_unrecorded(reached: Target) -> None:
    """Uploads that no record is about yet: they are in the queues."""
    queues = [lane.queue for lane in reached.lanes if lane.queue]
    waiting = sum(reached.app.queue.depth(queue, taken=True) for queue in queues)
    if waiting:
        click.echo(f"about {waiting:,} uploads are not recorded yet", err=True)


# --- records ----------------------------------------------------------------------------------


def print_records(records: Sequence[AssetRecord], notes: Sequence[str]) -> None:
    """Write records for a person, each with a note."""
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
    print_rows(("status", "age", "picture", "renditions"), ("asset", "key", "what"), rows)


def picture_text(record: AssetRecord) -> str:
    """Return what an asset shows, in a few words; its size in bytes while that is not known."""
    if record.film is not None:
        film = record.film
        return f"{film.codec} {film.width}x{film.height}, {film.duration_ms / 1000:.1f} s"
    if record.probe is None:
        return size_text(record.source.size)
    probe = record.probe
    return f"{probe.format.value} {probe.upright_width}x{probe.upright_height}"


def record_json(record: AssetRecord) -> dict[str, Any]:
    """Return a record as JSON-ready values: every field, whether it says something or not."""
    value = asdict(record)
    value["tags"] = sorted(record.tags)
    value["attributes"] = dict(record.attributes)
    return value
