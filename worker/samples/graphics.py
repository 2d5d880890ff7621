"""Sample pictures that nobody photographed: a chart, a logo, a poster, pixel art.

What lives here: flat shapes and text that stand still. What may not: files and formats.
Text is set in the typeface that comes inside Pillow: no machine's fonts change a picture.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from worker.samples import landscapes
from worker.samples.canvas import axes, blend, colour, gradient, step, to_bytes

_OVERSAMPLED = 2
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_INK, _SOFT = "#1d2440", "#6b7596"

Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right, bottom."""


class _Board:
    """A drawing board of 1600 units across, whatever its size in pixels."""

    def __init__(self, width: int, height: int, ground: str) -> None:
        self._size = width, height
        self._unit = _OVERSAMPLED * width / 1600
        size = width * _OVERSAMPLED, height * _OVERSAMPLED
        self._image = Image.new("RGB", size, ground)
        self._draw = ImageDraw.Draw(self._image)

    def _scaled(self, box: Box) -> Box:
        left, top, right, bottom = (value * self._unit for value in box)
        return left, top, right, bottom

    def box(self, box: Box, fill: str, *, radius: float = 0) -> None:
        self._draw.rounded_rectangle(self._scaled(box), radius * self._unit, fill)

    def slice(self, box: Box, start: float, end: float, *, fill: str) -> None:
        self._draw.pieslice(self._scaled(box), start, end, fill)

    def text(
        self, place: tuple[float, float], words: str, size: float, *, fill: str, anchor: str = "la"
    ) -> None:
        font = ImageFont.load_default(size * self._unit)
        self._draw.text((place[0] * self._unit, place[1] * self._unit), words, fill, font, anchor)

    def finished(self) -> Image.Image:
        return self._image.resize(self._size, Image.Resampling.LANCZOS)


def chart(width: int, height: int) -> Image.Image:
    """A dashboard of visitors by month: the text-heavy screenshot that JPEG is bad at."""
    board = _Board(width, height, "#f3f5f9")
    board.box((0, 0, 220, 1000), "#1d2440")
    board.text((40, 44), "Harbourlight", 26, fill="#ffffff")
    board.box((20, 172, 200, 216), "#33408a", radius=14)
    for index, entry in enumerate(("Overview", "Visitors", "Pictures", "Sales", "Settings")):
        fill = "#ffffff" if index == 1 else "#9aa5cf"
        board.text((44, 128 + index * 54), entry, 21, fill=fill)
    board.text((260, 44), "Visitors", 40, fill=_INK)
    board.text((1550, 58), "January to December", 21, fill=_SOFT, anchor="ra")
    tiles = (
        ("Visitors", "1,284,930", "+12.4 %"),
        ("Pictures shown", "38.2 M", "+31.0 %"),
        ("Bytes saved", "61 %", "+4.2 %"),
        ("Median load", "0.84 s", "-0.21 s"),
    )
    for index, (label, number, change) in enumerate(tiles):
        left = 260 + index * 330
        board.box((left, 118, left + 300, 250), "#ffffff", radius=14)
        board.text((left + 24, 138), label, 20, fill=_SOFT)
        board.text((left + 24, 174), number, 38, fill=_INK)
        board.text((left + 276, 190), change, 20, fill="#1f9d6b", anchor="ra")
    _bars(board)
    _origins(board)
    _formats(board)
    return board.finished()


def _bars(board: _Board) -> None:
    rng = np.random.default_rng(127)
    board.box((260, 280, 1550, 720), "#ffffff", radius=14)
    board.text((290, 298), "Visitors by month, this year and the year before", 22, fill=_INK)
    for line in range(5):
        row = 350 + line * 77.5
        board.box((340, row - 1, 1520, row + 1), "#e4e8f1")
        board.text((325, row), f"{160 - line * 40}k", 18, fill="#8a93ad", anchor="rm")
    values = 45 + 95 * np.linspace(0, 1, 12) ** 1.4 + rng.normal(0, 9, 12)
    before = values * 0.72 + rng.normal(0, 6, 12)
    for index, month in enumerate(_MONTHS):
        centre = 390 + index * 98
        for offset, value, fill in (
            (-17, before[index], "#c9d2ee"),
            (17, values[index], "#4a63e0"),
        ):
            left, right = centre + offset - 15, centre + offset + 15
            board.box((left, 660 - float(value) * 1.94, right, 660), fill, radius=8)
            board.box((left, 645, right, 660), fill)
        board.text((centre, 688), month, 19, fill=_SOFT, anchor="mm")


