"""Sample pictures of things near by: dew, a wall, a figure, a vase, linen.

What lives here: scenes shaded from simple shapes. What may not: files and formats.
Every function takes the size of its canvas in pixels and returns an upright picture of twice
that size, grain and all.
"""

from __future__ import annotations

import numpy as np

from worker.samples.canvas import (
    Bytes,
    Floats,
    axes,
    blend,
    blur,
    colour,
    enlarge,
    finish,
    fractal,
    gradient,
    step,
)


def dew(width: int, height: int) -> Bytes:
    """Blades of grass with dew against lights out of focus."""
    rng = np.random.default_rng(71)
    x, y = axes(width, height)
    aspect = width / height
    canvas = gradient(
        y + 0.25 * (x / aspect), [(0, "17482f"), (0.5, "0f5a3c"), (0.9, "0b2a22"), (1.2, "06130f")]
    )
    canvas = canvas * (0.7 + 0.6 * fractal(rng, width, height, cells=(3, 2), octaves=3))[:, :, None]
    palette = ["ffd75e", "ff9d3c", "b8ff5a", "5affa8", "ffe9a8", "ff6f59", "8df7ff", "e4ff7a"]
    for radius, count in ((0.14, 12), (0.095, 26), (0.06, 34), (0.03, 30)):
        for _ in range(count):
            # Lights crowd along a diagonal, as a row of trees with the sun behind does.
            along = rng.uniform(-0.1, 1.1)
            centre = along * aspect, 0.62 - 0.45 * along + rng.normal(0, 0.17)
            size = radius * rng.uniform(0.8, 1.15)
            _light(canvas, rng, centre, size, colour(str(rng.choice(palette))))
    for root, lean, bow, thick in (
        (0.16, 0.30, -0.20, 0.020),
        (0.47, -0.16, 0.16, 0.024),
        (0.66, 0.34, -0.05, 0.017),
        (1.10, -0.30, 0.24, 0.022),
        (1.32, 0.06, 0.12, 0.019),
    ):
        canvas = _blade(canvas, rng, (root, lean, bow, thick))
    return finish(canvas, film=0.02)


def _light(
    canvas: Floats,
    rng: np.random.Generator,
    centre: tuple[float, float],
    size: float,
    tone: Floats,
) -> None:
    """A light out of focus: a disc a little brighter at its rim, added in place."""
    height, width = canvas.shape[:2]
    left, right = (int(np.clip((centre[0] + d * size * 1.1) * height, 0, width)) for d in (-1, 1))
    top, bottom = (int(np.clip((centre[1] + d * size * 1.1) * height, 0, height)) for d in (-1, 1))
    x, y = axes(width, height)
    r = np.hypot(x[:, left:right] - centre[0], y[top:bottom] - centre[1]) / size
    disc = step(1.0, 0.94, r) * (0.62 + 0.38 * r**4)
    power = float(rng.uniform(0.10, 0.42))
    area = canvas[top:bottom, left:right]
    area += disc[:, :, None] * tone * power * (1.15 - area)


def _blade(
    canvas: Floats, rng: np.random.Generator, form: tuple[float, float, float, float]
) -> Floats:
    """One blade of grass from below the picture, and its drops."""
    root, lean, bow, thick = form
    height, width = canvas.shape[:2]
    x, y = axes(width, height)
    tip = rng.uniform(0.10, 0.32)
    t = np.clip((1.02 - y) / (1.02 - tip), 0, 1)
    middle = root + lean * t + bow * t * t
    wide = thick * (1 - t**2.5) + 0.0008
    across = (x - middle) / wide
    cover = step(1.0, 1 - 1.2 / (thick * height), np.abs(across)) * (y > tip)
    shade = gradient(
        across * 0.5 + 0.5, [(0, "8fdc4e"), (0.45, "3f9a34"), (0.55, "2c7a2b"), (1, "123f1c")]
    )
    shade = shade * (0.75 + 0.5 * t + 0.10 * np.sin(across * 16))[:, :, None]
    canvas = blend(canvas, shade, cover)
    for share in rng.uniform(0.12, 0.93, 6):
        side = float(rng.choice([-1, 1]))
        size = float(rng.uniform(0.006, 0.019))
        row = 1.02 - share * (1.02 - tip)
        column = root + lean * share + bow * share**2 + side * thick * (1 - share**2.5) * 0.6
        canvas = _drop(canvas, (column, row), size)
    return canvas


