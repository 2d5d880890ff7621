"""When the pictures of a video are shown: what its packets say, and the grid of frames they get.

Three things are read or reckoned here, and nothing is decoded:

- :func:`measure`: one pass of ffprobe over the packets of one stream, and what follows from it.
  It does not use the header's claims; ``probe`` compares the two.
- :func:`read_timeline`: when each picture is shown and where decoding can begin, on an even grid of
  frames. Results have a constant frame rate. A picture of a source whose rate varies is put on the
  grid and repeated where the source shows it longer. So every rung's segments begin at the same
  instants, a segment's length is exact, and a chunk can be encoded knowing nothing of the others.
- :func:`choose_grid`: the frame rate of a result, the lowest at which every picture of the source
  is shown in time. The rule is in docs/jobs.md, "When pictures are shown".
"""

from __future__ import annotations

import heapq
import math
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from worker.domain.errors import DamagedInput, LimitExceeded, Reason
from worker.job_context import Stop
from worker.video.ffmpeg import MEBIBYTE, ProgramLimits, input_url, run
from worker.video.tracks import AudioTrack, VideoProbe

Ticks: TypeAlias = npt.NDArray[np.int64]
Numbers: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]

# --- what packets say --------------------------------------------------------------------------

_MOST_PACKETS = 4_000_000  # 48 hours at 23 frames a second; 32 MB of time stamps
_GAP_SECONDS = 10.0
_ROUNDING = 0.0015
"""Matroska and FLV round time stamps to a millisecond."""
_IRREGULAR_SHARE = 0.01
_NO_DAMAGE = re.compile(
    r"Error parsing Opus packet header\.$"
    r"|Codec \(\w+\) not on whitelist|^(?:Could not open|Failed to open) codec"
    r"|^\s*Last message repeated"
)
"""A message of ffprobe 8.0 at the end of every complete Opus track; 7.1 and 8.1 do not
(https://code.ffmpeg.org/FFmpeg/FFmpeg/issues/20954). And of tracks that are not looked at."""
_UNKNOWN_LENGTH = 0.1
"""Seconds that the last picture of an irregular track is shown, at most, where nothing tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Time as the packets tell it. Seconds."""

    packets: int
    """With data in them, without those that an edit list leaves out."""
    start: float
    first_shown: float
    """When the first one is shown that can be decoded: where results begin."""
    last: float
    """When the last one begins to be shown."""
    end: float
    """When the last one has been shown."""
    decoding: float | None
    """From when the first packet is to be decoded to when the last is, if that is shown last; None
    if another is, if there are no such times, or if an edit list leaves some out."""
    step: float
    """The usual distance of two frames; 0 for fewer than two."""
    regular: bool
    """All but one in a hundred are that far apart."""
    broken: bool
    """Time stamps are missing, repeat themselves or leave gaps of many seconds."""
    stamped: bool
    """There are time stamps at all; a bare stream without a container has none."""
    key_frames: int
    """Packets that can be decoded without those before them."""
    longest_group: float
    """Seconds between the two neighbouring key frames that are farthest apart, the end included."""
    complaints: int
    """Number of the demuxer's error lines; 0 for a complete file."""

    @property
    def duration(self) -> float:
        """From the start of the first to the end of the last."""
        return max(0.0, self.end - self.start)

    @property
    def fps(self) -> Fraction | None:
        """Average frames a second; None for fewer than two."""
        if self.packets < 2 or self.duration <= 0:
            return None
        if self.regular and self.step > 0:
            return Fraction(1 / self.step).limit_denominator(1001)
        return Fraction(self.packets / self.duration).limit_denominator(1001)


def measure(
    path: Path,
    stream: int,
    limits: ProgramLimits,
    *,
    seconds: float | None = None,
    stop: Stop | None = None,
) -> Timing:
    """Read the time stamps of a stream.

    Args:
        path: the file.
        stream: number of the stream.
        limits: of the program.
        seconds: only the first so many of them; None reads the file to its end.
        stop: ends it early.

    Raises:
        Rejected: the container cannot be read at all, or not in time.
    """
    reader = _PacketReader()
    interval = ["-read_intervals", f"%+{seconds:g}"] if seconds is not None else []
    entries = "packet=pts_time,dts_time,duration_time,flags"
    run(
        [
            *(*interval, "-select_streams", str(stream), "-show_entries", entries),
            *("-of", "default", "-i", input_url(path)),
        ],
        limits=limits,
        program="ffprobe",
        sink=reader.take,
        log=reader.complain,
        stop=stop,
    )
    return reader.timing()


