"""Draws a simulation: uploads, waiting, and instances over time."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from worker.bench.page import write
from worker.simulation.findings import Bottleneck
from worker.simulation.model import Outcome

ARRIVED, FINISHED, WAITING, AGE = "#94a3b8", "#0f766e", "#b45309", "#7c3aed"
RUNNING, ALLOWED = "#0f766e", "#94a3b8"


def draw(path: Path, found: Outcome, bottlenecks: tuple[Bottleneck, ...]) -> None:
    """Write the picture.

    Raises:
        InputError: ``output_unwritable``.
        StorageFull: no space left.
    """
    minutes = [one.time / 60 for one in found.samples]
    with rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "safelight", "font.size": 9, "lines.linewidth": 1}
    ):
        figure = Figure(figsize=(8.5, 6.4), layout="constrained")
        uploads, waiting, running = figure.subplots(3, 1, sharex=True)
        uploads.plot(minutes, [one.arrived for one in found.samples], color=ARRIVED, label="arrive")
        uploads.plot(
            minutes, [one.finished for one in found.samples], color=FINISHED, label="accepted"
        )
        uploads.set_ylabel("uploads a second")
        uploads.legend(loc="upper right", frameon=False)
        waiting.plot(minutes, [one.waiting for one in found.samples], color=WAITING)
        waiting.set_ylabel("messages that wait", color=WAITING)
        age = waiting.twinx()
        age.plot(minutes, [one.age / 60 for one in found.samples], color=AGE, linewidth=1)
        age.set_ylabel("minutes, the oldest", color=AGE)
        running.plot(
            minutes,
            [one.pollers for one in found.samples],
            color=ALLOWED,
            label="allowed by the event source",
        )
        running.plot(
            minutes,
            [one.running for one in found.samples],
            color=RUNNING,
            label="instances at work",
        )
        running.set_ylabel("at the same time")
        running.set_xlabel("minutes")
        running.legend(loc="lower right", frameon=False)
        load = found.workload
        for axes in (uploads, waiting, age, running):
            axes.set_ylim(bottom=0)
            axes.spines["top"].set_visible(False)
            if load.spike_seconds and axes is not age:
                begin, end = load.seconds / 60, (load.seconds + load.spike_seconds) / 60
                axes.axvspan(begin, end, color="#f1f5f9", zorder=0)
        for one in bottlenecks[:1]:
            uploads.axvline(one.since / 60, color=WAITING, linestyle=":")
        first = f"; first bottleneck: {bottlenecks[0].what}" if bottlenecks else ""
        figure.suptitle(
            f"{found.topology.name}: {load.rate * 86_400:,.0f} uploads a day"
            + (
                f", {load.spike:g} times as many for {load.spike_seconds / 60:g} min"
                if load.spike_seconds
                else ""
            )
            + f"\np50 {found.percentile(50):,.1f} s, p99 {found.percentile(99):,.0f} s{first}",
            size=10,
        )
        data = io.BytesIO()
        kind = path.suffix.lower().removeprefix(".")
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(data, format=kind, metadata=metadata, dpi=110)
    write(path, data.getvalue())
