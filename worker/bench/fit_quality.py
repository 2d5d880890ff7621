"""Fit and check quality targets: ``worker.imaging.quality.CURVES``.

Usage: ``python -m worker.bench.fit_quality curves FOLDER`` prints the mean score of each format at
each quality. ``... check FOLDER [SCORE]`` makes the default recipe's files with a target instead of
a quality, judges each by the whole measure, and prints misses and the CPU time beside the one of
fixed quality.
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
from worker.imaging.quality import CURVES, KNOTS, TOLERANCE, decoded
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


def curves(photos: Mapping[str, Path]) -> dict[Format, list[float]]:
    """Mean score at each of ``KNOTS``, of the photos at the size of a page."""
    scores: dict[Format, list[list[float]]] = {format_: [] for format_ in CURVES}
    for path in photos.values():
        data = path.read_bytes()
        found = probe(data, _PAGE.limits, formats=_PAGE.formats)
        plan = make_plan(found, _PAGE)
        image = Pyramid(data, found, plan).pixels(plan.steps[0].scale)
        picture, reference = Picture([image]), ScoreReference(np.asarray(image.numpy()))
        for format_, rows in scores.items():
            files = (encode(picture, TRAITS[format_].default, one, Extras()) for one in KNOTS)
            rows.append([reference.score(decoded(data, format_)) for data in files])
    return {
        format_: [round(float(one), 1) for one in np.mean(rows, axis=0)]
        for format_, rows in scores.items()
    }


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
        for format_, values in curves(corpus).items():
            print(f"Format.{format_.name}: {tuple(values)},")  # noqa: T201
    else:
        check(corpus, float(rest[0]) if rest else 75.0)