class _PacketReader:
    """Collects time stamps from ffprobe's lines, eight bytes each."""

    def __init__(self) -> None:
        self._rest = b""
        self._stamps = array("d")
        self._packets = 0
        self._missing = 0
        self._last: tuple[float, float] = (-math.inf, 0.0)
        self._values: dict[bytes, float] = {}
        self._first_decoded = self._decoded = math.nan
        self._shown = math.nan
        self._key = self._left_out = self._run_in = False
        self._keys = array("d")
        self._complaints = 0

    def complain(self, line: str) -> None:
        self._complaints += bool(line.strip()) and not _NO_DAMAGE.search(line)

    def take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line == b"[PACKET]":
                self._values.clear()
                self._key = self._left_out = False
            elif line == b"[/PACKET]":
                self._packet()
            elif line.startswith(b"flags="):
                self._key, self._left_out = b"K" in line, b"D" in line
            else:
                key, _, value = line.partition(b"=")
                try:
                    self._values[key] = float(value)
                except ValueError:
                    continue  # N/A

    def _packet(self) -> None:
        if self._left_out:
            # Later frames may still need it.
            self._run_in = self._run_in or (self._key and not self._stamps)
            self._first_decoded = -math.inf
            return
        self._packets += 1
        self._decoded = self._values.get(b"dts_time", math.nan)
        if self._packets == 1 and not math.isinf(self._first_decoded):
            self._first_decoded = self._decoded
        stamp = self._values.get(b"pts_time", self._values.get(b"dts_time"))
        if stamp is None:
            self._missing += 1
            return
        self._shown = stamp
        if len(self._stamps) < _MOST_PACKETS:
            self._stamps.append(stamp)
            if self._key:
                self._keys.append(stamp)
        self._last = max(self._last, (stamp, self._values.get(b"duration_time", 0.0)))

    def timing(self) -> Timing:
        stamps = sorted(self._stamps)
        steps = [late - early for early, late in pairwise(stamps)]
        step = sorted(steps)[len(steps) // 2] if steps else 0.0
        allowed = max(0.1 * step, _ROUNDING)
        even = [each for each in steps if abs(each - step) <= allowed]
        regular = step > 0 and len(steps) - len(even) <= _IRREGULAR_SHARE * len(steps)
        if regular:
            step = sum(even) / len(even)  # finer than the container's rounding
        last, length = self._last
        if length <= 0:
            length = step if regular else min(step, _UNKNOWN_LENGTH)
        end = last + length if stamps else 0.0
        keys = [*sorted(self._keys), end]
        start = stamps[0] if stamps else 0.0
        decoding = self._decoded - self._first_decoded
        return Timing(
            packets=self._packets,
            start=start,
            first_shown=start if self._run_in or not self._keys else keys[0],
            last=last if stamps else 0.0,
            end=end,
            decoding=decoding if math.isfinite(decoding) and self._shown == last else None,
            step=step,
            regular=regular,
            broken=bool(self._missing)
            or any(each <= 0 or each > max(_GAP_SECONDS, 20 * step) for each in steps),
            stamped=bool(stamps),
            key_frames=len(keys) - 1,
            longest_group=max((late - early for early, late in pairwise(keys)), default=0.0),
            complaints=self._complaints,
        )


# --- pictures on a grid of frames --------------------------------------------------------------

_PACKET = re.compile(rb"^packet\|([^|\n]*)\|([^|\n]*)\|([^|\n]*)\|([^|\n]*)", re.MULTILINE)
_TIME_BASE = re.compile(rb"^stream\|(\d+)/(\d+)", re.MULTILINE)
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
_MOST_AUDIO_TRACKS = 8
_LONGER = 0.1
"""Seconds by which audio may outlast the pictures before the last picture is held for it: audio
encoders fill their last frame up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The pictures of one video track, and the grid they are put on."""

    time_base: Fraction
    """Seconds a tick of the track's time stamps."""
    start_pts: int
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
    """Those of the keys where a chunk can begin, whatever comes before them; None is all."""

    @property
    def seconds(self) -> Fraction:
        """Length of the result."""
        return self.frames / self.rate


def read_timeline(
    path: Path,
    probe: VideoProbe,
    *,
    most_rate: float,
    most_seconds: float,
    limits: ProgramLimits,
    stop: Stop | None = None,
) -> Timeline:
    """Read when the pictures of a video are shown.

    Args:
        path: the video.
        probe: of it; it must have a video track.
        most_rate: frames a second that the result may have.
        most_seconds: the longest result that is accepted.
        limits: of the program that reads.
        stop: ends it early.

    Raises:
        DamagedInput: CORRUPT, there is no picture with a time stamp.
        LimitExceeded: TOO_LONG_DURATION.
    """
    track = probe.video
    assert track is not None
    arguments = ["-select_streams", str(track.index)]
    arguments += ["-show_entries", "stream=time_base:packet=pts,dts,duration,flags"]
    arguments += ["-of", "compact=nk=1", "-i", input_url(path)]
    listing = run(
        arguments,
        program="ffprobe",
        limits=replace(limits, capture_bytes=_CAPTURE),
        stop=stop,
        capture=True,
    )
    base = _TIME_BASE.search(listing)
    packets = [match.groups() for match in _PACKET.finditer(listing)]
    if base is None or int(base[1]) == 0 or int(base[2]) == 0:
        raise DamagedInput(Reason.CORRUPT, "the video track has no time base")
    time_base = Fraction(int(base[1]), int(base[2]))
    shown, run_in = _shown(packets)
    late = _late(shown, time_base)
    if late > _LATE * len(shown):
        raise DamagedInput(
            Reason.CORRUPT,
            f"its time stamps jump back: {late} of {len(shown)} pictures would never be shown",
        )
    shown.sort()
    key_stamps = [stamp for stamp, key, _ in shown if key]
    start_pts = key_stamps[0] if key_stamps and not run_in else shown[0][0]
    shown = [item for item in shown if item[0] >= start_pts]
    stamps = np.unique(np.array([stamp for stamp, _, _ in shown], dtype=np.int64)) - start_pts
    length = _last_length(stamps, shown[-1][2], time_base, track.end, start_pts)
    end = int(stamps[-1]) + length
    if end * time_base > most_seconds:
        raise LimitExceeded(
            Reason.TOO_LONG_DURATION,
            f"{float(end * time_base):,.0f} s are more than the limit of {most_seconds:,.0f} s",
        )
    by_itself = float((start_pts + end) * time_base)
    longest = _end_of_audio(path, probe, by_itself, limits, stop)
    longest = min(longest, float(start_pts * time_base) + most_seconds)
    end += max(0, round(Fraction(longest - by_itself) / time_base))
    times = PictureTimes(stamps=stamps, time_base=time_base, end=end)
    grid = choose_grid(times, claimed=track.fps, most=most_rate)
    keys = [(nearest(stamp - start_pts, time_base, grid.rate), stamp) for stamp in key_stamps]
    return Timeline(
        time_base=time_base,
        start_pts=start_pts,
        pictures=len(shown),
        variable=grid.variable,
        rate=grid.rate,
        frames=grid.frames,
        keys=tuple(keys),
        slack=grid.slack,
        last=shown[-1][0],
        entries=_entries(keys, stamps + start_pts, grid) if grid.slack else None,
    )


def _shown(packets: Sequence[tuple[bytes, ...]]) -> tuple[list[tuple[int, bool, int]], bool]:
    """Of each picture in file order its time stamp, whether it is a key frame, and its length.

    Returns:
        These, and whether pictures that an edit list leaves out must be decoded for the first.
    """
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
    return shown, run_in


def _late(shown: Sequence[tuple[int, bool, int]], time_base: Fraction) -> int:
    """Pictures in file order that come after time has begun again and before it has caught up.

    A key frame is shown later than all pictures before it, and a coder moves no picture past more
    than :data:`_REORDERED` others. Counted in seconds, reordering has no bound: at one picture in
    two seconds four pictures are eight seconds.
    """
    late, latest, barrier = 0, -math.inf, -math.inf
    newest: list[int] = []
    for stamp, key, _ in shown:
        if stamp < latest - _JUMP / time_base:
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
    stamps: Ticks, told: int, time_base: Fraction, end: float | None, start_pts: int
) -> int:
    """How long the last picture is shown, ticks; 0 if nothing tells.

    Args:
        stamps: of all pictures, from the first.
        told: by its packet, ticks; 0 if it does not.
        time_base: seconds of a tick.
        end: of the track as the probe has it, seconds; it knows containers whose packets do not
            tell.
        start_pts: what they count from.
    """
    length = told
    if length <= 0 and len(stamps) > 1:
        short, usual = np.percentile(np.diff(stamps), (10, 50)).tolist()
        even = short >= _EVEN * usual
        length = math.ceil(usual if even else min(usual, _UNKNOWN_LENGTH / time_base))
    if end is not None:
        known = round(Fraction(end) / time_base) - start_pts - int(stamps[-1])
        if known > 0 and abs(known - length) * time_base > _SLIP:
            length = known
    return max(0, length)


