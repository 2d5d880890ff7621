"""The picture of a measured curve: seconds and dollars of an upload by memory."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from worker.bench.page import check_picture, write
from worker.services.tuning_curve import VCPU_MEGABYTES, DurationCurve, Recommendation, Where

SECONDS, DOLLARS = "#b45309", "#0f766e"
_WORDS = {Where.CONTAINER: "in the image under processor limits", Where.LAMBDA: "on AWS Lambda"}


def check(path: Path) -> None:
    """Refuse what could not be written later.

    Raises:
        InputError: the name ends in neither ``.svg`` nor ``.png``, or there is no such folder
            (``output_unwritable``).
    """
    check_picture("--chart", path)


def draw(
    path: Path,
    curves: Sequence[DurationCurve],
    price: Callable[[str], float],
    chosen: Recommendation | None,
    *,
    least: int,
) -> None:
    """Draw curves of the same photos to an SVG or a PNG, as the name's ending says.

    Args:
        path: of the picture.
        curves: one for each architecture.
        price: US dollars of a gigabyte and second on an architecture.
        chosen: is marked.
        least: megabytes; smaller sizes are shaded.

    Raises:
        InputError: ``output_unwritable``.
        StorageFull: no space left.
    """
    with rc_context({"font.family": "sans-serif", "svg.hashsalt": "safelight", "font.size": 10}):
        figure = Figure(figsize=(9.2, 5.2), layout="constrained")
        time = figure.subplots()
        cost = time.twinx()
        for curve, style in zip(curves, ("o-", "s--"), strict=False):
            sizes = [one.memory for one in curve.points]
            label = curve.architecture
            time.plot(
                sizes,
                [one.seconds for one in curve.points],
                style,
                color=SECONDS,
                label=f"seconds, {label}",
            )
            dollars = [1e6 * one.gigabyte_seconds() * price(label) for one in curve.points]
            cost.plot(sizes, dollars, style, color=DOLLARS, label=f"dollars, {label}")
        if chosen is not None:
            time.axvline(chosen.memory, color="#64748b", linestyle=":")
            time.annotate(
                f"{chosen.memory:,} MB",
                (chosen.memory, 1),
                xycoords=("data", "axes fraction"),
                xytext=(4, -12),
                textcoords="offset points",
                color="#334155",
            )
        smallest = min(one.memory for curve in curves for one in curve.points)
        if smallest < least:
            time.axvspan(smallest, least, color="#f1f5f9", zorder=0)
            time.annotate(
                "too little for the sandbox",
                (smallest, 0),
                xycoords=("data", "axes fraction"),
                xytext=(4, 6),
                textcoords="offset points",
                color="#64748b",
            )
        ticks = sorted({one.memory for curve in curves for one in curve.points})
        time.set_xscale("log", base=2)
        time.set_xticks(ticks, [f"{size:,}\n{size / VCPU_MEGABYTES:.2f}" for size in ticks])
        time.minorticks_off()
        time.set_xlabel("MB of memory, and the virtual processors that come with them")
        time.set_ylabel("billed seconds of an upload", color=SECONDS)
        cost.set_ylabel("US dollars of a million uploads", color=DOLLARS)
        time.set_ylim(bottom=0)
        cost.set_ylim(bottom=0)
        time.grid(color="#e2e8f0")
        for axes in (time, cost):
            axes.spines["top"].set_visible(False)
        lines = [*time.get_lines(), *cost.get_lines()]
        shown = [line for line in lines if not str(line.get_label()).startswith("_")]
        figure.legend(
            shown,
            [str(one.get_label()) for one in shown],
            loc="outside lower center",
            ncols=len(shown),
            frameon=False,
        )
        first = curves[0]
        photos = first.photos
        figure.suptitle(
            f"The ingest function by its memory, {_WORDS[first.where]}\n"
            f"{photos.count} photos of {photos.bytes / 1e6:.2f} MB, recipe {first.recipe}, "
            f"batches of {first.batch}, {first.measured}"
        )
        data = io.BytesIO()
        kind = path.suffix.lower().removeprefix(".")
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(data, format=kind, metadata=metadata, dpi=100)
    write(path, data.getvalue())
