"""What a video may ask for, and what a program that reads it may use.

What lives here: limits as values and how they follow from the real size of a file. What may not:
enforcing them (``program``, ``probe``).

A header's claims never widen a limit: time follows from bytes on disk, which cannot be invented,
and from the progress that is seen while the program runs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

MEBIBYTE = 1 << 20
GIBIBYTE = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramLimits:
    """What one run of ffmpeg or ffprobe may use. All are enforced from outside of it."""

    wall_seconds: float = 3600.0
    """From start to end, whatever progress it makes."""
    stall_seconds: float = 120.0
    """Longest time in which neither media time, frames nor bytes advance. ffmpeg only: raise it
    for filters that swallow most frames."""
    memory_bytes: int = 4 * GIBIBYTE
    """Address space, which is more than memory in use: threads and libraries reserve some."""
    file_bytes: int = 20 * GIBIBYTE
    """Size of any one file it writes."""
    capture_bytes: int = 64 * MEBIBYTE
    """Size of what is captured from its standard output."""
    grace_seconds: float = 3.0
    """Between SIGTERM and SIGKILL when the job is stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoLimits:
    """What is refused before any decoding. All inclusive."""

    bytes: int = 20 * GIBIBYTE
    seconds: float = 4 * 3600.0
    """Length of the media: claimed, and measured where the claim does not fit the bytes."""
    pixels: int = 8192 * 4608
    """Of one frame."""
    dimension: int = 16384
    """Longer side of a frame."""
    streams: int = 64
    probe: ProgramLimits = ProgramLimits(
        wall_seconds=1800.0, memory_bytes=2 * GIBIBYTE, file_bytes=MEBIBYTE
    )
    """What ffprobe may use on it, at most; see :meth:`reading`."""

    def reading(self, path: Path) -> ProgramLimits:
        """What ffprobe may use on this file: time for its bytes at 10 MB a second."""
        return for_file(path, self.probe, bytes_per_second=1e7)


def for_file(
    path: Path, limits: ProgramLimits, *, bytes_per_second: float = 20_000.0
) -> ProgramLimits:
    """The limits with a wall time that follows from the size of a file on disk: 60 s and more.

    Args:
        path: the input; it must be there.
        limits: the upper bounds; the wall time is only ever made shorter.
        bytes_per_second: the slowest rate that is still work. The default allows a 1 Mbit/s
            video to be encoded at a sixth of its own speed.
    """
    return replace(
        limits,
        wall_seconds=min(limits.wall_seconds, 60 + path.stat().st_size / bytes_per_second),
    )


def threads() -> int:
    """Processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
