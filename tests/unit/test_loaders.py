"""Opening pictures: only the decoder of the format, lazily, unturned; and what decoders say."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING

import pytest
import pyvips

from tests.unit.heic import make_heic
from tests.unit.specimens import (
    SPECIMENS,
    chunk,
    exif,
    picture,
    saved,
    specimen,
    srgb_profile,
)
from worker.domain.errors import DamagedInput, EngineError, Reason, UnsupportedInput
from worker.domain.image import ColourSpace, Format, Limits, Probe
from worker.imaging.loaders import Embedded, decoding, embedded_in, open_image, read_embedded
from worker.imaging.probe import probe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BLOCKED: dict[str, Callable[[str], object]] = {
    "by name": pyvips.Image.new_from_file,
    "jpeg by name": pyvips.Image.jpegload,
    "png by name": pyvips.Image.pngload,
    "svg by name": pyvips.Image.svgload,
    "thumbnail by name": lambda path: pyvips.Image.thumbnail(path, 10),
    "csv": pyvips.Image.csvload,
    "matrix": pyvips.Image.matrixload,
    "raw": lambda path: pyvips.Image.rawload(path, 1, 1, 1),
    "vips": pyvips.Image.vipsload,
    "ultra hdr": lambda _: pyvips.Image.uhdrload_buffer(specimen("jpeg-gain-map")),
    "source": lambda path: pyvips.Image.new_from_source(pyvips.Source.new_from_file(path), ""),
}

NEVER_BUILT = (
    *("magickload", "magickload_buffer", "pdfload", "pdfload_buffer", "openslideload", "matload"),
    *("niftiload", "fitsload", "openexrload", "ppmload", "analyzeload", "dcrawload", "jxlload"),
)
"""Loaders that this libvips does not have. If one appears, the block must already hold."""


def look(data: bytes) -> Probe:
    """Probe with everything accepted."""
    return probe(data, Limits(), formats=frozenset(Format))


def opened(data: bytes, *, frames: int = 1, shrink: int = 1, scale: float = 1.0) -> pyvips.Image:
    """Probe and open, with all pixels in memory."""
    with decoding():
        image = open_image(data, look(data), frames=frames, shrink=shrink, scale=scale)
        return image.copy_memory()


@pytest.mark.parametrize("way", BLOCKED)
def test_no_other_loader_can_be_reached(way: str, tmp_path: Path) -> None:
    """Loaders by file name, and every format but ours, are blocked for the whole process."""
    path = tmp_path / "picture.jpg"
    path.write_bytes(specimen("jpeg"))
    with pytest.raises(pyvips.Error):
        BLOCKED[way](str(path))


@pytest.mark.parametrize("name", NEVER_BUILT)
def test_loaders_that_are_not_built_are_blocked_too(name: str) -> None:
    """A loader of another libvips is absent or blocked, never usable."""
    if pyvips.type_find("VipsOperation", name):
        with pytest.raises(pyvips.Error, match="blocked"):
            pyvips.Operation.call(name, b"")
    else:
        assert not hasattr(pyvips.Image, name) or not pyvips.type_find("VipsOperation", name)


@pytest.mark.parametrize(
    "data",
    [b"1,2,3\n4,5,6\n", b"P5 1 1 255 x", b"%PDF-1.7", b"\x08\xf2\xa6\xb6" + bytes(80)],
)
def test_guessing_loader_reads_nothing_else(data: bytes) -> None:
    """Even libvips' own guess from content finds only the allowed loaders."""
    with pytest.raises(pyvips.Error):
        pyvips.Image.new_from_buffer(data, "")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".gif", ".avif", ".tif"])
def test_writing_is_not_blocked(suffix: str) -> None:
    """The block is on loaders alone: every saver works on what was opened."""
    assert opened(specimen("png")).write_to_buffer(suffix)


def test_operations_are_not_blocked() -> None:
    """Colour conversion, resizing and text, which rendering needs, still work."""
    image = opened(specimen("jpeg-profile"))
    assert image.icc_transform("p3", embedded=True).thumbnail_image(10).width == 10
    assert pyvips.Image.text("x").width


def test_nothing_is_cached() -> None:
    """The operation cache is off: pictures do not repeat, and it would keep them alive."""
    assert pyvips.cache_get_max() == 0


def test_threads_are_left_to_the_environment() -> None:
    """VIPS_CONCURRENCY decides how many threads libvips uses."""
    program = "import worker.imaging.loaders, pyvips; print(pyvips.vips_lib.vips_concurrency_get())"
    environment = {**os.environ, "VIPS_CONCURRENCY": "3"}
    ran = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, env=environment
    )
    assert int(ran.stdout) == 3


