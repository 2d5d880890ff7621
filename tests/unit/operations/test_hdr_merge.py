"""Exposure fusion: that exposures are laid on each other, and each gives what only it shows."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.operations.scenes import noisy, raster, scenery
from worker.domain.errors import Reason, UnsuitableInput
from worker.imaging.operations.hdr_merge import hdr_merge
from worker.imaging.operations.raster import Raster

WIDTH, HEIGHT = 300, 220
MARGIN = 20
LIGHT = (scenery(WIDTH + 2 * MARGIN, HEIGHT + 2 * MARGIN, seed=3) / 255.0) ** 2.2
SCENE = LIGHT * np.exp2(np.linspace(-3, 3, WIDTH + 2 * MARGIN))[None, :, None]
"""Linear light; the right end is 64 times as bright as the left one."""


def exposed(stops: float, right: int = 0, down: int = 0) -> Raster:
    """What a camera records that was moved by so many pixels."""
    recorded = np.clip(SCENE * 2.0**stops, 0, 1) ** (1 / 2.2) * 255
    rows = slice(MARGIN + down, MARGIN + down + HEIGHT)
    columns = slice(MARGIN + right, MARGIN + right + WIDTH)
    return raster(noisy(recorded[rows, columns].astype(np.uint8), 1.5))


def seen(picture: np.ndarray) -> float:
    """Share of values that are neither dark nor nearly white."""
    return float(np.mean((picture >= 30) & (picture <= 230)))


def test_shifts_are_found() -> None:
    """To the pixel, also for an exposure that is mostly white."""
    bracket = [exposed(-3, 7, -4), exposed(0), exposed(3, -11, 9)]

    made = hdr_merge(bracket)

    assert made.reference == 1
    assert made.shifts == ((7, -4), (0, 0), (-11, 9))
    assert (made.raster.width, made.raster.height) == (WIDTH - 18, HEIGHT - 13)


def test_alignment_makes_the_result_sharp() -> None:
    """A shifted bracket gives, aligned, what one without a shift gives."""
    still = hdr_merge([exposed(-2), exposed(1)], align=False).raster.colour
    moved = [exposed(-2, 6, 5), exposed(1)]

    aligned = hdr_merge(moved).raster.colour
    blurred = hdr_merge(moved, align=False).raster.colour[5:, 6:]
    wanted = still[: aligned.shape[0], : aligned.shape[1]]

    candidates = [still[5:, 6:], wanted]
    error = min(float(np.abs(aligned.astype(int) - other).mean()) for other in candidates)
    assert error < 4
    assert float(np.abs(blurred.astype(int) - still[5:, 6:]).mean()) > 2 * error


def test_more_is_seen_than_in_any_exposure() -> None:
    """More of a scene of 1 to 64 is well exposed in the result than in the best exposure."""
    bracket = [exposed(-3), exposed(0), exposed(3)]

    made = hdr_merge(bracket)

    assert seen(made.raster.colour) > max(seen(item.colour) for item in bracket) + 0.1


def test_the_order_plays_no_part() -> None:
    """The same exposures in another order give the same bytes."""
    bracket = [exposed(-3, 2, 1), exposed(0), exposed(2)]

    assert np.array_equal(hdr_merge(bracket).raster.colour, hdr_merge(bracket[::-1]).raster.colour)


def test_other_sizes_are_refused() -> None:
    """Pictures that cannot lie on each other are no bracket."""
    smaller = raster(exposed(0).colour[:-1])

    with pytest.raises(UnsuitableInput, match="300x219, 300x220") as caught:
        hdr_merge([exposed(0), smaller])

    assert caught.value.reason is Reason.SIZES_DIFFER


@pytest.mark.parametrize("level", [0, 255])
def test_exposures_without_anything_to_see_pass(level: int) -> None:
    """Black and white pictures move nowhere and fail nowhere."""
    blank = raster(np.full((HEIGHT, WIDTH, 3), level, np.uint8))

    made = hdr_merge([blank, exposed(0)])

    assert made.shifts == ((0, 0), (0, 0))


@pytest.mark.parametrize("size", [(1, 1), (3, 40)])
def test_the_smallest_pictures_pass(size: tuple[int, int]) -> None:
    """Too small to be aligned, they are merged as they lie."""
    pair = [raster(np.full((*size, 3), level, np.uint8)) for level in (40, 160)]

    assert hdr_merge(pair).raster.colour.shape == (*size, 3)
