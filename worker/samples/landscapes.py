"""Sample landscapes: mountains, dunes, a harbour, northern lights, a moonrise, water.

What lives here: scenes far away, painted from noise. What may not: files and formats.
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
    ridge,
    step,
)


def mountains(width: int, height: int) -> Bytes:
    """Seven ranges behind each other in morning fog, the sun just above the farthest."""
    rng = np.random.default_rng(11)
    x, y = axes(width, height)
    sun_x, sun_y = 0.62 * width / height, 0.36
    canvas = gradient(
        y + 0 * x, [(0, "5f8fc4"), (0.22, "a9c4dd"), (0.36, "fbe3c0"), (0.5, "ffd9a6")]
    )
    clouds = fractal(rng, width, height, cells=(3, 12), octaves=6, roughness=0.55)
    canvas = blend(canvas, colour("fff1e0"), step(0.5, 0.75, clouds) * 0.55 * step(0.5, 0.1, y))
    distance = np.sqrt((x - sun_x) ** 2 + (y - sun_y) ** 2)
    canvas = blend(canvas, colour("fff3d6"), np.exp(-distance * 5) * 0.9)
    canvas = blend(canvas, colour("fffdf5"), step(0.036, 0.03, distance))
    texture = fractal(rng, width, height, cells=(24, 40), octaves=5, roughness=0.6)
    mist = fractal(rng, width, height, cells=(3, 9), octaves=5)
    layers = 7
    for index in range(layers):
        near = index / (layers - 1)
        base, rise = 0.43 + 0.47 * near**1.15, 0.20 - 0.05 * near
        line = base - rise * (
            ridge(rng, width, cells=3 + 2 * index, octaves=9, roughness=0.52, sharp=True) - 0.35
        )
        if near > 0.6:  # spruces along the nearest crests
            line -= 0.012 * near * np.abs(ridge(rng, width, cells=220, octaves=3, sharp=True) - 0.4)
        top = max(int((line.min() - 0.01) * height), 0)
        depth = y[top:] - line[None, :]
        cover = step(-0.6 / height, 0.6 / height, depth)
        body = gradient(near, [(0, "b9b6c4"), (0.45, "5f7890"), (1, "14262c")])
        shade = 1 + (texture[top:, :, None] - 0.5) * (0.25 + 0.7 * near)
        fog = step(0.0, 0.26, depth) * (1.15 - 0.95 * near) * (0.55 + 0.9 * mist[top:])
        warm = np.exp(-np.abs(x - sun_x) * 1.6)[:, :, None] * (1 - near) * 0.6
        haze = blend(colour("d7dde2"), colour("ffe2bb"), warm)
        painted = blend(body * shade, haze, np.clip(fog, 0, 0.92)[:, :, None])
        canvas[top:] = blend(canvas[top:], painted, cover)
    return finish(canvas, film=0.022)


def dunes(width: int, height: int) -> Bytes:
    """Sand in low sun: crests with a lit and a shaded flank, ripples on the lit one."""
    rng = np.random.default_rng(23)
    x, y = axes(width, height)
    canvas = gradient(y + 0 * x, [(0, "3d6ea8"), (0.3, "9dbfd6"), (0.44, "fbd9ae")])
    clouds = fractal(rng, width, height // 2, cells=(3, 14), octaves=6, roughness=0.55)
    cover = step(0.56, 0.8, clouds) * 0.6
    canvas[: height // 2] = blend(canvas[: height // 2], colour("fff0e2"), cover)
    ground = fractal(rng, width, height, cells=(6, 10), octaves=4)
    speckle = fractal(rng, width, height, cells=(300, 300), octaves=3)
    columns = np.arange(width)
    for index, base in enumerate((0.43, 0.47, 0.54, 0.66, 0.84)):
        near = index / 4
        smooth = ridge(rng, width, cells=2 if index > 2 else 4, octaves=3, roughness=0.35)
        line = base - (0.09 + 0.16 * near) * (smooth - 0.45)
        top = max(int((line.min() - 0.01) * height), 0)
        depth = y[top:] - line[None, :]
        # The flank's light is the crest's slope, seen along a slant: shadows fall to one side.
        slope = np.gradient(line, x[0]).astype(np.float32)
        slope = np.convolve(np.pad(slope, 40, "edge"), np.ones(81) / 81, "valid")
        wander = (ground[top:] - 0.5) * 0.25
        source = columns[None, :] - (depth * 1.1 + wander * (0.2 + depth)) * height
        lit = slope.astype(np.float32)[np.clip(source, 0, width - 1).astype(int)]
        light = step(-0.09, 0.07, lit)
        phase = (depth / (0.012 + 0.05 * near) + 2.2 * ground[top:] + x * 1.5) * 34 * (1 - near / 2)
        ripples = np.sin(phase) * 0.035 * (0.3 + near) * (0.25 + 0.75 * light)
        sand = gradient(light, [(0, "6b3a2c"), (0.35, "a8613a"), (0.75, "e3a25c"), (1, "f9cf8e")])
        sand = sand * (1 + ripples + 0.10 * (speckle[top:] - 0.5))[:, :, None]
        sand = sand * (0.86 + 0.14 * step(0.0, 0.25, depth))[:, :, None]
        haze = (1 - near) * 0.5
        painted = blend(sand, colour("f3cda6"), haze)
        canvas[top:] = blend(canvas[top:], painted, step(-0.7 / height, 0.7 / height, depth))
    return finish(canvas, film=0.021)


def harbour(width: int, height: int) -> Bytes:
    """A town's lights across the water after sunset, two boats at anchor."""
    rng = np.random.default_rng(37)
    x, y = axes(width, height)
    horizon = int(height * 0.56)
    aspect = width / height
    sky = gradient(
        y[:horizon] / 0.56 + 0 * x,
        [(0, "182447"), (0.35, "40457e"), (0.65, "b0627f"), (0.86, "f49a62"), (1, "ffcf80")],
    )
    clouds = fractal(rng, width, horizon, cells=(3, 16), octaves=7, roughness=0.55)
    lit = gradient(y[:horizon] / 0.56 + 0 * x, [(0, "3a3f6e"), (0.5, "c26a80"), (1, "ffb070")])
    sky = blend(sky, lit, step(0.48, 0.7, clouds) * 0.85)
    glows = np.zeros((horizon, width, 3), np.float32)
    for layer, (low, high, tone) in enumerate(
        ((0.05, 0.13, "5d4468"), (0.03, 0.10, "33294a"), (0.015, 0.07, "191a30"))
    ):
        left = 0.0
        while left < aspect:
            wide = float(rng.uniform(0.025, 0.08))
            tall = float(rng.uniform(low, high)) * (1.7 if rng.random() < 0.12 else 1)
            columns = slice(int(left * height), int((left + wide) * height) + 1)
            roof = horizon - int(tall * height)
            sky[roof:, columns] = colour(tone)
            if layer:
                _windows(rng, sky, glows, columns, roof)
            left += wide + float(rng.choice([0, 0, 0.012]))
    near = enlarge(blur(glows[::4, ::4], height / 300), width, horizon)
    sky = sky + near * 1.1
    _boat(sky, height, 0.30 * aspect, 0.16)
    _boat(sky, height, 0.72 * aspect, 0.24)
    rows = height - horizon
    depth = np.linspace(0.004, 1, rows, dtype=np.float32)[:, None]
    swell = fractal(rng, width, rows, cells=(6, 40), octaves=5, roughness=0.6)
    chop = fractal(rng, width, rows, cells=(40, 160), octaves=4, roughness=0.6)
    lift = ((swell - 0.5) * 0.9 + (chop - 0.5) * 0.5) * (0.02 + 0.26 * depth)
    source = horizon - 1 - (np.arange(rows)[:, None] * 0.96) + lift * height
    side = np.arange(width)[None, :] + (chop - 0.5) * 0.03 * height * depth
    water = sky[
        np.clip(source, 0, horizon - 1).astype(int), np.clip(side, 0, width - 1).astype(int)
    ]
    water = blend(water * 0.86, colour("101d3a"), 0.18 + 0.42 * depth * np.ones_like(swell))
    sparkle = step(0.62, 0.75, chop) * step(0.45, 0.7, swell) * (1 - 0.6 * depth)
    water = blend(water, colour("ffc489"), sparkle * 0.22)
    return finish(np.concatenate([sky, water]), film=0.022)


