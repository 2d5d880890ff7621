"""One shell for a page: runs its blocks one after another and holds what they print to the page."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from tests.manual.blocks import AMONG, RUN, Block

SECONDS = 600
"""Longest page, on a machine that others use."""
LAST_LINES = 15
"""Of a failed script that are shown."""
_MARK = "\x1e"
_WHAT_VARIES = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "ID"),
    (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|\+00:00)?", "TIME"),
    (r"\b\d{4}-\d\d-\d\d\b", "DAY"),
    (r"\b\d\d:\d\d:\d\d(\.\d+)?\b", "TIME"),
    (r"\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b", "HEX"),
    (r"\b[0-9a-f]{2}/ID\b", "HH/ID"),
    (r"\b[\d.,]+ (ms|s|min|h|days?)\b", "TIME"),
    (r"\b[\d.,]+ (B|kB|MB|GB|bytes)(?!\w)", "SIZE"),
    (r"\((\d+)\)", "(PID)"),
    (r"[█▉▊▋▌▍▎▏░]+", "BAR"),
    (r"[ \t]+", " "),
)
"""What differs from run to run, and what stands for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something to run, and what the page says it prints: None where it says nothing."""

    line: int
    code: str
    shown: str | None
    among: str = ""
    """Lines that are somewhere in what a script prints, whatever their numbers."""


def steps(blocks: Sequence[Block]) -> Iterator[Step]:
    """What is to be run of a page."""
    for block, following in zip_longest(blocks, blocks[1:]):
        if block.language == RUN:
            among = following.code if following and following.language == AMONG else ""
            yield Step(line=block.line, code=block.code, shown=None, among=among)
        elif block.shows_commands:
            for command, shown in block.steps:
                yield Step(line=block.line, code=f"{command}\n", shown=shown)


def run(
    todo: Sequence[Step],
    folder: Path,
    environment: Mapping[str, str],
    *,
    prelude: str = "",
    addresses: Mapping[str, str],
) -> list[str]:
    """Run steps in one shell; return what is not as the page says, each with its line.

    Args:
        todo: in their order. A script must succeed; a shown command only prints what is shown.
        folder: where the shell begins.
        environment: its variables.
        prelude: shell code before everything.
        addresses: those that pages show, with those that there are.
    """
    parts = [prelude]
    for number, step in enumerate(todo):
        if step.shown is None:
            before, after = "set -euo pipefail", ""
        else:  # the next command may ask for $?
            before, after = "set +e\n(exit ${STATUS:-0})", "STATUS=$?"
        parts.append(f"printf '{_MARK}{number}{_MARK}'\n{before}\n{step.code}\n{after}")
    script = "\n".join(parts)
    for shown, real in addresses.items():
        script = script.replace(shown, real)
    done = subprocess.run(
        ["bash", "-c", f"exec 2>&1\n{script}"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    said = done.stdout
    for shown, real in addresses.items():
        said = said.replace(real, shown)
    _, *found = said.split(_MARK)
    outputs = dict(zip(map(int, found[::2]), found[1::2], strict=True))
    wrong = []
    for number, step in enumerate(todo):
        if number not in outputs:
            break
        if lost := missing(step.among, outputs[number]):
            wrong.append(f"{step.line}: {lost}")
        if step.shown is not None and (lines := differences(step.shown, outputs[number])):
            wrong.append(f"{step.line}: {step.code.strip()}\n{lines}")
    if done.returncode and outputs and todo[max(outputs)].shown is None:
        last = todo[max(outputs)]
        end = outputs[max(outputs)].splitlines()[-LAST_LINES:]
        wrong.append("\n".join((f"{last.line}: ended with {done.returncode}", *end)))
    return wrong


def differences(shown: str, said: str) -> str:
    """Lines that are not as shown; empty if there are none.

    ``...`` on a line stands for anything on it, and alone on a line for any lines.
    """
    wanted, got = _plain(shown), _plain(said)
    pattern = "".join(
        "(?:.*\n)*?" if line == "..." else ".*".join(map(re.escape, line.split("..."))) + "\n"
        for line in wanted
    )
    if re.fullmatch(pattern, "".join(f"{line}\n" for line in got)):
        return ""
    rows = zip_longest(wanted, got, fillvalue="(nothing)")
    return "\n".join(f"  shown {a}\n  said  {b}" for a, b in rows if a != b)


def missing(among: str, said: str) -> str:
    """Lines that are not printed, whatever their numbers and their order."""
    there = {re.sub(r"[\d.,]+", "N", line) for line in _plain(said)}
    return "\n".join(
        f"  not said {line}" for line in _plain(among) if re.sub(r"[\d.,]+", "N", line) not in there
    )


def _plain(text: str) -> list[str]:
    for pattern, name in _WHAT_VARIES:
        text = re.sub(pattern, name, text)
    return [line.rstrip() for line in text.strip("\n").splitlines()]
