"""``stitch``: one panorama of overlapping pictures."""

from __future__ import annotations

from collections.abc import Mapping

from batch import pictures
from batch.work import Work
from worker.imaging.operations.raster import read_all
from worker.imaging.operations.stitch import PIXELS_TOGETHER, stitch


def run(work: Work) -> Mapping[str, object]:
    """Store ``stitch.EXT``; details say which inputs are in it."""
    rasters = read_all(work.inputs, PIXELS_TOGETHER, pictures.limits(work))
    made = stitch(
        rasters,
        mode="scans" if pictures.text(work, "mode") == "scans" else "panorama",
        crop=pictures.switch(work, "crop"),
        partial=pictures.switch(work, "partial"),
        step=pictures.step(work, 0.1, 0.95),
    )
    return {
        **pictures.store(work, made.raster, "stitch"),
        "used": [work.sources[index] for index in made.used],
        "filled": round(made.filled, 4),
    }
