"""Which files a run takes, which it refuses, and how their folders are called."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping
from itertools import permutations
from pathlib import Path, PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.errors import InputError
from worker.services.process_files import inputs
from worker.services.process_files.inputs import find


def sources(
    root: Path, files: str, links: Mapping[str, str], named: str, out: str = "out"
) -> list[tuple[str, str | None]]:
    """What is found in a tree: path below ``root``, as it was named, and the code of a problem.

    Args:
        root: an empty folder.
        files: paths below it, separated by spaces.
        links: targets by path; ``/`` stands before what is meant from ``root``.
        named: what the person names.
        out: the output folder.
    """
    for path in (*files.split(), *links, f"{out}/"):
        folder = root / path if path.endswith("/") else (root / path).parent
        folder.mkdir(parents=True, exist_ok=True)
    for path in files.split():
        (root / path).write_bytes(b"x")
    for path, target in links.items():
        (root / path).symlink_to(root / target[1:] if target[0] == "/" else target)
    found = find([root / path for path in named.split()], out=root / out)
    return [
        (os.path.relpath(source.path, root), source.problem.code if source.problem else None)
        for source in found
    ]


OUTSIDE = "input_outside"
UNREADABLE = "input_unreadable"
TREES = {
    "files are sorted at every depth, hidden ones left out": (
        "in/c in/a in/b/z in/b/.secret in/.hidden/x in/.y",
        {},
        "in",
        [("in/a", None), ("in/b/z", None), ("in/c", None)],
    ),
    "a file that is named twice is taken once": ("in/a", {}, "in/a in in/./a", [("in/a", None)]),
    "a hidden file that is named is meant": ("in/.a", {}, "in/.a", [("in/.a", None)]),
    "links to files and folders elsewhere lead out": (
        "secret/s",
        {
            "in/file": "/secret/s",
            "in/folder": "/secret",
            "in/up": "..",
            "in/dangling": "/secret/nothing",
            "in/sub/in": "/in/file",
        },
        "in",
        [(f"in/{name}", OUTSIDE) for name in ("dangling", "file", "folder", "sub/in", "up")],
    ),
    "a link inside is taken, and one to a folder above is no endless walk": (
        "in/a",
        {"in/b": "a", "in/sub/loop": "/in"},
        "in",
        [("in/a", None), ("in/b", None)],
    ),
    "a link that is named is followed": (
        "in/a",
        {"in/b": "a", "folder": "in", "file": "/in/a"},
        "folder file",
        [("folder/a", None), ("folder/b", None), ("file", None)],
    ),
    "a link into another named folder leads out, and its target is found there": (
        "other/a",
        {"in/link": "/other/a"},
        "in other",
        [("in/link", OUTSIDE), ("other/a", None)],
    ),
    "a dangling link is a problem": (
        "",
        {"in/dangling": "no"},
        "in",
        [("in/dangling", UNREADABLE)],
    ),
}


@pytest.mark.parametrize(("files", "links", "named", "expected"), TREES.values(), ids=TREES)
def test_what_is_taken(
    tmp_path: Path,
    files: str,
    links: Mapping[str, str],
    named: str,
    expected: list[tuple[str, str | None]],
) -> None:
    """Each file once, in the order of names; what leads out or cannot be read has its code."""
    assert sources(tmp_path, files, links, named) == expected


def test_output_folder_is_not_an_input(tmp_path: Path) -> None:
    """Results below the input folder are not processed again, whatever link leads to them."""
    links = {"in/latest": "out/thumbnail", "in/results": "out"}
    files = "in/out/thumbnail in/a"
    assert sources(tmp_path, files, links, "in", out="in/out") == [("in/a", None)]


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    """A pipe is reported as a problem and does not block the run."""
    os.mkfifo(tmp_path / "pipe")
    assert sources(tmp_path, "", {}, "pipe") == [("pipe", UNREADABLE)]


def test_deep_folders_do_not_end_the_walk(tmp_path: Path) -> None:
    """Folders nested deeper than Python's calls may be are walked."""
    depth = 1100
    # Not below pytest's own folder: its tidying calls itself for each level, and a run that is
    # killed here would break the runs after it.
    root = Path(tempfile.mkdtemp())
    try:
        here = os.open(root, os.O_RDONLY)
        for _ in range(depth):
            os.mkdir("d", dir_fd=here)
            below = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(os.open("a.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        os.close(here)
        (source,) = find([root], out=tmp_path)
    finally:
        subprocess.run(["rm", "-r", root], check=True)
    assert source.path == root.joinpath(*["d"] * depth, "a.jpg")


def test_missing_and_empty_inputs(tmp_path: Path) -> None:
    """A path that does not exist is named; folders without a file are rarely what was meant."""
    with pytest.raises(InputError, match=r"nope\.jpg: no such file") as caught:
        find([tmp_path / "nope.jpg"], out=tmp_path)
    assert caught.value.code == "input_missing"
    with pytest.raises(InputError, match="no files in"):
        sources(tmp_path, "", {}, "out")


def test_names_of_any_bytes(tmp_path: Path) -> None:
    """A name that is not UTF-8 becomes text that any JSON reader takes."""
    (tmp_path / os.fsdecode(b"caf\xe9\n.jpg")).write_bytes(b"x")
    (source,) = find([tmp_path / os.fsdecode(b"caf\xe9\n.jpg")], out=tmp_path)
    assert source.label == f"{tmp_path}/caf\\xe9\n.jpg"
    source.label.encode("utf-8")


# --- names ------------------------------------------------------------------------------------


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
    """Any file name gives a plain folder name."""
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