def _entries(
    keys: Sequence[tuple[int, int]], stamps: Ticks, grid: FrameGrid
) -> tuple[tuple[int, int], ...]:
    """Keys whose place does not depend on the pictures before them."""
    before = np.append(-1, grid.places[:-1])
    free = before < grid.nearest
    at = np.searchsorted(stamps, [stamp for _, stamp in keys])
    return tuple(key for key, index in zip(keys, at.tolist(), strict=True) if free[index])


# --- the last picture: audio may go on for longer than the pictures ------------------------------


def _end_of_audio(
    path: Path, probe: VideoProbe, end: float, limits: ProgramLimits, stop: Stop | None
) -> float:
    """Until when the last picture is held for audio, as a time stamp in seconds; at least ``end``.

    A header that says so is only a reason to look: how long the audio is, its packets tell.
    """
    least = end + _LONGER
    whole = probe.start + (probe.claimed_duration or 0.0)
    ends = [
        measure(path, track.index, limits, stop=stop).end
        for track in playable_audio(probe)
        # Matroska gives no length of a track, only that of all together.
        if (whole if track.duration is None else track.start + track.duration) > least
    ]
    longest = max(ends, default=end)
    return longest if longest > least else end


def playable_audio(probe: VideoProbe) -> list[AudioTrack]:
    """The audio tracks that are taken, the one marked as default first.

    Those of a coding that is not known here are left out: phones write spatial audio beside an
    ordinary track. A video that has no other is silent.
    """
    known = [track for track in probe.audio if track.playable]
    return sorted(known, key=lambda track: (not track.default, track.index))[:_MOST_AUDIO_TRACKS]


