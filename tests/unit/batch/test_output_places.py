"""Output places that cannot be used: said before the work, not after hours of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from batch.work import Work
from tests.unit.batch.worlds import attempt


def never(_: Work) -> Mapping[str, object]:
    """An operation that is not to be begun."""
    raise AssertionError("it was begun")


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """An input; no operation here looks at what it is."""
    path = tmp_path / "film.mp4"
    path.write_bytes(b"film")
    return path


def test_a_place_that_cannot_be_written_is_found_before_the_work(
    film: Path, tmp_path: Path
) -> None:
    """A file where the folder should be, or above it."""
    for place in (film, film / "below"):
        ended = attempt("poster", "--input", str(film), "--output", str(place), operation=never)
        (failed,) = ended.events("failed")
        assert (ended.code, failed["code"]) == (1, "output_unwritable")


def test_a_second_job_of_the_same_place_is_told(film: Path, tmp_path: Path) -> None:
    """Two that work there at the same time would leave files of both under one record."""
    words = ("poster", "--input", str(film), "--output", str(tmp_path / "out"))
    second: list[tuple[int, object]] = []

    def first(_: Work) -> Mapping[str, object]:
        ended = attempt(*words, operation=never)
        second.append((ended.code, ended.events("failed")[0]["code"]))
        return {}

    assert attempt(*words, operation=first).code == 0
    assert second == [(1, "output_busy")]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["result.json"]
