"""``document``: the page in a photo, straight and clean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from batch import pictures
from batch.work import Work
from worker.imaging.operations.document import Clean, document
from worker.imaging.operations.raster import read


def run(work: Work) -> Mapping[str, object]:
    """Store ``document.EXT``; details say where the page was, or that none was found."""
    made = document(
        read(work.inputs[0], pictures.limits(work)),
        clean=cast("Clean", pictures.text(work, "clean")),
        missing="reject" if pictures.text(work, "missing") == "reject" else "whole",
        deskew=pictures.switch(work, "deskew"),
        step=pictures.step(work, 0.1, 0.95),
    )
    return {
        **pictures.store(work, made.raster, "document"),
        "page_found": made.corners is not None,
        "corners": None if made.corners is None else [list(corner) for corner in made.corners],
        "turned_degrees": made.rotated,
    }
