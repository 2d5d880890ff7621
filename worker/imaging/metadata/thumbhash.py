"""ThumbHash: a picture's blurred self in about 25 bytes, drawn while the real one loads.

The format is Evan Wallace's (evanw.github.io/thumbhash, MIT licence). This implementation gives
the same bytes as the author's JavaScript, with two exceptions where the original's are arbitrary.
Rounding noise decides coefficients exactly between two levels there; here the upper level is
always taken. Pictures smaller than the highest frequency (7 x 5 pixels) alias there into colours
they do not have; here each of their pixels counts as an area.

The hash is a stream of little-endian bit fields: the mean and the scale of each channel, then the
low frequencies of their discrete cosine transforms, four bits each. The channels are L (lightness),
P (yellow against blue), Q (red against green) and, if there is transparency, A (alpha). Of a
transform nx wide and ny high only the coefficients with x/nx + y/ny < 1 are kept.
"""

from __future__ import annotations

import base64
import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

SIDE_LIMIT = 100
"""Longest side that is encoded, pixels: the author's own bound, more shows no difference."""

_Plane = npt.NDArray[np.float64]

# Frequencies along the longer side: fewer for lightness where alpha needs room.
_L_OPAQUE, _L_ALPHA, _A, _PQ = 7, 5, 5, 3
# Smaller scales are written as zero, and then what they scale is rounding noise.
_SILENT = 1e-6
# More than the noise of the transforms and less than any difference between two pictures.
_NOISE = 1e-9
_DRAWN_SIDE = 32
_SATURATION = 1.25
"""Factor of P and Q in the author's decoder, which compensates for their quantisation."""


def encode(rgba: npt.NDArray[np.uint8]) -> str:
    """Hash pixels (height x width x 4, alpha not premultiplied, sides at most 100) to base64.

    Raises:
        ValueError: a side is zero or longer than 100 pixels.
    """
    height, width = rgba.shape[:2]
    if not (0 < width <= SIDE_LIMIT and 0 < height <= SIDE_LIMIT):
        raise ValueError(f"{width}x{height} pixels do not fit 1 to {SIDE_LIMIT}")
    rgba = _resolved(rgba)
    height, width = rgba.shape[:2]
    alpha: _Plane = rgba[..., 3] / 255.0
    colour: _Plane = (alpha / 255.0)[..., np.newaxis] * rgba[..., :3]
    visible = float(alpha.sum())
    has_alpha = bool((rgba[..., 3] < 255).any())
    if has_alpha:
        # Over the mean colour, so that nothing is drawn where nothing is seen.
        mean = colour.sum(axis=(0, 1)) / (visible or 1.0)
        colour = mean * (1.0 - alpha)[..., np.newaxis] + colour
    red, green, blue = colour[..., 0], colour[..., 1], colour[..., 2]

    longest = _L_ALPHA if has_alpha else _L_OPAQUE
    across = max(1, _round(longest * width / max(width, height)))
    down = max(1, _round(longest * height / max(width, height)))
    lightness = _analyse((red + green + blue) / 3.0, max(3, across), max(3, down))
    yellow_blue = _analyse((red + green) / 2.0 - blue, _PQ, _PQ)
    red_green = _analyse(red - green, _PQ, _PQ)

    landscape = width > height
    stream = _BitStream()
    stream.put(_round(63.0 * lightness.mean), 6)
    stream.put(_round(31.5 + 31.5 * yellow_blue.mean), 6)
    stream.put(_round(31.5 + 31.5 * red_green.mean), 6)
    stream.put(_round(31.0 * lightness.scale), 5)
    stream.put(int(has_alpha), 1)
    stream.put(down if landscape else across, 3)
    stream.put(_round(63.0 * yellow_blue.scale), 6)
    stream.put(_round(63.0 * red_green.scale), 6)
    stream.put(int(landscape), 1)
    channels = [lightness, yellow_blue, red_green]
    if has_alpha:
        transparency = _analyse(alpha, _A, _A)
        stream.put(_round(15.0 * transparency.mean), 4)
        stream.put(_round(15.0 * transparency.scale), 4)
        channels.append(transparency)
    for channel in channels:
        for level in channel.levels:
            stream.put(level, 4)
    return base64.b64encode(stream.packed()).decode("ascii")


