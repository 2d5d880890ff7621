"""Runs a function of the delivery network in njs and in the engine of the local stack.

njs lacks what CloudFront's engine may lack, too: Debian's ``njs`` has no for-of, destructuring,
default parameters, spread, class, ``?.``, Map or Set, so a file that runs there uses none of them.
Node is more permissive and proves nothing.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from worker.infra.edge import EdgeFunction

NJS = shutil.which("njs")
needs_njs = pytest.mark.skipif(
    NJS is None, reason="njs is not installed: apt-get install njs (Debian, Ubuntu)"
)
ENGINES = [pytest.param("njs", marks=needs_njs), "quickjs"]
"""For ``pytest.mark.parametrize``."""


def run(engine: str, source: str, events: Sequence[Any], folder: Path) -> list[Any]:
    """What the function answers to each event, in order.

    Args:
        folder: empty; for the program that njs runs.
    """
    if engine == "quickjs":
        function = EdgeFunction(source)
        return [function.handle(event) for event in events]
    program, answers = folder / "program.js", folder / "answers.json"
    # To a file: what njs prints it cuts off after 2,048 characters.
    program.write_text(
        f"""{source}
const answers = [];
const events = {json.dumps(events)};
for (let i = 0; i < events.length; i++) {{ answers.push(handler(events[i])); }}
require('fs').writeFileSync({json.dumps(str(answers))}, JSON.stringify(answers));
""",
        "utf-8",
    )
    njs(program)
    found: list[Any] = json.loads(answers.read_text("utf-8"))
    return found


def njs(program: Path) -> str:
    """What a program prints in njs."""
    assert NJS is not None
    done = subprocess.run([NJS, program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
