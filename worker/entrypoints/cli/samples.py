"""``safelight samples``."""

from __future__ import annotations

from pathlib import Path

import click

from worker.domain.errors import InputError
from worker.entrypoints.cli import output


@click.command(name="samples")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="Print the paths as JSON.")
def command(*, folder: Path, as_json: bool) -> None:
    """Write sample pictures to try things on: orientations, colours, animations, broken ones."""
    from worker.samples import write

    try:
        written = write(folder)
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}", code="output_unwritable") from error
    if as_json:
        output.print_json([str(path) for path in written])
    else:
        from worker.samples.catalogue import describe

        click.echo(describe())
        click.echo(f"{len(written)} files in {output.one_line(str(folder))}")
