"""ThumbHash: the author's bytes, and pictures out of them."""

from __future__ import annotations

import base64

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.imaging.metadata import thumbhash

Pixels = npt.NDArray[np.uint8]


def scene(width: int, height: int, *, alpha: bool = False, grey: bool = False) -> Pixels:
    """A picture of whole-number arithmetic, so that any implementation can make it."""
    y, x = np.indices((height, width))
    red = 255 * x // width
    green = (97 * y * y + 31 * x) // 7 % 256
    blue = (x * x + 3 * y) % 256
    if grey:
        red = blue = green
    opacity = (x * x * 2 + y * y * 3) % 256 if alpha else np.full_like(x, 255)
    return np.stack([red, green, blue, opacity], axis=-1).astype(np.uint8)


def one_colour(width: int, height: int, *colour: int) -> Pixels:
    """A picture of one RGBA colour."""
    return np.full((height, width, 4), colour, dtype=np.uint8)


def drawn(placeholder: str) -> Pixels:
    """What a hash decodes to."""
    width, height, rgba = thumbhash.to_rgba(placeholder)
    return np.frombuffer(rgba, dtype=np.uint8).reshape(height, width, 4)


# Hash, size, and first, middle and last pixel, made with version 0.1.1 of the author's JavaScript.
REFERENCE = [
    (
        scene(60, 40),
        "H/gJJZxwZXd3d3d3hoiHd5CZCIiI",
        (32, 23),
        [[0, 98, 53, 255], [105, 121, 117, 255], [244, 87, 110, 255]],
    ),
    (
        scene(30, 45),
        "X+gNLRhgdneHeId3h4d4d7CrBniH",
        (23, 32),
        [[0, 105, 23, 255], [120, 148, 136, 255], [255, 132, 125, 255]],
    ),
    (
        scene(64, 64),
        "3/cJNxqAdnd3Z3d3h3h4h3d3B5mJcHgH",
        (32, 32),
        [[0, 117, 65, 255], [132, 113, 140, 255], [233, 140, 114, 255]],
    ),
    (
        scene(48, 32, alpha=True),
        "H/iFE44HcHV4h3iwiQaIiEREMhNhJgU=",
        (32, 19),
        [[71, 127, 105, 119], [119, 129, 124, 119], [194, 118, 129, 119]],
    ),
    (
        scene(25, 50, alpha=True),
        "X+iFGwwHYHd3eIfAuwaIiFanAQBCJCM=",
        (19, 32),
        [[80, 137, 86, 119], [120, 140, 131, 119], [184, 128, 102, 119]],
    ),
    (
        scene(50, 20, grey=True),
        "IAgGA4BdsnkGxGijAAAAAAA=",
        (32, 14),
        [[113, 109, 107, 255], [150, 146, 144, 255], [145, 141, 139, 255]],
    ),
    (
        scene(97, 5),
        "XggKKZhghFd3Z3h4kHcHiYg=",
        (32, 5),
        [[0, 67, 69, 255], [132, 154, 135, 255], [246, 90, 98, 255]],
    ),
    (
        one_colour(12, 8, 0, 0, 0, 0),
        "AAiCA4AAAAAAAAAAAAAAAAAAAAAAAAA=",
        (32, 19),
        [[3, 0, 0, 0], [3, 0, 0, 0], [3, 0, 0, 0]],
    ),
]


@pytest.mark.parametrize(("pixels", "expected", "size", "colours"), REFERENCE)
def test_same_as_the_authors(
    pixels: Pixels, expected: str, size: tuple[int, int], colours: list[list[int]]
) -> None:
    """Hashes and what is drawn from them are those of the original implementation."""
    assert thumbhash.encode(pixels) == expected
    width, height, rgba = thumbhash.to_rgba(expected)
    assert (width, height) == size
    flat = np.frombuffer(rgba, dtype=np.uint8).reshape(-1, 4)
    middle = width * (height // 2) + width // 2
    assert flat[[0, middle, -1]].tolist() == colours


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (64, 1), (1, 64), (100, 3), (6, 6), (100, 100)])
@pytest.mark.parametrize("opacity", [255, 136])
def test_one_colour_stays_that_colour(size: tuple[int, int], opacity: int) -> None:
    """However small or thin a picture of one colour is, its placeholder has that colour."""
    back = drawn(thumbhash.encode(one_colour(*size, 200, 100, 50, opacity))).astype(int)
    assert np.abs(back - [200, 100, 50, opacity]).max() <= 5
    assert np.ptp(back, axis=(0, 1)).tolist() == [0, 0, 0, 0]


def test_placeholder_looks_like_the_picture() -> None:
    """A dark left and a bright right half come back as such."""
    pixels = one_colour(60, 40, 20, 20, 40, 255)
    pixels[:, 30:] = (240, 220, 200, 255)
    back = drawn(thumbhash.encode(pixels)).astype(int)
    left, right = back[:, :12, :3].mean(axis=(0, 1)), back[:, 20:, :3].mean(axis=(0, 1))
    assert np.abs(left - [20, 20, 40]).max() < 30
    assert np.abs(right - [240, 220, 200]).max() < 30


@given(st.integers(1, 100), st.integers(1, 100), st.booleans(), st.integers(0, 2**32 - 1))
def test_every_picture_has_a_placeholder(width: int, height: int, alpha: bool, seed: int) -> None:
    """Any pixels of any size give at most 25 bytes that can be drawn in about their shape."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    if not alpha:
        pixels[..., 3] = 255
    placeholder = thumbhash.encode(pixels)
    assert len(base64.b64decode(placeholder)) <= 25
    back = drawn(placeholder)
    assert max(back.shape[:2]) == 32
    assert (back.shape[1] >= back.shape[0]) == (width >= height) or abs(width - height) < 20
    assert alpha or back[..., 3].min() == 255


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (101, 5), (5, 101)])
def test_sizes_out_of_range_are_refused(size: tuple[int, int]) -> None:
    """Sides of 0 and sides above the limit raise ValueError."""
    with pytest.raises(ValueError, match="do not fit"):
        thumbhash.encode(one_colour(*size, 1, 2, 3, 255))


@pytest.mark.parametrize("bad", ["", "AAAA", "*", "é", "AAAA/w==", "AAAAAAAA", "H/gJJZxwZXd3"])
def test_what_is_no_hash_is_refused(bad: str) -> None:
    """Text that is not base64, too short or without a size is a value error."""
    with pytest.raises(ValueError, match=r"not base64|too early|no size"):
        thumbhash.to_rgba(bad)


@given(st.binary(max_size=40))
def test_any_bytes_draw_or_are_refused(data: bytes) -> None:
    """Bytes from a stranger draw some picture or are a value error, nothing else."""
    try:
        width, height, rgba = thumbhash.to_rgba(base64.b64encode(data).decode())
    except ValueError:
        return
    assert len(rgba) == width * height * 4
    assert max(width, height) == 32
