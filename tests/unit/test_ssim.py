"""Structural similarity against its definition."""

from __future__ import annotations

import numpy as np
import pytest
import pyvips

from worker.imaging.ssim import ssim

Grey = np.ndarray[tuple[int, int], np.dtype[np.uint8]]


def picture(values: Grey) -> pyvips.Image:
    """A grey picture of these values."""
    height, width = values.shape
    image = pyvips.Image.new_from_memory(values.tobytes(), width, height, 1, "uchar")
    return image.copy(interpretation="b-w")


def noise(seed: int, shape: tuple[int, int] = (40, 52)) -> Grey:
    """Random grey values."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def by_definition(a: Grey, b: Grey) -> float:
    """Equation 13 of Wang et al. 2004, window by window, with numpy's own moments."""
    values = []
    for top in range(0, a.shape[0] // 4 * 4 - 7, 4):
        for left in range(0, a.shape[1] // 4 * 4 - 7, 4):
            x = a[top : top + 8, left : left + 8].astype(np.float64)
            y = b[top : top + 8, left : left + 8].astype(np.float64)
            covariance = ((x - x.mean()) * (y - y.mean())).mean()
            values.append(
                (2 * x.mean() * y.mean() + 6.5025)
                * (2 * covariance + 58.5225)
                / ((x.mean() ** 2 + y.mean() ** 2 + 6.5025) * (x.var() + y.var() + 58.5225))
            )
    return float(np.mean(values))


def test_equal_pictures_score_one() -> None:
    """A picture is like itself."""
    image = picture(noise(1))
    assert ssim(image, image) == pytest.approx(1.0)


def test_it_is_the_published_formula() -> None:
    """The fast block sums agree with the formula applied window by window."""
    a = noise(2)
    damaged = a.astype(int) + np.random.default_rng(3).normal(0, 20, a.shape)
    b = np.clip(damaged, 0, 255).astype(np.uint8)
    assert ssim(picture(a), picture(b)) == pytest.approx(by_definition(a, b), abs=1e-5)


def test_more_damage_scores_lower() -> None:
    """JPEG at falling qualities gives falling values."""
    smooth = pyvips.Image.gaussnoise(256, 256, mean=128, sigma=60, seed=1).gaussblur(3)
    image = smooth.cast("uchar").copy(interpretation="b-w")
    scores = [
        ssim(image, pyvips.Image.jpegload_buffer(image.jpegsave_buffer(Q=quality)))
        for quality in (95, 60, 20)
    ]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0.95


def test_tiny_pictures_are_one_window() -> None:
    """Pictures smaller than a window still have a value."""
    small = picture(noise(4, (3, 5)))
    assert ssim(small, small) == pytest.approx(1.0)


def test_sizes_must_agree() -> None:
    """Pictures of different sizes cannot be compared."""
    with pytest.raises(ValueError, match="sizes differ"):
        ssim(picture(noise(5)), picture(noise(5, (40, 40))))
