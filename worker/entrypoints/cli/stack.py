"""``safelight up``: the local stack."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.domain.errors import SafelightError
from worker.entrypoints.cli import output
from worker.entrypoints.cli.parameters import Number
from worker.entrypoints.cli.target import DATA

if TYPE_CHECKING:
    from worker.local.address import Address


# --- up ---------------------------------------------------------------------------------------


_EPILOG = """\b
DIR holds everything: the state of the embedded AWS, logs/ of every process, events.jsonl, and
stack.json, by which the other commands find the stack. Stopped or killed, it continues from there
when it is started again; `rm -r DIR` removes everything.

\b
Exit codes
  2    the port is taken, or this is not a checkout with Pulumi
  3    another stack uses DIR, or it is full or cannot be written
  75   something did not start; the message names its log
  130  stopped by Ctrl-C or SIGTERM; everything is kept
"""


@click.command(name="up", epilog=_EPILOG)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=DATA,
    show_default=True,
    metavar="DIR",
    help="Where the stack keeps everything.",
)
@click.option(
    "--port",
    type=click.IntRange(1024, 65_535),
    default=4566,
    show_default=True,
    help="Port of the embedded AWS, on 127.0.0.1.",
)
@click.option(
    "--api-port",
    type=click.IntRange(0, 65_535),
    metavar="PORT",
    help="Port of the API, on 127.0.0.1; 0 for any.  [default: the one after --port]",
)
@click.option(
    "--delivery-port",
    type=click.IntRange(0, 65_535),
    metavar="PORT",
    help="Port of the delivery server; 0 for any.  [default: the one after the API's]",
)
@click.option("--emulator-port", type=click.IntRange(1024, 65_535), hidden=True)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    metavar="N",
    help="Processes that handle images.  [default: processor cores]",
)
@click.option(
    "--deleted-originals",
    type=click.Choice(["keep", "erase"]),
    default="keep",
    show_default=True,
    help="What happens to an asset whose original is deleted in S3.",
)
@click.option(
    "--recipe",
    default="default",
    show_default=True,
    metavar="NAME|FILE",
    help="Recipe of uploads that choose none.",
)
@click.option(
    "--webhook",
    "webhooks",
    multiple=True,
    metavar="NAME=URL",
    help="Send every event to this endpoint, on loopback or the internet; may be repeated.",
)
@click.option(
    "--daily-limit",
    type=Number(0, 1_000_000_000),
    default=0,
    envvar="SAFELIGHT_DAILY_LIMIT",
    show_envvar=True,
    metavar="USD",
    help="Optional work pauses when a day's work would have cost so much on AWS.  [default: none]",
)
@click.option("--json", "as_json", is_flag=True, help="Print each event as one line of JSON.")
def up_command(
    *,
    data: Path,
    port: int,
    api_port: int | None,
    delivery_port: int | None,
    emulator_port: int | None,
    workers: int | None,
    deleted_originals: str,
    recipe: str,
    webhooks: tuple[str, ...],
    daily_limit: float,
    as_json: bool,
) -> int:
    """Run the whole pipeline on this machine, until Ctrl-C.

    Starts an embedded AWS on loopback, creates the resources of the Pulumi program in it, and runs
    the ingest function fed by its queue. Needs a checkout of Safelight, and no AWS account; nothing
    leaves this machine.
    """
    from worker.infra import checkout
    from worker.job_context import Stop, processors
    from worker.local.stack import Stack, StackOptions
    from worker.recipes import load
    from worker.settings import DeletedOriginals

    checkout.require()
    if recipe.lower().endswith(".toml"):
        recipe = str(Path(recipe).absolute())  # workers have other working directories
    load(recipe)  # a mistake in it is told now, and not by every worker
    talk = _StackJson() if as_json else _StackText()
    stop = Stop()
    order = StackOptions(
        data=data,
        port=port,
        api_port=api_port,
        delivery_port=delivery_port,
        emulator_port=emulator_port,
        workers=workers or processors(),
        deleted_originals=DeletedOriginals(deleted_originals),
        recipe=recipe,
        webhooks=_endpoints(webhooks),
        daily_limit=daily_limit,
    )
    with stop.on_signals():
        try:
            Stack(order, say=talk.say).run(stop, talk.ready)
        except SafelightError:
            if not stop.requested:
                raise
            # Stopped while it started: errors of parts that no longer answer are expected.
        talk.stopped()
    return output.INTERRUPTED


def _endpoints(pairs: Sequence[str]) -> Mapping[str, str]:
    """Raises ``click.UsageError`` with all that is wrong with one."""
    from worker.domain import webhook

    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, url = pair.partition("=")
        try:
            if not equals:
                raise ValueError("must be NAME=URL")
            webhook.check_name(name)
            webhook.WebhookUrl.parse(url)
        except ValueError as error:
            raise click.UsageError(f"--webhook {pair}: {error}") from None
        if name in found:
            raise click.UsageError(f"--webhook {pair}: there are two of this name")
        found[name] = url
    return found


class _StackText:
    """For people: the endpoints once, then a line for each event."""

    def say(self, line: str) -> None:
        click.echo(f"up: {output.one_line(line)}", err=True)

    def ready(self, address: Address, pids: Mapping[str, int]) -> None:
        from worker.local.address import CONFIGURATION
        from worker.local.roles import OPERATOR

        names, outputs = address.environment, address.outputs
        bucket = outputs["intakeBucket"]
        me = _program()
        data = "" if address.data == DATA.absolute() else f" --data {_shown(address.data)}"
        lines = [
            f"Safelight is up: {_listed(pids)}",
            "",
            f"  console      {address.api}/console/",
            f"  api          {address.api}  (its document: {address.api}/openapi.json)",
            f"  delivery     {address.delivery}  (a page of it: {address.api}/demo/)",
            f"  token        {address.token}",
            f"  endpoint     {address.endpoint}  (region {names['AWS_REGION']})",
            f"  intake       s3://{bucket}",
            f"  renditions   s3://{outputs['deliveryBucket']}",
            f"  quarantine   s3://{outputs['quarantineBucket']}",
            f"  catalog      table {outputs['table']}",
            f"  logs         {_shown(address.data / 'logs')}",
            "",
            "Upload an image and look at it:",
            "",
            f"  {me} put photo.jpg --wait{data}",
            f"  {me} assets list{data}",
            f"  {me} events tail{data}",
            "",
            "or with any S3 client:",
            "",
            f"  AWS_CONFIG_FILE={_shown(address.data / CONFIGURATION)} AWS_PROFILE={OPERATOR} \\",
            f"    aws s3 cp photo.jpg s3://{bucket}/uploads/",
            "",
            "Ctrl-C stops everything.",
        ]
        click.echo("\n".join(lines))

    def stopped(self) -> None:
        click.echo("up: stopped, everything is saved", err=True)


class _StackJson:
    """For programs: one object a line."""

    def say(self, line: str) -> None:
        self._print({"state": "note", "message": line})

    def ready(self, address: Address, pids: Mapping[str, int]) -> None:
        self._print(
            {
                "state": "ready",
                "endpoint": address.endpoint,
                "api": address.api,
                "delivery": address.delivery,
                "token": address.token,
                "data": str(address.data),
                "outputs": dict(address.outputs),
                "environment": dict(address.environment),
                "processes": dict(pids),
            }
        )

    def stopped(self) -> None:
        self._print({"state": "stopped"})

    def _print(self, value: Mapping[str, object]) -> None:
        output.print_line(value)


def _listed(pids: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({pid})" for name, pid in pids.items())


def _program() -> str:
    """The command of this installation as it can be typed here."""
    beside = Path(sys.executable).with_name("safelight")
    return _shown(beside) if beside.exists() else "safelight"


def _shown(path: Path) -> str:
    """The shortest path that can be typed here."""
    near = os.path.relpath(path)
    return str(path) if near.startswith("..") else near
