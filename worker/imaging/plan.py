"""probe + recipe = plan: every step and output, decided before a pixel is decoded.

A :class:`Plan` is a value: print it, hash it, compare it. :func:`make_plan` is pure and total:
any probe that passed its limits and any valid recipe give a plan. What depends on pixels
(attention crops, quality searches, the minimum-saving rule) is named here and settled in
``worker.imaging.render``.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from typing import Any

from worker.codec import plain
from worker.domain.colour import Colour, ColourSource, Primaries
from worker.domain.image import (
    ANIMATED_FORMATS,
    ColourSpace,
    Encoding,
    Format,
    Gamut,
    KeepTag,
    Probe,
    Recipe,
    RenditionSpec,
    Watermark,
)
from worker.imaging.geometry import Geometry, Size, place
from worker.imaging.primaries import is_wide

ENGINE_VERSION = 2
"""Goes up whenever the same plan would give other pixels or bytes: output keys depend on it."""

PREVIEW_EDGE = 512
"""Longer side in pixels of the small picture that metadata is measured on."""

CASCADE_MARGIN = Fraction(6, 5)
"""A scale is made from a larger one only if that is at least this much larger. Resampling twice
within a few per cent would blur for nothing."""

SHRINK_MARGIN = Fraction(7, 5)
"""Shrink-on-load leaves at least this much to the resampling kernel: the decoder's own shrinking
is a box filter, and what it leaves is done properly."""

SRGB_PROFILES = frozenset(
    {
        "srgb",
        "c2",  # Facebook's minimal sRGB ("c2ci" with curves)
        "srgb iec61966-2.1",
        "srgb iec61966-2-1",
        "iec 61966-2-1 default rgb colour space - srgb",
        "iec 61966-2.1 default rgb colour space - srgb",
        "srgb built-in",
        "gimp built-in srgb",
        "google/skia/e3cadab7bd3de5e3436874d2a9dee126",
    }
)
"""Descriptions of profiles that are sRGB: pixels are taken as they are, without a conversion."""

WIDE_PROFILES = (
    "display p3",
    "dci-p3",
    "p3",
    "sp3c",  # the compact Display P3 profile that libvips embeds
    "adobe rgb",
    "prophoto",
    "rec2020",
    "rec. 2020",
)
"""Beginnings of profile descriptions whose gamut is wider than sRGB (lower case)."""


TONE_MAP = "hable"
"""The one curve there is: that of films, see ``worker.imaging.colour``."""


class Conversion(StrEnum):
    """What happens to colours after the first resize."""

    NONE = "none"
    """Already sRGB, or untagged, which the web reads as sRGB."""
    SRGB = "srgb"
    """By what the file says its values are, or through the embedded profile, or a standard one
    for CMYK without a profile. CIELAB says by itself what it means."""
    P3 = "p3"
    """To Display P3, whose profile is then embedded in every rendition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decode:
    """How the original is read. Once."""

    format: Format
    width: int
    """Of one frame as the decoder gives it: after ``shrink``, before orientation."""
    height: int
    shrink: int
    """1, 2, 4 or 8: done by the decoder itself, in the frequency domain for JPEG."""
    scale: float
    """For vector drawings: factor on the natural size at which it is drawn. Else 1."""
    frames: int
    orientation: int
    conversion: Conversion
    linear: bool
    colour: Colour | None = None
    """What the values mean, where they are followed: no profile says it, or HDR does."""
    tone_map: str | None = None
    """The curve that brings HDR to the range of ordinary screens."""

    @property
    def upright(self) -> Size:
        """Size of one frame after orientation."""
        size = Size(self.width, self.height)
        return size.turned if self.orientation >= 5 else size


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """One size of the whole picture in the cascade."""

    size: Size
    source: int | None
    """Index of the larger scale it is made from; None for the decoded picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One file to write."""

    encoding: Encoding
    frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One rendition: a scale, what is done to it, and the files it is written to."""

    name: str
    scale: int
    """Index into ``Plan.scales``."""
    geometry: Geometry
    background: str
    sharpen: float
    watermark: Watermark | None
    outputs: tuple[Output, ...]
    minimum_saving: float

    @property
    def frames(self) -> int:
        """Most frames that any of its files has."""
        return max(output.frames for output in self.outputs)

    @property
    def look(self) -> Step:
        """The step without name, files and choices: steps of one look make the same picture."""
        return replace(self, name="", outputs=(), minimum_saving=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The exact steps for one picture."""

    recipe: str
    recipe_version: int
    recipe_digest: str
    engine: int
    decode: Decode
    scales: tuple[Scale, ...]
    """Largest first; each is made from the decoded picture or from one before it."""
    preview: int
    """Index of the scale that metadata is measured on."""
    steps: tuple[Step, ...]
    keep: tuple[KeepTag, ...]

    @property
    def hash(self) -> str:
        """16 hex digits over everything in the plan; part of every output key."""
        text = json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def as_dict(self) -> dict[str, object]:
        """The plan as JSON-ready values. Steps of a few pictures only are left out of all others,
        whose hashes, and so their keys, stay as they were before there were such steps."""
        whole: dict[str, Any] = plain(self, defaults=True)
        for name in ("colour", "tone_map"):
            if whole["decode"][name] is None:
                del whole["decode"][name]
        return whole


