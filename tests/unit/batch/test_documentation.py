"""docs/jobs.md has every parameter of every kind, as the catalogue has it."""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path

import pytest

from batch.catalogue import KINDS, Parameter

PAGE = Path(__file__).parents[3] / "docs" / "jobs.md"

GROUPS = [
    (" ".join(f"`{kind.name}`" for kind in kinds), parameters)
    for parameters, kinds in (
        (parameters, list(kinds))
        for parameters, kinds in groupby(KINDS.values(), key=lambda kind: kind.parameters)
    )
]
"""Kinds that follow each other with the same parameters share a table."""


def values(parameter: Parameter) -> str:
    """What it takes, in words."""
    low, high = parameter.minimum, parameter.maximum
    if parameter.type == "list":
        low, high = parameter.part_minimum, parameter.part_maximum
    span = "" if low is None else f"{low:,} to {high:,}" if high is not None else f"from {low:,}"
    words = {
        "int": f"whole number, {span}",
        "float": f"number, {span}",
        "bool": "`true` or `false`",
        "choice": "one of " + ", ".join(f"`{each}`" for each in parameter.choices),
        "list": "with commas: " + (", ".join(f"`{each}`" for each in parameter.choices) or span),
        "text": parameter.shape or "text",
    }
    return words[parameter.type].strip(", :")


def row(parameter: Parameter) -> str:
    """Its line in a table."""
    default = parameter.default
    shown = ",".join(default) if isinstance(default, tuple) else default
    if isinstance(default, bool):
        shown = str(default).lower()
    elif isinstance(default, float):
        shown = f"{default:g}"
    cell = "" if shown is None else f"`{shown}`"
    return f"| `{parameter.name}` | {values(parameter)} | {cell} | {parameter.help} |"


@pytest.mark.parametrize(("names", "parameters"), GROUPS, ids=[names for names, _ in GROUPS])
def test_parameters_are_documented(names: str, parameters: tuple[Parameter, ...]) -> None:
    """One table for each kind, or for neighbours that take the same, line by line."""
    found = re.search(
        rf"^### {re.escape(names)}\n\n(.*?)(?:\n\n|\Z)", PAGE.read_text("utf-8"), re.M | re.S
    )
    expected = [
        "| Parameter | Takes | Default | Meaning |",
        "| --- | --- | --- | --- |",
        *(row(parameter) for parameter in parameters),
    ]
    assert found is not None, f"there is no table of {names}"
    assert found[1].splitlines() == expected
