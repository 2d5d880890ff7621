"""The programs that are measured, each a process of its own that does one photo at a time.

Usage: ``python -m worker.bench.implementations NAME MODE WORK``. A process first prints
``{"versions": {NAME: VERSION}}``. Asked ``{"photo": PATH, "out": FOLDER or null}`` in a line, it
answers ``{"seconds": {PART: CPU SECONDS}, "files": [{"name", "format", "path"}]}`` or ``{"error":
TEXT}``. Reading the photo and writing the files are not measured; CPU seconds are those of the
whole process, all threads, user and system. ``sharp.cjs`` speaks the same protocol.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import PIL
from PIL import Image, ImageOps, features

from worker import __version__
from worker.bench import config
from worker.bench.config import EXCLUDED, BenchSize, Workload
from worker.domain.image import Format

# Each process loads only what it measures: what else is imported here would be in its memory.

TOTAL = "total"
"""The part of an implementation that is measured as a whole."""

_REDUCING_GAP = 2.0
"""Pillow's own default in ``thumbnail``: reduce by whole numbers down to twice the size first."""

Output = tuple[str, str, bytes]
"""Name, format and content of a file."""


Seconds = dict[str, float]
"""CPU time by part."""

Implementation = Callable[[bytes, Seconds], list[Output]]
"""Does one photo, and measures what counts into the dict it is given."""


@contextmanager
def measure(seconds: Seconds, part: str = TOTAL) -> Iterator[None]:
    """Add the CPU time of the block to a part."""
    before = time.process_time()
    yield
    seconds[part] = seconds.get(part, 0.0) + time.process_time() - before


def serve(implementation: Implementation, versions: Mapping[str, str]) -> None:
    """Answer requests until the input ends; ``versions`` are those of the libraries at work."""
    # A library that prints must not break the protocol: its lines go where errors go.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(**content: object) -> None:
        print(json.dumps(content), file=answers, flush=True)

    answer(versions=versions)
    for line in sys.stdin:
        request = json.loads(line)
        seconds: Seconds = {}
        files = []
        try:
            made = implementation(Path(request["photo"]).read_bytes(), seconds)
            for name, form, data in made if request["out"] is not None else ():
                path = Path(request["out"], f"{name}.{form}")
                path.write_bytes(data)
                files.append({"name": name, "format": form, "path": str(path)})
        except Exception as error:  # noqa: BLE001  whatever it is, the measuring side must know
            answer(error=f"{type(error).__name__}: {error}")
        else:
            answer(seconds=seconds, files=files)


def _pillow_versions() -> dict[str, str]:
    return {
        "Pillow": PIL.__version__,
        "Pillow's libjpeg-turbo": str(features.version("libjpeg_turbo")),
        "Pillow's libwebp": str(features.version("webp")),
    }


def _vips_version() -> str:
    import pyvips

    return ".".join(str(pyvips.version(part)) for part in range(3))


# --- this engine -------------------------------------------------------------------------------


def engine(mode: str, _work: Workload) -> None:
    """``render`` (probe, plan, render) or ``process`` (also metadata and hashes); ``modern`` and
    ``target`` render other recipes."""
    import simplejpeg

    from worker.imaging.engine import process
    from worker.imaging.malloc import keep_memory
    from worker.imaging.plan import make_plan
    from worker.imaging.probe import probe
    from worker.imaging.render import render

    keep_memory()  # as every worker process of ours does
    recipe = config.modern() if mode == "modern" else config.recipe()
    if mode == "target":
        recipe = config.with_target(recipe)

    def measured(data: bytes, seconds: Seconds) -> list[Output]:
        with measure(seconds):
            if mode == "process":
                made = process(data, recipe).renditions
            else:
                found = probe(data, recipe.limits, formats=recipe.formats)
                plan = make_plan(found, recipe)
                made = render(data, found, plan, assets=recipe.assets).renditions
        return [(one.name, one.format.value, one.data) for one in made]

    versions = {"safelight": __version__, "libvips": _vips_version(), **_pillow_versions()}
    serve(measured, versions | {"simplejpeg": simplejpeg.__version__})


