"""Recipes that are kept by digest: written once, read back as they were, never another one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.golden import png
from tests.unit.fakes import MemoryStore
from worker import recipes
from worker.domain.errors import EngineError, ObjectMissing
from worker.domain.keys import recipe_key
from worker.services.recipe_store import RecipeStore

TEXT = """
name = "marked"
version = 3
[[renditions]]
name = "large"
width = 640
formats = ["jpeg"]
[renditions.watermark]
image = "mark.png"
"""


@pytest.mark.parametrize("name", [*recipes.shipped(), "marked"])
def test_a_recipe_comes_back_as_it_was(name: str, tmp_path: Path) -> None:
    """In another process, after its file is gone, with the contents of its watermark pictures."""
    if name == "marked":
        (tmp_path / "mark.png").write_bytes(png(8, 8))
        recipe = recipes.parse(TEXT, folder=tmp_path)
    else:
        recipe = recipes.load(name)
    store = MemoryStore()
    RecipeStore(store, "delivery").keep(recipe)
    found = RecipeStore(store, "delivery").load(recipe.digest)
    assert found == recipe
    assert dict(found.assets) == dict(recipe.assets)


def test_the_first_use_stays() -> None:
    """A later process changes nothing, and one process asks the store once."""
    store, recipe = MemoryStore(), recipes.load("avatar")
    for year in (2026, 2027):
        kept = RecipeStore(store, "delivery", now=lambda y=year: datetime(y, 1, 2, tzinfo=UTC))  # type: ignore[misc]
        kept.keep(recipe)
        kept.keep(recipe)
    assert store.fuse.calls == ["store.put"] * 2
    data, _ = store.get("delivery", recipe_key(recipe.digest))
    assert json.loads(data)["first_used"] == "2026-01-02T00:00:00.000000Z"


@pytest.mark.parametrize("data", [b"", b"{}", b'{"toml": "x", "assets": {}}', b'{"toml": 1}'])
def test_what_is_no_recipe_is_a_defect(data: bytes) -> None:
    """An unreadable recipe raises EngineError."""
    store = MemoryStore()
    store.put("delivery", recipe_key("a" * 64), data, content_type="")
    with pytest.raises(EngineError):
        RecipeStore(store, "delivery").load("a" * 64)


def test_another_recipe_under_the_digest_is_a_defect() -> None:
    """The digest is of what is there, or nothing is made."""
    store, recipe = MemoryStore(), recipes.load("avatar")
    RecipeStore(store, "delivery").keep(recipe)
    data, _ = store.get("delivery", recipe_key(recipe.digest))
    store.put("delivery", recipe_key("a" * 64), data, content_type="")
    with pytest.raises(EngineError, match="another"):
        RecipeStore(store, "delivery").load("a" * 64)
    with pytest.raises(ObjectMissing, match="ever used"):
        RecipeStore(store, "delivery").load("b" * 64)
