"""The curve of an audio track: lowest and highest sample of each stretch, as data and as a picture.

Audio is read as a stream: an hour of it is 318 MB of samples. At most 64 times the requested
columns are kept.

The data are those of audiowaveform and peaks.js, JSON, version 2
(github.com/bbc/audiowaveform/blob/master/doc/DataFormat.md).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worker.domain.errors import DamagedInput, LimitExceeded, Reason
from worker.job_context import JobContext
from worker.video import commands
from worker.video.audio import normalised_audio
from worker.video.commands import Filter, Stream, counted_from
from worker.video.ffmpeg import Pipes, ProgramLimits, run
from worker.video.tracks import AudioTrack

Samples = NDArray[np.int16]

_FINENESS = 64
"""Buckets kept for each column: the final columns are at least 1 - 2/64 of those asked for."""
_MOST_PICTURE_WIDTH = 2000
_UNEVEN = 1.0
"""Seconds by which audio may have more samples than its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waveform:
    """The curve of one track, mixed down to one channel."""

    sample_rate: int
    """Hertz."""
    samples_per_pixel: int
    samples: int
    """In all; the last column may stand for fewer than the others."""
    low: Samples = field(repr=False)
    """Shape (columns,): the lowest sample of each, 16 bits."""
    high: Samples = field(repr=False)

    @property
    def columns(self) -> int:
        """Columns of the curve."""
        return len(self.low)

    @property
    def seconds(self) -> float:
        """Length of the audio."""
        return self.samples / self.sample_rate

    def json(self) -> str:
        """The data file of peaks.js: 8 bits, lowest and highest in turn."""
        data = np.stack([self.low >> 8, self.high >> 8], axis=1).reshape(-1)
        return json.dumps(
            {
                "version": 2,
                "channels": 1,
                "sample_rate": self.sample_rate,
                "samples_per_pixel": self.samples_per_pixel,
                "bits": 8,
                "length": self.columns,
                "data": data.tolist(),
            },
            separators=(",", ":"),
        )


def read_curve(
    path: Path,
    track: AudioTrack,
    *,
    points: int,
    start: float,
    seconds: float,
    most_seconds: float,
    limits: ProgramLimits,
    context: JobContext,
) -> Waveform:
    """Read the curve of an audio track.

    Gaps in the track are silence, so a column is where it is in the video.

    Args:
        path: the file.
        track: which of its audio tracks.
        points: most columns.
        start: time stamp of the first column, seconds; what is heard before it is left out.
        seconds: expected length, for the progress.
        most_seconds: longest audio accepted; what comes after is not read.
        limits: of the program.
        context: its progress goes to 0.95.

    Raises:
        Rejected: ``too_long_duration``, ``corrupt`` (not a sample can be decoded) and others of
            ``ffmpeg.run``.
    """
    rate = track.sample_rate or 48_000
    curve, end = _CurveReader(points), 0.0

    def told(read: float) -> None:
        nonlocal end
        end = read
        context.progress(min(0.95, end / max(seconds, 0.001)), "reading audio")

    def take(heard: Stream, pipes: Pipes) -> None:
        timed: Filter = ("aresample", {"sample_rate": rate, "async": 1, "first_pts": 0})
        raw = {"f": "s16le", "c:a": "pcm_s16le", "ac": 1, "t": f"{most_seconds + 1:g}"}
        made = commands.output("pipe:1", [commands.filtered(heard, [timed])], raw)
        run(
            commands.arguments(made, everywhere={"copyts": None}),
            limits=limits,
            sink=curve.take,
            stop=context.stop,
            progress=told,
            pipes=pipes,
        )

    take(commands.filtered(commands.source(path)[str(track.index)], [counted_from(start)]), Pipes())
    if curve.samples > (end + _UNEVEN) * rate:
        # More than its time: its form has changed on the way.
        curve = _CurveReader(points)
        with normalised_audio(
            path,
            track.index,
            rate=rate,
            layout="mono",
            start=start,
            limits=limits,
            stop=context.stop,
        ) as (heard, pipes):
            take(heard, pipes)
    if curve.samples == 0:
        raise DamagedInput(Reason.CORRUPT, "not one sample of its audio can be decoded")
    if curve.samples > most_seconds * rate:
        raise LimitExceeded(
            Reason.TOO_LONG_DURATION, f"the audio is longer than the {most_seconds:g} s allowed"
        )
    return curve.finish(rate)


