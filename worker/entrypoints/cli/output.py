"""Output of commands: errors, exit codes, JSON, tables and rows, with names escaped for
terminals."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.domain.errors import (
    ConfigurationError,
    EngineError,
    InputError,
    ProblemsError,
    Reason,
    SafelightError,
    StorageFull,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console
    from rich.table import Table

    from worker.services.invariants import Violation


REJECTED = 1
USAGE = 2
STORAGE = 3
DEFECT = 70
TRY_AGAIN = 75
INTERRUPTED = 130
BROKEN_PIPE = 141

_UNFOLDED = 100_000
"""Width that no printed line reaches."""

_REASONS = frozenset(reason.value for reason in Reason)
_PREFIXES = {"output_": STORAGE, "input_": USAGE}
_CODES = {StorageFull.code: STORAGE, EngineError.code: DEFECT}


def exit_code(error: SafelightError) -> int:
    """Return the exit code of an error, from its ``code`` and ``retryable`` alone."""
    if error.code in _REASONS:
        return REJECTED
    if error.code in _CODES:
        return _CODES[error.code]
    for prefix, code in _PREFIXES.items():
        if error.code.startswith(prefix):
            return code
    return TRY_AGAIN if error.retryable else USAGE


def print_error(error: SafelightError, *, as_json: bool) -> None:
    """Write an error to standard error: one line, and one more for each problem it lists."""
    problems = error.problems if isinstance(error, ProblemsError) else ()
    message = error.message.partition("\n")[0] if problems else error.message
    if as_json:
        body: dict[str, Any] = {"code": error.code, "message": message}
        if problems:
            body["problems"] = [
                {"path": p.path, "message": p.message} | ({"code": p.code} if p.code else {})
                for p in problems
            ]
        click.echo(json.dumps({"error": body}), err=True)
        return
    click.echo(f"{click.style(f'error[{error.code}]', fg='red')}: {one_line(message)}", err=True)
    for problem in problems:
        click.echo(f"  {one_line(str(problem))}", err=True)


def print_usage(error: click.ClickException, *, as_json: bool) -> int:
    """Write the mistake in the arguments; return the exit code."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return USAGE
    message = error.format_message()
    if isinstance(error, click.UsageError) and error.ctx is not None and not as_json:
        message = f"{message} ({error.ctx.command_path} --help says more)"
    print_error(ConfigurationError(message, code="usage"), as_json=as_json)
    return USAGE


def unexpected(error: Exception) -> SafelightError:
    """Return an unexpected error as one of the tree."""
    text = f"{type(error).__name__}: {error}"
    return EngineError(f"{text} (a defect in Safelight; SAFELIGHT_DEBUG=1 shows the traceback)")


def print_json(value: object) -> None:
    """Write a JSON-ready value to standard output."""
    click.echo(json.dumps(value, indent=2))


def print_line(value: object) -> None:
    """Write one JSON-ready value as one line and flush it, because a reader may be following."""
    click.echo(json.dumps(value, separators=(",", ":")))
    sys.stdout.flush()


def one_line(text: str) -> str:
    """Return text with all characters escaped that could move the cursor or break the line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def table(title: str, rows: Iterable[tuple[str, object]]) -> Table:
    """Return a two-column table; empty values are left out."""
    from rich.table import Table
    from rich.text import Text

    grid = Table(title=one_line(title), title_justify="left", show_header=False, box=None)
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in rows:
        if value is not None and value not in ("", ()):
            # Text, not a string: square brackets in a caption are not markup.
            grid.add_row(label, Text(one_line(str(value))))
    return grid


def console() -> Console:
    """Return the console of standard output."""
    from rich.console import Console

    # A pipe has no width: lines are never wrapped there.
    width = None if sys.stdout.isatty() else _UNFOLDED
    return Console(width=width, highlight=False, soft_wrap=False)


# --- rows -------------------------------------------------------------------------------------


def print_rows(
    short: Sequence[str],
    long: Sequence[str],
    rows: Sequence[Sequence[str]],
) -> None:
    """Write rows below a header.

    A line is never wrapped: in a pipe each row is one line, and on a narrow terminal the long
    columns follow on a separate line below the short ones.

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
        lines = [_row(row, (*narrow, *wide), widths)]
        if two:
            lines = [_row(row, narrow, widths), f"  {_row(row, wide, widths)}".rstrip()]
        for line in lines:
            click.echo(line if number else click.style(line, dim=True))


@contextlib.contextmanager
def writing(option: str, path: Path) -> Iterator[None]:
    """Map each ``OSError`` of the block, which writes what an option names.

    Raises:
        StorageFull: no space is left.
        InputError: ``output_unwritable``.
    """
    try:
        yield
    except OSError as error:
        from worker.atomic import disk_full  # most commands do without

        said = f"{option} {path}: {error.strerror or error}"
        if disk_full(error):
            raise StorageFull(said) from error
        raise InputError(said, code="output_unwritable") from error


def violations_text(found: Sequence[Violation]) -> str:
    """A sentence about the violations of a check: how many, of how many rules."""
    count, rules = len(found), len({one.rule for one in found})
    return (
        f"{count:,} violation{'' if count == 1 else 's'} of {rules} rule{'' if rules == 1 else 's'}"
    )


def _row(row: Sequence[str], columns: Sequence[int], widths: dict[int, int]) -> str:
    cells = [row[at] + " " * (widths[at] - _width(row[at])) for at in columns]
    return "  ".join(cells).rstrip()


def _width(text: str) -> int:
    """Terminal columns of a text: some characters take two, some none."""
    from rich.cells import cell_len

    return len(text) if text.isascii() else cell_len(text)


# --- waiting for others -----------------------------------------------------------------------


@contextlib.contextmanager
def explain_interrupt(what: str, commands: Sequence[str], data: Path | None) -> Iterator[None]:
    """On Ctrl-C or SIGTERM, say that the work continues and how to follow and stop it.

    Args:
        what: the sentence that says so.
        commands: to follow and to stop the work.
        data: folder of the local stack, if it was named.
    """
    try:
        yield
    except KeyboardInterrupt:
        option = "" if data is None else f" --data {data}"
        click.echo(f"\n{what}", err=True)
        for command in commands:
            click.echo(one_line(f"  {command}{option}"), err=True)
        raise
