"""Each kind of alarm has a page, and every command on a page is one that its program takes."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from stack.alarms import Runbook
from stack.config import SECTIONS
from tests.infra import runbooks
from tests.infra.configs import CHOSEN, camel, switched
from tests.infra.declared import declare
from tests.manual import programs
from worker.entrypoints.cli import dlq
from worker.settings import Settings

PAGES = runbooks.pages()


def test_every_kind_of_alarm_has_a_page() -> None:
    """And no page is left of an alarm that is gone; the list of pages has each."""
    listed = (runbooks.FOLDER / "README.md").read_text("utf-8")

    assert set(PAGES) == {*Runbook}
    for name in PAGES:
        assert f"]({name}.md)" in listed, name


def test_every_page_is_of_an_alarm() -> None:
    """That some stack has, or of what else the topic tells."""
    said = [
        str(one.inputs.get("alarmDescription", "")) + str(one.inputs.get("inputTransformer", ""))
        for config in (switched(on=True), CHOSEN)
        for one in declare(config).resources
    ]
    for name in PAGES:
        assert any(f"runbooks/{name}.md" in one for one in said), name


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_what_it_means_where_to_look_and_how_to_mend_it(name: str) -> None:
    """In this order, with commands in the last two; its alarms are named in the first lines."""
    found = runbooks.parts(PAGES[name])

    assert tuple(found) == runbooks.PARTS
    assert len(found["Meaning"].split()) >= 25
    for part in ("First look", "Fix"):
        assert runbooks.blocks(found[part]), part


@pytest.mark.parametrize("name", PAGES)
def test_codes_and_keys_on_a_page_are_those_that_there_are(name: str) -> None:
    """A code that no error has, or a key that no configuration has, helps nobody at night."""
    quoted = set(re.findall(r"`([a-z]+(?:_[a-z]+)+|[a-z]+\.[a-zA-Z]+)`", PAGES[name]))
    codes = set(re.findall(r"`([a-z_]+)`", (runbooks.FOLDER.parent / "errors.md").read_text()))
    causes = set(re.findall(r"[a-z_]+", str(dlq.group.epilog)))
    keys = {
        f"{section}.{camel(one.name)}" for section, kind in SECTIONS.items() for one in fields(kind)
    }
    others = {one.name for one in fields(Settings)}

    assert quoted <= codes | causes | keys | others


@pytest.mark.parametrize("name", [*PAGES, "README"])
def test_every_command_is_one_that_its_program_takes(name: str, tmp_path: Path) -> None:
    """Options and operations too; variables are those that a page or the stack gives."""
    text = (runbooks.FOLDER / f"{name}.md").read_text("utf-8")
    script = "".join(runbooks.blocks(text))
    found = programs.recorded(script, tmp_path, {**runbooks.GIVEN, **programs.exported()})

    assert found
    programs.check(found)
    for program, *arguments in found:
        if program == "pulumi":
            assert arguments[-4:] == ["--stack", "prod", "--cwd", "pulumi"]
        if program == "make":
            assert arguments[1:] == ["STACK=prod"]
