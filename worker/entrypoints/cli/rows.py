"""Lists of things for a person: a header and a line for each, two where the terminal is narrow."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

import click

from worker.entrypoints.cli.output import one_line


def print_rows(
    short: Sequence[str],
    long: Sequence[str],
    rows: Sequence[Sequence[str]],
) -> None:
    """Write rows below a header.

    A line is never folded: in a pipe each row is one line, and on a terminal that is too narrow
    the long columns stand on a line of their own below the short ones.

    Args:
        short: names of the columns of a few characters.
        long: names of the columns behind them: ids, keys, sentences.
        rows: of as many cells as there are columns. A column without any content is left out.
    """
    table = [[one_line(cell) for cell in row] for row in ((*short, *long), *rows)]
    shown = [any(row[at] for row in table[1:]) for at in range(len(table[0]))]
    narrow = [at for at in range(len(short)) if shown[at]]
    wide = [at for at in range(len(short), len(table[0])) if shown[at]]
    widths = {at: max(_width(row[at]) for row in table) for at in (*narrow, *wide)}
    two = sys.stdout.isatty() and (
        sum(widths.values()) + 2 * (len(widths) - 1) > shutil.get_terminal_size().columns
    )
    for number, row in enumerate(table):
        lines = [_line(row, (*narrow, *wide), widths)]
        if two:
            lines = [_line(row, narrow, widths), f"  {_line(row, wide, widths)}".rstrip()]
        for line in lines:
            click.echo(line if number else click.style(line, dim=True))


def _line(row: Sequence[str], columns: Sequence[int], widths: dict[int, int]) -> str:
    cells = [row[at] + " " * (widths[at] - _width(row[at])) for at in columns]
    return "  ".join(cells).rstrip()


def _width(text: str) -> int:
    """Columns of a terminal that a text takes: some letters take two, some none."""
    from rich.cells import cell_len

    return len(text) if text.isascii() else cell_len(text)
