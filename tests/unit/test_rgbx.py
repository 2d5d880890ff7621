"""Four-byte pixels: they must be what libvips makes of the same picture, byte for byte."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st

from worker.imaging.geometry import Box, Size
from worker.imaging.rgbx import Rgbx


def noise(width: int, height: int) -> Rgbx:
    """Random pixels; nothing is harder to resize alike."""
    pixels = np.random.default_rng(width * 7919 + height).integers(0, 256, (height, width, 4))
    pixels[:, :, 3] = 255
    return Rgbx(pixels.astype(np.uint8))


def colours(picture: Rgbx) -> npt.NDArray[np.uint8]:
    """Red, green and blue."""
    return picture.pixels[:, :, :3]


@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    new_width=st.integers(1, 300),
    new_height=st.integers(1, 300),
)
def test_resizing_gives_the_size_that_was_asked_for(
    width: int, height: int, new_width: int, new_height: int
) -> None:
    """Any size to any other, larger or smaller, in each direction."""
    assert noise(width, height).resized(Size(new_width, new_height)).size == Size(
        new_width, new_height
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((100, 80), (77, 61)),
        ((640, 480), (100, 75)),
        ((333, 222), (333, 100)),
        ((333, 222), (100, 222)),
        ((300, 200), (600, 400)),
        ((2000, 1500), (200, 150)),
    ],
)
def test_resizing_gives_the_bytes_of_libvips(
    before: tuple[int, int], after: tuple[int, int]
) -> None:
    """Two vertical passes are the horizontal one and the vertical one, without rounding apart."""
    picture = noise(*before)
    scales = after[0] / before[0], after[1] / before[1]
    usual = picture.vips().resize(scales[0], vscale=scales[1], kernel="lanczos3")
    assert np.array_equal(colours(picture.resized(Size(*after))), usual.numpy())


@pytest.mark.parametrize("orientation", range(2, 9))
def test_turning_is_that_of_libvips(orientation: int) -> None:
    """All orientations, on a picture where no two of them look alike."""
    picture = noise(70, 130)  # more than a strip high
    tagged = picture.vips().copy()
    tagged.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    assert np.array_equal(colours(picture.upright(orientation)), tagged.autorot().numpy())


def test_a_cut_is_a_part() -> None:
    """A box of the picture, in memory of its own."""
    picture = noise(40, 30)
    part = picture.cut(Box(5, 7, 20, 10))
    assert np.array_equal(part.pixels, picture.pixels[7:17, 5:25])
    assert part.pixels.flags.c_contiguous


def test_pillow_and_libvips_see_the_same() -> None:
    """Both views have the picture's size and colours."""
    picture = noise(31, 17)
    assert picture.pillow().size == (31, 17)
    assert np.array_equal(np.asarray(picture.pillow().convert("RGB")), picture.vips().numpy())
    assert np.array_equal(Rgbx.of(picture.vips()).pixels, picture.pixels)
