"""Small JPEGs of a stored picture: for moderators to look at, and blurred for everybody else."""

from __future__ import annotations

from collections.abc import Sequence

import pyvips

from worker.domain.errors import EngineError
from worker.domain.image import Format
from worker.imaging.encode import flattened
from worker.imaging.formats.sniff import sniff
from worker.imaging.loaders import decoding, open_stored

SIDE = 1_600
"""Longer side of a still in pixels: what Rekognition sees does not get better with more, and its
requests are limited to 5 MB."""
BYTES = 2_000_000
"""A JPEG within ``SIDE`` of more bytes is encoded again."""
_QUALITY = 85
BLURRED_SIDE = 640
"""Longer side of a blurred picture, pixels."""
BLURRED_DETAIL = 16
"""Pixels of the longer side from which the blurred picture is made: all that is left to see."""
_BLURRED_QUALITY = 50


def stills(
    data: bytes, kind: Format, *, size: tuple[int, int], frames: int = 1, most: int = 1
) -> tuple[bytes, ...]:
    """JPEGs of a picture of ours, of an animation several frames, evenly spread.

    Args:
        data: a stored rendition.
        kind: its format.
        size: width and height, pixels.
        frames: in the file.
        most: stills that are wanted at most.

    Raises:
        Rejected: it cannot be decoded.
    """
    if kind is Format.JPEG and max(size) <= SIDE and len(data) <= BYTES:
        return (data,)
    return tuple(
        _jpeg(open_stored(data, kind, **({"page": page} if page else {})))
        for page in spread(frames, most)
    )


def spread(frames: int, most: int) -> Sequence[int]:
    """Numbers of at most so many frames, evenly spread over all: the middles of equal parts."""
    count = min(frames, most)
    return [0] if count <= 1 else [frames * (2 * part + 1) // (2 * count) for part in range(count)]


def _jpeg(image: pyvips.Image) -> bytes:
    with decoding():
        small = image.thumbnail_image(SIDE, height=SIDE, size="down")
        return _saved(small, _QUALITY)


def cut(sheet: bytes, box: tuple[int, int, int, int]) -> bytes:
    """A JPEG of a part of a sheet of pictures, JPEG or WebP.

    Args:
        sheet: the file.
        box: left, top, width and height in pixels.

    Raises:
        Rejected: it cannot be decoded.
        EngineError: the box does not lie in it.
    """
    kind = sniff(sheet)
    if kind not in (Format.JPEG, Format.WEBP):
        raise EngineError("a sheet is neither JPEG nor WebP")
    left, top, width, height = box
    image = open_stored(sheet, kind)
    if left + width > image.width or top + height > image.height or not width * height:
        raise EngineError(f"there is no {box} on a sheet of {image.width}x{image.height}")
    with decoding():
        return _saved(image.crop(left, top, width, height), _QUALITY)


def blurred(jpeg: bytes) -> bytes:
    """A JPEG of the shape of a picture without anything that could be recognised in it.

    The picture is reduced to ``BLURRED_DETAIL`` pixels and enlarged again: what is not there
    cannot be sharpened back.

    Raises:
        Rejected: it cannot be decoded.
    """
    with decoding():
        image = open_stored(jpeg, Format.JPEG)
        longer = max(image.width, image.height)
        tiny = image.thumbnail_image(BLURRED_DETAIL, height=BLURRED_DETAIL, size="down")
        # Only now it is decoded, and small: what follows works on a few hundred pixels.
        tiny = tiny.copy_memory()
        scale = min(BLURRED_SIDE, longer) / max(tiny.width, tiny.height)
        return _saved(tiny.resize(scale, kernel="cubic"), _BLURRED_QUALITY)


def _saved(image: pyvips.Image, quality: int) -> bytes:
    if image.hasalpha():
        image = flattened(image, "#ffffff")
    saved: bytes = image.colourspace("srgb").cast("uchar").jpegsave_buffer(Q=quality, keep=0)
    return saved
