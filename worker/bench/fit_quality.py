"""Fit quality targets: ``worker.imaging.quality.CURVES`` and ``BIAS``.

Usage: ``python -m worker.bench.fit_quality FOLDER [FORMAT...]`` prints the mean score of
each format at each quality and the bias of tiles, of the photos in FOLDER. ``safelight bench``
judges what comes of it, best on others.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from worker.bench import config
from worker.domain.image import (
    Fit,
    Format,
    Recipe,
    RenditionSpec,
)
from worker.imaging.encode import Extras, Picture, encode
from worker.imaging.plan import make_plan
from worker.imaging.probe import probe
from worker.imaging.pyramid import Pyramid
from worker.imaging.quality import CURVES, KNOTS, QualitySample, decoded
from worker.imaging.ssimulacra2 import ScoreReference
from worker.recipes.schema import TRAITS

_PAGE = Recipe(
    name="page",
    version=1,
    renditions=(
        RenditionSpec(
            name="page",
            width=1024,
            height=1024,
            fit=Fit.INSIDE,
            encodings=tuple(TRAITS[format_].default for format_ in CURVES),
        ),
    ),
)

_USUAL = (60, 70, 80, 90)
"""Qualities at which the bias of tiles is taken."""


def curves(photos: Mapping[str, Path], format_: Format) -> tuple[list[float], float]:
    """Mean score of a format at each of ``KNOTS``, and the mean bias of tiles.

    Args:
        photos: each is made as large as a page.
        format_: one of ``CURVES``.
    """
    encoding = TRAITS[format_].default
    rows: list[list[float]] = []
    biases: list[float] = []
    for path in photos.values():
        data = path.read_bytes()
        found = probe(data, _PAGE.limits, formats=_PAGE.formats)
        plan = make_plan(found, _PAGE)
        picture = Picture([Pyramid(data, found, plan).pixels(plan.steps[0].scale)])
        reference = ScoreReference(np.asarray(picture.frames[0].numpy()))
        sample = QualitySample(picture)
        files = (encode(picture, encoding, one, Extras()) for one in KNOTS)
        rows.append([reference.score(decoded(one, format_)) for one in files])
        biases.extend(
            (100 - sample.of_tiles(encoding, quality)) / (100 - score)
            for quality, score in zip(KNOTS, rows[-1], strict=True)
            if quality in _USUAL
        )
    return [round(float(one), 1) for one in np.mean(rows, axis=0)], float(np.mean(biases))


if __name__ == "__main__":
    _, folder, *rest = sys.argv
    corpus = config.collect(Path(folder)).photos
    for kind in [Format(name) for name in rest] or CURVES:
        values, bias = curves(corpus, kind)
        print(f"Format.{kind.name}: {tuple(values)}, bias {bias:.3f}", flush=True)  # noqa: T201
