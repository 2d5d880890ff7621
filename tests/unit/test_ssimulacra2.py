"""The measure of similarity: equal to its reference, and sure of its edges."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ssimulacra2 import compute_ssimulacra2

from tests.unit.pictures import photo
from worker.imaging.ssimulacra2 import ScoreReference


@pytest.mark.parametrize(
    ("size", "form", "quality"),
    [((256, 256), "jpeg", 80), ((301, 259), "webp", 60), ((258, 320), "jpeg", 30)],
)
def test_scores_are_those_of_the_reference(
    tmp_path: Path, size: tuple[int, int], form: str, quality: int
) -> None:
    """PyPI's ssimulacra2 gives the same within a tenth, for odd sides and rough files too."""
    made = io.BytesIO()
    with Image.fromarray(photo(*size)) as image:
        image.save(tmp_path / "original.png")
        image.save(made, form, quality=quality)
    with Image.open(made) as opened:
        shown = opened.convert("RGB")
    shown.save(tmp_path / "made.png")
    expected = compute_ssimulacra2(tmp_path / "original.png", tmp_path / "made.png")
    found = ScoreReference(photo(*size)).score(np.asarray(shown))
    assert found == pytest.approx(expected, abs=0.1)
    assert expected < 95


def test_equal_pictures_score_a_hundred() -> None:
    """Equal pictures score 100 in colour, in grey, and if they are too small for a second scale."""
    for pixels in (photo(64, 64), photo(64, 64)[:, :, 0], photo(9, 15), photo(3, 3)):
        assert ScoreReference(pixels).score(pixels) == pytest.approx(100, abs=0.01)


def test_other_sizes_are_refused() -> None:
    """A score of pictures that do not lie on each other would mean nothing."""
    with pytest.raises(ValueError, match="sizes differ"):
        ScoreReference(photo(64, 64)).score(photo(64, 63))
