"""Warnings: choices that a recipe may make and that deserve a second thought, with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from worker.domain.errors import Problem
from worker.domain.image import Encoding, Format, KeepTag, Recipe, RenditionSpec
from worker.domain.moderation import CATEGORIES, ModerationTier, Unavailable
from worker.recipes.schema import TRAITS, suggestion

UNIVERSAL = frozenset({Format.JPEG, Format.PNG, Format.GIF})
"""Formats that every client reads: mail clients, old browsers, link previews."""

MAXIMUM_FILES = 16
"""At ten million pictures a day and $5 a million PUTs, one file costs $1,500 a month."""

_HUGE = {
    # Progressive JPEG needs about 11 bytes a pixel to decode (564 MB for 50 megapixels).
    "pixels": (200_000_000, "a progressive JPEG of this size needs more than 2 GB to decode"),
    "bytes": (200_000_000, "the whole file is held in memory"),
    "animation_pixels": (500_000_000, "its frames need more than 2 GB to resize"),
    "frames": (5_000, "every frame is decoded, resized and encoded"),
}


class Severity(StrEnum):
    """Whether a finding stops a recipe from being used."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding(Problem):
    """A :class:`~worker.domain.errors.Problem` and how bad it is."""

    severity: Severity


def advise(recipe: Recipe) -> tuple[Finding, ...]:
    """Warnings about a recipe without mistakes, in the order of its file."""
    warnings = (
        *_whole(recipe),
        *_moderation(recipe),
        *_labels(recipe),
        *_renditions(recipe.renditions),
    )
    return tuple(Finding(path, message, Severity.WARNING) for path, message in warnings)


def _whole(recipe: Recipe) -> Iterator[tuple[str, str]]:
    if Format.SVG in recipe.formats:
        yield "accept", "svg can carry scripts and references; accept it only from people you trust"
    if recipe.linear:
        yield "linear", "resizing in linear light takes about five times as long"
    if KeepTag.GPS in recipe.keep:
        yield "keep", "gps publishes where each picture was taken, often somebody's home"
    for name, (most, why) in _HUGE.items():
        value = getattr(recipe.limits, name)
        if value > most:
            yield f"limits.{name}", f"{value:_} is huge: {why}"
    made = [one for spec in recipe.renditions for one in spec.encodings if not one.first_view]
    files = len(made)
    if files > MAXIMUM_FILES:
        yield "renditions", f"make {files} files of every upload; each is encoded, stored and paid"


def _moderation(recipe: Recipe) -> Iterator[tuple[str, str]]:
    rules = recipe.moderation
    if rules is None:
        return
    for index, rule in enumerate(rules.categories):
        if rule.name not in CATEGORIES:
            near = suggestion(rule.name, CATEGORIES)
            what = f"no moderator that ships with Safelight reports {rule.name}{near}"
            yield f"moderation.categories[{index}].name", what
    if ModerationTier.CLASSIFIER not in rules.tiers:
        what = (
            "without a classifier Rekognition is asked about every new picture, for $1 a thousand"
        )
        yield "moderation.tiers", what
    if rules.unavailable is Unavailable.PASS:
        what = "whoever can make a moderator fail gets everything published"
        yield "moderation.unavailable", what


def _labels(recipe: Recipe) -> Iterator[tuple[str, str]]:
    if recipe.labels is not None and recipe.each_workflow:
        yield "labels", "Rekognition is asked about every picture, for $1 a thousand"


def _renditions(specs: tuple[RenditionSpec, ...]) -> Iterator[tuple[str, str]]:
    seen: dict[object, int] = {}
    for index, spec in enumerate(specs):
        path = f"renditions[{index}]"
        box = (spec.width, spec.height, spec.fit, spec.gravity, spec.focal_point, spec.frames)
        first = seen.setdefault(box, index)
        if first != index:
            yield path, f"has the size and fit of renditions[{first}]; list its formats there"
        if spec.sharpen > 2:
            yield f"{path}.sharpen", f"{spec.sharpen:g} draws visible halos; 0.5 to 1 is usual"
        if spec.enlarge:
            yield f"{path}.enlarge", "small pictures get more bytes and no more detail"
        yield from _encodings(spec.encodings, f"{path}.formats")


def _encodings(encodings: tuple[Encoding, ...], path: str) -> Iterator[tuple[str, str]]:
    formats = [encoding.format for encoding in encodings]
    if UNIVERSAL.isdisjoint(formats):
        yield path, "has no jpeg, png or gif: nothing to fall back to for readers without it"
    elif formats[0] not in UNIVERSAL:
        first = next(format_ for format_ in formats if format_ in UNIVERSAL)
        yield (
            f"{path}[0]",
            f"{formats[0]} is first, so {first} may be dropped as not smaller; "
            f"put {first} first to be sure of a fallback",
        )
    if encodings[0].first_view and not all(one.first_view for one in encodings):
        yield (
            f"{path}[0]",
            "is what all other files fall back to; viewers wait for it at first view",
        )
    for index, encoding in enumerate(encodings):
        here = f"{path}[{index}]"
        if encoding.first_view and (encoding.target is not None or encoding.lossless):
            yield f"{here}.first_view", "starts from the original each time, while a viewer waits"
        lossy = "quality" in TRAITS[encoding.format].keys and not encoding.lossless
        if lossy and not encoding.target and encoding.quality > 92:
            yield (
                f"{here}.quality",
                f"{encoding.quality} is more bytes for a difference hardly anybody sees",
            )
        if encoding.target is not None and (encoding.target.ssim or 0) > 0.99:
            yield f"{here}.target.ssim", "above 0.99 most photos end at the maximum quality"
        if encoding.target is not None and (encoding.target.ssimulacra2 or 0) > 90:
            what = (
                "above 90 a difference is hard to see, and many photos end at the maximum quality"
            )
            yield f"{here}.target.ssimulacra2", what
        if encoding.format is Format.WEBP and encoding.effort >= 5:
            yield (
                f"{here}.effort",
                "is slower than WebP effort 4, which takes 2.2 times as long as 2 for 1.2 % fewer "
                "bytes",
            )
        if encoding.format is Format.JXL and encoding.effort >= 5:
            yield f"{here}.effort", "takes five times as long as JPEG XL effort 3 or more"
        if encoding.format is Format.AVIF and encoding.effort >= 2:
            cost = "30 times" if encoding.effort >= 4 else "5 times"
            yield f"{here}.effort", f"takes about {cost} as long as AVIF effort 0"
