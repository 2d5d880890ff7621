"""JPEG XL: what is written, what is packed and brought back, what is decoded, what it means."""

from __future__ import annotations

import hashlib
import io
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from PIL import Image

from tests.unit.hostile import boxes_of, jxl_boxes, jxl_misfit
from tests.unit.pictures import encoded, oriented, photo, quadrants
from tests.unit.specimens import jxl, p3_profile, picture, quarters, saved, specimen
from tests.unit.tagged_colours import cicp, png, pq
from worker.domain.colour import Primaries, Transfer
from worker.domain.errors import DamagedInput, Reason, RecipeError, UnsupportedInput
from worker.domain.image import (
    Encoding,
    Format,
    Gamut,
    KeepTag,
    Limits,
    QualityTarget,
    Recipe,
    Rendition,
    RenditionSpec,
)
from worker.imaging import libjxl
from worker.imaging.encode import attach
from worker.imaging.engine import needs_sandbox, process
from worker.imaging.formats import jxl as format_
from worker.imaging.loaders import decoding, embedded_in, open_image
from worker.imaging.memory_map import mapped
from worker.imaging.plan import make_plan
from worker.imaging.probe import probe
from worker.imaging.rejections import UNLIMITED

JPEG = Encoding(format=Format.JPEG, quality=80)
JXL = Encoding(format=Format.JXL, quality=80, effort=3, progressive=False)


def recipe(*encodings: Encoding, **fields: Any) -> Recipe:
    """One rendition of at most 320 pixels in these formats, all kept."""
    spec = RenditionSpec(name="large", width=320, encodings=encodings, minimum_saving=-1)
    return replace(Recipe(name="test", version=1, renditions=(spec,)), **fields)


def made(data: bytes, *encodings: Encoding, **fields: Any) -> dict[Format, Rendition]:
    """The renditions of a picture by format."""
    return {one.format: one for one in process(data, recipe(*encodings, **fields)).renditions}


def pixels_of(data: bytes) -> np.ndarray[Any, Any]:
    """All pixels of a JPEG XL as the engine decodes it, frame under frame."""
    found = probe(data, Limits(), formats={Format.JXL})
    with decoding():
        return open_image(data, found, frames=found.frames).numpy()