class _CurveReader:
    """Extremes of equal stretches; when there is no more room, stretches become twice as long."""

    def __init__(self, points: int) -> None:
        self._points = points
        self._low = np.empty(points * _FINENESS, np.int16)
        self._high = np.empty_like(self._low)
        self._count = 0
        self._stretch = 1
        self._bytes = b""
        self._rest = np.empty(0, np.int16)
        self.samples = 0

    def take(self, data: bytes) -> None:
        """More samples, 16 bits little-endian; chunks may break anywhere."""
        data = self._bytes + data
        even = len(data) & ~1
        self._bytes = data[even:]
        fresh = np.frombuffer(data[:even], "<i2")
        self.samples += len(fresh)
        left = np.concatenate([self._rest, fresh])
        while len(left) >= self._stretch:
            room = len(self._low) - self._count
            whole = min(len(left) // self._stretch, room)
            used = whole * self._stretch
            blocks = left[:used].reshape(whole, self._stretch)
            self._low[self._count : self._count + whole] = blocks.min(axis=1)
            self._high[self._count : self._count + whole] = blocks.max(axis=1)
            self._count += whole
            left = left[used:]
            if self._count == len(self._low):
                self._halve()
        self._rest = left

    def _halve(self) -> None:
        half = self._count // 2
        self._low[:half] = self._low[: self._count].reshape(half, 2).min(axis=1)
        self._high[:half] = self._high[: self._count].reshape(half, 2).max(axis=1)
        self._count, self._stretch = half, self._stretch * 2

    def finish(self, rate: int) -> Waveform:
        """The columns, the last one from what is left."""
        low, high = self._low[: self._count], self._high[: self._count]
        if len(self._rest):
            low = np.append(low, self._rest.min())
            high = np.append(high, self._rest.max())
        each = -(-len(low) // self._points)
        starts = np.arange(0, len(low), each)
        return Waveform(
            sample_rate=rate,
            samples_per_pixel=self._stretch * each,
            samples=self.samples,
            low=np.minimum.reduceat(low, starts),
            high=np.maximum.reduceat(high, starts),
        )


# --- pictures ----------------------------------------------------------------------------------


def _edges(curve: Waveform) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Upper and lower edge of each column of a picture, 0 at the top to 1; never empty."""
    each = -(-curve.columns // _MOST_PICTURE_WIDTH)
    starts = np.arange(0, curve.columns, each)
    top = (1 - np.maximum.reduceat(curve.high, starts) / 32768) / 2
    bottom = (1 - np.minimum.reduceat(curve.low, starts) / 32768) / 2
    return top, bottom


def draw_svg(curve: Waveform, *, height: int, colour: str) -> str:
    """The curve as one filled shape, one unit a column, stretched to whatever box it gets.

    Args:
        curve: at most 2,000 columns are drawn, of more several in one.
        height: pixels.
        colour: ``#rrggbb``.
    """
    top, bottom = _edges(curve)
    # Half a pixel at least: silence is a line, not nothing.
    upper = top * height - 0.25
    lower = bottom * height + 0.25
    outline = [f"{x} {y:.2f}" for x, y in enumerate(upper)]
    outline.append(f"{len(upper)} {upper[-1]:.2f}")
    outline.append(f"{len(lower)} {lower[-1]:.2f}")
    outline += [f"{x} {y:.2f}" for x, y in reversed(list(enumerate(lower)))]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{len(top)}" height="{height}" '
        f'viewBox="0 0 {len(top)} {height}" preserveAspectRatio="none">'
        f'<path fill="{colour}" d="M{"L".join(outline)}Z"/></svg>\n'
    )


def draw_png(curve: Waveform, path: Path, *, height: int, colour: str) -> tuple[int, int]:
    """The curve as a PNG on nothing; returns its width and height in pixels."""
    top, bottom = _edges(curve)
    rows = np.arange(height)[:, None]
    # How much of each pixel is covered, so that edges are smooth.
    upper, lower = top * height - 0.25, bottom * height + 0.25
    cover = np.clip(np.minimum(rows + 1, lower) - np.maximum(rows, upper), 0, 1)
    pixels = np.empty((height, len(top), 4), np.uint8)
    pixels[..., :3] = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    pixels[..., 3] = np.rint(cover * 255).astype(np.uint8)
    Image.fromarray(pixels).save(path, format="PNG", optimize=False)
    return len(top), height
