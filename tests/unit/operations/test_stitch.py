"""Panoramas: that they show the whole scene, and what is said where pictures do not fit."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest

from tests.unit.operations.scenes import noisy, raster, scenery, turned_camera
from worker.domain.errors import Reason, UnsuitableInput
from worker.imaging.operations.stitch import largest_filled, stitch

SCENE = scenery(1100, 560, seed=4)
VIEWS = [raster(noisy(turned_camera(SCENE, yaw), 2)) for yaw in (-17.0, -2.0, 13.0)]
STRANGER = raster(scenery(320, 240, seed=9))


def positions(panorama: np.ndarray, views: list[np.ndarray]) -> list[float]:
    """Where the middle of each view lies in the panorama, pixels from the left."""
    found: list[float] = []
    for view in views:
        patch = view[90:150, 130:190]
        _, score, _, place = cv2.minMaxLoc(cv2.matchTemplate(panorama, patch, cv2.TM_CCOEFF_NORMED))
        assert score > 0.7
        found.append(place[0] + 30)
    return found


def test_a_panorama_covers_the_scene() -> None:
    """Every view is found in it, in the order and at the distances the camera was turned by."""
    made = stitch([VIEWS[1], VIEWS[2], VIEWS[0]])

    places = positions(made.raster.colour, [view.colour for view in VIEWS])
    turns = [after - before for before, after in pairwise(places)]
    assert made.used == (0, 1, 2)
    # 15 degrees each, on a sphere whose radius is the focal length of 420 pixels.
    assert turns == pytest.approx([420 * np.radians(15)] * 2, rel=0.06)
    assert made.raster.width > 1.6 * VIEWS[0].width


def test_the_same_pictures_give_the_same_panorama() -> None:
    """Random choices inside start from the same seed."""
    first, second = stitch(VIEWS[:2]), stitch(VIEWS[:2])

    assert np.array_equal(first.raster.colour, second.raster.colour)


def test_a_cropped_panorama_has_no_gaps() -> None:
    """Cropping leaves no transparent pixel; without it the rim is transparent."""
    cropped, whole = stitch(VIEWS), stitch(VIEWS, crop=False)

    assert cropped.raster.alpha is None
    assert cropped.raster.colour.max(axis=2).min() > 0
    assert whole.raster.alpha is not None
    assert float((whole.raster.alpha > 0).mean()) == pytest.approx(whole.filled, abs=1e-6)
    assert whole.raster.height > cropped.raster.height


def test_flat_things_are_joined_as_scans() -> None:
    """Two halves of a flat picture give the picture again, to a pixel."""
    whole = scenery(460, 260, seed=6)
    halves = [raster(whole[:, :280]), raster(whole[:, 180:])]

    made = stitch(halves, mode="scans").raster

    assert abs(made.width - 460) <= 3
    assert abs(made.height - 260) <= 3


def test_a_stranger_is_named() -> None:
    """The message says which picture does not fit, counted from 1."""
    with pytest.raises(UnsuitableInput, match=r"number 2 shares too little") as caught:
        stitch([VIEWS[0], STRANGER, VIEWS[1]])

    assert caught.value.reason is Reason.NO_OVERLAP


def test_a_stranger_can_be_left_out() -> None:
    """With ``partial`` the others are joined, and the result says which."""
    made = stitch([VIEWS[0], STRANGER, VIEWS[1]], partial=True)

    assert made.used == (0, 2)


@pytest.mark.parametrize("mode", ["panorama", "scans"])
@pytest.mark.parametrize(
    "pair",
    [
        (VIEWS[0], STRANGER),
        (raster(np.full((60, 80, 3), 128, np.uint8)),) * 2,
        (raster(np.zeros((1, 1, 3), np.uint8)), VIEWS[0]),
    ],
    ids=["strangers", "flat", "one pixel"],
)
def test_pictures_that_do_not_fit_are_refused(pair: tuple, mode: str) -> None:  # type: ignore[type-arg]
    """Pictures without overlap are rejected with a code, not reported as a defect."""
    with pytest.raises(UnsuitableInput) as caught:
        stitch(pair, mode=mode)  # type: ignore[arg-type]

    assert caught.value.reason in (Reason.NO_OVERLAP, Reason.NOT_ALIGNED)


def test_the_largest_filled_rectangle_is_found() -> None:
    """In an L of two blocks it is the larger block, to the pixel."""
    filled = np.zeros((90, 1000), bool)
    filled[10:90, 20:117] = True
    filled[53:80, 20:961] = True

    assert largest_filled(filled) == (53, 20, 27, 941)


def test_without_a_filled_rectangle_nothing_is_cut() -> None:
    """A mask of nothing but gaps leaves the picture whole."""
    assert largest_filled(np.zeros((5, 7), bool)) == (0, 0, 5, 7)
