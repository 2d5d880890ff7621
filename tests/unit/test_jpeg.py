"""JPEG files with a broken end: what is whole is taken, what is missing something is not."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest
from PIL import Image

from tests.unit.pictures import encoded, everything, one, photo, pixels_of
from tests.unit.specimens import specimen
from worker.domain.errors import DamagedInput, Reason
from worker.domain.image import Encoding, Format, Limits, Recipe
from worker.imaging.formats.jpeg import NO_END_MARKER
from worker.imaging.probe import probe

JPEG = Encoding(format=Format.JPEG)
END = b"\xff\xd9"


def cmyk() -> bytes:
    """A photo in four colours, which the quick decoder does not take."""
    out = io.BytesIO()
    Image.fromarray(photo(160, 120)).convert("CMYK").save(out, "JPEG", quality=85)
    return out.getvalue()


def thumbnailed() -> bytes:
    """A photo whose EXIF has a JPEG of its own, with its end marker."""
    inner = encoded(photo(32, 24), "JPEG")
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0" + inner
    return encoded(photo(160, 120), "JPEG", quality=85, exif=exif)


KINDS = {
    "baseline": encoded(photo(160, 120), "JPEG", quality=85),
    "progressive": encoded(photo(160, 120), "JPEG", quality=85, progressive=True),
    "restarts": encoded(photo(160, 120), "JPEG", quality=85, restart_marker_rows=1),
    "many-restarts": encoded(photo(160, 120), "JPEG", quality=85, restart_marker_blocks=3),
    "progressive-restarts": encoded(
        photo(160, 120), "JPEG", quality=85, progressive=True, restart_marker_rows=1
    ),
    "grey": encoded(photo(160, 120)[..., 0], "JPEG", quality=85),
    "cmyk": cmyk(),
    "thumbnail": thumbnailed(),
}
TRAILERS = {
    "nothing": b"",
    "half-a-marker": b"\xff",
    "zeros": bytes(4096),
    "fill": b"\xff" * 50,
    "text": b"a trailer of an application\n" * 40,
    "noise": random.Random(1).randbytes(2000),
    "another-jpeg": encoded(photo(64, 48), "JPEG"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("trailer", TRAILERS)
def test_a_lost_end_marker_costs_nothing(kind: str, trailer: str) -> None:
    """Without its last two bytes a JPEG gives the same pixels, with a warning, whatever follows."""
    whole = KINDS[kind]
    made = everything(whole[:-2] + TRAILERS[trailer], JPEG)
    # A file that ends with the marker is not walked: it may be that of a second picture.
    assert made.probe.warnings == (() if trailer == "another-jpeg" else (NO_END_MARKER,))
    wanted = pixels_of(one(whole, JPEG)).astype(int)
    assert np.abs(pixels_of(made.renditions[0]) - wanted).max() <= 4
    if trailer in ("nothing", "zeros"):
        assert made.renditions == everything(whole, JPEG).renditions


@pytest.mark.parametrize("optimize", [False, True])
def test_zeros_of_the_data_are_no_filling(*, optimize: bool) -> None:
    """A scan that ends in zeros, as those of plain corners do, keeps them; one less is too few."""
    whole = encoded(np.full((48, 64, 3), 128, np.uint8), "JPEG", quality=85, optimize=optimize)
    assert whole[:-2].endswith(b"\0")
    made = everything(whole[:-2], JPEG)
    assert made.probe.warnings == (NO_END_MARKER,)
    assert made.renditions == everything(whole, JPEG).renditions
    with pytest.raises(DamagedInput):
        one(whole[:-3], JPEG)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("trailer", ["nothing", "zeros", "fill", "another-jpeg"])
def test_lost_picture_data_is_truncated(kind: str, trailer: str) -> None:
    """A scan that ends early is refused, by a byte or by most of it, whatever follows."""
    whole = KINDS[kind]
    for lost in (*range(3, 23), len(whole) // 10, len(whole) // 4):
        with pytest.raises(DamagedInput) as caught:
            one(whole[:-lost] + TRAILERS[trailer], JPEG)
        assert caught.value.reason is Reason.TRUNCATED, lost


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_is_not_taken_for_the_picture(kind: str) -> None:
    """A scan that ends early stays truncated where a decoder would draw the text behind it."""
    whole = KINDS[kind]
    with pytest.raises(DamagedInput) as caught:
        one(whole[: -len(whole) // 4] + TRAILERS["text"] * 9, JPEG)
    assert caught.value.reason is Reason.TRUNCATED


@pytest.mark.parametrize("kind", ["baseline", "restarts", "many-restarts", "grey", "thumbnail"])
def test_an_end_marker_makes_no_half_picture_whole(kind: str) -> None:
    """An end marker behind a scan that ends rows too early changes nothing."""
    whole = KINDS[kind]
    with pytest.raises(DamagedInput) as caught:
        one(whole[: -len(whole) // 4] + END, JPEG)
    assert caught.value.reason is Reason.TRUNCATED


def test_a_progressive_file_without_its_last_scans_is_truncated() -> None:
    """Cut exactly between two scans nothing looks cut off, but detail is missing."""
    whole = KINDS["progressive"]
    scans = [at for at in range(len(whole)) if whole[at : at + 2] == b"\xff\xda"]
    assert len(scans) > 4
    for at in scans[1:]:
        with pytest.raises(DamagedInput) as caught:
            one(whole[:at], JPEG)
        assert caught.value.reason is Reason.TRUNCATED


def test_damage_within_is_shown_as_browsers_show_it() -> None:
    """Changed bytes between intact restart markers cost a few blocks, and the picture passes."""
    whole = bytearray(KINDS["restarts"])
    at = whole.index(b"\xff\xd2") + 40
    whole[at : at + 3] = b"\x12\x34\x56"
    assert one(bytes(whole), JPEG).width == 64


@pytest.mark.parametrize("name", ["jpeg", "jpeg-progressive", "jpeg-mpo", "jpeg-gain-map"])
def test_whole_files_have_no_warning(name: str) -> None:
    """An end marker is found where it is, also with more pictures or anything else behind it."""
    for data in (specimen(name), specimen(name) + b"trailer", specimen(name) + bytes(100)):
        assert probe(data, Limits(), formats=frozenset({Format.JPEG})).warnings == ()


def test_linear_light_takes_the_same_files() -> None:
    """The decoder that large, CMYK and linear pictures go to judges an end in the same way."""
    recipe = Recipe(name="linear", version=1, renditions=(), linear=True)
    whole = KINDS["baseline"]
    assert one(whole[:-2], JPEG, recipe=recipe).data == one(whole, JPEG, recipe=recipe).data
    with pytest.raises(DamagedInput) as caught:
        one(whole[:-3], JPEG, recipe=recipe)
    assert caught.value.reason is Reason.TRUNCATED
