"""Names of output folders: safe, unique, stable."""

from __future__ import annotations

from itertools import permutations
from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.services.process_files import inputs


def free(_name: str) -> bool:
    """An output folder that holds nothing else."""
    return False


def assign(*paths: str) -> dict[str, str]:
    """Names for paths that are their own identities, in an empty folder."""
    return inputs.folder_names([(path, path) for path in paths], known={}, occupied=free)


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("IMG_1234", "IMG_1234"),
        ("Été à la mer", "Ete-a-la-mer"),
        ("..", "image"),
        ("日本", "image"),
        ("-leading", "leading"),
        ('a/b\\c:d*e?f"g<h>i|j\nk', "a-b-c-d-e-f-g-h-i-j-k"),
        ("manifest.json", "manifest-json"),
        ("CON", "CON-file"),
        ("x" * 300, "x" * 80),
    ],
)
def test_slug(stem: str, expected: str) -> None:
    """A stem keeps its letters and digits and loses what a path or URL could trip over."""
    assert inputs.slug(stem) == expected


@given(st.text())
def test_slug_is_always_a_name(stem: str) -> None:
    """Whatever a file is called, its folder has a plain name."""
    assert inputs.NAME.fullmatch(inputs.slug(stem))


def test_lone_stem_is_its_own_name() -> None:
    """A file nobody shares a stem with gets a folder that is called like it."""
    assert assign("in/photo.jpg", "in/other.png") == {
        "in/photo.jpg": "photo",
        "in/other.png": "other",
    }


def test_same_stems_are_told_apart_in_any_order() -> None:
    """Files of one stem get different names, the same ones whatever order they come in."""
    paths = ["in/a/photo.jpg", "in/b/photo.jpg", "in/a/photo.png", "in/a/PHOTO.gif"]
    results = [assign(*order) for order in permutations(paths)]
    assert all(result == results[0] for result in results)
    assert len({name.lower() for name in results[0].values()}) == len(paths)
    assert all(name.lower().startswith("photo-") for name in results[0].values())


@given(st.lists(st.text(alphabet="ab-1.", min_size=1, max_size=6), unique=True, max_size=12))
def test_names_are_never_shared(paths: list[str]) -> None:
    """No two sources have one folder, even on a file system that ignores case."""
    given_names = assign(*paths)
    assert len({name.lower() for name in given_names.values()}) == len(paths)


def test_known_source_keeps_its_name() -> None:
    """A name given in an earlier run stays, and a newcomer of the same stem gets a hash."""
    result = inputs.folder_names(
        [("a/photo.jpg", "a/photo.jpg"), ("b/photo.jpg", "b/photo.jpg")],
        known={"a/photo.jpg": "photo"},
        occupied=free,
    )
    assert result["a/photo.jpg"] == "photo"
    assert result["b/photo.jpg"].startswith("photo-")


def test_folder_of_somebody_else_is_left_alone() -> None:
    """A name that the output folder already holds is not given."""
    result = inputs.folder_names(
        [("photo.jpg", "photo.jpg")], known={}, occupied=lambda name: name == "photo"
    )
    assert PurePath(result["photo.jpg"]).name.startswith("photo-")
