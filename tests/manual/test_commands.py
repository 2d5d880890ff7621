"""The commands of the manual: each is run on one local stack, or held against its program."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.emulators import make_sure
from tests.infra import runbooks
from tests.manual import programs
from tests.manual.blocks import CHECKED, ROOT, SAID, SHELL, Block, blocks, of, pages
from tests.manual.stack import FILES, VIDEO, made_up

PAGES = {path.relative_to(ROOT).as_posix(): path for path in pages()}
WITH_CHECKED = [name for name, path in PAGES.items() if of(path, CHECKED)]
GIVEN = {**runbooks.GIVEN, "KEY": "uploads/harbour.jpg", "POOL": "eu-central-1_abc"}
"""What pages let the reader fill in, in blocks that are only checked."""
_COMMAND = re.compile(r"^(?:\$ )?(?:\.venv/bin/)?(?:safelight|aws|pulumi|make|docker|curl) ", re.M)


@pytest.mark.parametrize("name", PAGES)
def test_every_command_is_run_or_checked(name: str) -> None:
    """A command is in a block of shell or in a transcript, nowhere else."""
    found = blocks(PAGES[name])
    outside = re.sub(r"^```.*?^```$", "", PAGES[name].read_text("utf-8"), flags=re.M | re.S)

    assert [
        f"{name}:{one.line} is of the language {one.language!r}"
        for one in found
        if one.language not in SHELL and not one.shows_commands and _COMMAND.search(one.code)
        if not _help(one)
    ] == []
    assert re.findall(r"^    (?:safelight|aws|make|python) .*", outside, re.M) == []


def _help(block: Block) -> bool:
    """What ``--help`` prints has examples."""
    return block.code.startswith("Usage: ")


@pytest.mark.parametrize("name", WITH_CHECKED)
def test_what_is_not_run_is_taken_by_its_program(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the page says so."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for file in (*FILES, VIDEO):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    found = of(PAGES[name], CHECKED)
    script = "".join(one.code for one in found).replace(".venv/bin/", "")

    silent = [one.line for one in found if SAID not in " ".join(one.section.split())]
    assert silent == []
    commands = programs.recorded(script, tmp_path, {**GIVEN, **programs.exported()})
    assert commands
    programs.check(commands)


# --- run ----------------------------------------------------------------------------------------

FIRST = ("docs/tutorial-local.md", "README.md")
"""They show what a stack prints that nobody has used before."""


@pytest.mark.timeout(1800)
def test_every_command_does_what_its_page_shows(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """On one local stack for all pages, started as the tutorial starts it."""
    make_sure(tmp_path_factory)
    order = [*FIRST, *(name for name in PAGES if name not in FIRST)]
    wrong: list[str] = []
    with made_up(tmp_path / "stack") as stack:
        for name in order:
            wrong += stack.differences(PAGES[name], tmp_path / name.replace("/", "-"))

    assert not wrong, "\n".join(wrong)
