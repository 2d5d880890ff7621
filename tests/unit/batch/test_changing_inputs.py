"""Inputs that change while a job works on them: no record vouches for what was made of them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from batch.work import Work
from tests.unit.batch.worlds import World, attempt
from worker.domain.errors import DamagedInput, EngineError, ObjectChanged, Reason


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """An input; no operation here looks at what it is."""
    path = tmp_path / "film.mp4"
    path.write_bytes(b"film" * 1000)
    return path


@pytest.fixture
def usual(film: Path, tmp_path: Path) -> list[str]:
    """A command line."""
    return ["poster", "--input", str(film), "--output", str(tmp_path / "out")]


def content(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_bytes())


def test_an_object_that_changes_meanwhile_is_not_worked_on(
    usual: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What was described must be what is fetched."""
    world = World()
    world.memory.upload("intake", "film.mp4", b"12345")
    usual[2] = "s3://intake/film.mp4"

    def changed(*_: object, **__: object) -> None:
        raise ObjectChanged("replaced")

    monkeypatch.setattr("tests.unit.batch.worlds.MemoryTransfers.download", changed)

    assert attempt(*usual, operation=lambda _: {}, world=world).code == 65
    assert content(tmp_path / "out" / "rejected.json")["code"] == "object_changed"


def test_a_verdict_on_a_file_that_changes_meanwhile_names_that(
    usual: list[str], tmp_path: Path, film: Path
) -> None:
    """Half a copy looks damaged; that it was written to is what helps."""

    def operation(work: Work) -> Mapping[str, object]:
        work.inputs[0].write_bytes(b"cut")
        raise DamagedInput(Reason.TRUNCATED, "ends early")

    assert attempt(*usual, operation=operation).code == 65
    assert content(tmp_path / "out" / "rejected.json")["code"] == "object_changed"


@pytest.mark.parametrize("change", ["written", "gone", "touched"])
def test_a_file_that_changes_meanwhile_is_not_vouched_for(
    usual: list[str], tmp_path: Path, film: Path, change: str
) -> None:
    """Results may be of either content, or both: a verdict, no record. A new time is no change."""

    def operation(work: Work) -> Mapping[str, object]:
        work.checkpoint.put("piece", film)
        if change == "written":
            film.write_bytes(b"cut")
        elif change == "gone":
            film.unlink()
        else:
            os.utime(film, ns=(1, 1))
        return {}

    codes = {"written": "object_changed", "gone": "input_missing"}
    out = tmp_path / "out"
    assert attempt(*usual, operation=operation).code == (65 if change in codes else 0)
    assert (out / "result.json").exists() == (change not in codes)
    if change in codes:
        assert content(out / "rejected.json")["code"] == codes[change]
    assert not (out / ".checkpoint").exists()


def test_what_was_stored_before_a_verdict_goes_with_it(
    usual: list[str], tmp_path: Path, film: Path
) -> None:
    """A file that is gone when all is done: no result of it stays without a record."""

    def operation(work: Work) -> Mapping[str, object]:
        made = work.scratch / "made"
        made.write_bytes(b"poster")
        work.outputs.file(made, "deep/poster.jpg")
        film.unlink()
        return {}

    assert attempt(*usual, operation=operation).code == 65
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["rejected.json"]


def test_a_defect_on_a_file_that_changes_meanwhile_names_that(
    usual: list[str], tmp_path: Path, film: Path
) -> None:
    """Programs say strange things of a file that ends under them."""

    def operation(work: Work) -> Mapping[str, object]:
        film.write_bytes(b"fi")
        raise EngineError("ffmpeg ended with status 1")

    assert attempt(*usual, operation=operation).code == 65
    assert content(tmp_path / "out" / "rejected.json")["code"] == "object_changed"
