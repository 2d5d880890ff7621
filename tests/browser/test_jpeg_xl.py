"""Chromium shows JPEG XL renditions as they should: alpha, wide colour, animation, orientation."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
from PIL import Image
from playwright.sync_api import Browser

from tests.browser.chromium import asked, browser, show
from tests.unit.pictures import QUADRANTS, encoded, quadrants
from tests.unit.specimens import p3_profile
from worker.domain.image import Encoding, Format, Gamut, Recipe, RenditionSpec
from worker.imaging.engine import process

__all__ = ["browser"]

NEAR = 8
"""Levels of 255 that quality 90 changes in flat colours, at most."""

CORNERS = ((40, 25), (280, 25), (40, 175), (280, 175))
"""One point in each quarter of 320 x 200 pixels."""

MODERN = Recipe(
    name="browser",
    version=1,
    renditions=(
        RenditionSpec(
            name="large",
            width=320,
            minimum_saving=-1,
            encodings=(
                Encoding(format=Format.JPEG, quality=90),
                Encoding(format=Format.JXL, quality=90, effort=3, progressive=False),
            ),
        ),
    ),
)


def rendition(data: bytes, recipe: Recipe = MODERN, kind: Format = Format.JXL) -> bytes:
    """The one file of a format that a recipe makes."""
    (found,) = (one.data for one in process(data, recipe).renditions if one.format is kind)
    return found


def near(pixels: list[list[int]], wanted: tuple[tuple[int, ...], ...], margin: int = NEAR) -> bool:
    """Whether all values are within a margin; alpha is 255 where it is not said."""
    full = [[*one, 255][:4] for one in wanted]
    return bool(np.abs(np.array(pixels) - np.array(full)).max() <= margin)


def test_colours_and_orientation(browser: Browser) -> None:
    """An upright picture comes out as it is, one from a camera on its side comes out upright."""
    rotated = encoded(
        np.ascontiguousarray(np.rot90(quadrants())), "JPEG", quality=95, exif=_exif(6)
    )
    packed = replace(
        MODERN,
        renditions=(
            replace(
                MODERN.renditions[0],
                encodings=(
                    MODERN.renditions[0].encodings[0],
                    Encoding(format=Format.JXL, effort=3, repack=True),
                ),
            ),
        ),
    )
    plain, upright, from_jpeg, jpeg = show(
        browser,
        asked(rendition(encoded(quadrants())), *CORNERS),
        asked(rendition(rotated), *CORNERS),
        asked(rendition(rotated, packed), *CORNERS),
        asked(rendition(rotated, packed, Format.JPEG), *CORNERS, media_type="image/jpeg"),
    )
    for shown in (plain, upright, from_jpeg):
        assert (shown["width"], shown["height"]) == (320, 200)
        assert near(shown["pixels"], QUADRANTS), shown
    assert near(from_jpeg["pixels"], tuple(map(tuple, jpeg["pixels"])), 2)


def test_a_packed_original_keeps_its_orientation(browser: Browser) -> None:
    """A JPEG with an EXIF orientation, packed as it is, is shown as the JPEG is."""
    from worker.imaging import libjxl

    original = encoded(quadrants(), "JPEG", quality=95, exif=_exif(6))
    points = ((25, 40), (175, 40), (25, 280), (175, 280))
    jpeg, packed = show(
        browser,
        asked(original, *points, media_type="image/jpeg"),
        asked(libjxl.repack(original, effort=3), *points),
    )
    assert (packed["width"], packed["height"]) == (jpeg["width"], jpeg["height"]) == (200, 320)
    assert near(packed["pixels"], tuple(map(tuple, jpeg["pixels"])), 2)


def test_alpha(browser: Browser) -> None:
    """Half transparent and fully transparent pixels keep their alpha."""
    alpha = np.full((200, 320, 1), 255, np.uint8)
    alpha[:100, 160:] = 128
    alpha[100:, :160] = 0
    pixels = np.concatenate([quadrants(), alpha], axis=2)
    (shown,) = show(browser, asked(rendition(encoded(pixels)), *CORNERS))
    first, half, nothing, last = shown["pixels"]
    assert near([first, last], (QUADRANTS[0], QUADRANTS[3]))
    assert near([half], ((*QUADRANTS[1], 128),))
    assert nothing[3] <= 1


def test_wide_colours(browser: Browser) -> None:
    """A Display P3 picture keeps colours that sRGB lacks; code points say so, and no profile."""
    recipe = replace(MODERN, gamut=Gamut.P3)
    source = io.BytesIO()
    Image.fromarray(quadrants()).save(source, "PNG", icc_profile=p3_profile())
    wide = rendition(source.getvalue(), recipe)
    in_p3, in_srgb, plain = show(
        browser,
        asked(wide, *CORNERS, space="display-p3"),
        asked(wide, *CORNERS),
        asked(rendition(source.getvalue()), *CORNERS),
    )
    assert near(in_p3["pixels"], QUADRANTS)
    # The red quarter is more red than sRGB can say: it is cut off there.
    assert not near(in_srgb["pixels"], QUADRANTS)
    assert near(plain["pixels"], tuple(map(tuple, in_srgb["pixels"])))
    assert b"acsp" not in wide


def test_animation(browser: Browser) -> None:
    """Frames come in their order, for as long as they should, and as often."""
    frames = [
        Image.fromarray(np.roll(quadrants(), 160 * index, axis=1)).convert("RGB")
        for index in range(3)
    ]
    frames[2] = Image.fromarray(quadrants()[::-1].copy())
    source = io.BytesIO()
    frames[0].save(
        source,
        "WEBP",
        save_all=True,
        append_images=frames[1:],
        duration=[100, 250, 40],
        loop=2,
        lossless=True,
    )
    (shown,) = show(
        browser, asked(rendition(source.getvalue()), CORNERS[0], CORNERS[2], moving=True)
    )
    assert [frame["ms"] for frame in shown["frames"]] == [100, 250, 40]
    red, green, blue, yellow = QUADRANTS
    for frame, wanted in zip(
        shown["frames"], ((red, blue), (green, yellow), (blue, red)), strict=True
    ):
        assert near(frame["pixels"], wanted), frame


def _exif(orientation: int) -> Image.Exif:
    block = Image.Exif()
    block[0x0112] = orientation
    return block
