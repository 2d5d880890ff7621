"""``safelight repack``: a JPEG there and back, and what it refuses."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.unit.pictures import encoded, photo
from tests.unit.specimens import specimen
from worker.entrypoints.cli import run


def test_there_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The packed file is smaller, and gives back a file with the SHA-256 of the original."""
    original = tmp_path / "photo.jpeg"
    original.write_bytes(encoded(photo(), "JPEG", quality=90))
    assert run(["repack", str(original), "--out", str(tmp_path / "packed"), "--json"]) == 0
    packed = json.loads(capsys.readouterr().out)
    assert packed["bytes"] < original.stat().st_size
    assert run(["repack", packed["out"]]) == 0
    again = tmp_path / "packed" / "photo.jpg"
    assert (
        hashlib.sha256(again.read_bytes()).digest()
        == hashlib.sha256(original.read_bytes()).digest()
    )


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("png", "format_not_allowed"),
        ("jpeg-cmyk", "unsupported_variant"),
        ("jxl", "corrupt"),
    ],
)
def test_what_cannot_be_packed_leaves_nothing(
    name: str, code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A PNG, a JPEG that libjxl cannot pack and a JPEG XL without a JPEG end with a code alone."""
    file = tmp_path / "file"
    file.write_bytes(specimen(name))
    assert run(["repack", str(file), "--json"]) == 1
    assert json.loads(capsys.readouterr().err)["error"]["code"] == code
    assert list(tmp_path.iterdir()) == [file]
