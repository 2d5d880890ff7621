"""The frame rate of a result: the lowest at which every picture of the source is shown in time.

Pure arithmetic on time stamps: nothing is read here, and nothing is decoded. The rule is in
docs/jobs.md, "When pictures are shown".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from worker.video import ladder

Ticks: TypeAlias = npt.NDArray[np.int64]
Numbers: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]

LEAST = Fraction(10)
"""Frames a second that a result has at least: then any time is within 50 ms of a frame. Repeated
frames cost few bytes: the encoders skip them."""
_TOLERANCE = Fraction(3, 100)
"""Seconds between the time of a picture and the frame that shows it, at most. 50 ms are promised;
slides that were put together at 25 frames a second are up to 20 ms off what is heard already."""
_FINE_TOLERANCE = Fraction(1, 50)
"""The same for sources of 24 frames a second and more."""
_END_TOLERANCE = Fraction(1, 20)
"""Seconds by which the end of the last picture may be off."""
_FINE = 23.9
"""Frames a second; 24000/1001 is one of those."""
SHOWN = Fraction(1, 60)
"""Seconds: a picture that lasts so long or longer is shown, a shorter one may be left out."""
_ROUNDING = 0.001
"""Seconds by which a container's time stamps are off: Matroska and FLV have milliseconds."""
_SAME = 0.01
"""Rates that differ by less are the same, measured over a whole file."""
_FAST = 10
"""Percentile of the intervals that tells the rate of a source whose rate varies."""
_EXACT = 0.001
"""Seconds that pictures are off on average where a rate is the source's own."""
_NEAR = Fraction(21, 20)
"""Rates of up to so many times the lowest possible one cost the same: the most exact is taken."""
_CHEAP = Fraction(30)
"""Frames a second up to which an exact rate may be twice the lowest possible one."""
_RATES = tuple(
    sorted(
        {
            *(Fraction(rate) for rate in (10, 12, 15, 20, 24, 25, 30, 48, 50, 60, 100, 120)),
            Fraction(25, 2),
            *(Fraction(rate * 1000, 1001) for rate in (24, 30, 60, 120)),
        }
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameGrid:
    """Where the pictures of a source are in the result."""

    rate: Fraction
    """Frames a second of the result."""
    frames: int
    """Of the result."""
    variable: bool
    """Some pictures are not at their place of an even grid of the source's own rate."""
    slack: Fraction = Fraction(0)
    """Seconds by which a picture may be late so that it has a frame of its own; 0: none is moved
    from its nearest frame."""
    places: Ticks = field(repr=False)
    """The frame that each picture begins with."""
    nearest: Ticks = field(repr=False)
    """The frame nearest to its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """When the pictures of a source are shown."""

    stamps: Ticks
    """When each begins, ticks; the first is 0, each is later than the one before."""
    clock: Fraction
    """Seconds of a tick."""
    end: int
    """When the last has been shown, ticks."""

    @property
    def seconds(self) -> Numbers:
        """When each begins."""
        return np.asarray(self.stamps * float(self.clock), dtype=np.float64)

    def frames(self, rate: Fraction) -> Numbers:
        """When each begins, in frames; in the very order of operations of :func:`own_places`."""
        scale = self.clock * rate
        return self.stamps.astype(np.float64) * scale.numerator / scale.denominator

    def grid(
        self,
        rate: Fraction,
        *,
        variable: bool = True,
        thinned: bool = False,
        places: Ticks | None = None,
        slack: Fraction = Fraction(0),
    ) -> FrameGrid:
        """The grid of a rate.

        Args:
            rate: frames a second.
            variable: as in :class:`Grid`.
            thinned: the last picture may be among those that are left out; else a player stops at
                it, however short it is.
            places: the frames of the pictures; each is at its nearest unless given.
            slack: as in :class:`Grid`.
        """
        near = np.floor(self.frames(rate) + 0.5).astype(np.int64)
        places = near if places is None else places
        frames = nearest(self.end, self.clock, rate)
        if not thinned:
            frames = max(frames, int(places[-1]) + 1)
        return FrameGrid(
            rate=rate,
            frames=max(1, frames),
            variable=variable,
            slack=slack,
            places=places,
            nearest=near,
        )


def choose(times: Times, *, claimed: Fraction, most: float) -> FrameGrid:
    """Choose the frame rate of a result.

    An even source keeps its own rate, one below :data:`LEAST` a multiple of it. For an uneven one
    the usual rates are tried from below: the first is taken at which every picture that a player
    would show has a frame of its own within the tolerance.

    Args:
        times: of the source.
        claimed: frames a second that the header gives.
        most: frames a second that the result may have.
    """
    steps = np.diff(times.seconds)
    fast = 1 / float(np.percentile(steps, _FAST)) if len(steps) else 0.0
    tolerance = _FINE_TOLERANCE if fast >= _FINE else _TOLERANCE
    own, even = _own_rate(times, claimed, tolerance)
    highest = Fraction(most).limit_denominator(1001)
    briefest = max(float(SHOWN), 1 / most) - _ROUNDING
    kept = _raised(own, highest) if own < LEAST and own <= highest else ladder.lower(own, most)
    if even:
        grid = times.grid(kept, variable=False, thinned=kept < own)
        if kept < LEAST or abs(grid.frames / kept - times.end * times.clock) <= _END_TOLERANCE:
            return grid
    usual = [rate for rate in _RATES if rate <= highest]
    extra = {rate for rate in (own, kept, claimed) if LEAST <= rate <= highest}
    wanted = _wanted(times.seconds, briefest)
    lowest: Fraction | None = None
    found: list[tuple[float, FrameGrid]] = []
    for rate in sorted({*usual, *extra}):
        if lowest is not None and rate > max(min(2 * lowest, _CHEAP), lowest * _NEAR):
            break
        fitting = _fitting(times, rate, tolerance, wanted)
        if fitting is not None:
            late = fitting.places / float(rate) - times.seconds
            found.append((float(np.mean(np.abs(late))), fitting))
            lowest = lowest or (rate if rate in usual else None)
    if lowest is None:
        # Not all can be shown, or not within the limit: as many as there are frames for.
        return times.grid(max(usual, default=kept), thinned=True)
    exact = [grid for late, grid in found if late < _EXACT]
    close = [(late, grid) for late, grid in found if 1 <= grid.rate / lowest <= _NEAR]
    return exact[0] if exact else min(close, key=lambda item: item[0])[1]


def nearest(ticks: int, clock: Fraction, rate: Fraction) -> int:
    """The frame nearest to a time; halves go up, as in ffmpeg's ``fps`` filter."""
    value = ticks * clock * rate
    return int((2 * value.numerator + value.denominator) // (2 * value.denominator))


def _own_rate(times: Times, claimed: Fraction, tolerance: Fraction) -> tuple[Fraction, bool]:
    """Frames a second of the source itself, and whether they are even."""
    count = len(times.stamps)
    if count < 2:
        return (claimed if 0 < claimed <= 240 else Fraction(25)), True
    mean = (count - 1) / float(times.stamps[-1] * times.clock)
    rates = [ladder.nearest_common(mean, tolerance=0.002)]
    if claimed > 0 and abs(float(claimed) - mean) <= _SAME * mean:
        # A rate that nobody films at was reckoned by a muxer, from a length that may be wrong.
        rates.insert(0 if claimed.denominator in (1, 2, 1001) else 1, claimed)
    for rate in rates:
        off = np.abs(times.frames(rate) - np.arange(count))
        # Half a frame off its place: time stamps in milliseconds come nowhere near that.
        if float(np.max(off)) < min(0.5, float(tolerance * rate)):
            return rate, True
    interval = float(np.percentile(np.diff(times.seconds), _FAST))
    return ladder.nearest_common(1 / interval, tolerance=0.04), False


def _raised(own: Fraction, highest: Fraction) -> Fraction:
    """A rate of at least :data:`LEAST` for an even source below it."""
    multiple = own * min(math.ceil(LEAST / own), math.floor(highest / own))
    return multiple if multiple.denominator in (1, 2, 1001) or highest < LEAST else LEAST


def _wanted(seconds: Numbers, briefest: float) -> Flags:
    """Which pictures a player shows.

    All that last for ``briefest`` seconds; of shorter ones that follow each other as many as have
    room between those.
    """
    wanted = np.append(np.diff(seconds) >= briefest, True)
    if np.all(wanted):
        return wanted
    following = np.where(wanted, seconds, np.inf)
    following = np.minimum.accumulate(following[::-1])[::-1]
    before = -math.inf
    for index, (time, next_) in enumerate(zip(seconds.tolist(), following.tolist(), strict=True)):
        if wanted[index] or (time - before >= briefest and next_ - time >= briefest):
            wanted[index] = True
            before = time
    return wanted


def _fitting(times: Times, rate: Fraction, tolerance: Fraction, wanted: Flags) -> FrameGrid | None:
    """The grid of a rate, if it has a frame in time for every wanted picture."""
    frames = times.frames(rate)
    room = _room(tolerance, rate)

    def fits(grid: FrameGrid) -> bool:
        own = np.append(np.diff(grid.places) > 0, True)
        near = np.abs(grid.places - frames) <= room + 1e-6
        end = abs(grid.frames / rate - times.end * times.clock) <= _END_TOLERANCE
        return end and bool(np.all((own & near)[wanted]))

    grid = times.grid(rate)
    if fits(grid):
        return grid
    if np.count_nonzero(wanted) > frames[-1] + room + 1:
        return None
    latest = np.maximum(grid.nearest, np.floor(frames + room).astype(np.int64))
    order = np.arange(len(frames))
    # Each at its nearest frame or the one behind the picture before it.
    places = np.maximum.accumulate(grid.nearest - order) + order
    if bool(np.any(places > latest)):
        if bool(np.all(wanted)):
            return None
        places = _pushed(grid.nearest, latest)
    grid = times.grid(rate, places=places, slack=tolerance)
    return grid if fits(grid) else None


def _room(slack: Fraction, rate: Fraction) -> float:
    """Frames; as it is written in an expression."""
    return round(float(slack * rate), 9)


def _pushed(near: Ticks, latest: Ticks) -> Ticks:
    """What :func:`own_places` does where there is not a frame for every picture."""
    places: list[int] = []
    before = -1
    for place, last in zip(near.tolist(), latest.tolist(), strict=True):
        before = max(place, min(before + 1, last))
        places.append(before)
    return np.array(places, dtype=np.int64)


def own_places(origin: int, clock: Fraction, rate: Fraction, slack: Fraction) -> str:
    """The expression of ffmpeg's ``setpts`` that gives pictures frames of their own.

    A picture whose nearest frame is that of the one before it is shown a frame later, unless that
    is later than ``slack`` seconds.
    """
    scale = clock * rate
    over, under = scale.numerator, scale.denominator
    frames = f"(PTS-({origin}))*{over}/{under}"
    behind = f"round(PREV_OUTPTS*{over}/{under})+1"
    latest = f"floor(ld(0)+{_room(slack, rate):.9f})"
    place = f"if(isnan(PREV_OUTPTS),ld(1),max(ld(1),min({behind},{latest})))"
    return f"st(0,{frames});st(1,floor(ld(0)+0.5));round({place}*{under}/{over})"
