"""What CONTRIBUTING.md says about adding things, done in a copy of the repository."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.manual.blocks import ROOT, RUN, Block, blocks
from tests.manual.stack import photo

EXAMPLES = [
    one for one in blocks(ROOT / "CONTRIBUTING.md") if "\n## Adding things\n" in f"\n{one.section}"
]
HEADINGS = list(dict.fromkeys(re.findall(r"^### (.+)$", EXAMPLES[-1].section, re.MULTILINE)))


def heading(block: Block) -> str:
    """Of the example that it is in."""
    found: list[str] = re.findall(r"^### (.+)$", block.section, re.MULTILINE)
    return found[-1]


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The repository with all the page's files and changes."""
    folder = tmp_path_factory.mktemp("changed")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    photo(folder / "harbour.jpg", 1)
    for one in EXAMPLES:
        if one.language == "python":
            name, _, code = one.code.removeprefix("# ").partition("\n")
            assert not (folder / name).exists(), f"CONTRIBUTING.md:{one.line}: {name} is there"
            (folder / name).write_text(code, "utf-8")
        elif one.language == "diff":
            done = subprocess.run(
                ["git", "apply", "-C1", "-"],
                cwd=folder,
                input=one.code,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"CONTRIBUTING.md:{one.line}: {done.stderr}"
    yield folder
    shutil.rmtree(folder)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", HEADINGS)
def test_the_example_works(name: str, changed: Path) -> None:
    """Its changes apply, its code has the project's form, and the tests that it names pass."""
    mine = [one for one in EXAMPLES if heading(one) == name]
    files = [one.code.split()[1] for one in mine if one.language == "python"]
    files += [
        path
        for one in mine
        if one.language == "diff"
        for path in re.findall(r"^\+\+\+ b/(.+\.py)$", one.code, re.MULTILINE)
    ]
    scripts = [one.code for one in mine if one.language == RUN]
    linted = [".venv/bin/ruff check -q {0}", ".venv/bin/ruff format -q --check {0}"]

    assert files
    assert scripts
    for script in (*(line.format(" ".join(files)) for line in linted), *scripts):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=changed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}"
