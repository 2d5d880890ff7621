"""Files to the pixels that heavy operations work on, and back.

Reading goes the way of every upload: probe, limits, the one allowed decoder, upright, 8-bit sRGB
(``worker.imaging``). OpenCV's own readers and writers are not used anywhere.
The operations are in files of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pyvips

from worker.domain.errors import InputError, LimitExceeded, MemoryPressure, Reason
from worker.domain.image import Encoding, Limits, Probe
from worker.imaging import rejections
from worker.imaging.encode import Extras, Picture, encode
from worker.imaging.operations.vision import Pixels, pixels
from worker.imaging.probe import probe
from worker.imaging.pyramid import WHOLE, whole_picture

LIMITS = Limits(bytes=200_000_000, pixels=100_000_000)
"""Of one picture. In memory it takes 3 bytes a pixel, and operations hold a few copies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Raster:
    """A decoded picture, upright, 8 bits a channel, sRGB."""

    colour: Pixels = field(repr=False)
    """Rows, columns, blue-green-red."""
    alpha: Pixels | None = field(default=None, repr=False)
    """Rows, columns; 0 is transparent. None where everything is opaque."""
    grey: bool = False
    """The three channels of ``colour`` are equal, and are written as one."""

    @property
    def width(self) -> int:
        """Pixels across."""
        return int(self.colour.shape[1])

    @property
    def height(self) -> int:
        """Pixels down."""
        return int(self.colour.shape[0])

    def on(self, level: int = 255) -> Pixels:
        """The colours with transparency laid on a grey of this level (white unless told)."""
        if self.alpha is None:
            return self.colour
        share = self.alpha.astype(np.uint16)[..., None]
        mixed = self.colour * share + np.uint16(level) * (255 - share) + 127
        return pixels(mixed // 255)


def read(path: Path, limits: Limits = LIMITS) -> Raster:
    """Decode one picture.

    Args:
        path: a local file; its name plays no part.
        limits: checked before decoding.

    Raises:
        Rejected: as :func:`worker.imaging.probe.probe` and the decoder say.
        InputError: the file cannot be read.
        MemoryPressure: it does not fit into memory.
    """
    data = _bytes(path, limits)
    found = probe(data, limits, formats=WHOLE.formats)
    return _decoded(data, found)


def read_all(paths: Sequence[Path], pixels_together: int, limits: Limits = LIMITS) -> list[Raster]:
    """Decode several pictures that are in memory at once. Messages number them from 1.

    Raises:
        LimitExceeded: TOO_MANY_PIXELS also where all of them together have more than
            ``pixels_together``; found before any is decoded.
        Rejected, InputError, MemoryPressure: as :func:`read`.
    """
    headers = [probe(_bytes(path, limits), limits, formats=WHOLE.formats) for path in paths]
    total = sum(header.pixels for header in headers)
    if total > pixels_together:
        raise LimitExceeded(
            Reason.TOO_MANY_PIXELS,
            f"{len(headers)} pictures have {total:,} pixels together, more than the limit of "
            f"{pixels_together:,} for this operation",
        )
    return [read(path, limits) for path in paths]


def write(raster: Raster, encoding: Encoding, path: Path) -> None:
    """Write a picture without any metadata; transparency is laid on white where there is none.

    Args:
        raster: what to write.
        encoding: format, quality and effort.
        path: must not be a final name: the file is not written in one step.

    Raises:
        OSError: the file cannot be written.
    """
    picture = Picture([_vips(raster)])
    path.write_bytes(encode(picture, encoding, encoding.quality, Extras()))


def _bytes(path: Path, limits: Limits) -> bytes:
    try:
        rejections.check_bytes(path.stat().st_size, limits)
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path.name} cannot be read: {error.strerror}", code="input_unreadable"
        ) from error


def _decoded(data: bytes, found: Probe) -> Raster:
    try:
        image = whole_picture(data, found)
        array = np.asarray(image.numpy(), np.uint8).reshape(image.height, image.width, -1)
    except MemoryError as error:
        raise MemoryPressure("the picture needs more memory than there is") from error
    alpha = np.ascontiguousarray(array[..., -1]) if image.hasalpha() else None
    grey = image.bands < 3
    code = cv2.COLOR_GRAY2BGR if grey else cv2.COLOR_RGB2BGR
    colour = np.ascontiguousarray(array[..., :1] if grey else array[..., :3])
    return Raster(colour=pixels(cv2.cvtColor(colour, code)), alpha=alpha, grey=grey)


def _vips(raster: Raster) -> pyvips.Image:
    bands = raster.colour[..., :1] if raster.grey else raster.colour[..., ::-1]
    if raster.alpha is not None:
        bands = np.concatenate([bands, raster.alpha[..., None]], axis=2)
    # libvips reads the buffer where it lies; pyvips holds on to the bytes.
    image = pyvips.Image.new_from_memory(
        np.ascontiguousarray(bands).tobytes(),
        raster.width,
        raster.height,
        bands.shape[2],
        "uchar",
    )
    return image.copy(interpretation="b-w" if raster.grey else "srgb")
