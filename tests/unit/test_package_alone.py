"""The product without what is for development, as a wheel or an image has it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.unit.pictures import encoded, photo
from worker.entrypoints.cli import CHECKOUT, DEVELOPMENT, run

ROOT = Path(__file__).parents[2]

HIDE = f"""
import sys
class Hidden:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in {set(DEVELOPMENT)}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hidden)
"""
COMMAND = "from worker.entrypoints.cli import run; sys.exit(run(sys.argv[1:]))"
IMPORT = """
import importlib, pkgutil
import batch, worker
for package in (batch, worker):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        hidden = any(f"{found.name}.".startswith(f"{name}.") for name in DEVELOPMENT)
        if not hidden and not found.name.endswith(("__main__", "launch")):  # scripts
            try:
                importlib.import_module(found.name)
            except ModuleNotFoundError as error:
                print(found.name, error.name)
"""


def alone(program: str, *arguments: str, cwd: Path, **environment: str) -> tuple[int, str, str]:
    """Exit code, output and errors of a program that has the product's packages only."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("SAFELIGHT_")}
    done = subprocess.run(
        [sys.executable, "-c", HIDE + program, *arguments],
        cwd=cwd,
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["samples", "DIR"],
        ["up", "--data", "DIR"],
        ["events", "tail"],
        ["infra", "plan"],
        ["infra", "env", "--stack", "dev"],
        ["chaos", "spot", "--probability", "1"],
        ["bench"],
        ["tune", "DIR"],
        ["simulate"],
        ["submit", "poster", "film.mp4", "--local", "--out", "DIR"],
        ["jobs", "list", "--data", "DIR"],
        ["assets", "list"],
    ],
    ids=" ".join,
)
def test_a_command_says_that_it_needs_a_checkout(arguments: list[str], tmp_path: Path) -> None:
    """One error with one code, whatever the command; nothing is made before it."""
    (tmp_path / "film.mp4").write_bytes(b"\0\0\0\x18ftypisom")

    code, out, errors = alone(COMMAND, *arguments, "--json", cwd=tmp_path)

    assert (code, out) == (2, ""), errors
    said = json.loads(errors)["error"]
    assert said["code"] == "checkout_missing"
    assert said["message"].startswith(f"safelight {arguments[0]}: this needs a checkout")
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


def test_a_package_prices_the_preset_prod_and_no_other(tmp_path: Path) -> None:
    """It has no Pulumi program: the bill says so; another preset needs the checkout."""
    code, out, errors = alone(COMMAND, "cost", "--json", cwd=tmp_path)
    assert code == 0, errors
    assert json.loads(out)["total"] > 0
    assert "the preset prod as Safelight was built" in errors

    code, out, errors = alone(COMMAND, "cost", "--preset", "dev", "--json", cwd=tmp_path)
    assert (code, out) == (2, "")
    assert json.loads(errors)["error"]["code"] == "checkout_missing"


def test_the_product_imports_nothing_of_development() -> None:
    """Every other module can be imported without the packages that are for development."""
    code, out, errors = alone(f"DEVELOPMENT = {set(DEVELOPMENT)}{IMPORT}", cwd=ROOT)

    assert code == 0, errors
    assert out.split() == []


def test_pictures_are_processed_and_aws_is_reached(tmp_path: Path) -> None:
    """Processing files and using a deployment need no checkout."""
    (tmp_path / "a.jpg").write_bytes(encoded(photo(64, 48), "JPEG"))

    processed = alone(COMMAND, "process", "a.jpg", "--out", "out", cwd=tmp_path)
    reached = alone(COMMAND, "jobs", "list", "--json", cwd=tmp_path, SAFELIGHT_TABLE="assets")

    assert processed[0] == 0, processed[2]
    assert (tmp_path / "out" / "index.html").stat().st_size > 0
    # The rest of a deployment's variables is missing: that is all there is to say.
    assert json.loads(reached[2])["error"]["code"] == "settings_invalid"


def test_the_help_says_which_commands_need_a_checkout(capsys: pytest.CaptureFixture[str]) -> None:
    """They have a section of their own."""
    run(["--help"])
    section = capsys.readouterr().out.partition("Commands that need a checkout of Safelight:\n")[2]
    listed = {line.split()[0] for line in section.partition("\n\n")[0].splitlines()}

    assert listed == CHECKOUT


def test_wheels_and_images_leave_the_same_packages_out() -> None:
    """pyproject.toml, .dockerignore and the error of the command line name the same ones."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    left_out = project["tool"]["setuptools"]["packages"]["find"]["exclude"]
    ignored = {line.replace("/", ".") for line in (ROOT / ".dockerignore").read_text().split("\n")}

    assert {name.removesuffix("*") for name in left_out} == DEVELOPMENT
    assert ignored >= DEVELOPMENT
