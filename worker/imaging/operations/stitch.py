"""Join overlapping pictures into one: OpenCV's stitching pipeline, with its failures told apart.

Features, matching, bundle adjustment, exposure compensation, graph-cut seams and multi-band
blending are OpenCV's (M. Brown, D. G. Lowe: "Automatic Panoramic Image Stitching using Invariant
Features", International Journal of Computer Vision 74 (2007), 59-73).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from worker.domain.errors import EngineError, Reason, UnsuitableInput
from worker.imaging.operations.raster import Raster
from worker.imaging.operations.vision import Pixels, Step, opencv, pixels, silent

PIXELS_TOGETHER = 120_000_000
"""Of all pictures: 26 bytes for each were measured with two that overlap by a third."""

_LARGEST_GROWTH = 4.0
"""A panorama has at most so many times the pixels of its pictures together. Wrong cameras spread
pictures without bound, and would ask for any amount of memory."""

_COARSE = 400
"""Longer side of the grid in which the largest filled rectangle is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panorama:
    """Joined pictures."""

    raster: Raster
    """Transparent where no picture reaches, unless it was cropped."""
    used: tuple[int, ...]
    """Indices of the pictures that are in it, from 0."""
    filled: float
    """Share of the bounding box that pictures cover, before cropping."""


def stitch(
    pictures: Sequence[Raster],
    *,
    mode: Literal["panorama", "scans"] = "panorama",
    crop: bool = True,
    partial: bool = False,
    step: Step = silent,
) -> Panorama:
    """Join pictures, in any order.

    Args:
        pictures: two or more.
        mode: ``panorama`` for a camera that was turned, ``scans`` for flat things that were moved.
        crop: cut to the largest rectangle that is filled everywhere.
        partial: leave out pictures that fit to no other instead of refusing all.
        step: called between the stages; each of them takes seconds to minutes.

    Raises:
        UnsuitableInput: NO_OVERLAP, NOT_ALIGNED.
        MemoryPressure, EngineError: see :func:`worker.imaging.operations.vision.opencv`.
    """
    colours = [raster.on() for raster in pictures]
    with opencv():
        kind = cv2.Stitcher_SCANS if mode == "scans" else cv2.Stitcher_PANORAMA
        stitcher = cv2.Stitcher.create(kind)
        step(0.0, "find what the pictures share")
        try:
            _check(stitcher.estimateTransform(colours))
            used = tuple(sorted(int(index) for index in np.ravel(stitcher.component())))
            _check_used(used, len(pictures), partial=partial)
            _check_spread(stitcher, colours, mode)
        except cv2.error as error:
            # The estimators assert what noise does not give them; out of memory is not that.
            if error.code == cv2.Error.StsNoMem:
                raise
            raise UnsuitableInput(Reason.NOT_ALIGNED, _NOT_ALIGNED) from error
        step(0.4, "blend")
        status, made = stitcher.composePanorama()
        _check(status)
        colour = pixels(made)
        mask = pixels(_filled(stitcher, colour))
        step(0.9, "crop" if crop else "finish")
        filled = float(np.count_nonzero(mask)) / mask.size
        if crop:
            top, left, height, width = largest_filled(mask > 0)
            colour = np.ascontiguousarray(colour[top : top + height, left : left + width])
    alpha = None if crop or filled == 1.0 else mask
    grey = all(raster.grey for raster in pictures)
    if grey:
        colour = np.repeat(colour.max(axis=2, keepdims=True), 3, axis=2)
    step(1.0, "stitched")
    return Panorama(raster=Raster(colour=colour, alpha=alpha, grey=grey), used=used, filled=filled)


_NOT_ALIGNED = (
    "the pictures share something, but no turn of one camera explains where: were they taken "
    "from different places?"
)


def _check(status: Any) -> None:
    if status == cv2.Stitcher_ERR_NEED_MORE_IMGS:
        raise UnsuitableInput(Reason.NO_OVERLAP, "no two of the pictures share enough to be joined")
    if status in (
        cv2.Stitcher_ERR_HOMOGRAPHY_EST_FAIL,
        cv2.Stitcher_ERR_CAMERA_PARAMS_ADJUST_FAIL,
    ):
        raise UnsuitableInput(Reason.NOT_ALIGNED, _NOT_ALIGNED)
    if status != cv2.Stitcher_OK:
        raise EngineError(f"OpenCV: the stitcher ends with status {status}")


