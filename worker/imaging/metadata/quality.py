"""How a picture was taken: sharp or blurred, bright or dark, with or without detail at the ends.

What lives here: measures of luma (ITU-R BT.601, 0 to 255). What may not: a judgement on them;
where blurred begins is for whoever asks to say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_DARK, _LIGHT = 4, 251
_LEVELS = np.arange(256) / 255.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tones:
    """How luma is spread; the fields are those of :class:`~worker.domain.image.Measures`."""

    brightness: float = 0.0
    contrast: float = 0.0
    clipped_dark: float = 0.0
    clipped_light: float = 0.0


def tones(histogram: list[int]) -> Tones:
    """Measure a histogram of luma with 256 bins; all zeros for one without a pixel."""
    counts = np.array(histogram, dtype=np.float64)
    total = float(counts.sum())
    if total == 0.0:
        return Tones()
    shares = counts / total
    mean = float(shares @ _LEVELS)
    variance = float(shares @ (_LEVELS - mean) ** 2)
    return Tones(
        brightness=round(mean, 4),
        contrast=round(variance**0.5, 4),
        clipped_dark=round(float(shares[: _DARK + 1].sum()), 4),
        clipped_light=round(float(shares[_LIGHT:].sum()), 4),
    )


def sharpness(luma: npt.NDArray[np.uint8]) -> float:
    """Variance of the four-neighbour Laplacian over the inner pixels; 0 below 3 x 3 pixels.

    Pech-Pacheco and others, "Diatom autofocusing in brightfield microscopy: a comparative study"
    (2000): the second derivative is strong where there are edges, and blur removes it first. It
    depends on the size, so compare pictures at one size only.
    """
    if min(luma.shape) < 3:
        return 0.0
    plane = luma.astype(np.int16)
    inner = plane[1:-1, 1:-1]
    laplacian = plane[:-2, 1:-1] + plane[2:, 1:-1] + plane[1:-1, :-2] + plane[1:-1, 2:] - 4 * inner
    # Whole numbers throughout: the sum is exact, so its order cannot change the result.
    squares = int(np.square(laplacian, dtype=np.int32).sum(dtype=np.int64))
    mean = int(laplacian.sum(dtype=np.int64)) / laplacian.size
    return round(squares / laplacian.size - mean * mean, 2)
