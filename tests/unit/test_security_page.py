"""docs/security.md: each threat has a control and tests, and each test is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
TEST = re.compile(r"\[(test_\w+)\]\(([^)]+)\)")


def threats() -> list[list[str]]:
    """Threat, control and tests of each row."""
    section = PAGE.read_text("utf-8").split("## Threats")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_each_threat_has_a_control_and_a_test() -> None:
    """No row is half empty."""
    rows = threats()
    assert len(rows) > 15
    assert [row[0] for row in rows if len(row) != 3 or not row[1] or not TEST.search(row[2])] == []


def test_each_named_test_is_there() -> None:
    """Every link leads to a file that defines a test of that name."""
    missing = []
    for name, file in TEST.findall(PAGE.read_text("utf-8")):
        path = (PAGE.parent / file).resolve()
        tree = ast.parse(path.read_bytes()) if path.is_file() else ast.Module([], [])
        defined = {one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)}
        if name not in defined:
            missing.append(f"{file}: {name}")
    assert missing == []
