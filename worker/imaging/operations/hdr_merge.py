"""One well exposed picture of several exposures: align, then fuse.

Fusion takes from every exposure what is well exposed there, without a tone curve or a true HDR
picture in between (T. Mertens, J. Kautz, F. Van Reeth: "Exposure Fusion", Pacific Graphics 2007).
Alignment undoes a shifted camera (G. Ward: "Fast, Robust Image Registration for Compositing High
Dynamic Range Photographs from Hand-Held Exposures", Journal of Graphics Tools 8 (2003), 17-30);
it does not undo a turned one. Objects that move between exposures may appear more than once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from worker.domain.errors import Reason, UnsuitableInput
from worker.imaging.operations.raster import Raster
from worker.imaging.operations.vision import Pixels, Step, opencv, pixels, silent

PIXELS_TOGETHER = 240_000_000
"""Of all pictures. Three of 16 million pixels took 88 bytes for each pixel of the result."""

_LARGEST_SHIFT = 0.05
"""Of the longer side: hand-held brackets move by less."""

_SMALLEST_LEVEL = 3
"""Levels end where the shorter side has 2 to this power pixels."""

_DARK, _LIGHT = 15, 240
_NOISE = 4.0
"""Levels that count as clipped, and around the cut those that noise may turn (Ward's 4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """One picture of many."""

    raster: Raster
    """8 bits a channel, of the part that all exposures show."""
    reference: int
    """Index of the exposure that the others were moved to, from 0."""
    shifts: tuple[tuple[int, int], ...]
    """Pixels to the right and down that each exposure was moved."""
    brightness: tuple[float, ...]
    """Mean luma of each exposure, 0 to 1."""


class _Bits(NamedTuple):
    """A picture as the search compares it; 255 is yes."""

    bright: Pixels
    sure: Pixels
    """Whether noise would not turn it."""


def hdr_merge(
    pictures: Sequence[Raster],
    *,
    align: bool = True,
    contrast: float = 1.0,
    saturation: float = 1.0,
    exposure: float = 1.0,
    step: Step = silent,
) -> Merged:
    """Merge a bracket. The order of the pictures plays no part.

    Args:
        pictures: two or more of one size.
        align: undo shifts.
        contrast: exponent of the contrast weight, 0 to leave it out.
        saturation: the same of colourfulness.
        exposure: the same of closeness to middle grey.
        step: called between pictures.

    Raises:
        UnsuitableInput: SIZES_DIFFER.
        MemoryPressure, EngineError: see :func:`worker.imaging.operations.vision.opencv`.
    """
    sizes = {(raster.width, raster.height) for raster in pictures}
    if len(sizes) > 1:
        named = ", ".join(f"{width}x{height}" for width, height in sorted(sizes))
        raise UnsuitableInput(
            Reason.SIZES_DIFFER, f"exposures must be of one size; these are {named}"
        )
    with opencv():
        colours = [raster.on() for raster in pictures]
        lumas = [pixels(cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY)) for colour in colours]
        brightness = tuple(float(luma.mean()) / 255 for luma in lumas)
        # From dark to bright: rounding in the sums must not depend on the order given.
        order = sorted(range(len(pictures)), key=lambda index: (brightness[index], index))
        reference = order[len(order) // 2]
        shifts = [(0, 0)] * len(pictures)
        if align:
            for done, index in enumerate(order):
                step(0.5 * done / len(order), f"align exposure {done + 1} of {len(order)}")
                if index != reference:
                    shifts[index] = _shift(lumas[reference], lumas[index])
        del lumas
        step(0.5, "fuse")
        cut = _cut([colours[index] for index in order], [shifts[index] for index in order])
        fused = cv2.createMergeMertens(contrast, saturation, exposure).process(cut)
        colour = np.empty(fused.shape, np.uint8)
        cv2.convertScaleAbs(np.maximum(fused, 0, out=fused), dst=colour, alpha=255)
    grey = all(raster.grey for raster in pictures)
    if grey:
        colour[:] = colour[..., 1:2]
    step(1.0, "merged")
    return Merged(
        raster=Raster(colour=colour, grey=grey),
        reference=reference,
        shifts=tuple(shifts),
        brightness=brightness,
    )


def _shift(reference: Pixels, other: Pixels) -> tuple[int, int]:
    """How far ``other`` must go right and down to lie on ``reference``: Ward's search.

    From coarse to fine, each level doubles what the one before found and tries a pixel to every
    side. OpenCV's AlignMTB always cuts at the median, which tells nothing of an exposure that is
    mostly clipped; Ward takes another rank then, and so does this.
    """
    height, width = reference.shape
    if min(height, width) < 2 ** (_SMALLEST_LEVEL + 1):
        return 0, 0
    share = _share(reference, other)
    levels = int(math.log2(max(1.0, _LARGEST_SHIFT * max(height, width)))) + 1
    # The smallest level must still show something.
    levels = max(1, min(levels, int(math.log2(min(height, width))) - _SMALLEST_LEVEL))
    pyramids = [(reference, other)]
    for _ in range(levels - 1):
        here, there = pyramids[-1]
        pyramids.append((_halved(here), _halved(there)))
    right = down = 0
    for here, there in reversed(pyramids):
        bits = _bits(here, share), _bits(there, share)
        steps = [(0, 0), *((x, y) for y in (-1, 0, 1) for x in (-1, 0, 1) if x or y)]
        tried = [(2 * right + x, 2 * down + y) for x, y in steps]
        right, down = min(tried, key=lambda move: _disagreement(*bits, *move))
    # A wrong turn at a coarse level is never taken back: keep only an improvement.
    better = _disagreement(*bits, right, down) < _disagreement(*bits, 0, 0)
    return (right, down) if better else (0, 0)


def _share(first: Pixels, second: Pixels) -> float:
    """The rank nearest to the median at which neither picture is clipped."""
    for share in (0.5, 0.35, 0.65, 0.2, 0.8, 0.1, 0.9):
        if all(_DARK <= _level(luma, share) <= _LIGHT for luma in (first, second)):
            return share
    return 0.5


def _level(luma: Pixels, share: float) -> int:
    counts = np.cumsum(np.bincount(luma.ravel(), minlength=256))
    return int(np.searchsorted(counts, share * counts[-1]))


def _halved(luma: Pixels) -> Pixels:
    size = (max(1, luma.shape[1] // 2), max(1, luma.shape[0] // 2))
    return pixels(cv2.resize(luma, size, interpolation=cv2.INTER_AREA))


def _bits(luma: Pixels, share: float) -> _Bits:
    level = _level(luma, share)
    bright = cv2.threshold(luma, level, 255, cv2.THRESH_BINARY)[1]
    near = cv2.inRange(luma, (max(0.0, level - _NOISE),), (level + _NOISE,))
    return _Bits(pixels(bright), pixels(cv2.bitwise_not(near)))


def _disagreement(first: _Bits, second: _Bits, right: int, down: int) -> float:
    """Share of pixels that are bright in one picture and dark in the other, of those judged."""
    moves = [(0, 0), (right, down)]
    judged = cv2.bitwise_and(*_cut([first.sure, second.sure], moves))
    different = cv2.bitwise_xor(*_cut([first.bright, second.bright], moves))
    wrong = cv2.countNonZero(cv2.bitwise_and(different, judged))
    return wrong / max(1, cv2.countNonZero(judged))


def _cut(pictures: Sequence[Pixels], shifts: Sequence[tuple[int, int]]) -> list[Pixels]:
    """The part that all of them show once they are moved."""
    height, width = pictures[0].shape[:2]
    across, along = [right for right, _ in shifts], [down for _, down in shifts]
    left, end = max(0, *across), width + min(0, *across)
    top, bottom = max(0, *along), height + min(0, *along)
    return [
        np.ascontiguousarray(picture[top - down : bottom - down, left - right : end - right])
        for picture, (right, down) in zip(pictures, shifts, strict=True)
    ]
