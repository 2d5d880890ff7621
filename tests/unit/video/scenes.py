"""Videos whose frames tell which they are, and frames that are good and bad pictures."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random

import numpy as np

from tests.unit.video.jobs import context
from tests.unit.video.samples import make
from worker.video.frames import Frame, FrameSource, open_video

STEP = 7
"""Levels of grey from one frame of :func:`counted` to the next."""


def counted(frames: int = 30, *, key: int = 10, rate: int = 10, filters: str = "null") -> bytes:
    """A video whose frame N is of luma 20 + 7 N, with a key frame every so many frames."""
    source = f"nullsrc=size=64x48:rate={rate}:duration={frames / rate}"
    grey = f"geq=lum='20+{STEP}*N':cb=128:cr=128"
    return make(
        "mp4",
        *("-f", "lavfi", "-i", f"{source},{grey},{filters}"),
        *("-frames:v", str(frames), "-c:v", "libx264", "-preset", "ultrafast", "-qp", "4"),
        *("-fps_mode", "vfr", "-g", str(key), "-sc_threshold", "0", "-pix_fmt", "yuv420p"),
    )


def number(frame: Frame) -> int:
    """Which frame of :func:`counted` this is."""
    luma = 16 + float(frame.mean()) * 219 / 255
    return round((luma - 20) / STEP)


def opened(data: bytes, folder: Path, name: str = "video.mp4") -> FrameSource:
    """A video of these bytes."""
    path = folder / name
    path.write_bytes(data)
    return replace(_looked_at(data), path=path, context=context(folder))


@cache
def _looked_at(data: bytes) -> FrameSource:
    """What four programs say of a video; many tests have the same one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "video.mp4")
        path.write_bytes(data)
        return open_video(path, max_seconds=3600, context=context(path.parent))


def picture(seed: int = 1, *, size: tuple[int, int] = (180, 320)) -> Frame:
    """Coloured boxes on a sky: sharp, well exposed, with something in it."""
    chance = Random(seed)  # not of numpy: the image has no numpy.random
    height, width = size
    frame = np.empty((height, width, 3), np.uint8)
    frame[:] = np.linspace((90, 150, 210), (60, 100, 140), height)[:, None]
    for _ in range(60):
        top, left = chance.randrange(height // 3, height), chance.randrange(width)
        side = chance.randrange(10, 40)
        frame[top : top + side, left : left + side] = [chance.randrange(40, 220) for _ in range(3)]
    return frame


def title(*, size: tuple[int, int] = (180, 320)) -> Frame:
    """White strokes on a dark card."""
    frame = np.full((*size, 3), 22, np.uint8)
    for column in range(80, 240, 8):
        frame[80:100, column : column + 4] = 250
    return frame
