"""Fill damaged places from their surroundings: by a mask, or where thin scratches are found.

Filling is OpenCV's: A. Telea, "An Image Inpainting Technique Based on the Fast Marching Method"
(Journal of Graphics Tools 9 (2004), 23-34), or M. Bertalmio, A. Bertozzi, G. Sapiro,
"Navier-Stokes, Fluid Dynamics, and Image and Video Inpainting" (CVPR 2001). Both carry colours
and lines into a hole; neither invents texture, so wide holes come out smooth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np

from worker.domain.errors import Reason, UnsuitableInput
from worker.imaging.operations.raster import Raster
from worker.imaging.operations.vision import Pixels, Step, opencv, pixels, silent

Method = Literal["telea", "navier-stokes"]
_FLAGS = {"telea": cv2.INPAINT_TELEA, "navier-stokes": cv2.INPAINT_NS}

_MOST = 0.5
"""Share of a picture that may be marked as damaged."""

_MARKED = 63
"""Levels above which a mask marks: thin strokes are grey in a mask of lower resolution."""

_OTHER_SHAPE = 0.01
"""How much the aspect ratio of a mask may differ from its picture's."""

_WIDEST_SCRATCH = 0.006
_SHORTEST_SCRATCH = 0.06
"""Of the shorter side."""

_TURNS = 32
_LOOK = 1400
"""Directions in which scratches are looked for, and the longer side they are looked for in."""

_PLAIN = 20.0
"""Levels by which a scratch stands out from smooth surroundings, in the middle of the scale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A picture without its damage."""

    raster: Raster
    regions: int
    """Separate places that were filled."""
    share: float
    """Of the picture's pixels that were filled."""


def restore(
    raster: Raster,
    mask: Raster | None = None,
    *,
    method: Method = "telea",
    radius: float = 3.0,
    grow: int = 1,
    sensitivity: float = 0.5,
    step: Step = silent,
) -> Restored:
    """Fill the damage of a picture. Transparency is kept as it is.

    Args:
        raster: the picture.
        mask: light where the picture is damaged; of its shape, in any resolution. None looks for
            scratches, and gives an equal picture where there are none.
        method: how holes are filled.
        radius: how far around a pixel is looked, pixels.
        grow: pixels that damage is thought to be wider than marked.
        sensitivity: 0 finds only scratches that are plain to see, 1 the faintest; without a mask.
        step: called before each place.

    Raises:
        UnsuitableInput: MASK_UNUSABLE.
        MemoryPressure, EngineError: see :func:`worker.imaging.operations.vision.opencv`.
    """
    step(0.0, "find scratches" if mask is None else "read the mask")
    with opencv():
        if mask is None:
            damage = scratches(raster.colour, sensitivity)
        else:
            damage = _marked(mask, raster.width, raster.height)
        if grow and damage.any():
            side = 2 * grow + 1
            round_kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
            damage = pixels(cv2.dilate(damage, round_kernel))
        colour = raster.colour.copy()
        regions = _fill(colour, damage, method, radius, step)
        if raster.grey:
            colour[:] = colour[..., :1]
    step(1.0, "restored")
    return Restored(
        raster=replace(raster, colour=colour),
        regions=regions,
        share=float(np.count_nonzero(damage)) / damage.size,
    )


def scratches(colour: Pixels, sensitivity: float = 0.5) -> Pixels:
    """Thin, long, straight lines that are lighter or darker than both their sides.

    Top hats (light and dark) keep what is thin; openings by turned lines keep what is long; what
    does not stand out from the texture around it goes. Lines that belong to the picture (wires,
    stalks, ruled paper) look the same: where those matter, a mask is the better choice.

    Returns:
        255 where a scratch is.
    """
    height, width = colour.shape[:2]
    shorter = min(height, width)
    found = np.zeros((height, width), np.uint8)
    if shorter < 32:
        return found
    luma = pixels(cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY))
    across = max(3, math.ceil(_WIDEST_SCRATCH * shorter))
    side = 2 * across + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    for operation in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT):
        relief = pixels(cv2.morphologyEx(luma, operation, kernel))
        found |= _long_lines(relief, across, sensitivity)
    return found


