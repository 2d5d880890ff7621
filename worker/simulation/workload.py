"""The workload of a simulation: arrivals and faults."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from random import Random
from statistics import NormalDist
from typing import Any

from worker.domain.errors import InputError, ParameterError, Problem
from worker.services.tuning_curve import DurationCurve

DAY = 86_400
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": DAY}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])?")
UNCOUNTED = 36
"""Uploads of a point between two that were measured: as many as `safelight tune` makes."""


def _largest(count: int) -> float:
    """Mean of the largest of so many normal values, in standard deviations (Blom, Statistical
    Estimates and Transformed Beta-Variables, 1958)."""
    return NormalDist().inv_cdf((count - 0.375) / (count + 0.25))


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTimes:
    """Seconds that the function works on one upload: lognormal, or always the same."""

    seconds: float
    """Mean."""
    spread: float = 0.0
    """Standard deviation of the logarithm."""
    init_seconds: float = 0.0
    """Of a new instance."""
    overlap: float = 0.0
    """Share of the work of an upload that goes on beside the one before it in its batch."""

    @classmethod
    def of_curve(cls, curve: DurationCurve, memory: int) -> ServiceTimes:
        """From what ``safelight tune`` has measured.

        How many standard deviations the slowest of so many uploads lies above the median gives the
        spread.
        """
        point = curve.at(memory)
        spread = 0.0
        if point.longest and point.longest > point.seconds:
            # longest = seconds x exp(most s - s^2 / 2), solved for the smaller s.
            most = _largest(point.uploads or UNCOUNTED)
            root = most**2 - 2 * math.log(point.longest / point.seconds)
            spread = most - math.sqrt(max(root, 0.0))
        return cls(seconds=point.seconds, spread=spread, init_seconds=point.init_seconds or 0.0)

    def draw(self, random: Random) -> float:
        """Seconds of one upload."""
        if not self.spread:
            return self.seconds
        return self.seconds * math.exp(random.gauss(-(self.spread**2) / 2, self.spread))


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedLoad:
    """What comes in. Uploads come at random times, independent of each other."""

    rate: float
    """Uploads a second, on average."""
    seconds: float = 3600.0
    """Simulated without a spike; with one, before it."""
    spike: float = 1.0
    """Times the rate during the spike."""
    spike_seconds: float = 0.0
    after: float = 900.0
    """Seconds after the spike; then until the queues are empty."""
    drain_limit: float = 4 * 3600.0
    """Seconds after the spike at most, if the queues do not get empty."""
    videos: float = 0.0
    """A second; they follow the spike."""
    video_seconds: float = 60.0
    """Of work of a video's job."""
    failures: float = 0.0
    """Share of the tries that fail and succeed later."""
    shared: float = 0.0
    """Share of the uploads that go to the keys of ``shared_keys`` others."""
    shared_keys: int = 100
    largest_owner: float = 0.0
    """Share of the uploads that belong to one owner."""
    seed: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be simulated.

        Raises:
            ParameterError: with every mistake.
        """
        shares = ("failures", "shared", "largest_owner")
        found = [
            Problem(name, "must be from 0 to 1")
            for name in shares
            if not 0 <= getattr(self, name) <= 1
        ]
        if not 0 < self.rate <= 1e6:
            found.append(Problem("rate", "must be above 0 and at most a million uploads a second"))
        if not 1 <= self.spike <= 1000:
            found.append(Problem("spike", "must be from 1 to 1,000 times the rate"))
        if not 0 < self.seconds <= 7 * DAY or not 0 <= self.spike_seconds <= DAY:
            found.append(Problem("seconds", "must be at most a week, and of a spike a day"))
        if found:
            raise ParameterError("the load", tuple(found))

    @property
    def steady(self) -> float:
        """Seconds before the spike."""
        return self.seconds

    @property
    def end(self) -> float:
        """When nothing more has to come in: the spike is over, and some time has passed."""
        if not self.spike_seconds:
            return self.seconds
        return self.seconds + self.spike_seconds + self.after

    @property
    def peak(self) -> float:
        """Uploads a second in the spike."""
        return self.rate * (self.spike if self.spike_seconds else 1)

    def weight(self, enough: int) -> int:
        """One upload in how many makes about ``enough`` of them."""
        uploads = self.rate * self.end + (self.peak - self.rate) * self.spike_seconds
        return max(1, round(uploads / enough))

    def rate_at(self, time: float) -> float:
        """Uploads a second at a time."""
        spiking = self.seconds <= time < self.seconds + self.spike_seconds
        return self.rate * (self.spike if spiking else 1)


class OutageKind(StrEnum):
    """A fault."""

    ERRORS = "errors"
    """A share of the tries fails; the message comes back later."""
    SLOW = "slow"
    """Uploads take ``factor`` times as long."""
    THROTTLE = "throttle"
    """``target`` allows a share of its rate."""
    STOP = "stop"
    """The event source makes no further invocations."""
    RECLAIM = "reclaim"
    """A share of the Spot machines is taken back, at once."""
    NO_SPOT = "no-spot"
    """No Spot machine can be had."""


TARGETS = ("delivery", "catalog")
"""Of ``throttle``: the delivery bucket, and the catalog's table with its indexes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedFault:
    """One fault."""

    kind: OutageKind
    at: float
    """Seconds of the simulation."""
    seconds: float = 0.0
    share: float = 1.0
    """Of tries, of the allowed rate, or of machines."""
    factor: float = 1.0
    target: str = ""

    def active(self, time: float) -> bool:
        """Whether it is on."""
        return self.at <= time < self.at + self.seconds


