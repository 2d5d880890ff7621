"""Cutting out: that the subject is found, its edge lies where it is, and takes nothing along."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.unit.operations.scenes import calm, noisy, raster
from worker.domain.errors import Reason, UnsuitableInput
from worker.imaging.operations.background import cut_out
from worker.imaging.operations.raster import Raster

WIDTH, HEIGHT = 480, 360


def subject() -> np.ndarray:
    """A round thing with a foot, with soft edges: its alpha, 0 to 255."""
    large = np.zeros((HEIGHT * 4, WIDTH * 4), np.uint8)
    cv2.circle(large, (960, 620), 360, (255,), -1)
    corners = np.array([[820, 900], [1100, 900], [1260, 1260], [640, 1260]], np.int32)
    cv2.fillPoly(large, [corners], (255,))
    return np.asarray(cv2.resize(large, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)


ALPHA = subject()
COLOUR = np.array([40.0, 60, 215])


def scene(seed: int = 5) -> np.ndarray:
    """A red thing before a bluish, blurred ground."""
    ground = calm(WIDTH, HEIGHT, seed).astype(float) * [0.9, 0.7, 0.4]
    share = ALPHA[..., None] / 255
    shade = np.linspace(0.75, 1.1, HEIGHT)[:, None, None]
    return noisy((COLOUR * shade * share + ground * (1 - share)).clip(0, 255).astype(np.uint8), 3)


def overlap(alpha: np.ndarray) -> float:
    """Intersection over union of what is more than half there."""
    found, wanted = alpha > 127, ALPHA > 127
    return float((found & wanted).sum() / (found | wanted).sum())


@pytest.mark.parametrize("box", [None, (0.25, 0.1, 0.5, 0.85)], ids=["salience", "box"])
def test_the_subject_is_cut_out(box: tuple[float, float, float, float] | None) -> None:
    """Intersection over union with the true shape is 0.97 at least, found or given a box."""
    made = cut_out(raster(scene()), box=box)

    assert made.raster.alpha is not None
    assert overlap(made.raster.alpha) > 0.97
    assert made.share == pytest.approx(ALPHA.mean() / 255, rel=0.03)


def test_the_edge_is_soft_and_in_place() -> None:
    """Alpha differs from the truth by little, and is neither a stair nor a haze."""
    alpha = cut_out(raster(scene())).raster.alpha
    assert alpha is not None
    rim = (cv2.dilate(ALPHA, np.ones((9, 9))) > 0) & (cv2.erode(ALPHA, np.ones((9, 9))) < 255)

    assert np.abs(alpha.astype(int) - ALPHA)[rim].mean() < 20
    assert 0.05 < np.mean((alpha[rim] > 8) & (alpha[rim] < 247)) < 0.7
    assert set(np.unique(alpha[~rim])) == {0, 255}


def test_a_hard_edge_is_hard() -> None:
    """A feather of 0 leaves nothing half there."""
    alpha = cut_out(raster(scene()), feather=0).raster.alpha

    assert alpha is not None
    assert set(np.unique(alpha)) == {0, 255}


def test_the_rim_keeps_no_old_background() -> None:
    """Laid on white, pixels at the edge are mixtures of red and white, not of blue."""
    made = cut_out(raster(scene())).raster
    assert made.alpha is not None
    rim = (made.alpha > 60) & (made.alpha < 200)

    blue, _, red = made.colour[rim].astype(float).mean(axis=0)
    before, _, after = scene()[rim].astype(float).mean(axis=0)
    assert red - blue > after - before + 15
    assert made.colour[made.alpha == 0].max() == 0


def test_trimming_cuts_to_the_subject() -> None:
    """The picture ends where the subject does, and the box says where that was."""
    made = cut_out(raster(scene()), trim=True)

    left, top, width, height = made.box
    assert (made.raster.width, made.raster.height) == (width, height)
    assert (left, top, width, height) == pytest.approx((150, 65, 180, 250), abs=12)


def test_the_edge_is_found_at_full_size() -> None:
    """A picture twice as large as the one that is cut keeps its edge within two pixels."""
    size = (3 * WIDTH, 3 * HEIGHT)
    large = np.asarray(cv2.resize(scene(), size, interpolation=cv2.INTER_CUBIC), np.uint8)
    wanted = cv2.resize(ALPHA, size, interpolation=cv2.INTER_CUBIC) > 127

    alpha = cut_out(raster(large)).raster.alpha
    assert alpha is not None
    wrong = (alpha > 127) != wanted
    allowed = cv2.dilate(wanted.astype(np.uint8), np.ones((5, 5))) - cv2.erode(
        wanted.astype(np.uint8), np.ones((5, 5))
    )
    assert wrong.sum() < 0.02 * wanted.sum()
    assert np.mean(allowed[wrong]) > 0.8


def test_what_was_transparent_stays_so() -> None:
    """Alpha is never more than the picture's own."""
    own = np.full((HEIGHT, WIDTH), 255, np.uint8)
    own[:, : WIDTH // 2] = 0

    alpha = cut_out(Raster(colour=scene(), alpha=own), box=(0.2, 0.1, 0.6, 0.85)).raster.alpha

    assert alpha is not None
    assert alpha[:, : WIDTH // 2].max() == 0


@pytest.mark.parametrize(
    "picture",
    [
        np.full((120, 160, 3), 128, np.uint8),
        np.full((1, 1, 3), 128, np.uint8),
        np.full((3, 300, 3), 10, np.uint8),
    ],
    ids=["flat", "one pixel", "narrow"],
)
@pytest.mark.parametrize("box", [None, (0.0, 0.0, 1.0, 1.0)], ids=["salience", "box"])
def test_pictures_without_a_subject_are_refused(
    picture: np.ndarray, box: tuple[float, float, float, float] | None
) -> None:
    """A picture without a subject is rejected with its code."""
    with pytest.raises(UnsuitableInput) as caught:
        cut_out(raster(picture), box=box)

    assert caught.value.reason is Reason.NO_SUBJECT


def test_the_same_picture_gives_the_same_cut() -> None:
    """Random choices inside start from the same seed."""
    first, second = cut_out(raster(scene())).raster, cut_out(raster(scene())).raster

    assert first.alpha is not None
    assert second.alpha is not None
    assert np.array_equal(first.alpha, second.alpha)
    assert np.array_equal(first.colour, second.colour)
