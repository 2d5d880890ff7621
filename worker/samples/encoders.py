"""How the samples become files: the settings of their encoders.

What lives here: pixels and metadata in, bytes of a file out. What may not: painting, and anything
the engine needs (``worker.media`` has its own encoders, chosen for speed).
"""

from __future__ import annotations

import io

import numpy as np
import pyvips
from PIL import Image

from worker.samples import tagged
from worker.samples.canvas import Bytes, Floats
from worker.samples.tagged import Shot


def photo(upright: Bytes, shot: Shot, *, progressive: bool = False, p3: bool = False) -> bytes:
    """A JPEG as a camera writes it: 4:2:0, EXIF, IPTC, XMP, stored as it was held."""
    buffer = io.BytesIO()
    Image.fromarray(tagged.stored(upright, shot.orientation)).save(
        buffer,
        "JPEG",
        quality=88,
        subsampling="4:2:0",
        progressive=progressive,
        icc_profile=_profile("p3" if p3 else "srgb"),
        exif=b"Exif\x00\x00" + tagged.exif(shot),
        xmp=tagged.xmp(shot),
    )
    return tagged.with_segment(buffer.getvalue(), 0xED, tagged.iptc(shot))


def _profile(name: str) -> bytes:
    """One of the ICC profiles inside libvips: ``srgb``, ``p3``, ``cmyk``."""
    data: bytes = pyvips.Operation.call("profile_load", name)
    return bytes(data)


def cmyk(upright: Bytes, shot: Shot) -> bytes:
    """A JPEG for print: CMYK with its profile, inverted as Adobe does."""
    image = pyvips.Image.new_from_array(upright, interpretation="srgb")
    image = image.icc_transform("cmyk", input_profile="srgb", intent="relative").copy()
    image.set_type(pyvips.GValue.blob_type, "exif-data", b"Exif\x00\x00" + tagged.exif(shot))  # type: ignore[arg-type]
    data: bytes = image.jpegsave_buffer(Q=82, keep=pyvips.enums.ForeignKeep.ALL, profile="cmyk")
    return data


def deep(canvas: Floats) -> pyvips.Image:
    """Sixteen bits a channel. A little noise, as every sensor has."""
    rng = np.random.default_rng(3)
    noisy = canvas + rng.standard_normal(canvas.shape, np.float32) * np.float32(0.0012)
    values = (np.clip(noisy, 0, 1) * np.float32(65535) + np.float32(0.5)).astype(np.uint16)
    return pyvips.Image.new_from_array(values, interpretation="rgb16")


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """The file that Pillow makes of a picture."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def moving(frames: tuple[list[Image.Image], list[int]], kind: str, **options: object) -> bytes:
    """An animation of frames and their delays in ms."""
    pictures, delays = frames
    return saved(
        pictures[0],
        kind,
        save_all=True,
        append_images=pictures[1:],
        duration=delays,
        **options,
    )
