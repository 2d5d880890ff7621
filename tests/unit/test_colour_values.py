"""Colours by what a file says of them: PNG chunks, nclx, PQ and HLG, against known values."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.unit import tagged_colours as made
from tests.unit.heic import make_heic
from tests.unit.pictures import Pixels, encoded, everything, one, pixels_of
from tests.unit.specimens import chunk, srgb_profile
from tests.unit.tagged_colours import PATCHES, chart, cicp, gama, hlg, nits, patches_of, png, pq
from worker.domain.image import Encoding, Format, Gamut, Recipe
from worker.imaging.colour import HDR_PEAK, HDR_UNIT, p3_profile
from worker.imaging.compare import compare
from worker.imaging.operations.deepzoom import TileOptions, cut

PNG = Encoding(format=Format.PNG)
P3 = Recipe(name="test", version=1, renditions=(), gamut=Gamut.P3)
P3_XY = (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
SRGB_XY = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)

SAME = PATCHES
OF_P3 = ((240, 0, 0), (213, 115, 43), (0, 204, 0), (31, 122, 206), (128, 128, 128))
"""The chart's numbers as Display P3, in sRGB: by its profile, and in Chromium 156 too."""
OF_LINEAR = ((239, 96, 96), (229, 183, 133), (96, 229, 96), (133, 183, 229), (188, 188, 188))


def shown(data: bytes, recipe: Recipe | None = None) -> list[tuple[int, ...]]:
    """The patches of a file's rendition of full size."""
    return patches_of(pixels_of(one(data, PNG, width=None, height=made.SIDE, recipe=recipe)))


def off(found: list[tuple[int, ...]], wanted: tuple[tuple[int, ...], ...]) -> int:
    """Largest difference of any channel."""
    return int(np.abs(np.array(found) - np.array(wanted)).max())


# What Chromium 156 shows of the same files, read from screenshots.
PNGS = {
    "nothing": ((), SAME),
    "gAMA as sRGB": ((gama(0.45455),), SAME),
    "gAMA within 5 %": ((gama(0.47),), SAME),
    "gAMA 1": ((gama(1.0),), OF_LINEAR),
    "gAMA of old Macs": (
        (gama(0.55556),),
        ((227, 40, 40), (210, 139, 77), (40, 210, 40), (77, 139, 210), (146, 146, 146)),
    ),
    "gAMA 0": ((gama(0),), SAME),
    "gAMA of nonsense": ((gama(20_000),), SAME),
    "cHRM alone": ((made.chrm(*P3_XY),), SAME),
    "cHRM and gAMA of sRGB": ((made.chrm(*SRGB_XY), gama(0.45455)), SAME),
    "cHRM of P3": (
        (made.chrm(*P3_XY), gama(0.45455)),
        ((241, 0, 0), (214, 116, 38), (0, 205, 0), (22, 123, 208), (129, 129, 129)),
    ),
    "cHRM of nonsense": ((made.chrm(*(0.0,) * 8), gama(0.45455)), SAME),
    "sRGB before gAMA": ((gama(1.0), chunk(b"sRGB", b"\0")), SAME),
    "cICP of P3": ((cicp(12, 13),), OF_P3),
    "cICP before iCCP": (
        (
            cicp(12, 13),
            made.iccp(srgb_profile()),
        ),
        OF_P3,
    ),
    "iCCP before gAMA": ((made.iccp(p3_profile()), gama(1.0)), OF_P3),
    "cICP with a matrix": ((cicp(12, 13, 6),), SAME),
    "cICP with a matrix, gAMA 1": ((cicp(12, 13, 6), gama(1.0)), OF_LINEAR),
    "cICP of limited range": ((cicp(12, 13, 0, 0),), SAME),
    "cICP that says nothing": ((cicp(2, 2),), SAME),
    "cICP too short": ((chunk(b"cICP", b"\x0c\x0d\0"),), SAME),
    "cICP of linear light": ((cicp(1, 8),), OF_LINEAR),
    "cICP of gamma 2.8": (
        (cicp(1, 5),),
        ((212, 8, 8), (189, 98, 36), (8, 189, 8), (36, 98, 189), (106, 106, 106)),
    ),
    "cICP of television": (
        (cicp(9, 14),),
        ((255, 0, 0), (235, 96, 22), (0, 208, 0), (0, 117, 205), (121, 121, 121)),
    ),
}


