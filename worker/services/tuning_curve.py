"""The cost of an upload by the ingest function's memory: a measured curve, and a recommendation.

``safelight tune`` measures a :class:`DurationCurve` and writes it as JSON (:func:`written`); the
bill reads it (:func:`read`). A gigabyte of Lambda's prices is 1,024 MB: memory is billed as its
share of that (AWS Lambda pricing; Lambda Power Tuning counts the same, in steps of 128 MB).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any

from worker.codec import build, plain
from worker.domain.errors import EngineError, InputError

SCHEMA = "safelight.durations/1"
LEAST, MOST = 128, 10_240
"""Megabytes of memory that Lambda gives (AWS Lambda Developer Guide, "Configure Lambda function
memory")."""
VCPU_MEGABYTES = 1769
"""Memory with which a function gets one virtual processor (the same page)."""
BILLED_GIGABYTE = 1024
"""Megabytes of the gigabyte in Lambda's prices."""
TOLERANCE = 0.03
"""Costs that differ by no more are taken as equal: measurements of one size differ by as much."""
BALANCE = 0.5
"""Weight of the cost beside that of the time in ``balanced``, as in Lambda Power Tuning."""


class Where(StrEnum):
    """Environment of a measurement."""

    CONTAINER = "container"
    """The image on this machine, with a processor limit of memory / 1,769."""
    LAMBDA = "lambda"
    """The function on AWS, by Lambda Power Tuning."""


class Strategy(StrEnum):
    """The criterion; the names are those of Lambda Power Tuning."""

    COST = "cost"
    SPEED = "speed"
    BALANCED = "balanced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One size of memory."""

    memory: int
    """Megabytes."""
    uploads: int
    """How many were measured."""
    seconds: float
    """Billed for a warm upload, mean; here of the fastest run of each photo."""
    longest: float | None = None
    """Billed for the slowest photo; None where only the mean is known."""
    init_seconds: float | None = None
    """Billed for a start before its first upload; None if it was not measured."""
    cpu_seconds: float | None = None
    """Of one processor, for a warm upload; the rest is waiting. None if it was not measured."""
    peak: int | None = None
    """Most megabytes that the container used; None if it was not measured."""

    def gigabyte_seconds(self) -> float:
        """Billed for a warm upload."""
        return self.memory / BILLED_GIGABYTE * self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoSet:
    """The uploaded photos."""

    count: int
    """Different photos; each upload has bytes of its own all the same."""
    bytes: float
    """Mean."""
    pixels: float
    """Mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """The recommendation."""

    memory: int
    """Megabytes."""
    architecture: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DurationCurve:
    """The points of one architecture, smallest memory first."""

    measured: str
    """The day, ISO 8601."""
    where: Where
    architecture: str
    """``arm64`` or ``x86_64``."""
    recipe: str
    photos: PhotoSet
    batch: int
    """Uploads in one invocation."""
    points: tuple[Point, ...]
    failed: Mapping[int, str] = field(default_factory=dict)
    """Memory sizes with which an upload failed, and how."""
    recommended: Recommendation | None = None

    def at(self, memory: int) -> Point:
        """The point of a size.

        Between two sizes that were measured, seconds follow a power of the memory, which they do
        exactly where all work is one thread's.

        Raises:
            InputError: ``input_invalid``: the size is outside of those that were measured.
        """
        first, last = self.points[0].memory, self.points[-1].memory
        if not first <= memory <= last:
            text = f"{memory} MB is outside of what was measured, {first} to {last} MB"
            raise InputError(f"{text}; tune that size as well")
        above = next(at for at, one in enumerate(self.points) if one.memory >= memory)
        high = self.points[above]
        if high.memory == memory:
            return high
        low = self.points[above - 1]
        share = math.log(memory / low.memory) / math.log(high.memory / low.memory)

        def between(small: float | None, large: float | None) -> float | None:
            if small is None or large is None:
                return None
            return math.exp((1 - share) * math.log(small) + share * math.log(large))

        seconds = between(low.seconds, high.seconds)
        assert seconds is not None
        return Point(
            memory=memory,
            uploads=0,
            seconds=seconds,
            longest=between(low.longest, high.longest),
            init_seconds=between(low.init_seconds, high.init_seconds),
            cpu_seconds=between(low.cpu_seconds, high.cpu_seconds),
        )


def recommend(
    curves: Sequence[DurationCurve],
    price: Callable[[str], float],
    strategy: Strategy = Strategy.COST,
    *,
    balance: float = BALANCE,
    least: int = LEAST,
) -> Recommendation:
    """The best size, and the best architecture if curves of both are there.

    ``cost``: the cheapest; of sizes whose cost is within ``TOLERANCE`` of it, the fastest.
    ``speed``: the fastest; of those within ``TOLERANCE`` of it, the cheapest. ``balanced``: least
    ``balance * cost / highest cost + (1 - balance) * time / longest time`` (Lambda Power Tuning,
    ``analyzer.js``).

    Args:
        curves: of the same photos.
        price: US dollars of a gigabyte and second on an architecture.
        strategy: what counts.
        balance: see above; 0 to 1.
        least: sizes below are not taken.

    Raises:
        InputError: ``input_invalid``: no size is left.
    """
    rows = [
        _Row(
            usd=point.gigabyte_seconds() * price(curve.architecture),
            seconds=point.seconds,
            choice=Recommendation(memory=point.memory, architecture=curve.architecture),
        )
        for curve in curves
        for point in curve.points
        if point.memory >= least
    ]
    if not rows:
        raise InputError(f"no size of at least {least} MB was measured without a failure")
    if strategy is Strategy.BALANCED:
        dearest, slowest = max(one.usd for one in rows), max(one.seconds for one in rows)
        return min(
            rows,
            key=lambda one: balance * one.usd / dearest + (1 - balance) * one.seconds / slowest,
        ).choice
    if strategy is Strategy.COST:
        most = min(one.usd for one in rows) * (1 + TOLERANCE)
        return min((one for one in rows if one.usd <= most), key=lambda one: one.seconds).choice
    most = min(one.seconds for one in rows) * (1 + TOLERANCE)
    return min((one for one in rows if one.seconds <= most), key=lambda one: one.usd).choice


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """Cost and duration of an upload for a choice."""

    usd: float
    seconds: float
    choice: Recommendation


def with_recommendation(curve: DurationCurve, found: Recommendation) -> DurationCurve:
    """Return the curve with its recommendation."""
    return replace(curve, recommended=found)


def written(curve: DurationCurve) -> str:
    """A curve as the JSON of its file."""
    return json.dumps({"schema": SCHEMA, **plain(curve, defaults=True)}, indent=2) + "\n"


def read(path: Path) -> DurationCurve:
    """Read the file of a curve.

    Raises:
        InputError: ``input_missing``, ``input_unreadable``, or ``input_invalid`` with the mistake.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", code="input_missing") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", code="input_unreadable") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON", code="input_unreadable") from error
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        raise InputError(f"{path} is no file of durations: its schema is not {SCHEMA}")
    for name, kind in (("photos", dict), ("points", list)):
        if not isinstance(value.get(name), kind):
            what = "an object" if kind is dict else "a list"
            raise InputError(f"{path}: {name} must be {what}")
    # JSON has texts as names.
    failed = value.get("failed") or {}
    if not isinstance(failed, dict) or not all(name.isdecimal() for name in failed):
        raise InputError(f"{path}: failed must be a map of memory sizes to texts")
    value["failed"] = {int(name): text for name, text in failed.items()}
    try:
        curve = build(DurationCurve, value)
    except EngineError as error:
        raise InputError(f"{path}: {error.message.removeprefix('a stored ')}") from error
    for mistake in _mistakes(curve):
        raise InputError(f"{path}: {mistake}")
    return curve