def make_plan(probe: Probe, recipe: Recipe) -> Plan:
    """Decide every step for a picture.

    Args:
        probe: what the header says; it has passed the recipe's limits.
        recipe: validated, so that fits have the sizes they need.

    Returns:
        The plan. The same arguments give an equal plan, with the same hash.
    """
    vector = probe.format is Format.SVG
    natural = Size(probe.upright_width, probe.upright_height)
    scale = _vector_scale(natural, recipe) if vector else 1.0
    natural = Size(max(1, round(natural.width * scale)), max(1, round(natural.height * scale)))
    geometries = [place(natural, spec, vector=vector) for spec in recipe.renditions]
    preview = _preview(natural)
    wanted = sorted(
        {preview, *(geometry.scale for geometry in geometries)},
        key=lambda size: (size.pixels, size),
        reverse=True,
    )
    shrink = _shrink(probe, natural, wanted)
    outputs = [_outputs(probe, spec) for spec in recipe.renditions]
    stored = natural.turned if probe.orientation >= 5 else natural
    conversion, colour = _colours(probe, recipe.gamut)
    decode = Decode(
        format=probe.format,
        # Decoders that shrink round up (libjpeg's jdiv_round_up).
        width=-(-stored.width // shrink),
        height=-(-stored.height // shrink),
        shrink=shrink,
        scale=scale,
        frames=max(output.frames for files in outputs for output in files),
        orientation=probe.orientation,
        conversion=conversion,
        linear=recipe.linear,
        colour=colour,
        tone_map=TONE_MAP if colour is not None and colour.hdr else None,
    )
    scales = _cascade(wanted, decode.upright)
    return Plan(
        recipe=recipe.name,
        recipe_version=recipe.version,
        recipe_digest=recipe.digest,
        engine=ENGINE_VERSION,
        decode=decode,
        scales=scales,
        preview=wanted.index(preview),
        steps=tuple(
            Step(
                name=spec.name,
                scale=wanted.index(geometry.scale),
                geometry=geometry,
                background=spec.background,
                sharpen=spec.sharpen,
                watermark=spec.watermark,
                outputs=files,
                minimum_saving=spec.minimum_saving,
            )
            for spec, geometry, files in zip(recipe.renditions, geometries, outputs, strict=True)
        ),
        keep=tuple(sorted(recipe.keep)),
    )


def _preview(natural: Size) -> Size:
    spec = RenditionSpec(name="preview", encodings=(), width=PREVIEW_EDGE, height=PREVIEW_EDGE)
    return place(natural, spec).scale


def _vector_scale(natural: Size, recipe: Recipe) -> float:
    """How much larger than its natural size a drawing is drawn: enough for the largest
    rendition, within the recipe's pixel limit."""
    needed = max(
        Fraction(place(natural, spec, vector=True).scale.width, natural.width)
        for spec in recipe.renditions
    )
    allowed = math.sqrt(recipe.limits.pixels / natural.pixels)
    return max(1.0, min(float(needed), allowed))


def _shrink(probe: Probe, natural: Size, wanted: list[Size]) -> int:
    """The strongest shrink-on-load that leaves every scale its margin."""
    if probe.format is not Format.JPEG:
        return 1
    for factor in (8, 4, 2):
        left = Size(natural.width // factor, natural.height // factor)
        if all(left.covers(size, SHRINK_MARGIN) for size in wanted):
            return factor
    return 1


def _cascade(wanted: list[Size], decoded: Size) -> tuple[Scale, ...]:
    scales: list[Scale] = []
    for size in wanted:
        # Scales are sorted, so the last that is large enough is the cheapest source. An enlarged
        # one has no more in it than the decoded picture, and has been resampled once more.
        larger = [
            i
            for i, scale in enumerate(scales)
            if decoded.covers(scale.size) and scale.size.covers(size, CASCADE_MARGIN)
        ]
        scales.append(Scale(size=size, source=larger[-1] if larger else None))
    return tuple(scales)


def _outputs(probe: Probe, spec: RenditionSpec) -> tuple[Output, ...]:
    moving = probe.frames if probe.animated else 1
    kept = moving if spec.frames is None else min(moving, spec.frames)
    return tuple(
        Output(encoding=encoding, frames=kept if encoding.format in ANIMATED_FORMATS else 1)
        for encoding in spec.encodings
    )


def _colours(probe: Probe, gamut: Gamut) -> tuple[Conversion, Colour | None]:
    """The target, and what the values mean where that is not the profile's to say."""
    colour = probe.colour
    if probe.colour_space is ColourSpace.GREY:
        # Grey is never wider than sRGB, and a grey file with a profile of RGB is not valid.
        gamut = Gamut.SRGB
    if colour.source in (ColourSource.ICC, ColourSource.DEFAULT) and not colour.hdr:
        return _by_profile(probe, gamut), None
    if colour.srgb_curve and colour.primaries is Primaries.BT709:
        return Conversion.NONE, None
    kept = gamut is Gamut.P3 and is_wide(colour.xy)
    return (Conversion.P3 if kept else Conversion.SRGB), colour


def _by_profile(probe: Probe, gamut: Gamut) -> Conversion:
    profile = (probe.icc or "").strip().lower()
    if probe.colour_space in (ColourSpace.CMYK, ColourSpace.LAB):
        return Conversion.SRGB
    if not profile or profile in SRGB_PROFILES:
        return Conversion.NONE
    if gamut is Gamut.P3 and profile.startswith(WIDE_PROFILES):
        return Conversion.P3
    return Conversion.SRGB
