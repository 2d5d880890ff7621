"""The report as tables of text: the same for the terminal and for the page in docs/."""

from __future__ import annotations

from dataclasses import dataclass

from worker.bench.job import USUAL_EFFORT
from worker.bench.lineup import OURS, SAME, USUAL, Key
from worker.bench.report import Figures, FloorStep, Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Texts in rows under a heading; the first column is words, the others are figures."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def all_of(report: Report) -> tuple[Table, ...]:
    """Every table, the most wanted first."""
    tables = [
        _goals(report),
        _contenders(report, f"Usual settings: WebP effort {USUAL_EFFORT} for the others", USUAL),
        _contenders(report, f"Same settings: WebP effort {report.webp_effort} for all", SAME),
    ]
    if report.floor is not None:
        tables.append(_floor(report))
    return tuple(tables)


def summary(report: Report) -> tuple[str, ...]:
    """What was measured, where and with what, in a few lines."""
    photos, machine = report.photos, report.machine
    kind = "generated pictures" if photos.synthetic else "photos"
    lines = [
        f"{photos.count} {kind}, {photos.mean_bytes / 1000:.0f} kB on average; "
        f"least of {report.rounds} rounds; {report.date}",
        f"{machine.cpu}, {machine.cores} cores, {machine.system}, Python {machine.python}; "
        "one thread each",
        "; ".join(f"{name} {version}" for name, version in _versions(report)),
        *report.notes,
        *report.absent,
    ]
    lines += [f"left out: {name}: {reason}" for name, reason in photos.left_out.items()]
    return tuple(lines)


def _versions(report: Report) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    for key in (Key.ENGINE, Key.SHARP_USUAL, Key.FLOOR):
        for name, version in report.versions.get(key, {}).items():
            # sharp and the engine bring a libvips and a libwebp each.
            label = f"sharp's {name}" if key is Key.SHARP_USUAL and name.startswith("lib") else name
            found.setdefault(label, version)
    return list(found.items())


def _goals(report: Report) -> Table:
    rows = [
        (check.name, check.found, check.goal, "met" if check.met else "MISSED")
        for check in report.checks
    ]
    return Table(title="Goals", header=("figure", "found", "goal", ""), rows=tuple(rows))


def _contenders(report: Report, title: str, keys: tuple[Key, ...]) -> Table:
    rows = []
    for key in (*OURS, *keys):
        figures = report.of(key)
        if figures is not None:
            rows.append(_row(figures, report))
    header = (
        "contender",
        "CPU ms",
        "engine ÷ it",
        "kB",
        "engine ÷ it",
        "SSIM",
        "engine - it",
        "peak MiB",
        "engine ÷ it",
    )
    return Table(title=title, header=header, rows=tuple(rows))


def _row(figures: Figures, report: Report) -> tuple[str, ...]:
    ratio = report.ratio(figures.key)
    return (
        figures.label,
        f"{figures.cpu_ms:.0f}",
        _text(ratio.cpu if ratio else None, ".2f"),
        _text(figures.bytes and figures.bytes / 1000, ".0f"),
        _text(ratio.bytes if ratio else None, ".3f"),
        _text(figures.ssim, ".4f"),
        _text(ratio.ssim_difference if ratio else None, "+.4f"),
        _text(figures.peak_memory and figures.peak_memory / 2**20, ".0f"),
        _text(ratio.peak_memory if ratio else None, ".2f"),
    )


def _floor(report: Report) -> Table:
    floor = report.floor
    assert floor is not None
    rows = [
        (
            step.name,
            step.winner,
            f"{_spent(step, step.winner):.1f}",
            step.winner_shipped,
            f"{_spent(step, step.winner_shipped):.1f}",
            ", ".join(
                f"{one.name} {one.cpu_ms:.1f}"
                for one in step.candidates
                if one.name not in {step.winner, step.winner_shipped}
            ),
        )
        for step in floor.steps
    ]
    rows.append(
        ("one after the other", "", f"{floor.cpu_ms:.0f}", "", f"{floor.cpu_ms_shipped:.0f}", "")
    )
    engine = report.of(Key.ENGINE)
    if engine is not None:
        every = f"{engine.cpu_ms / floor.cpu_ms:.2f}"
        shipped = f"{engine.cpu_ms / floor.cpu_ms_shipped:.2f}"
        rows.append(("engine ÷ floor", "", every, "", shipped, ""))
    header = ("step", "fastest", "ms", "fastest shipped", "ms", "others, ms")
    return Table(
        title="Floor: one decode and the bare encoder calls", header=header, rows=tuple(rows)
    )


def _spent(step: FloorStep, name: str) -> float:
    return next(one.cpu_ms for one in step.candidates if one.name == name)


def _text(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