def _mistakes(curve: DurationCurve) -> Sequence[str]:
    """Mistakes in the values of a file with the right structure."""
    found = []
    try:
        date.fromisoformat(curve.measured)
    except ValueError:
        found.append(f"measured: {curve.measured!r} is no day, like 2026-11-30")
    if curve.architecture not in ("arm64", "x86_64"):
        found.append(f"architecture: {curve.architecture!r} is neither arm64 nor x86_64")
    for name in ("count", "bytes", "pixels"):
        value = getattr(curve.photos, name)
        if not 0 < value < math.inf:
            found.append(f"photos.{name}: {value} must be a positive number")
    if curve.batch < 1:
        found.append(f"batch: {curve.batch} must be at least 1")
    sizes = [one.memory for one in curve.points]
    if not sizes:
        found.append("points: there is none")
    if sizes != sorted(set(sizes)):
        found.append("points: memory must grow from each to the next")
    for at, point in enumerate(curve.points):
        found += [f"points[{at}].{text}" for text in _wrong(point)]
    if curve.recommended is not None and curve.recommended.memory not in range(LEAST, MOST + 1):
        found.append(f"recommended.memory: {curve.recommended.memory} must be {LEAST} to {MOST}")
    return found


def _wrong(point: Point) -> Sequence[str]:
    if point.memory not in range(LEAST, MOST + 1):
        return [f"memory: {point.memory} must be {LEAST} to {MOST}"]
    values: Mapping[str, Any] = {
        "seconds": point.seconds,
        "longest": point.longest,
        "init_seconds": point.init_seconds,
        "cpu_seconds": point.cpu_seconds,
    }
    return [
        f"{name}: {value} must be a positive number of seconds, at most 900"
        for name, value in values.items()
        if value is not None and not 0 < value <= 900
    ]