def _long_lines(relief: Pixels, across: int, sensitivity: float) -> Pixels:
    height, width = relief.shape
    step = math.ceil(max(height, width) / _LOOK)
    # Thin lines must survive: the strongest of each cell, not the mean.
    strongest = cv2.dilate(relief, np.ones((step, step), np.uint8))
    small = pixels(strongest[step // 2 :: step, step // 2 :: step])
    # Three pixels wide, so that a stroke of nearly the same direction lies in it whole.
    broad = pixels(cv2.dilate(small, np.ones((3, 3), np.uint8)))
    length = max(9, round(_SHORTEST_SCRATCH * min(small.shape)))
    long = np.zeros_like(small)
    for index in range(_TURNS):
        kernel = _stroke(length, math.pi * index / _TURNS)
        long = np.maximum(long, pixels(cv2.morphologyEx(broad, cv2.MORPH_OPEN, kernel)))
    # How rough the picture is around: the mean of what is thin, scratches included.
    rough = np.asarray(cv2.blur(small, (2 * length + 1, 2 * length + 1)), np.float32)
    level = _PLAIN * (2 - 1.5 * sensitivity) + rough * (4.5 - 2.5 * sensitivity)
    seeds = pixels((long >= level) * 255)
    near = cv2.resize(seeds, (width, height), interpolation=cv2.INTER_NEAREST)
    # The rim of a scratch is half as strong as its middle.
    strong = cv2.resize(long, (width, height), interpolation=cv2.INTER_NEAREST)
    strong = cv2.dilate(strong, np.ones((across, across), np.uint8))
    return pixels(((np.asarray(near) > 0) & (relief >= np.asarray(strong) // 3)) * 255)


def _stroke(length: int, angle: float) -> Pixels:
    """A line through the middle, one pixel wide."""
    reach = length // 2
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.uint8)
    x, y = reach * math.cos(angle), reach * math.sin(angle)
    ends = (round(reach - x), round(reach - y)), (round(reach + x), round(reach + y))
    return pixels(cv2.line(kernel, *ends, (1,)))


def _marked(mask: Raster, width: int, height: int) -> Pixels:
    ratio = (mask.width / mask.height) / (width / height)
    if abs(ratio - 1) > _OTHER_SHAPE + 1 / min(mask.width, mask.height):
        raise UnsuitableInput(
            Reason.MASK_UNUSABLE,
            f"the mask is {mask.width} x {mask.height} pixels, the picture {width} x {height}: "
            "they are of different shapes",
        )
    luma = cv2.cvtColor(mask.on(0), cv2.COLOR_BGR2GRAY)
    sized = cv2.resize(luma, (width, height), interpolation=cv2.INTER_LINEAR)
    damage = pixels(cv2.threshold(sized, _MARKED, 255, cv2.THRESH_BINARY)[1])
    share = float(np.count_nonzero(damage)) / damage.size
    if share == 0.0:
        raise UnsuitableInput(Reason.MASK_UNUSABLE, "the mask marks nothing: damage must be white")
    if share > _MOST:
        raise UnsuitableInput(
            Reason.MASK_UNUSABLE,
            f"the mask marks {share:.0%} of the picture, more than {_MOST:.0%}: is it inverted?",
        )
    return damage


def _fill(colour: Pixels, damage: Pixels, method: Method, radius: float, step: Step) -> int:
    """Fill in place, one group of holes after the other: a hole sees ``radius`` around it only."""
    reach = math.ceil(radius) + 2
    near = pixels(cv2.dilate(damage, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(near, connectivity=8)
    total, done = max(1, cv2.countNonZero(damage)), 0
    for label in range(1, count):
        step(done / total, f"fill place {label} of {count - 1}")
        left, top, width, height = (int(value) for value in stats[label][:4])
        rows, columns = slice(top, top + height), slice(left, left + width)
        hole = pixels(np.where(labels[rows, columns] == label, damage[rows, columns], 0))
        view = np.ascontiguousarray(colour[rows, columns])
        colour[rows, columns] = cv2.inpaint(view, hole, radius, _FLAGS[method])
        done += cv2.countNonZero(hole)
    return int(count) - 1
