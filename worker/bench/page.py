"""The page in docs/: prose that people write, and between two marks what a run found.

Only what lies between the marks is ever replaced.
"""

from __future__ import annotations

from worker.bench import tables
from worker.bench.report import Report
from worker.bench.tables import Table
from worker.errors import InputError

BEGIN = "<!-- figures: written by safelight bench --markdown -->"
END = "<!-- end of figures -->"

_NEW = f"# Benchmarks\n\n{BEGIN}\n{END}\n"


def updated(page: str | None, report: Report, *, chart: str | None = None) -> str:
    """A page with the figures of a run.

    Args:
        page: what it says now; None or empty for a new one.
        report: the run.
        chart: address of the chart, relative to the page.

    Raises:
        InputError: the page has no marks, and so no place for figures.
    """
    before, after = check(page)
    return f"{before}{BEGIN}\n{figures(report, chart=chart)}{END}{after}"


def check(page: str | None) -> tuple[str, str]:
    """What stands before and after the figures of a page.

    Raises:
        InputError: the page has no marks, and so no place for figures.
    """
    before, begin, rest = (page or _NEW).partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(
            f"--markdown: the page has no lines {BEGIN!r} and {END!r} to put the figures between",
            code="output_unwritable",
        )
    return before, after


def figures(report: Report, *, chart: str | None = None) -> str:
    """The figures of a run as Markdown."""
    first, *others = tables.all_of(report)
    parts = ["Command:", f"```sh\n{report.command}\n```"]
    parts.append("\n".join(f"- {_cell(line)}" for line in tables.summary(report)))
    parts.append(_markdown(first))
    if chart is not None:
        parts.append(f"![CPU time per photo, by contender]({chart})")
    parts += [_markdown(table) for table in others]
    return "\n" + "\n\n".join(parts) + "\n\n"


def _markdown(table: Table) -> str:
    rule = ["---", *("---:" for _ in table.header[1:])]
    rows = [table.header, tuple(rule), *table.rows]
    lines = ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return f"### {table.title}\n\n" + "\n".join(lines)


def _cell(text: str) -> str:
    # File names and error messages of others: nothing in them may be markup.
    for special in "\\|<*`[":
        text = text.replace(special, f"\\{special}")
    return " ".join(text.split())
