"""Configuration of the comparison: implementations, work, photos, and the goals of the engine."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path

from worker import recipes
from worker.domain.errors import InputError
from worker.domain.image import Encoding, Fit, Format, QualityTarget, Recipe

SHIPPED = "default"
"""The recipe whose renditions are measured."""

USUAL_EFFORT = 4
"""The default of libwebp, libvips, sharp and Pillow for WebP."""


class Key(StrEnum):
    """An implementation at one setting. In this order they take turns."""

    ENGINE = "engine"
    ENGINE_FULL = "engine-full"
    MODERN = "engine-modern"
    TARGET = "engine-target"
    SHARP_USUAL = "sharp-usual"
    PILLOW_USUAL = "pillow-usual"
    SHARP_SIZES = "sharp-sizes"
    SHARP_ONCE = "sharp-once"
    PILLOW_ONCE = "pillow-once"
    FLOOR = "floor"
    REPACK = "repack"


OURS = (Key.ENGINE, Key.ENGINE_FULL, Key.MODERN, Key.TARGET, Key.REPACK)
USUAL = (Key.SHARP_USUAL, Key.PILLOW_USUAL)
"""Each tool as most people use it."""
SAME = (Key.SHARP_SIZES, Key.SHARP_ONCE, Key.PILLOW_ONCE)
"""Every tool at the settings of the engine, pixels shared between the files made from them."""

LABELS = {
    Key.ENGINE: "Safelight, renditions only",
    Key.ENGINE_FULL: "Safelight, with metadata and hashes",
    Key.MODERN: "Safelight, recipe modern",
    Key.TARGET: "Safelight, with a target",
    Key.SHARP_USUAL: "sharp, one pipeline per output",
    Key.PILLOW_USUAL: "Pillow, one pipeline per output",
    Key.SHARP_SIZES: "sharp, one decode per size",
    Key.SHARP_ONCE: "sharp, one decode",
    Key.PILLOW_ONCE: "Pillow, one decode",
    Key.FLOOR: "floor",
    Key.REPACK: "original, repacked",
}
OTHER_FILES = (Key.MODERN, Key.TARGET, Key.FLOOR, Key.REPACK)
"""Those that do not make the files of all others."""

CPU_GOALS = {
    Key.SHARP_USUAL: 0.34,
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
MEMORY_GOAL = 0.40
"""Most memory of the engine, renditions only, as a share of sharp's usual way."""
MODERN_CPU_GOAL = 0.95
"""Most CPU of the recipe ``modern``, as a share of ``default``."""
MODERN_BYTES_GOALS = {"jpeg": 0.86, "jxl": 0.76, "": 0.82}
"""Most bytes of its JPEG and JPEG XL, as a share of sharp's JPEG and WebP, and of both together, at
no lower SSIMULACRA2."""
TARGET_SCORE = 75.0
TARGET_CPU_GOAL = 1.5
"""Most CPU with a target of SSIMULACRA2, as a share of that of fixed quality."""
TARGET_SHARE_GOAL = 0.95
"""Least share of the files within 1.5 points of their target."""
TARGET_MISS_GOAL = -4.0
REPACK_BYTES_GOAL = 0.86
"""Most bytes of a JPEG that is packed as JPEG XL, as a share of the JPEG."""
REPACK_CPU_GOAL = 2.5
"""Most CPU of packing it, the way back tried, as a share of that of decoding it."""

EXCLUDED = "imagecodecs"
"""In the floor where it is installed, but no part of the product: its wheel is 26 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchSize:
    """One size of the recipe."""

    name: str
    width: int
    height: int
    cover: bool
    """Fill the box and cut evenly; otherwise the whole picture inside the box."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Every size as a progressive JPEG and a WebP, never enlarged."""

    sizes: tuple[BenchSize, ...]
    """Smallest first, as in the recipe."""
    jpeg_quality: int
    webp_quality: int
    webp_effort: int

    def with_effort(self, effort: int) -> Workload:
        """The same work at another WebP effort, 0 to 6."""
        return replace(self, webp_effort=effort)

    def dumps(self) -> str:
        """As JSON, for the command line of a process."""
        return json.dumps(asdict(self), separators=(",", ":"))


def loads(text: str) -> Workload:
    """The work that :meth:`Workload.dumps` wrote."""
    values = json.loads(text)
    return Workload(sizes=tuple(BenchSize(**size) for size in values.pop("sizes")), **values)


def recipe() -> Recipe:
    """The recipe as it ships."""
    return recipes.load(SHIPPED)


