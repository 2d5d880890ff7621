"""The runbooks as data: their parts, and the commands in them as a shell hands them over.

A block of commands is run by bash with programs that only write down what they are told, so that
quotes, variables and pipes are those that a person gets.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs" / "runbooks"
PARTS = ("Meaning", "First look", "Fix")
GIVEN = {
    "STACK": "prod",
    "NAME": "ingest",
    "ASSET": "0b0f6a2e-7f43-5d0c-9a53-2f0d6c1f9a10",
    "JOB": "3f1a7c52-6c1e-4b0a-9b5e-0d4c8a7e1f22",
    "WORKFLOW": "video",
    "RUN": "0b0f6a2e-7f43-5d0c-9a53-2f0d6c1f9a10-1",
    "ENDPOINT": "shop",
}
"""What a page lets the reader fill in."""
PROGRAMS = ("aws", "safelight", "pulumi", "make", "curl")
_RECORD = """#!/usr/bin/env bash
{ printf '%s\\0' "$(basename "$0")" "$@"; printf '\\n'; } >> "$RECORD"
[ "$(basename "$0") $1 $2" = "safelight infra env" ] || echo answer
"""


def pages() -> Mapping[str, str]:
    """The text of each page, by its name."""
    return {
        path.stem: path.read_text("utf-8")
        for path in sorted(FOLDER.glob("*.md"))
        if path.stem != "README"
    }


def parts(text: str) -> Mapping[str, str]:
    """The sections of a page, by heading."""
    _, *found = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return dict(zip(found[::2], found[1::2], strict=True))


def blocks(text: str) -> list[str]:
    """The commands of a text, block by block."""
    return re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def recorded(script: str, folder: Path, settings: Mapping[str, str]) -> list[list[str]]:
    """Each command of a page with its arguments.

    Args:
        script: its blocks, one after another: a person has one shell.
        folder: for the programs and their record.
        settings: variables that `safelight infra env` sets.

    Raises:
        AssertionError: bash does not take it, or a variable is given by nobody.
    """
    programs = folder / "bin"
    programs.mkdir()
    for name in PROGRAMS:
        (programs / name).write_text(_RECORD)
        (programs / name).chmod(0o755)
    record = folder / "record"
    record.touch()
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={
            "PATH": f"{programs}:/usr/bin:/bin",
            "RECORD": str(record),
            **GIVEN,
            **settings,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stderr}"
    return [line.split("\0")[:-1] for line in record.read_text("utf-8").splitlines()]
