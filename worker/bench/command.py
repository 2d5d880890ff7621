"""``safelight bench``: parse, measure, print. Everything heavy is imported when it runs."""

from __future__ import annotations

import json
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from worker.bench.report import Report


@click.group("bench", invoke_without_command=True)
@click.option(
    "--corpus",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of JPEG photos, searched recursively.  [default: generated pictures]",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option(
    "--chart",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Draw a chart to FILE, .svg or .png.",
)
@click.option(
    "--markdown",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the figures into the page FILE, between its marks.",
)
@click.option(
    "--rounds",
    type=click.IntRange(1, 100),
    default=5,
    show_default=True,
    help="Times each photo is done by each contender; the least counts.",
)
@click.pass_context
def command(
    context: click.Context,
    corpus: Path | None,
    chart: Path | None,
    markdown: Path | None,
    rounds: int,
    *,
    as_json: bool,
) -> None:
    """Measure speed, size and quality against Pillow, sharp and the floor.

    One thread each, one at a time, in turns. Figures are CPU time, printed beside the goals they
    meet or miss. sharp takes part where node is; npm installs it into .safelight/bench.
    """
    if context.invoked_subcommand is not None:
        return
    from worker.bench import files, page, sharp
    from worker.bench.corpus import collect, generate
    from worker.bench.measure import run

    # Told before minutes of measuring, not after.
    files.check(chart, markdown)
    before = files.read_page(markdown)
    page.check(before)
    with tempfile.TemporaryDirectory(prefix="safelight-bench-") as folder:
        made, scratch = Path(folder, "corpus"), Path(folder, "scratch")
        made.mkdir()
        scratch.mkdir()
        if corpus is None:
            _say("no --corpus: generating pictures")
        report = run(
            collect(corpus) if corpus is not None else generate(made),
            scratch,
            rounds=rounds,
            command=_typed(corpus, chart, markdown, rounds),
            notice=_say,
            find_sharp=lambda: sharp.find(notice=_say),
        )
    if chart is not None:
        files.write_chart(chart, report)
    if markdown is not None:
        link = files.link(markdown, chart)
        files.write(markdown, page.updated(before, report, chart=link).encode())
    if as_json:
        click.echo(json.dumps(report.as_dict(), indent=2))
    else:
        _print(report)


def _typed(corpus: Path | None, chart: Path | None, markdown: Path | None, rounds: int) -> str:
    """The command line, without where on this machine the user keeps things."""
    words = ["safelight", "bench"]
    if corpus is not None:
        words += ["--corpus", f"~/{shlex.quote(corpus.resolve().name)}"]
    words += ["--rounds", str(rounds)]
    for option, value in (("--chart", chart), ("--markdown", markdown)):
        if value is not None:
            name = value.name if value.is_absolute() else value.as_posix()
            words += [option, shlex.quote(name)]
    return " ".join(words)


def _say(line: str) -> None:
    click.echo(f"bench: {line}", err=True)


def _print(report: Report) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from worker.bench import tables

    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        # A pipe has no width: rows must not be folded at 80.
        console = Console(highlight=False, width=200)
    for table in tables.all_of(report):
        drawn = Table(title=table.title, title_justify="left", title_style="bold")
        for number, name in enumerate(table.header):
            drawn.add_column(name, justify="left" if number == 0 else "right")
        for row in table.rows:
            drawn.add_row(*(Text(cell, style="red" if cell == "MISSED" else "") for cell in row))
        console.print(drawn)
    for line in tables.summary(report):
        console.print(Text(line))
