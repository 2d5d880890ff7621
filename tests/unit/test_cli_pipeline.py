"""What the commands of the pipeline say when they are used wrongly or find nothing to talk to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from worker.domain.errors import InputError
from worker.entrypoints.cli import run
from worker.entrypoints.cli.backfill import load, save
from worker.infra import checkout
from worker.services.backfill import BackfillProgress
from worker.services.inventory import COLUMNS

STACK_COMMANDS = [
    ("put", "FILE"),
    ("assets", "list"),
    ("assets", "show", "ID"),
    ("assets", "tag", "ID", "T"),
    ("assets", "rm", "ID"),
    ("assets", "retry", "ID"),
    ("events", "tail"),
    ("dlq", "list"),
    ("dlq", "show"),
    ("dlq", "redrive"),
    ("dlq", "drop", "--all"),
    ("backfill", "s3://b/"),
]


@pytest.mark.parametrize("arguments", STACK_COMMANDS, ids=" ".join)
def test_without_a_stack_a_command_says_how_to_start_one(
    arguments: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One error, with a stable code; nothing is made in the folder that was named."""
    data = tmp_path / "data"
    (tmp_path / "FILE").touch()
    words = [str(tmp_path / word) if word == "FILE" else word for word in arguments]

    assert run([*words, "--data", str(data), "--json"]) == 2

    error = json.loads(capsys.readouterr().err)["error"]
    assert error["code"] == "input_missing"
    assert "safelight up" in error["message"]
    assert not data.exists()


@pytest.mark.parametrize("missing", ["program", "pulumi"])
def test_a_stack_needs_a_checkout_with_pulumi(
    missing: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An installed package alone says so before anything is made, and what to do instead."""
    if missing == "program":
        monkeypatch.setattr(checkout, "__file__", str(tmp_path / "a" / "b" / "c" / "d.py"))
    else:
        monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)

    assert run(["up", "--data", str(tmp_path / "data"), "--json"]) == 2

    error = json.loads(capsys.readouterr().err)["error"]
    assert error["code"] == "checkout_missing"
    assert "make up" in error["message"]
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("text", "reason"), [(None, "is not there"), ("name = 'shop'\nnothing = 1", "nothing")]
)
def test_a_stack_does_not_start_with_a_recipe_that_cannot_be_used(
    text: str | None, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The mistake is told at once, and not by every worker later; nothing is made."""
    recipe = tmp_path / "shop.toml"
    if text is not None:
        recipe.write_text(text)

    assert run(["up", "--recipe", str(recipe), "--data", str(tmp_path / "data"), "--json"]) == 2

    error = json.loads(capsys.readouterr().err)["error"]
    assert error["code"] == "recipe_invalid"
    assert reason in json.dumps(error)
    assert not (tmp_path / "data").exists()


def test_a_stack_is_asked_for_without_pulumi_being_there(tmp_path: Path) -> None:
    """As in the images: nothing on the way to that error imports what it misses."""
    program = (
        "import sys; from importlib.machinery import PathFinder\n"
        "class Without(PathFinder):\n"
        "    @classmethod\n"
        "    def find_spec(cls, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('pulumi', 'pulumi_aws'): return None\n"
        "        return super().find_spec(name, path, target)\n"
        "sys.meta_path[sys.meta_path.index(PathFinder)] = Without\n"
        "from worker.entrypoints.cli import run\n"
        "sys.exit(run(['up', '--json', '--data', sys.argv[1]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "data")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )

    assert json.loads(done.stderr)["error"]["code"] == "checkout_missing"
    assert done.returncode == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("assets", "list", "--tag", "a", "--owner", "b"),
        ("assets", "list", "--similar", "a", "--key", "b"),
        ("assets", "list", "--similar", "a", "--cursor", "c"),
        ("dlq", "drop"),
        ("backfill",),
        ("backfill", "s3://b/", "--inventory", "f"),
        ("up", "--port", "80"),
        ("up", "--workers", "0"),
        ("put",),
    ],
    ids=" ".join,
)
def test_wrong_use_is_told(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Options that contradict each other are said before anything is asked for."""
    assert run([*arguments, "--json"]) == 2
    assert json.loads(capsys.readouterr().err)["error"]["code"] == "usage"


@pytest.mark.parametrize("limit", ["nan", "-1", "much"])
def test_a_stack_reads_its_daily_limit_from_the_environment(
    limit: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistake in the variable is told with its name, and nothing starts."""
    monkeypatch.setenv("SAFELIGHT_DAILY_LIMIT", limit)
    assert run(["up", "--json"]) == 2
    error = json.loads(capsys.readouterr().err)["error"]
    assert error["code"] == "usage"
    assert "SAFELIGHT_DAILY_LIMIT" in error["message"]


def test_the_columns_in_the_help_are_the_real_default(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The command line repeats the inventory's default, so that --help costs no import."""
    run(["backfill", "--help"])

    assert COLUMNS in " ".join(capsys.readouterr().out.split())


def test_progress_that_cannot_be_kept_is_an_error_of_ours(tmp_path: Path) -> None:
    """A state file in an impossible place is no traceback."""
    blocked = tmp_path / "file"
    blocked.touch()

    with pytest.raises(InputError):
        load(tmp_path, "s")
    assert run(["backfill", "s3://b/", "--state", str(blocked / "x"), "--data", "none"]) == 2
    save(tmp_path / "state", BackfillProgress(source="s"))
