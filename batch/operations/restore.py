"""``restore``: fill what is scratched or marked by a mask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from batch import pictures
from batch.work import Work
from worker.imaging.operations.raster import read
from worker.imaging.operations.restore import Method, restore


def run(work: Work) -> Mapping[str, object]:
    """Store ``restore.EXT``; details say how much was filled, and by whose word."""
    limits = pictures.limits(work)
    masked = len(work.inputs) > 1
    made = restore(
        read(work.inputs[0], limits),
        read(work.inputs[1], limits) if masked else None,
        method=cast("Method", pictures.text(work, "method")),
        radius=pictures.number(work, "radius"),
        grow=pictures.integer(work, "grow"),
        sensitivity=pictures.number(work, "sensitivity"),
        step=pictures.step(work, 0.1, 0.95),
    )
    return {
        **pictures.store(work, made.raster, "restore"),
        "damage": "mask" if masked else "found",
        "regions": made.regions,
        "filled": round(made.share, 6),
    }
