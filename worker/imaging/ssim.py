"""Structural similarity of two pictures: one number, 1.0 for equal."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyvips

# Wang, Bovik, Sheikh, Simoncelli: "Image quality assessment: from error visibility to structural
# similarity", IEEE TIP 13 (2004), eq. 13, with K1 = 0.01, K2 = 0.03 and L = 255.
_C1 = (0.01 * 255) ** 2
_C2 = (0.03 * 255) ** 2

_STEP = 4
"""Windows are 8x8 and 4 apart, built from sums over 4x4 blocks: the variant that video encoders
(x264, ffmpeg's ``ssim`` filter) use. It is ten times cheaper than an 11x11 Gaussian window and
orders pictures the same; its values lie a little lower on sharp pictures."""


def ssim(first: pyvips.Image, second: pyvips.Image) -> float:
    """Mean luma SSIM of two pictures of the same size, 8x8 windows 4 pixels apart.

    Args:
        first: any 8-bit sRGB or grey picture; transparency is laid on white.
        second: the same size as ``first``.

    Returns:
        -1.0 to 1.0; 1.0 for equal pictures.

    Raises:
        ValueError: the sizes differ.
    """
    if (first.width, first.height) != (second.width, second.height):
        message = f"sizes differ: {first.width}x{first.height} and {second.width}x{second.height}"
        raise ValueError(message)
    return reference(first).compare(second)


class Reference:
    """One side of many comparisons: its window sums are made once.

    A quality search compares several encodings with the same original.
    """

    def __init__(self, luma: npt.NDArray[np.float32]) -> None:
        self._luma = luma
        self._sum = _windows(luma)
        self._squares = _windows(luma * luma)

    def compare(self, other: pyvips.Image) -> float:
        """Mean SSIM of ``other`` against this picture; see :func:`ssim`."""
        luma = _luma(other)
        count = float((2 * _STEP) ** 2) if min(luma.shape) >= 2 * _STEP else float(luma.size)
        sum_b, squares_b = _windows(luma), _windows(luma * luma)
        products = _windows(self._luma * luma)
        mean_a, mean_b = self._sum / count, sum_b / count
        variance_a = self._squares / count - mean_a * mean_a
        variance_b = squares_b / count - mean_b * mean_b
        covariance = products / count - mean_a * mean_b
        values = ((2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)) / (
            (mean_a * mean_a + mean_b * mean_b + _C1) * (variance_a + variance_b + _C2)
        )
        return float(values.mean())


def reference(image: pyvips.Image) -> Reference:
    """Prepare one side of many comparisons."""
    return Reference(_luma(image))


def _luma(image: pyvips.Image) -> npt.NDArray[np.float32]:
    if image.hasalpha():
        image = image.flatten(background=[255])
    if image.bands == 1:
        return np.asarray(image.numpy(), dtype=np.float32)
    # ITU-R BT.601 luma, what JPEG and WebP store.
    weighted = image.recomb(pyvips.Image.new_from_array([[0.299, 0.587, 0.114]]))
    return np.asarray(weighted.cast("float").numpy(), dtype=np.float32)


def _windows(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Sums over 8x8 windows, 4 apart. Pictures under 8 pixels on a side are one window."""
    height, width = values.shape
    if min(height, width) < 2 * _STEP:
        return np.array([[values.sum(dtype=np.float64)]])
    rows, columns = height // _STEP, width // _STEP
    blocks = (
        values[: rows * _STEP, : columns * _STEP]
        .reshape(rows, _STEP, columns, _STEP)
        .sum(axis=(1, 3), dtype=np.float64)
    )
    pairs = blocks[:-1] + blocks[1:]
    windows: npt.NDArray[np.float64] = pairs[:, :-1] + pairs[:, 1:]
    return windows
