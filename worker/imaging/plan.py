"""probe + recipe = plan: every step and output, decided before a pixel is decoded.

A :class:`Plan` is a value: print it, hash it, compare it. :func:`make_plan` is pure, and total for
whole plans: any probe that passed its limits and any valid recipe give one. The plan names what
depends on pixels (attention crops, quality searches, the minimum-saving rule), and
``worker.imaging.render`` decides it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from typing import Any

from worker.codec import plain
from worker.domain.colour import Colour, ColourSource, Primaries
from worker.domain.errors import InputError
from worker.domain.image import (
    ALPHA_FORMATS,
    ANIMATED_FORMATS,
    ColourSpace,
    Encoding,
    Format,
    Gamut,
    KeepTag,
    Probe,
    Recipe,
    Rendition,
    RenditionSpec,
    StoredRendition,
    Watermark,
)
from worker.imaging.geometry import Geometry, Size, inside, place

ENGINE_VERSION = 4
"""Goes up whenever the same plan would give other pixels or bytes: output keys depend on it."""

PREVIEW_EDGE = 512
"""Longer side in pixels of the small picture that metadata is measured on."""

CASCADE_MARGIN = Fraction(6, 5)
"""A scale is made from a larger one only if that is at least this much larger. Resampling twice
within a few per cent would blur for nothing."""

SHRINK_MARGIN = Fraction(7, 5)
"""Shrink-on-load leaves at least this much to the resampling kernel: the decoder's own shrinking
is a box filter, and what it leaves is done properly."""

SOURCE_MARGIN = Fraction(8, 5)
"""At first view a file is made from a stored rendition only if that is at least this much larger in
both directions."""
SOURCE_FORMATS = frozenset({Format.JPEG, Format.PNG})
"""Of such a rendition. From a JPEG twice as large a file has 1.6 points of SSIMULACRA2 less than
from the original, from a WebP 4 (docs/delivery.md has the figures)."""

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


FINEST_GAIN_MAP = Fraction(1, 2)
"""The width of a map is at most this share of its rendition's, and so is its height: bytes and
light for other shares are in docs/recipes.md."""

TONE_MAP = "hable"
"""The only curve, Hable's filmic one: see ``worker.imaging.colour``."""


class Conversion(StrEnum):
    """The colour conversion after the first resize."""

    NONE = "none"
    """Already sRGB, or untagged, which the web reads as sRGB."""
    SRGB = "srgb"
    """By the file's colour tags, by the embedded profile, or by a standard profile for CMYK without
    one. CIELAB needs none of them."""
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
    """The colour of the values, if the conversion uses it: without a profile, or for HDR."""
    tone_map: str | None = None
    """The curve that brings HDR to the range of ordinary screens."""

    @property
    def upright(self) -> Size:
        """Size of one frame after orientation."""
        size = Size(self.width, self.height)
        return size.rotated if self.orientation >= 5 else size