def _origins(board: _Board) -> None:
    board.box((260, 750, 890, 960), "#ffffff", radius=14)
    board.text((290, 772), "Where they come from", 22, fill=_INK)
    for index, (name, share) in enumerate(
        (("Search", 46), ("Direct", 28), ("Links", 17), ("Mail", 9))
    ):
        row = 820 + index * 34
        board.text((290, row), name, 19, fill=_SOFT)
        board.box((400, row + 4, 400 + share * 8, row + 20), "#7c8df0")
        board.text((412 + share * 8, row), f"{share} %", 19, fill=_INK)


def _formats(board: _Board) -> None:
    board.box((920, 750, 1550, 960), "#ffffff", radius=14)
    board.text((950, 772), "Formats delivered", 22, fill=_INK)
    start = -90.0
    for index, (name, share, fill) in enumerate(
        (("WebP", 62, "#4a63e0"), ("AVIF", 21, "#27b08b"), ("JPEG", 17, "#f0b03f"))
    ):
        board.slice((960, 812, 1090, 942), start, start + share * 3.6, fill=fill)
        start += share * 3.6
        board.box((1140, 826 + index * 38, 1160, 846 + index * 38), fill, radius=10)
        board.text((1176, 824 + index * 38), f"{name}   {share} %", 20, fill=_INK)
    board.slice((995, 847, 1055, 907), 0, 360, fill="#ffffff")


def logo(side: int) -> Image.Image:
    """A lighthouse in a disc, with soft edges and a translucent shadow: RGBA."""
    big = side * _OVERSAMPLED
    x, y = axes(big, big)
    r = np.hypot(x - 0.5, y - 0.47)
    sky = gradient(
        y + 0 * x, [(0.1, "1b2a6b"), (0.45, "6a4fb3"), (0.62, "ff8f70"), (0.75, "ffd08a")]
    )
    lamp_x, lamp_y = 0.42, 0.325
    angle = np.arctan2(y - lamp_y, x - lamp_x)
    reach = np.hypot(x - lamp_x, y - lamp_y)
    beam = step(0.20, 0.05, np.abs(angle + 0.12)) * np.exp(-reach * 2.2)
    sky = blend(sky, colour("fff4c4"), beam * 0.85)
    for level, tone in ((0.66, "2e5aa8"), (0.72, "23468c"), (0.79, "182f66")):
        wave = level + 0.014 * np.sin(x * 26 + level * 60)
        sky = blend(sky, colour(tone), step(-0.001, 0.001, y - wave))
    tower = np.abs(x - lamp_x) - (0.036 + 0.055 * (y - 0.36))
    stripe = np.where((np.floor((y - 0.36) / 0.072) % 2) == 0, 1.0, 0.0).astype(np.float32)
    red = colour("e8404f")
    body = blend(red * np.ones_like(sky), colour("fff8f0"), stripe)
    body = body * (1.05 - 3.2 * (x - lamp_x + 0.02))[:, :, None]
    inside = step(0.001, -0.001, tower) * (y > 0.36) * (y < 0.70 + 0.01 * np.sin(x * 26))
    sky = blend(sky, body, inside)
    house = step(0.046, 0.044, np.abs(x - lamp_x)) * (y > 0.345) * (y < 0.362)
    house = np.maximum(
        house,
        step(0.031, 0.029, np.abs(x - lamp_x) + (y < 0.29) * (0.29 - y) * 1.2)
        * (y > 0.265)
        * (y < 0.30),
    )
    sky = blend(sky, colour("20264a"), house)
    glass = step(0.026, 0.024, np.abs(x - lamp_x)) * (y >= 0.30) * (y <= 0.345)
    sky = blend(sky, colour("fff1a8"), glass)
    ring = step(0.003, 0.001, np.abs(r - 0.385) - 0.008)
    sky = blend(sky, colour("fff8f0"), ring)
    disc = step(0.395, 0.393, r)
    drop = np.hypot(x - 0.5, y - 0.51)
    shadow = step(0.46, 0.34, drop) * 0.45
    alpha = disc + (1 - disc) * shadow
    pixels = blend(np.zeros_like(sky) + colour("10142c"), sky, disc)
    rgba = np.concatenate([pixels, alpha[:, :, None]], axis=2)
    return Image.fromarray(to_bytes(rgba), "RGBA").resize((side, side), Image.Resampling.LANCZOS)


