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


def with_formats(formats: str) -> list[str]:
    """Paths of the warnings about a value of ``formats``."""
    return warned(HEAD + BODY.replace('["jpeg", "webp"]', formats))


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
    ],
)
def test_warnings_about_the_whole(line: str, path: str) -> None:
    """What costs memory, time or somebody's privacy is pointed at."""
    assert warned(f"{HEAD}{line}\n{BODY}") == [path]


@pytest.mark.parametrize(
    ("line", "path"),
    [("sharpen = 2.5", "sharpen"), ("enlarge = true", "enlarge")],
)
def test_warnings_about_a_rendition(line: str, path: str) -> None:
    """What makes pictures worse is pointed at."""
    assert warned(f"{HEAD}{BODY}{line}") == [f"renditions[0].{path}"]


@pytest.mark.parametrize(
    ("formats", "paths"),
    [
        ('["webp", "avif"]', [""]),
        ('["webp", "jpeg"]', ["[0]"]),
        ('["avif", "png"]', ["[0]"]),
        ('["gif", "webp"]', []),
        ('[{ format = "jpeg", quality = 92 }]', []),
        ('[{ format = "jpeg", quality = 93 }]', ["[0].quality"]),
        ('["png"]', []),
        ('["jpeg", { format = "webp", lossless = true }]', []),
        ('["jpeg", { format = "webp", effort = 4 }]', []),
        ('["jpeg", { format = "webp", effort = 5 }]', ["[1].effort"]),
        ('["jpeg", { format = "avif", effort = 1 }]', []),
        ('["jpeg", { format = "avif", effort = 2 }]', ["[1].effort"]),
        ('["jpeg", { format = "avif", effort = 4 }]', ["[1].effort"]),
        ('[{ format = "jpeg", target = { ssim = 0.99 } }]', []),
        ('[{ format = "jpeg", target = { ssim = 0.995 } }]', ["[0].target.ssim"]),
    ],
)
def test_warnings_about_formats(formats: str, paths: list[str]) -> None:
    """A missing fallback, and encoder settings that cost more than they give."""
    assert with_formats(formats) == [f"renditions[0].formats{path}" for path in paths]


def test_defaults_are_warned_about_where_they_are_used() -> None:
    """A costly setting from [defaults] is found in each rendition that takes it."""
    text = f"{HEAD}defaults.webp.effort = 6\n{BODY}"
    assert warned(text) == ["renditions[0].formats[1].effort"]


def test_two_renditions_of_one_size() -> None:
    """A size listed twice should be one rendition with more formats."""
    twin = BODY.replace('"p"', '"q"')
    assert warned(HEAD + BODY + twin) == ["renditions[1]"]
    assert warned(HEAD + BODY + twin + "height = 3") == []


def test_many_files() -> None:
    """A ladder of more than sixteen files is pointed at once."""
    ladder = [BODY.replace('"p"', f'"p{index}"').replace("8", f"{index + 1}") for index in range(9)]
    assert warned(HEAD + "".join(ladder[:8])) == []
    assert warned(HEAD + "".join(ladder)) == ["renditions"]


def test_lint_returns_warnings(tmp_path: Path) -> None:
    """The linter returns warnings for a file without mistakes."""
    file = tmp_path / "mine.toml"
    file.write_text(f'{HEAD}keep = ["gps"]\n{BODY}')
    (finding,) = recipes.lint(file)
    assert (finding.path, finding.severity) == ("keep", "warning")
    assert "often somebody's home" in str(finding)
