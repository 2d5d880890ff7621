"""``safelight dlq``: messages that failed too often."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.domain.errors import InputError
from worker.entrypoints.cli import output
from worker.entrypoints.cli.parameters import Number
from worker.entrypoints.cli.target import Target, data_option, find_target, json_option
from worker.services.process_files.wording import age_text

if TYPE_CHECKING:
    from worker.services.dead_letters import DeadLetter, DeadLetters, QueuePair, Selection, Summary

_EPILOG = """\b
These are the dead letters of the intake queues, of the workflow of heavy work, of invalidations and
of webhooks.
A cause is the error code (docs/errors.md) of the last failure, or one of
  message_malformed  the message is not an event that this queue takes, and never will be
  no_upload          the event announces no upload
  settled            the catalog has this upload or a newer one; nothing waits for it
  undelivered        the bus could not hand over the event: heavy work was not started, or files of
                     an asset were not invalidated
  not_invalidated    edges may still serve files of an asset that was deleted, held back or replaced
  failed             the workflow failed; the reason is not an error of Safelight
  webhook_...        the receiver of an endpoint did not take the event (webhook_gone and others);
                     `safelight webhooks redrive NAME` sends those of one endpoint back
  unknown            no failure is recorded: the worker was killed or could not reach the catalog
"""


@click.group(name="dlq", epilog=_EPILOG)
def group() -> None:
    """List messages that failed too often; send them back or drop them."""


def _choice_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that choose messages; the command gets what they choose as ``choice``."""

    @click.option(
        "--cause",
        "causes",
        multiple=True,
        metavar="CODE",
        help="Only messages with this cause; may be repeated.",
    )
    @click.option(
        "--id", "ids", multiple=True, metavar="ID", help="Only this message; may be repeated."
    )
    @click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most N messages.")
    @functools.wraps(command)
    def with_choice(
        *, causes: tuple[str, ...], ids: tuple[str, ...], limit: int | None, **others: Any
    ) -> Any:
        from worker.services.dead_letters import Selection

        choice = Selection(causes=frozenset(causes), ids=frozenset(ids), limit=limit)
        return command(choice=choice, **others)

    return with_choice


@group.command(name="list")
@data_option
@json_option
def list_command(*, data: Path | None, as_json: bool) -> None:
    """Show how many messages failed, and why: a line for each queue, cause and reason.

    Reasons that differ only in names, ids and numbers count as one; the id is an example for
    `dlq show --id`. The age is that of the oldest message.
    """
    from worker.services.dead_letters import groups

    found = groups(_dead_letters(data).look())
    if as_json:
        output.print_json(
            [
                {
                    "queue": each.pair.name,
                    "cause": each.cause,
                    "reason": each.reason,
                    "count": each.count,
                    "oldest": each.oldest,
                    "example": dead_letter_json(each.example),
                }
                for each in found
            ]
        )
        return
    if not found:
        click.echo("no dead letters")
        return
    now = datetime.now(UTC)
    rows = [
        (
            *(str(each.count), age_text(each.oldest, now), each.cause),
            *(each.pair.name, each.example.message.id, each.reason),
        )
        for each in found
    ]
    output.print_rows(("count", "oldest", "cause"), ("queue", "example", "reason"), rows)


@group.command(name="show")
@_choice_options
@data_option
@json_option
def show_command(
    *,
    choice: Selection,
    data: Path | None,
    as_json: bool,
) -> None:
    """Show the messages. They stay in the queue."""
    found = _dead_letters(data).look(choice)
    if as_json:
        output.print_json([dead_letter_json(one) for one in found])
        return
    if not found:
        click.echo("no dead letters")
    console = output.console()
    for one in found:
        message = one.message
        rows = [
            ("cause", f"{one.cause}: {one.reason}"),
            ("queue", one.pair.name),
            ("sent", message.sent_at),
            *(("object", f"s3://{each.bucket}/{each.key}") for each in one.uploads),
            *(("asset", asset) for asset in one.assets),
            ("body", message.body),
        ]
        console.print(output.table(message.id, rows))


@group.command(name="redrive")
@click.option(
    "--rate",
    type=Number(min=0.01, max=1000),
    default=10.0,
    show_default=True,
    metavar="N",
    help="Messages a second.",
)
@_choice_options
@data_option
@json_option
def redrive_command(
    *,
    rate: float,
    choice: Selection,
    data: Path | None,
    as_json: bool,
) -> int:
    """Send messages back to the queue they came from: all, or those chosen.

    Messages of the workflow start the work on their upload again. Repeating it is safe: an upload
    is recorded once. Messages that can never succeed (message_malformed, no_upload) stay, unless
    --cause or --id names them.
    """
    from worker.job_context import Stop

    stop = Stop()
    with stop.on_signals():
        summary = _dead_letters(data).redrive(choice, rate=rate, stopped=lambda: stop.requested)
    say_summary(summary, "sent back", as_json=as_json)
    return output.INTERRUPTED if stop.requested else 0


@group.command(name="drop")
@click.option("--all", "everything", is_flag=True, help="Every message.")
@_choice_options
@data_option
@json_option
def drop_command(
    *,
    everything: bool,
    choice: Selection,
    data: Path | None,
    as_json: bool,
) -> int:
    """Delete messages for good: those of a cause, single ones, or --all."""
    from worker.job_context import Stop

    if not (everything or choice.causes or choice.ids):
        raise click.UsageError("give --cause, --id or --all")
    stop = Stop()
    with stop.on_signals():
        summary = _dead_letters(data).drop(choice, stopped=lambda: stop.requested)
    say_summary(summary, "dropped", as_json=as_json)
    if choice.ids and not summary.done:
        raise InputError("no such message", code="input_missing")
    return output.INTERRUPTED if stop.requested else 0


def dead_letter_json(dead_letter: DeadLetter) -> Mapping[str, Any]:
    """Return a dead letter as JSON-ready values."""
    message = dead_letter.message
    return {
        "id": message.id,
        "queue": dead_letter.pair.name,
        "cause": dead_letter.cause,
        "reason": dead_letter.reason,
        "sent_at": message.sent_at,
        "group": message.group,
        "objects": [f"s3://{each.bucket}/{each.key}" for each in dead_letter.uploads],
        "assets": list(dead_letter.assets),
        "body": message.body,
    }


def _dead_letters(data: Path | None) -> DeadLetters:
    target = find_target(data)
    return dead_letters_of(target, target.queue_pairs)


def dead_letters_of(target: Target, pairs: Sequence[QueuePair]) -> DeadLetters:
    """The dead letters of some queues."""
    from worker.services.dead_letters import DeadLetters

    app = target.app

    return DeadLetters(app.queue, app.catalog, pairs, restart=app.follow)


def say_summary(summary: Summary, done: str, *, as_json: bool) -> None:
    """Print what a redrive or a drop has done."""
    total = summary.done.total()
    if as_json:
        output.print_json({"messages": total, "causes": dict(summary.done), "left": summary.left})
        return
    parts = ", ".join(f"{count} {cause}" for cause, count in summary.done.most_common())
    left = f"; {summary.left} left" if summary.left else ""
    click.echo(output.one_line(f"{total} {done}" + (f": {parts}" if parts else "") + left))
