"""``safelight tune`` on curves that are there, and what it refuses before it measures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_tuning_curve import curve
from worker.entrypoints.cli import run
from worker.infra import checkout
from worker.services import tuning_curve

X86 = curve((768, 1.3), (1024, 1.0), (1769, 0.58), (3008, 0.4))
ARM = replace(X86, architecture="arm64")
STACK = """\
# ours
config:
  aws:region: eu-central-1
  safelight:intake:
    ordering: fifo # kept
    memory: 3008
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Curves of both architectures."""
    found = (tmp_path / "x86.json", tmp_path / "arm.json")
    for path, one in zip(found, (X86, ARM), strict=True):
        path.write_text(tuning_curve.written(one))
    return found


@pytest.fixture
def stacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Pulumi program with the stack ``dev``."""
    folder = tmp_path / "pulumi"
    folder.mkdir()
    (folder / "Pulumi.dev.yaml").write_text(STACK)
    monkeypatch.setattr(checkout, "folder", lambda: folder)
    return folder


def failed(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, Any]]:
    """The exit code of a command line that fails, and its error; it prints nothing else."""
    code = run(["tune", *map(str, arguments), "--json"])
    said = capsys.readouterr()
    assert said.out == ""
    found: dict[str, Any] = json.loads(said.err)["error"]
    return code, found


def test_a_curve_is_shown_with_what_to_choose(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Sizes that the sandbox does not fit into are shown and not chosen."""
    assert run(["tune", "--from", str(files[0])]) == 0

    said = capsys.readouterr().out
    assert "x86_64, container, 2026-11-30: 9 photos of 1.05 MB" in said
    assert "recommended: 1,769 MB on x86_64 (at least 1,536 MB, for the sandbox)" in said
    assert "only one architecture was measured" in said


def test_two_architectures_are_compared(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Equal seconds cost a fifth less on arm64."""
    assert run(["tune", "--from", str(files[0]), "--from", str(files[1]), "--json"]) == 0

    found = json.loads(capsys.readouterr().out)
    assert found["recommended"] == {"memory": 1769, "architecture": "arm64"}
    usd = [one["points"][2]["usd_per_million"] for one in found["curves"]]
    assert usd[1] / usd[0] == pytest.approx(0.8, abs=0.001)
    # By hand: 0.58 s of 1,769 / 1,024 GB at $0.0000133334, a million times.
    assert usd[1] == pytest.approx(13.3597, abs=0.001)


def test_the_choice_is_written_into_the_configuration(
    files: tuple[Path, Path], stacks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The memory alone changes; comments stay, and so does the architecture, which images have."""
    assert run(["tune", "--from", str(files[0]), "--write", "dev"]) == 0

    assert (stacks / "Pulumi.dev.yaml").read_text() == STACK.replace("3008", "1769")
    assert "`pulumi up` deploys it" in capsys.readouterr().out


def test_the_architecture_is_written_if_both_were_measured(
    files: tuple[Path, Path], stacks: Path
) -> None:
    """It is part of what was compared."""
    assert run(["tune", "--from", str(files[0]), "--from", str(files[1]), "--write", "dev"]) == 0

    assert "architecture: arm64" in (stacks / "Pulumi.dev.yaml").read_text()


def test_a_smaller_sandbox_allows_a_smaller_function(
    files: tuple[Path, Path], stacks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The least memory follows from the setting of the stack."""
    path = stacks / "Pulumi.dev.yaml"
    path.write_text(STACK + "  safelight:settings: {sandbox_megabytes: 700}\n")

    assert run(["tune", "--from", str(files[0]), "--write", "dev", "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["least"] == 956
    assert "memory: 1769" in path.read_text()


@pytest.mark.parametrize(("name", "start"), [("c.svg", b"<?xml"), ("c.png", b"\x89PNG")])
def test_the_curve_is_drawn(
    files: tuple[Path, Path], tmp_path: Path, name: str, start: bytes
) -> None:
    """As the name's ending says; an SVG is the same each time."""
    paths = [tmp_path / name, tmp_path / f"again-{name}"]
    for path in paths:
        words = ["--from", str(files[0]), "--from", str(files[1]), "--chart", str(path)]
        assert run(["tune", *words]) == 0

    assert paths[0].read_bytes().startswith(start)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_curve_is_written_with_the_choice(files: tuple[Path, Path], tmp_path: Path) -> None:
    """`--out` makes the file that the bill reads."""
    out = tmp_path / "out.json"

    assert run(["tune", "--from", str(files[0]), "--strategy", "speed", "--out", str(out)]) == 0

    found = tuning_curve.read(out)
    assert found.recommended is not None
    assert found.recommended.memory == 3008


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([], (2, "usage", "name photos")),
        (["PHOTO", "--from", "x"], (2, "usage", "name photos")),
        (["--from", "x", "--from", "y", "--from", "z"], (2, "usage", "two curves")),
        (["--from", "missing.json"], (2, "input_missing", "missing.json")),
        (["missing.jpg"], (2, "input_missing", "missing.jpg")),
        (["PHOTO", "--memory", "a"], (2, "usage", "no list of megabytes")),
        (["PHOTO", "--memory", ""], (2, "usage", "no list of megabytes")),
        (["PHOTO", "--memory", "1769"], (2, "input_invalid", "one size is no curve")),
        (["PHOTO", "--memory", "512,1024"], (2, "input_invalid", "which the sandbox needs")),
        (["PHOTO", "--balance", "nan"], (2, "usage", "not a number")),
        (["PHOTO", "--write", "nowhere"], (2, "input_missing", "no such file")),
        (["PHOTO", "--chart", "x.gif"], (2, "input_invalid", ".svg or .png")),
        (["PHOTO", "--chart", "nowhere/x.svg"], (3, "output_unwritable", "no folder")),
        (["PHOTO", "--stack", "dev"], (2, "program_missing", "pulumi")),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_measured(
    words: list[str],
    wanted: tuple[int, str, str],
    *,
    stacks: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Options, files and programs are looked at first."""
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"\xff\xd8\xff\xdb\x00\x03a\xff\xd9")
    monkeypatch.setenv("PATH", str(stacks))

    found = failed(capsys, *[str(photo) if one == "PHOTO" else one for one in words])

    assert (found[0], found[1]["code"]) == wanted[:2], found
    assert wanted[2] in found[1]["message"]


def test_a_stack_without_power_tuning_is_said_to(
    tmp_path: Path,
    stacks: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the setting that deploys it."""
    program = stacks / "pulumi"
    program.write_text("#!/bin/sh\necho '{\"environment\": {}}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(stacks), prepend=":")
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"\xff\xd8\xff\xdb\x00\x03a\xff\xd9")

    found = failed(capsys, photo, "--stack", "dev")

    assert found[0] == 2
    assert "cost.powerTuning: true" in found[1]["message"]
