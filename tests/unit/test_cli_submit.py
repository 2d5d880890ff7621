"""``submit`` before anything is submitted: its help, its options, what it says of mistakes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from batch.catalogue import KINDS, OFFERED, JobKind
from worker.entrypoints.cli import run
from worker.entrypoints.cli.submit import command

JPEG = b"\xff\xd8\xff\xe0"
STEPS = ("transcode-plan", "transcode-part", "transcode-assemble")
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A file that begins like a picture."""
    file = tmp_path / "photo.jpg"
    file.write_bytes(JPEG)
    return file


def problems(capture: pytest.CaptureFixture[str], *words: object) -> dict[str, str]:
    """What is wrong with a command line that runs here: path and message."""
    assert run(["submit", *map(str, words), "--local", "--out", "out", "--json"]) == 2
    error = json.loads(capture.readouterr().err)["error"]
    assert error["code"] == "parameters_invalid", error
    return {each["path"]: each["message"] for each in error["problems"]}


def test_the_help_offers_every_kind_but_steps(capsys: pytest.CaptureFixture[str]) -> None:
    """With what each makes; steps of a divided transcode are for who has read about them."""
    assert run(["submit", "--help"]) == 0
    said = capsys.readouterr().out

    assert [name for name in KINDS if name not in OFFERED] == list(STEPS)
    assert all(f"\n  {name} " in said for name in OFFERED)
    assert not any(name in said for name in STEPS)
    assert "--priority" in said
    assert "Exit codes" in said


@every_kind
def test_each_kind_has_help_with_its_parameters(
    kind: JobKind, capsys: pytest.CaptureFixture[str]
) -> None:
    """Steps too: every parameter with its sentence, its limits and its default."""
    assert run(["submit", kind.name, "--help"]) == 0
    said = capsys.readouterr().out
    words = " ".join(said.split())

    assert said.startswith(f"Usage: safelight submit {kind.name} [OPTIONS] INPUT...")
    for parameter in kind.parameters:
        assert re.search(rf"^  --{parameter.name.replace('_', '-')}\b", said, re.MULTILINE)
        assert parameter.help in words
        if parameter.type in {"int", "float"}:
            assert f"[{parameter.minimum:,} to {parameter.maximum:,}; " in words


@every_kind
def test_no_parameter_hides_an_option(kind: JobKind) -> None:
    """A parameter that is called like an option of every kind could not be given."""
    made = command.get_command(click.Context(command), kind.name)
    assert made is not None
    names = [name for option in made.params for name in (*option.opts, *option.secondary_opts)]

    assert len(names) == len(set(names))


def test_parameters_are_options(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Under their own names, with hyphens or as --param has them; all mistakes are told at once."""
    found = problems(
        capsys,
        *("poster", photo, "--width", "3", "--max_seconds=x", "--param", "quality=0"),
        *("--param", "widht=3", "--formats", "jpeg", "--param", "formats=webp"),
    )

    assert found["--width"] == "must be from 16 to 8,192, not '3'"
    assert found["--max-seconds"] == "must be a number, not 'x'"
    assert found["--param quality"].startswith("must be from 1 to 100")
    assert found["--param 'widht'"].endswith("did you mean width?")
    assert found["--formats"] == "is given twice"
    assert "photo.jpg is an image (jpeg)" in found["INPUT"]


def test_switches_are_options_with_a_no(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both of them off is told by what holds between the two."""
    found = problems(capsys, "transcode", photo, "--no-hls", "--no-mp4")

    assert "nothing to make" in found["--hls"]


def test_options_may_stand_before_the_kind(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of every kind; the first word that is no option and no value is the kind."""
    for words in (
        ("--param", "width=3", "--priority", "poster", photo),
        ("--priority", "poster", "--width", "3", "--", photo),
        ("--param", "width=3", "--", "poster", photo),
    ):
        place = ("--local", "--out", "out", "--json")
        assert run(["submit", *place, *map(str, words)]) == 2
        said = capsys.readouterr().err
        assert "must be from 16" in said, words


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("postr", "f"), "Did you mean 'poster'?"),
        (("Transcode", "f"), "Did you mean 'transcode'?"),
        (("transcode-plans", "f"), "Did you mean 'transcode'?"),
        (("poster", "f", "--widht", "3"), "'--width'"),
        (("poster", "f", "--prioriti"), "'--priority'"),
        (("--json",), "Missing argument 'KIND'"),
        (("poster", "--json"), "Missing argument 'INPUT...'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_is_mistyped_gets_a_suggestion(
    words: tuple[str, ...], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of kinds that are offered, and of options; what is missing is named."""
    assert run(["submit", *words]) == 2
    said = capsys.readouterr()

    assert said.out == ""
    assert hint in said.err
    assert not any(f"'{step}'" in said.err for step in STEPS)


def test_an_unknown_kind_without_a_neighbour_says_where_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line, with the way to the list."""
    assert run(["submit", "xyzzy", "f"]) == 2
    said = capsys.readouterr().err

    assert said == (
        "error[usage]: There is no kind of job 'xyzzy'. (safelight submit --help says more)\n"
    )


def test_help_loads_neither_the_media_code_nor_aws() -> None:
    """The catalogue is data: a list of kinds is there at once."""
    code = (
        "import sys; from worker.entrypoints.cli import run; run(['submit', 'poster', '--help']);"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    loaded = set(done.stderr.split())
    assert not {"boto3", "numpy", "pyvips", "rich", "worker.imaging", "batch.submit"} & loaded
