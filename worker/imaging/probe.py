"""Probes a file by its header: format, size, frames, colour. No pixel is decoded.

The checks come in this order: emptiness, bytes, format by content, whether the format is accepted,
the structure of the container with its declared size and frames, the decoder's own header, and the
limits again on what that header says. So nothing allocates for a size that was not allowed.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyvips

from worker.domain.errors import DamagedInput, Reason, Rejected, UnsupportedInput
from worker.domain.image import ColourSpace, Format, Limits, Probe
from worker.imaging import rejections
from worker.imaging.animation import shown_ms
from worker.imaging.colour_tags import declared, of_jxl
from worker.imaging.formats import jpeg, jxl, structure, ultrahdr
from worker.imaging.formats.sniff import identify, sniff
from worker.imaging.icc import profile_name
from worker.imaging.loaders import (
    bmp_header,
    heic_embedded,
    heic_header,
    jxl_profile,
    open_stored,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = ["accept", "describe", "known", "probe", "sniff"]

_COLOUR_SPACES = {
    "b-w": ColourSpace.GREY,
    "grey16": ColourSpace.GREY,
    "srgb": ColourSpace.RGB,
    "rgb": ColourSpace.RGB,
    "rgb16": ColourSpace.RGB,
    "cmyk": ColourSpace.CMYK,
    "lab": ColourSpace.LAB,
    "labs": ColourSpace.LAB,
    "labq": ColourSpace.LAB,
}
"""libvips interpretations that are read; scRGB, multiband and the rest are measurements."""


def probe(data: bytes, limits: Limits, *, formats: Collection[Format]) -> Probe:
    """Say what ``data`` is, without decoding a pixel.

    A JPEG with more pictures in it (MPO, Ultra HDR) counts as its first picture, an animated PNG
    as its default image, an AVIF or HEIC as its primary picture: each is a still. Decoding rotates
    AVIF and HEIC, so their ``orientation`` is 1 whatever their EXIF says; JPEG XL has that of its
    codestream. GIF, WebP and JPEG XL of one frame are stills too. ``loop`` counts runs as libvips
    does: 0 for ever, otherwise how often the animation is shown. A gain map is looked at as its
    picture is; one that cannot be used is left out with a warning.

    Args:
        data: the whole file.
        limits: all inclusive.
        formats: what the recipe accepts.

    Raises:
        UnsupportedInput: UNKNOWN_FORMAT, FORMAT_NOT_ALLOWED, UNSUPPORTED_VARIANT, UNSAFE_CONTENT.
        LimitExceeded: any limit, with the numbers in the message.
        DamagedInput: EMPTY, TRUNCATED, CORRUPT.
    """
    if not data:
        raise DamagedInput(Reason.EMPTY, "the file has no bytes")
    rejections.check_bytes(len(data), limits)
    kind = accept(data, formats)
    if kind is Format.SVG:
        from worker.imaging.formats import svg  # an XML parser, and few uploads are drawings

        svg.examine(data, limits)
    elif kind is not Format.JXL:
        structure.examine(data, kind, limits)
    if kind is Format.JXL:
        found = _probe_jxl(data, limits)
    elif kind is Format.BMP:
        found = _probe_bmp(data)
    elif kind is Format.HEIC:
        found = _probe_heic(data)
    else:
        found = _probe_stored(data, kind, open_stored(data, kind))
    with known(found):
        rejections.check_size(found.width, found.height, limits)
        rejections.check_frames(found.frames, limits)
        if found.animated:
            rejections.check_animation(found.pixels, found.frames, found.duration_ms or 0, limits)
    gain_map, odd = ultrahdr.examine(data, kind, limits, (found.width, found.height))
    return replace(found, gain_map=gain_map, warnings=(*found.warnings, *odd))


@contextmanager
def known(found: Probe) -> Iterator[None]:
    """A rejection in the block says what the picture is, so that no caller probes it again."""
    try:
        yield
    except Rejected as rejection:
        rejection.probe = found
        raise


def describe(data: bytes) -> Probe:
    """The same for any known format, without limits: to say what a rejected file is.

    Raises:
        Rejected: the header cannot be read.
    """
    return probe(data, rejections.UNLIMITED, formats=frozenset(Format))


def accept(data: bytes, formats: Collection[Format]) -> Format:
    """The format of what begins with ``data``, if it is one of ``formats``.

    Raises:
        UnsupportedInput: UNKNOWN_FORMAT, FORMAT_NOT_ALLOWED.
    """
    kind = identify(data)
    if kind is None:
        raise UnsupportedInput(Reason.UNKNOWN_FORMAT, "the content is of no known format")
    if not isinstance(kind, Format):
        raise UnsupportedInput(
            Reason.FORMAT_NOT_ALLOWED, f"the content is {kind}, which is not accepted"
        )
    if kind not in formats:
        accepted = ", ".join(sorted(formats)) or "nothing"
        raise UnsupportedInput(
            Reason.FORMAT_NOT_ALLOWED, f"the content is {kind.value}; accepted: {accepted}"
        )
    return kind


def _probe_stored(data: bytes, kind: Format, image: pyvips.Image) -> Probe:
    """From the header that libvips read."""

    def field(name: str, default: Any) -> Any:
        return image.get(name) if image.get_typeof(name) else default

    pages = int(field("n-pages", 1)) if kind in (Format.GIF, Format.WEBP, Format.TIFF) else 1
    animated = pages > 1 and kind is not Format.TIFF
    icc = field("icc-profile-data", None)
    icc = None if icc is None else bytes(icc)
    space = _colour_space(image)
    return Probe(
        format=kind,
        bytes=len(data),
        width=image.width,
        height=image.height,
        frames=pages,
        animated=animated,
        duration_ms=sum(map(shown_ms, field("delay", [0]))) if animated else None,
        loop=max(0, int(field("loop", 0))) if animated else None,
        orientation=_orientation(kind, field("orientation", 1)),
        colour_space=space,
        bit_depth=_bit_depth(image, field("bits-per-sample", 0), palette=bool(field("palette", 0))),
        alpha=bool(image.hasalpha()),
        icc=None if icc is None else profile_name(icc),
        colour=declared(data, kind, space, icc, exif_srgb=_exif_says_srgb(image)),
        progressive=bool(field("interlaced", 0) or field("jpeg-multiscan", 0)),
        warnings=jpeg.warnings(data) if kind is Format.JPEG else (),
    )


def _exif_says_srgb(image: pyvips.Image) -> bool:
    """ColorSpace 1 (CIPA DC-008, tag 0xA001). Browsers do not follow what else EXIF can say."""
    name = "exif-ifd2-ColorSpace"
    return bool(image.get_typeof(name)) and str(image.get(name)).startswith("1 ")


def _orientation(kind: Format, value: int) -> int:
    if kind is Format.AVIF:
        return 1
    return value if 1 <= value <= 8 else 1


def _colour_space(image: pyvips.Image) -> ColourSpace:
    space = _COLOUR_SPACES.get(str(image.interpretation))
    readable = image.format in ("uchar", "ushort") or space is ColourSpace.LAB
    if space is None or not readable:
        raise rejections.variant(
            f"{image.bands} channels of {image.format} ({image.interpretation})"
        )
    return space


def _bit_depth(image: pyvips.Image, stored: int, *, palette: bool) -> int:
    """Bits a channel as stored; the entries of a palette have 8."""
    if palette or stored <= 0:
        return 16 if image.format == "ushort" and not palette else 8
    return stored


def _probe_bmp(data: bytes) -> Probe:
    header = bmp_header(data)
    return Probe(
        format=Format.BMP,
        bytes=len(data),
        width=header.width,
        height=header.height,
        colour_space=ColourSpace.GREY if header.mode in ("1", "L") else ColourSpace.RGB,
        bit_depth=1 if header.mode == "1" else 8,
        alpha=header.mode == "RGBA",
    )


def _probe_jxl(data: bytes, limits: Limits) -> Probe:
    header = jxl.read(data, limits)
    if header.black:
        raise rejections.variant("a JPEG XL in CMYK")
    icc = jxl_profile(data, header)
    animated = len(header.durations) > 1
    return Probe(
        format=Format.JXL,
        bytes=len(data),
        width=header.width,
        height=header.height,
        frames=max(1, len(header.durations)),
        animated=animated,
        duration_ms=sum(map(shown_ms, header.durations)) if animated else None,
        loop=header.loop if animated else None,
        orientation=header.orientation,
        colour_space=ColourSpace.GREY if header.grey else ColourSpace.RGB,
        bit_depth=header.bit_depth,
        alpha=header.alpha,
        icc=None if icc is None else profile_name(icc),
        colour=of_jxl(header, icc),
    )


def _probe_heic(data: bytes) -> Probe:
    picture = heic_header(data)
    width, height = picture.size
    icc = heic_embedded(picture).icc
    space = ColourSpace.GREY if picture.mode in ("L", "I;16") else ColourSpace.RGB
    return Probe(
        format=Format.HEIC,
        bytes=len(data),
        width=width,
        height=height,
        colour_space=space,
        bit_depth=int(picture.info.get("bit_depth", 8)),
        alpha=bool(picture.has_alpha),
        icc=None if icc is None else profile_name(icc),
        colour=declared(data, Format.HEIC, space, icc),
    )