def _windows(
    rng: np.random.Generator, sky: Floats, glows: Floats, columns: slice, roof: int
) -> None:
    """Lit windows of one house, into the picture and, brighter, into its glow."""
    horizon = sky.shape[0]
    pitch = max(horizon // 95, 4)
    for top in range(roof + pitch, horizon - pitch, pitch * 2):
        for left in range(columns.start + pitch, columns.stop - pitch, pitch * 2):
            if rng.random() < 0.3:
                tone = colour(str(rng.choice(["ffd27a", "ffe9b8", "ffb45e", "cfe6ff"])))
                area = slice(top, top + pitch), slice(left, left + max(pitch * 2 // 3, 2))
                sky[area] = tone
                glows[area] = tone * 1.5


def _boat(sky: Floats, height: int, centre: float, size: float) -> None:
    """A moored sailing boat, its hull on the last row."""
    rows, width = sky.shape[:2]
    x = (np.arange(width, dtype=np.float32) / height)[None, :] - centre
    y = (rows - np.arange(rows, dtype=np.float32))[:, None] / height  # up from the water
    hull = (y < 0.09 * size) & (np.abs(x) < (0.28 + y / size * 0.9) * size)
    cabin = (y < 0.15 * size) & (np.abs(x + 0.05 * size) < 0.13 * size)
    mast = (y < size) & (np.abs(x) < 0.0012)
    boom = (np.abs(y - 0.22 * size) < 0.004) & (x > 0) & (x < 0.3 * size)
    stay = (np.abs(np.abs(x) - 0.3 * size * (1 - y / size)) < 0.0006) & (y < size)
    sky[hull | cabin | mast | boom] = colour("0d1020")
    sky[stay] *= 0.55
    lamp = np.exp(-((x**2 + (y - size) ** 2) / 0.00003))[:, :, None]
    sky += lamp * colour("fff0c8")


def aurora(width: int, height: int) -> Bytes:
    """Northern lights over snowy peaks, mirrored in a still fjord."""
    rng = np.random.default_rng(41)
    shore = int(height * 0.70)
    x, y = axes(width, height)
    y = y[:shore]
    sky = gradient(y / 0.7 + 0 * x, [(0, "050a1c"), (0.6, "0c2340"), (1, "1d4a5c")])
    stars = rng.random((shore, width), np.float32)
    bright = np.where(stars > 0.9994, (stars - 0.9994) / 0.0006, 0).astype(np.float32)
    halo = blur(bright, 0.9) * 5
    sky = sky + (halo * rng.uniform(0.5, 1.2, halo.shape))[:, :, None] * np.float32(
        colour("e6efff")
    )
    for foot, tall, power, seed in (
        (0.50, 0.34, 0.75, 5),
        (0.40, 0.26, 0.55, 6),
        (0.57, 0.2, 0.4, 7),
    ):
        own = np.random.default_rng(seed)
        line = foot + 0.20 * (ridge(own, width, cells=2, octaves=3, roughness=0.35) - 0.5)
        fine = ridge(own, width, cells=60, octaves=4, roughness=0.6)
        slow = ridge(own, width, cells=4, octaves=3)
        rays = np.clip(0.25 + 1.1 * fine * slow * 1.6, 0, 1.4)[None, :]
        above = (line[None, :] - y) / (tall * (0.55 + 0.8 * slow[None, :]))
        veil = np.where(above > 0, np.exp(-above * 2.2), np.exp(above * 16)) * rays
        tint = gradient(np.clip(above, 0, 1), [(0, "4dffa0"), (0.45, "35d8a6"), (1, "8a4be0")])
        sky = sky + tint * (veil * power).astype(np.float32)[:, :, None]
    snow = fractal(rng, width, shore, cells=(36, 60), octaves=5, roughness=0.65)
    for base, rise, tone in ((0.64, 0.26, "16364f"), (0.70, 0.17, "07131f")):
        line = base - rise * (ridge(rng, width, cells=3, octaves=9, sharp=True) - 0.3)
        depth = y - line[None, :]
        white = step(0.46, 0.60, snow + 0.25 * step(0.06, 0, depth)) * step(0.16, 0.0, depth)
        body = blend(colour(tone), colour("7fc7bd"), white[:, :, None] * 0.4)
        sky = blend(sky, body, step(-0.5 / height, 0.5 / height, depth))
    rows = height - shore
    depth = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
    wave = fractal(rng, width, rows, cells=(4, 60), octaves=5, roughness=0.5) - 0.5
    source = shore - 1 - np.arange(rows)[:, None] * 1.5 + wave * (0.01 + 0.10 * depth) * height
    water = sky[np.clip(source, 0, shore - 1).astype(int), np.arange(width)[None, :]]
    water = blend(water * 0.72, colour("06202b"), 0.15 + 0.3 * depth * np.ones_like(wave))
    return finish(np.concatenate([sky, water]), film=0.026, corners=0.3)


def moonrise(width: int, height: int) -> Floats:
    """A full moon behind thin cloud. Display values 0 to 1, for files of more than 8 bits."""
    rng = np.random.default_rng(53)
    x, y = axes(width, height)
    canvas = gradient(y + 0 * x, [(0, "070b1e"), (0.6, "17274d"), (1, "4a4a72")])
    dx, dy = x - 0.52 * width / height, y - 0.42
    distance = np.sqrt(dx**2 + dy**2)
    radius = 0.15
    canvas = canvas + (np.exp(-distance * 4.5) * 0.55)[:, :, None] * colour("ffe3b0")
    seas = fractal(rng, width, height, cells=(20, 13), octaves=6, roughness=0.6)
    limb = np.sqrt(np.clip(1 - (distance / radius) ** 2, 0, 1))
    face = (0.80 + 0.2 * limb) * (1 - 0.34 * step(0.44, 0.64, seas))
    moon = face[:, :, None] * colour("fff1d2")
    canvas = blend(canvas, moon, step(radius, radius - 1.6 / height, distance))
    clouds = fractal(rng, width, height, cells=(3, 10), octaves=7, roughness=0.55)
    veil = step(0.45, 0.75, clouds) * (0.25 + 0.75 * step(0.2, 0.8, y))
    lit = blend(
        colour("1a2140"),
        colour("e8c9a0"),
        (np.exp(-distance * 4) * 0.9)[:, :, None],
    )
    return np.clip(blend(canvas, lit, veil * 0.8), 0, 1)


def pool(width: int, height: int) -> Bytes:
    """Sunlight on the floor of a swimming pool: bright nets of light on tiles."""
    rng = np.random.default_rng(61)
    x, y = axes(width, height)
    bend_x = fractal(rng, width, height, cells=(5, 4), octaves=4) - 0.5
    bend_y = fractal(rng, width, height, cells=(5, 4), octaves=4) - 0.5
    u, v = x + bend_x * 0.06, y + bend_y * 0.06
    pitch = 0.125
    seam = np.minimum(np.abs(u / pitch % 1 - 0.5), np.abs(v / pitch % 1 - 0.5))
    canvas = gradient(y * 0.7 + x * 0.25, [(0, "4fd0dc"), (0.6, "1fa3c4"), (1, "0f7fae")])
    canvas = blend(canvas, colour("d8f6f5"), step(0.028, 0.012, seam) * 0.55)
    net = np.zeros((height, width), np.float32)
    for cells, weight in (((5, 4), 1.0), ((8, 6), 0.8)):
        clouds = fractal(rng, width, height, cells=cells, octaves=3, roughness=0.4)
        net += weight * np.exp(-np.abs(clouds - 0.5) * 34)
    canvas = canvas + (net * 0.42)[:, :, None] * colour("e8fff4")
    return finish(canvas, film=0.015, corners=0.2)
