"""Single frames of a video as pixels: upright, square, ordinary colours, few of many.

Frames are asked for by even spacing: the video is divided into ``count`` stretches and the frame
that is shown in the middle of each is wanted. There are three ways to them, and what has to be
decoded tells which is the cheapest (:class:`Way`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyvips

from worker.domain.errors import DamagedInput, Reason, Rejected
from worker.imaging.geometry import Size
from worker.job_context import JobContext
from worker.video import colours, commands
from worker.video.commands import DEINTERLACE, Filter, Options, require_tone_mapping
from worker.video.ffmpeg import GIBIBYTE, ProgramLimits, for_file, run
from worker.video.probe import VideoLimits, probe
from worker.video.timing import Timeline, read_timeline
from worker.video.tracks import VideoTrack

Frame: TypeAlias = npt.NDArray[np.uint8]
"""Rows, columns, red-green-blue; sRGB as screens take BT.709 to be."""
Take: TypeAlias = Callable[[int, float, Frame], None]
"""Given each frame with its number and its time in seconds from the first picture."""

LIMITS = ProgramLimits(wall_seconds=4 * 3600.0, stall_seconds=900.0, memory_bytes=8 * GIBIBYTE)
"""Of one run. The stall: most of what is decoded is not wanted, and does not show as progress."""

_LAST_STAYS: Filter = ("tpad", {"stop": -1, "stop_mode": "clone"})
"""The last picture goes on for as long as frames are asked for."""
_FEW: Options = {"max_error_rate": 1}
"""Of runs for few frames: those that come are counted. How many around them fail to decode depends
on how far ffmpeg decodes ahead, which differs from version to version."""
_SHORT_SECONDS = 20.0
"""Videos up to here are decoded whole: frames are exact, and it takes a moment."""
_STARTING_SECONDS = 2.0
"""The cost of starting a program for one frame, as seconds of video that could be decoded
meanwhile."""


class Way(StrEnum):
    """How frames are reached."""

    KEYS = "keys"
    """Only key frames are decoded: near enough where they are closer than the frames wanted."""
    SEEK = "seek"
    """One start of the program for each frame: few frames of a video with few key frames."""
    ALL = "all"
    """Everything is decoded and most of it dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameSource:
    """A video that has passed its limits, opened for looking."""

    path: Path
    track: VideoTrack
    timeline: Timeline
    context: JobContext
    """Its stop and its threads are those of every run."""

    @property
    def seconds(self) -> float:
        """From the first picture to the end of the last, which stays while audio goes on."""
        return float(self.timeline.seconds)

    @property
    def size(self) -> Size:
        """Upright, square pixels."""
        return Size(self.track.width, self.track.height)

    @property
    def keys(self) -> list[float]:
        """Seconds of the key frames."""
        line = self.timeline
        return [float((stamp - line.start_pts) * line.time_base) for _, stamp in line.keys]

    @property
    def last(self) -> float:
        """Seconds when the last picture begins."""
        return max(
            0.0, float((self.timeline.last - self.timeline.start_pts) * self.timeline.time_base)
        )

    def limits(self) -> ProgramLimits:
        """Of one run on this file."""
        return for_file(self.path, LIMITS)

    def inside(self, width: int, height: int) -> Size:
        """The largest size of this video's shape in a box, never above its own."""
        size = self.size
        scale = min(Fraction(1), Fraction(width, size.width), Fraction(height, size.height))
        return Size(max(1, round(size.width * scale)), max(1, round(size.height * scale)))


def open_video(path: Path, *, max_seconds: float, context: JobContext) -> FrameSource:
    """Probe a video and read when its pictures are shown.

    Raises:
        Rejected: as ``probe`` and ``read_timeline`` say.
        ConfigurationError: this ffmpeg lacks a filter that HDR needs (``program_feature_missing``).
    """
    found = probe(path, VideoLimits(seconds=max_seconds), stop=context.stop)
    track = found.video
    assert track is not None  # probe was asked for one
    if colours.of(track).needs_zscale:
        require_tone_mapping(LIMITS)
    timeline = read_timeline(
        path,
        found,
        most_rate=60.0,
        most_seconds=max_seconds,
        limits=for_file(path, LIMITS),
        stop=context.stop,
    )
    return FrameSource(path=path, track=track, timeline=timeline, context=context)