def to_rgba(placeholder: str) -> tuple[int, int, bytes]:
    """Draw a hash: width, height (the longer is 32 pixels) and RGBA bytes, not premultiplied.

    Raises:
        ValueError: it is not base64, or too short, or says that a side is nothing.
    """
    try:
        stream = _BitStream(base64.b64decode(placeholder, validate=True))
    except ValueError as error:
        raise ValueError(f"not base64: {placeholder!r}") from error
    l_mean = stream.take(6) / 63.0
    p_mean = stream.take(6) / 31.5 - 1.0
    q_mean = stream.take(6) / 31.5 - 1.0
    l_scale = stream.take(5) / 31.0
    has_alpha = bool(stream.take(1))
    shorter = stream.take(3)
    p_scale = stream.take(6) / 63.0 * _SATURATION
    q_scale = stream.take(6) / 63.0 * _SATURATION
    landscape = bool(stream.take(1))
    a_mean = stream.take(4) / 15.0 if has_alpha else 1.0
    a_scale = stream.take(4) / 15.0 if has_alpha else 0.0
    if shorter == 0:
        raise ValueError(f"no size in {placeholder!r}")
    longest = _L_ALPHA if has_alpha else _L_OPAQUE
    across, down = (longest, shorter) if landscape else (shorter, longest)
    ratio = across / down
    width = _round(_DRAWN_SIDE if ratio > 1 else _DRAWN_SIDE * ratio)
    height = _round(_DRAWN_SIDE / ratio if ratio > 1 else _DRAWN_SIDE)

    def plane(mean: float, scale: float, nx: int, ny: int) -> _Plane:
        return _synthesise(stream, mean, scale, (nx, ny), (width, height))

    lightness = plane(l_mean, l_scale, max(3, across), max(3, down))
    yellow_blue = plane(p_mean, p_scale, _PQ, _PQ)
    red_green = plane(q_mean, q_scale, _PQ, _PQ)
    alpha = plane(a_mean, a_scale, _A, _A) if has_alpha else np.ones((height, width))
    blue = lightness - 2.0 / 3.0 * yellow_blue
    red = (3.0 * lightness - blue + red_green) / 2.0
    pixels = np.stack([red, red - red_green, blue, alpha], axis=-1)
    return width, height, (pixels.clip(0.0, 1.0) * 255.0).astype(np.uint8).tobytes()


def _resolved(rgba: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Repeat the pixels of tiny pictures until no cosine is sampled below its frequency."""
    height, width = rgba.shape[:2]
    longer, shorter = max(width, height), min(width, height)
    times = max(-(-_L_OPAQUE // longer), -(-_A // shorter))
    if longer * times <= SIDE_LIMIT:
        return rgba.repeat(times, axis=0).repeat(times, axis=1)
    # A strip so long and thin that its hash has the least aspect ratio either way.
    return rgba.repeat(times, axis=0 if height < width else 1)


class _Channel(NamedTuple):
    mean: float
    scale: float
    """The largest coefficient but the mean, absolute."""
    levels: list[int]
    """The other coefficients by rows, 0 (minus scale) to 15 (plus scale)."""


def _analyse(plane: _Plane, nx: int, ny: int) -> _Channel:
    height, width = plane.shape
    spectrum = _cosines(ny, height) @ plane @ _cosines(nx, width).T / plane.size
    kept = spectrum[_corner(nx, ny)]
    mean, varying = float(kept[0]), kept[1:]
    scale = float(np.abs(varying).max())
    if scale < _SILENT:
        return _Channel(mean, 0.0, [0] * len(varying))
    levels = np.floor(15.0 * (0.5 + 0.5 / scale * varying) + 0.5 + _NOISE)
    return _Channel(mean, scale, [int(level) for level in levels])


def _synthesise(
    stream: _BitStream, mean: float, scale: float, order: tuple[int, int], size: tuple[int, int]
) -> _Plane:
    (nx, ny), (width, height) = order, size
    rows, columns = _corner(nx, ny)
    spectrum = np.zeros((ny, nx))
    spectrum[rows[1:], columns[1:]] = [2.0 * scale * (stream.take(4) / 7.5 - 1.0) for _ in rows[1:]]
    spectrum[0, 0] = mean
    drawn: _Plane = _cosines(ny, height).T @ spectrum @ _cosines(nx, width)
    return drawn


@lru_cache(maxsize=256)
def _cosines(count: int, length: int) -> _Plane:
    """The first ``count`` cosines of the DCT over ``length`` samples, one a row."""
    places = np.arange(length) + 0.5
    return np.cos(np.pi / length * np.arange(count)[:, np.newaxis] * places)


@lru_cache(maxsize=64)
def _corner(nx: int, ny: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows and columns of the kept coefficients, by rows; the mean is the first."""
    rows, columns = np.indices((ny, nx))
    kept = columns * ny < nx * (ny - rows)
    return rows[kept], columns[kept]


class _BitStream:
    """Bit fields, least significant bit first."""

    def __init__(self, data: bytes = b"") -> None:
        self._bits = int.from_bytes(data, "little")
        self._length = len(data) * 8
        self._place = 0

    def put(self, value: int, width: int) -> None:
        self._bits |= value << self._length
        self._length += width

    def take(self, width: int) -> int:
        if self._place + width > self._length:
            raise ValueError(f"a hash of {self._length // 8} bytes ends too early")
        value = self._bits >> self._place & (1 << width) - 1
        self._place += width
        return value

    def packed(self) -> bytes:
        return self._bits.to_bytes((self._length + 7) // 8, "little")


def _round(value: float) -> int:
    """Halves go up, as in the author's implementations; Python's own ``round`` differs."""
    return math.floor(value + 0.5)
