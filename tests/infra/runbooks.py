"""The runbooks as data: their parts, and what they let the reader fill in."""

from __future__ import annotations

import re
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
