"""``safelight up``."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.domain.errors import SafelightError
from worker.entrypoints.cli import output
from worker.entrypoints.cli.process import cores
from worker.entrypoints.cli.reach import DATA

if TYPE_CHECKING:
    from worker.local.address import Address

_EPILOG = """\b
DIR holds everything: the state of the embedded AWS, logs/ of every process, events.jsonl, and
stack.json, by which the other commands find the stack. Stopped or killed, and started again, it
goes on where it was; `rm -r DIR` forgets everything.

\b
Exit codes
  2    the port is taken, or this is no checkout with Pulumi
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
    "--workers",
    type=click.IntRange(1, 256),
    metavar="N",
    help="Processes that handle pictures.  [default: processor cores]",
)
@click.option(
    "--deleted-originals",
    type=click.Choice(["keep", "erase"]),
    default="keep",
    show_default=True,
    help="What becomes of an asset whose original is deleted by S3.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what happens as one JSON a line.")
def command(
    *, data: Path, port: int, workers: int | None, deleted_originals: str, as_json: bool
) -> int:
    """Run the whole pipeline on this machine, until Ctrl-C.

    Starts an embedded AWS on loopback, creates the resources of the Pulumi program in it, and runs
    the ingest function fed by its queue. Needs a checkout of Safelight, and no AWS account; nothing
    leaves this machine.
    """
    from worker.infra import checkout
    from worker.job_context import Stop
    from worker.local.stack import Stack, StackOptions
    from worker.settings import DeletedOriginals

    checkout.require()
    talk = _Json() if as_json else _Text()
    stop = Stop()
    order = StackOptions(
        data=data,
        port=port,
        workers=workers or cores(),
        deleted_originals=DeletedOriginals(deleted_originals),
    )
    with stop.on_signals():
        try:
            Stack(order, say=talk.say).run(stop, talk.ready)
        except SafelightError:
            if not stop.requested:
                raise
            # Half started and told to stop: what does not answer any more is no finding.
        talk.stopped()
    return output.INTERRUPTED


class _Text:
    """For people: endpoints once, then a line for what happens."""

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
            f"  endpoint     {address.endpoint}  (region {names['AWS_REGION']})",
            f"  intake       s3://{bucket}",
            f"  renditions   s3://{outputs['deliveryBucket']}",
            f"  quarantine   s3://{outputs['quarantineBucket']}",
            f"  catalog      table {outputs['table']}",
            f"  logs         {_shown(address.data / 'logs')}",
            "",
            "Put a picture in and look at it:",
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


class _Json:
    """For programs: one object a line."""

    def say(self, line: str) -> None:
        self._print({"state": "note", "message": line})

    def ready(self, address: Address, pids: Mapping[str, int]) -> None:
        self._print(
            {
                "state": "ready",
                "endpoint": address.endpoint,
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
    """How this installation's command is called from here."""
    beside = Path(sys.executable).with_name("safelight")
    return _shown(beside) if beside.exists() else "safelight"


def _shown(path: Path) -> str:
    """A path as short as it can be typed from here."""
    near = os.path.relpath(path)
    return str(path) if near.startswith("..") else near