@pytest.mark.parametrize("name", PNGS)
def test_png_chunks_are_followed_in_the_order_of_browsers(name: str) -> None:
    """cICP, iCCP, sRGB, then gAMA with cHRM; what is broken or says nothing is passed over."""
    chunks, wanted = PNGS[name]
    assert off(shown(png(chart(), *chunks)), wanted) <= 2


def test_linear_light_comes_back() -> None:
    """16-bit linear values with gAMA 1 are the picture they were made of, dark colours too."""
    deep = (made.light(chart()) * 65535 + 0.5).astype(np.uint16)
    assert off(shown(png(deep, gama(1.0))), SAME) <= 1


def test_grey_and_palettes_have_gamma_too() -> None:
    """Grey stays grey, with its transparency; palette entries are converted like pixels."""
    grey = np.tile(np.array([32, 128], np.uint8).repeat(16), (16, 1))
    clear = np.dstack([grey, np.full_like(grey, 77)])
    assert pixels_of(one(png(grey, gama(1.0)), PNG))[8, [8, 24], 0].tolist() == [99, 188]
    found = pixels_of(one(png(clear, cicp(12, 8)), PNG))
    assert found[8, [8, 24]].tolist() == [[99, 99, 99, 77], [188, 188, 188, 77]]
    palette = io.BytesIO()
    Image.fromarray(chart()).quantize(8).save(palette, "PNG")
    data = palette.getvalue()
    # Behind the header, 33 bytes from the start.
    assert off(shown(data[:33] + gama(1.0) + data[33:]), OF_LINEAR) <= 1


NCLX = {
    (1, 13): SAME,
    (2, 2): SAME,
    (2, 13): SAME,
    (1, 1): SAME,
    (1, 10): SAME,
    (12, 13): OF_P3,
    (12, 1): OF_P3,
    (12, 2): OF_P3,
    (1, 4): ((222, 24, 24), (201, 120, 58), (24, 201, 25), (56, 121, 200), (129, 129, 129)),
    (1, 5): ((214, 8, 8), (189, 97, 37), (8, 189, 9), (35, 98, 187), (106, 106, 106)),
    (1, 8): OF_LINEAR,
    (9, 14): ((255, 0, 0), (235, 105, 40), (0, 212, 0), (0, 124, 206), (128, 128, 128)),
    (4, 4): ((255, 0, 0), (230, 114, 41), (0, 197, 0), (0, 130, 205), (129, 129, 129)),
    (10, 13): ((255, 0, 68), (255, 0, 64), (0, 255, 0), (0, 159, 206), (128, 128, 128)),
}
"""What Chromium 156 shows of AVIF with these primaries and transfer functions."""


@pytest.mark.parametrize("points", NCLX)
def test_nclx_is_followed(points: tuple[int, int]) -> None:
    """AVIF without a profile means what its code points say; BT.709 is shown as sRGB."""
    # Lossy: a chart that is a level off is up to three off in wide primaries.
    assert off(shown(made.avif(chart(), *points)), NCLX[points]) <= 4


def test_a_profile_stands_before_nclx() -> None:
    """A picture may have both boxes; browsers follow the profile."""
    pytest.importorskip("pi_heif", reason="the extra heif is not installed")
    both = everything(make_heic(icc=p3_profile(), nclx=(9, 16, 6)))
    assert both.probe.colour.source == "icc"
    alone = everything(make_heic(icc=p3_profile(), nclx=(1, 13, 6)))
    assert both.plan == alone.plan
    first, second = (pixels_of(done.renditions[0]).astype(int) for done in (both, alone))
    assert np.abs(first - second).max() <= 1