# --- the frame rate of a result ----------------------------------------------------------------

LEAST = Fraction(10)
"""Frames a second that a result has at least: then any time is within 50 ms of a frame. Repeated
frames cost few bytes: the encoders skip them."""
_TOLERANCE = Fraction(3, 100)
"""Seconds between the time of a picture and the frame that shows it, at most. 50 ms are promised;
slides that were put together at 25 frames a second are up to 20 ms off the audio already."""
_FINE_TOLERANCE = Fraction(1, 50)
"""The same for sources of 24 frames a second and more."""
_END_TOLERANCE = Fraction(1, 20)
"""Seconds by which the end of the last picture may be off."""
_FINE = 23.9
"""Frames a second; 24000/1001 is one of those."""
SHOWN = Fraction(1, 60)
"""Seconds: a picture that lasts so long or longer is shown, a shorter one may be left out."""
_STAMP_ERROR = 0.001
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
class PictureTimes:
    """When the pictures of a source are shown."""

    stamps: Ticks
    """When each begins, ticks; the first is 0, each is later than the one before."""
    time_base: Fraction
    """Seconds of a tick."""
    end: int
    """When the last has been shown, ticks."""

    @property
    def seconds(self) -> Numbers:
        """When each begins."""
        return np.asarray(self.stamps * float(self.time_base), dtype=np.float64)

    def frames(self, rate: Fraction) -> Numbers:
        """When each begins, in frames; in the very order of operations of :func:`own_places`."""
        scale = self.time_base * rate
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
        frames = nearest(self.end, self.time_base, rate)
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


