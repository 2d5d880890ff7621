"""A perceptual hash: 64 bits that stay the same while a picture is resized or recompressed.

What lives here: the hash and the distance of two. What may not: searching for neighbours.

The method is the DCT hash of Zauner, "Implementation and Benchmarking of Perceptual Image Hash
Functions" (2010), section 3.2.1, in the widespread variant that keeps the first row and column of
the transform (pictures made of bars or gradients have nothing else):

1. luma (ITU-R BT.601), resized to 32 x 32 with a Lanczos filter, aspect ratio given up;
2. the orthonormal two-dimensional DCT-II, of which the 8 x 8 lowest frequencies are kept,
   each rounded to a whole number, so that flat areas give zeros and not arithmetic noise;
3. one bit a coefficient, by rows, the first the most significant: set if it is above the median
   of the 64.

As a rule of thumb, pictures that look alike differ in up to 10 bits, others in 20 and more.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

_SIDE, _KEPT = 32, 8


def _dct_rows() -> npt.NDArray[np.float64]:
    """The first eight rows of the orthonormal DCT-II matrix for 32 samples."""
    places = np.arange(_SIDE) + 0.5
    rows = np.cos(np.pi / _SIDE * np.arange(_KEPT)[:, np.newaxis] * places)
    rows *= np.sqrt(2.0 / _SIDE)
    rows[0] /= np.sqrt(2.0)
    return rows


_DCT = _dct_rows()


def encode(luma: Image.Image) -> str:
    """Hash a picture in mode ``L`` of any size to 16 hex digits."""
    # The gap lets Pillow average whole blocks first: a third of the time, the same hash.
    small = luma.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    spectrum = np.rint(_DCT @ np.asarray(small, dtype=np.float64) @ _DCT.T)
    # The median; np.median would import all of numpy.ma at the first picture of a process.
    middle = spectrum.size // 2
    median = np.sort(spectrum, axis=None)[middle - 1 : middle + 1].mean()
    bits = spectrum > median
    return np.packbits(bits).tobytes().hex()


def hamming(a: str, b: str) -> int:
    """Count the bits in which two hashes differ: 0 (alike) to 64.

    Raises:
        ValueError: one of them is not hexadecimal.
    """
    return (int(a, 16) ^ int(b, 16)).bit_count()
