"""``hdr-merge``: one well exposed picture of a bracket."""

from __future__ import annotations

from collections.abc import Mapping

from batch import pictures
from batch.work import Work
from worker.imaging.operations.hdr_merge import PIXELS_TOGETHER, hdr_merge
from worker.imaging.operations.raster import read_all


def run(work: Work) -> Mapping[str, object]:
    """Store ``hdr-merge.EXT``; details say how each exposure was moved."""
    rasters = read_all(work.inputs, PIXELS_TOGETHER, pictures.limits(work))
    made = hdr_merge(
        rasters,
        align=pictures.switch(work, "align"),
        contrast=pictures.number(work, "contrast"),
        saturation=pictures.number(work, "saturation"),
        exposure=pictures.number(work, "exposure"),
        step=pictures.step(work, 0.1, 0.95),
    )
    return {
        **pictures.store(work, made.raster, "hdr-merge"),
        "reference": work.sources[made.reference],
        "exposures": [
            {"source": source, "moved": list(shift), "brightness": round(brightness, 4)}
            for source, shift, brightness in zip(
                work.sources, made.shifts, made.brightness, strict=True
            )
        ],
    }
