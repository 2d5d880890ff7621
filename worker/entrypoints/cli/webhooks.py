"""``safelight webhooks``: the endpoints that events are sent to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from worker.domain.errors import InputError
from worker.entrypoints.cli import output
from worker.entrypoints.cli.parameters import Number
from worker.entrypoints.cli.target import data_option, find_target, json_option

if TYPE_CHECKING:
    from worker.services.webhooks import Webhooks

LARGEST = 262_144
"""Bytes of an event, as EventBridge takes them."""


@click.group(name="webhooks")
def group() -> None:
    """Show and try the endpoints that events are sent to; change their secrets."""


@group.command(name="list")
@data_option
@json_option
def list_command(*, data: Path | None, as_json: bool) -> None:
    """Show the endpoints: how many events wait for each, and how many are dead letters."""
    webhooks = _webhooks(data)
    found = [
        (
            one,
            webhooks.queue.depth(one.queue, taken=True),
            webhooks.queue.depth(one.dead_letters, taken=True),
        )
        for one in webhooks.endpoints.values()
    ]
    if as_json:
        output.print_json(
            [
                {
                    "name": one.name,
                    "url": one.url,
                    "events": list(one.events),
                    "waiting": waiting,
                    "dead": dead,
                }
                for one, waiting, dead in found
            ]
        )
        return
    if not found:
        click.echo("no endpoints")
        return
    rows = [
        (one.name, str(waiting), str(dead), one.url, " ".join(one.events))
        for one, waiting, dead in found
    ]
    output.print_rows(("name", "waiting", "dead"), ("url", "events"), rows)


@group.command(name="test")
@click.argument("name")
@data_option
@json_option
def test_command(*, name: str, data: Path | None, as_json: bool) -> None:
    """Send an event of type safelight.test to an endpoint, once, from this machine."""
    sent = _webhooks(data).test(name)
    if as_json:
        output.print_json({"endpoint": name, "event": sent})
        return
    click.echo(f"{name} has taken the event {sent}")


@group.command(name="send")
@click.argument("name")
@click.argument("file", type=click.File("rb"))
@data_option
@json_option
def send_command(*, name: str, file: BinaryIO, data: Path | None, as_json: bool) -> None:
    """Put the event in FILE (JSON, - for standard input) into the queue of an endpoint.

    It is sent like any other: signed, and tried again until it is taken. Lines of `events tail
    --json` are such events.
    """
    text = file.read(LARGEST + 1)
    try:
        event = json.loads(text) if len(text) <= LARGEST else None
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict):
        said = f"{file.name}: no event: it must be one JSON object of at most {LARGEST} bytes"
        raise InputError(said, code="input_unreadable")
    _webhooks(data).send(name, event)
    if as_json:
        output.print_json({"endpoint": name, "event": event["id"]})
        return
    click.echo(f"{event['id']} waits in the queue of {name}")


@group.command(name="redrive")
@click.argument("name")
@click.option(
    "--rate",
    type=Number(min=0.01, max=1000),
    default=10.0,
    show_default=True,
    metavar="N",
    help="Events a second.",
)
@data_option
@json_option
def redrive_command(*, name: str, rate: float, data: Path | None, as_json: bool) -> int:
    """Send all dead letters of an endpoint back to its queue, those too that a receiver refused."""
    from worker.entrypoints.cli.dlq import dead_letters_of, say_summary
    from worker.job_context import Stop
    from worker.services.dead_letters import MALFORMED, Selection

    target = find_target(data)
    endpoint = target.app.webhooks.endpoint(name)
    pairs = [pair for pair in target.queue_pairs if pair.queue == endpoint.queue]
    stop = Stop()
    with stop.on_signals():
        summary = dead_letters_of(target, pairs).redrive(
            Selection(), rate=rate, stopped=lambda: stop.requested
        )
    say_summary(summary, "sent back", as_json=as_json)
    if summary.left and not as_json:
        click.echo(f"those left are no events: safelight dlq show --cause {MALFORMED}")
    return output.INTERRUPTED if stop.requested else 0


@group.command(name="rotate")
@click.argument("name")
@data_option
@json_option
def rotate_command(*, name: str, data: Path | None, as_json: bool) -> None:
    """Give an endpoint a new secret, and print it for the receiver.

    Requests are signed with the secrets before it as well, until `webhooks retire`. The functions
    know a new secret after five minutes at most.
    """
    made = _webhooks(data).rotate(name)
    if as_json:
        output.print_json({"endpoint": name, "secret": made})
        return
    click.echo(made)


@group.command(name="retire")
@click.argument("name")
@data_option
@json_option
def retire_command(*, name: str, data: Path | None, as_json: bool) -> None:
    """Forget all secrets of an endpoint but the newest, once its receiver knows that one."""
    count = _webhooks(data).retire(name)
    if as_json:
        output.print_json({"endpoint": name, "retired": count})
        return
    click.echo(f"{count} older secrets of {name} sign nothing any more")


def _webhooks(data: Path | None) -> Webhooks:
    return find_target(data).app.webhooks
