"""Take noise out of a picture: non-local means, as strong as the picture's own noise.

Non-local means replaces a pixel by the mean of pixels whose surroundings look alike (Buades,
Coll, Morel: "Non-Local Means Denoising", Image Processing On Line 1 (2011), 208-212).

It runs on luma and chroma (ITU-R BT.601) apart, with OpenCV's ``fastNlMeansDenoising``. OpenCV's
``fastNlMeansDenoisingColored`` does the same in CIE Lab of *linear* light, where equal noise is
unequally large: at its best strength it gave 0.2 to 2.5 dB less PSNR than this on photos with
noise of a standard deviation of 5 to 20, in the same time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from worker.imaging.operations.raster import Raster
from worker.imaging.operations.vision import Pixels, Step, opencv, pixels, silent

_PATCH = 7
_SEARCH = 21
_REACH = (_PATCH + _SEARCH) // 2
"""Pixels that a result can depend on to every side. Tiles overlap by this much, so that tiled and
untiled results are equal, bit for bit."""

_TILE = 512
"""Pixels; a stop is noticed within the time of one tile, about half a second a core."""

_LUMA_GAIN = 0.9
_CHROMA_GAIN = 0.8
"""OpenCV's ``h`` for noise of standard deviation 1: highest PSNR on photos with noise added."""

_BLOCK = 32
_CALM = 0.2
"""Pixels a side of the blocks that noise is estimated in, and the quantile of theirs that counts:
an eighth of the blocks may be dead flat, a good half may be texture."""

_DARKEST, _LIGHTEST = 3, 252
_SAMPLED = 4_000_000
"""Pixels an estimate is made from, about: all, or of larger pictures some rows of blocks."""

_SMALLEST = 0.3
"""Levels; weaker noise than this is lost in the rounding to 8 bits, and is left alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Standard deviations, in levels of 255."""

    luma: float
    chroma: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Denoised:
    """A picture with less noise."""

    raster: Raster
    found: Noise
    """The noise estimated before."""
    removed: Noise
    """The removed noise: the estimate, or the requested strength."""
    left: Noise
    """Estimated in the result."""


def estimate(plane: Pixels) -> float:
    """Standard deviation of the noise in one channel, in levels.

    J. Immerkaer, "Fast Noise Variance Estimation", Computer Vision and Image Understanding 64
    (1996), 300-302: the mean response to a mask that is blind to slopes. Texture looks like noise
    to it, so it is taken block by block and the calmer blocks count (S. I. Olsen, "Estimation of
    Noise in Images: An Evaluation", CVGIP 55 (1993), 319-323, compares such rules). Blocks that
    are mostly clipped, where noise is cut off, do not.

    Args:
        plane: rows and columns; 0.0 is returned where no block can be judged.
    """
    height, width = plane.shape
    if min(height, width) < 3:
        return 0.0
    every = max(1, math.ceil(height * width / _SAMPLED))
    tops = range(0, max(1, height - _BLOCK - 1), _BLOCK * every)
    means = np.concatenate([_responses(plane[top : top + _BLOCK + 2]) for top in tops])
    if means.size == 0:
        return 0.0
    return float(math.sqrt(math.pi / 2) * np.quantile(means, _CALM) / 6)


def _responses(rows: Pixels) -> npt.NDArray[np.float64]:
    """Mean answer of the mask in each block of a row of blocks, without those mostly clipped."""
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    rows = np.ascontiguousarray(rows)
    answers = np.abs(cv2.filter2D(rows, cv2.CV_16S, mask))[1:-1, 1:-1]
    inner = rows[1:-1, 1:-1]
    used = (inner >= _DARKEST) & (inner <= _LIGHTEST)
    starts = np.arange(0, max(1, inner.shape[1] - _BLOCK + 1), _BLOCK)
    counts = np.add.reduceat(used.sum(axis=0, dtype=np.int64), starts)
    sums = np.add.reduceat((answers * used).sum(axis=0, dtype=np.int64), starts)
    judged = counts > inner.size / inner.shape[1] * _BLOCK / 2
    return np.asarray(sums[judged] / counts[judged], np.float64)


def noise(raster: Raster) -> Noise:
    """The noise of a picture, estimated on the luma and chroma that :func:`denoise` works on."""
    with opencv():
        return _noise(_split(raster.colour), grey=raster.grey)


def denoise(
    raster: Raster,
    *,
    strength: float | None = None,
    chroma: float | None = None,
    threads: int = 1,
    step: Step = silent,
    tile: int = _TILE,
) -> Denoised:
    """Take the noise out, tile by tile. Transparency is kept as it is.

    Args:
        raster: the picture.
        strength: standard deviation of the luma noise to remove, in levels of 255; estimated
            where it is None. 0 leaves luma alone.
        chroma: the same of the chroma noise.
        threads: how many cores to use; the result does not depend on it.
        step: called after each tile.
        tile: its side in pixels; the result does not depend on it.

    Raises:
        MemoryPressure, EngineError: see :func:`worker.imaging.operations.vision.opencv`.
    """
    step(0.0, "measure the noise")
    with opencv(threads):
        planes = _split(raster.colour)
        found = _noise(planes, grey=raster.grey)
        removed = Noise(
            luma=found.luma if strength is None else strength,
            chroma=0.0 if raster.grey else found.chroma if chroma is None else chroma,
        )
        made = _tiled(planes, removed, tile, step)
        left = _noise(made, grey=raster.grey)
        colour = pixels(cv2.cvtColor(made, cv2.COLOR_YCrCb2BGR))
        if raster.grey:
            colour[:] = made[..., :1]
    step(1.0, "denoised")
    return Denoised(raster=replace(raster, colour=colour), found=found, removed=removed, left=left)


def _split(colour: Pixels) -> Pixels:
    return pixels(cv2.cvtColor(colour, cv2.COLOR_BGR2YCrCb))


def _noise(planes: Pixels, *, grey: bool) -> Noise:
    luma, red, blue = (estimate(np.ascontiguousarray(planes[..., band])) for band in range(3))
    return Noise(luma=luma, chroma=0.0 if grey else math.hypot(red, blue) / math.sqrt(2))


def _tiled(planes: Pixels, removed: Noise, tile: int, step: Step) -> Pixels:
    height, width = planes.shape[:2]
    made = planes.copy()
    places = [(top, left) for top in range(0, height, tile) for left in range(0, width, tile)]
    for index, (top, left) in enumerate(places):
        step(index / len(places), f"tile {index + 1} of {len(places)}")
        above, before = max(0, top - _REACH), max(0, left - _REACH)
        view = planes[above : top + tile + _REACH, before : left + tile + _REACH]
        rows, columns = (
            slice(top - above, top - above + tile),
            slice(left - before, left - before + tile),
        )
        target = made[top : top + tile, left : left + tile]
        if removed.luma >= _SMALLEST:
            luma = _means(np.ascontiguousarray(view[..., 0]), removed.luma * _LUMA_GAIN)
            target[..., 0] = luma[rows, columns]
        if removed.chroma >= _SMALLEST:
            both = _means(np.ascontiguousarray(view[..., 1:]), removed.chroma * _CHROMA_GAIN)
            target[..., 1:] = both[rows, columns]
    return made


def _means(planes: Pixels, strength: float) -> Pixels:
    return pixels(
        cv2.fastNlMeansDenoising(
            planes, h=strength, templateWindowSize=_PATCH, searchWindowSize=_SEARCH
        )
    )
