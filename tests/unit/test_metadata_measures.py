"""What pixels say: colours, perceptual hash, sharpness and tones."""

from __future__ import annotations

import io
import re

import numpy as np
import numpy.typing as npt
import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from worker.domain.errors import EngineError
from worker.domain.image import Measures
from worker.imaging.metadata import hamming, measure
from worker.imaging.metadata.measures import (
    COLOURS_LIMIT,
    palette,
    perceptual_hash,
    sharpness,
    tones,
)

Pixels = npt.NDArray[np.uint8]


def scenery(seed: int, width: int = 384, height: int = 256) -> Pixels:
    """Something like a photo: soft shapes of several sizes and colours, with fine grain."""
    random = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3))
    for cells in (3, 6, 24):
        coarse = random.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        layer = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        picture += np.asarray(layer) * (3.0 / cells)
    picture *= 255.0 / picture.max()
    return (picture + random.normal(0, 4, picture.shape)).clip(0, 255).astype(np.uint8)


def areas(*shares: tuple[str, float]) -> Pixels:
    """A picture of 200 x 100 pixels with vertical bars of these"""
    pixels = np.zeros((100, 200, 3), dtype=np.uint8)
    start = 0
    for name, share in shares:
        end = start + round(200 * share)
        pixels[:, start:end] = tuple(bytes.fromhex(name[1:]))
        start = end
    return pixels


def flat(width: int, height: int, *colour: int) -> Pixels:
    """A picture of one colour, with or without alpha."""
    return np.full((height, width, len(colour)), colour, dtype=np.uint8)


def measured(pixels: Pixels) -> Measures:
    """Measure pixels of height x width x bands."""
    height, width, bands = pixels.shape
    image = pyvips.Image.new_from_memory(pixels.tobytes(), width, height, bands, "uchar")
    return measure(image.copy(interpretation="srgb"))


