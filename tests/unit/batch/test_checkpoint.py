"""Checkpoints: what has a right note counts, nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch.checkpoint import StoredCheckpoint
from batch.outputs import LocalOutputStore
from worker.domain.errors import EngineError

DIGEST = "ab" * 32


@pytest.fixture
def place(tmp_path: Path) -> LocalOutputStore:
    """An empty place."""
    return LocalOutputStore(tmp_path / "place")


def checkpoint(
    place: LocalOutputStore, tmp_path: Path, *, job: str = "transcode", digest: str = DIGEST
) -> StoredCheckpoint:
    """A checkpoint, as a new attempt opens it."""
    return StoredCheckpoint(place, job, digest, tmp_path / "fetched")


def piece(tmp_path: Path, data: bytes) -> Path:
    """A finished piece."""
    path = tmp_path / "piece"
    path.write_bytes(data)
    return path


def test_a_later_attempt_finds_the_pieces(place: LocalOutputStore, tmp_path: Path) -> None:
    """Names are sorted, contents are what was put, a second put replaces."""
    first = checkpoint(place, tmp_path)
    first.put("b/2.m4s", piece(tmp_path, b"two"))
    first.put("a.m4s", piece(tmp_path, b"one"))
    first.put("a.m4s", piece(tmp_path, b"uno"))

    second = checkpoint(place, tmp_path)
    found = second.get("a.m4s")

    assert second.names() == ["a.m4s", "b/2.m4s"]
    assert found is not None
    assert found.read_bytes() == b"uno"
    assert second.get("c") is None


@pytest.mark.parametrize("damage", [b"onE", b"", b"one "])
def test_a_damaged_piece_is_none(place: LocalOutputStore, tmp_path: Path, damage: bytes) -> None:
    """A flipped, lost or added byte is noticed."""
    kept = checkpoint(place, tmp_path)
    kept.put("a", piece(tmp_path, b"one"))
    (stored,) = (tmp_path / "place").rglob("pieces/a")
    stored.write_bytes(damage)

    assert kept.get("a") is None


def test_a_piece_without_its_note_does_not_count(place: LocalOutputStore, tmp_path: Path) -> None:
    """A put that was killed between the piece and its note has not happened; nor the reverse."""
    kept = checkpoint(place, tmp_path)
    kept.put("a", piece(tmp_path, b"one"))
    kept.put("b", piece(tmp_path, b"two"))
    next((tmp_path / "place").rglob("notes/a.json")).unlink()
    next((tmp_path / "place").rglob("pieces/b")).unlink()

    assert kept.names() == ["b"]
    assert kept.get("a") is None
    assert kept.get("b") is None


def test_a_damaged_note_does_not_count(place: LocalOutputStore, tmp_path: Path) -> None:
    """Whatever is in a note, the worst is a piece made again."""
    kept = checkpoint(place, tmp_path)
    kept.put("a", piece(tmp_path, b"one"))
    next((tmp_path / "place").rglob("notes/a.json")).write_bytes(b"[1")

    assert kept.get("a") is None


def test_other_inputs_and_other_jobs_see_nothing(place: LocalOutputStore, tmp_path: Path) -> None:
    """The digest and the job's name part what one place holds."""
    checkpoint(place, tmp_path).put("a", piece(tmp_path, b"one"))

    assert checkpoint(place, tmp_path, digest="cd" * 32).names() == []
    assert checkpoint(place, tmp_path, job="transcode-part-00001").get("a") is None


def test_clearing_forgets_earlier_inputs_too(place: LocalOutputStore, tmp_path: Path) -> None:
    """After success nothing is left, not even folders; other jobs keep theirs."""
    checkpoint(place, tmp_path, digest="cd" * 32).put("old", piece(tmp_path, b"0"))
    checkpoint(place, tmp_path, job="other").put("a", piece(tmp_path, b"1"))
    mine = checkpoint(place, tmp_path)
    mine.put("a", piece(tmp_path, b"1"))

    mine.clear()

    assert mine.names() == []
    folder = tmp_path / "place" / ".checkpoint"
    assert [path.name for path in folder.iterdir()] == ["other"]


def test_pieces_cannot_be_called_anything(place: LocalOutputStore, tmp_path: Path) -> None:
    """A name that climbs out is refused."""
    with pytest.raises(EngineError):
        checkpoint(place, tmp_path).put("../../x", piece(tmp_path, b""))
