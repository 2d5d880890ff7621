"""The colours a picture is remembered by.

What lives here: reducing pixels to a few colours. What may not: reading or resizing pictures.

Two steps. An octree sorts the pixels into up to 64 small cells and averages each (Gervautz and
Purgathofer, "A Simple Method for Color Quantization", 1988; Pillow's FASTOCTREE). Then cells that
look alike are joined: beginning with the fullest, each takes up the remaining ones within a fixed
distance in OKLab, where distances are what the eye sees. So a shaded sky is one colour, and a small
but different area keeps its own, where a plain median cut would spend its boxes on the sky.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

COLOURS_LIMIT = 6
"""Most colours of a palette."""

_CELLS = 64
# Distance up to which two colours count as one; black and white are 1 apart in OKLab, and about
# 0.02 is the least difference that is seen.
_ALIKE = 0.1
# What covers less is left out: edges and specks.
_LEAST_SHARE = 0.005

# Björn Ottosson, "A perceptual color space for image processing" (2020): linear sRGB to LMS, and
# the cube roots of LMS to OKLab.
_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def palette(rgb: npt.NDArray[np.uint8]) -> tuple[str, ...]:
    """Name up to six colours of sRGB pixels (n x 3), as ``#rrggbb``, most covered first.

    Pixels that are not seen must be left out by the caller; without any there is no colour.
    """
    if len(rgb) == 0:
        return ()
    strip = Image.frombytes("RGB", (len(rgb), 1), np.ascontiguousarray(rgb).tobytes())
    reduced = strip.quantize(_CELLS, method=Image.Quantize.FASTOCTREE)
    counts = np.array(reduced.histogram()[:_CELLS], dtype=np.float64)
    cells = np.zeros((_CELLS, 3))
    used = np.array(reduced.getpalette("RGB") or [], dtype=np.float64).reshape(-1, 3)[:_CELLS]
    cells[: len(used)] = used
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] > 0]
    joined = _joined(cells[order], counts[order])
    joined.sort(key=lambda found: -found[0])
    least = _LEAST_SHARE * len(rgb)
    return tuple(hex_name(colour) for count, colour in joined[:COLOURS_LIMIT] if count >= least)


def hex_name(colour: npt.NDArray[np.float64]) -> str:
    """Write three values of 0 to 255 as ``#rrggbb``."""
    red, green, blue = (int(value) for value in np.floor(colour + 0.5))
    return f"#{red:02x}{green:02x}{blue:02x}"


def _joined(
    cells: npt.NDArray[np.float64], counts: npt.NDArray[np.float64]
) -> list[tuple[float, npt.NDArray[np.float64]]]:
    """Join cells (fullest first) that look alike; gives counts and mean colours."""
    lab = _oklab(cells)
    distances = np.linalg.norm(lab[:, np.newaxis] - lab, axis=-1)
    free = np.ones(len(cells), dtype=bool)
    groups = []
    for leader in range(len(cells)):
        if not free[leader]:
            continue
        members = free & (distances[leader] <= _ALIKE)
        free &= ~members
        weights = counts[members]
        groups.append((float(weights.sum()), weights @ cells[members] / weights.sum()))
    return groups


def _oklab(srgb: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Convert sRGB colours (n x 3, 0 to 255) to OKLab; the curve is that of IEC 61966-2-1."""
    encoded = srgb / 255.0
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    lab: npt.NDArray[np.float64] = np.cbrt(linear @ _TO_LMS.T) @ _TO_LAB.T
    return lab
