"""How a run is shown while it works: a bar on a terminal, a line for each picture elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

import click

from worker.entrypoints.cli.output import one_line
from worker.services.process_files.wording import seconds_text, size_text

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from worker.services.process_files.output_folder import Entry
    from worker.services.process_files.run import ProgressReporter


@contextlib.contextmanager
def reporter_for(stream: TextIO, *, quiet: bool) -> Iterator[ProgressReporter]:
    """Return the way to report on this stream.

    Args:
        stream: where to.
        quiet: without a terminal, say nothing.
    """
    if not stream.isatty():
        yield _Silence() if quiet else _Lines()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
    )
    console = Console(file=stream)
    with Progress(*columns, console=console, transient=True, expand=True) as progress:
        yield _Bar(progress)


def line(entry: Entry) -> str:
    """Return one finished source in one line."""
    if entry.reason is not None:
        return one_line(f"rejected {entry.source}: {entry.reason.code}: {entry.reason.message}")
    made = sum(rendition.bytes for rendition in entry.renditions)
    equal = sum(rendition.same_as is not None for rendition in entry.renditions)
    files = f"{len(entry.renditions)} files" + (f" ({equal} the same as another)" if equal else "")
    warned = f", {', '.join(entry.probe.warnings)}" if entry.probe and entry.probe.warnings else ""
    return one_line(
        f"accepted {entry.source}: {files}, {size_text(made)},"
        f" {seconds_text(entry.seconds)}{warned}"
    )


class _Silence:
    def begin(self, *, total: int, unchanged: int) -> None:
        """Say nothing."""

    def done(self, entry: Entry) -> None:
        """Say nothing."""


class _Lines:
    def begin(self, *, total: int, unchanged: int) -> None:
        skipped = f", {unchanged} unchanged" if unchanged else ""
        click.echo(f"{total} {'file' if total == 1 else 'files'}{skipped}", err=True)

    def done(self, entry: Entry) -> None:
        click.echo(line(entry), err=True)


class _Bar:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None

    def begin(self, *, total: int, unchanged: int) -> None:
        self._task = self._progress.add_task("", total=total - unchanged, rate="")

    def done(self, entry: Entry) -> None:
        assert self._task is not None
        if entry.reason is not None:
            self._progress.console.print(line(entry), markup=False, highlight=False)
        speed = self._progress.tasks[0].speed
        self._progress.update(
            self._task, advance=1, rate=f"{speed:.1f} a second" if speed else "starting"
        )
