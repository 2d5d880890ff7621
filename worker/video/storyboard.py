"""Sheets of small frames and the WebVTT track that says which part of which sheet shows when.

The track is what players take for previews on their progress bar: each cue's text is the name of
a sheet with ``#xywh=`` (Media Fragments URI 1.0, 4.2.2) in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from worker.imaging.geometry import Size
from worker.job_context import JobContext
from worker.video.frames import Frame, FrameSource, Way, spread
from worker.video.subtitles import timestamp

LARGEST_SIDE = 16_383
"""Of a sheet, pixels: what WebP allows, and about what graphics cards take."""
LARGEST_SHEET = 32_000_000
"""Pixels: 96 MB while it is filled."""
_TALLEST = 4
"""A tile's height in widths at most: a video can be a thousand times as high as wide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetLayout:
    """How a video is laid out on sheets."""

    tile: Size
    columns: int
    rows: int
    frames: int
    """On all sheets together."""
    interval: float
    """Seconds that one frame stands for."""

    @property
    def each(self) -> int:
        """Frames of a full sheet."""
        return self.columns * self.rows

    @property
    def sheets(self) -> int:
        """How many there are."""
        return -(-self.frames // self.each)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """One picture of many frames."""

    number: int
    """From 1."""
    frame: Frame = field(repr=False)


def plan(
    source: FrameSource, *, interval: float, width: int, columns: int, rows: int, most: int
) -> SheetLayout:
    """Lay out a source.

    Args:
        source: opened by ``frames.open_video``.
        interval: wanted seconds from frame to frame; longer where there would be more than
            ``most``, shorter so that all are equally long.
        width: of a tile, pixels.
        columns: of a sheet, at most; fewer where a sheet would be too large for its format.
        rows: likewise.
        most: frames of all sheets together.
    """
    tile = source.inside(width, width * _TALLEST)
    columns = max(1, min(columns, LARGEST_SIDE // tile.width))
    rows = max(1, min(rows, LARGEST_SIDE // tile.height))
    rows = max(1, min(rows, LARGEST_SHEET // (tile.pixels * columns)))
    # A hair less than a whole number is the number: 10.04 s at 5 s are two frames, not three.
    wanted = max(1, math.ceil(source.seconds / interval - 0.05))
    frames = min(wanted, most, source.timeline.frames)
    return SheetLayout(
        tile=tile,
        columns=columns,
        rows=rows,
        frames=frames,
        interval=source.seconds / frames,
    )


def draw(
    source: FrameSource, grid: SheetLayout, store: Callable[[Sheet], None], *, context: JobContext
) -> Way:
    """Fill the sheets one after the other; only one is in memory.

    Args:
        source: the video.
        grid: from :func:`plan`.
        store: given each finished sheet; the last is cut to what is on it.
        context: told about progress and asked to stop.

    Raises:
        Rejected: no frame can be decoded.
    """
    tile = grid.tile
    empty = np.zeros((grid.rows * tile.height, grid.columns * tile.width, 3), np.uint8)
    sheet = empty.copy()
    last: Frame | None = None
    done = 0

    def put(index: int, frame: Frame) -> None:
        nonlocal sheet
        row, column = divmod(index % grid.each, grid.columns)
        top, left = row * tile.height, column * tile.width
        sheet[top : top + tile.height, left : left + tile.width] = frame
        if (index + 1) % grid.each == 0 or index + 1 == grid.frames:
            used = index % grid.each + 1
            across, down = min(used, grid.columns), -(-used // grid.columns)
            store(
                Sheet(
                    number=index // grid.each + 1,
                    frame=sheet[: down * tile.height, : across * tile.width],
                )
            )
            sheet = empty.copy()

    def take(index: int, _: float, frame: Frame) -> None:
        nonlocal done, last
        context.step(index / grid.frames, "drawing sheets")
        while done < index:  # what could not be decoded is shown as what came before
            put(done, frame if last is None else last)
            done += 1
        put(index, frame)
        done, last = index + 1, frame

    way = spread(source, grid.frames, tile, take)
    assert last is not None  # spread raises where there is no frame
    while done < grid.frames:
        put(done, last)
        done += 1
    return way


def track(grid: SheetLayout, name: Callable[[int], str], seconds: float) -> str:
    """The WebVTT text.

    Args:
        grid: from :func:`plan`.
        name: of a sheet by its number, relative to the track.
        seconds: length of the video: where the last cue ends.
    """
    lines = ["WEBVTT", ""]
    for index in range(grid.frames):
        row, column = divmod(index % grid.each, grid.columns)
        end = seconds if index + 1 == grid.frames else (index + 1) * grid.interval
        place = (column * grid.tile.width, row * grid.tile.height)
        box = ",".join(map(str, (*place, grid.tile.width, grid.tile.height)))
        lines += [
            f"{timestamp(index * grid.interval)} --> {timestamp(end)}",
            f"{name(index // grid.each + 1)}#xywh={box}",
            "",
        ]
    return "\n".join(lines)
