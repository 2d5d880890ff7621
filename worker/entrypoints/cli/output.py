"""How commands speak: errors, exit codes, JSON, and names that are safe on a terminal."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from worker.domain.errors import EngineError, ProblemsError, Reason, SafelightError, StorageFull

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console
    from rich.table import Table

REJECTED = 1
USAGE = 2
STORAGE = 3
DEFECT = 70
TRY_AGAIN = 75
INTERRUPTED = 130
BROKEN_PIPE = 141

_UNFOLDED = 100_000
"""Columns of a line that nothing shown here fills."""

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
    """Write what click has against the arguments; return the exit code."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return USAGE
    message = error.format_message()
    if isinstance(error, click.UsageError) and error.ctx is not None and not as_json:
        message = f"{message} ({error.ctx.command_path} --help says more)"
    print_error(SafelightError(message, code="usage"), as_json=as_json)
    return USAGE


def unexpected(error: Exception) -> SafelightError:
    """Return what to say about an error that nobody foresaw."""
    said = f"{type(error).__name__}: {error}"
    return EngineError(f"{said} (a defect in Safelight; SAFELIGHT_DEBUG=1 shows the traceback)")


def print_json(value: object) -> None:
    """Write JSON-ready values to standard output."""
    click.echo(json.dumps(value, indent=2))


def print_line(value: object) -> None:
    """Write one JSON-ready value as one line, at once: somebody may be following."""
    click.echo(json.dumps(value, separators=(",", ":")))
    sys.stdout.flush()


def one_line(text: str) -> str:
    """Return text with everything escaped that could move a cursor or break a line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def table(title: str, rows: Iterable[tuple[str, object]]) -> Table:
    """Return a two-column table of what is known; values that say nothing are left out."""
    from rich.table import Table
    from rich.text import Text

    grid = Table(title=one_line(title), title_justify="left", show_header=False, box=None)
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in rows:
        if value is not None and value not in ("", ()):
            # Text, not a string: square brackets in a caption are no markup.
            grid.add_row(label, Text(one_line(str(value))))
    return grid


def console() -> Console:
    """Return the console of standard output."""
    from rich.console import Console

    # A pipe has no width: a line there is one thing known, and is never folded.
    width = None if sys.stdout.isatty() else _UNFOLDED
    return Console(width=width, highlight=False, soft_wrap=False)
