"""Pictures made in code, for tests of pixels."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyvips
from PIL import Image

from worker.domain.image import Encoding, Format, Recipe, Rendition, RenditionSpec
from worker.imaging.engine import ProcessedImage, process

Pixels = npt.NDArray[np.uint8]

QUADRANTS = ((200, 30, 30), (30, 160, 30), (30, 30, 200), (230, 220, 40))
"""Red top left, green top right, blue bottom left, yellow bottom right."""


def quadrants(width: int = 320, height: int = 200) -> Pixels:
    """Four flat colours, so that every turn and mirror can be told from every other."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[: height // 2, : width // 2] = QUADRANTS[0]
    pixels[: height // 2, width // 2 :] = QUADRANTS[1]
    pixels[height // 2 :, : width // 2] = QUADRANTS[2]
    pixels[height // 2 :, width // 2 :] = QUADRANTS[3]
    return pixels


def photo(width: int = 900, height: int = 600, seed: int = 1) -> Pixels:
    """Smooth colour with soft shapes and grain: compresses like a photo."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(0, 255, (6, 9, 3)).astype(np.uint8)
    smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    grain = random.normal(0, 6, (height, width, 1))
    return np.clip(np.asarray(smooth, dtype=np.float64) + grain, 0, 255).astype(np.uint8)


def encoded(pixels: Pixels, kind: str = "PNG", **options: Any) -> bytes:
    """A file of these pixels, written by Pillow."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def oriented(pixels: Pixels, orientation: int, kind: str = "PNG") -> bytes:
    """A file whose stored pixels need ``orientation`` to come out as ``pixels``.

    The stored arrangement is written out from the definition (CIPA DC-008, 4.6.5.1.6), not from
    a library's idea of it: where row 0 and column 0 of the stored picture lie in the upright one.
    """
    stored = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.transpose(1, 0, 2),
        6: pixels[:, ::-1].transpose(1, 0, 2),
        7: pixels[::-1, ::-1].transpose(1, 0, 2),
        8: pixels[::-1].transpose(1, 0, 2),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(np.ascontiguousarray(stored), kind, exif=exif.tobytes())


def one(
    data: bytes, encoding: Encoding | None = None, *, recipe: Recipe | None = None, **spec: Any
) -> Rendition:
    """Process with a recipe of a single rendition."""
    made = everything(data, encoding, recipe=recipe, **spec)
    return made.renditions[0]


def everything(
    data: bytes, *encodings: Encoding | None, recipe: Recipe | None = None, **spec: Any
) -> ProcessedImage:
    """Process with a recipe of one size."""
    chosen = tuple(e for e in encodings if e is not None) or (Encoding(format=Format.PNG),)
    size = RenditionSpec(name="it", encodings=chosen, **({"width": 64, "height": 64} | spec))
    base = recipe or Recipe(name="test", version=1, renditions=())
    return process(data, replace(base, renditions=(size,)))


def pixels_of(rendition: Rendition) -> Pixels:
    """Decode a rendition with Pillow: not with the library that made it, where that differs."""
    image = Image.open(io.BytesIO(rendition.data))
    return np.asarray(image.convert("RGBA" if "A" in image.getbands() else "RGB"))


def vips_of(pixels: Pixels) -> pyvips.Image:
    """The same pixels for libvips."""
    height, width, bands = pixels.shape
    image = pyvips.Image.new_from_memory(
        np.ascontiguousarray(pixels).tobytes(), width, height, bands, "uchar"
    )
    return image.copy(interpretation="srgb")