def test_the_bitstream_counts_where_there_is_no_box() -> None:
    """Without colour information in the container the AV1 sequence header has it."""
    data = encoded(chart(), "AVIF", quality=100, subsampling="4:4:4", speed=8)
    bare = data.replace(b"colrnclx", b"freenclx")
    assert everything(bare).probe.colour.source == "bitstream"
    assert off(shown(bare), SAME) <= 2


@pytest.mark.parametrize("said_by", [b"colrnclx", b"freenclx"])
@pytest.mark.parametrize("whole", ["full", "limited"])
def test_grey_avif_has_its_whole_range(whole: str, said_by: bytes) -> None:
    """Grey from 16 to 235 comes out from black to white, whether a box or the stream says so."""
    steps = np.tile(np.array([0, 20, 128, 235, 255], np.uint8).repeat(16), (16, 1))
    data = encoded(steps, "AVIF", quality=100, subsampling="4:0:0", range=whole, speed=8)
    found = patches_of(pixels_of(one(data.replace(b"colrnclx", said_by), PNG)))
    assert off(found, tuple((int(value),) * 3 for value in steps[0, ::16])) <= 2


@pytest.mark.parametrize("premultiplied", [False, True])
def test_transparent_avif_keeps_its_colours(*, premultiplied: bool) -> None:
    """Colours that are stored multiplied with alpha come out as they were."""
    alpha = np.full((*chart().shape[:2], 1), 128, np.uint8)
    data = encoded(
        np.concatenate([chart(), alpha], axis=2),
        "AVIF",
        quality=100,
        subsampling="4:4:4",
        speed=8,
        alpha_premultiplied=premultiplied,
    )
    assert (b"prem" in data) is premultiplied
    found = patches_of(pixels_of(one(data, PNG)))
    assert off(found, tuple((*colour, 128) for colour in PATCHES)) <= 4


def test_p3_is_kept_when_the_recipe_asks() -> None:
    """Values stay and every rendition carries the P3 profile, whatever said that they are P3."""
    for data in (made.avif(chart(), 12, 13), png(chart(), cicp(12, 13))):
        found = one(data, PNG, recipe=P3)
        profile = Image.open(io.BytesIO(found.data)).info["icc_profile"]
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
        assert "P3" in name
        assert off(shown(data, P3), SAME) <= 2
    plain = one(made.avif(chart(), 1, 13), PNG, recipe=P3)
    assert "icc_profile" not in Image.open(io.BytesIO(plain.data)).info


def test_grey_has_no_profile_of_colours() -> None:
    """Grey of P3 is that of sRGB: its files carry no profile, which would be one of RGB."""
    grey = np.full((16, 16), 128, np.uint8)
    for encoding in (PNG, Encoding(format=Format.JPEG)):
        found = one(png(grey, cicp(12, 13)), encoding, recipe=P3)
        assert "icc_profile" not in Image.open(io.BytesIO(found.data)).info
        assert abs(int(pixels_of(found)[8, 8, 0]) - 128) <= 1


def test_wider_than_p3_becomes_p3() -> None:
    """BT.2020 that is kept wide comes out as its matrix to P3 has it."""
    matrix = np.array(  # both have the white of D65: from their chromaticities, SMPTE RP 177
        [[1.3436, -0.2822, -0.0614], [-0.0653, 1.0758, -0.0105], [0.0028, -0.0196, 1.0168]]
    )
    share = np.clip(made.light(chart()) @ matrix.T, 0, 1)
    wanted = 255 * np.where(share < 0.0031308, share * 12.92, 1.055 * share ** (1 / 2.4) - 0.055)
    found = shown(png(chart(), cicp(9, 13)), P3)
    assert off(found, tuple(patches_of(np.rint(wanted).astype(np.uint8)))) <= 1


HEIC_POINTS = [(12, 13), (9, 14), (1, 8), (1, 4)]


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("points", HEIC_POINTS)
def test_heic_is_read_likewise(points: tuple[int, int], *, deep: bool) -> None:
    """nclx of a HEIC gives what cICP gives the same numbers in a PNG."""
    pytest.importorskip("pi_heif", reason="the extra heif is not installed")
    plain = pixels_of(one(make_heic(deep=deep, nclx=(1, 13, 6)), PNG))
    found = pixels_of(one(make_heic(deep=deep, nclx=(*points, 6)), PNG))
    # cICP shows BT.709 as television does, nclx as sRGB.
    transfer = 13 if points[1] == 14 else points[1]
    wanted = pixels_of(one(png(plain, cicp(points[0], transfer)), PNG))
    assert np.abs(found.astype(int) - wanted).max() <= (3 if deep else 1)


