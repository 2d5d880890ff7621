"""``safelight deliver``: which file a client gets and why, and URLs of other services here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from worker.entrypoints.cli import output
from worker.entrypoints.cli.target import data_option, find_target, json_option

if TYPE_CHECKING:
    from worker.bootstrap import Application
    from worker.domain.errors import SafelightError
    from worker.services.translation import Translation

_SHOWN = 200
"""Characters of a URL that cannot be translated."""


@click.group(name="deliver")
def group() -> None:
    """Show which file a client gets for a URL, and translate URLs of other services."""


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
    path = _path(url)
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


def _path(url: str) -> str:
    try:
        return urlsplit(url).path if "://" in url else url.partition("?")[0]
    except ValueError as error:
        raise click.UsageError(f"{url[:_SHOWN]!r} is no URL: {error}") from error


def _line(name: str, text: str) -> None:
    click.echo(f"{name:<12}{output.one_line(text)}")


def _read(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise click.UsageError(f"{text!r} is not of the form 'NAME: VALUE'")
    return name.strip(), value.strip()


def _stored(app: Application, key: str) -> str:
    """Describe the response of the origins. Makes no file."""
    from worker.domain.errors import ObjectMissing
    from worker.services.deliver import OriginAnswer

    bucket = app.settings.delivery_bucket
    try:
        there = app.store.head(bucket, key)
    except ObjectMissing:
        found = app.deliver().decide(key)
    else:
        return f"{there.content_type}, {there.size:,} bytes"
    if isinstance(found, OriginAnswer):
        what = found.headers.get("Location") or found.headers["Content-Type"]
        return f"nothing; the function answers {found.status}, {what}"
    said = f"404 with the widest file as its body: {found.said}" if found.wider else found.said
    return f"nothing; the function gives {said}"


# --- other services -----------------------------------------------------------------------------


@group.command(name="translate")
@click.argument("urls", metavar="URL...", nargs=-1, required=True)
@click.option(
    "--from",
    "service",
    type=click.Choice(["imgproxy", "thumbor", "image-handler"]),
    help="Whose URLs they are.  [default: by their form]",
)
@click.option(
    "--map",
    "mappings",
    multiple=True,
    metavar="BEGINNING=s3://BUCKET/PREFIX",
    help="Where originals are here, by what their old name begins with; may be repeated.",
)
@click.option(
    "--preset",
    "presets",
    multiple=True,
    metavar="NAME=OPTIONS",
    help="A preset of imgproxy; may be repeated.",
)
@click.option("--host", metavar="URL", help="Of the distribution.  [default: the stack's]")
@click.option("--stored", is_flag=True, help="Ask the stack for the assets: fills in the version.")
@data_option
@json_option
def translate_command(
    *,
    urls: tuple[str, ...],
    service: str | None,
    mappings: tuple[str, ...],
    presets: tuple[str, ...],
    host: str | None,
    stored: bool,
    data: Path | None,
    as_json: bool,
) -> int:
    """Translate URLs of imgproxy, thumbor or Dynamic Image Transformation.

    Prints the URL here, the rendition that a recipe needs for it, and every option that has no
    counterpart. URL `-` reads URLs from standard input, one a line.
    """
    from worker.domain.errors import SafelightError
    from worker.services import translation

    known = [_pair(one, "--map") for one in mappings]
    for _, target in known:
        if not target.startswith("s3://"):
            raise click.UsageError(f"--map: {target!r} does not begin with s3://")
    named = dict(_pair(one, "--preset") for one in presets)
    app = find_target(data).app if stored else None
    if app is not None and host is None:
        host = app.settings.delivery_url
    code, recipes = 0, dict[str, None]()
    for url in _lines(urls):
        try:
            wanted = translation.read(url, service=service, presets=named)
            asset = translation.asset_of(wanted.source, known)
            record = app.catalog.get(asset) if app is not None and asset else None
        except SafelightError as error:
            code = output.REJECTED
            _refuse(url, error, as_json=as_json)
            continue
        found = translation.translate(
            url, wanted, host=host or "https://{host}", mappings=known, record=record
        )
        recipes[found.recipe] = None
        if as_json:
            output.print_line(asdict(found))
        else:
            _print_translation(found)
    if not as_json and any(recipes):
        click.echo("\n" + "\n".join(one for one in recipes if one), nl=False)
    return code


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals or not value:
        raise click.UsageError(f"{option}: {text!r} is not of the form NAME=VALUE")
    return name, value


def _lines(urls: tuple[str, ...]) -> Iterator[str]:
    for url in urls:
        if url != "-":
            yield url
            continue
        yield from filter(None, (line.strip() for line in sys.stdin))


def _refuse(url: str, error: SafelightError, *, as_json: bool) -> None:
    """Tell of a URL that cannot be translated, and go on."""
    if as_json:
        value = {"code": error.code, "message": error.message}
        output.print_line({"given": url[:_SHOWN], "error": value})
        return
    _line("given", url[:_SHOWN])
    _line("error", f"{error.message} ({error.code})")


def _print_translation(found: Translation) -> None:
    _line("given", found.given)
    _line("source", found.source + (f" = {found.object}" if found.object else ""))
    _line("url", found.url)
    for note in found.notes:
        _line("note", note)
    for one in found.lost:
        _line("lost", f"{one.option}: {one.reason}")
