"""What the probe says of good files: every accepted format and flavour."""

from __future__ import annotations

import base64
import dataclasses
import subprocess
import sys
from typing import Any

import pytest
from PIL import Image

from tests.unit.heic import make_heic
from tests.unit.specimens import (
    SPECIMENS,
    animation,
    picture,
    saved,
    specimen,
    srgb_profile,
    svg,
    vips,
)
from tests.unit.specimens import quarters as pixels
from worker.domain.colour import Colour, ColourSource, Primaries, Transfer
from worker.domain.errors import Reason, UnsupportedInput
from worker.domain.image import ColourSpace, Format, Limits, Probe
from worker.imaging.icc import UNNAMED, profile_name
from worker.imaging.probe import probe, sniff

EVERYTHING = frozenset(Format)
GREY, CMYK, LAB = ColourSpace.GREY, ColourSpace.CMYK, ColourSpace.LAB
CICP = Colour(source=ColourSource.CICP)
WIDE = dataclasses.replace(CICP, primaries=Primaries.DISPLAY_P3)
NCLX, STREAM = Colour(source=ColourSource.NCLX), Colour(source=ColourSource.BITSTREAM)
UNNAMED_COLOUR = Colour(primaries=None, transfer=None)
"""Of CMYK and Lab, which have no red, green and blue."""
SRGB_PROFILE = {"icc": "sRGB built-in", "colour": Colour(source=ColourSource.ICC)}

# What differs from a plain 64 x 48 picture of 8 bits in RGB.
EXPECTED: dict[str, dict[str, Any]] = {
    "jpeg": {},
    "jpeg-progressive": {"progressive": True},
    "jpeg-grey": {"colour_space": GREY},
    "jpeg-cmyk": {"colour_space": CMYK, "colour": UNNAMED_COLOUR},
    "jpeg-rotated": {"orientation": 6},
    "jpeg-profile": SRGB_PROFILE,
    "jpeg-mpo": {},
    "jpeg-gain-map": {},
    "png": {},
    "png-alpha": {"alpha": True},
    "png-grey": {"colour_space": GREY},
    "png-grey-alpha": {"colour_space": GREY, "alpha": True},
    "png-one-bit": {"colour_space": GREY, "bit_depth": 1},
    "png-palette": {},
    "png-palette-clear": {"alpha": True},
    "png-clear-colour": {"alpha": True},
    "png-16": {"bit_depth": 16},
    "png-grey-16": {"colour_space": GREY, "bit_depth": 16},
    "png-interlaced": {"progressive": True},
    "png-rotated": {"orientation": 8},
    "png-profile": SRGB_PROFILE,
    "png-animated": {},
    "webp": {},
    "webp-alpha": {"alpha": True},
    "webp-lossless": {},
    "webp-lossless-alpha": {"alpha": True},
    "webp-rotated": {"orientation": 3},
    "webp-profile": SRGB_PROFILE,
    "webp-animated": {"frames": 4, "animated": True, "duration_ms": 280, "loop": 3},
    "gif": {},
    "gif-interlaced": {"progressive": True},
    "gif-clear": {"alpha": True, "progressive": True},
    "gif-grey": {},
    "gif-animated": {
        "frames": 4,
        "animated": True,
        "duration_ms": 280,
        "loop": 0,
        "alpha": True,
    },
    "avif": {"colour": NCLX},
    "avif-alpha": {"alpha": True, "colour": NCLX},
    "avif-rotated": {"width": 48, "height": 64, "colour": NCLX},
    "avif-exif": {"colour": STREAM},
    "avif-profile": SRGB_PROFILE,
    "avif-10": {"bit_depth": 10, "colour": STREAM},
    "tiff": {},
    "tiff-lzw": {},
    "tiff-deflate": {},
    "tiff-jpeg": {},
    "tiff-fax": {"colour_space": GREY, "bit_depth": 1},
    "tiff-alpha": {"alpha": True},
    "tiff-palette": {},
    "tiff-grey": {"colour_space": GREY},
    "tiff-cmyk": {"colour_space": CMYK, "colour": UNNAMED_COLOUR},
    "tiff-lab-8": {
        "colour_space": LAB,
        "icc": "Lab identity built-in",
        "colour": dataclasses.replace(UNNAMED_COLOUR, source=ColourSource.ICC),
    },
    "tiff-lab-16": {"colour_space": LAB, "bit_depth": 16, "colour": UNNAMED_COLOUR},
    "tiff-lab-float": {"colour_space": LAB, "bit_depth": 32, "colour": UNNAMED_COLOUR},
    "tiff-16": {"bit_depth": 16},
    "tiff-tiled": {},
    "tiff-big": {},
    "tiff-big-endian": {"colour_space": GREY, "bit_depth": 16},
    "tiff-rotated": {"orientation": 5},
    "tiff-profile": SRGB_PROFILE,
    "tiff-pages": {"frames": 3},
    "bmp": {},
    "bmp-alpha": {"alpha": True},
    "bmp-palette": {},
    "bmp-grey": {"colour_space": GREY},
    "bmp-one-bit": {"colour_space": GREY, "bit_depth": 1},
    "heic": {},
    "heic-10": {"bit_depth": 10},
    "heic-alpha": {"alpha": True},
    "heic-rotated": {"width": 48, "height": 64},
    "heic-exif": {},
    "heic-profile": SRGB_PROFILE,
    "jxl": {"colour": CICP},
    "jxl-alpha": {"alpha": True, "colour": CICP},
    "jxl-grey": {"colour_space": GREY, "colour": CICP},
    "jxl-lossless": {"colour": CICP},
    "jxl-progressive": {"colour": CICP},
    "jxl-16": {"bit_depth": 16, "colour": CICP},
    "jxl-wide": {"colour": WIDE},
    "jxl-profile": {
        "icc": "sP3C",
        "colour": Colour(source=ColourSource.ICC, primaries=None, transfer=Transfer.SRGB),
    },
    "jxl-light": {"icc": "sP3C", "colour": WIDE},
    "jxl-exif": {"colour": CICP},
    "jxl-animated": {
        "frames": 4,
        "animated": True,
        "duration_ms": 500,
        "loop": 3,
        "colour": CICP,
    },
    "jxl-jpeg": {"colour": CICP},
    "jxl-jpeg-rotated": {"orientation": 6, "colour": CICP},
    "svg": {"alpha": True},
    "svg-view-box": {"alpha": True},
}