def test_grey_heic_of_ten_bits_is_read() -> None:
    """A grey picture of 10 bits comes out grey, from black to white."""
    pytest.importorskip("pi_heif", reason="the extra heif is not installed")
    made_of = everything(make_heic(deep=True, grey=True, claim=(64, 64)), PNG)
    assert (made_of.probe.colour_space, made_of.probe.bit_depth) == ("grey", 10)
    found = pixels_of(made_of.renditions[0])[24, ::9, :3].astype(int)
    wanted = np.linspace(0, 255, 64)[::9]
    assert np.abs(found - wanted[:, None]).max() <= 3


# --- HDR ------------------------------------------------------------------------------------------


def hdr_files() -> dict[str, bytes]:
    """The chart as bright as a page, in every way of saying so."""
    brightness = nits(chart())
    return {
        "PNG, PQ": png(pq(brightness), cicp(9, 16)),
        "PNG, HLG": png(hlg(brightness), cicp(9, 18)),
        "AVIF, PQ": made.deep_avif(pq(brightness), 9, 16),
        "AVIF, HLG": made.deep_avif(hlg(brightness), 9, 18),
    }


@pytest.mark.parametrize("name", ["PNG, PQ", "PNG, HLG", "AVIF, PQ", "AVIF, HLG"])
def test_hdr_as_bright_as_a_page_comes_back(name: str) -> None:
    """Pixels up to reference white, 203 cd/m2, are within 20 levels of their original."""
    data = hdr_files()[name]
    assert off(shown(data), SAME) <= 20
    done = everything(data)
    assert done.probe.colour.hdr
    assert done.plan.decode.tone_map == "hable"


@pytest.mark.parametrize("code", [(16, pq), (18, hlg)])
def test_highlights_stay_apart(code: tuple[int, object]) -> None:
    """From black to 1000 cd/m2 every step is brighter than the one before, and grey."""
    steps = np.array([0, 5, 20, 50, 100, 203, 400, 700, 1000], float)
    brightness = np.repeat(np.repeat(steps, 8)[None, :, None], 8, axis=0).repeat(3, axis=2)
    transfer, formula = code
    data = png(formula(brightness), cicp(9, transfer))  # type: ignore[operator]
    found = pixels_of(one(data, PNG, width=72))[4, 4::8].astype(int)
    assert np.ptp(found, axis=1).max() <= 1
    assert (np.diff(found[:, 0]) > 3).all()
    assert found[0, 0] == 0
    assert found[-1, 0] >= 254


def test_the_curve_is_that_of_videos() -> None:
    """Hable's curve as ffmpeg's tonemap has it, written out for a grey of 203 cd/m2."""

    def hable(x: float) -> float:
        return (x * (x * 0.15 + 0.05) + 0.004) / (x * (x * 0.15 + 0.5) + 0.06) - 0.02 / 0.3

    share = hable(203 / HDR_UNIT) / hable(HDR_PEAK / HDR_UNIT)
    value = round(255 * (1.055 * share ** (1 / 2.4) - 0.055))
    grey = png(pq(np.full((16, 16), 203.0)), cicp(9, 16))
    assert pixels_of(one(grey, PNG))[8, 8].tolist() == [value] * 3


def test_alpha_of_hdr_is_left_alone() -> None:
    """Only colours go through the curve."""
    fade = np.tile(np.linspace(0, 65535, 5 * made.SIDE).astype(np.uint16), (made.SIDE, 1))
    data = png(np.dstack([pq(nits(chart())), fade]), cicp(9, 16))
    found = pixels_of(one(data, PNG, width=5 * made.SIDE, height=None))
    assert np.abs(found[..., 3].astype(int) - (fade >> 8)).max() <= 1
    assert off(patches_of(found[..., :3])[1:], SAME[1:]) <= 20


