"""Which keys a pattern finds, and how long that takes."""

from __future__ import annotations

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.services.find_assets import key_matches


@pytest.mark.parametrize(
    ("pattern", "key", "found"),
    [
        ("a", "a", True),
        ("a", "ab", False),
        ("", "", True),
        ("*", "", True),
        ("a*", "a", True),
        ("a*a", "a", False),
        ("ab*ba", "aba", False),
        ("*b*b*", "b", False),
        ("*.jpg", "a.jpg\n", False),
        ("a*c*", "a/b/c", True),
        ("[ab]?", "a1", False),
    ],
)
def test_a_star_is_any_text(pattern: str, key: str, found: bool) -> None:
    """No text, and lines, too; nothing else has a meaning of its own."""
    assert key_matches(key, pattern) is found


@given(st.text("ab*", max_size=8), st.text("ab", max_size=10))
def test_it_finds_what_a_regular_expression_finds(pattern: str, key: str) -> None:
    """Which is right, but slow."""
    expected = re.fullmatch(fnmatch.translate(pattern), key) is not None
    assert key_matches(key, pattern) is expected


def test_many_stars_take_one_look_at_a_key() -> None:
    """As a regular expression this pattern takes longer than anybody lives."""
    assert not key_matches("a" * 1_000, "*a" * 400 + "*b*")
    assert key_matches("a" * 1_000, "*a" * 400 + "*")