def look(data: bytes, **limits: Any) -> Probe:
    """Probe with everything accepted."""
    return probe(data, Limits(**limits), formats=EVERYTHING)


@pytest.mark.parametrize("name", SPECIMENS)
def test_every_flavour_is_described_in_full(name: str) -> None:
    """Each flavour of each format gives exactly the expected probe."""
    data = specimen(name)
    plain = Probe(format=Format(name.partition("-")[0]), bytes=len(data), width=64, height=48)
    assert look(data) == dataclasses.replace(plain, **EXPECTED[name])


@pytest.mark.parametrize("name", SPECIMENS)
def test_format_is_found_from_content(name: str) -> None:
    """Sniffing names the format of every specimen."""
    assert sniff(specimen(name)) == name.partition("-")[0]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_orientation_is_read_where_decoders_do_not_apply_it(kind: str, orientation: int) -> None:
    """All eight values of EXIF orientation come through in formats that store pixels unturned."""
    block = Image.Exif()
    block[0x0112] = orientation
    assert look(saved(picture(), kind, exif=block)).orientation == orientation


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_impossible_orientation_is_upright(orientation: int) -> None:
    """An orientation outside 1 to 8 counts as 1."""
    block = Image.Exif()
    block[0x0112] = orientation
    assert look(saved(picture(), "JPEG", exif=block)).orientation == 1


@pytest.mark.parametrize(
    "prolog",
    [
        "\ufeff",
        '<?xml version="1.0" encoding="UTF-8"?>\n',
        "<!-- made > by hand -->\n",
        '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/svg11.dtd">',
        '<?xml version="1.0"?><!-- a --> <!DOCTYPE svg >\n<!-- b -->',
    ],
)
def test_drawing_is_found_behind_any_prolog(prolog: str) -> None:
    """Byte order mark, XML declaration, comments and a plain DOCTYPE may precede the root."""
    assert look(prolog.encode() + svg()).format is Format.SVG


def test_drawing_in_utf_16_and_with_a_prefix() -> None:
    """A drawing may be in UTF-16, and its namespace may have a prefix."""
    assert look(svg().decode().encode("utf-16")).width == 64
    prefixed = b'<s:svg xmlns:s="http://www.w3.org/2000/svg" width="9" height="8"/>'
    assert look(prefixed).height == 8


@pytest.mark.parametrize(
    ("root", "size"),
    [
        ('width="1in" height="48pt"', (72, 48)),
        ('width="50.4" viewBox="0 0 100 50"', (50, 25)),
        ('viewBox="-5,-5 30,20" width="100%"', (30, 20)),
    ],
)
def test_drawing_has_its_intrinsic_size(root: str, size: tuple[int, int]) -> None:
    """Units and the view box give the size in pixels."""
    found = look(svg(root=root))
    assert (found.width, found.height) == size