def repack(_mode: str, _work: Workload) -> None:
    """The original packed as JPEG XL without loss; its ``decode`` is measured apart."""
    import simplejpeg

    from worker.imaging import libjxl
    from worker.imaging.malloc import keep_memory
    from worker.recipes.schema import TRAITS

    keep_memory()
    effort = TRAITS[Format.JXL].default.effort

    def measured(data: bytes, seconds: Seconds) -> list[Output]:
        with measure(seconds, "decode"):
            simplejpeg.decode_jpeg(data)
        with measure(seconds):
            packed = libjxl.repack(data, effort=effort)
        return [("original", "jxl", packed)]

    serve(measured, {"libjxl": libjxl.version(), "simplejpeg": simplejpeg.__version__})


# --- Pillow, used the way its own documentation does: draft, reducing_gap, Lanczos ---------------


def pillow(mode: str, work: Workload) -> None:
    """``per-output`` (one decode for every file) or ``once`` (one decode in all)."""

    def measured(data: bytes, seconds: Seconds) -> list[Output]:
        with measure(seconds):
            return _per_output(data, work) if mode == "per-output" else _once(data, work)

    serve(measured, _pillow_versions())


def _per_output(data: bytes, work: Workload) -> list[Output]:
    """One pipeline for every file: open, decode at the nearest size, resize, encode."""
    return [
        (size.name, form, _encoded(_resized(_opened(data, size), size), form, work))
        for size in work.sizes
        for form in ("jpeg", "webp")
    ]


def _once(data: bytes, work: Workload) -> list[Output]:
    """One decode, one resize for every size, both formats from the same pixels."""
    image = _opened(data, max(work.sizes, key=lambda size: size.width * size.height))
    made = []
    for size in work.sizes:
        small = _resized(image, size)
        made += [(size.name, form, _encoded(small, form, work)) for form in ("jpeg", "webp")]
    return made


def _opened(data: bytes, size: BenchSize) -> Image.Image:
    opened = Image.open(io.BytesIO(data))
    # Draft decodes at 1/2, 1/4 or 1/8, never below the size asked for. A cover needs its shorter
    # side filled, so it asks for the size that the whole picture will have.
    opened.draft("RGB", _scaled(opened.size, size))
    image = ImageOps.exif_transpose(opened)
    return image if image.mode == "RGB" else image.convert("RGB")


def _scaled(whole: tuple[int, int], size: BenchSize) -> tuple[int, int]:
    """The size of the whole picture when it fills the box (cover) or lies inside it."""
    ratios = size.width / whole[0], size.height / whole[1]
    ratio = max(ratios) if size.cover else min(ratios)
    return max(1, round(whole[0] * ratio)), max(1, round(whole[1] * ratio))


def _resized(image: Image.Image, size: BenchSize) -> Image.Image:
    lanczos = Image.Resampling.LANCZOS
    if size.cover:
        target = (min(size.width, image.width), min(size.height, image.height))
        scale = max(target[0] / image.width, target[1] / image.height)
        width, height = target[0] / scale, target[1] / scale
        left, top = (image.width - width) / 2, (image.height - height) / 2
        box = (left, top, left + width, top + height)
        return image.resize(target, lanczos, box=box, reducing_gap=_REDUCING_GAP)
    target = _scaled(image.size, size)
    if target[0] >= image.width:
        return image
    return image.resize(target, lanczos, reducing_gap=_REDUCING_GAP)


def _encoded(image: Image.Image, form: str, work: Workload) -> bytes:
    out = io.BytesIO()
    if form == "jpeg":
        image.save(out, "jpeg", quality=work.jpeg_quality, progressive=True)
    else:
        image.save(out, "webp", quality=work.webp_quality, method=work.webp_effort)
    return out.getvalue()


# --- the floor ---------------------------------------------------------------------------------


