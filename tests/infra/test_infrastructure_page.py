"""docs/infrastructure.md is what the program says today, and shows all of it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from worker.infra import checkout, page
from worker.infra.page import PURPOSES, Components

HOME = checkout.folder()
COMMAND = "make infra-docs"


@pytest.fixture(scope="module")
def everything() -> Components:
    """What the page shows."""
    return page.every_component()


def component_classes() -> set[str]:
    """Types of all components of the program, as its files name them."""
    found = set()
    for path in sorted((HOME / "stack").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= {node.value} & {*re.findall(r"^safelight:\w+:\w+$", node.value)}
    return found


def test_the_document_is_up_to_date(everything: Components) -> None:
    """A change of the program is a change of its documents, in the same commit."""
    path = HOME.parent / "docs" / "infrastructure.md"
    text = path.read_text("utf-8")

    assert text == page.write(everything), f"{path.name} is old: run `{COMMAND}`"


def test_every_component_is_shown(everything: Components) -> None:
    """One that is off unless asked for has to be switched on in ``page.EVERYTHING``."""
    declared = {
        kind
        for one in everything.all
        for kind in (
            one.title,
            *one.inner,
        )
    }

    assert declared >= {name.rpartition(":")[2] for name in component_classes()}


def test_no_component_is_empty(everything: Components) -> None:
    """A component with nothing in it is one that is off."""
    assert [one.name for one in everything.all if not one.parts] == []


def test_every_component_says_what_it_is_for(everything: Components) -> None:
    """In its docstring: the page has nothing else to say it with."""
    for one in everything.all:
        assert one.purpose, one.name
        assert all(one.inner.values()), one.name


def test_every_resource_says_what_it_is_for(everything: Components) -> None:
    """By itself or by its kind; and no kind is explained that is not there."""
    parts = [part for one in everything.all for part in one.parts]

    assert [part.resource.urn for part in parts if not part.purpose] == []
    assert {*PURPOSES} - {part.resource.kind for part in parts} == set()


def test_the_command_is_there() -> None:
    """The command in the message of a stale page exists."""
    target = COMMAND.removeprefix("make ")

    assert f"\n{target}:" in Path(HOME.parent / "Makefile").read_text("utf-8")