def off(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    """Mean difference in levels."""
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


# --- written --------------------------------------------------------------------------------------


def test_quality_and_distance_are_two_words_for_the_same() -> None:
    """Quality 90 is distance 1; a larger distance is a smaller file."""
    data = encoded(photo())
    by_quality = made(data, replace(JXL, quality=90))[Format.JXL]
    by_distance = made(data, replace(JXL, distance=1.0))[Format.JXL]
    assert by_quality.data == by_distance.data
    assert (by_quality.quality, by_distance.quality) == (90, None)
    assert len(made(data, replace(JXL, distance=3.0))[Format.JXL].data) < len(by_distance.data)


def test_lossless_keeps_every_value() -> None:
    """A lossless file has each pixel of the rendition, grey and alpha included."""
    for mode in ("RGB", "RGBA", "L", "LA"):
        source = saved(picture(mode), "PNG")
        data = made(source, replace(JXL, lossless=True))[Format.JXL].data
        bands = len(mode)
        assert np.array_equal(
            pixels_of(data).reshape(48, 64, bands), np.asarray(picture(mode)).reshape(48, 64, bands)
        ), mode


def test_progressive_files_hold_more_coarse_pictures() -> None:
    """A progressive file has coarse versions and passes, and the same look."""
    source = np.ascontiguousarray(photo(900, 600))
    plain, progressive = (jxl(source, progressive=on) for on in (False, True))
    assert len(progressive) > len(plain)
    assert off(pixels_of(plain), pixels_of(progressive)) < 1
    assert off(pixels_of(progressive), source) < 4


def test_transparency_and_metadata_go_into_the_file() -> None:
    """Alpha stays, the kept tags are there for others to read, and nothing else is."""
    source = io.BytesIO()
    block = Image.Exif()
    block[0x013B], block[0x010F] = "Ada", "Secret Camera"
    picture("RGBA").save(source, "PNG", exif=block)
    data = made(source.getvalue(), JXL, keep=frozenset({KeepTag.ARTIST}))[Format.JXL].data
    found = probe(data, Limits(), formats={Format.JXL})
    assert found.alpha
    exif = embedded_in(data, found).exif
    assert exif is not None
    assert (
        Image.open(io.BytesIO(saved(picture(), "JPEG", exif=b"Exif\0\0" + exif))).getexif()[0x013B]
        == "Ada"
    )
    assert b"Secret" not in data
    bare = made(source.getvalue(), JXL, keep=frozenset())[Format.JXL].data
    assert bare.startswith(format_.CODESTREAM)


def test_wide_colours_are_written_as_code_points() -> None:
    """A Display P3 rendition says so in its header, without a profile; an sRGB one says nothing."""
    source = io.BytesIO()
    picture().save(source, "PNG", icc_profile=p3_profile())
    wide = made(source.getvalue(), JXL, gamut=Gamut.P3)[Format.JXL].data
    header = format_.read(wide, UNLIMITED)
    assert not header.profile
    assert (header.colour.primaries, header.colour.transfer) == (
        Primaries.DISPLAY_P3,
        Transfer.SRGB,
    )
    assert off(pixels_of(wide), quarters()) < 6
    plain = format_.read(made(source.getvalue(), JXL)[Format.JXL].data, UNLIMITED)
    assert plain.colour.primaries is Primaries.BT709


def test_a_profile_without_code_points_is_embedded() -> None:
    """A profile that no code points equal is written, and comes back byte by byte."""
    profile = p3_profile(red=40_000)
    assert libjxl.profile_of(jxl(quarters(), distance=0, profile=profile)) == profile


def test_animations_keep_frames_times_and_runs() -> None:
    """A GIF becomes an animated JPEG XL with its frames, delays and loop count."""
    found = made(specimen("webp-animated"), replace(JXL, quality=95))[Format.JXL]
    source = probe(specimen("webp-animated"), Limits(), formats=frozenset(Format))
    again = probe(found.data, Limits(), formats={Format.JXL})
    assert (found.frames, found.duration_ms) == (source.frames, source.duration_ms)
    assert (again.frames, again.duration_ms, again.loop) == (
        source.frames,
        source.duration_ms,
        source.loop,
    )


def test_a_target_is_searched_for() -> None:
    """A wanted similarity finds a quality, and the file at it reaches the similarity."""
    target = QualityTarget(ssim=0.97)
    found = made(encoded(photo()), replace(JXL, target=target))[Format.JXL]
    assert found.ssim is not None
    assert found.ssim >= 0.97
    assert found.quality is not None
    assert 40 <= found.quality < 95


def test_a_picture_of_sixteen_bits_can_be_written() -> None:
    """Deep samples come back deep where only the library is asked."""
    deep = quarters().astype(np.uint16) * 257
    data = jxl(deep, distance=0)
    assert np.array_equal(libjxl.decode(data, channels=3, deep=True).pixels, deep)


# --- packed ---------------------------------------------------------------------------------------

PACKED = replace(JXL, repack=True)


@pytest.mark.parametrize("only", [(), ("large.jxl",)])
def test_the_jpeg_rendition_comes_back_with_its_digest(only: tuple[str, ...]) -> None:
    """``repack`` gives the JPEG of the rendition, smaller, and all of its bytes can be had back."""
    data = encoded(photo())
    plan = make_plan(
        probe(data, Limits(), formats=frozenset(Format)), recipe(JPEG, PACKED), only=only
    )
    from worker.imaging.render import render

    files = {
        one.format: one
        for one in render(data, probe(data, Limits(), formats=frozenset(Format)), plan).renditions
    }
    jpeg = made(data, JPEG)[Format.JPEG]
    assert (Format.JPEG in files) is not bool(only)
    packed = files[Format.JXL]
    assert len(packed.data) < 0.95 * len(jpeg.data)
    assert hashlib.sha256(libjxl.unpack(packed.data)).hexdigest() == jpeg.sha256
    assert packed.quality == jpeg.quality == 80


@pytest.mark.parametrize(
    "name", ["jpeg", "jpeg-progressive", "jpeg-grey", "jpeg-rotated", "jpeg-profile"]
)
def test_originals_come_back_byte_by_byte(name: str) -> None:
    """A JPEG with whatever metadata is the same after the way there and back."""
    original = specimen(name)
    assert libjxl.unpack(libjxl.repack(original, effort=3)) == original


@pytest.mark.parametrize("name", ["jpeg-cmyk", "png"])
def test_what_cannot_be_packed_is_told_so(name: str) -> None:
    """CMYK, and what is no JPEG, is refused: it is to be kept as it is."""
    with pytest.raises(UnsupportedInput) as caught:
        libjxl.repack(specimen(name), effort=3)
    assert caught.value.reason is Reason.UNSUPPORTED_VARIANT


def test_reconstruction_data_that_does_not_fit_is_corrupt() -> None:
    """Reconstruction data of another JPEG, none at all, and cut data give no JPEG."""
    packed = specimen("jxl-jpeg")
    for data, reason in (
        (jxl_misfit(), Reason.CORRUPT),
        (specimen("jxl"), Reason.CORRUPT),
        (jxl_boxes(*(box for box in boxes_of(packed) if box[0] != b"jbrd")), Reason.CORRUPT),
        (packed[:-40], Reason.TRUNCATED),
    ):
        with pytest.raises(DamagedInput) as caught:
            libjxl.unpack(data, sha256=hashlib.sha256(specimen("jpeg")).hexdigest())
        assert caught.value.reason is reason


def test_a_picture_without_its_reconstruction_data_is_still_one() -> None:
    """The pixels do not need the data that brings the JPEG back."""
    assert off(pixels_of(jxl_misfit()), pixels_of(jxl_misfit())) == 0
    assert process(jxl_misfit(), recipe(JPEG)).renditions


# --- read -----------------------------------------------------------------------------------------


def test_uploads_are_accepted_by_default_and_in_the_sandbox() -> None:
    """A recipe that names no formats takes JPEG XL, and the first try already is sandboxed."""
    assert Format.JXL in recipe(JPEG).formats
    assert needs_sandbox(specimen("jxl"))
    assert needs_sandbox(specimen("jxl-exif"))


@pytest.mark.parametrize(
    ("name", "most"), [("jxl", 4), ("jxl-lossless", 0), ("jxl-progressive", 4), ("jxl-16", 260)]
)
def test_pixels_are_those_that_were_written(name: str, most: float) -> None:
    """Each kind decodes to about the picture it was made of."""
    shown = made(specimen(name), replace(JXL, lossless=True))[Format.JXL].data
    if name != "jxl-16":
        assert off(pixels_of(shown), quarters()) <= most


def test_a_packed_jpeg_is_rotated_once() -> None:
    """The orientation of the codestream counts, not that of the EXIF beside it too."""
    upright = quadrants()
    original = oriented(upright, 6, "JPEG")
    packed = libjxl.repack(original, effort=3)
    for source in (original, packed):
        data = made(source, replace(JXL, lossless=True))[Format.JXL].data
        assert off(pixels_of(data), upright) < 3


def test_light_with_a_profile_is_shown_in_its_colours() -> None:
    """Light that only a profile names is seen as the same colours in P3, and as near in sRGB."""
    profile = p3_profile(red=40_000)
    wanted = _through(profile)
    for name in ("jxl-light", "jxl-profile"):
        data = made(specimen(name), replace(JXL, lossless=True))[Format.JXL].data
        assert off(pixels_of(data), wanted) < 4, name


def _through(profile: bytes) -> np.ndarray[Any, Any]:
    """The quarters in sRGB, by libvips."""
    image = pyvips.Image.new_from_array(quarters()).copy(interpretation="srgb")
    attach(image, "icc-profile-data", profile)
    return image.icc_transform(
        "srgb", embedded=True, intent="relative", black_point_compensation=True
    ).numpy()


def test_hdr_is_tone_mapped_from_sixteen_bits() -> None:
    """PQ in a JPEG XL gives what the same values give in a PNG."""
    values = np.repeat(pq(np.linspace(1, 1000, 64))[None, :, None], 48, 0).repeat(3, 2)
    tagged = bytearray(p3_profile())
    # In place of the copyright, which no reader needs: code points for BT.2020 with PQ.
    entry = tagged.index(b"cprt", 128)
    tagged[entry : entry + 4] = b"cicp"
    (place,) = struct.unpack_from(">I", tagged, entry + 4)
    tagged[place : place + 12] = b"cicp\0\0\0\0\x09\x10\0\1"
    data = jxl(values, distance=0, profile=bytes(tagged))
    found = probe(data, Limits(), formats={Format.JXL})
    assert (found.colour.primaries, found.colour.transfer) == (Primaries.BT2020, Transfer.PQ)
    lossless = replace(JXL, lossless=True)
    shown = pixels_of(made(data, lossless)[Format.JXL].data)
    same = pixels_of(made(png(values, cicp(9, 16)), lossless)[Format.JXL].data)
    assert off(shown, same) < 1


def test_a_mapped_file_is_read_as_its_bytes(tmp_path: Path) -> None:
    """Jobs map large files into memory: all readers take that too."""
    path = tmp_path / "picture.jxl"
    path.write_bytes(specimen("jxl-exif"))
    content: Any = mapped(path)
    found = probe(content, Limits(), formats={Format.JXL})
    assert found == probe(specimen("jxl-exif"), Limits(), formats={Format.JXL})
    assert np.array_equal(open_image(content, found).numpy(), pixels_of(specimen("jxl-exif")))
    assert embedded_in(content, found).exif


def test_metadata_is_read_from_boxes() -> None:
    """EXIF is found behind the four bytes in front of it, also where it is packed."""
    for name in ("jxl-exif", "jxl-jpeg-rotated"):
        data = specimen(name)
        exif = embedded_in(data, probe(data, Limits(), formats={Format.JXL})).exif
        assert exif is not None
        assert exif[:2] in (b"II", b"MM")


def test_layers_of_a_still_count_as_frames() -> None:
    """A still of many layers is held against the limit of frames."""
    data = specimen("jxl-animated")
    with pytest.raises(Exception, match="frames"):
        probe(data, Limits(frames=3), formats={Format.JXL})


# --- recipes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "path", "words"),
    [
        ('{ format = "jxl", repack = true }', "formats[0].repack", "list it before"),
        ('"jpeg", { format = "jxl", repack = true, quality = 8 }', "formats[1].quality", "repack"),
        ('{ format = "jxl", quality = 80, distance = 1 }', "formats[0].distance", "leave one out"),
        ('{ format = "jxl", distance = 26 }', "formats[0].distance", "0.05 to 25"),
        ('{ format = "webp", distance = 1 }', "formats[0].distance", "webp has no distance"),
        ('{ format = "jpeg", repack = true }', "formats[0].repack", "jpeg has no repack"),
    ],
)
def test_entries_that_mean_nothing_are_refused(entry: str, path: str, words: str) -> None:
    """Keys that contradict each other, or lack what they need, are named by their path."""
    from worker import recipes

    text = f'name = "a"\nversion = 1\n[[renditions]]\nname = "b"\nwidth = 9\nformats = [{entry}]\n'
    with pytest.raises(RecipeError) as caught:
        recipes.parse(text)
    (problem,) = caught.value.problems
    assert problem.path == f"renditions[0].{path}"
    assert words in problem.message


def test_the_library_is_new_enough() -> None:
    """libjxl is at least 0.11.2, which the known faults of 0.11 are mended in."""
    assert tuple(map(int, libjxl.version().split("."))) >= (0, 11, 2)
