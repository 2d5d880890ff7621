"""Sample animations: three balls, a lighthouse.

What lives here: scenes that move. What may not: files and formats.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from worker.samples.canvas import axes, blend, colour, fractal, gradient, step, to_bytes


def bouncing_balls(
    width: int, height: int, frames: int = 24
) -> tuple[list[Image.Image], list[int]]:
    """Three balls that bounce; frames and their delays in ms, longest while they are highest."""
    pictures: list[Image.Image] = []
    delays: list[int] = []
    balls = (
        (0.22, 0.105, "#ff5a5f", 1, 0.0),
        (0.52, 0.135, "#ffb400", 1, 0.33),
        (0.81, 0.09, "#00a699", 2, 0.15),
    )
    for index in range(frames):
        image = Image.new("RGB", (width * 2, height * 2), "#fdf6ec")
        draw = ImageDraw.Draw(image)
        draw.rectangle((0, height * 1.66, width * 2, height * 2), "#ecdcc6")
        for column, size, tone, speed, offset in balls:
            t = (index / frames * speed + offset) % 1
            rise = 1 - (2 * t - 1) ** 2
            squash = 1 - 0.28 * max(0.0, 1 - rise * 9)
            x, radius = column * width * 2, size * height * 2
            ground = height * 1.78
            wide = radius * (1.15 - 0.45 * rise)
            draw.ellipse((x - wide, ground - 9, x + wide, ground + 9), "#cbb596")
            foot = ground - rise * height * 1.12
            half = radius / math.sqrt(squash)
            draw.ellipse((x - half, foot - radius * 2 * squash, x + half, foot), tone)
            shine = radius * 0.28
            high = foot - radius * 1.45 * squash
            draw.ellipse(
                (x - half * 0.5 - shine, high - shine, x - half * 0.5 + shine, high + shine),
                "#fff6f0",
            )
        pictures.append(image.resize((width, height), Image.Resampling.LANCZOS))
        delays.append(40 + 20 * (index % 4 == 0) + 80 * (index == frames // 2))
    return pictures, delays


def lighthouse(width: int, height: int, frames: int = 20) -> tuple[list[Image.Image], list[int]]:
    """A lighthouse turning its beam over the sea at night; frames and their delays in ms."""
    rng = np.random.default_rng(139)
    x, y = axes(width, height)
    night = gradient(
        y + 0 * x,
        [(0, "060b22"), (0.62, "1c2f5e"), (0.68, "3a4a78"), (0.681, "0e1c3c"), (1, "050a18")],
    )
    stars = (rng.random((height, width), np.float32) > 0.9988) * (y < 0.62)
    night = blend(night, colour("f2f4ff"), stars * rng.random((height, width), np.float32))
    swell = fractal(rng, width, height, cells=(10, 70), octaves=3)
    lamp_x, lamp_y = 0.36 * width / height, 0.34
    angle = np.arctan2(y - lamp_y, x - lamp_x)
    reach = np.hypot(x - lamp_x, y - lamp_y)
    tower = np.abs(x - lamp_x) < 0.026 + 0.05 * (y - 0.36)
    rock = y > 0.96 - 0.38 * np.exp(-(((x - lamp_x) / 0.30) ** 2)) + 0.04 * (swell - 0.5)
    pictures: list[Image.Image] = []
    delays: list[int] = []
    for index in range(frames):
        turn = 2 * math.pi * index / frames
        facing, side = math.cos(turn), math.sin(turn)
        beam = np.zeros_like(reach)
        for sign in (1, -1):
            wide = 0.05 + 0.5 * max(0.0, sign * side) ** 3
            off = np.abs(
                np.angle(np.exp(1j * (angle - (0.06 if sign * facing > 0 else math.pi - 0.06))))
            )
            beam += np.exp(-((off / wide) ** 2)) * np.exp(-reach * 1.5) * abs(facing) ** 0.7
        flash = np.exp(-reach * 9) * (0.35 + 1.1 * max(0.0, side) ** 4)
        light = np.clip(beam * 0.85 * np.where(y < 0.7, 1, 0.35) + flash, 0, 1.3)
        frame = blend(night, colour("fff0b8"), np.clip(light, 0, 1))
        glitter = step(0.55, 0.75, np.roll(swell, index * width // frames, 1)) * (y > 0.681)
        frame = blend(frame, colour("9fb4e8"), glitter * (0.12 + 0.5 * light))
        frame = blend(frame, colour("0a0d18"), rock.astype(np.float32))
        bands = np.where(np.floor((y - 0.38) / 0.055) % 2 == 0, 0.75, 0.28) + 0 * x
        paint = np.stack([bands**0.4, bands, bands], axis=-1)
        frame = blend(
            frame,
            paint * (1.0 - 6 * (x - lamp_x))[:, :, None] * 0.6,
            tower * (y > 0.38) * (1.0 - rock),
        )
        head = (np.abs(x - lamp_x) < 0.022) & (y > 0.315) & (y < 0.365)
        frame = blend(frame, colour("fff6cf"), head * np.float32(0.95))
        cap = (
            (np.abs(x - lamp_x) < 0.034 - 1.0 * np.clip(0.315 - y, 0, 1))
            & (y > 0.285)
            & (y <= 0.315)
        )
        cap |= (np.abs(x - lamp_x) < 0.036) & (y > 0.365) & (y < 0.381)
        frame = blend(frame, colour("141829"), cap.astype(np.float32))
        pictures.append(Image.fromarray(to_bytes(frame)))
        delays.append(120 if side > 0.9 else 70)
    return pictures, delays
