"""Damage: that it is filled where it is marked, found where it is not, and nothing else moves."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.unit.operations.scenes import calm, noisy, raster, scenery
from worker.domain.errors import Reason, UnsuitableInput
from worker.imaging.operations.raster import Raster
from worker.imaging.operations.restore import restore, scratches

CLEAN = noisy(calm(320, 240, seed=7), 2)
LINES = [((30, 20), (250, 190), 2), ((300, 30), (210, 230), 1), ((20, 200), (160, 215), 3)]
MARKED = np.zeros((240, 320), np.uint8)
for _start, _end, _width in LINES:
    cv2.line(MARKED, _start, _end, (255,), _width)
MASK = Raster(colour=np.repeat(MARKED[..., None], 3, axis=2), grey=True)


def damaged(level: int = 245) -> np.ndarray:
    """The clean picture with scratches of one brightness."""
    made = CLEAN.copy()
    made[MARKED > 0] = level
    return made


def error(picture: np.ndarray) -> float:
    """Mean squared error where the damage was."""
    return float(np.mean((picture.astype(float) - CLEAN)[MARKED > 0] ** 2))


@pytest.mark.parametrize("method", ["telea", "navier-stokes"])
def test_marked_damage_is_filled(method: str) -> None:
    """The error falls to a hundredth, and beside the mask nothing changes."""
    made = restore(raster(damaged()), MASK, method=method)  # type: ignore[arg-type]

    assert error(made.raster.colour) < error(damaged()) / 100
    beside = cv2.dilate(MARKED, np.ones((3, 3), np.uint8)) == 0
    assert np.array_equal(made.raster.colour[beside], CLEAN[beside])


@pytest.mark.parametrize("level", [5, 250])
def test_scratches_are_found(level: int) -> None:
    """Light and dark ones; nine tenths of them, and little that is none."""
    found = scratches(damaged(level)) > 0

    near = cv2.dilate(MARKED, np.ones((5, 5), np.uint8)) > 0
    assert found[MARKED > 0].mean() > 0.9
    assert near[found].mean() > 0.8


def test_found_scratches_are_filled() -> None:
    """Without a mask the error falls to a tenth at least."""
    made = restore(raster(damaged()))

    assert made.regions >= 1
    assert error(made.raster.colour) < error(damaged()) / 10


def test_an_undamaged_picture_is_left_alone() -> None:
    """Where no scratch is found, the result is equal to the picture."""
    made = restore(raster(CLEAN), sensitivity=0.2)

    assert (made.regions, made.share) == (0, 0.0)
    assert np.array_equal(made.raster.colour, CLEAN)


def test_places_apart_are_filled_as_together() -> None:
    """Holes that do not see each other give what OpenCV gives for the whole picture."""
    spots = np.zeros((120, 160), np.uint8)
    for place in ((20, 20), (90, 30), (120, 90)):
        cv2.circle(spots, place, 5, (255,), -1)
    picture = scenery(160, 120, seed=2)
    mask = Raster(colour=np.repeat(spots[..., None], 3, axis=2))

    made = restore(raster(picture), mask, grow=0)

    assert made.regions == 3
    whole = cv2.inpaint(picture, spots, 3.0, cv2.INPAINT_TELEA)
    assert np.array_equal(made.raster.colour, whole)


def test_a_mask_may_have_another_resolution() -> None:
    """Half the size in the same shape marks the same places."""
    half = raster(np.asarray(cv2.resize(MASK.colour, (160, 120)), np.uint8))

    made = restore(raster(damaged()), half, grow=2)

    assert error(made.raster.colour) < error(damaged()) / 50


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (np.zeros((240, 320, 3), np.uint8), "marks nothing"),
        (np.full((240, 320, 3), 255, np.uint8), "inverted"),
        (np.full((240, 240, 3), 255, np.uint8), "different shapes"),
    ],
    ids=["empty", "full", "shape"],
)
def test_masks_that_cannot_be_meant_are_refused(mask: np.ndarray, said: str) -> None:
    """Each with the one code and its own sentence."""
    with pytest.raises(UnsuitableInput, match=said) as caught:
        restore(raster(CLEAN), raster(mask))

    assert caught.value.reason is Reason.MASK_UNUSABLE


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (40, 40)])
def test_the_smallest_pictures_pass(size: tuple[int, int]) -> None:
    """No scratch fits into them."""
    picture = np.full((*size, 3), 90, np.uint8)

    assert np.array_equal(restore(raster(picture)).raster.colour, picture)


def test_work_stops_between_places() -> None:
    """An exception of the step function ends the work before the next region is filled."""

    def step(share: float, what: str) -> None:
        if what.startswith("fill place 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(raster(damaged()), MASK, step=step)
