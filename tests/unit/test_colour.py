"""Colours against an ICC reference: littlecms through Pillow, with the file's own profile."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import pyvips
from PIL import Image, ImageCms

from tests.unit.pictures import Pixels, encoded, one, photo, pixels_of
from tests.unit.specimens import lab_tiff
from worker.domain.errors import DamagedInput, Reason
from worker.domain.image import Encoding, Format, Gamut, Recipe
from worker.imaging.colour import p3_profile

PNG = Encoding(format=Format.PNG)
P3 = Recipe(name="test", version=1, renditions=(), gamut=Gamut.P3)


def lab(pixels: Pixels) -> npt.NDArray[np.float64]:
    """CIE L*a*b* of sRGB pixels (libvips, D65)."""
    raw = np.ascontiguousarray(pixels).tobytes()
    height, width = pixels.shape[:2]
    image = pyvips.Image.new_from_memory(raw, width, height, 3, "uchar")
    values = image.copy(interpretation="srgb").colourspace("lab").numpy()
    return np.asarray(values, dtype=np.float64)


def delta_e(first: Pixels, second: Pixels) -> npt.NDArray[np.float64]:
    """CIE 1976 colour difference of every pixel; 2.3 is just noticeable."""
    distance = np.sqrt(((lab(first) - lab(second)) ** 2).sum(axis=2))
    return np.asarray(distance, dtype=np.float64)


def by_reference(image: Image.Image, profile: bytes) -> Pixels:
    """The picture in sRGB by littlecms: relative colorimetric, black point compensated."""
    converted = ImageCms.profileToProfile(
        image,
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert converted is not None
    return np.asarray(converted)


def cmyk_profile() -> bytes:
    """The CMYK profile that libvips ships."""
    profile: bytes = pyvips.Operation.call("profile_load", "cmyk")
    return bytes(profile)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_display_p3_is_converted_as_the_profile_says(kind: str) -> None:
    """P3 pictures match the reference within delta E 1 on average and 3 anywhere."""
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    data = encoded(photo(64, 64), kind, icc_profile=p3_profile(), lossless=True, **options)
    with Image.open(io.BytesIO(data)) as image:
        wanted = by_reference(image.convert("RGB"), p3_profile())
    difference = delta_e(pixels_of(one(data, PNG)), wanted)
    assert difference.mean() < 1.0
    assert difference.max() < 3.0


def cmyk(width: int = 64, height: int = 64) -> Image.Image:
    """Ink amounts over the whole range, smooth in both directions."""
    across = np.tile(np.linspace(0, 255, width), (height, 1))
    down = np.tile(np.linspace(0, 255, height)[:, None], (1, width))
    inks = np.dstack([across, down, 255 - across, (across + down) / 6]).astype(np.uint8)
    return Image.frombytes("CMYK", (width, height), inks.tobytes())


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
@pytest.mark.parametrize("tagged", [True, False], ids=["own profile", "no profile"])
def test_cmyk_is_converted_as_the_profile_says(kind: str, *, tagged: bool) -> None:
    """CMYK, inverted by Adobe in JPEG or not in TIFF, matches the reference; untagged CMYK is
    read by the standard profile."""
    profile = cmyk_profile()
    out = io.BytesIO()
    options = {"quality": 100} if kind == "JPEG" else {}
    cmyk().save(out, kind, icc_profile=profile if tagged else None, **options)
    with Image.open(io.BytesIO(out.getvalue())) as image:
        wanted = by_reference(image, profile)
    difference = delta_e(pixels_of(one(out.getvalue(), PNG)), wanted)
    assert difference.mean() < 1.0
    assert difference.max() < 3.0


@pytest.mark.parametrize("way", [None, "tiff_lzw", "tiff_adobe_deflate"])
@pytest.mark.parametrize("turned", [1, 6])
def test_lab_in_bytes_has_its_colours(way: str | None, turned: int) -> None:
    """8-bit CIELAB comes back as what it was made of, upright; its white is that of D50."""
    data = lab_tiff(Image.fromarray(photo(64, 48)), compression=way, tiffinfo={0x0112: turned})
    wanted = photo(64, 48) if turned == 1 else np.rot90(photo(64, 48), -1)
    shown = pixels_of(one(data, PNG))
    assert shown.shape == wanted.shape
    # In bytes, steps of CIELAB are a unit wide.
    assert delta_e(shown, np.ascontiguousarray(wanted)).max() < 2.5


def test_deeper_lab_has_the_same_white() -> None:
    """16 bits are read as 8 are: as Photoshop writes them."""
    flat = np.full((8, 8, 3), (60, 120, 200), np.uint8)
    stored = Image.open(io.BytesIO(lab_tiff(Image.fromarray(flat)))).tobytes()
    signed = np.frombuffer(stored[1:3], np.int8)
    values = np.full((8, 8, 3), (stored[0] / 2.55, *map(int, signed)), np.float32)
    image = pyvips.Image.new_from_array(values).copy(interpretation="lab")
    for depth in ("lab", "labs"):
        data = bytes(image.colourspace(depth).tiffsave_buffer())
        shown = pixels_of(one(data, PNG, width=8)).astype(int)
        assert np.abs(shown - flat).max() <= 3


def test_lab_that_is_damaged_is_refused() -> None:
    """Damaged compressed data is rejected as in any other TIFF."""
    data = bytearray(lab_tiff(Image.fromarray(photo(200, 200)), compression="tiff_adobe_deflate"))
    data[200:2000] = bytes(1800)
    with pytest.raises(DamagedInput) as refused:
        one(bytes(data), PNG)
    assert refused.value.reason in (Reason.CORRUPT, Reason.TRUNCATED)


def test_p3_is_kept_when_the_recipe_asks() -> None:
    """Pixels stay as they are and every rendition carries the P3 profile."""
    data = encoded(photo(64, 64), icc_profile=p3_profile())
    for encoding in (PNG, *(Encoding(format=f) for f in (Format.JPEG, Format.WEBP, Format.AVIF))):
        made = one(data, encoding, recipe=P3)
        with Image.open(io.BytesIO(made.data)) as image:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        assert "P3" in ImageCms.getProfileDescription(profile)
    assert np.abs(pixels_of(one(data, PNG, recipe=P3)).astype(int) - photo(64, 64)).max() <= 1


def test_srgb_renditions_carry_no_profile() -> None:
    """The web reads untagged pictures as sRGB: a profile would only cost bytes."""
    data = encoded(photo(64, 64), icc_profile=p3_profile())
    for encoding in (PNG, *(Encoding(format=f) for f in (Format.JPEG, Format.WEBP, Format.AVIF))):
        with Image.open(io.BytesIO(one(data, encoding).data)) as image:
            assert "icc_profile" not in image.info


def test_a_broken_profile_is_ignored() -> None:
    """A picture with a damaged profile is shown as if it had none."""
    broken = bytearray(p3_profile())
    broken[128:200] = bytes(72)
    data = encoded(photo(64, 64), icc_profile=bytes(broken))
    shown = pixels_of(one(data, PNG)).astype(int)
    assert np.abs(shown - photo(64, 64)).max() <= 1


def test_alpha_survives_a_conversion() -> None:
    """Only colours go through the profile."""
    alpha = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (64, 1))
    data = encoded(np.dstack([photo(64, 64), alpha]), icc_profile=p3_profile())
    shown = pixels_of(one(data, replace(PNG, progressive=False)))
    assert (shown[..., 3] == alpha).all()
