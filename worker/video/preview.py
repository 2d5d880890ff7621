"""A few seconds that show what a video is like: moments of it, one after the other, silent.

The frames are made once, at the preview's own size, as plain pixels on disk; the animated WebP
and the MP4 are both made of them, within a number of bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from worker.domain.errors import DamagedInput, LimitExceeded, Reason, Rejected
from worker.domain.image import Encoding, Format
from worker.imaging.animation import written_delays
from worker.imaging.encode import Extras, Picture, encode
from worker.imaging.geometry import Size
from worker.job_context import JobContext
from worker.video import colours, commands, frames
from worker.video.ffmpeg import GIBIBYTE, ProgramLimits, run
from worker.video.frames import Frame, FrameSource, image
from worker.video.poster import judge

MOST_PIXELS = 200_000_000
"""Of all frames together: 600 MB, which the WebP encoder holds. The frame rate gives way."""
_LOOKS = 4
"""Frames looked at in each stretch of the source, for the moment to show of it."""
_LOOK_WIDTH = 320
_EFFORT = 2
_WORST = 25
"""Quality below which fewer frames look better than poorer ones."""
_ENCODE = ProgramLimits(wall_seconds=1800.0, memory_bytes=4 * GIBIBYTE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """The frames of a preview."""

    path: Path
    """Frame after frame, rows, columns, red-green-blue, 8 bits."""
    size: Size
    count: int
    frame_rate: float
    starts: tuple[float, ...]
    """Where in the video each clip begins, seconds."""

    def all(self) -> Frame:
        """The frames, one more dimension than one has; read from disk as they are used."""
        shape = (self.count, self.size.height, self.size.width, 3)
        return np.memmap(self.path, np.uint8, "r", shape=shape)

    @property
    def seconds(self) -> float:
        """How long one run of the preview is."""
        return self.count / self.frame_rate


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewResult:
    """One file of a preview."""

    path: Path
    size: Size
    count: int
    """Frames."""
    quality: int
    """That it was encoded with, to stay within its bytes."""


def collect(
    source: FrameSource,
    path: Path,
    *,
    width: int,
    seconds: float,
    clips: int,
    frame_rate: float,
    context: JobContext,
) -> Moments:
    """Choose the moments and write their frames to ``path``.

    Args:
        source: opened by ``frames.open_video``.
        path: a new file.
        width: of the preview at most; its height is at most twice that. Both come out even.
        seconds: length of the preview; that of the video if it is shorter.
        clips: how many moments; fewer where the video is short.
        frame_rate: never above the video's own.
        context: told about progress and asked to stop.

    Raises:
        Rejected: not one frame can be decoded.
    """
    inside = source.inside(width, width * 2)
    # Colours of an H.264 video have half its resolution.
    size = Size(max(2, inside.width // 2 * 2), max(2, inside.height // 2 * 2))
    seconds = min(seconds, source.seconds)
    rate = min(frame_rate, float(source.timeline.rate), MOST_PIXELS / size.pixels / seconds)
    # Clips of less than half a second are flicker; those of a short video would overlap.
    clips = max(1, min(clips, int(seconds / 0.5), int(source.seconds / seconds)))
    if source.seconds < 2 * seconds:
        clips = 1
    length = seconds / clips
    starts = _starts(source, clips, length, context)
    each = max(1, round(length * rate))
    count = 0
    with path.open("wb") as file:
        for number, start in enumerate(starts):
            context.step(0.4 + 0.6 * number / clips, "reading moments")

            def take(_: int, frame: Frame) -> None:
                file.write(frame.tobytes())

            try:
                count += frames.clip(source, start, size, rate=rate, count=each, take=take)
            except Rejected:
                # The other moments may be whole.
                continue
    if count == 0:
        raise DamagedInput(Reason.CORRUPT, "not one of the moments looked at can be decoded")
    return Moments(path=path, size=size, count=count, frame_rate=rate, starts=starts)


def _starts(
    source: FrameSource, clips: int, length: float, context: JobContext
) -> tuple[float, ...]:
    """Where each clip begins: around the best frame of its stretch of the source."""
    latest = max(0.0, source.seconds - length)
    if latest == 0:
        return (0.0,)
    looks = max(clips, min(clips * _LOOKS, source.timeline.frames))
    best: dict[int, tuple[bool, float, float]] = {}

    def take(index: int, seconds: float, frame: Frame) -> None:
        context.step(0.4 * index / looks, "looking for moments")
        found = judge(frame)
        rank = (found.fault is None, found.score, -seconds)
        stretch = index * clips // looks
        best[stretch] = max(best.get(stretch, rank), rank)

    frames.spread(source, looks, source.inside(_LOOK_WIDTH, _LOOK_WIDTH), take)
    begin = 0.0
    starts = []
    for _, (_, _, negative) in sorted(best.items()):
        # In order and never twice the same: a clip begins where the one before has ended.
        begin = min(max(begin, -negative - length / 2), latest)
        starts.append(begin)
        begin += length
    return tuple(starts)


def write_webp(
    moments: Moments, path: Path, *, quality: int, most: int, context: JobContext
) -> PreviewResult:
    """Write an animated WebP that repeats for ever (a still one of a single frame).

    Args:
        moments: what to show.
        path: a new file.
        quality: 1 to 100; lower if needed.
        most: bytes.
        context: told about progress and asked to stop.

    Raises:
        LimitExceeded: TOO_LARGE_OUTPUT, not even one frame fits.
    """
    pictures = [image(frame) for frame in moments.all()]
    delay = 1000 / moments.frame_rate
    kept, scale = list(range(len(pictures))), 1.0
    while True:
        context.step(0.5, "encoding WebP")
        chosen = [pictures[index] for index in kept]
        if scale != 1.0:
            chosen = [picture.resize(scale).copy_memory() for picture in chosen]
        # Every frame until the next one that is kept, rounded so that errors do not add up.
        ends = [*kept[1:], len(pictures)]
        edges = [round(index * delay) for index in (kept[0], *ends)]
        delays = tuple(end - start for start, end in pairwise(edges))
        data = encode(
            Picture(chosen),
            Encoding(format=Format.WEBP, quality=quality, effort=_EFFORT),
            quality,
            Extras(delays=delays, loop=0),
            frames=len(chosen),
        )
        if len(data) <= most:
            path.write_bytes(data)
            size = Size(chosen[0].width, chosen[0].height)
            # Equal frames are joined: what counts is what is in the file.
            count = max(1, len(written_delays(data, Format.WEBP)))
            return PreviewResult(path=path, size=size, count=count, quality=quality)
        if quality > _WORST:
            quality = max(_WORST, round(quality * max(0.6, most / len(data))))
        elif len(kept) > 12:
            kept = kept[::2]
        elif min(chosen[0].width, chosen[0].height) > 16:
            scale /= 2
        elif len(kept) > 1:
            kept = kept[::2]
        else:
            raise LimitExceeded(
                Reason.TOO_LARGE_OUTPUT, f"one frame takes more than the {most:,} bytes allowed"
            )


def write_mp4(
    moments: Moments,
    path: Path,
    *,
    quality: int,
    most: int,
    context: JobContext,
) -> PreviewResult:
    """Write a silent H.264 MP4, index first, that every browser plays.

    Args:
        moments: what to show.
        path: a new file.
        quality: 1 to 100, taken for x264's constant rate factor 40 to 15; lower if needed.
        most: bytes.
        context: its threads encode; its stop ends it early.

    Raises:
        LimitExceeded: TOO_LARGE_OUTPUT, it does not fit at the lowest quality.
    """
    raw = commands.source(
        moments.path,
        {
            **{"f": "rawvideo", "pix_fmt": "rgb24", "framerate": f"{moments.frame_rate:.6f}"},
            "video_size": (moments.size.width, moments.size.height),
        },
    )
    plain = {"flags": "bicubic+accurate_rnd+full_chroma_int"}
    shown = commands.filtered(raw["0"], colours.to_bt709(colours.PICTURES, plain))
    while True:
        # The buffer model keeps the average at what the bytes allow, less a tenth for the boxes.
        kilobits = max(8, int(most * 8 * 0.9 / max(moments.seconds, 0.2) / 1000))
        made = commands.output(
            path,
            [shown],
            {
                **{"f": "mp4", "map_metadata": -1, "movflags": "+faststart"},
                **{
                    "c:v": "libx264",
                    "profile:v": "main",
                    "preset": "medium",
                    "threads": context.threads,
                },
                **{**colours.TAGS, "crf": round(40 - quality * 0.25)},
                **{"maxrate": f"{kilobits}k", "bufsize": f"{kilobits}k"},
                **{"flags:v": "+bitexact", "fflags": "+bitexact"},
            },
        )
        run(commands.arguments(made), limits=_ENCODE, stop=context.stop)
        if path.stat().st_size <= most:
            return PreviewResult(path=path, size=moments.size, count=moments.count, quality=quality)
        if quality <= 1:
            path.unlink()
            raise LimitExceeded(
                Reason.TOO_LARGE_OUTPUT, f"the MP4 takes more than the {most:,} bytes allowed"
            )
        quality = max(1, quality // 2)
