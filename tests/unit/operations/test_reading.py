"""Files to pixels for heavy work: upright, 8-bit, in sRGB, and nothing hostile gets through."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.unit.hostile import HOSTILE
from tests.unit.pictures import encoded, oriented, photo, quadrants
from tests.unit.specimens import saved, specimen
from worker.domain.errors import (
    EngineError,
    InputError,
    LimitExceeded,
    MemoryPressure,
    Reason,
    Rejected,
)
from worker.domain.image import Encoding, Format, Limits
from worker.imaging.operations.raster import LIMITS, read, read_all, write
from worker.imaging.operations.vision import opencv


@pytest.fixture
def stored(tmp_path: Path) -> Callable[[bytes], Path]:
    """Puts bytes into a file whose name says nothing."""

    def store(data: bytes) -> Path:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        path.write_bytes(data)
        return path

    return store


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_read_upright(orientation: int, stored: Callable[[bytes], Path]) -> None:
    """For every orientation the blue-green-red pixels are upright."""
    raster = read(stored(oriented(quadrants(32, 20), orientation)))

    assert np.array_equal(raster.colour[..., ::-1], quadrants(32, 20))


@pytest.mark.parametrize("name", ["jpeg", "webp", "avif", "gif", "tiff", "bmp", "png16"])
def test_every_kind_of_picture_becomes_eight_bits(
    name: str, stored: Callable[[bytes], Path]
) -> None:
    """Three channels of bytes come out, with the size of the probe."""
    made = {
        "png16": lambda: encoded(np.full((20, 32), 40_000, np.uint16)),
    }.get(name, lambda: saved(Image.fromarray(quadrants(32, 20)), name.upper()))()

    raster = read(stored(made))

    assert raster.colour.dtype == np.uint8
    assert raster.colour.shape == (20, 32, 3)


def test_grey_pictures_are_written_grey(stored: Callable[[bytes], Path], tmp_path: Path) -> None:
    """They are three equal channels in between, and one in the file."""
    raster = read(stored(encoded(quadrants(32, 20)[..., 0])))
    write(raster, Encoding(format=Format.PNG), tmp_path / "made")

    assert raster.grey
    assert Image.open(io.BytesIO((tmp_path / "made").read_bytes())).mode == "L"


def test_transparency_goes_there_and_back(stored: Callable[[bytes], Path], tmp_path: Path) -> None:
    """Alpha is read and written as it was; on white it is laid only where asked for."""
    pixels = np.dstack([quadrants(32, 20), np.arange(640, dtype=np.uint16).reshape(20, 32) // 3])
    raster = read(stored(encoded(pixels.astype(np.uint8))))
    write(raster, Encoding(format=Format.PNG), tmp_path / "made")

    assert raster.alpha is not None
    back = np.asarray(Image.open(io.BytesIO((tmp_path / "made").read_bytes())))
    assert np.array_equal(back, pixels.astype(np.uint8))
    assert np.array_equal(raster.on()[raster.alpha == 0], np.full((3, 3), 255))


def test_colour_profiles_are_followed(stored: Callable[[bytes], Path]) -> None:
    """A picture in Display P3 comes out in sRGB, as it does in renditions."""
    from worker.imaging.colour import p3_profile

    out = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), (200, 60, 60), np.uint8)).save(
        out, "JPEG", icc_profile=p3_profile(), quality=95
    )

    blue, green, red = read(stored(out.getvalue())).colour[4, 4]

    assert red > 210
    assert green < 50
    assert blue < 56


@pytest.mark.parametrize(
    "name", ["empty", "noise", "png-claim", "tiff-circle", "svg-script", "mp4"]
)
def test_hostile_files_are_rejected(name: str, stored: Callable[[bytes], Path]) -> None:
    """The probe rejects them with a code of their own, as everywhere."""
    make, _ = HOSTILE[name]

    with pytest.raises(Rejected):
        read(stored(make()), Limits())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_cut_files_are_refused(kind: str, stored: Callable[[bytes], Path]) -> None:
    """Half a picture is damaged, not half good."""
    whole = saved(Image.fromarray(photo(200, 150)), kind)

    with pytest.raises(Rejected) as caught:
        read(stored(whole[: len(whole) // 2]))

    assert caught.value.reason in (Reason.TRUNCATED, Reason.CORRUPT)


def test_what_is_not_read_has_a_code(stored: Callable[[bytes], Path], tmp_path: Path) -> None:
    """No operation asks for SVG; size on disk is enough to reject a file; one may be missing."""
    with pytest.raises(Rejected) as drawing:
        read(stored(specimen("svg")))
    with pytest.raises(LimitExceeded, match="limit of 10"):
        read(stored(bytes(11)), Limits(bytes=10))
    with pytest.raises(InputError) as missing:
        read(tmp_path / "nothing")

    assert drawing.value.reason is Reason.FORMAT_NOT_ALLOWED
    assert missing.value.code == "input_unreadable"


def test_several_pictures_have_one_limit(stored: Callable[[bytes], Path]) -> None:
    """Each is small enough; together they are not."""
    paths = [stored(encoded(quadrants(32, 20)))] * 3

    assert len(read_all(paths, 3 * 640)) == 3
    with pytest.raises(LimitExceeded, match="3 pictures have 1,920 pixels together"):
        read_all(paths, 3 * 640 - 1)
    with pytest.raises(LimitExceeded, match="limit of 600"):
        read_all(paths, 10_000, replace(LIMITS, pixels=600))


def test_errors_of_opencv_have_codes() -> None:
    """A failed assertion of OpenCV is a defect; out of memory is retryable."""
    with pytest.raises(EngineError, match="OpenCV"), opencv():
        cv2.cvtColor(np.zeros((2, 2), np.uint8), cv2.COLOR_BGR2GRAY)
    with pytest.raises(MemoryPressure), opencv():
        raise MemoryError


def test_threads_are_given_back() -> None:
    """The thread settings of an operation are restored at its end."""
    before = cv2.getNumThreads()

    with opencv(1):
        inside = cv2.getNumThreads()

    assert inside == 1
    assert cv2.getNumThreads() == before