@pytest.mark.parametrize("name", SPECIMENS)
def test_what_is_opened_is_what_was_probed(name: str) -> None:
    """Size, depth and alpha of the decoded pixels are those of the probe, unturned."""
    found = look(specimen(name))
    image = opened(specimen(name))
    assert (image.width, image.height) == (found.width, found.height)
    assert bool(image.hasalpha()) == found.alpha
    deep = found.bit_depth > 8 and found.format not in (Format.HEIC, Format.JXL)
    deep = deep or found.colour_space is ColourSpace.LAB  # more than bytes while it is worked on
    assert image.format == ("uchar" if not deep else image.format)
    assert (image.format == "uchar") != deep


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in SPECIMENS
        if not name.startswith("svg")
        and name not in ("avif-rotated", "heic-rotated", "gif-grey")
        and look(specimen(name)).colour_space is ColourSpace.RGB
    ],
)
def test_corners_have_their_colours(name: str) -> None:
    """Red, green, blue and white are where they were put, in that channel order."""
    image = opened(specimen(name))
    scale = 257 if image.format == "ushort" else 1
    corners = {(8, 8): (220, 30, 30), (56, 8): (30, 200, 30), (8, 40): (30, 30, 220)}
    for (x, y), colour in corners.items():
        seen = [value / scale for value in image(x, y)[:3]]
        assert seen == pytest.approx(colour, abs=36)


def test_rotation_of_a_heic_is_applied_by_its_decoder() -> None:
    """A quarter turn anticlockwise brings green to the top left, and nothing is left to turn."""
    assert opened(specimen("heic-rotated"))(4, 4) == pytest.approx((30, 200, 30), abs=20)
    assert look(specimen("heic-rotated")).orientation == 1


def test_animation_opens_as_a_strip() -> None:
    """Frames stand under each other with a page height; no more than asked for."""
    for name in ("gif-animated", "webp-animated"):
        strip = opened(specimen(name), frames=3)
        assert (strip.width, strip.height, strip.get("page-height")) == (64, 144, 48)
        assert opened(specimen(name)).height == 48
        assert opened(specimen(name), frames=99).height == 192


def test_document_opens_at_its_first_page() -> None:
    """Pages of a document are not frames: only the first is opened."""
    assert opened(specimen("tiff-pages"), frames=3).height == 48


