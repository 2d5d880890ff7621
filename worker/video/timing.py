"""What the packets of a track say of time, read without decoding.

What lives here: one pass of ffprobe over the packets of one stream and what follows from it. What
may not: what the header claims; ``probe`` compares the two.
"""

from __future__ import annotations

import math
import re
from array import array
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from worker.job_context import Stop
from worker.video.ffmpeg import input_url, run
from worker.video.limits import ProgramLimits

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
"""What ffprobe 8.0 says at the end of every sound Opus track; 7.1 and 8.1 do not
(https://code.ffmpeg.org/FFmpeg/FFmpeg/issues/20954). And of tracks that are not looked at."""
UNKNOWN = 0.1
"""Seconds that the last picture of an irregular track is shown, at most, where nothing tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Time as the packets tell it. Seconds."""

    packets: int
    """With data in them, without those that an edit list leaves out."""
    start: float
    origin: float
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
    """What the demuxer found wrong, in lines; 0 for a sound file."""

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
        stop: as for ``program.run``.

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
            # What comes after may need it all the same.
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
            length = step if regular else min(step, UNKNOWN)
        end = last + length if stamps else 0.0
        keys = [*sorted(self._keys), end]
        start = stamps[0] if stamps else 0.0
        decoding = self._decoded - self._first_decoded
        return Timing(
            packets=self._packets,
            start=start,
            origin=start if self._run_in or not self._keys else keys[0],
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
