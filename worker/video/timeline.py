"""When each picture of a source is shown, and where decoding can begin: read from its packets.

What lives here: one run of ffprobe over the index of a file, and what follows from it for an even
grid of frames. What may not: decoding.

Decision: results have a constant frame rate (``frame_rate`` chooses it). A picture of a source
whose rate varies is put on an even grid and repeated where the source shows it longer. So every
rung's segments begin at the same instants, a segment's length is exact, and a part of the film can
be encoded knowing nothing of the others.
"""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from worker.domain.errors import DamagedInput, LimitExceeded, Reason
from worker.job_context import Stop
from worker.video import ffmpeg, frame_rate, timing
from worker.video.last_frame import LastFrame
from worker.video.limits import MEBIBYTE, ProgramLimits

_PACKET = re.compile(rb"^packet\|([^|\n]*)\|([^|\n]*)\|([^|\n]*)\|([^|\n]*)", re.MULTILINE)
_CLOCK = re.compile(rb"^stream\|(\d+)/(\d+)", re.MULTILINE)
_CAPTURE = 512 * MEBIBYTE
"""Some 30 bytes a picture: four hours at 1000 pictures a second."""
_REORDERED = 16
"""Pictures that may come before one that is shown earlier: H.264 and H.265 allow no more (ITU-T
H.264, A.3.1 and E.2.1, ``max_num_reorder_frames``)."""
_JUMP = 1
"""Seconds: time that goes back by less is a slip, not a beginning."""
_LATE = 0.2
"""Share of the pictures that may come after time has begun again; they are dropped."""
_EVEN = 0.8
"""Share of the usual length of a picture that short ones have of an even source."""
_SLIP = 0.05
"""Seconds by which packets and header may differ on the end of a track."""


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
    """Key frames: (frame of the grid, time stamp in ticks), ascending."""
    slack: Fraction = Fraction(0)
    """Seconds by which a picture may be late so that it has a frame of its own."""
    last: int = 0
    """Time stamp, in ticks, of the last picture."""
    entries: tuple[tuple[int, int], ...] | None = None
    """Those of the keys where a part can begin, whatever comes before them; None is all."""

    @property
    def seconds(self) -> Fraction:
        """Length of the result."""
        return self.frames / self.rate


def read(
    path: Path,
    stream: int,
    *,
    claimed: Fraction,
    end: float | None = None,
    held: LastFrame | None = None,
    most_rate: float,
    most_seconds: float,
    limits: ProgramLimits,
    stop: Stop | None = None,
) -> Timeline:
    """Read the time stamps of one track.

    Args:
        path: the video.
        stream: index of the track in the file.
        claimed: frames a second that the header gives.
        end: time stamp when the last picture has been shown, seconds, if the probe knows.
        held: says whether it stays for longer.
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
    arguments += ["-of", "compact=nk=1", "-i", ffmpeg.input_url(path)]
    listing = ffmpeg.run(
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
        end=end,
        held=held,
        most_rate=most_rate,
        most_seconds=most_seconds,
    )


def _timeline(
    packets: list[tuple[bytes, ...]],
    clock: Fraction,
    *,
    claimed: Fraction,
    end: float | None,
    held: LastFrame | None,
    most_rate: float,
    most_seconds: float,
) -> Timeline:
    shown: list[tuple[int, bool, int]] = []
    run_in = False
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
    if not shown:
        raise DamagedInput(Reason.CORRUPT, "the video track has no picture with a time stamp")
    late = _late(shown, clock)
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
    length = _last_length(stamps, shown[-1][2], clock, end, origin)
    spread = float((int(stamps[-1]) + length) * clock)
    if spread > most_seconds:
        raise LimitExceeded(
            Reason.TOO_LONG_DURATION,
            f"{spread:,.0f} s are more than the limit of {most_seconds:,.0f} s",
        )
    last = int(stamps[-1]) + length
    if held is not None:
        by_itself = float((origin + last) * clock)
        longest = min(held.until(by_itself), float(origin * clock) + most_seconds)
        last += max(0, round(Fraction(longest - by_itself) / clock))
    times = frame_rate.Times(stamps=stamps, clock=clock, end=last)
    grid = frame_rate.choose(times, claimed=claimed, most=most_rate)
    keys = [(frame_rate.nearest(stamp - origin, clock, grid.rate), stamp) for stamp in key_stamps]
    return Timeline(
        clock=clock,
        origin=origin,
        pictures=len(shown),
        variable=grid.variable,
        rate=grid.rate,
        frames=grid.frames,
        keys=tuple(keys),
        slack=grid.slack,
        last=shown[-1][0],
        entries=_entries(keys, stamps + origin, grid) if grid.slack else None,
    )


def _late(shown: Sequence[tuple[int, bool, int]], clock: Fraction) -> int:
    """Pictures in file order that come after time has begun again and before it has caught up.

    A key frame is shown later than all pictures before it, and a coder moves no picture past more
    than :data:`_REORDERED` others. Counted in seconds, reordering has no bound: at one picture in
    two seconds four pictures are eight seconds.
    """
    late, latest, barrier = 0, -math.inf, -math.inf
    newest: list[int] = []
    for stamp, key, _ in shown:
        if stamp < latest - _JUMP / clock:
            if key:
                barrier = latest
            late += stamp < barrier or (len(newest) > _REORDERED and stamp < newest[0])
        latest = max(latest, stamp)
        if len(newest) <= _REORDERED:
            heapq.heappush(newest, stamp)
        else:
            heapq.heappushpop(newest, stamp)
    return late


def _last_length(
    stamps: frame_rate.Ticks, told: int, clock: Fraction, end: float | None, origin: int
) -> int:
    """How long the last picture is shown, ticks; 0 if nothing tells.

    Args:
        stamps: of all pictures, from the origin.
        told: by its packet, ticks; 0 if it does not.
        clock: seconds of a tick.
        end: of the track as the probe has it, seconds; it knows containers whose packets do not
            tell.
        origin: of the stamps.
    """
    length = told
    if length <= 0 and len(stamps) > 1:
        short, usual = np.percentile(np.diff(stamps), (10, 50)).tolist()
        even = short >= _EVEN * usual
        length = math.ceil(usual if even else min(usual, timing.UNKNOWN / clock))
    if end is not None:
        known = round(Fraction(end) / clock) - origin - int(stamps[-1])
        if known > 0 and abs(known - length) * clock > _SLIP:
            length = known
    return max(0, length)


def _entries(
    keys: Sequence[tuple[int, int]], stamps: frame_rate.Ticks, grid: frame_rate.FrameGrid
) -> tuple[tuple[int, int], ...]:
    """Keys whose place does not depend on the pictures before them."""
    before = np.append(-1, grid.places[:-1])
    free = before < grid.nearest
    at = np.searchsorted(stamps, [stamp for _, stamp in keys])
    return tuple(key for key, index in zip(keys, at.tolist(), strict=True) if free[index])
