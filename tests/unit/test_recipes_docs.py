"""docs/recipes.md says what the code does: every key with its type, default and range."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from worker import recipes
from worker.domain.image import Recipe
from worker.recipes.schema import (
    DERIVED_FIELDS,
    OUTPUTS,
    TABLES,
    TRAITS,
    RecipeKey,
    RecipeTable,
)

PAGE = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
HEADINGS = (
    "Top of the file",
    "[limits]",
    "[moderation]",
    "An entry of categories",
    "[labels]",
    "[[renditions]]",
    "Entries of formats, and [defaults.FORMAT]",
    "target",
    "watermark",
)
BY_FORMAT = {"quality", "effort", "progressive", "lossless"}
CASES = [
    pytest.param(heading, table, name, id=f"{heading}-{name}")
    for heading, table in zip(HEADINGS, TABLES, strict=True)
    for name in table.keys
]


def rows(heading: str) -> dict[str, list[str]]:
    """The cells of the first table's rows under a heading, by their first cell."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): row for row in cells}


def default_of(table: RecipeTable, name: str, key: RecipeKey) -> str:
    """What the default column must say."""
    if key.required:
        return "required"
    if name == "limits":
        return "see [limits]"
    if table.title.startswith("an entry") and name in BY_FORMAT:
        return "by format"
    if key.field.startswith("-"):
        return "none"
    field = next(f for f in dataclasses.fields(table.fills) if f.name == (key.field or name))
    value = field.default
    if value is None:
        return "none"
    if isinstance(value, frozenset):
        return f"`{json.dumps(sorted(value))}`"
    return f"`{json.dumps(value)}`"


@pytest.mark.parametrize(("heading", "table", "name"), CASES)
def test_key_is_documented(heading: str, table: RecipeTable, name: str) -> None:
    """Each key has a row with the type, default and range that the code has."""
    key = table.keys[name]
    row = rows(heading)[name]
    assert row[1:4] == [key.type, default_of(table, name, key), key.range]


@pytest.mark.parametrize("heading", HEADINGS)
def test_nothing_else_is_documented(heading: str) -> None:
    """The page has no keys that the code does not have."""
    table = TABLES[HEADINGS.index(heading)]
    documented = rows(heading).keys()
    assert documented - set(OUTPUTS) == table.keys.keys()


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.fills.__name__)
def test_every_field_has_a_key(table: RecipeTable) -> None:
    """A field added to the model needs a key (or has to be declared as derived)."""
    fields = {field.name for field in dataclasses.fields(table.fills)}
    named = {key.field or name for name, key in table.keys.items()}
    set_by = {name for name in named if not name.startswith("-")}
    derived = DERIVED_FIELDS if table.fills is Recipe else frozenset()
    assert fields - derived == set_by


@pytest.mark.parametrize("format_", OUTPUTS)
def test_format_table(format_: str) -> None:
    """The table of formats says which keys each has and what they start from."""
    traits = TRAITS[next(member for member in OUTPUTS if member == format_)]
    keys = traits.keys

    def cell(name: str) -> str:
        value = json.dumps(getattr(traits.default, name)) if name in keys else "-"
        return f"{value} ({keys['effort'].range})" if name == "effort" and keys else value

    row = rows("Entries of formats, and [defaults.FORMAT]")[format_][1:]
    effort = cell("effort") if "effort" in keys else "-"
    target = "yes" if "target" in keys else "-"
    assert row == [cell("quality"), effort, cell("progressive"), cell("lossless"), target]


def test_examples_work() -> None:
    """Every TOML example on the page is a recipe without a mistake."""
    examples = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert [recipes.parse(text).name for text in examples] == ["mine", "magazine"]


def test_shipped_recipes_are_listed() -> None:
    """The page opens with the recipes that ship."""
    listed = re.findall(r"^\| `(\w+)` \|", PAGE.split("\n```\n")[0], re.MULTILINE)
    assert sorted(listed) == list(recipes.shipped())
