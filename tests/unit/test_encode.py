"""Bytes of encoders: the same on every machine, and every pixel where that is promised."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.unit.pictures import encoded, one, photo, pixels_of, vips_of
from worker.domain.image import Encoding, Format
from worker.imaging.encode import Extras, Picture, encode, jpeg_tables
from worker.imaging.ssimulacra2 import ScoreReference

_EVERYTHING = """
import json
from tests.unit.pictures import everything, encoded, photo
from tests.unit.test_render import animation
from worker.domain.image import Encoding, Format, QualityTarget
import pyvips
still = [Encoding(format=kind) for kind in (Format.JPEG, Format.WEBP, Format.PNG)]
avif = [
    Encoding(format=Format.AVIF, quality=65, effort=0),
    Encoding(format=Format.AVIF, quality=65, effort=2),
    Encoding(format=Format.AVIF, lossless=True, effort=0),
    Encoding(format=Format.AVIF, effort=0, target=QualityTarget(ssim=0.95)),
]
moving = [Encoding(format=Format.WEBP), Encoding(format=Format.GIF)]
found = {}
for data, encodings in ((encoded(photo()), still + avif), (animation(), moving)):
    for number, encoding in enumerate(encodings):
        made = everything(data, encoding, width=600, height=400, minimum_saving=-1.0)
        found[f"{encoding.format} {number}"] = made.renditions[0].sha256
print(json.dumps([pyvips.vips_lib.vips_concurrency_get(), found]))
"""


def test_bytes_do_not_depend_on_how_many_threads_there_are() -> None:
    """One and four threads of libvips write the same files in every format; AVIF's encoder
    would cut the picture into as many columns."""
    seen = {}
    for threads in (1, 4):
        done = subprocess.run(
            [sys.executable, "-c", _EVERYTHING],
            env={**os.environ, "VIPS_CONCURRENCY": str(threads)},
            capture_output=True,
            text=True,
            check=True,
        )
        allowed, seen[threads] = json.loads(done.stdout)
        assert allowed == threads, "encoding an AVIF leaves the number as it was"
    assert seen[1] == seen[4]


@pytest.mark.parametrize(
    "encoding",
    [
        Encoding(format=Format.WEBP, lossless=True),
        Encoding(format=Format.AVIF, lossless=True, effort=0),
        Encoding(format=Format.PNG),
    ],
    ids=lambda each: each.format.value,
)
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_lossless_keeps_every_pixel(encoding: Encoding, bands: int) -> None:
    """Grey, colour and transparency are kept exactly, including colours of transparent pixels."""
    pixels = photo(60, 40)
    if bands == 1:
        pixels = np.repeat(pixels[..., :1], 3, axis=2)
    if bands == 4:
        alpha = np.tile(np.array([0, 0, 1, 128, 254, 255], np.uint8), (40, 10))
        pixels = np.dstack([pixels, alpha])
    data = encoded(pixels[..., 0] if bands == 1 else pixels)
    made = one(data, encoding)
    assert made.quality is None or encoding.format is Format.PNG
    assert (pixels_of(made) == pixels).all()


def test_lossy_webp_may_still_drop_invisible_colours() -> None:
    """Only lossless files are exact: in others invisible colours cost bytes for nothing."""
    pixels = np.dstack([photo(60, 40), np.zeros((40, 60), np.uint8)])
    lossless = one(encoded(pixels), Encoding(format=Format.WEBP, lossless=True))
    lossy = one(encoded(pixels), replace(Encoding(format=Format.WEBP), quality=100))
    assert len(lossy.data) * 4 < len(lossless.data)


def test_jpeg_steps_shrink_with_quality_and_fit_baseline() -> None:
    """All qualities have two tables of 64 steps of a byte each, finer as quality grows."""
    before = [[256] * 64] * 2
    for quality in range(1, 101):
        tables = jpeg_tables(quality)
        for table, coarser in zip(tables, before, strict=True):
            assert len(table) == 64
            assert all(1 <= step <= old for step, old in zip(table, coarser, strict=True))
            assert max(table) <= 255
        before = tables
    assert before == [[1] * 64] * 2


@pytest.mark.parametrize("quality", [80, 90])
def test_jpegs_are_smaller_than_annex_k_and_look_alike(quality: int) -> None:
    """Fewer bytes than libjpeg's own tables at the same quality, for a score within 1.5 points."""
    pixels = photo(320, 240)
    usual = encoded(pixels, "JPEG", quality=quality, progressive=True)
    made = encode(Picture([vips_of(pixels)]), Encoding(format=Format.JPEG), quality, Extras())
    reference = ScoreReference(pixels)
    ours, theirs = (
        reference.score(np.asarray(Image.open(io.BytesIO(data)))) for data in (made, usual)
    )
    assert len(made) < len(usual)
    assert ours > theirs - 1.5
