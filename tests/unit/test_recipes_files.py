"""Recipes as files: found, read, and every way that fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from worker import recipes
from worker.domain.errors import Problem, RecipeError
from worker.recipes import Severity

MINIMAL = 'name = "x"\nversion = 1\n[[renditions]]\nname = "p"\nwidth = 8\nformats = ["jpeg"]\n'
PNG = b"\x89PNG\r\n\x1a\n" + b"not looked at further"


def problems_of(name_or_path: str | Path) -> tuple[Problem, ...]:
    """What ``load`` complains about."""
    with pytest.raises(RecipeError) as caught:
        recipes.load(name_or_path)
    return caught.value.problems


def only(name_or_path: str | Path) -> str:
    """The one thing that ``load`` complains about, with its path."""
    (problem,) = problems_of(name_or_path)
    return str(problem)


def marked(folder: Path, image: str) -> Path:
    """A recipe file whose watermark is ``image`` (TOML text without quotes)."""
    file = folder / "mine.toml"
    file.write_text(f'{MINIMAL}[renditions.watermark]\nimage = "{image}"\n', encoding="utf-8")
    return file


def test_path_as_text_and_as_path(tmp_path: Path) -> None:
    """A path works as text and as a Path, and gives the recipe of that file."""
    file = tmp_path / "mine.toml"
    file.write_text(MINIMAL, encoding="utf-8")
    assert recipes.load(file) == recipes.load(str(file)) == recipes.parse(MINIMAL)


def test_byte_order_mark_and_windows_lines(tmp_path: Path) -> None:
    """Files with a byte order mark and Windows line ends are accepted."""
    file = tmp_path / "mine.TOML"
    file.write_bytes(b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode())
    assert recipes.load(file) == recipes.parse(MINIMAL)


def test_unknown_name_lists_the_shipped() -> None:
    """A name that does not exist is answered with those that do, and the nearest."""
    message = only("defualt")
    assert 'did you mean "default"?' in message
    assert "archive, avatar, default, modern, product" in message


def test_names_are_not_paths() -> None:
    """No name, not even a strange one, reaches the file system."""
    for name in ("", ".", "..", "default\x00", "kinds", "x" * 100_000, "\x1b[31m"):
        with pytest.raises(RecipeError, match="no shipped recipe has this name") as caught:
            recipes.load(name)
        assert len(str(caught.value)) < 600
        assert str(caught.value).replace("\n", "").isprintable()


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, no file, of another ending (any file might be quoted) or in another encoding."""
    (tmp_path / "folder.toml").mkdir()
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "loop.toml").symlink_to(tmp_path / "loop.toml")
    (tmp_path / "file").write_text("")
    (tmp_path / "mine.txt").write_text(MINIMAL)
    (tmp_path / "latin.toml").write_bytes(b'name = "x"\ndescription = "caf\xe9"\n')
    (tmp_path / "wide.toml").write_bytes(MINIMAL.encode("utf-16"))
    (tmp_path / "large.toml").write_text("#\n" * 128_001)  # not read whole
    says = {
        "none.toml": "is not there",
        "folder.toml": "is a folder",
        "pipe.toml": "is not a regular file",
        "loop.toml": "cannot be read: ",
        "file/x.toml": "cannot be read: ",
        "mine.txt": "recipe files end in .toml",
        "latin.toml": "is not UTF-8 text (byte 29, line 2); save it as UTF-8",
        "wide.toml": "is not UTF-8 text",
        "large.toml": "is larger than 256 kB",
        "a\0b.toml": "is not a path",
        "y" * 300 + ".toml": "cannot be read: ",
        "\ud800/x.toml": "is not a path",
    }
    for name, message in says.items():
        assert only(tmp_path / name).startswith(message)
    assert only(str(tmp_path / "none.toml")) == "is not there"


def test_syntax_error_has_its_place(tmp_path: Path) -> None:
    """Wrong TOML is reported by line and column."""
    file = tmp_path / "mine.toml"
    file.write_text('name = "x"\nversion = = 1\n')
    assert only(file) == "line 2, column 11: not valid TOML: Invalid value"
    file.write_text('name = "x"\nversion =')
    assert only(file) == "end of document: not valid TOML: Invalid value"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a = " + "[" * 1500, "is nested too deeply"),
        ("a = " + "1" * 1990, "unknown key"),
        ("a = " + ".".join("b" * 1500), "line 1: is longer than 2000 characters"),
        ("a = [" + ("1" * 1990 + ",\n") * 3 + "]", "unknown key"),
        ("a = 0x" + "f" * 1990, "unknown key"),
        ("#" * 256_001, "is larger than 256 kB"),
        ("a = \x00", "not valid TOML"),
        ('"\x1b" = 1', "not valid TOML"),
        ("a = 1\na = 2", "Cannot overwrite a value"),
    ],
)
def test_hostile_text(text: str, says: str) -> None:
    """Deep, long, huge and broken texts are problems with printable messages."""
    with pytest.raises(RecipeError) as caught:
        recipes.parse(text)
    found = [str(problem) for problem in caught.value.problems]
    assert any(says in problem for problem in found)
    assert all(problem.isprintable() for problem in found)


def test_watermark_is_found_beside_the_recipe(tmp_path: Path) -> None:
    """The picture's contents come with the recipe, under the name the recipe gives it."""
    (tmp_path / "marks").mkdir()
    (tmp_path / "marks" / "logo.png").write_bytes(PNG)
    recipe = recipes.load(marked(tmp_path, "marks/../marks/logo.png"))
    assert recipe.assets == {"marks/../marks/logo.png": PNG}


