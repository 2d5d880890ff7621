"""Which files a run takes, and which it refuses."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from worker.domain.errors import InputError
from worker.services.process_files.inputs import find


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An empty output folder."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty input folder."""
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


def test_folders_are_walked_in_order(root: Path, out: Path) -> None:
    """Files come sorted by name at every depth, hidden ones not at all."""
    (root / "b").mkdir()
    (root / ".hidden").mkdir()
    for name in ("c.jpg", "a.jpg", "b/z.jpg", "b/.secret.jpg", ".hidden/x.jpg", ".y.jpg"):
        (root / name).write_bytes(b"x")
    labels = [source.label for source in find([root], out=out)]
    assert labels == [f"{root}/a.jpg", f"{root}/b/z.jpg", f"{root}/c.jpg"]


def test_each_file_is_taken_once(root: Path, out: Path) -> None:
    """Naming a file and its folder does not process it twice."""
    (root / "a.jpg").write_bytes(b"x")
    assert len(find([root / "a.jpg", root, root / "." / "a.jpg"], out=out)) == 1


def test_named_hidden_file_is_taken(root: Path, out: Path) -> None:
    """A hidden file that a person names is meant."""
    (root / ".a.jpg").write_bytes(b"x")
    (source,) = find([root / ".a.jpg"], out=out)
    assert source.problem is None


def test_output_folder_is_not_an_input(root: Path) -> None:
    """Results below the input folder are not processed again."""
    out = root / "out"
    out.mkdir()
    (out / "thumbnail.jpg").write_bytes(b"x")
    (root / "a.jpg").write_bytes(b"x")
    assert [source.path.name for source in find([root], out=out)] == ["a.jpg"]


def test_links_out_of_the_folder_are_refused(root: Path, out: Path, tmp_path: Path) -> None:
    """Links to files and folders elsewhere are told apart and are not followed."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "s.jpg").write_bytes(b"x")
    (root / "file.jpg").symlink_to(tmp_path / "secret" / "s.jpg")
    (root / "folder").symlink_to(tmp_path / "secret")
    (root / "up").symlink_to("..")
    (root / "dangling.jpg").symlink_to(tmp_path / "secret" / "nothing.jpg")
    (root / "sub").mkdir()
    (root / "sub" / "in.jpg").symlink_to(root / "file.jpg")
    sources = find([root], out=out)
    assert [source.problem and source.problem.code for source in sources] == ["input_outside"] * 5
    assert all(source.leads_out for source in sources)


def test_links_inside_the_folder_are_taken(root: Path, out: Path) -> None:
    """A link to a file beside it is a source; a link to a folder above it is no endless walk."""
    (root / "a.jpg").write_bytes(b"x")
    (root / "b.jpg").symlink_to("a.jpg")
    (root / "sub").mkdir()
    (root / "sub" / "loop").symlink_to(root)
    sources = find([root], out=out)
    assert [(source.path.name, source.problem) for source in sources] == [
        ("a.jpg", None),
        ("b.jpg", None),
    ]


def test_a_link_that_is_named_is_followed(root: Path, out: Path, tmp_path: Path) -> None:
    """To a file and to a folder: who names a link means what it leads to."""
    (root / "a.jpg").write_bytes(b"x")
    (root / "b.jpg").symlink_to("a.jpg")
    (tmp_path / "folder").symlink_to(root)
    (tmp_path / "file.jpg").symlink_to(root / "a.jpg")
    sources = find([tmp_path / "folder", tmp_path / "file.jpg"], out=out)
    assert [(source.path.name, source.problem) for source in sources] == [
        ("a.jpg", None),
        ("b.jpg", None),
        ("file.jpg", None),
    ]


def test_a_link_into_another_folder_that_is_given_leads_out(
    root: Path, out: Path, tmp_path: Path
) -> None:
    """What it leads to is found there, once."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.jpg").write_bytes(b"x")
    (root / "link.jpg").symlink_to(other / "a.jpg")
    sources = find([root, other], out=out)
    assert [(source.path.name, source.leads_out) for source in sources] == [
        ("link.jpg", True),
        ("a.jpg", False),
    ]


def test_a_link_into_the_output_folder_is_not_an_input(root: Path) -> None:
    """Results are not processed again, whatever leads to them."""
    out = root / "out"
    out.mkdir()
    (out / "thumbnail.jpg").write_bytes(b"x")
    (root / "a.jpg").write_bytes(b"x")
    (root / "latest.jpg").symlink_to("out/thumbnail.jpg")
    (root / "results").symlink_to("out")
    assert [source.path.name for source in find([root], out=out)] == ["a.jpg"]


def test_what_is_no_file_is_refused(root: Path, out: Path) -> None:
    """A dangling link and a pipe are problems, not hangs."""
    (root / "dangling.jpg").symlink_to("nothing.jpg")
    os.mkfifo(root / "pipe.jpg")
    problems = [source.problem for source in find([root], out=out)]
    assert [problem and problem.code for problem in problems] == ["input_unreadable"] * 2


def test_deep_folders_do_not_end_the_walk(out: Path) -> None:
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
        (source,) = find([root], out=out)
    finally:
        subprocess.run(["rm", "-r", root], check=True)
    assert source.path == root.joinpath(*["d"] * depth, "a.jpg")


def test_missing_input(root: Path, out: Path) -> None:
    """A path that does not exist is named in the error."""
    with pytest.raises(InputError, match=r"nope\.jpg: no such file") as caught:
        find([root / "nope.jpg"], out=out)
    assert caught.value.code == "input_missing"


def test_empty_input(root: Path, out: Path) -> None:
    """Folders without a file are an error: it is rarely what was meant."""
    with pytest.raises(InputError, match="no files in"):
        find([root], out=out)


def test_names_of_any_bytes(root: Path, out: Path) -> None:
    """A name that is not UTF-8 becomes text that any JSON reader takes."""
    name = os.fsdecode(b"caf\xe9\n.jpg")
    (root / name).write_bytes(b"x")
    (source,) = find([root], out=out)
    assert source.label == f"{root}/caf\\xe9\n.jpg"
    source.label.encode("utf-8")