def test_harmless_drawings_pass() -> None:
    """Style sheets, gradients by fragment and embedded PNGs are plain drawings."""
    embedded = base64.b64encode(specimen("png")).decode()
    body = (
        "<style>rect{fill:url(#a)} /* url(x) */</style><defs><linearGradient id='a'/></defs>"
        f"<image href='data:image/png;base64,{embedded}'/><use xlink:href='#a'/>"
        "<rect style='fill:url( &quot;#a&quot; )' clip-path='url(#b)' transform='rotate(9)'/>"
    )
    assert look(svg(body)).alpha


def test_missing_end_without_pixels_is_no_damage() -> None:
    """A GIF without trailer and a PNG without IEND have all their pixels and pass."""
    assert look(specimen("gif")[:-1]).width == 64
    assert look(specimen("png")[:-12]).width == 64
    assert look(specimen("png")[:-7]).width == 64


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_one_frame_is_a_still(kind: str) -> None:
    """An animation of one frame has neither duration nor loop."""
    found = look(animation(kind, count=1))
    assert (found.animated, found.frames, found.duration_ms, found.loop) == (False, 1, None, None)


def test_limits_are_inclusive() -> None:
    """A picture exactly at every limit passes."""
    data = specimen("gif-animated")
    found = look(
        data,
        bytes=len(data),
        pixels=64 * 48,
        dimension=64,
        frames=4,
        animation_pixels=4 * 64 * 48,
        duration=0.28,
    )
    assert found.frames == 4


def test_profile_names_are_read_from_both_versions() -> None:
    """Version 2 (ASCII) and version 4 (UTF-16) descriptions are read, whatever their language."""
    table = bytes(128) + b"\0\0\0\1desc\0\0\0\x90\0\0\0\x40"
    ascii_tag = b"desc\0\0\0\0\0\0\0\x0bDisplay P3\0"
    words = "Écran".encode("utf-16-be")
    unicode_tag = b"mluc\0\0\0\0\0\0\0\1\0\0\0\x0cfrFR\0\0\0\x0a\0\0\0\x1c" + words
    assert profile_name(table + ascii_tag) == "Display P3"
    assert profile_name(table + unicode_tag) == "Écran"
    assert profile_name(srgb_profile()) == "sRGB built-in"


@pytest.mark.parametrize("length", [0, 1, 127, 131, 150, 200, 300])
def test_broken_profile_is_unnamed(length: int) -> None:
    """A profile cut anywhere has some name and raises nothing; a picture with one passes."""
    profile = srgb_profile()[:length]
    assert isinstance(profile_name(profile), str)
    assert profile_name(profile + b"\xff" * 600)
    found = look(make_heic(icc=b"\xff" * 300))
    assert found.icc == UNNAMED


def test_heic_without_its_decoder_names_the_extra() -> None:
    """Where pi_heif is not installed, HEIC is refused with what to install."""
    program = (
        "import sys; sys.modules['pi_heif'] = None\n"
        "from tests.unit.heic import make_heic\n"
        "from worker.imaging.probe import probe\n"
        "from worker.domain.image import Format, Limits\n"
        "from worker.domain.errors import UnsupportedInput\n"
        "try: probe(make_heic(), Limits(), formats=set(Format))\n"
        "except UnsupportedInput as error: print(error.code, error.message)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert ran.stdout.startswith("format_not_allowed ")
    assert "safelight[heif]" in ran.stdout


@pytest.mark.parametrize("kind", Format)
def test_format_that_the_recipe_does_not_accept(kind: Format) -> None:
    """A known format is refused unless the recipe lists it, with what is accepted named."""
    data = specimen(kind.value)
    assert probe(data, Limits(), formats={kind}).format is kind
    with pytest.raises(UnsupportedInput, match=f"content is {kind.value}; accepted: ") as caught:
        probe(data, Limits(), formats=EVERYTHING - {kind})
    assert caught.value.reason is Reason.FORMAT_NOT_ALLOWED


def test_alpha_of_every_row_order() -> None:
    """A BMP whose rows go from top to bottom has the same size."""
    data = bytearray(specimen("bmp"))
    data[22:26] = (-48).to_bytes(4, "little", signed=True)
    assert look(bytes(data)).height == 48


def test_deep_pictures_of_other_bit_depths() -> None:
    """AVIF of 12 bits is told from 10."""
    image = vips(pixels().astype("uint16") * 257, "rgb16")
    data = bytes(image.heifsave_buffer(compression="av1", bitdepth=12, effort=0))
    assert look(data).bit_depth == 12
