"""Why an input is rejected: checks against the limits, and one wording and code for each damage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.domain.errors import DamagedInput, LimitExceeded, Reason, UnsupportedInput
from worker.domain.image import Limits

if TYPE_CHECKING:
    from worker.domain.image import Format

UNLIMITED = Limits(
    bytes=2**63,
    pixels=2**63,
    dimension=2**31,
    frames=2**31,
    animation_pixels=2**63,
    duration=1e12,
)
"""For files that this process has written, or has held against its limits before."""


def truncated(kind: Format) -> DamagedInput:
    """The end is missing."""
    return DamagedInput(
        Reason.TRUNCATED, f"the {kind.value.upper()} file ends before its content does"
    )


def corrupt(kind: Format, what: str) -> DamagedInput:
    """The content contradicts itself; ``what`` completes "... is damaged:"."""
    return DamagedInput(Reason.CORRUPT, f"the {kind.value.upper()} file is damaged: {what}")


def variant(what: str) -> UnsupportedInput:
    """The right format in a flavour that is not read; ``what`` completes "... not supported"."""
    return UnsupportedInput(Reason.UNSUPPORTED_VARIANT, f"{what} is not supported")


def most_blocks(data: bytes) -> int:
    """Most blocks a walk through ``data`` may take: real files have one every few hundred bytes."""
    return 10_000 + len(data) // 32


def check_bytes(count: int, limits: Limits) -> None:
    """Raise TOO_MANY_BYTES if ``count`` is over the limit."""
    if count > limits.bytes:
        raise LimitExceeded(
            Reason.TOO_MANY_BYTES, f"{count:,} bytes are more than the limit of {limits.bytes:,}"
        )


def check_size(width: int, height: int, limits: Limits) -> None:
    """Raise TOO_LARGE_DIMENSION or TOO_MANY_PIXELS if one frame is over a limit."""
    if max(width, height) > limits.dimension:
        raise LimitExceeded(
            Reason.TOO_LARGE_DIMENSION,
            f"{width:,} x {height:,} pixels: the longer side is more than the limit of "
            f"{limits.dimension:,}",
        )
    if width * height > limits.pixels:
        raise LimitExceeded(
            Reason.TOO_MANY_PIXELS,
            f"{width:,} x {height:,} = {width * height:,} pixels are more than the limit of "
            f"{limits.pixels:,}",
        )


def check_frames(count: int, limits: Limits, *, counted: bool = True) -> None:
    """Raise TOO_MANY_FRAMES if ``count`` is over the limit; not ``counted`` means "at least"."""
    if count > limits.frames:
        least = "" if counted else "at least "
        raise LimitExceeded(
            Reason.TOO_MANY_FRAMES,
            f"{least}{count:,} frames or pages are more than the limit of {limits.frames:,}",
        )


def check_animation(frame_pixels: int, frames: int, duration_ms: int, limits: Limits) -> None:
    """Raise TOO_MANY_PIXELS or TOO_LONG_DURATION for an animation as a whole."""
    total = frame_pixels * frames
    if total > limits.animation_pixels:
        raise LimitExceeded(
            Reason.TOO_MANY_PIXELS,
            f"{frames:,} frames of {frame_pixels:,} pixels are {total:,}, more than the limit of "
            f"{limits.animation_pixels:,} for an animation",
        )
    if duration_ms > limits.duration * 1000:
        raise LimitExceeded(
            Reason.TOO_LONG_DURATION,
            f"one run takes {duration_ms / 1000:,.1f} s, more than the limit of "
            f"{limits.duration:,g} s",
        )
