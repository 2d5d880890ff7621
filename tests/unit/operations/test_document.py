"""Pages: that corners are found to a fraction of a pixel, and what becomes of the paper."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.unit.operations.scenes import photographed, raster, scenery, sheet
from worker.domain.errors import Reason, UnsuitableInput
from worker.imaging.operations.document import document

PAGE = sheet()


@pytest.mark.parametrize(("tilt", "turn"), [(0.0, 0.0), (15.0, -10.0), (28.0, 14.0)])
def test_the_corners_of_a_page_are_found(tilt: float, turn: float) -> None:
    """Within a pixel of where the camera put them."""
    photo, corners = photographed(PAGE, tilt=tilt, turn=turn)

    made = document(raster(photo))

    assert made.corners is not None
    assert np.abs(np.asarray(made.corners) - corners).max() < 1.0


@pytest.mark.parametrize("tilt", [0.0, 18.0, 28.0])
def test_a_straightened_page_has_its_own_shape(tilt: float) -> None:
    """Width to height is the sheet's, within 2 per cent, however the camera was held."""
    photo, _ = photographed(PAGE, tilt=tilt)

    made = document(raster(photo)).raster

    assert made.width / made.height == pytest.approx(420 / 594, rel=0.02)


def test_a_straightened_page_lies_on_the_original() -> None:
    """Text is where it is on the sheet: scaled to one size, they correlate."""
    photo, _ = photographed(PAGE, tilt=20)

    made = document(raster(photo), clean="grey").raster.colour
    sized = cv2.resize(made, (420, 594), interpolation=cv2.INTER_AREA)

    one, other = (
        np.asarray(cv2.GaussianBlur(item, (0, 0), 2), np.float64).ravel() for item in (sized, PAGE)
    )
    assert np.corrcoef(one, other)[0, 1] > 0.9


def test_uneven_light_is_taken_out() -> None:
    """Paper that got darker from left to right is white on both sides."""
    photo, _ = photographed(PAGE)

    before = document(raster(photo), clean="none").raster.colour
    clean = document(raster(photo)).raster.colour

    middle = clean.shape[1] // 2
    assert np.median(before[:, :middle]) > np.median(before[:, middle:]) + 15
    assert np.median(clean[:, :middle]) == np.median(clean[:, middle:]) == 255
    assert clean.min() < 90


def test_black_and_white_is_only_that() -> None:
    """Two levels are left, and about as much ink as there is in grey."""
    photo, _ = photographed(PAGE, noise=4)

    grey = document(raster(photo), clean="grey").raster.colour
    made = document(raster(photo), clean="black-white").raster

    assert made.grey
    assert set(np.unique(made.colour)) == {0, 255}
    assert np.mean(made.colour == 0) == pytest.approx(np.mean(grey < 160), rel=0.35)


@pytest.mark.parametrize("degrees", [-6.0, 3.0])
def test_a_skewed_scan_is_levelled(degrees: float) -> None:
    """A page that fills the picture has no outline; its lines of text say how it lies."""
    height, width = PAGE.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    scan = cv2.warpAffine(PAGE, turn, (width, height), borderValue=(250, 250, 250))

    made = document(raster(np.asarray(scan, np.uint8)))

    assert made.corners is None
    assert made.rotated == pytest.approx(-degrees, abs=0.15)


def test_a_picture_without_a_page_is_kept_whole() -> None:
    """The picture is neither cropped nor rotated, and the result reports that there was no page."""
    made = document(raster(scenery(300, 200)), clean="none")

    assert made.corners is None
    assert made.rotated == 0.0
    assert np.array_equal(made.raster.colour, scenery(300, 200))


def test_a_picture_without_a_page_can_be_refused() -> None:
    """Where the job says so, it is a verdict with its code."""
    with pytest.raises(UnsuitableInput) as caught:
        document(raster(scenery(300, 200)), missing="reject")

    assert caught.value.reason is Reason.NO_PAGE


def test_a_picture_on_the_page_keeps_its_colours() -> None:
    """Paper is made white, a photo printed on it is not."""
    page = sheet()
    page[220:420, 100:320] = (150, 110, 60)
    photo, _ = photographed(page, tilt=10, turn=4)

    made = document(raster(photo)).raster.colour
    middle = np.median(made[250:350:4, 150:250:4].reshape(-1, 3), axis=0)

    assert middle[0] > middle[1] > middle[2]
    assert middle[2] < 110


@pytest.mark.parametrize("size", [(1, 1), (2, 60), (33, 33)])
@pytest.mark.parametrize("clean", ["colour", "black-white"])
def test_the_smallest_pictures_pass(size: tuple[int, int], clean: str) -> None:
    """There is no page in them, and nothing fails."""
    made = document(raster(np.full((*size, 3), 90, np.uint8)), clean=clean)  # type: ignore[arg-type]

    assert made.raster.colour.shape == (*size, 3)
