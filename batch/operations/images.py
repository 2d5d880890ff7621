"""The operations on single images and small sets of them: ``deepzoom`` to ``background``.

Each reads its parameters, calls ``worker.imaging.operations``, stores the result as ``KIND.EXT``
and returns the details for ``result.json``.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from batch.work import Work
from worker.domain.image import Encoding, Format, Limits
from worker.imaging.operations import (
    background,
    deepzoom,
    denoise,
    document,
    hdr_merge,
    raster,
    restore,
    stitch,
)

TILES_CUT = 0.8
"""Share of a ``deepzoom`` job that is cutting; the rest is storing."""
_EFFORT = {Format.PNG: 6, Format.AVIF: 4}


def run_deepzoom(work: Work) -> Mapping[str, object]:
    """Cut the input into tiles. The descriptor is stored last, after all the files it names."""
    options = deepzoom.TileOptions(
        layout=cast("deepzoom.Layout", work.text("layout")),
        size=work.integer("tile_size") if "tile_size" in work.parameters else None,
        overlap=work.integer("overlap"),
        format=cast("deepzoom.TileFormat", work.text("format")),
        quality=work.integer("quality"),
        id=work.text("id") if "id" in work.parameters else None,
    )
    folder = work.scratch / "tiles"
    tiles = deepzoom.cut(
        work.inputs[0],
        folder,
        options,
        max_pixels=work.integer("max_pixels"),
        threads=work.threads,
        step=work.context.within(0.0, TILES_CUT).step,
    )
    work.context.step(TILES_CUT, f"store {tiles.files} files")
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


def run_denoise(work: Work) -> Mapping[str, object]:
    """Remove noise; the details say how much there was and how much is left."""
    made = denoise.denoise(
        raster.read(work.inputs[0], _limits(work)),
        strength=work.optional("strength"),
        chroma=work.optional("colour_strength"),
        threads=work.threads,
        step=work.context.within(0.05, 0.95).step,
    )
    return {
        **_store(work, made.raster, "denoise"),
        "noise": _levels(made.found),
        "removed": _levels(made.removed),
        "left": _levels(made.left),
    }


def _levels(noise: denoise.Noise) -> Mapping[str, float]:
    return {"brightness": round(noise.luma, 2), "colour": round(noise.chroma, 2)}


def run_stitch(work: Work) -> Mapping[str, object]:
    """Make one panorama; the details say which inputs are in it."""
    made = stitch.stitch(
        raster.read_all(work.inputs, stitch.PIXELS_TOGETHER, _limits(work)),
        mode="scans" if work.text("mode") == "scans" else "panorama",
        crop=work.flag("crop"),
        partial=work.flag("partial"),
        step=work.context.within(0.1, 0.95).step,
    )
    return {
        **_store(work, made.raster, "stitch"),
        "used": [work.sources[index] for index in made.used],
        "filled": round(made.filled, 4),
    }


def run_hdr_merge(work: Work) -> Mapping[str, object]:
    """Fuse a bracket of exposures; the details say how far each was shifted."""
    made = hdr_merge.hdr_merge(
        raster.read_all(work.inputs, hdr_merge.PIXELS_TOGETHER, _limits(work)),
        align=work.flag("align"),
        contrast=work.number("contrast"),
        saturation=work.number("saturation"),
        exposure=work.number("exposure"),
        step=work.context.within(0.1, 0.95).step,
    )
    return {
        **_store(work, made.raster, "hdr-merge"),
        "reference": work.sources[made.reference],
        "exposures": [
            {"source": source, "moved": list(shift), "brightness": round(brightness, 4)}
            for source, shift, brightness in zip(
                work.sources, made.shifts, made.brightness, strict=True
            )
        ],
    }


def run_document(work: Work) -> Mapping[str, object]:
    """Straighten a page; the details say where it was, or that none was found."""
    made = document.document(
        raster.read(work.inputs[0], _limits(work)),
        clean=cast("document.Clean", work.text("clean")),
        missing="reject" if work.text("missing") == "reject" else "whole",
        deskew=work.flag("deskew"),
        step=work.context.within(0.1, 0.95).step,
    )
    return {
        **_store(work, made.raster, "document"),
        "page_found": made.corners is not None,
        "corners": None if made.corners is None else [list(corner) for corner in made.corners],
        "turned_degrees": made.rotated,
    }


def run_restore(work: Work) -> Mapping[str, object]:
    """Fill scratches, or what the second input marks; the details say how much was filled."""
    masked = len(work.inputs) > 1
    made = restore.restore(
        raster.read(work.inputs[0], _limits(work)),
        raster.read(work.inputs[1], _limits(work)) if masked else None,
        method=cast("restore.Method", work.text("method")),
        radius=work.number("radius"),
        grow=work.integer("grow"),
        sensitivity=work.number("sensitivity"),
        step=work.context.within(0.1, 0.95).step,
    )
    return {
        **_store(work, made.raster, "restore"),
        "damage": "mask" if masked else "found",
        "regions": made.regions,
        "filled": round(made.share, 6),
    }


def run_background(work: Work) -> Mapping[str, object]:
    """Cut out the subject; the details say where it is."""
    parts = work.parameters.get("box")
    box = cast("background.Box", tuple(map(float, parts))) if isinstance(parts, tuple) else None
    made = background.cut_out(
        raster.read(work.inputs[0], _limits(work)),
        box=box,
        iterations=work.integer("iterations"),
        feather=work.number("feather"),
        trim=work.flag("trim"),
        step=work.context.within(0.1, 0.95).step,
    )
    return {
        **_store(work, made.raster, "background"),
        "seed": "salience" if box is None else "box",
        "subject": list(made.box),
        "covered": round(made.share, 4),
    }


def _limits(work: Work) -> Limits:
    """The usual limits before decoding, with the job's own number of pixels."""
    return replace(raster.LIMITS, pixels=work.integer("max_pixels"))


def _store(work: Work, made: raster.Raster, name: str) -> Mapping[str, object]:
    """Encode the result as the parameters say, store it, and return its name and size."""
    kind = Format(work.text("format"))
    path = work.scratch / f"{name}.{kind.extension}"
    work.context.step(0.95, f"write {path.name}")
    encoding = Encoding(format=kind, quality=work.integer("quality"), effort=_EFFORT.get(kind, 4))
    raster.write(made, encoding, path)
    work.outputs.file(path, path.name, content_type=kind.media_type)
    return {"name": path.name, "width": made.width, "height": made.height}
