"""The command line around its work: listing, errors, exit codes, start-up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from worker.domain.errors import (
    DamagedInput,
    EngineError,
    InputError,
    Problem,
    Reason,
    RecipeError,
    SafelightError,
    StorageFull,
    TransientError,
)
from worker.entrypoints.cli import LazyGroup, cli, output, process, run
from worker.services.process_files.output_folder import (
    Cause,
    Entry,
    FileStatus,
    InputFile,
    RecipeUsed,
)

HEAVY = {"jinja2", "numpy", "PIL", "pyvips", "rich", "tomllib", "worker.imaging"}


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """The help names each command and the exit codes."""
    assert run(["--help"]) == 0
    said = capsys.readouterr().out
    context = click.Context(cli)
    assert all(f"\n  {name} " in said for name in cli.list_commands(context))
    assert "130" in said


def test_help_loads_nothing_heavy() -> None:
    """Listing commands loads neither the engine nor anything that draws or validates."""
    code = (
        "import sys; from worker.entrypoints.cli import run; run(['--help']);"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stderr.split())


@pytest.mark.parametrize("name", ["process", "inspect", "plan", "compare", "recipes", "samples"])
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command explains itself."""
    assert run([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: safelight {name}")


def test_process_help_has_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """Scripts depend on the exit codes of ``process``: its help documents each."""
    run(["process", "--help"])
    said = capsys.readouterr().out
    assert all(f"\n    {code} " in said for code in (0, 1, 2, 3, 70, 130))


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The version is one line."""
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("safelight ")


def test_mistyped_command(capsys: pytest.CaptureFixture[str]) -> None:
    """A command that does not exist is wrong use, with a suggestion."""
    assert run(["proces"]) == output.USAGE
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error[usage]: No such command 'proces'. Did you mean 'process'?")


def test_usage_error_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """With --json, even wrong use is an object."""
    assert run(["process", "--json"]) == output.USAGE
    assert json.loads(capsys.readouterr().err)["error"]["code"] == "usage"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DamagedInput(Reason.TRUNCATED, "m"), 1),
        (RecipeError("r", ()), 2),
        (InputError("m", code="input_missing"), 2),
        (InputError("m", code="output_unwritable"), 3),
        (InputError("m", code="output_busy"), 3),
        (StorageFull("m"), 3),
        (EngineError("m"), 70),
        (TransientError("m"), 75),
    ],
)
def test_exit_codes(error: SafelightError, code: int) -> None:
    """Each kind of error has its exit code."""
    assert output.exit_code(error) == code


def test_recipe_mistakes_are_all_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A recipe with two mistakes names both, and the run does not start."""
    recipe = tmp_path / "bad.toml"
    recipe.write_text('name = "bad"\nversion = 0\nwidht = 3\n')
    out = tmp_path / "out"
    assert run(["process", str(tmp_path), "--out", str(out), "--recipe", str(recipe)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error[recipe_invalid]: ")
    assert "version" in said
    assert "widht" in said
    assert not out.exists()


def test_problems_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """The problems of an error are a list, and its message is one line."""
    output.print_error(RecipeError("recipe x", (Problem("a.b", "is wrong"),)), as_json=True)
    error = json.loads(capsys.readouterr().err)["error"]
    assert error["problems"] == [{"path": "a.b", "message": "is wrong"}]
    assert error["message"] == "recipe x: 1 problem"


@click.command()
def broken() -> None:
    """A command with a defect."""
    raise ZeroDivisionError("oh")


def test_defect_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected error is one line that says how to see the traceback."""
    monkeypatch.delenv("SAFELIGHT_DEBUG", raising=False)
    assert isinstance(cli, LazyGroup)
    commands = {**cli.commands_at, "broken": (f"{__name__}:broken", "")}
    monkeypatch.setattr(cli, "commands_at", commands)

    assert run(["broken"]) == output.DEFECT
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("error[engine_failed]: ZeroDivisionError: oh")
    assert "SAFELIGHT_DEBUG=1" in said


def test_recipes_list(capsys: pytest.CaptureFixture[str]) -> None:
    """The shipped recipes are listed with what they are for."""
    assert run(["recipes", "list", "--json"]) == 0
    names = [recipe["name"] for recipe in json.loads(capsys.readouterr().out)]
    assert "default" in names
    assert run(["recipes", "list"]) == 0
    assert all(name in capsys.readouterr().out for name in names[:1])


def test_recipes_show_can_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The output of ``show`` is a valid recipe file."""
    assert run(["recipes", "show", "default"]) == 0
    copy = tmp_path / "copy.toml"
    copy.write_text(capsys.readouterr().out)
    assert run(["recipes", "lint", str(copy)]) == 0


def test_recipes_lint_finds_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Mistakes are printed with their path and end with 1."""
    recipe = tmp_path / "bad.toml"
    recipe.write_text('name = "bad"\nversion = 0\n')
    assert run(["recipes", "lint", str(recipe), "--json"]) == 1
    findings = json.loads(capsys.readouterr().out)
    assert "version" in [finding["path"] for finding in findings]
    assert run(["recipes", "lint", str(recipe)]) == 1
    assert "error: version" in capsys.readouterr().out


def test_names_cannot_move_the_cursor() -> None:
    """Control characters of a file name are escaped on a terminal, letters are not."""
    assert output.one_line("a\x1b[2J\nb\u202ec日本") == "a\\x1b[2J\\nb\\u202ec日本"


def test_line_of_a_rejected_source() -> None:
    """A rejected source is one line with its code, whatever it is called."""
    entry = Entry(
        source="in/a\nb.jpg",
        status=FileStatus.REJECTED,
        reason=Cause(code="empty", message="no bytes"),
        name="a-b",
        input=InputFile(path="../in/a\nb.jpg", bytes=0, modified_ns=0, sha256=None),
        recipe=RecipeUsed(name="default", version=1, digest=""),
        engine="1",
        plan=None,
        probe=None,
        metadata=None,
        renditions=(),
        dropped=(),
        seconds=0.1,
    )
    assert process.entry_text(entry) == "rejected in/a\\nb.jpg: empty: no bytes"


@pytest.mark.parametrize(
    "words",
    [
        *(["put", "x.jpg", "--timeout"], ["upgrades", "--budget"], ["upgrades", "--days"]),
        *(["dlq", "redrive", "--rate"], ["backfill", "s3://b/", "--rate"]),
        *(["process", "x.jpg", "--out", "o", "--timeout"], ["cost", "recipe", "x.jpg", "--viewed"]),
    ],
    ids=" ".join,
)
def test_nan_is_no_number(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """It is in no range, but comparing says nothing of it."""
    assert run([*words, "nan"]) == 2
    assert f"Invalid value for '{words[-1]}': 'nan' is not a number" in capsys.readouterr().err