def _drop(canvas: Floats, centre: tuple[float, float], size: float) -> Floats:
    """A drop: the world behind upside down, a dark rim, a highlight."""
    height, width = canvas.shape[:2]
    left, right = (int(np.clip((centre[0] + d * size * 1.2) * height, 0, width)) for d in (-1, 1))
    top, bottom = (int(np.clip((centre[1] + d * size * 1.2) * height, 0, height)) for d in (-1, 1))
    if left >= right or top >= bottom:
        return canvas
    x, y = axes(width, height)
    dx, dy = (x[:, left:right] - centre[0]) / size, (y[top:bottom] - centre[1]) / size
    r = np.hypot(dx, dy)
    inside = gradient(0.5 - dy * 0.5 - dx * 0.1, [(0, "e8ffd0"), (0.4, "8fd060"), (1, "0d3a20")])
    inside = inside * (1.05 - 0.55 * step(0.6, 1.0, r))[:, :, None]
    spark = np.exp(-(((dx + 0.35) ** 2 + (dy + 0.42) ** 2) / 0.035))
    inside = inside + spark[:, :, None] * 1.2
    area = canvas[top:bottom, left:right]
    canvas[top:bottom, left:right] = blend(area, inside, step(1.0, 0.9, r) * 0.93)
    return canvas


def bricks(width: int, height: int) -> Bytes:
    """A brick wall in slanting light, the shadow of leaves across it."""
    rng = np.random.default_rng(83)
    x, y = axes(width, height)
    wobble = fractal(rng, width, height, cells=(40, 40), octaves=3) - 0.5
    long, tall = 0.118, 0.043
    row = np.floor((y + 0.003 * wobble) / tall)
    shift = np.where(row % 2 == 0, 0, long / 2)
    u = (x + 0.003 * wobble + shift) / long
    column = np.floor(u)
    inside_x, inside_y = (u - column) * long, (y + 0.003 * wobble) - row * tall
    edge = np.minimum(np.minimum(inside_x, long - inside_x), np.minimum(inside_y, tall - inside_y))
    table = rng.random((64, 64), np.float32)
    lot = table[row.astype(int) % 64, column.astype(int) % 64]
    clay = gradient(
        lot, [(0, "6e3427"), (0.3, "8e4630"), (0.6, "a85a3c"), (0.85, "b9714d"), (1, "7a4a44")]
    )
    rough = fractal(rng, width, height, cells=(90, 90), octaves=5, roughness=0.7)
    stains = fractal(rng, width, height, cells=(5, 3), octaves=6, roughness=0.6)
    clay = clay * (0.62 + 0.72 * rough)[:, :, None] * (0.72 + 0.5 * stains)[:, :, None]
    mortar = colour("b5a797") * (0.6 + 0.6 * rough)[:, :, None]
    canvas = blend(mortar, clay, step(0.0030, 0.0052, edge))
    # Light from the upper left: bright upper edges, dark joints below and to the right.
    relief = step(0.003, 0.007, edge)
    bump = relief + 0.25 * rough
    slope = (np.roll(bump, 2, 1) - np.roll(bump, -2, 1)) * -0.5
    slope += (np.roll(bump, 2, 0) - np.roll(bump, -2, 0)) * -0.8
    canvas = canvas * (1 + 0.55 * np.clip(slope, -1, 1))[:, :, None]
    leaves = fractal(rng, width, height, cells=(9, 9), octaves=4, roughness=0.55)
    canopy = step(0.44, 0.54, leaves + 0.35 * (0.55 - x * height / width * 0.6 - 0.4 * y))
    sun = 0.55 + 0.65 * (1 - enlarge(blur(canopy[::4, ::4], 2.5), width, height))
    light = gradient((sun - 0.55) / 0.65, [(0, "96a4c8"), (1, "fff0d2")])
    return finish(canvas * light * (sun * 1.02)[:, :, None], film=0.018)


