"""What must hold between the parameters of one kind, so that it is said before a job is handed in.

Pure functions of values that are right each by itself. What may not be here: a kind, and what one
parameter can say alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from worker.domain.errors import Problem


def something_to_make(values: Mapping[str, Any]) -> Sequence[Problem]:
    """A transcode that writes neither HLS nor MP4 would encode for nothing."""
    if values["hls"] or values["mp4"]:
        return ()
    return (Problem("hls", "or mp4 must be true: otherwise there is nothing to make"),)


def box_inside(values: Mapping[str, Any]) -> Sequence[Problem]:
    """A box has an area and does not leave the picture."""
    if "box" not in values:
        return ()
    left, top, width, height = (float(part) for part in values["box"])
    if width > 0 and height > 0 and left + width <= 1 and top + height <= 1:
        return ()
    said = "must have an area and end within the picture: left + width and top + height at most 1"
    return (Problem("box", said),)


def tiles_of_layout(values: Mapping[str, Any]) -> Sequence[Problem]:
    """What viewers of a layout ask for."""
    layout, size = values["layout"], values.get("tile_size")
    problems = []
    if layout in ("iiif", "iiif3") and "id" not in values:
        problems.append(Problem("id", f"is required: {layout} names its own address in info.json"))
    if layout in ("zoomify", "google") and size is not None and size & (size - 1):
        problems.append(Problem("tile_size", f"must be a power of two for {layout}, not {size}"))
    return problems
