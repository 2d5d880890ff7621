"""The scratch folder: one attempt's own, gone afterwards, cleared of what was killed."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from batch.scratch import PREFIX, Scratch
from worker.domain.errors import InputError, ScratchFull


def test_what_a_killed_attempt_has_left_is_removed(tmp_path: Path) -> None:
    """A folder whose lock is free goes; one that is held, or nobody's, stays."""
    dead, other = tmp_path / f"{PREFIX}dead", tmp_path / "other"
    for folder in (dead, other):
        folder.mkdir()
        (folder / "lock").write_bytes(b"")

    with Scratch(tmp_path) as alive, Scratch(tmp_path) as second:
        assert {path.name for path in tmp_path.iterdir()} == {
            *("other", alive.root.name, second.root.name)
        }

    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_a_folder_that_is_being_made_is_left_alone(tmp_path: Path) -> None:
    """Without a lock it is young, or it is an hour old and nobody's."""
    young, old = tmp_path / f"{PREFIX}young", tmp_path / f"{PREFIX}old"
    for folder in (young, old):
        folder.mkdir()
    os.utime(old, (0, 0))

    with Scratch(tmp_path):
        assert young.exists()
        assert not old.exists()


def test_a_lock_is_never_seen_before_it_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt that starts at the same moment would take the folder for a dead one's."""
    seen: list[list[str]] = []
    lock = fcntl.flock

    def looked(file: int, operation: int) -> None:
        seen.append([path.name for path in tmp_path.glob("*/lock")])
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", looked)
    with Scratch(tmp_path) as scratch:
        assert (scratch.root / "lock").is_file()

    assert seen == [[]]


def test_folders_are_empty_and_gone_even_after_an_error(tmp_path: Path) -> None:
    """Whatever was written is removed when the attempt ends."""

    def fail(folder: Path) -> None:
        assert list(folder.iterdir()) == []
        (folder / "half").write_bytes(b"x")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), Scratch(tmp_path) as scratch:
        fail(scratch.work)

    assert list(tmp_path.iterdir()) == []


def test_more_than_there_is_cannot_be_had(tmp_path: Path) -> None:
    """Too little room is ``scratch_full``; a place for no folder is the person's mistake."""
    with Scratch(tmp_path) as scratch, pytest.raises(ScratchFull, match="are free"):
        scratch.check_room(2**62)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError), Scratch(tmp_path / "file"):
        pass
