"""When each picture of a source is shown, and where decoding can begin: read from its packets.

What lives here: one run of ffprobe over the index of a file, and what follows from it for an even
grid of frames. What may not: decoding.

Decision: results have a constant frame rate. Pictures of a source whose rate varies are put on
the nearest place of an even grid; a picture is repeated where the source shows it longer. So
every rung's segments begin at the same instants, a segment's length is exact, and a part of the
film can be encoded knowing nothing of the others.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from worker.errors import DamagedInput, LimitExceeded, Reason
from worker.media.video import ladder, program
from worker.media.video.limits import MEBIBYTE, ProgramLimits
from worker.media.video.program import StopLike

_PACKET = re.compile(rb"^packet\|([^|\n]*)\|([^|\n]*)\|([^|\n]*)\|([^|\n]*)", re.MULTILINE)
_CLOCK = re.compile(rb"^stream\|(\d+)/(\d+)", re.MULTILINE)
_CAPTURE = 512 * MEBIBYTE
"""Some 30 bytes a picture: four hours at 1000 pictures a second."""
_SAME = 0.01
"""Rates that differ by less are the same, measured over a whole file."""
_REORDERED = 1
"""Seconds: a picture that much earlier than one before it in the file is not there for a coder's
sake, time itself has begun again."""
_LATE = 0.2
"""Share of the pictures of which that may be so; they are dropped."""
_FAST = 10
"""Percentile of the intervals that tells the rate of a source whose rate varies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The pictures of one video track, and the grid they are put on."""

    clock: Fraction
    """Seconds a tick of the track's time stamps."""
    origin: int
    """Time stamp, in ticks, of the first picture that can be decoded."""
    pictures: int
    """In the source."""
    variable: bool
    """Some pictures are not at their place of an even grid of the source's own rate."""
    rate: Fraction
    """Frames a second of the result."""
    frames: int
    """Of the result."""
    keys: tuple[tuple[int, int], ...]
    """Places where decoding can begin: (frame of the grid, time stamp in ticks), ascending."""

    @property
    def seconds(self) -> Fraction:
        """Length of the result."""
        return self.frames / self.rate


def read(
    path: Path,
    stream: int,
    *,
    claimed: Fraction,
    most_rate: float,
    most_seconds: float,
    limits: ProgramLimits,
    stop: StopLike | None = None,
) -> Timeline:
    """Read the time stamps of one track.

    Args:
        path: the video.
        stream: index of the track in the file.
        claimed: frames a second that the header gives.
        most_rate: frames a second that the result may have.
        most_seconds: the longest result that is accepted.
        limits: of the program that reads.
        stop: ends it early.

    Raises:
        DamagedInput: CORRUPT, there is no picture with a time stamp.
        LimitExceeded: TOO_LONG_DURATION.
    """
    arguments = ["-select_streams", str(stream)]
    arguments += ["-show_entries", "stream=time_base:packet=pts,dts,duration,flags"]
    arguments += ["-of", "compact=nk=1", "-i", program.input_url(path)]
    listing = program.run(
        arguments,
        program="ffprobe",
        limits=replace(limits, capture_bytes=_CAPTURE),
        stop=stop,
        capture=True,
    )
    clock = _CLOCK.search(listing)
    packets = [match.groups() for match in _PACKET.finditer(listing)]
    if clock is None or int(clock[1]) == 0 or int(clock[2]) == 0:
        raise DamagedInput(Reason.CORRUPT, "the video track has no clock")
    return _timeline(
        packets,
        Fraction(int(clock[1]), int(clock[2])),
        claimed=claimed,
        most_rate=most_rate,
        most_seconds=most_seconds,
    )


def _timeline(
    packets: list[tuple[bytes, ...]],
    clock: Fraction,
    *,
    claimed: Fraction,
    most_rate: float,
    most_seconds: float,
) -> Timeline:
    shown: list[tuple[int, bool, int]] = []
    run_in = False
    late, latest = 0, -math.inf
    for pts, dts, duration, flags in packets:
        stamp = pts if pts != b"N/A" else dts
        if stamp == b"N/A":
            continue
        if b"D" in flags:
            # An edit list leaves it out, and what comes after may need it all the same.
            run_in = run_in or (b"K" in flags and not shown)
            continue
        length = 0 if duration == b"N/A" else int(duration)
        shown.append((int(stamp), b"K" in flags, length))
        late += int(stamp) < latest - _REORDERED / clock
        latest = max(latest, int(stamp))
    if not shown:
        raise DamagedInput(Reason.CORRUPT, "the video track has no picture with a time stamp")
    if late > _LATE * len(shown):
        raise DamagedInput(
            Reason.CORRUPT,
            f"its time stamps jump back: {late} of {len(shown)} pictures would never be shown",
        )
    shown.sort()
    key_stamps = [stamp for stamp, key, _ in shown if key]
    origin = key_stamps[0] if key_stamps and not run_in else shown[0][0]
    shown = [item for item in shown if item[0] >= origin]
    stamps = np.unique(np.array([stamp for stamp, _, _ in shown], dtype=np.int64)) - origin
    spread = float(stamps[-1] * clock)
    if spread > most_seconds:
        raise LimitExceeded(
            Reason.TOO_LONG_DURATION,
            f"{spread:,.0f} s are more than the limit of {most_seconds:,.0f} s",
        )
    own, variable = _own_rate(stamps, clock, claimed)
    rate = ladder.lower(own, most_rate)
    last = int(stamps[-1])
    length = shown[-1][2]
    # A length that is far from the rate is a slip of the muxer, not a picture to look at.
    known = len(stamps) > 1 and 0 < length * clock <= 2
    frames = _place(last + length, clock, rate) if known else _place(last, clock, rate) + 1
    return Timeline(
        clock=clock,
        origin=origin,
        pictures=len(shown),
        variable=variable,
        rate=rate,
        frames=max(1, frames),
        keys=tuple((_place(stamp - origin, clock, rate), stamp) for stamp in key_stamps),
    )


def _place(ticks: int, clock: Fraction, rate: Fraction) -> int:
    """The frame of the grid nearest to a time; halves go up, as in ffmpeg's ``fps`` filter."""
    value = ticks * clock * rate
    return int((2 * value.numerator + value.denominator) // (2 * value.denominator))


def _own_rate(
    stamps: np.ndarray[tuple[int, ...], np.dtype[np.int64]], clock: Fraction, claimed: Fraction
) -> tuple[Fraction, bool]:
    """Frames a second of the source itself, and whether they vary."""
    if len(stamps) < 3:
        return (claimed if claimed > 0 else Fraction(25)), False
    mean = (len(stamps) - 1) / float(stamps[-1] * clock)
    rate = claimed
    if claimed <= 0 or abs(float(claimed) - mean) > _SAME * mean:
        rate = ladder.nearest_common(mean, tolerance=0.002)
    places = stamps * float(clock * rate)
    # Half a frame off its place: time stamps in milliseconds come nowhere near that.
    if float(np.max(np.abs(places - np.arange(len(stamps))))) < 0.5:
        return rate, False
    interval = float(np.percentile(np.diff(stamps), _FAST)) * float(clock)
    return ladder.nearest_common(1 / interval, tolerance=0.04), True
