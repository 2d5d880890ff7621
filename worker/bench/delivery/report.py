"""The figures of ``safelight bench delivery`` beside their goals: text, JSON, Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any

from worker.bench.delivery import edge, phone
from worker.bench.delivery.edge import EdgeFigures
from worker.bench.delivery.phone import EarlyPicture, VisitTimes
from worker.bench.delivery.rates import ORIGINAL, STORED, ServerRates
from worker.bench.delivery.servers import BOX, COMPARED, Name
from worker.bench.goals import Check, least, most
from worker.bench.page import escaped, table
from worker.domain.image import Format

RATE_GOALS: Mapping[tuple[str, Name], float] = {
    (STORED, Name.THUMBOR): 3.0,
    (STORED, Name.IMGPROXY): 1.5,
    (ORIGINAL, Name.THUMBOR): 1.0,
    (ORIGINAL, Name.IMGPROXY): 1.0,
}
"""Least rate of ours, by what a file is made from, as a multiple of the other's."""
MEMORY_GOALS: Mapping[Name, float] = {Name.THUMBOR: 1.5, Name.IMGPROXY: 0.6}
"""Most memory of ours, as a share of the other's."""
HITS_GOAL = 2000.0
"""Least hits a second of one core: of its time that the server takes, not of the clock."""
P99_GOAL = 0.25
"""Most time of ours that 99 % of a mixed load take, as a share of thumbor's."""
LABELS = {Format.JPEG: "JPEG", Format.WEBP: "WebP", Format.AVIF: "AVIF", Format.JXL: "JPEG XL"}
BEGIN = "<!-- figures of delivery: written by safelight bench delivery --markdown -->"
END = "<!-- end of figures of delivery -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFigures:
    """The measurements of one run; None for those that were skipped."""

    command: str
    date: str
    machine: str
    photos: int
    rates: ServerRates | None
    edge: EdgeFigures | None
    phone: Sequence[VisitTimes]
    early: Sequence[EarlyPicture]
    absent: Sequence[str]
    """Skipped measurements, with the reasons."""

    def as_dict(self) -> dict[str, Any]:
        """Everything, and the goals, as JSON-ready values."""
        return {**asdict(self), "goals": [asdict(one) for one in checks(self)]}


def checks(figures: DeliveryFigures) -> tuple[Check, ...]:
    """Every goal that the run can say something about, decided before rounding."""
    made: list[Check] = []
    if figures.rates is not None:
        made += _rate_checks(figures.rates)
    if figures.edge is not None:
        name = "edge function, mean"
        goal = edge.MEAN_GOAL_MS
        made.append(most(name, figures.edge.mean_ms, goal, goal=".1f", found=".3f"))
        name = "edge function, slowest request ÷ limit (estimate)"
        made.append(most(name, figures.edge.worst_share, 1.0, goal=".0%", found=".0%"))
    if figures.phone:
        worst = max(one.ratio for one in figures.phone)
        made.append(most("phone, whole picture ÷ original, worst", worst, phone.GOAL))
    for kind in (Format.JPEG, Format.JXL):
        pictures = [one for one in figures.early if one.format == kind]
        if pictures:
            share = fmean(one.whole for one in pictures)
            name = f"{LABELS[kind]} files whole after {phone.SHARE:.0%}"
            made.append(least(name, share, 1.0, goal=".0%", found=".0%"))
    return tuple(made)


def _rate_checks(rates: ServerRates) -> Iterator[Check]:
    for (source, other), goal in RATE_GOALS.items():
        for kind in COMPARED:
            ours, theirs = rates.of(Name.OURS, source, kind), rates.of(other, ORIGINAL, kind)
            if ours is not None and theirs is not None:
                name = f"rate ÷ {other}, {LABELS[kind]}, from the {source}"
                ratio = ours.per_second / theirs.per_second
                check = least(name, ratio, goal, goal=".1f", found=".2f")
                # On an idle machine both are the same; on a busy one, this is nearer to it.
                by_cpu = f"{check.found} (by CPU {theirs.cpu_ms / ours.cpu_ms:.2f})"
                yield replace(check, found=by_cpu)
    for other, goal in MEMORY_GOALS.items():
        if other in rates.memory:
            ratio = rates.memory[Name.OURS] / rates.memory[other]
            yield most(f"peak memory ÷ {other}", ratio, goal, goal=".1f", found=".2f")
    rate = rates.hits_per_cpu_second
    yield least("hits a second of a core", rate, HITS_GOAL, goal=",.0f", found=",.0f")
    mixed = {one.server: one for one in rates.mixed}
    if Name.THUMBOR in mixed:
        ratio = mixed[Name.OURS].p99_ms / mixed[Name.THUMBOR].p99_ms
        yield most("p99 of the mixed load ÷ thumbor", ratio, P99_GOAL)


