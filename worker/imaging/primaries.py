"""Red, green and blue of one set of primaries as those of another, in linear light."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from worker.domain.colour import CHROMATICITIES, Primaries

Matrix = npt.NDArray[np.float64]

D50 = (0.96422, 1.0, 0.82521)
"""White of ICC profiles as XYZ. ICC.1:2022, 7.2.16."""

_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
"""XYZ to cone responses. ICC.1:2022, annex E."""

_WIDE = -0.05
"""An entry below this, of a matrix to sRGB: pure colours lie well outside of sRGB. The old
television primaries, which are as wide as sRGB with another tint, come to -0.044."""


@lru_cache(maxsize=64)
def to_d50(xy: tuple[float, ...]) -> Matrix:
    """RGB to XYZ, white adapted to D50 (Bradford): columns as the colorants of a profile.

    Source: SMPTE RP 177, 3.3; ICC.1:2022, annex E.

    Args:
        xy: CIE x and y of white, red, green, blue.
    """
    points = [np.array([x, y, 1 - x - y]) for x, y in zip(xy[::2], xy[1::2], strict=True)]
    white = points[0] / xy[1]
    columns = np.array(points[1:]).T
    columns *= np.linalg.solve(columns, white)
    cones = _BRADFORD @ np.array([white, D50]).T
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(cones[:, 1] / cones[:, 0]) @ _BRADFORD
    return np.asarray(adapted @ columns, dtype=np.float64)


@lru_cache(maxsize=64)
def conversion(source: tuple[float, ...], target: tuple[float, ...]) -> Matrix:
    """Linear RGB of one set of primaries to linear RGB of another; white stays white."""
    return np.asarray(np.linalg.solve(to_d50(target), to_d50(source)), dtype=np.float64)


def is_wide(xy: tuple[float, ...]) -> bool:
    """Whether colours of these primaries need more than sRGB."""
    matrix = conversion(xy, CHROMATICITIES[Primaries.BT709])
    return bool(matrix.min() < _WIDE)
