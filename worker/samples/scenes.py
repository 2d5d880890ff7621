"""The scenes of the sample pictures: landscapes, lights, graphics, animations.

A canvas is a float32 array ``(height, width, 3)`` of display values, 0 black to 1 white, without
linear light. Positions are shares of the height, ``y`` downward and ``x`` to the right, so a scene
looks the same at every size; ``develop`` makes a photo of twice its size of it. A scene depends
only on its size: seeds are fixed, and text uses the typeface that ships with Pillow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import pyvips
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

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


def gradient(position: Floats, colours: Sequence[str]) -> Floats:
    """``rrggbb`` colours at equal distances along ``position``, from 0 to 1."""
    stops = np.stack([colour(text) for text in colours])
    places = np.linspace(0, 1, len(stops))
    channels = [np.interp(position, places, stops[:, i]) for i in range(3)]
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
    cells: tuple[int, int],
    *,
    octaves: int = 5,
    roughness: float = 0.55,
) -> Floats:
    """Clouds: value noise over ``octaves`` doublings of ``cells`` (across, down), about 0 to 1.

    Each octave is added on a grid of its own size and enlarged with all before it, so the whole
    costs little more than its last octave.
    """
    across, down = cells
    values = np.zeros((down + 1, across + 1), np.float32)
    for octave in range(octaves):
        if octave:
            across, down = min(across * 2, width), min(down * 2, height)
            values = enlarge(values, across + 1, down + 1)
        values = values + roughness**octave * rng.random(values.shape, np.float32)
    total = (1 - roughness**octaves) / (1 - roughness)
    result: Floats = enlarge(values, width, height) / np.float32(total)
    return result


def develop(canvas: Floats, *, grain: float = 0.02) -> Bytes:
    """A photo of a canvas: darker corners, soft highlights, twice the size, grain, 8 bits.

    A lens is softer than its sensor: painting at half the size costs a quarter and looks alike.
    The grain is at full size, strongest in the middle tones, mostly grey and in part two pixels
    coarse; without it a painted picture compresses to a tenth of a photograph.
    """
    height, width = canvas.shape[:2]
    x, y = axes(width, height)
    distance = ((x * height / width - 0.5) ** 2 + (y - 0.5) ** 2) * 2
    canvas = canvas * (1 - np.float32(0.25) * distance[:, :, None] ** 1.5)
    canvas = np.where(canvas > 0.85, 0.85 + 0.15 * np.tanh((canvas - 0.85) / 0.15), canvas)
    light = np.clip(canvas.mean(axis=2, keepdims=True), 0, 1)
    weight = np.float32(255 * grain) * (0.35 + 2.6 * light * (1 - light))
    layers = enlarge(np.concatenate([canvas * 255, weight], axis=2), width * 2, height * 2)
    tile = _grain()
    repeats = -(-height * 2 // tile.shape[0]), -(-width * 2 // tile.shape[1]), 1
    layers[:, :, :3] += layers[:, :, 3:] * np.tile(tile, repeats)[: height * 2, : width * 2]
    result: Bytes = np.clip(layers[:, :, :3] + np.float32(0.5), 0, 255).astype(np.uint8)
    return result


@cache
def _grain() -> Floats:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Landscape:
    """The parameters of a landscape. Colours are ``rrggbb``."""

    seed: int
    sky: tuple[str, ...]
    """From the zenith to the horizon."""
    sun: tuple[float, float, float]
    """Of sun or moon: share of the width, share of the height, radius in heights."""
    glow: str
    """Of the light around it, the clouds and the haze."""
    ground: tuple[str, ...] = ()
    """From the farthest ridge to the nearest; none for the sky alone."""
    peaks: bool = True
    """Mountains; otherwise dunes with ripples."""
    shore: float = 1.0
    """Share of the height where water begins, which mirrors all above it."""
    lamps: int = 0
    """Lit windows along the shore."""


FOG = Landscape(
    seed=11,
    sky=("5f8fc4", "a9c4dd", "fbe3c0", "ffd9a6", "ffd9a6"),
    sun=(0.62, 0.33, 0),
    glow="ffe9cb",
    ground=("b9b6c4", "8f9bad", "5f7890", "47616f", "2f4a52", "14262c"),
)
DUNES = Landscape(
    seed=23,
    sky=("3d6ea8", "9dbfd6", "fbd9ae", "fbd9ae"),
    sun=(0.2, 0.25, 0),
    glow="fbd9ae",
    ground=("d9a878", "e3a25c", "c98a50", "b36b40"),
    peaks=False,
)
HARBOUR = Landscape(
    seed=37,
    sky=("182447", "40457e", "b0627f", "f49a62", "ffcf80"),
    sun=(0.7, 0.5, 0),
    glow="ff9d70",
    ground=("5d4468", "33294a", "191a30"),
    shore=0.58,
    lamps=260,
)
NIGHT = ("070b1e", "17274d", "4a4a72")
MOON = Landscape(seed=53, sky=NIGHT, sun=(0.52, 0.42, 0.15), glow="e8c9a0")
LAKE = Landscape(
    seed=41,
    sky=NIGHT,
    sun=(0.4, 0.2, 0.05),
    glow="8fb4d0",
    ground=("2b4a68", "07131f"),
    shore=0.7,
)


def landscape(width: int, height: int, land: Landscape) -> Floats:
    """A sky, ridges one before the other in their haze, and water that mirrors them."""
    rng = np.random.default_rng(land.seed)
    shore = round(height * land.shore)
    x, y = axes(width, height)
    y = y[:shore]
    glow = colour(land.glow)
    distance = np.hypot(x - land.sun[0] * width / height, y - land.sun[1])
    near_sun = np.exp(-distance * 4.5)
    canvas = gradient(y / land.shore + 0 * x, land.sky)
    canvas = canvas + near_sun[:, :, None] * glow * 0.4
    if land.sun[2]:
        seas = fractal(rng, width, shore, (20, 13))
        face = colour("fff6e0") * (1 - 0.3 * step(0.44, 0.64, seas))[:, :, None]
        canvas = blend(canvas, face, step(land.sun[2], land.sun[2] - 1.6 / height, distance))
    clouds = fractal(rng, width, shore, (3, 11), octaves=7)
    canvas = blend(canvas, glow, step(0.48, 0.75, clouds) * (0.25 + 0.5 * near_sun))
    canvas = _ridges(rng, canvas, height, land)
    if land.lamps:
        lit = np.zeros_like(canvas)
        side = max(height // 220, 1)
        for across, up in zip(
            rng.random(land.lamps), rng.exponential(0.022, land.lamps), strict=True
        ):
            left, top = int(across * width), max(shore - 2 * side - int(up * height), 0)
            tone = str(rng.choice(["ffd27a", "ffe9b8", "ffb45e", "cfe6ff"]))
            lit[top : top + side, left : left + side] = colour(tone)
        canvas = np.maximum(canvas, lit) + 5 * blur(lit, height / 150)
    if shore == height:
        return canvas
    rows = height - shore
    depth = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
    wave = fractal(rng, width, rows, (10, 90), octaves=6) - 0.5
    source = shore - 1 - np.arange(rows)[:, None] * 0.96 + wave * (0.02 + 0.2 * depth) * height
    column = np.arange(width)[None, :] + wave * 0.03 * height * depth
    mirrored = canvas[
        np.clip(source, 0, shore - 1).astype(int), np.clip(column, 0, width - 1).astype(int)
    ]
    return np.concatenate([canvas, mirrored * (0.8 - 0.3 * depth[:, :, None])])


def _ridges(rng: np.random.Generator, canvas: Floats, height: int, land: Landscape) -> Floats:
    rows, width = canvas.shape[:2]
    x, y = axes(width, height)
    y = y[:rows]
    texture = fractal(rng, width, rows, (24, 40) if land.peaks else (5, 60), roughness=0.65)
    haze = fractal(rng, width, rows, (3, 9))
    # Lit from the upper left: what rises to that side is brighter.
    reach = max(height // 300, 1)
    relief = texture - np.roll(texture, (-reach, -reach), (0, 1))
    for index, tone in enumerate(land.ground):
        near = (index + 1) / len(land.ground)
        line = fractal(rng, width, 2, (3 + index if land.peaks else 2, 1), octaves=9)[:1]
        if land.peaks:
            line = 1.2 - 2.2 * np.abs(line - 0.5)
        rise = 0.28 if land.peaks else 0.4
        depth = y - (land.shore * (0.5 + 0.48 * near**1.2) - rise * (line - 0.45))
        shade = 1 + 0.6 * (texture - 0.5) * near + 2.2 * relief * (0.4 + near)
        if not land.peaks:
            ripples = np.sin((depth / (0.3 + near) + 0.25 * texture + x * 0.02) * 700)
            shade = shade * step(-0.5, 0.25, 0.45 - line + 0.5 * haze) + 0.06 * near * ripples
        fog = step(0, 0.26, depth) * (1.05 - near) * (0.4 + haze)
        body = blend(colour(tone) * shade[:, :, None], colour(land.glow), np.clip(fog, 0, 0.9))
        canvas = blend(canvas, body, step(-0.6 / height, 0.6 / height, depth))
    return canvas


def lights(width: int, height: int) -> Floats:
    """Coloured lamps out of focus before a dark garden: wide colours, smooth rims."""
    rng = np.random.default_rng(71)
    x, y = axes(width, height)
    leaves = fractal(rng, width, height, (14, 10), octaves=7, roughness=0.7)
    canvas = gradient(y + 0 * x, ("17482f", "0f5a3c", "06130f"))
    canvas = canvas * (0.2 + 1.6 * leaves)[:, :, None]
    palette = ["ffd75e", "ff9d3c", "b8ff5a", "5affa8", "ff6f59", "8df7ff"]
    for size in np.geomspace(0.15, 0.025, 70):
        along = rng.uniform(-0.1, 1.1)
        centre_x, centre_y = along * width / height, 0.62 - 0.4 * along + rng.normal(0, 0.18)
        rows, columns = (
            slice(*(max(round((middle + side) * height), 0) for side in (-size, size)))
            for middle in (centre_y, centre_x)
        )
        r = np.hypot(x[:, columns] - centre_x, y[rows] - centre_y) / size
        disc = step(1.0, 0.94, r) * (0.62 + 0.38 * np.minimum(r, 1) ** 4) * rng.uniform(0.1, 0.4)
        tone = colour(str(rng.choice(palette)))
        canvas[rows, columns] += disc[:, :, None] * tone * (1.15 - canvas[rows, columns])
    return canvas


def dashboard(width: int, height: int) -> Image.Image:
    """Visitors by month: the screenshot full of text and flat colour that JPEG is bad at."""
    rng = np.random.default_rng(127)
    unit = width / 1600
    image = Image.new("RGB", (width, height), "#f3f5f9")
    draw = ImageDraw.Draw(image)

    def box(left: float, top: float, right: float, bottom: float, fill: str) -> None:
        area = [side * unit for side in (left, top, right, bottom)]
        draw.rounded_rectangle(area, 10 * unit, fill)

    def text(left: float, top: float, words: str, size: float) -> None:
        font = ImageFont.load_default(size * unit)
        draw.text((left * unit, top * unit), words, "#1d2440", font)

    text(60, 44, "Visitors, month by month", 40)
    for index, tile in enumerate(
        ("1,284,930 visits", "38.2 M pictures", "61 % of bytes", "0.84 s")
    ):
        box(60 + index * 380, 118, 400 + index * 380, 250, "#ffffff")
        text(84 + index * 380, 164, tile, 32)
    box(60, 280, 1540, 720, "#ffffff")
    for month in range(12):
        for left, fill in ((110 + month * 118, "#c9d2ee"), (150 + month * 118, "#4a63e0")):
            box(left, float(rng.uniform(320, 600)) - 8 * month, left + 36, 660, fill)
        text(110 + month * 118, 680, f"2025-{month + 1:02}", 19)
    for row in range(6):
        words = "   ".join(f"{number:,}" for number in rng.integers(10_000, 99_999, 16))
        text(60, 750 + row * 36, words, 20)
    return image


def logo(side: int) -> Image.Image:
    """A lighthouse in a disc, with soft edges and a translucent shadow: RGBA."""
    big = side * 2
    x, y = axes(big, big)
    sky = gradient(y + 0 * x, ("1b2a6b", "6a4fb3", "ff8f70", "182f66"))
    picture = Image.fromarray(to_bytes(sky))
    draw = ImageDraw.Draw(picture)
    for fill, points in (
        ("#fff4c4", ((0.45, 0.32), (1.0, 0.15), (1.0, 0.36))),
        ("#fff8f0", ((0.40, 0.36), (0.50, 0.36), (0.54, 0.80), (0.36, 0.80))),
        ("#e8404f", ((0.388, 0.46), (0.512, 0.46), (0.522, 0.58), (0.378, 0.58))),
        ("#20264a", ((0.40, 0.28), (0.50, 0.28), (0.45, 0.21))),
        ("#fff1a8", ((0.42, 0.28), (0.48, 0.28), (0.48, 0.36), (0.42, 0.36))),
    ):
        draw.polygon([(left * big, top * big) for left, top in points], fill)
    disc = step(0.395, 0.393, np.hypot(x - 0.5, y - 0.47))
    shadow = step(0.46, 0.34, np.hypot(x - 0.5, y - 0.51)) * 0.45
    picture.putalpha(Image.fromarray(to_bytes(np.maximum(disc, shadow))))
    return picture.resize((side, side), Image.Resampling.LANCZOS)


def bouncing_balls(width: int, height: int) -> list[Image.Image]:
    """Three balls that bounce in 24 frames."""
    pictures = []
    for index in range(24):
        image = Image.new("RGB", (width * 2, height * 2), "#fdf6ec")
        draw = ImageDraw.Draw(image)
        draw.rectangle((0, height * 1.66, width * 2, height * 2), "#ecdcc6")
        for column, size, tone, speed, offset in (
            (0.22, 0.105, "#ff5a5f", 1, 0.0),
            (0.52, 0.135, "#ffb400", 1, 0.33),
            (0.81, 0.09, "#00a699", 2, 0.15),
        ):
            rise = 1 - (2 * ((index / 24 * speed + offset) % 1) - 1) ** 2
            x, foot, radius = column * width * 2, height * (1.78 - 1.12 * rise), size * height * 2
            draw.ellipse((x - radius, height * 1.76, x + radius, height * 1.8), "#cbb596")
            draw.ellipse((x - radius, foot - radius * 2, x + radius, foot), tone)
        pictures.append(image.resize((width, height), Image.Resampling.LANCZOS))
    return pictures


def nightfall(width: int, height: int) -> list[Image.Image]:
    """Mountains that sink into the night in 20 frames."""
    day = landscape(width, height, FOG)
    tint = np.array([1, 0.9, 0.7], np.float32)
    return [Image.fromarray(to_bytes(day * (1 - 0.045 * index) ** tint)) for index in range(20)]
