"""The brushes of the sample pictures: noise, gradients, blends and film grain, on numpy arrays.

What lives here: operations that know no scene. What may not: files and formats.

A canvas is a float32 array ``(height, width, 3)`` of display values, 0 black to 1 white, painted
as one paints: no linear light. Positions are shares of the height, ``y`` downward and ``x`` to
the right, so a scene looks the same at every size. The same seed gives the same canvas.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import pyvips
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.floating[Any]]
Bytes: TypeAlias = NDArray[np.uint8]


def colour(text: str) -> Floats:
    """``rrggbb`` as three shares."""
    return np.frombuffer(bytes.fromhex(text), np.uint8).astype(np.float32) / np.float32(255)


def axes(width: int, height: int) -> tuple[Floats, Floats]:
    """Positions of the pixels: ``x`` as a row, ``y`` as a column; they broadcast."""
    x = (np.arange(width, dtype=np.float32) + 0.5) / height
    y = (np.arange(height, dtype=np.float32) + 0.5) / height
    return x[None, :], y[:, None]


def blend(canvas: Floats, over: Floats, cover: Floats | float) -> Floats:
    """``over`` laid on ``canvas`` where ``cover`` is 1, shares in between."""
    cover = np.asarray(cover, np.float32)
    if cover.ndim == 2:
        cover = cover[:, :, None]
    result: Floats = canvas + (over - canvas) * cover
    return result


def step(low: float, high: float, value: Floats) -> Floats:
    """Smoothly from 0 at ``low`` to 1 at ``high`` (which may be the smaller one)."""
    t = np.clip((value - np.float32(low)) / np.float32(high - low), 0, 1)
    result: Floats = t * t * (3 - 2 * t)
    return result


def gradient(position: Floats | float, stops: Sequence[tuple[float, str]]) -> Floats:
    """Colours along ``position``: ``(share, rrggbb)`` in rising order."""
    places = [place for place, _ in stops]
    colours = np.stack([colour(text) for _, text in stops])
    channels = [np.interp(position, places, colours[:, i]) for i in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def enlarge(values: Floats, width: int, height: int) -> Floats:
    """Smoothly up to ``width`` x ``height``."""
    rows, columns = values.shape[:2]
    image = pyvips.Image.new_from_array(np.ascontiguousarray(values))
    image = image.resize(width / columns, vscale=height / rows, kernel="cubic")
    result: Floats = image.cast("float").numpy()
    return result


def blur(values: Floats, sigma: float) -> Floats:
    """Gaussian, ``sigma`` in pixels."""
    image = pyvips.Image.new_from_array(np.ascontiguousarray(values))
    result: Floats = image.gaussblur(sigma, precision="approximate").cast("float").numpy()
    return result


def fractal(
    rng: np.random.Generator,
    width: int,
    height: int,
    *,
    cells: tuple[int, int] = (4, 4),
    octaves: int = 6,
    roughness: float = 0.5,
) -> Floats:
    """Clouds: value noise over ``octaves`` doublings of ``cells`` (across, down), about 0 to 1.

    Each octave is added on a grid of its own size and enlarged with all before it, so the whole
    costs little more than its last octave.
    """
    across, down = cells
    values = np.zeros((down + 1, across + 1), np.float32)
    weight = 1.0
    for octave in range(octaves):
        if octave:
            across, down = min(across * 2, width), min(down * 2, height)
            values = enlarge(values, across + 1, down + 1)
        values = values + weight * rng.random(values.shape, np.float32)
        weight *= roughness
    total = (1 - roughness**octaves) / (1 - roughness)
    result: Floats = enlarge(values, width, height) / np.float32(total)
    return result


def ridge(
    rng: np.random.Generator,
    width: int,
    *,
    cells: int,
    octaves: int = 8,
    roughness: float = 0.5,
    sharp: bool = False,
) -> Floats:
    """A skyline of ``width`` points, about 0 to 1; ``sharp`` ones have peaks, others hills."""
    x = np.linspace(0, 1, width)
    line = np.zeros(width)
    weight = total = 1.0
    for octave in range(octaves):
        points = cells * 2**octave + 4
        t = x * (points - 3) + 1
        left = t.astype(int)
        share = t - left
        if not sharp or octave > 3:
            share = share * share * (3 - 2 * share)
        heights = rng.random(points)
        line += weight * (heights[left] * (1 - share) + heights[left + 1] * share)
        total += weight
        weight *= roughness
    result: Floats = (line / (total - 1)).astype(np.float32)
    return result


def vignette(canvas: Floats, strength: float = 0.25) -> Floats:
    """Darker corners, as every lens has."""
    height, width = canvas.shape[:2]
    x, y = axes(width, height)
    aspect = width / height
    distance = ((x / aspect - 0.5) ** 2 + (y - 0.5) ** 2) * 2
    result: Floats = canvas * (1 - np.float32(strength) * distance[:, :, None] ** 1.5)
    return result


def finish(canvas: Floats, *, film: float = 0.02, corners: float = 0.25) -> Bytes:
    """Develop a canvas: vignette, soft highlights, twice the size, film grain, 8 bits.

    A lens is softer than its sensor: painting at half the size costs a quarter and looks alike.
    The grain is at full size, strongest in the middle tones, mostly grey and in part two pixels
    coarse; without it a painted picture compresses to a tenth of a photograph.
    """
    height, width = canvas.shape[:2]
    canvas = vignette(canvas, corners)
    canvas = np.where(canvas > 0.85, 0.85 + 0.15 * np.tanh((canvas - 0.85) / 0.15), canvas)
    light = np.clip(canvas.mean(axis=2, keepdims=True), 0, 1)
    weight = np.float32(255 * film) * (0.35 + 2.6 * light * (1 - light))
    layers = enlarge(np.concatenate([canvas * 255, weight], axis=2), width * 2, height * 2)
    layers[:, :, :3] += layers[:, :, 3:] * _grain(width * 2, height * 2)
    result: Bytes = np.clip(layers[:, :, :3] + np.float32(0.5), 0, 255).astype(np.uint8)
    return result


def _grain(width: int, height: int) -> Floats:
    tile = _grain_tile()
    side = tile.shape[0]
    return np.tile(tile, (-(-height // side), -(-width // side), 1))[:height, :width]


@cache
def _grain_tile() -> Floats:
    rng = np.random.default_rng(1)
    side = 1024
    fine = rng.standard_normal((side, side), np.float32)
    coarse = rng.standard_normal((side // 2, side // 2), np.float32).repeat(2, 0).repeat(2, 1)
    tint = rng.standard_normal((side, side, 3), np.float32)
    result: Floats = (0.75 * fine + 0.55 * coarse)[:, :, None] + np.float32(0.25) * tint
    return result


def to_bytes(canvas: Floats) -> Bytes:
    """Display values as 8 bits a channel."""
    result: Bytes = (np.clip(canvas, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)
    return result
