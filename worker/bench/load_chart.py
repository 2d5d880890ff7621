"""Draws a run of ``safelight load``: how far each stage was at each moment, and the latencies."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from worker.bench.page import check_picture, write
from worker.domain.errors import CheckoutMissing
from worker.domain.load import LoadReport, LoadStage

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {
    LoadStage.UPLOADED: "#2b6cb0",
    LoadStage.ACCEPTED: "#2a7f62",
    LoadStage.SERVED: "#b4532a",
}
STYLES = {LoadStage.UPLOADED: "--", LoadStage.ACCEPTED: "-", LoadStage.SERVED: ":"}
"""Told apart without colours, too."""


def check(path: Path) -> None:
    """Refuse what could not be written after the run.

    Raises:
        InputError: the name ends in neither ``.svg`` nor ``.png``, or there is no such folder
            (``output_unwritable``).
        CheckoutMissing: matplotlib is not installed; it comes with a checkout.
    """
    check_picture("--svg", path)
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise CheckoutMissing(
            "pictures need matplotlib: `make setup` in a checkout installs it"
        ) from error


def draw(report: LoadReport, path: Path) -> None:
    """Write the picture: SVG or PNG, as the name's ending says.

    Raises:
        InputError: ``output_unwritable``.
        StorageFull: no space left.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    form, made = path.suffix.lower().removeprefix("."), BytesIO()
    # Text stays text, and the same run draws the same bytes.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "safelight", "font.size": 9}):
        figure = Figure(figsize=(8.5, 6.4), layout="constrained")
        above, below = figure.subplots(2, 2, height_ratios=(1.1, 1))
        for axes in (above[1], below[1]):
            axes.remove()
        grid = above[0].get_gridspec()
        above[0].remove()
        below[0].remove()
        _draw_progress(figure.add_subplot(grid[0, :]), report)
        _draw_percentiles(figure.add_subplot(grid[1, 0]), report)
        _draw_latencies(figure.add_subplot(grid[1, 1]), report)
        figure.suptitle(
            f"{len(report.outcomes):,} uploads at {report.rate:g} a second for"
            f" {report.seconds:g} s",
            x=0.01,
            ha="left",
        )
        figure.savefig(made, format=form, dpi=150, metadata={"Date": None} if form == "svg" else {})
    write(path, made.getvalue())


def _draw_progress(axes: Axes, report: LoadReport) -> None:
    """Uploads that were planned, and that have passed each stage, by time."""
    counted = [one for one in report.outcomes if not one.abandoned]
    planned = sorted(one.at for one in counted)
    axes.step(
        planned, range(1, len(planned) + 1), where="post", color="#4a5568", lw=1, label="planned"
    )
    for stage in LoadStage:
        ends = sorted(
            one.at + latency for one in counted if (latency := one.latency(stage)) is not None
        )
        axes.step(
            ends,
            range(1, len(ends) + 1),
            STYLES[stage],
            where="post",
            color=COLOURS[stage],
            label=f"{stage}: {report.stages[stage].per_second:.1f} a second",
        )
    axes.set_xlabel("seconds since the start")
    axes.set_ylabel("uploads")
    axes.legend(loc="lower right", frameon=False)
    _bare(axes)


def _draw_percentiles(axes: Axes, report: LoadReport) -> None:
    """Latency against the share of uploads that took at most so long."""
    for stage in LoadStage:
        ordered = sorted(
            latency
            for one in report.outcomes
            if not one.abandoned and (latency := one.latency(stage)) is not None
        )
        shares = [100 * (at + 1) / len(ordered) for at in range(len(ordered))]
        axes.plot(shares, ordered, STYLES[stage], color=COLOURS[stage], label=stage)
    _seconds(axes)
    axes.set_xlim(0, 100)
    axes.set_xlabel("per cent of the uploads")
    axes.set_ylabel("seconds at most")
    _bare(axes)


def _draw_latencies(axes: Axes, report: LoadReport) -> None:
    """Latency of each upload against the moment at which it was planned."""
    for stage in (LoadStage.UPLOADED, LoadStage.ACCEPTED):
        found = [
            (one.at, latency)
            for one in report.outcomes
            if not one.abandoned and (latency := one.latency(stage)) is not None
        ]
        axes.plot(
            [at for at, _ in found],
            [latency for _, latency in found],
            "." if stage is LoadStage.ACCEPTED else "x",
            ms=3,
            mew=0.6,
            color=COLOURS[stage],
            label=stage,
        )
    _seconds(axes)
    axes.set_xlabel("planned at, seconds")
    axes.set_ylabel("seconds of latency")
    _bare(axes)


def _seconds(axes: Axes) -> None:
    """A logarithmic axis of seconds, with plain numbers."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    low, high = axes.get_ylim()
    if high < 20 * low:  # else there could be a single number on it
        axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _bare(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
