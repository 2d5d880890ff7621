"""The report as Markdown, for the terminal and the page in docs/, and as a chart."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from worker.atomic import atomic_write, disk_full
from worker.bench.config import OURS, SAME, USUAL, USUAL_EFFORT, Key
from worker.bench.measure import Figures, Floor, Report
from worker.domain.errors import InputError, StorageFull

BEGIN = "<!-- figures: written by safelight bench --markdown -->"
END = "<!-- end of figures -->"
"""Only what lies between the marks of a page is ever replaced."""

_NEW = f"# Benchmarks\n\n{BEGIN}\n{END}\n"


# --- Markdown ----------------------------------------------------------------------------------


def summary(report: Report) -> tuple[str, ...]:
    """What was measured, where and with what, in a few lines."""
    photos, machine = report.photos, report.machine
    versions: dict[str, str] = {}
    for key in (Key.ENGINE, Key.SHARP_USUAL, Key.FLOOR):
        for name, version in report.versions.get(key, {}).items():
            # sharp and the engine bring a libvips and a libwebp each.
            label = f"sharp's {name}" if key is Key.SHARP_USUAL and name.startswith("lib") else name
            versions.setdefault(label, version)
    return (
        f"{_count(report)}, {photos.mean_bytes / 1000:.0f} kB on average; "
        f"least of {report.rounds} rounds; {report.date}",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, "
        f"Python {machine['python']}; one thread each",
        "; ".join(f"{name} {version}" for name, version in versions.items()),
        *report.notes,
        *report.absent,
        *(f"left out: {name}: {reason}" for name, reason in photos.left_out.items()),
    )


def _count(report: Report) -> str:
    kind = "generated pictures" if report.photos.synthetic else "photos"
    return f"{report.photos.count} {kind}"


def tables(report: Report) -> tuple[str, ...]:
    """Every table with its heading, the most wanted first."""
    goals = [
        (one.name, one.found, one.goal, "met" if one.met else "MISSED") for one in report.checks
    ]
    made = [
        _table("Goals", ("figure", "found", "goal", ""), goals),
        _implementations(
            report, f"Usual settings: WebP effort {USUAL_EFFORT} for the others", USUAL
        ),
        _implementations(report, f"Same settings: WebP effort {report.webp_effort} for all", SAME),
    ]
    if report.floor is not None:
        made.append(_floor(report, report.floor))
    return tuple(made)


def _implementations(report: Report, title: str, keys: tuple[Key, ...]) -> str:
    ratios = {one.key: one for one in report.ratios}
    rows = []
    for one in _those(report, keys):
        ratio = ratios.get(one.key)
        rows.append(
            (
                one.label,
                f"{one.cpu_ms:.0f}",
                _text(ratio.cpu if ratio else None, ".2f"),
                _text(one.bytes and one.bytes / 1000, ".0f"),
                _text(ratio.bytes if ratio else None, ".3f"),
                _text(one.ssim, ".4f"),
                _text(ratio.ssim_difference if ratio else None, "+.4f"),
                _text(one.peak_memory and one.peak_memory / 2**20, ".0f"),
                _text(ratio.peak_memory if ratio else None, ".2f"),
            )
        )
    over = "engine ÷ it"
    header = ("implementation", "CPU ms", over, "kB", over, "SSIM", "engine - it", "peak MiB", over)
    return _table(title, header, rows)


def _those(report: Report, keys: tuple[Key, ...]) -> list[Figures]:
    """The engine's figures and those of some others, as far as they were measured."""
    by_key = {one.key: one for one in report.figures}
    return [by_key[key] for key in (*OURS, *keys) if key in by_key]


def _floor(report: Report, floor: Floor) -> str:
    rows = []
    for step in floor.steps:
        spent = {one.name: f"{one.cpu_ms:.1f}" for one in step.candidates}
        best, shipped = step.winner, step.winner_shipped
        rest = [f"{name} {ms}" for name, ms in spent.items() if name not in {best, shipped}]
        rows.append((step.name, best, spent[best], shipped, spent[shipped], ", ".join(rest)))
    every, shipped_ms = floor.cpu_ms, floor.cpu_ms_shipped
    rows.append(("one after the other", "", f"{every:.0f}", "", f"{shipped_ms:.0f}", ""))
    engine = next(one.cpu_ms for one in report.figures if one.key is Key.ENGINE)
    over = (f"{engine / every:.2f}", f"{engine / shipped_ms:.2f}")
    rows.append(("engine ÷ floor", "", over[0], "", over[1], ""))
    header = ("step", "fastest", "ms", "fastest shipped", "ms", "others, ms")
    return _table("Floor: one decode and the bare encoder calls", header, rows)


