"""From raw measurements to figures and ratios: arithmetic only.

Means are over photos, ratios are of means (so a large photo counts for more, as it does on a
bill). Bytes and SSIM are taken over the files that every contender wrote: one that the engine's
minimum-saving rule dropped counts for nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from worker.bench.contenders.serving import TOTAL
from worker.bench.lineup import LABELS, Key
from worker.bench.race import Outcome
from worker.bench.report import Candidate, Figures, Floor, FloorStep, Ratio

FATTER = 1.03
"""An encoder whose files are larger than the smallest of its step by more than this does
something else: it is listed, and cannot win the step."""

Name = tuple[str, str, str]
"""Photo, rendition, format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One file of a contender."""

    bytes: int
    ssim: float


def common(files: Iterable[Mapping[Name, Judged]]) -> frozenset[Name]:
    """The files that all contenders wrote."""
    sets = [frozenset(one) for one in files]
    return frozenset.intersection(*sets) if sets else frozenset()


def figures(
    key: Key, outcome: Outcome, files: Mapping[Name, Judged], counted: frozenset[Name]
) -> Figures:
    """The means of one contender.

    Args:
        key: which one.
        outcome: with at least one photo.
        files: everything it wrote.
        counted: the files that count for bytes and SSIM.
    """
    photos = len(outcome.seconds)
    spent = sum(parts[TOTAL] for parts in outcome.seconds.values())
    judged = [files[name] for name in counted]
    return Figures(
        key=key,
        label=LABELS[key],
        cpu_ms=1000 * spent / photos,
        bytes=sum(one.bytes for one in judged) / photos if judged else None,
        ssim=sum(one.ssim for one in judged) / len(judged) if judged else None,
        peak_memory=outcome.peak_memory,
        idle_memory=outcome.idle_memory,
    )


def ratio(engine: Figures, other: Figures) -> Ratio:
    """The engine against another."""
    both = engine.ssim is not None and other.ssim is not None
    return Ratio(
        key=other.key,
        cpu=engine.cpu_ms / other.cpu_ms,
        bytes=_over(engine.bytes, other.bytes),
        ssim_difference=(engine.ssim or 0) - (other.ssim or 0) if both else None,
        peak_memory=_over(engine.peak_memory, other.peak_memory),
    )


def floor(outcome: Outcome, sizes: Mapping[str, float], excluded: str) -> Floor:
    """Add up the fastest candidate of every step, within each go as for every contender.

    Args:
        outcome: of the floor's child, whose parts are named ``STEP/CANDIDATE``.
        sizes: mean bytes of what each part wrote; nothing for decoders.
        excluded: the library that does not ship.
    """
    photos = len(outcome.seconds)
    steps: dict[str, list[Candidate]] = {}
    for part in _parts_of_all(outcome):
        step, _, name = part.partition("/")
        spent = sum(parts[part] for parts in outcome.seconds.values())
        candidate = Candidate(name=name, cpu_ms=1000 * spent / photos, bytes=sizes.get(part))
        steps.setdefault(step, []).append(candidate)
    made = tuple(_step(name, candidates, excluded) for name, candidates in steps.items())
    return Floor(
        steps=made,
        cpu_ms=1000 * outcome.least([f"{step.name}/{step.winner}" for step in made]),
        cpu_ms_shipped=1000
        * outcome.least([f"{step.name}/{step.winner_shipped}" for step in made]),
    )


def _parts_of_all(outcome: Outcome) -> list[str]:
    # A library may do some photos only (a decoder without shrinking): it cannot win.
    first, *others = outcome.seconds.values()
    return [part for part in first if all(part in parts for parts in others)]


def _step(name: str, candidates: list[Candidate], excluded: str) -> FloorStep:
    smallest = min((one.bytes for one in candidates if one.bytes is not None), default=0.0)
    ranked = sorted(candidates, key=lambda one: one.cpu_ms)
    fit = [one for one in ranked if one.bytes is None or one.bytes <= FATTER * smallest]
    return FloorStep(
        name=name,
        candidates=tuple(ranked),
        winner=fit[0].name,
        winner_shipped=next(one.name for one in fit if one.name != excluded),
    )


def _over(first: float | None, second: float | None) -> float | None:
    return first / second if first is not None and second else None
