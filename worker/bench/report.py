"""The report as Markdown, for the terminal and the page in docs/, and as a chart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from worker.bench.config import OURS, SAME, USUAL, USUAL_EFFORT, Key
from worker.bench.formats import LABELS, LOOKS, SIZE, Formats
from worker.bench.measure import Figures, Floor, Report
from worker.bench.page import check_ending, check_folder, escaped, table, write
from worker.domain.image import Format
from worker.imaging.quality import TOLERANCE
from worker.recipes.schema import ALIKE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BEGIN = "<!-- figures: written by safelight bench --markdown -->"
END = "<!-- end of figures -->"
"""Only what lies between the marks of a page is ever replaced."""


# --- Markdown ----------------------------------------------------------------------------------


def summary(report: Report) -> tuple[str, ...]:
    """A short description of the run: subject, machine and software."""
    photos, machine = report.photos, report.machine
    versions: dict[str, str] = {}
    for key in (Key.ENGINE, Key.REPACK, Key.SHARP_USUAL, Key.FLOOR):
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
        table("Goals", ("figure", "found", "goal", ""), goals),
        _implementations(
            report, f"Usual settings: WebP effort {USUAL_EFFORT} for the others", USUAL
        ),
        _implementations(report, f"Same settings: WebP effort {report.webp_effort} for all", SAME),
    ]
    if report.floor is not None:
        made.append(_floor(report, report.floor))
    return (*made, _curves(report.formats), _modern(report.formats), _targets(report.formats))


def _curves(found: Formats) -> str:
    rows = []
    jpeg = found.curves[0].points
    usual = ALIKE[Format.JPEG]
    look = next(one.ssimulacra2 for one in jpeg if one.quality == usual)
    for one in found.curves:
        sizes = (one.bytes_at(score) for score in LOOKS)
        texts = ("" if size is None else f"{size / 1000:.1f}" for size in sizes)
        quality = one.quality_at(look)
        rows.append((one.label, *texts, "" if quality is None else f"{quality:.1f}"))
    header = ("encoder", *(str(one) for one in LOOKS), f"quality like JPEG {usual}")
    return table(f"kB of {SIZE} at a mean SSIMULACRA2", header, rows)


def _modern(found: Formats) -> str:
    rows = []
    for one in found.pairs:
        for name, form, size, mean, worst in (
            ("modern", one.format, one.bytes, one.ssimulacra2, one.worst),
            ("sharp", one.rival, one.rival_bytes, one.rival_ssimulacra2, one.rival_worst),
        ):
            label = f"{name}, {LABELS[Format(form)]}"
            rows.append((label, f"{size / 1000:.1f}", f"{mean:.1f}", f"{worst:.1f}"))
    header = ("files of a photo", "kB", "SSIMULACRA2", "worst")
    return table("Recipe modern beside sharp's usual way", header, rows)


def _targets(found: Formats) -> str:
    aim = found.target
    rows = [(name, f"{points:+.1f}") for name, points in sorted(aim.off.items())]
    header = (f"{len(rows)} of {aim.files} files", "points off")
    return table(f"Files that are not within {TOLERANCE} points of their target", header, rows)


def _implementations(report: Report, title: str, keys: tuple[Key, ...]) -> str:
    ratios = {one.key: one for one in report.ratios}
    rows = []
    for one in _those(report, keys):
        ratio = ratios.get(one.key)
        figures: tuple[tuple[float | None, str], ...] = (
            (one.cpu_ms, ".0f"),
            (ratio.cpu if ratio else None, ".2f"),
            (one.bytes and one.bytes / 1000, ".0f"),
            (ratio.bytes if ratio else None, ".3f"),
            (one.ssim, ".4f"),
            (ratio.ssim_difference if ratio else None, "+.4f"),
            (one.ssimulacra2, ".1f"),
            (one.worst, ".1f"),
            (one.peak_memory and one.peak_memory / 2**20, ".0f"),
            (ratio.peak_memory if ratio else None, ".2f"),
        )
        texts = ("" if value is None else format(value, form) for value, form in figures)
        rows.append((one.label, *texts))
    over = "engine ÷ it"
    similar = ("SSIM", "engine - it", "SSIMULACRA2", "worst")
    header = ("implementation", "CPU ms", over, "kB", over, *similar, "peak MiB", over)
    return table(title, header, rows)


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
    engine = next(one.cpu_ms for one in report.figures if one.key is Key.ENGINE)
    rows.append(("one after the other", "", f"{every:.0f}", "", f"{shipped_ms:.0f}", ""))
    rows.append(
        ("engine ÷ floor", "", f"{engine / every:.2f}", "", f"{engine / shipped_ms:.2f}", "")
    )
    header = ("step", "fastest", "ms", "fastest shipped", "ms", "others, ms")
    return table("Floor: one decode and the bare encoder calls", header, rows)


# --- files -------------------------------------------------------------------------------------


def updated(
    page: str, report: Report, *, chart: str | None = None, curves: str | None = None
) -> str:
    """The text of a page with the figures of a run between its marks.

    Args:
        page: its text, from ``page.read_page``.
        report: the run.
        chart: address of the chart, relative to the page.
        curves: that of the picture of the curves.
    """
    before, _, rest = page.partition(BEGIN)
    first, *others = tables(report)
    parts = [
        f"{BEGIN}\n\nCommand:",
        f"```sh checked\n{report.command}\n```",
        "\n".join(f"- {escaped(line)}" for line in summary(report)),
        first,
        *([] if chart is None else [f"![CPU time per photo, by implementation]({chart})"]),
        *([] if curves is None else [f"![Bytes against SSIMULACRA2, by format]({curves})"]),
        *others,
        END,
    ]
    return before + "\n\n".join(parts) + rest.partition(END)[2]


def check_files(chart: Path | None, curves: Path | None, page: Path | None) -> None:
    """Refuse what could not be written later.

    Raises:
        InputError: the name of a picture ends in neither ``.svg`` nor ``.png``, or a file's folder
            is not there (``output_unwritable``).
    """
    for option, path in (("--chart", chart), ("--curves", curves)):
        if path is not None:
            check_ending(option, path)
    for option, path in (("--chart", chart), ("--curves", curves), ("--markdown", page)):
        if path is not None:
            check_folder(option, path)


def write_chart(path: Path, report: Report) -> None:
    """Draw CPU time per photo as bars, to an SVG or a PNG as the name's ending says.

    Raises what :func:`write` raises.
    """
    ratios = {one.key: one.cpu for one in report.ratios}
    groups = {
        f"Usual settings (the others: WebP effort {USUAL_EFFORT})": _those(report, USUAL),
        f"Same settings (all: WebP effort {report.webp_effort})": _those(report, SAME),
    }
    with _figure(path, report, (9.2, 5)) as figure:
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


def write_curves(path: Path, report: Report) -> None:
    """Draw bytes against SSIMULACRA2, a curve for each encoder, as :func:`write_chart` does."""
    colours = ("#0f766e", "#b45309", "#7c3aed", "#dc2626")
    with _figure(path, report, (9.2, 5.6)) as figure:
        axes = figure.subplots()
        drawn = {one.label: one for one in report.formats.curves}
        for colour, kind in zip(colours, LABELS.values(), strict=True):
            for label, style in ((kind, "o-"), (f"sharp's {kind}", "x--")):
                if label in drawn:
                    sizes = [spot.bytes / 1000 for spot in drawn[label].points]
                    scores = [spot.ssimulacra2 for spot in drawn[label].points]
                    axes.plot(sizes, scores, style, color=colour, label=label, markersize=4)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("kB a photo, mean; each step to the right is twice as many")
        axes.set_ylabel("SSIMULACRA2, mean")
        axes.grid(color="#e2e8f0")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="lower right", frameon=False)
        qualities = ", ".join(str(one.quality) for one in report.formats.curves[0].points)
        figure.suptitle(
            f"Bytes against looks at 1024 pixels; higher and further left is better\n"
            f"Marks are qualities {qualities}"
        )


@contextmanager
def _figure(path: Path, report: Report, size: tuple[float, float]) -> Iterator[Figure]:
    """A figure to draw on, which is then written with the photos and the machine below it."""
    import io

    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # Text stays text, and a run that finds the same draws the same bytes.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "safelight", "font.size": 9}):
        figure = Figure(figsize=size, layout="constrained")
        yield figure
        cpu = report.machine["cpu"]
        figure.supxlabel(
            f"{_count(report)}, {cpu}, one thread, {report.date[:10]}", size=8, x=0.02, ha="left"
        )
        form = path.suffix.lower().removeprefix(".")
        made = io.BytesIO()
        figure.savefig(made, format=form, dpi=200, metadata={"Date": None} if form == "svg" else {})
    write(path, made.getvalue())