# --- tables ------------------------------------------------------------------------------------


def tables(figures: DeliveryFigures) -> Iterator[str]:
    """Every table with its heading, the most wanted first."""
    goals = [
        (one.name, one.found, one.goal, "met" if one.met else "MISSED") for one in checks(figures)
    ]
    yield table("Goals of delivery", ("figure", "found", "goal", ""), goals)
    if figures.rates is not None:
        yield from _rate_tables(figures.rates)
    if figures.edge is not None:
        times = [(name, f"{1000 * ms:.0f}") for name, ms in figures.edge.milliseconds.items()]
        yield table(f"Edge function in njs {figures.edge.version}", ("request", "µs"), times)
    if figures.phone:
        yield _phone_table(figures.phone)
    if figures.early:
        rows = [
            (one.photo, LABELS[Format(one.format)], f"{one.shown:.0%}", f"{one.psnr:.0f}")
            for one in figures.early
        ]
        title = f"What Chromium shows after {phone.SHARE:.0%} of the bytes"
        yield table(title, ("photo", "format", "of the picture", "dB"), rows)


def _rate_tables(rates: ServerRates) -> Iterator[str]:
    rows = [
        (
            one.server,
            one.source,
            LABELS[Format(one.format)],
            f"{one.per_second:.1f}",
            f"{one.cpu_ms:.1f}",
            f"{one.kilobytes:.1f}",
            f"{one.ssimulacra2:.1f}",
        )
        for one in rates.on_demand
    ]
    head = ("server", "from the", "format", "a second", "CPU ms", "kB", "SSIMULACRA2")
    yield table(f"Files on demand, {BOX} pixels, one core", head, rows)
    mixed = [
        (one.server, f"{one.per_second:.0f}", f"{one.p50_ms:.1f}", f"{one.p99_ms:.1f}")
        for one in rates.mixed
    ]
    yield table("Mixed load, 95 % hits", ("server", "a second", "p50 ms", "p99 ms"), mixed)
    memory = [(name, f"{value:.0f}") for name, value in rates.memory.items()]
    yield table("Peak memory, all processes (PSS)", ("server", "MiB"), memory)
    hits = (f"{rates.hits_per_second:,.0f}", f"{rates.hits_per_cpu_second:,.0f}")
    yield table("Hits of our delivery server, one core", ("a second", "a second of CPU"), [hits])


def _phone_table(found: Sequence[VisitTimes]) -> str:
    ways = list(found[0].ours_ms)
    rows = [
        (
            one.photo,
            f"{one.original_ms:,.0f}",
            *(f"{one.ours_ms[way]:,.0f}" for way in ways),
            f"{one.original_kilobytes:,.0f}",
            f"{one.ours_kilobytes['srcset']:,.0f}",
            f"{one.ratio:.2f}",
        )
        for one in found
    ]
    title = "A phone, 1 Mbit/s and 300 ms: milliseconds until the whole picture is there"
    return table(title, ("photo", "original", *ways, "kB", "kB, srcset", "ratio"), rows)


def summary(figures: DeliveryFigures) -> Sequence[str]:
    """A short description of the run: subject, machine and software."""
    lines = [f"{figures.photos} photos; {figures.date}", figures.machine]
    if figures.rates is not None:
        lines.append("; ".join(f"{name} {text}" for name, text in figures.rates.versions.items()))
        if not figures.rates.apart:
            lines.append("servers and clients share one core: all rates are too low")
        lines += figures.rates.absent
    return [*lines, *figures.absent]


def text(figures: DeliveryFigures) -> str:
    """For a terminal."""
    return "\n\n".join((*tables(figures), "\n".join(summary(figures))))


def updated(page: str, figures: DeliveryFigures) -> str:
    """The text of a page with the figures of a run between their marks."""
    before, _, rest = page.partition(BEGIN)
    notes = "\n".join(f"- {escaped(line)}" for line in summary(figures))
    command = f"```sh checked\n{figures.command}\n```"
    parts = [f"{BEGIN}\n\nCommand:", command, notes, *tables(figures), END]
    return before + "\n\n".join(parts) + rest.partition(END)[2]
