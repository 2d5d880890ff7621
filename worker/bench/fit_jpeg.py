"""Fit the JPEG tables of ``worker.imaging.encode``: fewest bytes for the look of annex K at 80.

Usage: ``python -m worker.bench.fit_jpeg FOLDER [CHECK]``, folders of JPEG photos. Prints the steps
by the sum of both frequencies, and what they save on the photos of either folder. The search halves
its paces along each of twelve knots; it takes some minutes.
"""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from worker.bench.config import collect
from worker.imaging.ssimulacra2 import ScoreReference

_KNOTS = (0, 1, 3, 6, 9, 14)
_START = (4.5, 6, 14, 17, 21, 40, 5, 9, 13, 20, 28, 60)
_SIDE = 1024
_CROP = 448
_ROUNDS = 5
_COARSEST = 64.0
"""Above this, the last frequencies save hardly anything, and small text smears."""
_GAIN = 0.4
"""Points of mean score above annex K: other photos than those fitted gain less."""


class FitPhoto:
    """The middle of a photo at the size of a page, and what annex K makes of it at quality 80."""

    def __init__(self, path: Path) -> None:
        """Decode and resize it."""
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
        left, top = max(0, image.width - _CROP) // 2, max(0, image.height - _CROP) // 2
        self.image = image.crop(
            (left, top, min(image.width, left + _CROP), min(image.height, top + _CROP))
        )
        self.reference = ScoreReference(np.asarray(self.image))
        (low, score_low), (self.bytes, self.score) = (self.made(quality=q) for q in (74, 80))
        self.slope = math.log(self.bytes / low) / max(0.5, self.score - score_low)

    def made(self, **options: object) -> tuple[int, float]:
        """Bytes and score of the file with these options."""
        out = io.BytesIO()
        self.image.save(out, "jpeg", progressive=True, **options)
        size = out.tell()
        with Image.open(out) as shown:
            return size, self.reference.score(np.asarray(shown.convert("RGB")))


def steps(knots: Sequence[float]) -> list[float]:
    """Fifteen steps from six, geometrically between them."""
    found: npt.NDArray[np.float64] = np.exp(np.interp(range(15), _KNOTS, np.log(knots)))
    return [round(float(step), 1) for step in found]


def saving(knots: Sequence[float], samples: Sequence[FitPhoto]) -> tuple[float, float, float]:
    """Bytes beside annex K at an equal score (geometric mean); mean and least gain of score."""
    tables = [
        [min(255, max(1, round(one[i + j]))) for i in range(8) for j in range(8)]
        for one in (steps(knots[:6]), steps(knots[6:]))
    ]
    logs, gains = [], []
    for sample in samples:
        size, score = sample.made(qtables=tables)
        gains.append(score - sample.score)
        logs.append(math.log(size / sample.bytes) - sample.slope * gains[-1])
    return math.exp(float(np.mean(logs))), float(np.mean(gains)), min(gains)


def fit(samples: Sequence[FitPhoto]) -> list[float]:
    """The knots that save most while the mean score stays near that of annex K."""

    def cost(knots: Sequence[float]) -> float:
        share, gain, _ = saving(knots, samples)
        return share + 0.02 * max(0.0, abs(gain - _GAIN) - 0.1)

    best, pace = list(_START), [1.25] * len(_START)
    least = cost(best)
    for _ in range(_ROUNDS):
        for place in range(len(best)):
            for factor in (pace[place], 1 / pace[place]):
                step = min(_COARSEST, best[place] * factor)
                tried = [*best[:place], step, *best[place + 1 :]]
                if (found := cost(tried)) < least - 1e-5:
                    best, least = tried, found
                    break
            else:
                pace[place] **= 0.5
        print([round(one, 1) for one in best], round(least, 4), flush=True)  # noqa: T201
    return best


if __name__ == "__main__":
    folders = [
        [FitPhoto(path) for path in collect(Path(one)).photos.values()] for one in sys.argv[1:]
    ]
    found = fit(folders[0])
    print("JPEG_LUMA =", steps(found[:6]))  # noqa: T201
    print("JPEG_CHROMA =", steps(found[6:]))  # noqa: T201
    for folder in folders:
        share, gain, least_gain = saving(found, folder)
        line = (
            f"{len(folder)} photos: bytes {share:.3f}, score {gain:+.2f}, least {least_gain:+.2f}"
        )
        print(line)  # noqa: T201
