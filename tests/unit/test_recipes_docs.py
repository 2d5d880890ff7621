"""docs/recipes.md: its examples, its list, and that every field of the model has a key.

Its tables are written from the code (tests/manual/reference.py).
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from worker import recipes
from worker.domain.image import Recipe
from worker.recipes.schema import DERIVED_FIELDS, TABLES, RecipeTable

PAGE = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.fills.__name__)
def test_every_field_has_a_key(table: RecipeTable) -> None:
    """A field added to the model needs a key (or has to be declared as derived)."""
    fields = {field.name for field in dataclasses.fields(table.fills)}
    named = {key.field or name for name, key in table.keys.items()}
    set_by = {name for name in named if not name.startswith("-")}
    derived = DERIVED_FIELDS if table.fills is Recipe else frozenset()
    assert fields - derived == set_by


def test_examples_work() -> None:
    """Every TOML example on the page is a recipe without a mistake."""
    examples = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert [recipes.parse(text).name for text in examples] == ["mine", "magazine"]


def test_shipped_recipes_are_listed() -> None:
    """The page opens with the recipes that ship."""
    listed = re.findall(r"^\| `(\w+)` \|", PAGE.split("\n```\n")[0], re.MULTILINE)
    assert sorted(listed) == list(recipes.shipped())
