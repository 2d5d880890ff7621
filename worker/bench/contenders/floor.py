"""The floor: what one decode and six bare encoder calls cost, with every library there is.

Each candidate is measured apart, as the part ``STEP/CANDIDATE``; which one wins a step is decided
over the whole corpus, by the measuring side. Pixels are made ready outside the measured parts, in
the form each encoder likes best. Resizing, copying, cropping and checking are not in the floor.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import PIL
import pyvips
import simplejpeg
from PIL import Image
from pyvips.enums import ForeignKeep

from worker.bench import job
from worker.bench.contenders.serving import Output, Watch, serve
from worker.bench.job import Job, Rung
from worker.media.allocation import keep_memory

DECODE = "decode"
"""The step of reading the original; the others are named ``RENDITION FORMAT``."""

EXCLUDED = "imagecodecs"
"""Measured where it is installed, but no part of the product: its wheel is 26 MB."""


def main(wanted: Job) -> None:
    """Serve the floor of a job."""
    keep_memory()  # the floor gets what the engine gets
    versions = {"Pillow": PIL.__version__, "simplejpeg": simplejpeg.__version__}
    versions["libvips"] = ".".join(str(pyvips.version(part)) for part in range(3))
    codecs = None
    if importlib.util.find_spec(EXCLUDED) is not None:
        codecs = importlib.import_module(EXCLUDED)
        versions[EXCLUDED] = codecs.__version__

    def measured(data: bytes, watch: Watch) -> list[Output]:
        for name, read in decoders(data, wanted, codecs).items():
            with watch.part(f"{DECODE}/{name}"):
                read()
        made = []
        for rung in wanted.rungs:
            for step, candidates in encoders(data, rung, wanted, codecs).items():
                for name, write in candidates.items():
                    with watch.part(f"{rung.name} {step}/{name}"):
                        encoded = write()
                    made.append(Output(name=f"{rung.name} {name}", format=step, data=encoded))
        return made

    serve(measured, versions)


def decoders(data: bytes, wanted: Job, codecs: Any) -> dict[str, Callable[[], object]]:
    """Ways to read the original, at the smallest size that the largest rung can be made from."""
    width, height = Image.open(io.BytesIO(data)).size
    shrink = max(
        factor
        for factor in (1, 2, 4, 8)
        if factor == 1 or all(_enough(width // factor, height // factor, r) for r in wanted.rungs)
    )
    small = (-(-width // shrink), -(-height // shrink))

    def pillow() -> object:
        image = Image.open(io.BytesIO(data))
        image.draft("RGB", small)
        return image.load()

    found: dict[str, Callable[[], object]] = {
        "pillow": pillow,
        "pyvips": lambda: pyvips.Image.jpegload_buffer(data, shrink=shrink).write_to_memory(),
        "simplejpeg": lambda: simplejpeg.decode_jpeg(
            data, min_factor=shrink, min_width=small[0], min_height=small[1]
        ),
    }
    if codecs is not None and shrink == 1:
        found[EXCLUDED] = lambda: codecs.jpeg8_decode(data)
    return found


def encoders(
    data: bytes, rung: Rung, wanted: Job, codecs: Any
) -> dict[str, dict[str, Callable[[], bytes]]]:
    """Ways to write one rung, by format and library, on pixels that are ready."""
    image = pyvips.Image.thumbnail_buffer(
        data,
        rung.width,
        height=rung.height,
        size="down",
        crop="centre" if rung.cover else "none",
    )
    image = image.colourspace("srgb").copy_memory()
    array = np.asarray(image.numpy())
    rgb = Image.fromarray(array)
    four = np.dstack([array, np.full(array.shape[:2], 255, np.uint8)])
    size = (image.width, image.height)
    rgbx = Image.frombuffer("RGBX", size, four.tobytes(), "raw", "RGBX", 0, 1)

    def saved(source: Image.Image, form: str, **options: object) -> Callable[[], bytes]:
        def save() -> bytes:
            out = io.BytesIO()
            source.save(out, form, **options)
            return out.getvalue()

        return save

    jpeg = {"quality": wanted.jpeg_quality, "progressive": True}
    webp = {"quality": wanted.webp_quality, "method": wanted.webp_effort}
    by_format: dict[str, dict[str, Callable[[], bytes]]] = {
        "jpeg": {
            "pillow RGB": saved(rgb, "jpeg", **jpeg),
            "pillow RGBX": saved(rgbx, "jpeg", **jpeg),
            "pyvips": lambda: image.jpegsave_buffer(
                Q=wanted.jpeg_quality, interlace=True, keep=ForeignKeep.NONE
            ),
        },
        "webp": {
            "pillow RGB": saved(rgb, "webp", **webp),
            "pillow RGBX": saved(rgbx, "webp", **webp),
            "pyvips": lambda: image.webpsave_buffer(
                Q=wanted.webp_quality, effort=wanted.webp_effort, keep=ForeignKeep.NONE
            ),
        },
    }
    if codecs is not None:
        # Its JPEG encoder writes no progressive files.
        by_format["webp"][EXCLUDED] = lambda: bytes(
            codecs.webp_encode(
                array,
                level=wanted.webp_quality,
                lossless=False,
                method=wanted.webp_effort,
                numthreads=1,
            )
        )
    return by_format


def _enough(width: int, height: int, rung: Rung) -> bool:
    if rung.cover:
        return width >= rung.width and height >= rung.height
    return width >= rung.width or height >= rung.height


if __name__ == "__main__":
    main(job.read(sys.argv[1]))
