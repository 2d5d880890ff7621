"""What a command says that is interrupted while it waits for work that others do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from worker.entrypoints.cli import output


@contextlib.contextmanager
def going_on(what: str, commands: Sequence[str], data: Path | None) -> Iterator[None]:
    """Say, on Ctrl-C or SIGTERM, that the work goes on and how to follow and stop it.

    Args:
        what: goes on, in a sentence.
        commands: each with what it does, like ``safelight jobs stop ID stops it``.
        data: folder of the local stack, if it was named.
    """
    try:
        yield
    except KeyboardInterrupt:
        place = "" if data is None else f" --data {data}"
        click.echo(f"\n{what}", err=True)
        for command in commands:
            click.echo(output.one_line(f"  {command}{place}"), err=True)
        raise
