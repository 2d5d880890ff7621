"""What docs/ takes from the code is what the code says today."""

from __future__ import annotations

import pytest

from tests.manual import reference
from worker import settings


@pytest.mark.parametrize("name", reference.PARTS)
def test_the_page_says_what_the_code_says(name: str) -> None:
    """`make docs` brings it in line."""
    page, _ = reference.PARTS[name]
    text = (reference.DOCS / page).read_text("utf-8")

    assert text == reference.written(name, text), f"docs/{page} is old: run `make docs`"


def test_variables_beside_the_settings_are_on_their_page() -> None:
    """Those that are read before, or without, the settings."""
    text = (reference.DOCS / "settings.md").read_text("utf-8")

    assert [name for name in settings.ELSEWHERE if f"| `{name}` |" not in text] == []
