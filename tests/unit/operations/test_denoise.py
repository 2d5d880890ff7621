"""Noise: that it is measured rightly, goes away, and leaves no trace of the tiles."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.operations.scenes import calm, noisy, psnr, raster, scenery
from worker.imaging.operations.denoise import denoise, noise
from worker.imaging.operations.raster import Raster

LUMA = float(np.linalg.norm([0.299, 0.587, 0.114]))
"""Standard deviation of luma where every channel has noise of 1."""


@pytest.mark.parametrize("sigma", [4.0, 10.0, 20.0])
def test_the_noise_of_a_picture_is_measured(sigma: float) -> None:
    """The estimate is within a fifth of the noise that was added."""
    found = noise(raster(noisy(calm(320, 240), sigma)))

    assert found.luma == pytest.approx(sigma * LUMA, rel=0.2)
    assert found.chroma == pytest.approx(sigma * 0.64, rel=0.2)


def test_shapes_are_not_taken_for_noise() -> None:
    """A clean picture full of edges has little noise, and loses little."""
    clean = scenery(320, 240)

    made = denoise(raster(clean))

    assert made.found.luma < 2.5
    assert psnr(made.raster.colour, clean) > 38


@pytest.mark.parametrize("sigma", [5.0, 15.0])
def test_denoising_comes_nearer_to_the_clean_picture(sigma: float) -> None:
    """At the strength it finds by itself, PSNR rises by 6 dB at least on a calm scene."""
    clean = calm(240, 180)
    spoiled = noisy(clean, sigma)

    made = denoise(raster(spoiled))

    assert psnr(made.raster.colour, clean) > psnr(spoiled, clean) + 6
    assert made.left.luma < made.found.luma / 3


def test_tiles_leave_no_seam() -> None:
    """Tiled and untiled results are the same, bit for bit, with any number of threads."""
    spoiled = raster(noisy(scenery(150, 130), 12))

    whole = denoise(spoiled, tile=1000)
    tiled = denoise(spoiled, tile=48, threads=2)

    assert np.array_equal(whole.raster.colour, tiled.raster.colour)


def test_a_given_strength_is_used() -> None:
    """Zero removes nothing from luma, a high one more than the estimate."""
    spoiled = raster(noisy(calm(120, 90), 8))

    gentle = denoise(spoiled, strength=0, chroma=0)
    strong = denoise(spoiled, strength=20)

    assert psnr(gentle.raster.colour, spoiled.colour) > 45
    assert strong.removed.luma == 20
    assert strong.left.luma < denoise(spoiled).left.luma


def test_grey_and_transparency_stay() -> None:
    """A grey picture stays grey, and what was transparent is not touched."""
    grey = np.repeat(noisy(calm(80, 60), 8)[..., :1], 3, axis=2)
    alpha = np.arange(80 * 60, dtype=np.uint32).reshape(60, 80).astype(np.uint8)

    made = denoise(Raster(colour=grey, alpha=alpha, grey=True)).raster

    assert made.grey
    assert np.ptp(made.colour, axis=2).max() == 0
    assert made.alpha is alpha


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (40, 1)])
def test_the_smallest_pictures_pass(size: tuple[int, int]) -> None:
    """There is nothing to measure in them, and nothing fails."""
    made = denoise(raster(np.full((*size, 3), 90, np.uint8)), strength=5)

    assert made.raster.colour.shape == (*size, 3)


def test_work_stops_between_tiles() -> None:
    """An exception of the step function ends the work at once."""
    told: list[float] = []

    def step(share: float, what: str) -> None:
        told.append(share)
        if share > 0.2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        denoise(raster(noisy(calm(200, 100), 9)), tile=50, step=step)

    assert told == sorted(told)
    assert len(told) < 6
