"""Warnings of the linter: each when it should be, and not otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker import recipes
from worker.recipes import Severity

HEAD = 'name = "x"\nversion = 1\n'
BODY = '[[renditions]]\nname = "p"\nwidth = 8\nformats = ["jpeg", "webp"]\n'


def warned(text: str) -> list[str]:
    """Paths of the warnings about a recipe."""
    findings = recipes.advise(recipes.parse(text))
    assert {finding.severity for finding in findings} <= {Severity.WARNING}
    return [finding.path for finding in findings]


def test_good_recipe_has_no_warnings() -> None:
    """The recipe that the other tests change is beyond reproach."""
    assert warned(HEAD + BODY) == []


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ('keep = ["gps"]', "keep"),
        ('accept = ["jpeg", "svg"]', "accept"),
        ("linear = true", "linear"),
        ("limits.pixels = 200_000_001", "limits.pixels"),
        ("limits.bytes = 200_000_001", "limits.bytes"),
        ("limits.animation_pixels = 500_000_001", "limits.animation_pixels"),
        ("limits.frames = 5_001", "limits.frames"),
        (f"{BODY}sharpen = 2.5", "renditions[0].sharpen"),
        (f"{BODY}enlarge = true", "renditions[0].enlarge"),
    ],
)
def test_warnings_about_the_whole_and_a_rendition(line: str, path: str) -> None:
    """Warnings name options that cost memory, time, privacy or picture quality."""
    assert warned(HEAD + line + ("" if BODY in line else f"\n{BODY}")) == [path]


@pytest.mark.parametrize(
    ("formats", "paths"),
    [
        ('"webp", "avif"', [""]),
        ('"webp", "jpeg"', ["[0]"]),
        ('"avif", "png"', ["[0]"]),
        ('"gif", "webp"', []),
        ('{ format = "jpeg", quality = 92 }', []),
        ('{ format = "jpeg", quality = 93 }', ["[0].quality"]),
        ('"png"', []),
        ('"jpeg", { format = "webp", lossless = true }', []),
        ('"jpeg", { format = "webp", effort = 4 }', []),
        ('"jpeg", { format = "webp", effort = 5 }', ["[1].effort"]),
        ('"jpeg", { format = "jxl", effort = 4 }', []),
        ('"jpeg", { format = "jxl", effort = 5 }', ["[1].effort"]),
        ('"jpeg", { format = "avif", effort = 1 }', []),
        ('"jpeg", { format = "avif", effort = 2 }', ["[1].effort"]),
        ('"jpeg", { format = "avif", effort = 4 }', ["[1].effort"]),
        ('{ format = "jpeg", target = { ssim = 0.99 } }', []),
        ('{ format = "jpeg", target = { ssim = 0.995 } }', ["[0].target.ssim"]),
    ],
)
def test_warnings_about_formats(formats: str, paths: list[str]) -> None:
    """A missing fallback, and encoder settings that cost more than they give."""
    text = HEAD + BODY.replace('"jpeg", "webp"', formats)
    assert warned(text) == [f"renditions[0].formats{path}" for path in paths]


def test_defaults_are_warned_about_where_they_are_used() -> None:
    """A costly setting from [defaults] is found in each rendition that takes it."""
    text = f"{HEAD}defaults.webp.effort = 6\n{BODY}"
    assert warned(text) == ["renditions[0].formats[1].effort"]


def test_two_renditions_of_one_size() -> None:
    """A size listed twice should be one rendition with more formats."""
    duplicate = BODY.replace('"p"', '"q"')
    assert warned(HEAD + BODY + duplicate) == ["renditions[1]"]
    assert warned(HEAD + BODY + duplicate + "height = 3") == []


def test_many_files() -> None:
    """More than sixteen files are pointed at once."""
    sizes = [BODY.replace('"p"', f'"p{index}"').replace("8", f"{index + 1}") for index in range(9)]
    assert warned(HEAD + "".join(sizes[:8])) == []
    assert warned(HEAD + "".join(sizes)) == ["renditions"]


def test_lint_returns_warnings(tmp_path: Path) -> None:
    """The linter returns warnings for a file without mistakes."""
    file = tmp_path / "mine.toml"
    file.write_text(f'{HEAD}keep = ["gps"]\n{BODY}')
    (finding,) = recipes.lint(file)
    assert (finding.path, finding.severity) == ("keep", "warning")
    assert "often somebody's home" in str(finding)


@pytest.mark.parametrize(
    ("asks", "seen"),
    [
        ('workflow = "label"\n', True),
        ('workflow = "approve"\n', True),
        ('[moderation]\ncategories = [{ name = "hate", hold = 60 }]\n', False),
    ],
)
def test_labels_of_every_picture_cost_money(asks: str, seen: bool) -> None:
    """Not where only what moderation escalates is looked at."""
    assert ("labels" in warned(f"{HEAD}{asks}[labels]\n{BODY}")) is seen
