"""``background``: the subject of a picture on nothing."""

from __future__ import annotations

from collections.abc import Mapping

from batch import pictures
from batch.work import Work
from worker.imaging.operations.background import Box, cut_out
from worker.imaging.operations.raster import read


def run(work: Work) -> Mapping[str, object]:
    """Store ``background.EXT``; details say where the subject is."""
    box = _box(work)
    made = cut_out(
        read(work.inputs[0], pictures.limits(work)),
        box=box,
        iterations=pictures.integer(work, "iterations"),
        feather=pictures.number(work, "feather"),
        trim=pictures.switch(work, "trim"),
        step=pictures.step(work, 0.1, 0.95),
    )
    return {
        **pictures.store(work, made.raster, "background"),
        "seed": "salience" if box is None else "box",
        "subject": list(made.box),
        "covered": round(made.share, 4),
    }


def _box(work: Work) -> Box | None:
    parts = work.parameters.get("box")
    if not isinstance(parts, tuple):
        return None
    left, top, width, height = (float(part) for part in parts)
    return left, top, width, height
