"""The search for a quality: lowest that is good enough, bounded."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.unit.pictures import encoded, one, photo, vips_of
from worker.domain.image import Encoding, Format, QualityTarget
from worker.imaging.encode import Extras, Picture, encode
from worker.imaging.quality import Factors, QualitySample, decoded, find, search
from worker.imaging.ssim import ssim
from worker.imaging.ssimulacra2 import ScoreReference

ENCODINGS = [
    Encoding(format=Format.JPEG),
    Encoding(format=Format.WEBP),
    Encoding(format=Format.AVIF, effort=0),
]
WIDE = QualityTarget(ssim=0.9, minimum=1, maximum=100)


def measured(picture: Picture, encoding: Encoding, quality: int) -> float:
    """SSIM of the file itself, as a reader would measure it: decoded by Pillow."""
    with Image.open(io.BytesIO(encode(picture, encoding, quality, Extras()))) as image:
        shown = np.asarray(image.convert("RGB"))
    return ssim(picture.frames[0], vips_of(shown))


@pytest.mark.parametrize("encoding", ENCODINGS, ids=lambda e: e.format.value)
def test_the_lowest_quality_that_reaches_the_target(encoding: Encoding) -> None:
    """One less would miss the target; the measured value is that of the real file."""
    picture = Picture([vips_of(photo(300, 200))])
    found = search(picture, encoding, WIDE)
    assert WIDE.ssim is not None
    assert found.ssim >= WIDE.ssim
    assert found.ssim == pytest.approx(measured(picture, encoding, found.quality), abs=0.01)
    assert measured(picture, encoding, found.quality - 1) < WIDE.ssim + 0.005


def test_the_cost_is_bounded() -> None:
    """At most eight trials for the widest range: it halves every time."""
    picture = Picture([vips_of(photo(64, 64))])
    for target in (0.5, 0.9, 0.99):
        found = search(picture, ENCODINGS[0], replace(WIDE, ssim=target))
        assert found.trials <= 8


def test_an_unreachable_target_gives_the_best_allowed() -> None:
    """The range of the recipe is never left."""
    picture = Picture([vips_of(photo(64, 64))])
    found = search(picture, ENCODINGS[0], QualityTarget(ssim=0.999, minimum=40, maximum=60))
    assert found.quality == 60
    assert found.ssim < 0.999


def test_flat_pictures_get_fewer_bytes_than_busy_ones() -> None:
    """That is the point: the same look, not the same number."""
    target = QualityTarget(ssim=0.9, minimum=20, maximum=95)
    encoding = Encoding(format=Format.JPEG, target=target)
    data = encoded(photo(300, 200))
    made = one(data, encoding, width=300)
    assert made.quality is not None
    assert 20 <= made.quality < 95
    assert made.ssim is not None
    assert made.ssim >= 0.9


@pytest.mark.parametrize("encoding", ENCODINGS, ids=lambda e: e.format.value)
@pytest.mark.parametrize("wanted", [60.0, 80.0])
def test_a_score_is_met(encoding: Encoding, wanted: float) -> None:
    """Files of a picture large enough for tiles have the score, measured whole."""
    small = Image.fromarray(photo(320, 240))
    pixels = np.asarray(small.resize((640, 480), Image.Resampling.BICUBIC))
    picture = Picture([vips_of(pixels)])
    target = QualityTarget(ssimulacra2=wanted, minimum=1, maximum=100)
    made = find(picture, encoding, target, Extras(), QualitySample(picture))
    assert ScoreReference(pixels).score(decoded(made.data, encoding.format)) == pytest.approx(
        wanted, abs=4
    )
    assert made.score == pytest.approx(wanted, abs=4)
    assert made.missed == (made.score < wanted - 1.5)


def test_what_one_size_told_foretells_the_next() -> None:
    """Without tiles: a hard picture is expected to be hard in the next size and the next format."""
    factors = Factors()
    assert factors.predicted(Format.JPEG) is None
    factors.now[Format.JPEG] = 0.4
    assert factors.predicted(Format.WEBP) == pytest.approx(0.22)
    factors.now[Format.WEBP] = 0.3
    factors.next_rendition()
    alone = factors.predicted(Format.WEBP)
    factors.now[Format.JPEG] = 0.6
    after_jpeg = factors.predicted(Format.WEBP)
    assert alone is not None
    assert after_jpeg == pytest.approx(alone + 0.6 * 0.2)


def test_few_files_are_measured() -> None:
    """At most three, however far the first one is off; a JPEG is measured as a baseline file."""
    picture = Picture([vips_of(photo(300, 200))])
    for wanted in (40.0, 75.0, 92.0):
        for encoding in (Encoding(format=Format.JPEG), Encoding(format=Format.WEBP)):
            sample = Counting(picture)
            sample.factors.now[Format.AVIF] = 2.0  # says that the picture is far harder than it is
            target = QualityTarget(ssimulacra2=wanted, minimum=1, maximum=100)
            made = find(picture, encoding, target, Extras(), sample)
            assert 1 <= sample.measured <= 3
            assert made.data == encode(picture, encoding, made.quality, Extras())


class Counting(QualitySample):
    """A sample that counts the files that are measured."""

    measured = 0

    def score(self, data: bytes, kind: Format) -> float:
        """Count, then measure."""
        self.measured += 1
        return super().score(data, kind)


def test_a_score_out_of_reach_keeps_the_best_and_says_so() -> None:
    """The range of the recipe is never left, and the record tells of the miss."""
    target = QualityTarget(ssimulacra2=95, minimum=10, maximum=30)
    encoding = Encoding(format=Format.WEBP, target=target)
    made = one(encoded(photo(300, 200)), encoding, width=300)
    assert (made.quality, made.missed) == (30, True)
    assert made.ssimulacra2 is not None
    assert made.ssimulacra2 < 93
    assert made.ssim is None


def test_a_score_of_grey_and_of_tiny_pictures() -> None:
    """Neither has what tiles or small scales need; both get a file within the range."""
    target = QualityTarget(ssimulacra2=70)
    for pixels in (photo(300, 200)[:, :, 0], photo(5, 3), photo(1, 1)):
        made = one(encoded(pixels), Encoding(format=Format.JPEG, target=target), width=300)
        assert made.quality is not None
        assert 40 <= made.quality <= 95
        assert made.ssimulacra2 is not None