def jpeg(pixels: Pixels, quality_: int) -> Pixels:
    """The same picture after a trip through a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality_)
    return np.asarray(Image.open(file))


def resized(pixels: Pixels, width: int, height: int) -> Pixels:
    """The same picture in another size."""
    size = (width, height)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def blurred(pixels: Pixels, sigma: float) -> Pixels:
    """The same picture out of focus."""
    height, width, bands = pixels.shape
    image = pyvips.Image.new_from_memory(pixels.tobytes(), width, height, bands, "uchar")
    return np.asarray(image.gaussblur(sigma).numpy())


def close(name: str, expected: str, by: int = 3) -> bool:
    """Whether two colours differ by at most ``by`` in each channel."""
    pairs = zip(bytes.fromhex(name[1:]), bytes.fromhex(expected[1:]), strict=True)
    return all(abs(one - other) <= by for one, other in pairs)


# --- perceptual hash --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_hash_survives_what_pipelines_do(seed: int) -> None:
    """Recompressed, resized, brightened and slightly blurred pictures keep nearly all bits."""
    original = scenery(seed)
    reference = measured(original).phash
    brighter = (original * 0.9 + 20.0).clip(0, 255).astype(np.uint8)
    changed = {
        "recompressed": jpeg(original, 40),
        "half": resized(original, 192, 128),
        "third": resized(original, 128, 85),
        "double": resized(original, 512, 341),
        "brighter": brighter,
        "blurred": blurred(original, 1.5),
    }
    distances = {name: hamming(reference, measured(it).phash) for name, it in changed.items()}
    assert max(distances.values()) <= 6, distances


def test_hashes_of_different_pictures_differ() -> None:
    """No two of thirty pictures are within the distance of look-alikes."""
    hashes = [measured(scenery(seed)).phash for seed in range(30)]
    distances = [hamming(a, b) for i, a in enumerate(hashes) for b in hashes[:i]]
    assert min(distances) > 10
    assert 24 < sum(distances) / len(distances) < 40


def test_hash_is_the_documented_one() -> None:
    """Bits are coefficients above their median, by rows, from a transform written out in full."""
    luma = Image.fromarray(scenery(1, 32, 32)).convert("L")
    plane = np.asarray(luma, dtype=np.float64)
    expected = []
    for v in range(8):
        for u in range(8):
            x, y = np.arange(32), np.arange(32)
            wave = np.cos(np.pi * (y[:, None] + 0.5) * v / 32) * np.cos(np.pi * (x + 0.5) * u / 32)
            scale = (1.0 if u else 0.5**0.5) * (1.0 if v else 0.5**0.5) / 16.0
            expected.append(round(float((plane * wave).sum() * scale)))
    bits = "".join("1" if value > np.median(expected) else "0" for value in expected)
    assert perceptual_hash(luma) == f"{int(bits, 2):016x}"


@pytest.mark.parametrize("level", [1, 77, 128, 255])
def test_hash_of_a_flat_picture_has_no_noise(level: int) -> None:
    """All flat pictures but black have the same hash: their mean and nothing else."""
    assert measured(flat(50, 30, level, level, level)).phash == "8" + "0" * 15


def test_hamming_counts_bits() -> None:
    """The distance is the number of differing bits, and only of hexadecimal text."""
    assert hamming("ffffffffffffffff", "0000000000000000") == 64
    assert hamming("8000000000000001", "8000000000000000") == 1
    assert hamming("c129", "c129") == 0
    with pytest.raises(ValueError, match="invalid literal"):
        hamming("xyz", "0")


# --- colours ----------------------------------------------------------------------------------


def test_known_areas_give_their_colours() -> None:
    """Three bars are three colours, in the order of what they cover."""
    found = measured(areas(("#1f6fb2", 0.2), ("#d9a441", 0.55), ("#2b8a3e", 0.25)))
    assert len(found.palette) == 3
    assert close(found.dominant, "#d9a441")
    assert [
        close(name, expected)
        for name, expected in zip(found.palette, ["#d9a441", "#2b8a3e", "#1f6fb2"], strict=True)
    ] == [True, True, True]


def test_shades_are_one_colour_and_accents_their_own() -> None:
    """A noisy, shaded background is one entry, and a small accent is not lost in it."""
    pixels = np.random.default_rng(0).normal(200, 6, (100, 200, 3))
    pixels += np.linspace(-15, 15, 200)[:, np.newaxis]
    pixels[40:60, 80:110] = (200, 20, 30)
    found = measured(pixels.clip(0, 255).astype(np.uint8))
    assert close(found.dominant, "#c8c8c8", by=8)
    assert len(found.palette) == 2
    assert close(found.palette[1], "#c8141e", by=4)


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (18, 52, 86)])
def test_one_colour_is_named_exactly(colour: tuple[int, int, int]) -> None:
    """A picture of one colour has exactly that one."""
    found = measured(flat(90, 60, *colour))
    assert found.palette == (found.dominant,) == ("#{:02x}{:02x}{:02x}".format(*colour),)


def test_grey_pictures_have_grey_colours() -> None:
    """The colours of a grey picture have no tint."""
    ramp = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(1, 256, 3).repeat(64, axis=0)
    found = measured(ramp)
    assert all(name[1:3] == name[3:5] == name[5:7] for name in found.palette)
    assert len(found.palette) == COLOURS_LIMIT


def test_no_pixels_have_no_colours() -> None:
    """A palette of nothing is empty."""
    assert palette(np.zeros((0, 3), dtype=np.uint8)) == ()


# --- sharpness and tones ----------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_blur_lowers_sharpness(seed: int) -> None:
    """The more a picture is blurred, the lower its sharpness."""
    original = scenery(seed)
    values = [measured(original).sharpness]
    values += [measured(blurred(original, sigma)).sharpness for sigma in (0.6, 1.2, 2.5)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 5 * values[-1]


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    """A single bright point has the value worked out by hand."""
    plane = np.zeros((5, 5), dtype=np.uint8)
    plane[2, 2] = 10
    # Nine inner pixels: -40 once and 10 four times; their mean is 0.
    assert sharpness(plane) == round((1600 + 4 * 100) / 9, 2)


def test_tones_of_known_areas() -> None:
    """Mean, deviation and clipped shares of black, white and grey are what arithmetic says."""
    found = measured(areas(("#000000", 0.25), ("#ffffff", 0.25), ("#808080", 0.5)))
    assert found.brightness == pytest.approx(0.25 + 0.5 * 128 / 255, abs=1e-3)
    assert found.contrast == pytest.approx(0.5 / 2**0.5, abs=1e-3)
    assert (found.clipped_dark, found.clipped_light) == (0.25, 0.25)


def test_clipping_starts_at_its_documented_levels() -> None:
    """Levels 4 and 251 are clipped, 5 and 250 are not."""
    assert tones([0] * 4 + [1, 1] + [0] * 244 + [1, 1] + [0] * 4) == {
        "brightness": 0.5,
        "contrast": 0.4824,
        "clipped_dark": 0.25,
        "clipped_light": 0.25,
    }
    assert set(tones([0] * 256).values()) == {0.0}


# --- alpha, small and strange pictures --------------------------------------------------------


def test_unseen_pixels_do_not_count() -> None:
    """Green under full transparency is neither a colour nor a tone; what is seen is."""
    pixels = flat(120, 80, 0, 255, 0, 0)
    pixels[20:60, 30:90] = (200, 40, 60, 255)
    found = measured(pixels)
    assert [close(name, "#c8283c") for name in found.palette] == [True]
    assert found.brightness == pytest.approx(
        (0.299 * 200 + 0.587 * 40 + 0.114 * 60) / 255, abs=0.01
    )
    assert found.contrast < 0.01


def test_what_hides_under_transparency_changes_nothing() -> None:
    """Two pictures that look the same measure the same, whatever their unseen pixels are."""
    pixels = np.dstack([scenery(3), np.full((256, 384), 255, dtype=np.uint8)])
    pixels[:64, :, 3] = 0
    other = pixels.copy()
    other[:64, :, :3] = 255 - other[:64, :, :3]
    assert measured(pixels) == measured(other)


def test_specks_have_their_colour() -> None:
    """An area that the sample of pixels misses still contributes its colour."""
    pixels = flat(512, 512, 0, 0, 0, 0)
    pixels[256:258, 256:258] = (200, 40, 60, 255)
    assert close(measured(pixels).dominant, "#c8283c", by=10)


def test_full_alpha_is_no_alpha() -> None:
    """An alpha band that is opaque everywhere measures as if it were not there."""
    pixels = scenery(4)
    opaque = np.dstack([pixels, np.full(pixels.shape[:2], 255, dtype=np.uint8)])
    assert measured(opaque) == measured(pixels)


def test_faint_pictures_are_measured() -> None:
    """A picture that is faint all over still has its colours and tones."""
    found = measured(flat(40, 40, 200, 40, 60, 90))
    assert close(found.dominant, "#c8283c")
    assert found.brightness > 0.3


def test_nothing_to_see() -> None:
    """A fully transparent picture is black with an empty palette and zeros."""
    found = measured(flat(40, 30, 255, 0, 0, 0))
    assert found == Measures(
        dominant="#000000",
        palette=(),
        thumbhash=found.thumbhash,
        phash="0" * 16,
        sharpness=0.0,
        brightness=0.0,
        contrast=0.0,
        clipped_dark=0.0,
        clipped_light=0.0,
    )


@pytest.mark.parametrize("size", [(1, 1), (512, 1), (1, 512), (2, 2), (3, 3), (512, 3), (65, 64)])
@pytest.mark.parametrize("colour", [(200, 40, 60), (200, 40, 60, 255), (200, 40, 60, 180)])
def test_smallest_pictures(size: tuple[int, int], colour: tuple[int, ...]) -> None:
    """A single pixel and a single line measure like any flat picture."""
    found = measured(flat(*size, *colour))
    assert close(found.dominant, "#c8283c")
    assert found.phash == "8" + "0" * 15
    assert (found.sharpness, found.contrast) == (0.0, 0.0)


@given(st.integers(1, 80), st.integers(1, 80), st.sampled_from([3, 4]), st.integers(0, 2**32 - 1))
def test_every_picture_has_measures_in_range(
    width: int, height: int, bands: int, seed: int
) -> None:
    """Any pixels give values in their documented ranges and forms, twice the same."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, bands), dtype=np.uint8)
    found = measured(pixels)
    assert found == measured(pixels)
    assert len(found.palette) <= COLOURS_LIMIT
    assert all(re.fullmatch("#[0-9a-f]{6}", name) for name in (found.dominant, *found.palette))
    assert re.fullmatch("[0-9a-f]{16}", found.phash)
    assert found.sharpness >= 0.0
    assert 0.0 <= found.brightness <= 1.0
    assert 0.0 <= found.contrast <= 0.5
    assert 0.0 <= found.clipped_dark + found.clipped_light <= 1.0 + 1e-4


@pytest.mark.parametrize(
    "image",
    [
        pyvips.Image.black(8, 8),
        pyvips.Image.black(8, 8, bands=5),
        pyvips.Image.black(8, 8, bands=3).cast("ushort"),
    ],
)
def test_other_pixel_formats_are_a_defect(image: pyvips.Image) -> None:
    """A preview that is not 8-bit RGB or RGBA is an error of the engine, not of the upload."""
    with pytest.raises(EngineError, match="has no measures"):
        measure(image)
