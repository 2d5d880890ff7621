"""What is compared: the implementations, the work they do, and the goals of the engine."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

from worker import recipes
from worker.domain.image import Fit, Format, Recipe

SHIPPED = "default"
"""The recipe whose renditions are measured."""

USUAL_EFFORT = 4
"""What libwebp, libvips, sharp and Pillow use for WebP unless told otherwise."""


class Key(StrEnum):
    """An implementation at one setting. In this order they take turns."""

    ENGINE = "engine"
    ENGINE_FULL = "engine-full"
    SHARP_USUAL = "sharp-usual"
    PILLOW_USUAL = "pillow-usual"
    SHARP_SIZES = "sharp-sizes"
    SHARP_ONCE = "sharp-once"
    PILLOW_ONCE = "pillow-once"
    FLOOR = "floor"


OURS = (Key.ENGINE, Key.ENGINE_FULL)
USUAL = (Key.SHARP_USUAL, Key.PILLOW_USUAL)
"""Each tool as most people use it."""
SAME = (Key.SHARP_SIZES, Key.SHARP_ONCE, Key.PILLOW_ONCE)
"""Every tool at the settings of the engine, pixels shared between the files made from them."""

LABELS = {
    Key.ENGINE: "Safelight, renditions only",
    Key.ENGINE_FULL: "Safelight, with metadata and hashes",
    Key.SHARP_USUAL: "sharp, one pipeline per output",
    Key.PILLOW_USUAL: "Pillow, one pipeline per output",
    Key.SHARP_SIZES: "sharp, one decode per size",
    Key.SHARP_ONCE: "sharp, one decode",
    Key.PILLOW_ONCE: "Pillow, one decode",
    Key.FLOOR: "floor",
}

CPU_GOALS = {
    Key.SHARP_USUAL: 0.38,
    Key.PILLOW_USUAL: 0.45,
    # Two ways of sharing pixels; the goal was set with the first in mind, the second is harder.
    Key.SHARP_SIZES: 0.68,
    Key.SHARP_ONCE: 0.68,
}
"""Most CPU of the engine, renditions only, as a share of what the other takes."""
BYTES_GOAL = 1.03
"""Most bytes, as a share of what the other writes."""
SSIM_GOAL = -0.005
"""Least difference of SSIM to the other's."""
FLOOR_GOAL = 1.10
METADATA_GOAL = 0.08
"""Most CPU of metadata and hashes, which no other tool makes, over that of the renditions."""
HELP_SECONDS_GOAL = 0.3

EXCLUDED = "imagecodecs"
"""In the floor where it is installed, but no part of the product: its wheel is 26 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """One size of the recipe."""

    name: str
    width: int
    height: int
    cover: bool
    """Fill the box and cut evenly; otherwise the whole picture inside the box."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Every size as a progressive JPEG and a WebP, never enlarged."""

    sizes: tuple[Size, ...]
    """Smallest first, as in the recipe."""
    jpeg_quality: int
    webp_quality: int
    webp_effort: int

    def with_effort(self, effort: int) -> Work:
        """The same work at another WebP effort, 0 to 6."""
        return replace(self, webp_effort=effort)

    def dumps(self) -> str:
        """As JSON, for the command line of a process."""
        return json.dumps(asdict(self), separators=(",", ":"))


def loads(text: str) -> Work:
    """The work that :meth:`Work.dumps` wrote."""
    values = json.loads(text)
    return Work(sizes=tuple(Size(**size) for size in values.pop("sizes")), **values)


def recipe() -> Recipe:
    """The recipe as it ships."""
    return recipes.load(SHIPPED)


def work_of(measured: Recipe) -> Work:
    """The work that a recipe describes.

    Raises:
        ValueError: the recipe asks for something that not every implementation does.
    """
    qualities: dict[Format, set[tuple[int, int]]] = {Format.JPEG: set(), Format.WEBP: set()}
    sizes = []
    for spec in measured.renditions:
        if {encoding.format for encoding in spec.encodings} != set(qualities):
            raise ValueError("every rendition must be written as JPEG and as WebP")
        for encoding in spec.encodings:
            if encoding.format is Format.JPEG and not encoding.progressive:
                raise ValueError("every JPEG must be progressive")
            qualities[encoding.format].add((encoding.quality, encoding.effort))
        if spec.width is None or spec.height is None or spec.fit not in {Fit.INSIDE, Fit.COVER}:
            raise ValueError(f"rendition {spec.name} is neither cover nor inside a full box")
        cover = spec.fit is Fit.COVER
        sizes.append(Size(name=spec.name, width=spec.width, height=spec.height, cover=cover))
    if any(len(found) != 1 for found in qualities.values()):
        raise ValueError(f"recipe {measured.name} has several qualities for one format")
    ((jpeg_quality, _),) = qualities[Format.JPEG]
    ((webp_quality, webp_effort),) = qualities[Format.WEBP]
    return Work(
        sizes=tuple(sizes),
        jpeg_quality=jpeg_quality,
        webp_quality=webp_quality,
        webp_effort=webp_effort,
    )
