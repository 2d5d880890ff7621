"""``safelight api``: tokens for the API of the local stack, and the API's OpenAPI document."""

from __future__ import annotations

import json
from pathlib import Path

import click

from worker.entrypoints.cli import output
from worker.entrypoints.cli.target import data_option, find_target, json_option

_SCOPES = ("read", "write", "review", "review-own", "admin")


@click.group(name="api")
def group() -> None:
    """Make tokens for the API; print its OpenAPI document."""


@group.command(name="token")
@click.option(
    "--owner",
    default="me",
    show_default=True,
    metavar="OWNER",
    help="Whose assets the token reads and changes.",
)
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(_SCOPES),
    multiple=True,
    default=("read", "write"),
    show_default=True,
    help="What it is good for; may be repeated. admin is for everybody's assets.",
)
@click.option(
    "--hours",
    type=click.IntRange(1, 8_760),
    default=24,
    show_default=True,
    metavar="N",
    help="How long it is valid.",
)
@data_option
@json_option
def token_command(
    *, owner: str, scopes: tuple[str, ...], hours: int, data: Path | None, as_json: bool
) -> None:
    """Print a token for the API of the local stack.

    On AWS the issuer that the stack names makes the tokens.
    """
    from worker.local.api import development_token

    target = find_target(data)
    made = development_token(target.app.settings, owner, scopes, seconds=hours * 3600)
    address = target.local.api if target.local is not None else None
    if as_json:
        output.print_json({"token": made, "owner": owner, "scopes": list(scopes), "api": address})
    else:
        click.echo(made)


@group.command(name="document")
@json_option
def document_command(*, as_json: bool) -> None:  # noqa: ARG001 - it is JSON in any case
    """Print the OpenAPI document, as docs/openapi.json has it."""
    click.echo(document(), nl=False)


def document() -> str:
    """The OpenAPI document as it is written down."""
    from worker.entrypoints.api.app import ApiServices, create

    def services() -> ApiServices:
        raise NotImplementedError  # nothing is asked

    return json.dumps(create(services).openapi(), indent=2, ensure_ascii=False) + "\n"