def choose_grid(times: PictureTimes, *, claimed: Fraction, most: float) -> FrameGrid:
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
    briefest = max(float(SHOWN), 1 / most) - _STAMP_ERROR
    kept = _raised(own, highest) if own < LEAST and own <= highest else lower(own, most)
    if even:
        grid = times.grid(kept, variable=False, thinned=kept < own)
        if kept < LEAST or abs(grid.frames / kept - times.end * times.time_base) <= _END_TOLERANCE:
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


def nearest(ticks: int, time_base: Fraction, rate: Fraction) -> int:
    """The frame nearest to a time; halves go up, as in ffmpeg's ``fps`` filter."""
    value = ticks * time_base * rate
    return int((2 * value.numerator + value.denominator) // (2 * value.denominator))


def _own_rate(times: PictureTimes, claimed: Fraction, tolerance: Fraction) -> tuple[Fraction, bool]:
    """Frames a second of the source itself, and whether they are even."""
    count = len(times.stamps)
    if count < 2:
        return (claimed if 0 < claimed <= 240 else Fraction(25)), True
    mean = (count - 1) / float(times.stamps[-1] * times.time_base)
    rates = [nearest_common(mean, tolerance=0.002)]
    if claimed > 0 and abs(float(claimed) - mean) <= _SAME * mean:
        # A rate that no camera has was reckoned by a muxer, from a length that may be wrong.
        rates.insert(0 if claimed.denominator in (1, 2, 1001) else 1, claimed)
    for rate in rates:
        off = np.abs(times.frames(rate) - np.arange(count))
        # Half a frame off its place: time stamps in milliseconds come nowhere near that.
        if float(np.max(off)) < min(0.5, float(tolerance * rate)):
            return rate, True
    interval = float(np.percentile(np.diff(times.seconds), _FAST))
    return nearest_common(1 / interval, tolerance=0.04), False


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


def _fitting(
    times: PictureTimes, rate: Fraction, tolerance: Fraction, wanted: Flags
) -> FrameGrid | None:
    """The grid of a rate, if it has a frame in time for every wanted picture."""
    frames = times.frames(rate)
    room = _room(tolerance, rate)

    def fits(grid: FrameGrid) -> bool:
        own = np.append(np.diff(grid.places) > 0, True)
        near = np.abs(grid.places - frames) <= room + 1e-6
        end = abs(grid.frames / rate - times.end * times.time_base) <= _END_TOLERANCE
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
    """:func:`own_places` for streams without a frame for every picture."""
    places: list[int] = []
    before = -1
    for place, last in zip(near.tolist(), latest.tolist(), strict=True):
        before = max(place, min(before + 1, last))
        places.append(before)
    return np.array(places, dtype=np.int64)


def own_places(start_pts: int, time_base: Fraction, rate: Fraction, slack: Fraction) -> str:
    """The expression of ffmpeg's ``setpts`` that gives pictures frames of their own.

    A picture whose nearest frame is that of the one before it is shown a frame later, unless that
    is later than ``slack`` seconds.
    """
    scale = time_base * rate
    over, under = scale.numerator, scale.denominator
    frames = f"(PTS-({start_pts}))*{over}/{under}"
    behind = f"round(PREV_OUTPTS*{over}/{under})+1"
    latest = f"floor(ld(0)+{_room(slack, rate):.9f})"
    place = f"if(isnan(PREV_OUTPTS),ld(1),max(ld(1),min({behind},{latest})))"
    return f"st(0,{frames});st(1,floor(ld(0)+0.5));round({place}*{under}/{over})"


_NTSC = Fraction(1000, 1001)
_COMMON_RATES: tuple[Fraction, ...] = (
    *(24 * _NTSC, 30 * _NTSC, 60 * _NTSC),
    *(Fraction(rate) for rate in (24, 25, 30, 48, 50, 60)),
)


def nearest_common(rate: float, *, tolerance: float) -> Fraction:
    """The usual frame rate next to a measured one, or the measured one as a short fraction."""
    best = min(_COMMON_RATES, key=lambda common: abs(float(common) - rate))
    if abs(float(best) - rate) <= tolerance * rate:
        return best
    return max(Fraction(rate).limit_denominator(100), Fraction(1, 100))


def lower(rate: Fraction, most: float) -> Fraction:
    """The rate divided by the least whole number that brings it to ``most`` or below.

    Every second or third picture is kept then, which moves evenly; other rates would judder.
    """
    return rate / max(1, math.ceil(rate / Fraction(most).limit_denominator(1001)))