@pytest.mark.parametrize("shrink", [1, 2, 4, 8])
@pytest.mark.parametrize("name", ["jpeg", "webp", "png"])
def test_shrinking_while_decoding(name: str, shrink: int) -> None:
    """JPEG and WebP come out at the fraction asked for; other formats ignore it."""
    factor = 1 if name == "png" else shrink
    image = opened(specimen(name), shrink=shrink)
    assert (image.width, image.height) == (64 // factor, 48 // factor)


def test_drawing_is_rasterised_at_the_scale_asked_for() -> None:
    """An SVG is drawn at the size needed, not enlarged afterwards."""
    image = opened(specimen("svg"), scale=2.5)
    assert (image.width, image.height) == (160, 120)
    assert image(79, 20)[3] == 255
    assert image(81, 20)[3] == 0


def test_drawing_loads_nothing_even_without_the_scan(tmp_path: Path) -> None:
    """The rasteriser itself ignores a reference to a file: the scan is not the only guard."""
    path = tmp_path / "secret.png"
    path.write_bytes(specimen("png"))
    data = (
        b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="48">'
        b'<image width="64" height="48" href="' + path.as_uri().encode() + b'"/></svg>'
    )
    image = open_image(data, look(specimen("svg")))
    assert image.max() == 0


def test_embedded_blocks_are_read_from_every_container() -> None:
    """EXIF and profile come out of JPEG, PNG, WebP, AVIF and HEIC, with and without opening."""
    block, profile = exif(1), srgb_profile()
    files = {
        kind: saved(picture(), kind, exif=block, icc_profile=profile)
        for kind in ("JPEG", "PNG", "WEBP", "AVIF")
    }
    files["HEIC"] = make_heic(exif=block.removeprefix(b"Exif\0\0"), icc=profile)
    for kind, data in files.items():
        found = read_embedded(open_image(data, look(data)))
        assert found.icc == profile, kind
        assert found.exif is not None
        assert found.exif.removeprefix(b"Exif\0\0")[:2] in (b"II", b"MM")
        assert embedded_in(data, look(data)) == found


def test_files_without_blocks_have_none() -> None:
    """A plain picture has no embedded blocks, whatever its format."""
    for kind in Format:
        if kind is not Format.GIF:
            data = specimen(kind.value)
            assert embedded_in(data, look(data)) == Embedded()


@pytest.mark.parametrize(
    ("said", "kind", "reason"),
    [
        ("VipsJpeg: premature end of JPEG image", DamagedInput, Reason.TRUNCATED),
        ("heif: Invalid input: Unexpected end of file", DamagedInput, Reason.TRUNCATED),
        ("vipspng: libpng read error", DamagedInput, Reason.CORRUPT),
        ("", DamagedInput, Reason.CORRUPT),
        ("tiff2vips: Unsupported marker type 0x7e", DamagedInput, Reason.CORRUPT),
        ("VipsJpeg: Unsupported JPEG process", UnsupportedInput, Reason.UNSUPPORTED_VARIANT),
        (
            "heif: Memory allocation error: Security limit exceeded",
            UnsupportedInput,
            Reason.UNSUPPORTED_VARIANT,
        ),
    ],
)
def test_what_decoders_say_is_mapped_once(said: str, kind: type, reason: Reason) -> None:
    """Errors of decoders become refusals with their reason, and keep their cause."""
    with pytest.raises((DamagedInput, UnsupportedInput)) as caught, decoding():
        raise pyvips.Error("unable to call avg", said or "\n")
    assert type(caught.value) is kind
    assert caught.value.reason is reason
    assert isinstance(caught.value.__cause__, pyvips.Error)


def test_defects_are_not_blamed_on_the_picture() -> None:
    """An operation that libvips refuses, and that decodes nothing, is an EngineError."""
    image = opened(specimen("png"))
    with pytest.raises(EngineError, match="extract_area"), decoding():
        image.crop(60, 40, 50, 50)


@pytest.mark.parametrize(
    "said",
    ["vips_tracked: out of memory --- size == 9MB", "VipsJpeg: Insufficient memory (case 4)"],
)
def test_running_out_of_memory_stays_a_memory_error(said: str) -> None:
    """A failed allocation of libvips or a decoder raises MemoryError, like one of Python."""
    with pytest.raises(MemoryError), decoding():
        raise pyvips.Error("unable to call avg", f"{said}\n")


def test_errors_of_an_earlier_picture_are_not_this_ones() -> None:
    """libvips's error buffer is cleared before a new picture is decoded."""
    # Asked to forgive, libvips decodes it and keeps "premature end" to itself.
    pyvips.Image.jpegload_buffer(specimen("jpeg")[:-200], fail_on="none").avg()
    with pytest.raises(DamagedInput) as caught, decoding():
        pyvips.Image.pngload_buffer(b"\x89PNG\r\n\x1a\n" + bytes(50))
    assert caught.value.reason is Reason.CORRUPT


def test_warnings_that_quote_a_file_are_harmless() -> None:
    """A libvips warning with bytes that are no text is logged, not raised or printed."""
    profile = srgb_profile().replace(b"chad", b"chad\xff", 1)[: len(srgb_profile())]
    content = b"Profil\x90\0\0" + zlib.compress(profile)
    data = specimen("png")
    assert opened(data[:33] + chunk(b"iCCP", content) + data[33:]).width == 64


def test_hundred_megapixels_stream() -> None:
    """A 10000 x 10000 PNG, resized, stays far under 1 GiB of memory."""
    program = (
        "import struct, zlib\n"
        "from tests.unit.peak import peak\n"
        "from tests.unit.hostile import PNG_SIGNATURE\n"
        "from tests.unit.specimens import chunk\n"
        "from worker.imaging.loaders import decoding, open_image\n"
        "from worker.imaging.probe import probe\n"
        "from worker.domain.image import Format, Limits\n"
        "row = bytes(1) + bytes(x * 7 & 255 for x in range(30000))\n"
        "packer = zlib.compressobj(1)\n"
        "pixels = b''.join(packer.compress(row) for _ in range(10000)) + packer.flush()\n"
        "head = struct.pack('>IIBBBBB', 10000, 10000, 8, 2, 0, 0, 0)\n"
        "chunks = ((b'IHDR', head), (b'IDAT', pixels), (b'IEND', b''))\n"
        "data = PNG_SIGNATURE + b''.join(chunk(*each) for each in chunks)\n"
        "found = probe(data, Limits(), formats={Format.PNG})\n"
        "with decoding():\n"
        "    image = open_image(data, found).resize(0.1)\n"
        "    assert len(image.write_to_memory()) == 3000000\n"
        "print(peak())\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert int(ran.stdout) < 400 * 1024  # KiB
