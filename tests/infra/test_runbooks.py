"""Each kind of alarm has a page, and every command on a page is one that its program takes."""

from __future__ import annotations

import re
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import click
import pytest
from botocore import xform_name
from botocore.model import OperationModel

from stack.alarms import Runbook
from stack.config import SECTIONS, read
from tests.infra import runbooks
from tests.infra.configs import CHOSEN, camel, switched
from tests.infra.declared import IMAGES, declare
from worker.entrypoints import cli
from worker.entrypoints.cli import dlq
from worker.settings import Settings

PAGES = runbooks.pages()
EVERYWHERE = {"--query", "--output", "--region", "--max-items"}
"""Options of the AWS CLI itself."""
OWN_COMMANDS = {
    ("logs", "tail"): {"--since", "--filter-pattern", "--follow", "--format"},
    ("cloudfront", "create-invalidation"): {"--distribution-id", "--paths"},
}
"""Commands that the AWS CLI does not take from the model of a service (its reference)."""


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
    found = runbooks.recorded("".join(runbooks.blocks(text)), tmp_path, exported())

    assert found
    for program, *arguments in found:
        _CHECKS[program](arguments)


@cache
def exported() -> dict[str, str]:
    """Variables that `safelight infra env` sets for a stack with everything."""
    (told,) = [one for one in [declare(switched(on=True)).exports["environment"]] if one]
    return dict.fromkeys(told, "set")


def _safelight(arguments: list[str]) -> None:
    command: click.Command = cli.cli
    context: click.Context | None = None
    while isinstance(command, click.Group):
        context = click.Context(command, parent=context, info_name="safelight")
        name, *arguments = arguments
        found = command.get_command(context, name)
        assert found is not None, name
        command = found
    command.make_context(command.name, list(arguments), parent=context)


@cache
def _operations(service: str) -> dict[str, OperationModel]:
    model = botocore.session.get_session().get_service_model(service)
    return {xform_name(name, "-"): model.operation_model(name) for name in model.operation_names}


def _aws(arguments: list[str]) -> None:
    service, operation, *rest = arguments
    given = {one.partition("=")[0] for one in rest if one.startswith("--")}
    own = OWN_COMMANDS.get((service, operation))
    if own is not None:
        assert given <= own | EVERYWHERE, arguments
        return
    model: Any = _operations(service)[operation].input_shape
    known = {f"--{xform_name(name, '-')}": shape for name, shape in model.members.items()}
    switches = {
        option.replace("--", "--no-", 1)
        for option, shape in known.items()
        if shape.type_name == "boolean"
    }
    assert given <= {*known} | switches | EVERYWHERE, arguments
    needed = {f"--{xform_name(name, '-')}" for name in model.required_members}
    assert needed <= given, arguments


def _pulumi(arguments: list[str]) -> None:
    """Outputs that there are, and values that the program accepts."""
    match arguments:
        case ["stack", "output", name, *rest]:
            assert name in declare(switched(on=True)).exports
        case ["config", "set", "--path", path, value, *rest]:
            section, _, key = path.removeprefix("safelight:").partition(".")
            assert section in SECTIONS
            assert read({**IMAGES, section: {key: value}}, stack="prod")
        case _:
            raise AssertionError(arguments)
    assert rest == ["--stack", "prod", "--cwd", "pulumi"]


def _make(arguments: list[str]) -> None:
    target, *values = arguments
    text = (runbooks.FOLDER.parents[1] / "Makefile").read_text("utf-8")
    assert f"\n{target}: " in text
    assert values == ["STACK=prod"]


_CHECKS = {"safelight": _safelight, "aws": _aws, "pulumi": _pulumi, "make": _make}
