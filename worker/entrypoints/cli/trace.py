"""``safelight trace`` and ``safelight logs``: what was done about an asset."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.domain.errors import InputError
from worker.entrypoints.cli import output
from worker.entrypoints.cli.target import data_option, find_target, json_option

if TYPE_CHECKING:
    from worker.services.asset_logs import AssetLine
    from worker.services.waterfall import Gap, Row, TraceWaterfall

_LEAST_BAR, _USUAL_BAR = 10, 40
"""Columns of a bar."""
_SAID = ("outcome", "event", "endpoint", "status")
"""Attributes that are shown behind a bar."""
_BLOCKS = "▏▎▍▌▋▊▉█"
"""An eighth of a column, two eighths and so on."""


@click.command(name="trace")
@click.argument("asset", metavar="ASSET")
@click.option("--calls", is_flag=True, help="Show calls of stores, queues and the catalog, too.")
@data_option
@json_option
def trace_command(*, asset: str, calls: bool, data: Path | None, as_json: bool) -> None:
    """Show what was done about an asset, from the call of the API to the first delivery.

    Each line is a step: when it began, where, how long it took. Waits are hatched. A time that no
    step covers, and steps that must have been done and are not there, are shown as such.

    With --json all spans are printed, calls too.
    """
    from worker.services.waterfall import Waterfalls, plain

    target = find_target(data)
    shown = Waterfalls(catalog=target.app.catalog, traces=target.traces).of_asset(asset)
    if as_json:
        output.print_json(plain(shown))
    else:
        _print(shown, calls=calls)


def _print(shown: TraceWaterfall, *, calls: bool) -> None:
    began = datetime.fromtimestamp(shown.start / 1e9, UTC).isoformat(sep=" ", timespec="seconds")
    spans = f"{len(shown.rows)} spans  {shown.seconds:.3f} s"
    click.echo(output.one_line(f"trace {shown.trace}  {began}  {spans}"))
    rows = [row for row in shown.rows if calls or not row.calls]
    texts = [_left(shown, row) for row in rows] + [_gap_text(shown, gap) for gap in shown.gaps]
    wide = max(map(len, texts))
    bar = _bar_width(wide)
    gaps = list(shown.gaps)
    for row, text in zip(rows, texts, strict=False):
        while gaps and gaps[0].start <= row.span.start:
            _print_gap(shown, gaps.pop(0), wide, bar)
        drawn = _bar(shown, row.span.start, row.span.end, bar, waits=row.waits)
        line = f"{output.one_line(text):{wide}}  {drawn}".rstrip()
        said = _said(row)
        click.echo(click.style(line, fg="red" if row.span.error else None) + said)
    for gap in gaps:
        _print_gap(shown, gap, wide, bar)
    if shown.later:
        many = "1 later delivery is" if shown.later == 1 else f"{shown.later} later deliveries are"
        click.echo(f"{many} not shown")
    if shown.missing:
        click.echo(f"missing: {', '.join(shown.missing)}: no span shows it (or not yet)", err=True)
    lost = sum(row.orphan for row in shown.rows)
    if lost:
        click.echo(f"a part is missing: what {lost} of the spans, marked ?, lie in", err=True)
    if shown.unreadable:
        lines = "1 line" if shown.unreadable == 1 else f"{shown.unreadable} lines"
        click.echo(f"{lines} could not be read", err=True)


def _left(shown: TraceWaterfall, row: Row) -> str:
    lost = "? " if row.orphan else ""
    name = f"{'  ' * row.depth}{lost}{row.span.name}"
    at = f"{shown.offset(row.span.start):9.3f} s"
    return f"{at}  {row.span.service or '?':10}  {name:28}  {_took(row.seconds):>9}"


def _gap_text(shown: TraceWaterfall, gap: Gap) -> str:
    name = f"? nothing after {gap.after}"
    return f"{shown.offset(gap.start):9.3f} s  {'':10}  {name:28}  {_took(gap.seconds):>9}"


def _print_gap(shown: TraceWaterfall, gap: Gap, wide: int, bar: int) -> None:
    drawn = _bar(shown, gap.start, gap.end, bar, waits=False).replace("█", "?")
    text = f"{output.one_line(_gap_text(shown, gap)):{wide}}  {drawn}".rstrip()
    click.echo(click.style(text, fg="yellow"))


def _said(row: Row) -> str:
    if row.span.error:
        return click.style(f"  {output.one_line(row.span.error)}", fg="red")
    said = (row.span.attributes.get(f"safelight.{name}", "") for name in _SAID)
    return "".join(f"  {output.one_line(one)}" for one in said if one)


def _took(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms"
    return f"{seconds:.2f} s" if seconds < 600 else f"{seconds / 60:.0f} min"


def _bar_width(left: int) -> int:
    if not sys.stdout.isatty():
        return _USUAL_BAR
    return max(_LEAST_BAR, min(80, shutil.get_terminal_size().columns - left - 14))


def _bar(shown: TraceWaterfall, start: int, end: int, width: int, *, waits: bool) -> str:
    """Where a span lies in the whole, in eighths of a column."""
    whole = max(1, shown.end - shown.start)
    first = (start - shown.start) * width * 8 // whole
    last = max(first + 1, (end - shown.start) * width * 8 // whole)
    column = min(first // 8, width - 1)
    full, rest = divmod(last - column * 8, 8)
    if waits:
        return " " * column + "░" * max(1, min(width - column, full + (rest > 0)))
    drawn = "█" * full + (_BLOCKS[rest - 1] if rest else "")
    return " " * column + drawn[: width - column]


# --- logs ---------------------------------------------------------------------------------------


@click.command(name="logs")
@click.argument("asset", metavar="ASSET")
@click.option("--since", metavar="TIME", help="ISO 8601: 2026-11-29T20:00Z.  [default: its first]")
@data_option
@json_option
def logs_command(*, asset: str, since: str | None, data: Path | None, as_json: bool) -> None:
    """Print every log line about an asset, of all functions and jobs, oldest first.

    A line is about it if it has the id of the asset or of its trace. Times are UTC. On AWS this is
    a query of CloudWatch Logs, which is paid by the GB that it looks through; --since makes it
    less.
    """
    from worker.services.asset_logs import AssetLogs

    target = find_target(data)
    moment = _moment(since) if since else ""
    for line in AssetLogs(catalog=target.app.catalog, logs=target.logs).of_asset(
        asset, since=moment
    ):
        if as_json:
            output.print_line(asdict(line))
        else:
            click.echo(output.one_line(_text(line)))


def _moment(text: str) -> str:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"--since: {text!r} is no time: 2026-11-29T20:00Z is one") from error
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).isoformat()


def _text(line: AssetLine) -> str:
    time = line.time[:23].replace("T", " ")
    fields = " ".join(f"{name}={_value(one)}" for name, one in line.fields.items())
    level = "" if line.level == "INFO" else f"{line.level} "
    return f"{time:23}  {line.service:10}  {level}{line.message}  {fields}".rstrip()


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
