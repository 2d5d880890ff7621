"""SSIMULACRA2: how similar two pictures look, 100 for equal, 90 hard to tell, 70 good, 50 medium.

Jon Sneyers, Cloudinary, 2023 (libjxl, tools/ssimulacra2.cc, BSD-3-Clause), whose constants and
weights are here. At each of five scales, three maps compare local structure, added edges and lost
detail in the planes of XYB; the score is a weighted sum of their means and 4-norms.

Here because a quality target needs it in the images: PyPI's ``ssimulacra2`` takes 1.7 s of CPU a
megapixel and brings SciPy (100 MB), this takes 0.1 to 0.2 s and brings nothing. A blur is a product
with a band matrix (BLAS), and maps whose weight is below 0.2 are not made. A test compares both.
They differ for sides under 225 pixels: the source then has fewer scales and gives the weights of
one scale to another, this leaves out the scales that are missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyvips

Plane = npt.NDArray[np.float32]

_ABSORBANCE = np.array(
    [
        [0.30, 0.622, 0.078],
        [0.23, 0.692, 0.078],
        [0.24342268924547819, 0.20476744424496821, 0.55180986650955360],
    ],
    np.float32,
)
_BIAS = np.float32(0.0037930732552754493)
_BIAS_ROOT = np.float32(0.0037930732552754493 ** (1 / 3))
"""Opsin absorbance of libjxl (lib/jxl/cms/opsin_params.h)."""

_C2 = np.float32(0.0009)
_SIGMA = 1.5
_RADIUS = 5
_STRIP = 64
"""Rows or columns that are blurred at a time: what they touch stays in the second-level cache."""

_DEEP = 65_535
"""Of linear light in whole numbers."""

_LEVELS = np.arange(256) / 255.0
_LINEAR = np.where(_LEVELS <= 0.04045, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4).astype(
    np.float32
)
"""IEC 61966-2-1, by the stored value."""


class _Weights(NamedTuple):
    """Of one plane at one scale. Those below 0.2 move a score by less than 0.3 and are left out."""

    ssim_mean: float = 0.0
    ssim_peak: float = 0.0
    """Of the 4-norm, which the worst parts decide."""
    added_mean: float = 0.0
    added_peak: float = 0.0
    lost_mean: float = 0.0
    lost_peak: float = 0.0


_X, _Y, _B = range(3)
_SCALES: tuple[dict[int, _Weights], ...] = (
    {_Y: _Weights(ssim_peak=7.466890328078848, lost_peak=17.445833984131262)},
    {
        _X: _Weights(ssim_peak=1.1041726426657346),
        _Y: _Weights(ssim_peak=6.683678146179332, lost_peak=1.027889937768264),
    },
    {
        _X: _Weights(ssim_peak=1.8422455520539298, added_peak=11.441172603757666),
        _Y: _Weights(ssim_mean=225.20515300849274, ssim_peak=19.213238186143016),
    },
    {
        _X: _Weights(ssim_peak=1.8787594979546387, added_peak=10.94906990605142),
        _Y: _Weights(
            ssim_mean=176.39317598450694,
            ssim_peak=24.43300999870476,
            added_peak=0.28520802612117757,
        ),
        _B: _Weights(ssim_peak=8.826982764996862, added_peak=23.19243343998926),
    },
    {
        _X: _Weights(added_mean=0.9677937080626833, added_peak=0.9981766977854967),
        _Y: _Weights(ssim_peak=34.77906344483772, added_peak=44.835625328877896),
        _B: _Weights(
            ssim_mean=95.1080498811086,
            added_mean=0.9863978034400682,
            lost_mean=0.9834382792465353,
            added_peak=171.2667255897307,
            lost_peak=0.9807858872435379,
        ),
    },
)

EVERY = range(len(_SCALES))
FINE = range(2)
COARSE = range(2, len(_SCALES))

LEAST_SIDE = 8
"""Pixels; a scale that is smaller on a side is not compared."""


class _Reference(NamedTuple):
    """A plane of the picture that others are compared with, and its local mean and power."""

    plane: Plane
    mean: Plane
    power: Plane


class ScoreReference:
    """The picture as it should look; what does not depend on the other is made once."""

    def __init__(self, pixels: npt.NDArray[np.uint8], scales: range = EVERY) -> None:
        """Take sRGB of shape (height, width, 3), or (height, width) if grey.

        Args:
            pixels: the picture.
            scales: those to compare; each is half the one before it.
        """
        self.shape = pixels.shape[:2]
        self._range = scales
        self._scales = [
            {
                channel: _Reference(one, _blur(one), _blur(one * one))
                for channel, one in planes.items()
            }
            for planes in _scales(pixels, scales)
        ]

    def score(self, pixels: npt.NDArray[np.uint8]) -> float:
        """SSIMULACRA2 of another picture of the same size.

        Returns:
            At most 100.0; below 0 for pictures that have little in common.

        Raises:
            ValueError: the sizes differ.
        """
        return scaled(self.distance(pixels))

    def distance(self, pixels: npt.NDArray[np.uint8]) -> float:
        """The sum of all weighted terms at these scales, 0 for equal: :func:`scaled` has the score.

        Raises:
            ValueError: the sizes differ.
        """
        if pixels.shape[:2] != self.shape:
            message = f"sizes differ: {self.shape} and {pixels.shape[:2]}"
            raise ValueError(message)
        total = 0.0
        compared = zip(self._scales, _scales(pixels, self._range), strict=True)
        for scale, (ours, theirs) in enumerate(compared, self._range.start):
            for channel, plane in theirs.items():
                total += _compare(ours[channel], plane, _SCALES[scale][channel])
        return total


def scaled(total: float) -> float:
    """The sum of all terms as a score, at most 100."""
    total *= 0.9562382616834844
    total = (
        2.326765642916932 * total
        - 0.020884521182843837 * total**2
        + 6.248496625763138e-05 * total**3
    )
    return 100.0 - 10.0 * math.pow(total, 0.6276336467831387) if total > 0 else 100.0


def _compare(ours: _Reference, plane: Plane, weights: _Weights) -> float:
    mean = _blur(plane)
    total = 0.0
    if weights.ssim_mean or weights.ssim_peak:
        # Structural similarity with a luminance term that needs no constant (see the source).
        variances = (ours.power - ours.mean * ours.mean) + (_blur(plane * plane) - mean * mean)
        covariance = _blur(ours.plane * plane) - ours.mean * mean
        luminance = ours.mean - mean
        luminance *= luminance
        unlike = 1 - (1 - luminance) * (2 * covariance + _C2) / (variances + _C2)
        total += _pooled(
            unlike.astype(np.float32, copy=False), weights.ssim_mean, weights.ssim_peak
        )
    if weights.added_mean or weights.added_peak or weights.lost_mean or weights.lost_peak:
        edges: Plane = (1 + np.abs(plane - mean)) / (1 + np.abs(ours.plane - ours.mean)) - 1
        total += _pooled(edges, weights.added_mean, weights.added_peak)
        total += _pooled(-edges, weights.lost_mean, weights.lost_peak)
    return total


def _pooled(values: Plane, of_mean: float, of_peak: float) -> float:
    """Weighted mean and 4-norm of what is above 0."""
    if not of_mean and not of_peak:
        return 0.0
    above: Plane = np.maximum(values, np.float32(0))
    total = of_mean * float(above.mean(dtype=np.float64)) if of_mean else 0.0
    above *= above
    above *= above
    return total + of_peak * math.pow(float(above.mean(dtype=np.float64)), 0.25)


def _scales(pixels: npt.NDArray[np.uint8], scales: range) -> Iterator[dict[int, Plane]]:
    """The planes that count, at each of the scales."""
    if pixels.ndim == 2:
        pixels = np.stack([pixels] * 3, axis=2)
    factor = 1 << scales.start
    if min(pixels.shape[:2]) < factor * LEAST_SIDE:
        return
    if factor == 1:
        linear = _LINEAR[np.ascontiguousarray(pixels.transpose(2, 0, 1))]
    else:
        linear = _shrunk(pixels, factor)
    for scale in scales:
        if min(linear.shape[1:]) < LEAST_SIDE:
            return
        yield _xyb(linear, _SCALES[scale])
        linear = _halved(linear)


def _shrunk(pixels: npt.NDArray[np.uint8], factor: int) -> Plane:
    """Means of linear light over squares; libvips takes half the time of halving twice here."""
    image = pyvips.Image.new_from_array(np.ascontiguousarray(pixels)).maplut(_linear_table())
    small: npt.NDArray[np.uint16] = image.shrink(factor, factor, ceil=True).numpy()
    return np.ascontiguousarray(small.transpose(2, 0, 1)) * np.float32(1 / _DEEP)


@cache
def _linear_table() -> pyvips.Image:
    table = np.rint(_LINEAR * _DEEP).astype(np.uint16)
    return pyvips.Image.new_from_array(table.reshape(1, -1))


def _xyb(linear: Plane, channels: dict[int, _Weights]) -> dict[int, Plane]:
    """Planes of XYB, moved to where the source has them: all positive."""
    mixed = (_ABSORBANCE @ linear.reshape(3, -1)).reshape(linear.shape) + _BIAS
    # numpy has fast instructions for these two, and none for cbrt.
    roots = np.exp(np.log(mixed) * np.float32(1 / 3)) - _BIAS_ROOT
    y = (roots[0] + roots[1]) * np.float32(0.5)
    planes = {_Y: y + np.float32(0.01)}
    if _X in channels:
        planes[_X] = (roots[0] - roots[1]) * np.float32(7) + np.float32(0.42)
    if _B in channels:
        planes[_B] = roots[2] - y + np.float32(0.55)
    return planes


def _halved(linear: Plane) -> Plane:
    """Means of 2 x 2 pixels; an odd edge counts twice."""
    _, height, width = linear.shape
    if height % 2 or width % 2:
        linear = np.pad(linear, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    rows = linear[:, 0::2] + linear[:, 1::2]
    halved: Plane = (rows[:, :, 0::2] + rows[:, :, 1::2]) * np.float32(0.25)
    return halved


@cache
def _band(count: int) -> Plane:
    """The matrix that blurs ``count`` rows, from those and five beyond each end."""
    bell = np.exp(-0.5 * (np.arange(-_RADIUS, _RADIUS + 1) / _SIGMA) ** 2)
    bell /= bell.sum()
    matrix = np.zeros((count, count + 2 * _RADIUS), np.float32)
    for row in range(count):
        matrix[row, row : row + bell.size] = bell
    return matrix


def _blur(plane: Plane) -> Plane:
    """Gaussian blur, standard deviation 1.5 pixels. Beyond top and bottom rows are mirrored, beyond
    the sides are zeros, as in PyPI's ``ssimulacra2``: a borders' weight is felt at small scales."""
    height, width = plane.shape
    rows = np.empty((height + 2 * _RADIUS, width), np.float32)  # half the time of np.pad
    rows[_RADIUS:-_RADIUS] = plane
    rows[:_RADIUS] = plane[_RADIUS - 1 :: -1]
    rows[-_RADIUS:] = plane[: -_RADIUS - 1 : -1]
    between = np.zeros((height, width + 2 * _RADIUS), np.float32)
    for top in range(0, height, _STRIP):
        count = min(_STRIP, height - top)
        band = _band(count)
        np.matmul(
            band,
            rows[top : top + count + 2 * _RADIUS],
            out=between[top : top + count, _RADIUS:-_RADIUS],
        )
    blurred = np.empty((height, width), np.float32)
    for left in range(0, width, _STRIP):
        count = min(_STRIP, width - left)
        np.matmul(
            between[:, left : left + count + 2 * _RADIUS],
            _band(count).T,
            out=blurred[:, left : left + count],
        )
    return blurred
