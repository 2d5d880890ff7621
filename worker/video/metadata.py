"""A probe as plain data for people and programs, places left out unless asked for.

What lives here: the form in which a video's description is published. What may not: finding
anything out (``probe``).
"""

from __future__ import annotations

from dataclasses import asdict
from fractions import Fraction
from typing import Any

from worker.video.timing import Timing
from worker.video.tracks import VideoProbe

_NOISE = frozenset({"major_brand", "minor_version", "compatible_brands", "duration"})
"""Tags that say something about the container only."""


def describe(probe: VideoProbe, *, location: bool, timing: Timing | None = None) -> dict[str, Any]:
    """The probe as JSON-able values.

    Args:
        probe: what is known.
        location: tell where the video was taken, if it says. People do not expect a video that
            they share to tell where they live, so this is off unless somebody asks.
        timing: of a complete pass over the video's packets, for key frames.
    """
    found = asdict(probe)
    found.pop("location")
    found["tags"] = {name: value for name, value in probe.tags.items() if name not in _NOISE}
    found["taken_at"] = probe.tags.get("com.apple.quicktime.creationdate") or probe.tags.get(
        "creation_time"
    )
    if probe.video is not None:
        found["video"] |= {"fps_text": str(probe.video.fps), "hdr": probe.video.hdr}
    if timing is not None:
        found["key_frames"] = timing.key_frames
        found["longest_group"] = timing.longest_group
    if location:
        found["location"] = probe.location
    plain: dict[str, Any] = _plain(found)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, Fraction):
        return round(float(value), 6)
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
