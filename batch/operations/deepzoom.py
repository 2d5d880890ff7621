"""``deepzoom``: tiles of a picture, for viewers that zoom."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import cast

from batch.pictures import integer, step, text
from batch.work import Work
from worker.imaging.operations.deepzoom import Layout, TileFormat, TileOptions, cut

_CUT = 0.8
"""Share of the job that is cutting; the rest is storing."""


def run(work: Work) -> Mapping[str, object]:
    """Cut the input and store the tree; the descriptor last, when all it names is there."""
    options = TileOptions(
        layout=cast("Layout", text(work, "layout")),
        size=integer(work, "tile_size") if "tile_size" in work.parameters else None,
        overlap=integer(work, "overlap"),
        format=cast("TileFormat", text(work, "format")),
        quality=integer(work, "quality"),
        id=text(work, "id") if "id" in work.parameters else None,
    )
    folder = work.scratch / "tiles"
    tiles = cut(
        work.inputs[0],
        folder,
        options,
        max_pixels=integer(work, "max_pixels"),
        threads=work.threads,
        step=step(work, 0.0, _CUT),
    )
    work.progress(_CUT, f"store {tiles.files} files")
    work.stop.check()
    name = None if tiles.descriptor is None else tiles.descriptor.name
    if name is not None:
        (folder / name).rename(work.scratch / name)
    work.outputs.tree(folder)
    if name is not None:
        work.outputs.file(work.scratch / name, name)
    shutil.rmtree(folder)
    return {
        "layout": options.layout,
        "descriptor": name,
        "width": tiles.width,
        "height": tiles.height,
        "levels": tiles.levels,
        "tile_size": options.tile_size,
        "overlap": options.overlap if options.layout == "dz" else 0,
        "format": options.format,
        "files": tiles.files,
        "bytes": tiles.bytes,
        "source": {"format": tiles.source.format.value, "bytes": tiles.source.bytes},
    }
