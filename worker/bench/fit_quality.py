"""Fit and check quality targets: ``worker.imaging.quality.CURVES`` and ``BIAS``.

Usage: ``python -m worker.bench.fit_quality curves FOLDER [FORMAT...]`` prints the mean score of
each format at each quality and the bias of tiles, of every second photo; the others show
whether the figures hold. ``... check FOLDER [SCORE]`` makes the default recipe's files with a
target instead of a quality, judges each by the whole measure, and prints misses and the CPU time
beside the one of fixed quality.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from worker.bench import config
from worker.domain.image import (
    Encoding,
    Fit,
    Format,
    QualityTarget,
    Recipe,
    Rendition,
    RenditionSpec,
)
from worker.imaging.encode import Extras, Picture, encode
from worker.imaging.plan import make_plan
from worker.imaging.probe import probe
from worker.imaging.pyramid import Pyramid
from worker.imaging.quality import CURVES, KNOTS, TOLERANCE, QualitySample, decoded
from worker.imaging.render import render
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


def with_target(recipe: Recipe, score: float) -> Recipe:
    """The same renditions with a target, none dropped."""

    def aimed(encoding: Encoding) -> Encoding:
        return replace(encoding, target=QualityTarget(ssimulacra2=score, minimum=10, maximum=100))

    return replace(
        recipe,
        renditions=tuple(
            replace(spec, minimum_saving=-1, encodings=tuple(map(aimed, spec.encodings)))
            for spec in recipe.renditions
        ),
    )


def check(photos: Mapping[str, Path], score: float) -> None:
    """Print every file that is more than the tolerance off, and what the target cost."""
    fixed = config.recipe()
    aimed = with_target(fixed, score)
    spent = [0.0, 0.0]
    off: list[float] = []
    for name, path in photos.items():
        data = path.read_bytes()
        for place, recipe in enumerate((fixed, aimed)):
            before = time.process_time()
            made = _made(data, recipe)
            spent[place] += time.process_time() - before
        lossless = _made(data, _as_png(fixed))
        for file in made:
            original = next(one for one in lossless if one.name == file.name)
            reference = ScoreReference(decoded(original.data, Format.PNG))
            off.append(reference.score(decoded(file.data, file.format)) - score)
            if abs(off[-1]) > TOLERANCE:
                line = f"{name} {file.name} {file.format}: {off[-1]:+.1f} at {file.quality}"
                print(line, f"missed: {file.missed}")  # noqa: T201
    share = float(np.mean(np.abs(off) <= TOLERANCE))
    print(f"{len(off)} files, {share:.1%} within {TOLERANCE}, worst {min(off):+.1f}")  # noqa: T201
    print(f"CPU {spent[1] / spent[0]:.2f} times that of fixed quality")  # noqa: T201


def _as_png(recipe: Recipe) -> Recipe:
    png = (Encoding(format=Format.PNG, effort=1),)
    return replace(
        recipe, renditions=tuple(replace(spec, encodings=png) for spec in recipe.renditions)
    )


def _made(data: bytes, recipe: Recipe) -> tuple[Rendition, ...]:
    found = probe(data, recipe.limits, formats=recipe.formats)
    return render(data, found, make_plan(found, recipe)).renditions


if __name__ == "__main__":
    _, what, folder, *rest = sys.argv
    corpus = config.collect(Path(folder)).photos
    if what == "curves":
        fitted = dict(sorted(corpus.items())[::2])
        for kind in [Format(name) for name in rest] or CURVES:
            values, bias = curves(fitted, kind)
            print(f"Format.{kind.name}: {tuple(values)}, bias {bias:.3f}", flush=True)  # noqa: T201
    else:
        check(corpus, float(rest[0]) if rest else 75.0)