def spread(source: FrameSource, count: int, size: Size, take: Take) -> Way:
    """Hand over the frames in the middle of ``count`` equal stretches, in order.

    A frame that cannot be decoded is left out, or the one before stands in for it.

    Args:
        source: opened by :func:`open_video`.
        count: at least 1; more than the video has frames gives some of them twice.
        size: of the frames, pixels.
        take: may raise to stop.

    Raises:
        DamagedInput: CORRUPT, not one of them can be decoded.
        Rejected, Stopped, TransientError: as ``ffmpeg.run``.
    """
    times = [(index + 0.5) * source.seconds / count for index in range(count)]
    way = cheapest(source, times)
    taken = (
        _seek(source, times, size, take)
        if way is Way.SEEK
        else _pass(source, times, size, take, way)
    )
    if not taken:
        raise DamagedInput(Reason.CORRUPT, "not one of the frames looked at can be decoded")
    return way


def cheapest(source: FrameSource, times: Sequence[float]) -> Way:
    """The way that decodes least of what it must."""
    if source.seconds <= _SHORT_SECONDS:
        return Way.ALL
    keys = source.keys or [0.0]
    gaps = np.diff([*keys, source.seconds])
    # A few long gaps show a frame for longer; as a rule each stretch has a key frame of its own.
    if float(np.percentile(gaps, 95)) <= source.seconds / len(times):
        return Way.KEYS
    run_in = sum(time - keys[max(0, bisect_right(keys, time) - 1)] for time in times)
    return Way.SEEK if run_in + _STARTING_SECONDS * len(times) < source.seconds else Way.ALL


def _pass(source: FrameSource, times: Sequence[float], size: Size, take: Take, way: Way) -> int:
    """One run through the whole video."""
    keys = source.keys

    def named(index: int, frame: Frame) -> None:
        time = times[index]
        if way is Way.KEYS and keys:
            time = keys[max(0, bisect_right(keys, time) - 1)]
        take(index, time, frame)

    step = Fraction(source.timeline.frames, len(times)) / source.timeline.rate
    # From half a stretch after the first picture: the middles of all stretches.
    last = keys[-1] if way is Way.KEYS and keys else source.last
    rate = (1 / step).limit_denominator(1_000_000)
    filters = _shown_from(source, float(step / 2), rate, last=last)
    before = {"skip_frame": "nokey"} if way is Way.KEYS else {}
    return _pixels(source, before, filters, _Frames(size, named), count=len(times))


def _seek(source: FrameSource, times: Sequence[float], size: Size, take: Take) -> int:
    """One run for each frame; what is damaged is left out."""
    taken = 0
    for index, time in enumerate(times):

        def named(_: int, frame: Frame, index: int = index, time: float = time) -> None:
            take(index, time, frame)

        try:
            filters = _shown_from(source, time, Fraction(1), last=source.last)
            frames = _Frames(size, named)
            taken += _pixels(source, _seek_to(source, time), filters, frames, count=1, few=True)
        except Rejected:
            # Others may be whole; that none is, is told by the count.
            continue
    return taken


def clip(
    source: FrameSource,
    start: float,
    size: Size,
    *,
    rate: float,
    count: int,
    take: Callable[[int, Frame], None],
) -> int:
    """Hand over at most ``count`` frames that follow each other.

    Args:
        source: opened by :func:`open_video`.
        start: seconds from the first picture.
        size: of the frames, pixels.
        rate: frames a second.
        count: fewer come where the video ends or is damaged.
        take: given each with its number; may raise to stop.
    """
    shown = Fraction(rate).limit_denominator(1000)
    filters = _shown_from(source, start, shown, last=source.last)
    frames = _Frames(size, take)
    return _pixels(source, _seek_to(source, start), filters, frames, count=count, few=True)


