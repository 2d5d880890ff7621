"""The code blocks of the manual, as data.

``sh`` is a script that is run, and ``text lines`` behind it are among what it prints. A ``text``
block that begins with ``$`` shows commands with all that they print. The commands of ``sh checked``
are held against their programs only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUN, CHECKED, SHOWN, AMONG = "sh", "sh checked", "text", "text lines"
SHELL = (RUN, CHECKED)
SAID = "checked, not run"
"""What a page says about its ``sh checked`` blocks, in their section or above all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block."""

    page: str
    """Its path from the root."""
    line: int
    """Of its first line of code, from 1."""
    language: str
    """What stands behind the fence."""
    code: str
    section: str
    """The text of its section up to here, and of what stands before the page's first section."""

    @property
    def shows_commands(self) -> bool:
        """Whether it is a transcript."""
        return self.language == SHOWN and self.code.startswith("$ ")

    @property
    def steps(self) -> list[tuple[str, str]]:
        """The commands of a transcript, each with what it prints."""
        found = re.split(r"^\$ ((?:.*\\\n)*.*)\n?", self.code, flags=re.MULTILINE)[1:]
        return list(zip(found[::2], found[1::2], strict=True))


def pages() -> list[Path]:
    """Every page that people read to use or to change Safelight. The runbooks have a test of their
    own, and the decisions no commands to follow.
    """
    folder = ROOT / "docs"
    return [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted(folder.glob("*.md")),
        ROOT / "pulumi" / "README.md",
        ROOT / "images" / "README.md",
    ]


def blocks(path: Path) -> list[Block]:
    """The blocks of a page, in order."""
    text = path.read_text("utf-8")
    first = re.search(r"^## ", text, re.MULTILINE)
    intro = text[: first.start()] if first else text
    found = []
    for match in re.finditer(r"^```([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        before = text[: match.start()]
        name = path.relative_to(ROOT).as_posix()
        start = max(0, before.rfind("\n## "))
        found.append(
            Block(
                page=name,
                line=before.count("\n") + 2,
                language=match[1],
                code=match[2],
                section=f"{intro}\n{before[start:]}",
            )
        )
    return found


def of(page: Path, *languages: str) -> list[Block]:
    """Those in some languages."""
    return [one for one in blocks(page) if one.language in languages]
