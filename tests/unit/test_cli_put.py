"""``put``: owner, tags and attributes go with the file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli_pipeline import Pipeline, pipeline
from worker.domain.user_metadata import from_metadata


@pytest.fixture
def world(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pipeline]:
    """A pipeline without assets."""
    with pipeline(tmp_path / "data", capsys, monkeypatch) as made:
        yield made


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A file."""
    file = tmp_path / "photo.jpg"
    file.write_bytes(b"\xff\xd8\xff")
    return file


def test_labels_go_with_every_file(world: Pipeline, photo: Path) -> None:
    """As metadata that whoever records the upload reads, of any letters."""
    other = photo.with_name("other.jpg")
    other.write_bytes(b"x")
    words = (
        *("--owner", "Zoë & co", "--tag", "north, sea", "--tag", "日本"),
        *("--attribute", "camera=X 100", "--attribute", "a b=c=d", "--attribute", "empty="),
    )
    out, _ = world.run("put", photo, other, *words, "--json")

    for line in out.splitlines():
        stored = world.store.head("intake", json.loads(line)["key"])
        labels = from_metadata(stored.metadata)
        assert labels.owner == "Zoë & co"
        assert labels.tags == {"north, sea", "日本"}
        assert labels.attributes == {"camera": "X 100", "a b": "c=d", "empty": ""}
        assert labels.ignored == ()


def test_a_recipe_goes_with_the_file(world: Pipeline, photo: Path) -> None:
    """By its name, as the API takes it; one that there is not is said before anything is sent."""
    world.run("put", photo, "--recipe", "avatar")
    assert world.store.head("intake", "uploads/photo.jpg").metadata["recipe"] == "avatar"

    _, said = world.run("put", photo, "--recipe", "none", "--prefix", "x/", code=2)
    assert "no recipe none here: archive, avatar, default" in said
    assert world.store.keys("intake") == {"uploads/photo.jpg"}


def test_without_labels_the_metadata_is_the_trace_alone(world: Pipeline, photo: Path) -> None:
    """An upload carries the trace that its record and its events will have."""
    world.run("put", photo)
    assert set(world.store.head("intake", "uploads/photo.jpg").metadata) == {"traceparent"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--owner", ""), "owner has 1 to 200 characters"),
        (("--owner", "x" * 201), "owner has 1 to 200 characters"),
        (("--tag", ""), "tag has 1 to 128 characters"),
        (("--tag", "a\nb"), "control character"),
        (("--attribute", "camera"), "--attribute must be NAME=VALUE, not 'camera'"),
        (("--attribute", "=X100"), "--attribute must be NAME=VALUE"),
        (("--attribute", "a=1", "--attribute", "a=2"), "--attribute a is given twice"),
        (("--attribute", "a=" + "x" * 1025), "0 to 1024 characters"),
        (tuple(w for n in range(41) for w in ("--tag", str(n))), "at most 40"),
        (("--attribute", "a=" + "é" * 400), "an object carries 2048"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_what_cannot_be_a_label_is_told_before_anything_is_uploaded(
    words: tuple[str, ...], said: str, world: Pipeline, photo: Path
) -> None:
    """It would be left out of the record in silence."""
    error = world.error("put", photo, *words)

    assert error["code"] in {"usage", "input_invalid"}
    assert said in error["message"]
    assert world.store.keys("intake") == set()