def _text(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A heading and a table; columns are aligned for those who read it in a terminal."""
    cells = [[_escaped(cell) for cell in row] for row in (header, *rows)]
    widths = [max(4, *map(len, column)) for column in zip(*cells, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = []
    for row in (cells[0], rule, *cells[1:]):
        first, *others = zip(row, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        lines.append(f"| {' | '.join(padded)} |")
    return f"### {title}\n\n" + "\n".join(lines)


def _escaped(text: str) -> str:
    # File names and error messages of others: nothing in them may be markup.
    for special in "\\|<*`[":
        text = text.replace(special, f"\\{special}")
    return " ".join(text.split())


# --- the page ----------------------------------------------------------------------------------


def updated(page: str | None, report: Report, *, chart: str | None = None) -> str:
    """A page with the figures of a run.

    Args:
        page: its text now; None or empty for a new one.
        report: the run.
        chart: address of the chart, relative to the page.

    Raises:
        InputError: the page has no marks, and so no place for figures.
    """
    before, after = split(page)
    first, *others = tables(report)
    parts = [
        f"{BEGIN}\n\nCommand:",
        f"```sh\n{report.command}\n```",
        "\n".join(f"- {_escaped(line)}" for line in summary(report)),
        first,
        *([] if chart is None else [f"![CPU time per photo, by implementation]({chart})"]),
        *others,
        END,
    ]
    return before + "\n\n".join(parts) + after


def split(page: str | None) -> tuple[str, str]:
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


# --- the chart ---------------------------------------------------------------------------------


def write_chart(path: Path, report: Report) -> None:
    """Draw CPU time per photo as bars, to an SVG or a PNG as the name's ending says.

    Raises what :func:`write` raises.
    """
    import io

    from matplotlib import rc_context
    from matplotlib.figure import Figure

    ratios = {one.key: one.cpu for one in report.ratios}
    groups = {
        f"Usual settings (the others: WebP effort {USUAL_EFFORT})": _those(report, USUAL),
        f"Same settings (all: WebP effort {report.webp_effort})": _those(report, SAME),
    }
    # Text stays text, and a run that finds the same draws the same bytes.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "safelight", "font.size": 9}):
        figure = Figure(figsize=(9.2, 5), layout="constrained")
        every = figure.subplots(2, sharex=True, height_ratios=[len(one) for one in groups.values()])
        for axes, (title, bars) in zip(every, groups.items(), strict=True):
            spent = [one.cpu_ms for one in bars]
            colours = {Key.ENGINE: "#0f766e", Key.ENGINE_FULL: "#5eaaa3"}
            drawn = axes.barh(
                [one.label for one in bars],
                spent,
                color=[colours.get(one.key, "#94a3b8") for one in bars],
            )
            texts = [
                f"{one.cpu_ms:.0f} ms"
                + (f" (Safelight: {ratios[one.key]:.2f} of it)" if one.key in ratios else "")
                for one in bars
            ]
            axes.bar_label(drawn, texts, padding=5)
            axes.set_title(title, loc="left", weight="bold")
            axes.margins(x=0.3)
            axes.invert_yaxis()
            axes.spines[["top", "right"]].set_visible(False)
            if report.floor is not None:
                axes.axvline(report.floor.cpu_ms, color="#dc2626", linestyle="--")
        if report.floor is not None:
            label = f"floor: {report.floor.cpu_ms:.0f} ms (one decode and the bare encoder calls)"
            figure.legend([every[0].lines[0]], [label], loc="outside lower right", frameon=False)
        figure.suptitle("CPU milliseconds per photo: three sizes, JPEG and WebP; shorter is better")
        cpu = report.machine["cpu"]
        figure.supxlabel(
            f"{_count(report)}, {cpu}, one thread, {report.date[:10]}", size=8, x=0.02, ha="left"
        )
        form = path.suffix.lower().removeprefix(".")
        made = io.BytesIO()
        figure.savefig(made, format=form, dpi=200, metadata={"Date": None} if form == "svg" else {})
    write(path, made.getvalue())


# --- files -------------------------------------------------------------------------------------


def check_files(chart: Path | None, page: Path | None) -> None:
    """Refuse what could not be written later.

    Raises:
        InputError: the chart's name ends in neither ``.svg`` nor ``.png``, or a file's folder
            is not there (``output_unwritable``).
    """
    if chart is not None and chart.suffix.lower() not in {".svg", ".png"}:
        raise InputError(f"--chart {chart}: the name must end in .svg or .png")
    for option, path in (("--chart", chart), ("--markdown", page)):
        if path is not None and not path.parent.is_dir():
            message = f"{option} {path}: there is no folder {path.parent}"
            raise InputError(message, code="output_unwritable")


def read_page(path: Path | None) -> str | None:
    """The text of a page; None if there is none yet.

    Raises:
        InputError: it is there and cannot be read.
    """
    try:
        return None if path is None else path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"--markdown {path}: {error.strerror}", code="input_unreadable") from error
    except UnicodeDecodeError as error:
        raise InputError(f"--markdown {path}: is not text", code="input_unreadable") from error


def write(path: Path, data: bytes) -> None:
    """Write a whole file under its final name, in place of what had it.

    Raises:
        InputError: ``output_unwritable``.
        StorageFull: no space left.
    """
    try:
        atomic_write(path, data)
    except OSError as error:
        if disk_full(error):
            raise StorageFull(f"no space left to write {path}") from error
        message = f"cannot write {path}: {error.strerror}"
        raise InputError(message, code="output_unwritable") from error


def link(page: Path, chart: Path | None) -> str | None:
    """How a page refers to the chart."""
    if chart is None:
        return None
    return Path(os.path.relpath(chart.resolve(), page.resolve().parent)).as_posix()
