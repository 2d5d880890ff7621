"""``denoise``: take the noise out of one picture, as strong as it is."""

from __future__ import annotations

from collections.abc import Mapping

from batch import pictures
from batch.work import Work
from worker.imaging.operations.denoise import Noise, denoise
from worker.imaging.operations.raster import read


def run(work: Work) -> Mapping[str, object]:
    """Store ``denoise.EXT``; details say how much noise there was and how much is left."""
    raster = read(work.inputs[0], pictures.limits(work))
    made = denoise(
        raster,
        strength=pictures.optional(work, "strength"),
        chroma=pictures.optional(work, "colour_strength"),
        threads=work.threads,
        step=pictures.step(work, 0.05, 0.95),
    )
    return {
        **pictures.store(work, made.raster, "denoise"),
        "noise": _levels(made.found),
        "removed": _levels(made.removed),
        "left": _levels(made.left),
    }


def _levels(noise: Noise) -> Mapping[str, float]:
    return {"brightness": round(noise.luma, 2), "colour": round(noise.chroma, 2)}