def duration(text: str) -> float:
    """``30m`` in seconds; a number alone is seconds.

    Raises:
        ValueError: it is none.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no duration like 30m, 2h or 90s")
    return float(match[1]) * _UNITS[match[2] or "s"]


def read_faults(path: Path) -> tuple[SimulatedFault, ...]:
    """Read a TOML file with tables ``[[fault]]``.

    Raises:
        InputError: it cannot be read, or is no TOML.
        ParameterError: with every mistake in it.
    """
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file", code="input_missing") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}", code="input_unreadable") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{path} is no TOML: {error}", code="input_invalid") from error
    tables = found.get("fault")
    unknown = sorted({*found} - {"fault"})
    if not isinstance(tables, list) or unknown:
        text = "must have nothing but tables [[fault]]"
        raise ParameterError(str(path), (Problem(unknown[0] if unknown else "fault", text),))
    problems: list[Problem] = []
    faults = [_fault(one, f"fault {number}", problems) for number, one in enumerate(tables, 1)]
    if problems:
        raise ParameterError(str(path), tuple(problems))
    return tuple(sorted((one for one in faults if one), key=lambda one: one.at))


def _fault(table: Any, where: str, problems: list[Problem]) -> SimulatedFault | None:
    if not isinstance(table, Mapping):
        problems.append(Problem(where, "must be a table"))
        return None
    before = len(problems)
    known = {"kind", "at", "for", "share", "factor", "target"}
    problems += [
        Problem(f"{where}.{name}", f"is not known: {', '.join(sorted(known))}")
        for name in sorted({*table} - known)
    ]
    kind = str(table.get("kind"))
    if kind not in [*OutageKind]:
        problems.append(Problem(f"{where}.kind", f"must be one of {', '.join(OutageKind)}"))
    times = {}
    for name in ("at", "for"):
        try:
            times[name] = duration(str(table.get(name, "0")))
        except ValueError as error:
            problems.append(Problem(f"{where}.{name}", str(error)))
    numbers = {
        name: _number(table, name, most, where, problems)
        for name, most in (("share", 1.0), ("factor", 1000.0))
    }
    if numbers["factor"] <= 0:
        problems.append(Problem(f"{where}.factor", "must be above 0"))
    target = str(table.get("target", ""))
    if kind == OutageKind.THROTTLE and target not in TARGETS:
        problems.append(Problem(f"{where}.target", f"must be one of {', '.join(TARGETS)}"))
    if len(problems) > before:
        return None
    return SimulatedFault(
        kind=OutageKind(kind),
        at=times["at"],
        seconds=times["for"],
        target=target,
        **numbers,
    )


def _number(
    table: Mapping[str, Any], name: str, most: float, where: str, problems: list[Problem]
) -> float:
    value = table.get(name, 1.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        problems.append(Problem(f"{where}.{name}", f"must be from 0 to {most:g}"))
        return 1.0
    return float(value)


def factor_of(faults: Sequence[SimulatedFault], time: float) -> float:
    """How many times longer an upload takes at a time."""
    found = 1.0
    for fault in faults:
        if fault.kind is OutageKind.SLOW and fault.active(time):
            found *= fault.factor
    return found


def errors_of(faults: Sequence[SimulatedFault], time: float) -> float:
    """Share of the tries that fail at a time because of faults."""
    good = 1.0
    for fault in faults:
        if fault.kind is OutageKind.ERRORS and fault.active(time):
            good *= 1 - fault.share
    return 1 - good
