"""``safelight process``, with a progress bar on a terminal and a line for each image elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from worker.entrypoints.cli import output
from worker.entrypoints.cli.parameters import Number
from worker.services.process_files.wording import seconds_text, size_text

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from worker.services.process_files.output_folder import Entry
    from worker.services.process_files.run import ProgressReporter, RunReport


_EPILOG = """
Writes DIR/<name>/<rendition>.<ext>, DIR/manifest.json and DIR/index.html, a gallery to look at.
<name> is the file's name made safe; files of the same name get a hash of their path appended.

Run it again to continue: what did not change (source, recipe, Safelight) is skipped. Results of
other sources in DIR are kept and stay listed.

\b
Exit codes
  0    every image was accepted
  1    some were rejected; the manifest says why
  2    wrong use: an option, a missing input, a recipe with mistakes (all are listed)
  3    DIR cannot be written, is used by another run, or is full; what is finished is kept
  70   a defect in Safelight
  130  stopped by Ctrl-C or SIGTERM; what is finished is kept and listed
"""


@click.command(name="process", epilog=_EPILOG)
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Output folder."
)
@click.option(
    "--recipe",
    default="default",
    show_default=True,
    metavar="NAME|FILE",
    help="A shipped recipe, or a .toml file.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1, max=1024),
    metavar="N",
    help="Images processed at the same time.  [default: processor cores]",
)
@click.option(
    "--timeout",
    type=Number(min=0.1, max=86_400),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="An image that takes longer is tried once more, then rejected.",
)
@click.option("--force", is_flag=True, help="Process unchanged images again.")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest to standard output.")
def command(
    *,
    inputs: tuple[Path, ...],
    out: Path,
    recipe: str,
    jobs: int | None,
    timeout: float,
    force: bool,
    as_json: bool,
) -> int:
    """Process images and folders into an output folder.

    INPUTS are files and folders. Folders are processed whole, without hidden files, symbolic links
    that lead out of them, and the output folder. A link that is given as an input is followed.
    """
    from worker import recipes
    from worker.job_context import Stop, processors
    from worker.services.process_files.pool import LIMITS, real_engine
    from worker.services.process_files.run import RunOptions, process_files

    options = RunOptions(
        inputs=inputs,
        out=out,
        recipe=recipes.load(recipe),
        jobs=jobs or processors(),
        force=force,
        limits=replace(LIMITS, wall_seconds=timeout, cpu_seconds=timeout * 2),
    )
    stop = Stop()
    with stop.on_signals(), reporter_for(sys.stderr, quiet=as_json) as reporter:
        report = process_files(options, engine=real_engine(), reporter=reporter, stop=stop)
    _print_report(report, out, as_json=as_json)
    return _code(report)


def _print_report(report: RunReport, out: Path, *, as_json: bool) -> None:
    if as_json:
        from worker.services.process_files.output_folder import manifest_text

        click.echo(manifest_text(report.entries), nl=False)
    if report.failure is not None:
        output.print_error(report.failure, as_json=as_json)
    elif report.interrupted:
        left = report.total - report.accepted - report.rejected
        click.echo(f"stopped; {left} left, run the same command again to continue", err=True)
    if as_json:
        return
    if report.left_out:
        few = ", ".join(output.one_line(label) for label in report.left_out[:3])
        more = f" and {len(report.left_out) - 3} more" if len(report.left_out) > 3 else ""
        click.echo(f"left out, because these links lead out of their folder: {few}{more}", err=True)
    parts = [f"{report.accepted} accepted", f"{report.rejected} rejected"]
    if report.unchanged:
        parts.append(f"{report.unchanged} unchanged")
    sizes = f"{size_text(report.bytes_in)} in, {size_text(report.bytes_out)} out"
    click.echo(f"{', '.join(parts)}; {sizes}, {seconds_text(report.seconds)}")
    click.echo(f"gallery: {output.one_line(str(out / 'index.html'))}")


def _code(report: RunReport) -> int:
    if report.failure is not None:
        return output.exit_code(report.failure)
    if report.interrupted:
        return output.INTERRUPTED
    return output.REJECTED if report.rejected else 0


# --- progress ---------------------------------------------------------------------------------


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


def entry_text(entry: Entry) -> str:
    """Return one finished source in one line."""
    if entry.reason is not None:
        return output.one_line(
            f"rejected {entry.source}: {entry.reason.code}: {entry.reason.message}"
        )
    made = sum(rendition.bytes for rendition in entry.renditions)
    equal = sum(rendition.same_as is not None for rendition in entry.renditions)
    files = f"{len(entry.renditions)} files" + (f" ({equal} the same as another)" if equal else "")
    warned = f", {', '.join(entry.probe.warnings)}" if entry.probe and entry.probe.warnings else ""
    return output.one_line(
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
        click.echo(entry_text(entry), err=True)


class _Bar:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None

    def begin(self, *, total: int, unchanged: int) -> None:
        self._task = self._progress.add_task("", total=total - unchanged, rate="")

    def done(self, entry: Entry) -> None:
        assert self._task is not None
        if entry.reason is not None:
            self._progress.console.print(entry_text(entry), markup=False, highlight=False)
        speed = self._progress.tasks[0].speed
        self._progress.update(
            self._task, advance=1, rate=f"{speed:.1f} a second" if speed else "starting"
        )