def poster(width: int, height: int) -> Image.Image:
    """A travel poster in twenty-four flat colours: a palette picture."""
    scene = Image.fromarray(landscapes.mountains(width // 4, height // 4))
    scene = scene.filter(ImageFilter.ModeFilter(7)).filter(ImageFilter.GaussianBlur(1.2))
    scene = scene.resize((width, height), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(scene)
    edge = width // 28
    draw.rectangle((0, 0, width - 1, height - 1), outline="#f6ead2", width=edge)
    draw.rectangle((0, height - edge * 5, width, height), "#f6ead2")
    font = ImageFont.load_default(width / 9.5)
    draw.text((width / 2, height - edge * 2.6), "ALPE NEBBIA", "#1c3540", font, "mm")
    return scene.quantize(24, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)


def pixel_garden(scale: int) -> Image.Image:
    """A cottage in 96 x 72 big pixels, as on the screens of old."""
    image = Image.new("RGB", (96, 72), "#7ec8f2")
    draw = ImageDraw.Draw(image)
    rng = np.random.default_rng(131)
    draw.rectangle((0, 30, 96, 50), "#9adcf5")
    draw.ellipse((74, 6, 86, 18), "#ffe46b")
    for left, top in ((8, 8), (36, 4), (54, 14)):
        for step_x in range(3):
            draw.ellipse(
                (left + step_x * 5, top - step_x % 2 * 2, left + step_x * 5 + 8, top + 5), "#ffffff"
            )
    draw.ellipse((-20, 36, 50, 80), "#5fb356")
    draw.ellipse((30, 40, 120, 90), "#4c9f4b")
    draw.rectangle((0, 58, 96, 72), "#3f8a44")
    draw.rectangle((34, 38, 60, 58), "#f5e3c0")
    draw.polygon([(30, 38), (47, 24), (64, 38)], "#c2483d")
    draw.rectangle((55, 24, 58, 32), "#8d6e63")
    draw.rectangle((44, 47, 50, 58), "#7a4a2c")
    draw.point((49, 53), "#ffe46b")
    for left in (37, 53):
        draw.rectangle((left, 42, left + 5, 47), "#5d8fd6", "#ffffff")
    draw.polygon([(44, 59), (50, 59), (58, 72), (40, 72)], "#d9b98a")
    for left, top in ((14, 40), (76, 42)):
        draw.rectangle((left + 4, top + 8, left + 6, top + 20), "#6b4426")
        draw.ellipse((left - 2, top - 8, left + 12, top + 10), "#2f7d3b")
        for _ in range(9):
            draw.point((left + int(rng.integers(0, 10)), top + int(rng.integers(-5, 8))), "#e8534a")
    for _ in range(70):
        place = int(rng.integers(0, 96)), int(rng.integers(60, 72))
        tone = str(rng.choice(["#ffd3ec", "#fff2a8", "#f58fb0", "#ffffff", "#57ad55"]))
        if image.getpixel(place) == (63, 138, 68):
            draw.point(place, tone)
    return image.resize((96 * scale, 72 * scale), Image.Resampling.NEAREST)


COMPASS = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 400" width="400" height="400">
  <title>Compass rose</title>
  <defs>
    <radialGradient id="face"><stop offset="0" stop-color="#fffaf0"/>
      <stop offset="1" stop-color="#ecd9b8"/></radialGradient>
    <g id="point"><path d="M200 40 L222 200 L200 200 Z" fill="#b23a48"/>
      <path d="M200 40 L178 200 L200 200 Z" fill="#7c2530"/></g>
    <g id="minor"><path d="M200 90 L214 200 L200 200 Z" fill="#457b9d"/>
      <path d="M200 90 L186 200 L200 200 Z" fill="#1d3557"/></g>
  </defs>
  <circle cx="200" cy="200" r="190" fill="#1d3557"/>
  <circle cx="200" cy="200" r="178" fill="url(#face)"/>
  <circle cx="200" cy="200" r="150" fill="none" stroke="#1d3557" stroke-width="2"
    stroke-dasharray="2 11.09"/>
  <use href="#minor" transform="rotate(45 200 200)"/>
  <use href="#minor" transform="rotate(135 200 200)"/>
  <use href="#minor" transform="rotate(225 200 200)"/>
  <use href="#minor" transform="rotate(315 200 200)"/>
  <use href="#point"/>
  <use href="#point" transform="rotate(90 200 200)"/>
  <use href="#point" transform="rotate(180 200 200)"/>
  <use href="#point" transform="rotate(270 200 200)"/>
  <circle cx="200" cy="200" r="14" fill="#f1c453" stroke="#1d3557" stroke-width="4"/>
</svg>
"""
"""A harmless SVG: shapes, a gradient, references inside the file."""
