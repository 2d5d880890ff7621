"""Recipes: TOML files to :class:`~domain.image.Recipe`, strictly, with every mistake at once.

``files`` finds and reads the text, ``schema`` has the keys and their ranges, ``document`` the rules
between keys, ``canonical`` the full text and the digest, ``advice`` the warnings, ``deployment``
what uploads may choose. docs/recipes.md describes the keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from worker.domain.asset import AssetRecord
from worker.domain.errors import RecipeError
from worker.domain.image import Fit, Gravity, Recipe
from worker.domain.label import focal_point
from worker.recipes.advice import Finding, Severity, advise
from worker.recipes.canonical import as_dict, dump, fingerprint
from worker.recipes.deployment import DeploymentRecipes as DeploymentRecipes
from worker.recipes.document import build
from worker.recipes.files import (
    MAXIMUM_BYTES,
    document,
    locate,
    read_asset,
    read_beside,
    read_text,
)
from worker.recipes.files import shipped as shipped
from worker.recipes.files import subject_of as _subject_of
from worker.recipes.schema import Problems

__all__ = [
    "Finding",
    "Severity",
    "advise",
    "all_at_upload",
    "as_dict",
    "dump",
    "fingerprint",
    "focused",
    "lint",
    "load",
    "parse",
    "point_of",
    "shipped",
]


def load(name_or_path: str | Path) -> Recipe:
    """The recipe with a shipped name, or in a ``.toml`` file.

    A ``Path``, and a text that ends in ``.toml`` or has a folder in it, is a path; any other
    text is a shipped name.

    Raises:
        RecipeError: with every mistake of the file, or why there is no file to read.
    """
    file = locate(name_or_path)
    subject = _subject_of(name_or_path)
    return parse(read_text(file, subject), folder=file.parent, subject=subject)


def parse(
    text: str,
    *,
    folder: Path | None = None,
    assets: Mapping[str, bytes] | None = None,
    subject: str = "recipe",
) -> Recipe:
    """The recipe that ``text`` describes.

    Args:
        text: TOML.
        folder: where watermark pictures are found; None if the text is from no file, and then
            a watermark picture is a mistake.
        assets: contents of watermark pictures by their paths, in place of files.
        subject: what the error calls the recipe.

    Raises:
        RecipeError: with every mistake, each with its path.
    """
    parsed = document(text, subject)
    problems = Problems()

    def asset(name: str, path: str, found: Problems) -> bytes | None:
        if assets is not None and name in assets:
            return assets[name]
        return read_asset(folder, name, path, found)

    def workflow(name: str, path: str, found: Problems) -> bytes | None:
        if assets is not None and name in assets:
            return assets[name]
        return read_beside(folder, name, path, found, most=MAXIMUM_BYTES)

    recipe = build(parsed, asset, problems, read_workflow=workflow)
    if problems:
        raise RecipeError(subject, problems.all())
    return replace(recipe, digest=fingerprint(recipe))


def focused(recipe: Recipe, point: tuple[float, float] | None) -> Recipe:
    """The recipe whose cuts keep a point of the picture in the middle; itself where nothing cuts.

    Args:
        point: shares of upright width and height; None for no point.
    """
    if point is None or all(one.fit is not Fit.COVER for one in recipe.renditions):
        return recipe
    changed = replace(
        recipe,
        renditions=tuple(
            replace(one, gravity=Gravity.FOCAL, focal_point=point) if one.fit is Fit.COVER else one
            for one in recipe.renditions
        ),
    )
    return replace(changed, digest=fingerprint(changed))


def point_of(record: AssetRecord, recipe: Recipe) -> tuple[float, float] | None:
    """The point that cuts of an asset keep in the middle: what a person has said, else the boxes of
    the labels that the recipe wants; None for none."""
    if record.focal_point is not None or recipe.labels is None:
        return record.focal_point
    return focal_point(record.labels, recipe.labels.focus)


def all_at_upload(recipe: Recipe) -> Recipe:
    """The recipe with nothing left to a first view, for results that nobody views through delivery.

    It keeps its digest: the files have the same pixels.
    """
    renditions = tuple(
        replace(spec, encodings=tuple(replace(one, first_view=False) for one in spec.encodings))
        for spec in recipe.renditions
    )
    return replace(recipe, renditions=renditions)


def lint(name_or_path: str | Path) -> tuple[Finding, ...]:
    """Every mistake of a recipe; if there is none, what to think about before using it.

    Raises nothing: a file that cannot be read is a finding too.
    """
    try:
        recipe = load(name_or_path)
    except RecipeError as error:
        return tuple(
            Finding(problem.path, problem.message, Severity.ERROR) for problem in error.problems
        )
    return advise(recipe)