def figure(width: int, height: int) -> Bytes:
    """A wooden mannequin, head and shoulders, by a window."""
    rng = np.random.default_rng(97)
    x, y = axes(width, height)
    middle = 0.5 * width / height
    backdrop = gradient(x * 0.75 + y * 0.25, [(0, "e9dccb"), (0.45, "b9a48f"), (0.9, "54463f")])
    clouds = fractal(rng, width, height, cells=(3, 4), octaves=4)
    canvas = backdrop * (0.86 + 0.28 * clouds)[:, :, None]
    grain = fractal(rng, width, height, cells=(60, 5), octaves=4, roughness=0.6)
    parts = (
        # centre x, centre y, half width, half height, roundness
        (0.0, 0.665, 0.075, 0.13, 2.2),  # neck
        (0.0, 1.03, 0.325, 0.30, 2.6),  # shoulders
        (0.0, 0.738, 0.094, 0.030, 2.0),  # collar
        (0.0, 0.39, 0.158, 0.215, 2.15),  # head
    )
    for centre_x, centre_y, half_width, half_height, roundness in parts:
        dx = (x - middle - centre_x) / half_width
        dy = (y - centre_y) / half_height
        if centre_y < 0.5:  # a chin
            dx = dx * (1 + 0.20 * np.clip(dy, -1, 1) + 0.08 * np.clip(dy, 0, 1) ** 2)
        field = np.abs(dx) ** roundness + np.abs(dy) ** roundness
        dome = np.sqrt(np.clip(1 - field, 0, 1))
        normal_x, normal_y = dx * np.abs(dx) ** (roundness - 2), dy * np.abs(dy) ** (roundness - 2)
        size = np.sqrt(normal_x**2 + normal_y**2 + dome**2) + 1e-6
        light = (-0.62 * normal_x - 0.42 * normal_y + 0.66 * dome) / size
        back = np.clip((0.9 * normal_x - 0.1 * normal_y) / size, 0, 1) ** 4
        rings = np.sin((dx * 7 + 2.4 * grain + 0.8 * dy) * 5) * 0.03
        wood = gradient(
            np.clip(light, 0, 1) ** 0.9 + rings,
            [(0, "4a281a"), (0.3, "93603c"), (0.7, "dba873"), (1, "ffe6c2")],
        )
        wood = wood + (back * 0.22)[:, :, None] * colour("9fb6d8")
        shine = np.clip(light, 0, 1) ** 26 * 0.25
        cover = step(1.0, 1 - 3.2 / (half_width * height), field)
        soft = np.float32(0.55) * step(
            1.5,
            0.95,
            np.abs((x - middle - centre_x - 0.02) / half_width) ** 2.2
            + np.abs((y - centre_y - 0.03) / half_height) ** 2.2,
        )
        canvas = blend(canvas, canvas * 0.45, soft * 0.5)
        canvas = blend(canvas, wood + shine[:, :, None], cover)
    return finish(canvas, film=0.019)