def modern() -> Recipe:
    """The recipe with JPEG XL in place of WebP."""
    return recipes.load("modern")


def with_target(of: Recipe, score: float = TARGET_SCORE) -> Recipe:
    """The same renditions with a target of SSIMULACRA2 in place of qualities, none dropped."""
    target = QualityTarget(ssimulacra2=score, minimum=10, maximum=100)
    return _each(of, lambda kept: tuple(replace(one, target=target) for one in kept))


def without_loss(of: Recipe) -> Recipe:
    """The same renditions as PNG: what their encoders are given."""
    return _each(of, lambda _: (Encoding(format=Format.PNG, effort=1),))


def _each(of: Recipe, change: Callable[[tuple[Encoding, ...]], tuple[Encoding, ...]]) -> Recipe:
    return replace(
        of,
        renditions=tuple(
            replace(spec, minimum_saving=-1, encodings=change(spec.encodings))
            for spec in of.renditions
        ),
    )


def work_of(measured: Recipe) -> Workload:
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
        sizes.append(BenchSize(name=spec.name, width=spec.width, height=spec.height, cover=cover))
    if any(len(found) != 1 for found in qualities.values()):
        raise ValueError(f"recipe {measured.name} has several qualities for one format")
    ((jpeg_quality, _),) = qualities[Format.JPEG]
    ((webp_quality, webp_effort),) = qualities[Format.WEBP]
    return Workload(
        sizes=tuple(sizes),
        jpeg_quality=jpeg_quality,
        webp_quality=webp_quality,
        webp_effort=webp_effort,
    )


# --- photos --------------------------------------------------------------------------------------

_JPEG = b"\xff\xd8\xff"
"""SOI and the beginning of the first marker: every JPEG, nothing else (ITU-T T.81, B.1)."""

SAMPLE_BYTES = 500_000
"""Generated pictures smaller than this are no stand-in for photos."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """The photos, by a short name, in a fixed order."""

    photos: dict[str, Path]
    synthetic: bool
    """Made by ``worker.samples`` because no folder was given."""
    left_out: dict[str, str]
    """Files that are not measured, and why."""


def collect(folder: Path) -> Corpus:
    """All JPEG files in a folder and the folders below it.

    People upload JPEG, and every implementation reads it. Whether a file can be decoded turns out
    when they read it.

    Raises:
        InputError: there is no such folder (``input_missing``), it cannot be read
            (``input_unreadable``), or it has no JPEG in it (``input_invalid``).
    """
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "there is no such folder"
        raise InputError(f"--corpus {folder}: {what}", code="input_missing")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise InputError(f"--corpus {folder}: cannot be read", code="input_unreadable")
    return _from(folder, synthetic=False, least=1)


def generate(folder: Path, *, write: Callable[[Path], object] | None = None) -> Corpus:
    """Photo-like pictures, made now.

    Args:
        folder: an empty one, to write them to.
        write: what fills it; ``worker.samples.write`` unless told otherwise.

    Raises:
        InputError: none of the pictures is large enough.
    """
    from worker import samples  # here, because a run on real photos does not need it

    (write or samples.write)(folder)
    return _from(folder, synthetic=True, least=SAMPLE_BYTES)


def _from(folder: Path, *, synthetic: bool, least: int) -> Corpus:
    photos: dict[str, Path] = {}
    left_out: dict[str, str] = {}
    # Samples in folders below are broken on purpose.
    for path in sorted(folder.iterdir() if synthetic else folder.rglob("*")):
        if not path.is_file():
            continue
        name = path.relative_to(folder).as_posix()
        reason = _unsuitable(path, least)
        if reason is None:
            photos[name] = path
        elif not synthetic:
            left_out[name] = reason
    if not photos:
        where = "the generated samples" if synthetic else f"--corpus {folder}"
        large = f" of {least // 1000} kB or more" if synthetic else ""
        raise InputError(f"{where}: no JPEG picture{large} to measure")
    return Corpus(photos=photos, synthetic=synthetic, left_out=left_out)


def _unsuitable(path: Path, least: int) -> str | None:
    """Why a file is not measured; None if it is."""
    from PIL import Image  # here, because `bench --help` does not need it

    try:
        with path.open("rb") as file:
            beginning = file.read(len(_JPEG))
        size = path.stat().st_size
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if beginning != _JPEG or size < least:
        return "is not a JPEG" if size else "is empty"
    try:
        with Image.open(path) as image:
            if image.mode == "CMYK":
                return "is CMYK, which every tool turns into other colours"
    except (OSError, ValueError):
        pass  # damaged: the implementations tell how
    return None