@dataclass(frozen=True, slots=True, kw_only=True)
class GainMapDecode:
    """How the gain map of the original is read. Once."""

    width: int
    """As the decoder gives it: after ``shrink``, before orientation."""
    height: int
    shrink: int
    """1, 2, 4 or 8."""


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
    packs: Encoding | None = None
    """The JPEG that is packed into it without loss; None if pixels are encoded."""


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
    gain_map: Size | None = None
    """Size of the map that goes into the JPEG: of as much of the picture as the rendition shows."""

    @property
    def frames(self) -> int:
        """Most frames that any of its files has."""
        return max(output.frames for output in self.outputs)

    @property
    def appearance(self) -> Step:
        """The step without name, files and choices: steps of one appearance make equal pixels."""
        return replace(self, name="", outputs=(), minimum_saving=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedFile:
    """A file that a recipe allows for a picture."""

    recipe: Recipe
    """By which the picture was accepted."""
    spec: RenditionSpec
    """A rendition of the recipe, or one of another width."""
    format: Format
    """One of its formats."""
    source: StoredRendition | None = None
    """The stored rendition that it is made from; None for the original."""
    widest: int = 0
    """Pixels across of the widest rendition of the whole picture, if a width was wanted."""

    @property
    def name(self) -> str:
        """Below its version: ``medium.webp`` or ``w/640.webp``."""
        return f"{self.spec.name}.{self.format.extension}"

    @property
    def encoding(self) -> Encoding | None:
        """How it is written; None if the rendition does not have the format."""
        return next((one for one in self.spec.encodings if one.format is self.format), None)


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
    preview: int | None
    """Index of the scale that metadata is measured on; None in a plan of some renditions only."""
    steps: tuple[Step, ...]
    keep: tuple[KeepTag, ...]
    source: str | None = None
    """File name of the stored rendition that is decoded; None for the original."""
    gain_map: GainMapDecode | None = None
    """None if no rendition gets one."""

    @property
    def hash(self) -> str:
        """16 hex digits over everything in the plan; part of every output key."""
        text = json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def as_dict(self) -> dict[str, object]:
        """The plan as JSON-ready values. Steps that few plans have are left out of all others:
        their hashes, and so their keys, stay as they were before there were such steps."""
        whole: dict[str, Any] = plain(self, defaults=True)
        decode = whole["decode"]
        rare = [(decode, "colour"), (decode, "tone_map"), (whole, "source"), (whole, "gain_map")]
        rare += [(step, "gain_map") for step in whole["steps"]]
        for table, name in rare:
            if table[name] is None:
                del table[name]
        for output in (output for step in whole["steps"] for output in step["outputs"]):
            if output["packs"] is None:
                del output["packs"]
            for encoding in (output["encoding"], output.get("packs", {})):
                for name in ("distance", "repack", "first_view"):
                    if not encoding.get(name):
                        encoding.pop(name, None)
        return whole


def make_plan(
    probe: Probe,
    recipe: Recipe,
    *,
    only: Collection[str] = (),
    source: Rendition | StoredRendition | None = None,
    at_upload: bool = False,
) -> Plan:
    """Decide every step for a picture.

    Args:
        probe: what the header of the original says; it has passed the recipe's limits.
        recipe: validated, so that fits have the sizes they need.
        only: renditions to make, as ``large`` or, in one format, ``large.webp``. They get the
            pixels of the whole plan, and no metadata is measured. Empty for the whole plan.
        source: a rendition of the whole plan, to be decoded in place of the original. The results
            have the sizes of the whole plan, and pixels that were encoded once more.
        at_upload: without what the recipe leaves to the first view.

    Returns:
        The plan. The same arguments give an equal plan, with the same hash.

    Raises:
        InputError: ``rendition_unknown`` where the recipe lacks one of ``only``;
            ``source_too_small`` or ``source_unsuitable`` where ``source`` cannot give the results.
    """
    natural, scale = _natural(probe, recipe)
    plan = _whole_plan(probe, recipe, natural, scale)
    if source is not None:
        return _from_stored(plan, _chosen(plan.steps, only), source, natural, alpha=probe.alpha)
    if at_upload and not only:
        return _at_upload(plan)
    return _pruned(plan, _chosen(plan.steps, only)) if only else plan


def _at_upload(plan: Plan) -> Plan:
    steps = []
    for step in plan.steps:
        outputs = tuple(one for one in step.outputs if not one.encoding.first_view)
        made = replace(step, outputs=outputs)
        if outputs:
            steps.append(made if _makes_jpeg(made) else replace(made, gain_map=None))
    return plan if steps == list(plan.steps) else _pruned(plan, steps, preview=plan.preview)


def plan_file(probe: Probe, file: AllowedFile, stored: Iterable[StoredRendition] = ()) -> Plan:
    """Decide the steps for one file alone, which may be none of the recipe.

    It starts from the smallest stored rendition that is large enough (``SOURCE_MARGIN``), good
    enough (``SOURCE_FORMATS``) and has all that the file shows, else from the original. A file
    without loss, or with a quality target, always starts from the original: the target's score is
    of the original's pixels.

    Args:
        probe: of the original.
        file: which one; its ``source`` is not looked at.
        stored: renditions of the recipe that can be read.

    Raises:
        InputError: ``rendition_unknown`` where the rendition lacks the format for this picture.
    """
    recipe, spec, encoding, only = file.recipe, file.spec, file.encoding, [file.name]
    exact = file.format in (Format.PNG, Format.GIF)
    if encoding is not None and not (exact or encoding.lossless or encoding.target):
        others = tuple(one for one in recipe.renditions if one.name != spec.name)
        together = replace(recipe, renditions=(*others, spec))
        natural, scale = _natural(probe, together)
        whole = _whole_plan(probe, together, natural, scale)
        steps = _chosen(whole.steps, only)
        usable = (one for one in stored if one.format in SOURCE_FORMATS)
        for source in sorted(usable, key=lambda one: one.width * one.height):
            with suppress(InputError):
                return _from_stored(
                    whole, steps, source, natural, alpha=probe.alpha, margin=SOURCE_MARGIN
                )
    alone = replace(recipe, renditions=(spec,))
    plan = _whole_plan(probe, alone, *_natural(probe, alone), measured=False)
    return _pruned(plan, _chosen(plan.steps, only))


def _natural(probe: Probe, recipe: Recipe) -> tuple[Size, float]:
    """Upright size of a picture, and how much larger than its own size a drawing is drawn."""
    natural = Size(probe.upright_width, probe.upright_height)
    scale = _vector_scale(natural, recipe) if probe.format is Format.SVG else 1.0
    return Size(max(1, round(natural.width * scale)), max(1, round(natural.height * scale))), scale


def _whole_plan(
    probe: Probe, recipe: Recipe, natural: Size, scale: float, *, measured: bool = True
) -> Plan:
    vector = probe.format is Format.SVG
    geometries = [place(natural, spec, vector=vector) for spec in recipe.renditions]
    preview = _preview(natural) if measured else None
    wanted = _largest_first(
        {*([preview] if preview else []), *(geometry.scale for geometry in geometries)}
    )
    shrink = _shrink(probe.format, natural, wanted)
    outputs = [_outputs(probe, spec) for spec in recipe.renditions]
    stored = natural.rotated if probe.orientation >= 5 else natural
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
    plan = Plan(
        recipe=recipe.name,
        recipe_version=recipe.version,
        recipe_digest=recipe.digest,
        engine=ENGINE_VERSION,
        decode=decode,
        scales=_cascade(wanted, decode.upright),
        preview=None if preview is None else wanted.index(preview),
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
    gain_map = _kept_gain_map(probe, recipe)
    return plan if gain_map is None else _with_gain_map(plan, gain_map)


# --- the gain map -------------------------------------------------------------------------------


def _kept_gain_map(probe: Probe, recipe: Recipe) -> Size | None:
    """Size, upright, of a map that renditions get."""
    found = probe.gain_map
    if found is None or not found.carriable or KeepTag.GAINMAP not in recipe.keep:
        return None
    if probe.colour_space not in (ColourSpace.RGB, ColourSpace.GREY) or probe.colour.hdr:
        return None  # gains are of red, green and blue of a picture that is not HDR itself
    size = Size(found.width or 1, found.height or 1)
    return size.rotated if probe.orientation >= 5 else size


def _with_gain_map(plan: Plan, natural: Size) -> Plan:
    """The plan with a map in each JPEG.

    Args:
        plan: without one.
        natural: size, upright, of a map that covers what is decoded.
    """
    wanted = []
    steps = []
    for step in plan.steps:
        if _makes_jpeg(step):
            scale = step.geometry.scale
            share = (_share(natural.width, scale.width), _share(natural.height, scale.height))
            wanted.append(_scaled(scale, share))
            steps.append(replace(step, gain_map=_scaled(step.geometry.size, share)))
        else:
            steps.append(step)
    if not wanted:
        return plan
    shrink = _shrink(Format.JPEG, natural, wanted)
    stored = natural.rotated if plan.decode.orientation >= 5 else natural
    decode = GainMapDecode(
        width=-(-stored.width // shrink), height=-(-stored.height // shrink), shrink=shrink
    )
    return replace(plan, steps=tuple(steps), gain_map=decode)


def _makes_jpeg(step: Step) -> bool:
    return any(output.encoding.format is Format.JPEG for output in step.outputs)


def _share(gain_map: int, picture: int) -> Fraction:
    """Pixels of the map for each of the picture, in one direction; enlarging a map adds nothing."""
    return min(Fraction(gain_map, picture), FINEST_GAIN_MAP)


def _scaled(size: Size, share: tuple[Fraction, Fraction]) -> Size:
    return Size(max(1, round(size.width * share[0])), max(1, round(size.height * share[1])))


def _largest_first(sizes: set[Size]) -> list[Size]:
    return sorted(sizes, key=lambda size: (size.pixels, size), reverse=True)


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


def _shrink(kind: Format, natural: Size, wanted: list[Size]) -> int:
    """The strongest shrink-on-load that leaves every scale its margin."""
    if kind is not Format.JPEG:
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
    jpeg = next((one for one in spec.encodings if one.format is Format.JPEG), None)
    encodings = spec.encodings
    if kept > 1 and any(one.format in ANIMATED_FORMATS - {Format.JXL} for one in encodings):
        # Safari accepts JPEG XL, but shows only the first frame of an animation. The edge prefers
        # JPEG XL, so an animation that other formats show everywhere is not made in it.
        encodings = tuple(one for one in encodings if one.format is not Format.JXL)
    return tuple(
        Output(
            encoding=encoding,
            frames=kept if encoding.format in ANIMATED_FORMATS and not encoding.repack else 1,
            packs=jpeg if encoding.repack else None,
        )
        for encoding in encodings
    )


def _colours(probe: Probe, gamut: Gamut) -> tuple[Conversion, Colour | None]:
    """The target, and what the values mean where no profile decides it."""
    colour = probe.colour
    if probe.colour_space is ColourSpace.GREY:
        # Grey is never wider than sRGB, and a grey file with a profile of RGB is not valid.
        gamut = Gamut.SRGB
    if colour.source in (ColourSource.ICC, ColourSource.DEFAULT) and not colour.hdr:
        return _by_profile(probe, gamut), None
    if colour.srgb_curve and colour.primaries is Primaries.BT709:
        return Conversion.NONE, None
    if gamut is not Gamut.P3:
        return Conversion.SRGB, colour
    from worker.imaging.primaries import is_wide  # with NumPy, which most plans do without

    return (Conversion.P3 if is_wide(colour.xy) else Conversion.SRGB), colour


def _by_profile(probe: Probe, gamut: Gamut) -> Conversion:
    profile = (probe.icc or "").strip().lower()
    if probe.colour_space in (ColourSpace.CMYK, ColourSpace.LAB):
        return Conversion.SRGB
    if not profile or profile in SRGB_PROFILES:
        return Conversion.NONE
    if gamut is Gamut.P3 and profile.startswith(WIDE_PROFILES):
        return Conversion.P3
    return Conversion.SRGB


# --- some renditions only -----------------------------------------------------------------------


def _chosen(steps: Sequence[Step], only: Collection[str]) -> list[Step]:
    """The steps, and of each the outputs, that ``only`` names; all of them if it is empty."""
    files = [_file_name(step, output) for step in steps for output in step.outputs]
    known = [*(step.name for step in steps), *files]
    unknown = [word for word in only if word not in known]
    if unknown:
        message = f"the recipe makes no {', '.join(unknown)}; it makes {', '.join(known)}"
        raise InputError(message, code="rendition_unknown")
    chosen = []
    for step in steps:
        every = not only or step.name in only
        outputs = tuple(one for one in step.outputs if every or _file_name(step, one) in only)
        if outputs:
            made = replace(step, outputs=outputs)
            chosen.append(made if _makes_jpeg(made) else replace(made, gain_map=None))
    return chosen


def _file_name(step: Step, output: Output) -> str:
    return f"{step.name}.{output.encoding.format.extension}"


def _pruned(plan: Plan, steps: Sequence[Step], *, preview: int | None = None) -> Plan:
    """The plan with these steps, and with the scales that they and the preview are made from,
    directly or not."""
    needed: set[int] = set()
    for start in (*(step.scale for step in steps), preview):
        index: int | None = start
        while index is not None:
            needed.add(index)
            index = plan.scales[index].source
    kept = sorted(needed)
    scales = [plan.scales[index] for index in kept]
    return replace(
        plan,
        decode=replace(plan.decode, frames=max(step.frames for step in steps)),
        scales=tuple(
            replace(scale, source=None if scale.source is None else kept.index(scale.source))
            for scale in scales
        ),
        preview=None if preview is None else kept.index(preview),
        steps=tuple(replace(step, scale=kept.index(step.scale)) for step in steps),
        gain_map=plan.gain_map if any(step.gain_map for step in steps) else None,
    )


def _from_stored(
    plan: Plan,
    steps: Sequence[Step],
    source: Rendition | StoredRendition,
    natural: Size,
    *,
    alpha: bool,
    margin: Fraction = Fraction(1),
) -> Plan:
    """A plan for ``steps`` that decodes a rendition of the whole ``plan``, ``margin`` times as
    large as what is made of it."""
    name = f"{source.name}.{source.format.extension}"
    size = Size(source.width, source.height)
    found = [
        (step, output)
        for step in plan.steps
        for output in step.outputs
        if _file_name(step, output) == name and step.geometry.size == size
    ]
    if not found:
        raise _unsuitable(name, f"in {size.width} x {size.height} pixels is not in this plan")
    origin, stored = found[0]
    made = []
    for step in steps:
        _check_pixels(plan, origin, step, name, source.format, alpha=alpha)
        geometry = inside(origin.geometry, step.geometry)
        if geometry is None:
            raise _unsuitable(name, f"lacks a part of the picture that {step.name} shows")
        # Where the whole plan enlarges the original, the source has to be as large as that.
        width, height = step.geometry.scale.width, step.geometry.scale.height
        needed = Size(min(width, natural.width), min(height, natural.height))
        # With a margin, sides that are 1.6 to 1 may be rounded the wrong way.
        slack = 1 if margin > 1 else 0
        scale = origin.geometry.scale
        if not Size(scale.width + slack, scale.height + slack).covers(needed, margin):
            raise InputError(
                f"{name} has {size.width} x {size.height} pixels, too few for {step.name} "
                f"of {step.geometry.size.width} x {step.geometry.size.height}",
                code="source_too_small",
            )
        outputs = tuple(
            replace(output, frames=_stored_frames(output, stored, source.frames, name))
            for output in step.outputs
        )
        made.append(replace(step, geometry=geometry, outputs=outputs, gain_map=None))
    wanted = _largest_first({step.geometry.scale for step in made})
    shrink = _shrink(source.format, size, wanted)
    wide = plan.decode.conversion is Conversion.P3
    decode = Decode(
        format=source.format,
        width=-(-size.width // shrink),
        height=-(-size.height // shrink),
        shrink=shrink,
        scale=1.0,
        frames=max(step.frames for step in made),
        orientation=1,
        conversion=Conversion.P3 if wide else Conversion.NONE,
        linear=plan.decode.linear,
    )
    plan = replace(
        plan,
        decode=decode,
        scales=_cascade(wanted, decode.upright),
        preview=None,
        steps=tuple(replace(step, scale=wanted.index(step.geometry.scale)) for step in made),
        source=name,
        gain_map=None,
    )
    carried = origin.gain_map if source.gain_map else None
    return plan if carried is None else _with_gain_map(plan, carried)


def _check_pixels(
    plan: Plan, origin: Step, step: Step, name: str, kind: Format, *, alpha: bool
) -> None:
    """Raise if what was done to the source, or its format, would show in the result."""
    done = {
        "is on a canvas": origin.geometry.canvas is not None,
        "is sharpened": origin.sharpen > 0,
        "has a watermark": origin.watermark is not None,
    }
    for what, is_so in done.items():
        if is_so:
            raise _unsuitable(name, what)
    formats = {output.encoding.format for output in step.outputs}
    if step.gain_map is not None and kind is not Format.JPEG:
        raise _unsuitable(name, f"lacks the gain map that {step.name} has")
    if kind is Format.GIF and (formats != {Format.GIF} or plan.decode.conversion is Conversion.P3):
        raise _unsuitable(name, "lacks colours: a GIF has 256, and no profile")
    opaque = step.geometry.canvas is not None or formats.isdisjoint(ALPHA_FORMATS)
    if alpha and kind not in ALPHA_FORMATS:
        if not opaque:
            raise _unsuitable(name, f"lacks the transparency that {step.name} keeps")
        if step.background != origin.background:
            raise _unsuitable(
                name, f"lies on {origin.background}, {step.name} on {step.background}"
            )


def _stored_frames(output: Output, stored: Output, count: int, name: str) -> int:
    """How many of the ``count`` frames in the file give those of ``output``."""
    if output.frames in {1, stored.frames}:
        return min(output.frames, count)  # encoders join equal neighbours
    if output.frames > stored.frames or count != stored.frames:
        raise _unsuitable(name, f"lacks some of {output.frames} frames")
    return output.frames


def _unsuitable(name: str, what: str) -> InputError:
    return InputError(f"{name} {what}: start from the original", code="source_unsuitable")
