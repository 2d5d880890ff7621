"""``safelight deliver``: which file a client gets, and why."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from worker.entrypoints.cli import output
from worker.entrypoints.cli.target import data_option, find_target, json_option

if TYPE_CHECKING:
    from worker.bootstrap import Application


@click.group(name="deliver")
def group() -> None:
    """Show which file a client gets for a URL."""


@group.command(name="explain")
@click.argument("url", metavar="URL")
@click.option(
    "--header",
    "headers",
    multiple=True,
    metavar="'NAME: VALUE'",
    help="A header of the client; may be repeated.",
)
@click.option(
    "--recipe",
    default="default",
    show_default=True,
    metavar="NAME",
    help="The recipe of the deployment: its formats can be chosen.",
)
@click.option("--stored", is_flag=True, help="Also ask the stack whether the file exists.")
@data_option
@json_option
def explain_command(
    *,
    url: str,
    headers: tuple[str, ...],
    recipe: str,
    stored: bool,
    data: Path | None,
    as_json: bool,
) -> None:
    """Print step by step which file a client gets for a URL. Runs the edge function itself.

    URL is the URL of a rendition, or only its path.
    """
    from worker import recipes
    from worker.domain.delivery import NEGOTIATION_HEADERS
    from worker.infra.edge import EdgeFunction, explain, source

    formats = recipes.load(recipe).formats_made
    path = urlsplit(url).path if "://" in url else url.partition("?")[0]
    steps, key = explain(EdgeFunction(source(formats)), path, [_read(one) for one in headers])
    found = _stored(find_target(data).app, key) if stored and key else None
    vary = NEGOTIATION_HEADERS["Vary"]
    if as_json:
        value: dict[str, Any] = {"key": key or None, "steps": [asdict(one) for one in steps]}
        output.print_json({**value, "vary": vary, "stored": found})
        return
    for one in steps:
        _line(one.name, one.result)
        _line("", f"by {one.read or 'nothing'}")
    _line("key", key or "none: the bucket is not asked")
    if found is not None:
        _line("bucket", found)
    _line("Vary", vary)


def _line(name: str, text: str) -> None:
    click.echo(f"{name:<12}{output.one_line(text)}")


def _read(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise click.UsageError(f"{text!r} is not of the form 'NAME: VALUE'")
    return name.strip(), value.strip()


def _stored(app: Application, key: str) -> str:
    """Describe the response of the origins."""
    from worker.domain.errors import ObjectMissing
    from worker.services.deliver import Deliver

    bucket = app.settings.delivery_bucket
    try:
        there = app.store.head(bucket, key)
    except ObjectMissing:
        answer = Deliver(store=app.store, catalog=app.catalog, bucket=bucket).answer(key)
        what = answer.headers.get("Location") or answer.headers["Content-Type"]
        return f"nothing; the function answers {answer.status}, {what}, {len(answer.body):,} bytes"
    return f"{there.content_type}, {there.size:,} bytes"
