"""What a rendition should look like: the yardstick that all contenders are measured with.

The original is decoded in full (nobody's shrink-on-load), turned upright, and its luma resized
in floating point with a Lanczos kernel (a = 3) to exactly the size that the contender chose. All
three engines resize with that kernel by default, so it favours none; what differs is their
shortcuts (shrinking while decoding, cascades, whole-number reductions, rounding to 8 bits
between steps), and those are what the yardstick shall show, with the loss of the encoder. Colour
profiles are not applied: SSIM looks at structure.
"""

from __future__ import annotations

import io
import math
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyvips
from PIL import Image, ImageOps

from worker.media.ssim import Reference

_BT601 = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""ITU-R BT.601 luma, as in ``worker.media.ssim``."""

Box = tuple[float, float, float, float]


class Yardstick:
    """One original, ready to judge files made from it."""

    def __init__(self, original: bytes) -> None:
        """Decode the original.

        Raises:
            OSError: it cannot be decoded.
        """
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(original))).convert("RGB")
        luma = np.asarray(image, dtype=np.float32) @ _BT601
        self._luma = Image.fromarray(luma)
        self._reference = lru_cache(maxsize=None)(self._make_reference)

    def score(self, file: Path, *, cover: bool) -> float:
        """Luma SSIM of a JPEG or WebP file made from the original.

        Args:
            file: what a contender wrote.
            cover: it is an even cut to the file's size, not the whole picture.

        Returns:
            The mean over 8x8 windows. Of a cut, the best of the places that rounding can put it
            in: a fraction of a pixel to the side is no loss of quality.
        """
        made = _decoded(file.read_bytes())
        width, height = made.width, made.height
        boxes = placements(self._luma.size, (width, height)) if cover else (None,)
        return max(self._reference((width, height), box).compare(made) for box in boxes)

    def _make_reference(self, size: tuple[int, int], box: Box | None) -> Reference:
        resized = self._luma.resize(size, Image.Resampling.LANCZOS, box=box)
        luma: npt.NDArray[np.float32] = np.asarray(resized, dtype=np.float32)
        return Reference(luma)


def placements(source: tuple[int, int], cut: tuple[int, int]) -> tuple[Box, ...]:
    """Parts of ``source`` that an even cut to ``cut`` pixels may show.

    Tools resize the whole picture first, to a size rounded down, up or not at all, and then cut
    the middle out of it, from an offset rounded down, up or not at all.
    """
    ratio = max(cut[0] / source[0], cut[1] / source[1])
    found: dict[Box, None] = {}
    for round_size in (_same, math.floor, math.ceil):
        # At least the cut: a rounded size never leaves a gap, nor does a float's last digit.
        scaled = [
            max(round_size(side * ratio), least) for side, least in zip(source, cut, strict=True)
        ]
        for round_offset in (_same, math.floor, math.ceil):
            offsets = [
                round_offset((whole - part) / 2) for whole, part in zip(scaled, cut, strict=True)
            ]
            back = [side / whole for side, whole in zip(source, scaled, strict=True)]
            left, top = offsets[0] * back[0], offsets[1] * back[1]
            right = min((offsets[0] + cut[0]) * back[0], source[0])
            bottom = min((offsets[1] + cut[1]) * back[1], source[1])
            found[left, top, right, bottom] = None
    return tuple(found)


def _same(value: float) -> float:
    return value


def _decoded(data: bytes) -> pyvips.Image:
    if data.startswith(b"\xff\xd8"):
        return pyvips.Image.jpegload_buffer(data)
    return pyvips.Image.webpload_buffer(data)
