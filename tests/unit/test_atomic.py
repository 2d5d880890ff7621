"""Writing whole files, and locks: what a reader, an error and another holder see."""

from __future__ import annotations

import errno
import stat
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from worker.atomic import atomic_write, disk_full, lock_file, lock_folder, staging


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("data", ["naïve", b"\xff\x00"])
def test_a_file_is_replaced_whole(tmp_path: Path, data: bytes | str, *, durable: bool) -> None:
    """Text is UTF-8, and nothing else is left in the folder."""
    path = tmp_path / "state.json"
    path.write_text("old")

    atomic_write(path, data, durable=durable)

    assert path.read_bytes() == (data.encode() if isinstance(data, str) else data)
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    """The staging file goes, the old file stays."""
    path = tmp_path / "page"
    path.write_text("old")

    def fail() -> None:
        with staging(path) as unfinished:
            unfinished.write_text("ne")
            raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, match="full"):
        fail()

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_secret_is_for_its_owner_from_the_start(tmp_path: Path) -> None:
    """The mode is that of the new file, whatever the old one's was."""
    path = tmp_path / "key"
    path.write_text("old")
    path.chmod(0o644)

    atomic_write(path, "new", mode=0o600)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_lock_has_one_holder(tmp_path: Path, kind: str) -> None:
    """A second one is told at once; afterwards it is free, and no lock file is left."""
    place = tmp_path / "deep" / "place"

    def lock() -> AbstractContextManager[None]:
        return lock_file(place / "lock") if kind == "file" else lock_folder(place)

    with lock(), pytest.raises(BlockingIOError), lock():
        pass
    with lock():
        pass

    assert list(place.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_has_three_errors(number: int) -> None:
    """No space, a quota that is used up, and the largest file of the process."""
    assert disk_full(OSError(number, ""))
    assert not disk_full(OSError(errno.EACCES, ""))