def vase(width: int, height: int) -> Bytes:
    """A glazed vase on a white sweep, its shadow and faint reflection."""
    rng = np.random.default_rng(101)
    x, y = axes(width, height)
    middle = 0.5 * width / height
    floor = 0.80
    canvas = gradient(y + 0 * x, [(0, "f7f7f6"), (0.7, "ffffff"), (0.78, "f4f3f1"), (1, "fbfbfa")])
    top = 0.17
    places = [0, 0.02, 0.05, 0.16, 0.30, 0.52, 0.72, 0.90, 0.985, 1]
    radii = [0.074, 0.078, 0.060, 0.046, 0.075, 0.192, 0.214, 0.150, 0.098, 0.092]
    t = (y[:, 0] - top) / (floor - top)
    radius = _through(places, radii, t)[:, None]
    spread = (x - middle - 0.05) / 0.30
    shadow = np.exp(-(spread**2) * 1.6 - ((y - floor - 0.012) / 0.028) ** 2) * 0.42
    shadow += np.exp(-(((x - middle) / 0.085) ** 2) - ((y - floor) / 0.008) ** 2) * 0.5
    canvas = canvas * (1 - shadow[:, :, None] * colour("b9bcc4"))
    across = (x - middle) / radius
    dome = np.sqrt(np.clip(1 - across**2, 0, 1))
    flare = np.gradient(radius[:, 0], t + 1e-9).astype(np.float32)[:, None] * -1.5
    light = np.clip(-0.55 * across + 0.62 * dome + 0.35 * flare * -1, 0, 1.2)
    drips = fractal(rng, width, height, cells=(26, 3), octaves=4) - 0.5
    body = (y - top) / (floor - top) + drips * 0.16
    glaze = gradient(
        body,
        [
            (0, "0e3d52"),
            (0.28, "12627a"),
            (0.47, "2f9aa0"),
            (0.60, "a9d6c4"),
            (0.66, "e9dcc4"),
            (1, "d9c3a2"),
        ],
    )
    specks = step(0.69, 0.75, fractal(rng, width, height, cells=(150, 150), octaves=2))
    glaze = blend(glaze, colour("5d4636"), specks * step(0.58, 0.70, body) * 0.7)
    pot = glaze * (0.30 + 0.85 * light)[:, :, None]
    window = (
        step(0.075, 0.055, np.abs(across + 0.50))
        * step(0.10, 0.14, t[:, None])
        * step(0.66, 0.58, t[:, None])
    )
    broad = np.exp(-(((across + 0.45) / 0.20) ** 2)) * 0.16
    rim = np.exp(-(((across - 0.93) / 0.06) ** 2)) * 0.22
    pot = pot + (window * 0.52 + broad + rim)[:, :, None] * colour("f4faff")
    edge = 1.3 / (radius * height)
    inside = (y > top) & (y < floor)
    cover = np.clip((1 - np.abs(across)) / edge, 0, 1)
    canvas = blend(canvas, pot, cover * inside)
    mouth = ((x - middle) / 0.074) ** 2 + ((y - top) / 0.013) ** 2
    canvas = blend(canvas, colour("5fb0ba"), np.clip((1.16 - mouth) / 0.12, 0, 1))
    canvas = blend(canvas, colour("06222e"), np.clip((0.86 - mouth) / 0.10, 0, 1))
    canvas = blend(
        canvas,
        gradient(body, [(0, "d9c3a2"), (1, "d9c3a2")]) * 0.5,
        cover * (y >= floor) * (y < floor + 0.004),
    )
    return finish(canvas, film=0.010, corners=0.0)


def _through(places: list[float], values: list[float], at: Floats) -> Floats:
    """A smooth curve through points: straight lines, softened."""
    fine = np.linspace(-0.1, 1.1, 1201)
    line = np.interp(fine, places, values)
    kernel = np.hanning(181)
    soft = np.convolve(np.pad(line, 90, "edge"), kernel / kernel.sum(), "valid")
    return np.interp(at, fine, soft).astype(np.float32)


def linen(width: int, height: int, *, dye: str) -> Floats:
    """Woven cloth with a soft fold. Display values 0 to 1, for files of more than 8 bits."""
    rng = np.random.default_rng(113)
    x, y = axes(width, height)
    fold = fractal(rng, width, height, cells=(2, 2), octaves=3)
    bend = (fold - 0.5) * 0.05
    uneven = fractal(rng, width, height, cells=(4, 160), octaves=3)
    upright = fractal(rng, width, height, cells=(160, 4), octaves=3)
    threads = 95.0
    warp, weft = (x + bend) * threads, (y + bend) * threads
    over = np.where((np.floor(warp) + np.floor(weft)) % 2 == 0, 1, 0)
    round_warp = np.sin(np.pi * (warp % 1)) ** 0.6 * (0.75 + 0.5 * upright)
    round_weft = np.sin(np.pi * (weft % 1)) ** 0.6 * (0.75 + 0.5 * uneven)
    cloth = np.where(
        over,
        round_warp * (0.7 + 0.3 * np.sin(np.pi * (weft % 1))),
        round_weft * (0.7 + 0.3 * np.sin(np.pi * (warp % 1))),
    )
    slope = np.gradient(blur(fold, height / 60), axis=1) * height
    light = 0.52 + 0.42 * cloth + 0.10 * np.clip(slope, -2, 2)
    fibres = rng.standard_normal((height, width), np.float32) * 0.02
    result: Floats = np.clip((light + fibres)[:, :, None] * colour(dye), 0, 1).astype(np.float32)
    return result
