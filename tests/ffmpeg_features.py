"""The ffmpeg that tests run with: whether it is there, and what it was built with."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache

import pytest

MARKER = "ffmpeg"
_LISTS = ("filters", "encoders", "decoders", "demuxers")


@cache
def features() -> frozenset[str]:
    """``filter zscale``, ``encoder png`` and the like, of the ffmpeg that is first in PATH."""
    found = set()
    for each in _LISTS:
        command = ["ffmpeg", "-hide_banner", f"-{each}"]
        listing = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
        words = (line.split() for line in listing.stdout.splitlines())
        found |= {f"{each[:-1]} {word[1]}" for word in words if len(word) > 1}
    return frozenset(found)


def skip_without(item: pytest.Item) -> None:
    """Leave out a test that is marked ``ffmpeg`` where that, or a feature it names, is missing."""
    marks = list(item.iter_markers(MARKER))
    if not marks:
        return
    if shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None:
        pytest.skip("ffmpeg is not installed")
    missing = sorted({name for mark in marks for name in mark.args} - features())
    if missing:
        pytest.skip(f"this ffmpeg was built without {', '.join(missing)}")