def test_every_size_and_linear_resizing_have_the_same_colours() -> None:
    """Down the cascade, resized in linear light, and kept as P3."""
    data = png(pq(nits(chart())).repeat(8, axis=0).repeat(8, axis=1), cicp(9, 16))
    linear = Recipe(name="test", version=1, renditions=(), linear=True)
    for recipe, size in ((None, 64), (None, 320), (linear, 64), (P3, 320)):
        found = one(data, PNG, recipe=recipe, width=size)
        if recipe is P3:  # read by the profile that it carries
            found = one(found.data, PNG, width=size)
        assert off(patches_of(pixels_of(found)), SAME) <= 20


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_heic_keeps_its_ten_bits(transfer: int) -> None:
    """Tone mapping starts from what is stored: in 8 bits there would be steps."""
    pytest.importorskip("pi_heif", reason="the extra heif is not installed")
    found = everything(make_heic(deep=True, nclx=(9, transfer, 6)))
    assert found.probe.colour.hdr
    pixels = pixels_of(found.renditions[0]).astype(int)
    plain = pixels_of(one(make_heic(deep=True, nclx=(1, 13, 6)), PNG))
    wanted = pixels_of(one(png(plain, cicp(9, transfer)), PNG)).astype(int)
    assert np.abs(pixels - wanted).mean() < 3


def test_a_profile_may_say_that_it_is_hdr() -> None:
    """The cicp tag of a profile (ICC.1:2022) is believed where it says PQ or HLG."""
    profile = bytearray(p3_profile())
    count = int.from_bytes(profile[128:132], "big")
    # The last tag of the table becomes the new one, behind the profile.
    entry = 132 + 12 * (count - 1)
    profile[entry : entry + 12] = b"cicp" + len(profile).to_bytes(4, "big") + b"\0\0\0\x0c"
    profile += b"cicp\0\0\0\0" + bytes((9, 16, 0, 1))
    profile[:4] = len(profile).to_bytes(4, "big")
    data = png(pq(nits(chart())), made.iccp(bytes(profile)))
    found = everything(data).probe.colour
    assert (found.source, found.hdr) == ("icc", True)
    assert off(shown(data), SAME) <= 20


def test_tiles_have_the_same_colours(tmp_path: Path) -> None:
    """The zoom pyramid reads HDR as everything else does."""
    source = tmp_path / "in.png"
    source.write_bytes(png(pq(nits(chart())), cicp(9, 16)))
    done = cut(source, tmp_path / "out", TileOptions(format="png"), max_pixels=10_000)
    largest = max(done.folder.rglob("0_0.png"), key=lambda path: int(path.parent.name))
    assert off(patches_of(np.asarray(Image.open(largest).convert("RGB"))), SAME) <= 20


def test_comparing_sees_colours_and_not_numbers() -> None:
    """The same picture in Display P3 and in sRGB is alike; read as numbers it is not."""
    flat: Pixels = np.full((64, 64, 3), (60, 120, 200), np.uint8)
    flat[:32] = (200, 120, 60)
    wide = encoded(flat, "JPEG", quality=100, subsampling=0, icc_profile=p3_profile())
    converted = encoded(pixels_of(one(wide, PNG)), "PNG")
    assert compare(wide, converted).ssim > 0.995


_MEMORY = """
import pyvips
from tests.unit.peak import peak
from worker.domain.colour import Colour, Primaries, Transfer
from worker.imaging.colour import from_values
from worker.imaging.plan import Conversion

image = pyvips.Image.black(1000, 1000, bands=3).cast("ushort") + 30000
image = image.cast("ushort").copy(interpretation="rgb16").replicate(5, 4)
colour = Colour(primaries=Primaries.BT2020, transfer=Transfer.PQ)
before = peak()
image = from_values(image, Conversion.SRGB, colour)
assert 20 < image.avg() < 200
print(peak() - before)
"""


def test_large_pictures_are_converted_in_pieces() -> None:
    """The floats of 20 megapixels, 240 MB, are never held at once."""
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(done.stdout) < 120_000