def floor(_mode: str, work: Workload) -> None:
    """The cost of one decode and six bare encoder calls, with every available library.

    Each library is measured apart, as the part ``STEP/LIBRARY`` (``decode`` or ``SIZE FORMAT``);
    the measuring side decides over the whole corpus which one wins a step. Pixels are made ready
    outside the measured parts, in the form each encoder likes best. Resizing, copying, cropping and
    checking are not in it.
    """
    import simplejpeg

    from worker.imaging.malloc import keep_memory

    keep_memory()  # the floor gets what the engine gets
    versions = {"Pillow": PIL.__version__, "simplejpeg": simplejpeg.__version__}
    versions["libvips"] = _vips_version()
    codecs = None
    if importlib.util.find_spec(EXCLUDED) is not None:
        codecs = importlib.import_module(EXCLUDED)
        versions[EXCLUDED] = codecs.__version__

    def measured(data: bytes, seconds: Seconds) -> list[Output]:
        for name, decode in _decoders(data, work, codecs).items():
            with measure(seconds, f"decode/{name}"):
                decode()
        made = []
        for size in work.sizes:
            for (form, name), encode in _encoders(data, size, work, codecs).items():
                with measure(seconds, f"{size.name} {form}/{name}"):
                    encoded = encode()
                made.append((f"{size.name} {name}", form, encoded))
        return made

    serve(measured, versions)


def _decoders(data: bytes, work: Workload, codecs: Any) -> dict[str, Callable[[], object]]:
    """Ways to read the original, at the smallest size that every size can be made from."""
    import pyvips
    import simplejpeg

    width, height = Image.open(io.BytesIO(data)).size

    def enough(factor: int, size: BenchSize) -> bool:
        sides = (width // factor >= size.width, height // factor >= size.height)
        return all(sides) if size.cover else any(sides)

    shrink = max(
        factor
        for factor in (1, 2, 4, 8)
        if factor == 1 or all(enough(factor, size) for size in work.sizes)
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


def _encoders(
    data: bytes, size: BenchSize, work: Workload, codecs: Any
) -> dict[tuple[str, str], Callable[[], bytes]]:
    """Ways to write one size, by format and library, on pixels that are ready."""
    import numpy as np
    import pyvips

    crop = "centre" if size.cover else "none"
    image = pyvips.Image.thumbnail_buffer(
        data, size.width, height=size.height, size="down", crop=crop
    )
    image = image.colourspace("srgb").copy_memory()
    array = np.asarray(image.numpy())
    rgb = Image.fromarray(array)
    four = np.dstack([array, np.full(array.shape[:2], 255, np.uint8)]).tobytes()
    rgbx = Image.frombuffer("RGBX", rgb.size, four, "raw", "RGBX", 0, 1)
    bare = pyvips.enums.ForeignKeep.NONE
    quality, effort = work.webp_quality, work.webp_effort
    found: dict[tuple[str, str], Callable[[], bytes]] = {
        ("jpeg", "pillow RGB"): lambda: _encoded(rgb, "jpeg", work),
        ("jpeg", "pillow RGBX"): lambda: _encoded(rgbx, "jpeg", work),
        ("jpeg", "pyvips"): lambda: image.jpegsave_buffer(
            Q=work.jpeg_quality, interlace=True, keep=bare
        ),
        ("webp", "pillow RGB"): lambda: _encoded(rgb, "webp", work),
        ("webp", "pillow RGBX"): lambda: _encoded(rgbx, "webp", work),
        ("webp", "pyvips"): lambda: image.webpsave_buffer(Q=quality, effort=effort, keep=bare),
    }
    if codecs is not None:
        # Its JPEG encoder writes no progressive files.
        found["webp", EXCLUDED] = lambda: bytes(
            codecs.webp_encode(array, level=quality, lossless=False, method=effort, numthreads=1)
        )
    return found


if __name__ == "__main__":
    _, name, mode, work = sys.argv
    programs = {"engine": engine, "pillow": pillow, "floor": floor, "repack": repack}
    programs[name](mode, config.loads(work))
