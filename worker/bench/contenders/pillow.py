"""Pillow, used the way its own documentation does: ``draft``, ``reducing_gap``, Lanczos."""

from __future__ import annotations

import io
import sys

import PIL
from PIL import Image, ImageOps, features

from worker.bench import job
from worker.bench.contenders.serving import TOTAL, Output, Watch, serve
from worker.bench.job import Job, Rung

_GAP = 2.0
"""Pillow's own default in ``thumbnail``: reduce by whole numbers down to twice the size first."""

FORMATS = ("jpeg", "webp")


def main(mode: str, wanted: Job) -> None:
    """Serve ``per-output`` (one decode for every file) or ``once`` (one decode in all)."""
    work = per_output if mode == "per-output" else once

    def measured(data: bytes, watch: Watch) -> list[Output]:
        with watch.part(TOTAL):
            return work(data, wanted)

    serve(
        measured,
        {
            "Pillow": PIL.__version__,
            "libjpeg-turbo": str(features.version("libjpeg_turbo")),
            "libwebp": str(features.version("webp")),
        },
    )


def per_output(data: bytes, wanted: Job) -> list[Output]:
    """One pipeline for every file: open, decode at the nearest size, resize, encode."""
    return [
        _written(_resized(_opened(data, rung), rung), rung.name, form, wanted)
        for rung in wanted.rungs
        for form in FORMATS
    ]


def once(data: bytes, wanted: Job) -> list[Output]:
    """One decode, one resize for every size, both formats from the same pixels."""
    largest = max(wanted.rungs, key=lambda rung: rung.width * rung.height)
    image = _opened(data, largest)
    made = []
    for rung in wanted.rungs:
        small = _resized(image, rung)
        made += [_written(small, rung.name, form, wanted) for form in FORMATS]
    return made


def _opened(data: bytes, rung: Rung) -> Image.Image:
    opened = Image.open(io.BytesIO(data))
    # Draft decodes at 1/2, 1/4 or 1/8, never below the size asked for. A cover needs its shorter
    # side filled, so it asks for the size that the whole picture will have.
    opened.draft("RGB", _covering(opened.size, rung))
    image = ImageOps.exif_transpose(opened)
    return image if image.mode == "RGB" else image.convert("RGB")


def _covering(size: tuple[int, int], rung: Rung) -> tuple[int, int]:
    width, height = size
    if not rung.cover:
        ratio = min(rung.width / width, rung.height / height)
    else:
        ratio = max(rung.width / width, rung.height / height)
    return max(1, round(width * ratio)), max(1, round(height * ratio))


def _resized(image: Image.Image, rung: Rung) -> Image.Image:
    lanczos = Image.Resampling.LANCZOS
    if rung.cover:
        box = (min(rung.width, image.width), min(rung.height, image.height))
        scale = max(box[0] / image.width, box[1] / image.height)
        width, height = box[0] / scale, box[1] / scale
        left, top = (image.width - width) / 2, (image.height - height) / 2
        return image.resize(
            box, lanczos, box=(left, top, left + width, top + height), reducing_gap=_GAP
        )
    width, height = _covering(image.size, rung)
    if width >= image.width:
        return image
    return image.resize((width, height), lanczos, reducing_gap=_GAP)


def _written(image: Image.Image, name: str, form: str, wanted: Job) -> Output:
    out = io.BytesIO()
    if form == "jpeg":
        image.save(out, "jpeg", quality=wanted.jpeg_quality, progressive=True)
    else:
        image.save(out, "webp", quality=wanted.webp_quality, method=wanted.webp_effort)
    return Output(name=name, format=form, data=out.getvalue())


if __name__ == "__main__":
    main(sys.argv[1], job.read(sys.argv[2]))