def _check_used(used: tuple[int, ...], given: int, *, partial: bool) -> None:
    missing = [str(index + 1) for index in range(given) if index not in used]
    if missing and not partial:
        raise UnsuitableInput(
            Reason.NO_OVERLAP,
            f"of {given} pictures, number {', '.join(missing)} shares too little with the others",
        )


def _check_spread(stitcher: cv2.Stitcher, colours: list[Pixels], mode: str) -> None:
    """Refuse cameras that would ask for an enormous panorama, before it is made."""
    cameras = stitcher.cameras()
    if mode == "scans" or not cameras:
        return
    used = [colours[int(index)] for index in np.ravel(stitcher.component())]
    focal = float(np.median([camera.focal for camera in cameras]))
    work = stitcher.workScale()
    corners: list[tuple[int, int]] = []
    if not math.isfinite(focal) or focal <= 0:
        raise UnsuitableInput(Reason.NOT_ALIGNED, _NOT_ALIGNED)
    warper = cv2.PyRotationWarper("spherical", focal)
    for picture, camera in zip(used, cameras, strict=True):
        size = (round(picture.shape[1] * work), round(picture.shape[0] * work))
        left, top, width, height = warper.warpRoi(
            size, camera.K().astype(np.float32), np.asarray(camera.R, np.float32)
        )
        corners += [(left, top), (left + width, top + height)]
    width, height = np.ptp(np.asarray(corners, np.float64), axis=0) / work
    allowed = _LARGEST_GROWTH * sum(picture.shape[0] * picture.shape[1] for picture in used)
    if not width * height <= allowed:
        raise UnsuitableInput(Reason.NOT_ALIGNED, _NOT_ALIGNED)


def _filled(stitcher: cv2.Stitcher, colour: Pixels) -> Pixels:
    """Where pictures reach; from the blended pixels if this OpenCV does not give its mask."""
    mask = getattr(stitcher, "resultMask", None)
    if mask is not None:
        found = pixels(mask())
        if found.shape == colour.shape[:2]:
            return found
    # The blender leaves black where nothing is. Black inside of pictures is no border.
    outside = cv2.copyMakeBorder(
        pixels((colour.max(axis=2) == 0) * 255), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(255,)
    )
    cv2.floodFill(outside, None, (0, 0), (128,))
    return pixels((outside[1:-1, 1:-1] != 128) * 255)


def largest_filled(filled: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """The largest upright rectangle that is true everywhere: top, left, height, width.

    Found in a grid of cells that count only if filled whole, by the stack of growing heights
    (the largest rectangle in a histogram, row by row), then grown pixel by pixel.
    """
    rows, columns = filled.shape
    cell = max(1, math.ceil(max(rows, columns) / _COARSE))
    kept = filled[: rows // cell * cell, : columns // cell * cell]
    cells = kept.reshape(rows // cell, cell, columns // cell, cell)
    grid = np.asarray(cells.all(axis=(1, 3)), np.bool_)
    top, left, height, width = _in_grid(grid)
    if height == 0:
        return 0, 0, rows, columns
    return _grown(filled, top * cell, left * cell, (top + height) * cell, (left + width) * cell)


def _in_grid(grid: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    best, best_area = (0, 0, 0, 0), 0
    heights = np.zeros(grid.shape[1] + 1, np.int64)  # the last stays 0 and empties the stack
    for row, line in enumerate(grid):
        heights[:-1] = np.where(line, heights[:-1] + 1, 0)
        stack: list[int] = []
        for column, height in enumerate(heights.tolist()):
            while stack and heights[stack[-1]] >= height:
                tall = int(heights[stack.pop()])
                left = stack[-1] + 1 if stack else 0
                if tall * (column - left) > best_area:
                    best_area = tall * (column - left)
                    best = (row - tall + 1, left, tall, column - left)
            stack.append(column)
    return best


def _grown(
    filled: npt.NDArray[np.bool_], top: int, left: int, bottom: int, right: int
) -> tuple[int, int, int, int]:
    rows, columns = filled.shape
    moved = True
    while moved:
        moved = False
        if top > 0 and filled[top - 1, left:right].all():
            top, moved = top - 1, True
        if bottom < rows and filled[bottom, left:right].all():
            bottom, moved = bottom + 1, True
        if left > 0 and filled[top:bottom, left - 1].all():
            left, moved = left - 1, True
        if right < columns and filled[top:bottom, right].all():
            right, moved = right + 1, True
    return top, left, bottom - top, right - left