def test_watermark_stays_in_the_folder(tmp_path: Path) -> None:
    """Neither dots, nor an absolute path, nor links lead out of the recipe's folder."""
    home = tmp_path / "home"
    home.mkdir()
    outside = tmp_path / "secret.png"
    outside.write_bytes(PNG)
    (home / "link.png").symlink_to(outside)
    (home / "up").symlink_to(tmp_path)
    (home / "in.png").write_bytes(PNG)
    (home / "fine.png").symlink_to("in.png")
    wrong = ("../secret.png", str(outside), str(home / "in.png"), "link.png", "up/secret.png")
    for image in wrong:
        assert only(marked(home, image)) == (
            "renditions[0].watermark.image: must be relative to the recipe file and stay in its "
            "folder"
        )
    assert recipes.load(marked(home, "fine.png")).assets == {"fine.png": PNG}


def test_watermark_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, folder, too large, not a picture, not a path: each at the path of its key."""
    (tmp_path / "large.png").write_bytes(PNG + bytes(5_000_000))
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    says = {
        "none.png": "is not there",
        ".": "is a folder",
        "large.png": "is larger than 5000 kB",
        "text.png": "is not a PNG, JPEG or WebP picture",
        "empty.png": "is not a PNG, JPEG or WebP picture",
        "pipe": "is not a regular file",
        "a\\u0000b": "is not a path that can be followed",
    }
    for image, message in says.items():
        assert only(marked(tmp_path, image)) == f"renditions[0].watermark.image: {message}"
    assert only(marked(tmp_path, "loop")).startswith("renditions[0].watermark.image: ")


def test_watermark_needs_a_file() -> None:
    """A text from nowhere has nothing for a picture to be relative to."""
    with pytest.raises(RecipeError, match=r"watermark\.image: needs a recipe file"):
        recipes.parse(f'{MINIMAL}watermark = {{ image = "a.png" }}')


def test_lint_reports_what_load_raises(tmp_path: Path) -> None:
    """The linter returns mistakes of content, of the file and of the name alike."""
    file = tmp_path / "mine.toml"
    file.write_text(MINIMAL.replace("8", "0"))
    for wrong in (file, tmp_path / "none.toml", "nobody"):
        found = recipes.lint(wrong)
        assert [(f.path, f.message) for f in found] == [
            (problem.path, problem.message) for problem in problems_of(wrong)
        ]
        assert {finding.severity for finding in found} == {Severity.ERROR}


# --- workflows of one's own ---------------------------------------------------------------------


def own(tmp_path: Path, text: str, name: str = "flows/strict.toml") -> Path:
    """A recipe that names a workflow beside it."""
    file = tmp_path / "recipe.toml"
    file.write_text(MINIMAL.replace("version = 1", f'version = 1\nworkflow = "{name}"'), "utf-8")
    (tmp_path / "flows").mkdir(exist_ok=True)
    (tmp_path / "flows" / "strict.toml").write_text(text, encoding="utf-8")
    return file


STRICT = """
name = "strict"
version = 1
starts = "always"
first = "people"
failed = "broken"
[stages.people]
kind = "approve"
on = { approved = "open", rejected = "refuse", held = "end" }
[stages.refuse]
kind = "reject"
next = "end"
[stages.open]
kind = "publish"
next = "end"
[stages.broken]
kind = "fail"
error = "Broken"
message = "Look at it."
"""


def test_a_workflow_of_ones_own_is_read_with_its_recipe(tmp_path: Path) -> None:
    """It has its name from its file, and goes with the recipe wherever that is kept."""
    recipe = recipes.load(own(tmp_path, STRICT))
    assert (recipe.workflow, recipe.workflow_file) == ("strict", "flows/strict.toml")
    assert recipe.approval
    assert recipe.each_workflow == "strict"
    assert recipe.heavy_workflow == "video"
    again = recipes.parse(recipes.dump(recipe), assets=recipe.assets)
    assert again == recipe
    assert again.definition == recipe.definition


def test_the_digest_does_not_follow_what_a_workflow_does(tmp_path: Path) -> None:
    """It changes no pixel: a deadline that is changed makes no file anew."""
    first = recipes.load(own(tmp_path, STRICT))
    second = recipes.load(
        own(tmp_path, STRICT.replace('"approve"', '"approve"\ndeadline_hours = 2'))
    )
    assert first.digest == second.digest
    assert first.definition != second.definition


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        (STRICT, "../strict.toml", "stay in its folder"),
        (STRICT, "flows/none.toml", "is not there"),
        (STRICT.replace('"open"', '"opn"', 1), "flows/strict.toml", "strict.toml: stages.people"),
        (
            STRICT.replace('name = "strict"', 'name = "approve"'),
            "flows/strict.toml",
            "one that ships",
        ),
        ("x = [", "flows/strict.toml", "not valid TOML"),
        (STRICT, "aprove", 'did you mean "approve"'),
        (STRICT, "", "must be none, approve"),
    ],
)
def test_a_workflow_that_cannot_be_used_is_a_mistake_of_the_recipe(
    tmp_path: Path, text: str, name: str, message: str
) -> None:
    """Named by the key that names it."""
    with pytest.raises(RecipeError) as caught:
        recipes.load(own(tmp_path, text, name))
    assert {problem.path for problem in caught.value.problems} == {"workflow"}
    assert message in str(caught.value)
