"""Plan to renditions. The picture is decoded once.

Some decisions depend on the pixels and are made here: the place of an attention crop, the quality
that meets a target, and the formats that the minimum-saving rule drops.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial

import pyvips

from worker.domain.image import ALPHA_FORMATS, Dropped, Encoding, Format, Probe, Rendition
from worker.imaging import libjxl, quality
from worker.imaging.animation import written_delays
from worker.imaging.colour import p3_profile
from worker.imaging.encode import Extras, Picture, colour_of, encode, flattened
from worker.imaging.formats.ultrahdr import GAIN_MAP_DAMAGED
from worker.imaging.gainmap import GainMapPixels
from worker.imaging.geometry import Box, Size
from worker.imaging.loaders import decoding
from worker.imaging.plan import Conversion, Output, Plan, Step
from worker.imaging.pyramid import Pyramid

_Files = dict[tuple[Step, Output], Rendition]
"""Files by the appearance of their step and how they are written."""

_NO_QUALITY = frozenset({Format.PNG, Format.GIF})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """Everything one decode gave."""

    renditions: tuple[Rendition, ...]
    dropped: tuple[Dropped, ...]
    preview: pyvips.Image | None
    """Upright 8-bit sRGB, longer side at most ``PREVIEW_EDGE``, first frame; None if the plan has
    none."""
    warnings: tuple[str, ...] = ()
    """Codes of what was left out because it cannot be decoded."""


def render(
    data: bytes,
    probe: Probe,
    plan: Plan,
    *,
    assets: Mapping[str, bytes] | None = None,
    exif: bytes | None = None,
    icc: bytes | None = None,
) -> Rendered:
    """Make every rendition of a plan.

    Args:
        data: the original, or the stored rendition that the plan starts from.
        probe: of ``data``.
        plan: what to make of it.
        assets: pictures of the recipe's watermarks.
        exif: block to write into every rendition, already cut down to what may be kept.
        icc: colour profile of ``data``; needed only for JPEG, which is decoded without its header.

    Raises:
        DamagedInput, UnsupportedInput: the pixels cannot be decoded.
    """
    gain_map, warnings = _gain_map(data, probe, plan, icc)
    with decoding():
        pyramid = Pyramid(data, probe, plan, icc)
        extras = Extras(
            profile=p3_profile() if plan.decode.conversion is Conversion.P3 else None,
            exif=exif,
            delays=pyramid.delays,
            loop=pyramid.loop,
        )
        renditions: list[Rendition] = []
        dropped: list[Dropped] = []
        files: _Files = {}
        factors = quality.Factors()
        picture: Picture | None = None
        crop: Box | None = None
        before: Step | None = None
        composed = 0
        for step in plan.steps:
            appearance = step.appearance
            # The same look may be a still in one step and move in the next.
            if picture is None or appearance != before or step.frames > composed:
                picture = None  # the last one goes before the next one comes
                crop, composed = _crop(pyramid, step), step.frames
                picture, before = _composed(pyramid, step, crop, assets or {}), appearance
                sample = cache(partial(quality.QualitySample, picture, factors))
            for output in step.outputs:
                # Of a small original several sizes are the same picture: encoded once.
                if (appearance, output) not in files:
                    packed = None
                    if output.packs is not None:
                        jpeg = Output(encoding=output.packs, frames=1)
                        # A JPEG with a gain map is two pictures: the first one alone is packed.
                        known = files.get((appearance, jpeg)) if gain_map is None else None
                        packed = known or _file(picture, jpeg, extras, sample)
                    file = _file(picture, output, extras, sample, packed)
                    if gain_map is not None and output.encoding.format is Format.JPEG:
                        file = _with_data(file, gain_map.joined(file.data, step, crop))
                    files[appearance, output] = file
            _choose(
                step,
                [files[appearance, output] for output in step.outputs],
                picture,
                renditions,
                dropped,
            )
        preview = None if plan.preview is None else pyramid.pixels(plan.preview)
        if preview is not None and preview.bands < 3:
            preview = preview.colourspace("srgb").copy_memory()
    return Rendered(
        renditions=tuple(renditions),
        dropped=tuple(dropped),
        preview=preview,
        warnings=warnings,
    )


def _gain_map(
    data: bytes, probe: Probe, plan: Plan, icc: bytes | None
) -> tuple[GainMapPixels | None, tuple[str, ...]]:
    """The map that the plan wants, or why there is none."""
    if plan.gain_map is None:
        return None, ()
    try:
        return GainMapPixels(data, probe, plan, icc), ()
    except ValueError:
        return None, (GAIN_MAP_DAMAGED,)


def _with_data(file: Rendition, data: bytes) -> Rendition:
    return replace(file, data=data, sha256=hashlib.sha256(data).hexdigest(), gain_map=True)


def _crop(pyramid: Pyramid, step: Step) -> Box | None:
    """The crop of a step, in pixels of its scale."""
    if step.geometry.attention is not None:
        # One place for all frames, or an animation would jump about.
        return _attention(pyramid.pixels(step.scale), step.geometry.attention)
    return step.geometry.crop


def _composed(
    pyramid: Pyramid, step: Step, crop: Box | None, assets: Mapping[str, bytes]
) -> Picture:
    """Frames of one rendition: cut, put on its canvas, sharpened, marked."""
    photo = pyramid.quick(step.scale)
    if photo is not None and _only_cut(step):
        return Picture.of_photo(photo if crop is None else photo.cut(crop))
    frames = [pyramid.pixels(step.scale, index) for index in range(step.frames)]
    if crop is not None:
        frames = [frame.crop(crop.left, crop.top, crop.width, crop.height) for frame in frames]
    if step.sharpen > 0:
        frames = [_sharpened(frame, step.sharpen) for frame in frames]
    canvas = step.geometry.canvas
    if canvas is not None:
        frames = [_on_canvas(frame, canvas, step.background) for frame in frames]
    if step.watermark is not None:
        from worker.imaging import watermark  # fonts: few recipes draw, and a start is to be short

        drawn = watermark.picture(step.watermark, assets)
        frames = [watermark.apply(frame, step.watermark, drawn) for frame in frames]
    # Every encoder pulls all pixels: make what was composed once, not once a format.
    return Picture([frame.copy_memory() for frame in frames], step.background)


def _only_cut(step: Step) -> bool:
    return step.sharpen <= 0 and step.geometry.canvas is None and step.watermark is None


def _attention(image: pyvips.Image, size: Size) -> Box:
    cut = image.smartcrop(size.width, size.height, interesting="attention")
    # libvips leaves the place of a cut in the offsets of its result, negated.
    return Box(-cut.xoffset, -cut.yoffset, size.width, size.height)


def _sharpened(image: pyvips.Image, strength: float) -> pyvips.Image:
    """Unsharp mask on lightness only, so that edges gain no coloured fringes."""
    grey = image.bands < 3
    image = image.sharpen(sigma=0.6, m1=0, m2=strength)
    return image.colourspace("b-w") if grey else image.cast("uchar")


def _on_canvas(image: pyvips.Image, canvas: Box, background: str) -> pyvips.Image:
    if image.bands < 3:
        image = image.colourspace("srgb")
    # A canvas is opaque: the same picture for formats with and without alpha.
    image = flattened(image, background)
    return image.embed(
        canvas.left,
        canvas.top,
        canvas.width,
        canvas.height,
        extend="background",
        background=colour_of(background),
    )


def _choose(
    step: Step,
    files: list[Rendition],
    picture: Picture,
    renditions: list[Rendition],
    dropped: list[Dropped],
) -> None:
    """Keep of the files of one step those that are worth it, under its name."""
    smallest: dict[tuple[bool, bool], Rendition] = {}
    for output, file in zip(step.outputs, files, strict=True):
        made = replace(file, name=step.name)
        # A still poster is no rival of the animation it stands for, nor a flat picture of one
        # that lets the page show through.
        layered = made.format in ALPHA_FORMATS and output.packs is None
        kind = (output.frames > 1, picture.transparent and layered)
        rival = smallest.get(kind)
        if rival is not None and not _worth_keeping(made, rival, step.minimum_saving):
            dropped.append(
                Dropped(
                    name=made.name,
                    format=made.format,
                    bytes=len(made.data),
                    kept=rival.format,
                    kept_bytes=len(rival.data),
                )
            )
            continue
        if rival is None or len(made.data) < len(rival.data):
            smallest[kind] = made
        duplicate = next((one.name for one in renditions if one.sha256 == made.sha256), None)
        renditions.append(replace(made, same_as=duplicate))


def _worth_keeping(made: Rendition, rival: Rendition, minimum_saving: float) -> bool:
    if minimum_saving < 0:
        return True
    allowed = (1 - minimum_saving) * len(rival.data)
    return len(made.data) < len(rival.data) and len(made.data) <= allowed


def _has_quality(encoding: Encoding) -> bool:
    given = encoding.lossless or encoding.distance is not None
    return not given and encoding.format not in _NO_QUALITY


def _file(
    picture: Picture,
    output: Output,
    extras: Extras,
    sample: Callable[[], quality.QualitySample],
    packed: Rendition | None = None,
) -> Rendition:
    """Write one file, from the pixels or from the JPEG that is packed into it."""
    encoding, target = output.encoding, output.encoding.target
    chosen, measured, made, data = encoding.quality, None, None, b""
    if packed is not None:
        data = libjxl.repack(packed.data, effort=encoding.effort)
        return replace(
            packed,
            format=encoding.format,
            data=data,
            sha256=hashlib.sha256(data).hexdigest(),
        )
    if target is not None and target.ssimulacra2 is not None:
        made = quality.find(picture, encoding, target, extras, sample())
        chosen, data = made.quality, made.data
    elif target is not None:
        found = quality.search(picture, encoding, target)
        chosen, measured = found.quality, found.ssim
    if made is None or output.frames > 1:
        data = encode(picture, encoding, chosen, extras, frames=output.frames)
    # Encoders join equal frames: what counts is what is in the file.
    delays = written_delays(data, encoding.format) if output.frames > 1 else ()
    return Rendition(
        name="",
        format=encoding.format,
        width=picture.width,
        height=picture.height,
        frames=max(1, len(delays)),
        duration_ms=sum(delays) or None,
        data=data,
        sha256=hashlib.sha256(data).hexdigest(),
        quality=chosen if _has_quality(encoding) else None,
        ssim=measured,
        ssimulacra2=None if made is None else round(made.score, 2),
        missed=made is not None and made.missed,
    )
