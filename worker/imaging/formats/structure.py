"""Checks the container of a file before any library reads it.

Libraries allocate memory for the size in a header, scan every frame before they answer, and fill
missing data with grey. So bounds-checked readers find the declared size, count frames, and detect
truncated files. Walking the structure is cheap, and the length of the data bounds every walk
(``rejections.most_blocks``). A limit is checked as soon as its value is known: a header beyond a
limit is reported even if the file is also truncated. A file counts as truncated if data that may
contain pixels is missing. A GIF without its trailer or a PNG without IEND has all its pixels and is
accepted, as in browsers.

This module handles PNG, GIF, WebP and BMP. Each other format has its own module in this package.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from worker.domain.image import Format
from worker.imaging import rejections
from worker.imaging.formats import isobmff, jpeg, tiff

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.domain.image import Limits


def examine(data: bytes, kind: Format, limits: Limits) -> tuple[int, int]:
    """Walk the structure of ``data`` and return the declared (width, height) of one frame.

    SVG is text and has a separate reader.

    Raises:
        LimitExceeded: the declared dimension, pixels or frames are over ``limits``.
        DamagedInput: TRUNCATED, or CORRUPT where the structure contradicts itself.
        UnsupportedInput: a flavour that no decoder here reads.
    """
    try:
        return _READERS[kind](data, limits)
    except (struct.error, IndexError, OverflowError) as error:
        # Every read is bounds-checked: a read beyond the end means that the file is truncated.
        raise rejections.truncated(kind) from error


def _png(data: bytes, limits: Limits) -> tuple[int, int]:
    """Chunks until IEND. PNG specification, third edition, section 5."""
    length, name, width, height = struct.unpack_from(">I4sII", data, 8)
    if name != b"IHDR" or length != 13:
        raise rejections.corrupt(Format.PNG, "it does not begin with IHDR")
    rejections.check_size(width, height, limits)
    at = 8
    pixels = False
    for _ in range(rejections.most_blocks(data)):
        # IEND may be missing or truncated: it contains no pixels.
        if pixels and len(data) - at < 8 and b"\0\0\0\0IEND".startswith(data[at:]):
            break
        length, name = struct.unpack_from(">I4s", data, at)
        if not name.isalpha():
            raise rejections.corrupt(Format.PNG, "a chunk without a name")
        if name == b"IEND":
            break
        pixels = pixels or name == b"IDAT"
        at += 12 + length
        if at > len(data):
            raise rejections.truncated(Format.PNG)
    else:
        raise rejections.corrupt(Format.PNG, "too many chunks")
    if not pixels:
        raise rejections.corrupt(Format.PNG, "no picture data")
    return width, height


def _gif(data: bytes, limits: Limits) -> tuple[int, int]:
    """Blocks until the trailer. GIF89a specification, sections 15 to 27."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    rejections.check_size(width, height, limits)
    at = 13 + _gif_colours(flags)
    frames = 0
    steps = rejections.most_blocks(data)
    while at < len(data) or not frames:
        block = data[at]
        if block == 0x2C:
            right, bottom, flags = struct.unpack_from("<4xHHB", data, at + 1)
            # Decoders enlarge the screen for a frame that is larger.
            width, height = max(width, right), max(height, bottom)
            rejections.check_size(width, height, limits)
            at += 11 + _gif_colours(flags)
            frames += 1
            rejections.check_frames(frames, limits, counted=False)
        elif block == 0x21:
            at += 2
        else:
            break  # the trailer, or junk at which decoders also stop
        while length := data[at]:
            at += length + 1
            steps -= 1
        at += 1
        steps -= 1
        if steps < 0:
            raise rejections.corrupt(Format.GIF, "too many blocks")
    if not frames:
        raise rejections.corrupt(Format.GIF, "no frames")
    return width, height


def _gif_colours(flags: int) -> int:
    """Bytes of the colour table that ``flags`` declares."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _webp(data: bytes, limits: Limits) -> tuple[int, int]:
    """RIFF chunks. RFC 9649, section 2."""
    (size,) = struct.unpack_from("<I", data, 4)
    end = 8 + size
    width = height = frames = 0
    at = 12
    for _ in range(rejections.most_blocks(data)):
        if at + 8 > end:
            break
        name, size = struct.unpack_from("<4sI", data, at)
        if name == b"VP8X":
            fields = struct.unpack_from("<12x3s3s", data, at)
            width, height = (1 + int.from_bytes(field, "little") for field in fields)
        elif name == b"VP8 " and not width:
            width, height = (side & 0x3FFF for side in struct.unpack_from("<14xHH", data, at))
        elif name == b"VP8L" and not width:
            (bits,) = struct.unpack_from("<9xI", data, at)
            width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        elif name == b"ANMF":
            frames += 1
        rejections.check_size(width, height, limits)
        rejections.check_frames(frames, limits, counted=False)
        at += 8 + size + (size & 1)
        if at > len(data) + (size & 1):  # some writers omit the last padding byte
            raise rejections.truncated(Format.WEBP)
    else:
        raise rejections.corrupt(Format.WEBP, "too many chunks")
    if end > len(data) + 1:
        raise rejections.truncated(Format.WEBP)
    if not width or not height:
        raise rejections.corrupt(Format.WEBP, "no picture data")
    return width, height


def _bmp(data: bytes, limits: Limits) -> tuple[int, int]:
    """File and bitmap header. Microsoft, BITMAPFILEHEADER and BITMAPINFOHEADER."""
    offset, header = struct.unpack_from("<II", data, 10)
    compression = 0
    if header == 12:
        width, height, depth = struct.unpack_from("<HH2xH", data, 18)
    else:
        width, height, depth, compression = struct.unpack_from("<ii2xHI", data, 18)
    height = abs(height)  # negative: rows from top to bottom
    if width <= 0 or height == 0:
        raise rejections.corrupt(Format.BMP, "it has no size")
    rejections.check_size(width, height, limits)
    if compression in (4, 5):
        raise rejections.variant("a BMP around a JPEG or PNG")
    # The length of run-length coded rows (1 and 2) is known only after decoding.
    if compression not in (1, 2) and offset + (width * depth + 31) // 32 * 4 * height > len(data):
        raise rejections.truncated(Format.BMP)
    return width, height


_READERS: dict[Format, Callable[[bytes, Limits], tuple[int, int]]] = {
    Format.JPEG: jpeg.examine,
    Format.PNG: _png,
    Format.GIF: _gif,
    Format.WEBP: _webp,
    Format.AVIF: isobmff.examine,
    Format.HEIC: isobmff.examine,
    Format.BMP: _bmp,
    Format.TIFF: tiff.examine,
}