def _seek_to(source: FrameSource, time: float) -> Options:
    """Options of an input that make it begin at the key frame before a time, seconds from the
    first picture. ffmpeg's own exact seek would drop the picture that is shown at that time, if it
    began earlier."""
    stamp = float(source.timeline.start_pts * source.timeline.time_base) + time
    # By time stamps: a file's own start may be that of another track.
    exact = {"noaccurate_seek": None, "seek_timestamp": 1, "ss": f"{stamp:.6f}"}
    return exact if time > 0 else {}


def _shown_from(source: FrameSource, time: float, rate: Fraction, *, last: float) -> list[Filter]:
    """Filters that give what is shown at a time and then at equal distances.

    Args:
        source: opened.
        time: seconds from the first picture.
        rate: frames a second.
        last: seconds of the last picture that comes; later it is shown all the time.
    """
    time = min(time, last)
    return [
        # Key frames end early, and so does a damaged video.
        _LAST_STAYS,
        ("setpts", {"expr": f"PTS-({source.timeline.start_pts})-({time:.9f}/TB)"}),
        # "round=up" gives the last picture that was shown before each moment.
        ("fps", {"fps": rate, "round": "up", "start_time": 0}),
    ]


def _pixels(
    source: FrameSource,
    before: Options,
    filters: Sequence[Filter],
    frames: _Frames,
    *,
    count: int,
    few: bool = False,
) -> int:
    """Run ffmpeg for at most ``count`` frames; how many came. ``few``: see :data:`_FEW`."""
    if not (source.track.interlaced or source.track.rotation):
        # The same filters go on when the pictures' size changes on the way; made anew they would
        # count from the beginning again. Those that turn or deinterlace cannot.
        before = {**before, "reinit_filter": 0}
    if source.track.odd_rotation:
        before = {**before, "noautorotate": None}
    opened = commands.source(source.path, {"threads": source.context.threads, **before})
    shown = commands.filtered(
        opened[str(source.track.index)], [*filters, *to_rgb(source.track, frames.size)]
    )
    raw = {"f": "rawvideo", "pix_fmt": "rgb24", "fps_mode": "passthrough", "frames:v": count}
    everywhere = {"copyts": None, **(_FEW if few else {})}
    run(
        commands.arguments(commands.output("pipe:1", [shown], raw), everywhere=everywhere),
        limits=source.limits(),
        stop=source.context.stop,
        sink=frames.feed,
    )
    return frames.count


class _Frames:
    """Bytes as they come, cut into frames."""

    def __init__(self, size: Size, take: Callable[[int, Frame], None]) -> None:
        self.size = size
        self._take = take
        self._buffer = bytearray(size.pixels * 3)
        self._filled = 0
        self.count = 0

    def feed(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            part = view[: len(self._buffer) - self._filled]
            self._buffer[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            view = view[len(part) :]
            if self._filled == len(self._buffer):
                shape = (self.size.height, self.size.width, 3)
                frame = np.frombuffer(bytes(self._buffer), np.uint8).reshape(shape)
                self._take(self.count, frame)
                self.count += 1
                self._filled = 0


def to_rgb(track: VideoTrack, size: Size) -> list[Filter]:
    """Filters from a decoded frame to upright, square, ordinary RGB of a size."""
    filters = [DEINTERLACE] if track.interlaced else []
    scale = {"w": size.width, "h": size.height, "flags": "area+accurate_rnd+full_chroma_int"}
    return [*filters, *colours.to_bt709(colours.of(track), scale, rgb=True)]


def image(frame: Frame) -> pyvips.Image:
    """A frame as the encoders take it."""
    height, width, bands = frame.shape
    made = pyvips.Image.new_from_memory(
        np.ascontiguousarray(frame).tobytes(), width, height, bands, "uchar"
    )
    return made.copy(interpretation="srgb")
