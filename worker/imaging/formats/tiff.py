"""The directories of a TIFF: declared size, pages, and whether all of the first page is there.

A bounds-checked reader of TIFF and BigTIFF structure. libtiff fills what is missing with zeros and
allocates what a tile claims, so both are checked before it sees the file. Sources: TIFF 6.0 (Adobe,
1992) sections 2, 8 and 15; BigTIFF (AWare).
"""

from __future__ import annotations

import operator
import struct
import sys
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.domain.image import Format
from worker.imaging import rejections

if TYPE_CHECKING:
    from worker.domain.image import Limits

_MOST_ENTRIES = 1024
"""Fields of one directory; real ones have fewer than a hundred."""

_MOST_PIECES = 1_000_000
"""Strips or tiles of one page: 16 x 16 tiles of 250 megapixels."""

_LARGEST_COPY = 500_000_000
"""Bytes of a file that may be held twice."""

_LARGEST_TILE = 4096
"""Pixels a side. A tile is decoded whole, however small the picture."""

_MOST_CHANNELS = 5
"""CMYK and alpha."""

_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 16: 8}
"""Bytes of one value of each field type."""

_LAST_ESSENTIAL = 999
"""Tags up to here say how pixels are stored; what vendors put behind is often careless."""

_WIDTH, _HEIGHT, _CHANNELS = 256, 257, 277
_BITS, _PHOTOMETRIC = 258, 262
_RGB, _CIELAB = 2, 8
_STRIP_OFFSETS, _STRIP_COUNTS, _TILE_OFFSETS, _TILE_COUNTS = 273, 279, 324, 325
_TILE_WIDTH, _TILE_HEIGHT = 322, 323
_ARRAYS = {3: "H", 4: "I", 16: "Q"}
"""TIFF field types of whole numbers, as :mod:`array` type codes."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Byte order and widths: classic TIFF counts in 4 bytes, BigTIFF in 8."""

    order: str
    count: str
    entry: str
    inline: int
    """Bytes of a value that is stored in the entry itself."""

    def read(self, code: str, data: bytes, at: int) -> tuple[int, ...]:
        return struct.unpack_from(self.order + code, data, at)


def examine(data: bytes, limits: Limits) -> tuple[int, int]:
    """Declared (width, height) of the first page; later pages are only counted.

    Raises:
        LimitExceeded: size or pages are over ``limits``.
        DamagedInput: CORRUPT; or TRUNCATED, also as struct.error where a read runs off the end.
        UnsupportedInput: more than five channels.
    """
    layout, at = _first(data)
    fields = _directory(data, at, layout)
    width, height = (_number(data, fields, tag, layout) for tag in (_WIDTH, _HEIGHT))
    rejections.check_size(width, height, limits)
    if not width or not height:
        raise rejections.corrupt(Format.TIFF, "its first page has no size")
    _check_tiles(data, fields, layout, width, height)
    if _number(data, fields, _CHANNELS, layout) > _MOST_CHANNELS:
        raise rejections.variant(f"a TIFF of more than {_MOST_CHANNELS} channels")
    _check_pages(data, at, layout, limits)
    for offsets, counts in ((_STRIP_OFFSETS, _STRIP_COUNTS), (_TILE_OFFSETS, _TILE_COUNTS)):
        _check_pieces(
            data, _numbers(data, fields, offsets, layout), _numbers(data, fields, counts, layout)
        )
    return width, height


def is_lab_in_bytes(data: bytes) -> bool:
    """Whether the first page is CIELAB of 8 bits a channel, which libvips 8.18 does not read.

    For files that :func:`examine` has passed. Source: TIFF 6.0, section 23.
    """
    layout, at = _first(data)
    fields = _directory(data, at, layout)
    return (
        _number(data, fields, _PHOTOMETRIC, layout) == _CIELAB
        and _numbers(data, fields, _BITS, layout).tolist() == [8, 8, 8]
        and _number(data, fields, _CHANNELS, layout) == 3
    )


def named_rgb(data: bytes) -> bytes:
    """A copy whose first page is declared as RGB: its three channels are decoded as they are.

    Raises:
        UnsupportedInput: the file is too large to be copied; only jobs meet such files.
    """
    if len(data) > _LARGEST_COPY:
        raise rejections.variant(f"a CIELAB TIFF of 8 bits and more than {_LARGEST_COPY:,} bytes")
    layout, at = _first(data)
    kind, _, place = _directory(data, at, layout)[_PHOTOMETRIC]
    changed = bytearray(data)
    struct.pack_into(layout.order + _ARRAYS[kind], changed, place, _RGB)
    return bytes(changed)


def _first(data: bytes) -> tuple[_Layout, int]:
    """Byte order and widths, and where the first directory stands."""
    order = "<" if data[:2] == b"II" else ">"
    if data[2:4] in (b"+\x00", b"\x00+"):
        layout = _Layout(order, "Q", "HHQ", 8)
        return layout, layout.read("Q", data, 8)[0]
    layout = _Layout(order, "H", "HHI", 4)
    return layout, layout.read("I", data, 4)[0]


def _directory(data: bytes, at: int, layout: _Layout) -> dict[int, tuple[int, int, int]]:
    """Fields of the directory at ``at``: tag to (type, count, where the entry's value stands)."""
    (count,) = layout.read(layout.count, data, at)
    if count > _MOST_ENTRIES:
        raise rejections.corrupt(Format.TIFF, "a directory with too many fields")
    at += struct.calcsize("=" + layout.count)
    width = struct.calcsize("=" + layout.entry)
    fields = {}
    for _ in range(count):
        tag, kind, length = layout.read(layout.entry, data, at)
        fields[tag] = (kind, length, at + width)
        size = _WIDTHS.get(kind, 1) * length
        if size > layout.inline and tag <= _LAST_ESSENTIAL:
            (start,) = layout.read("Q" if layout.inline == 8 else "I", data, at + width)
            if start + size > len(data):
                raise rejections.truncated(Format.TIFF)
        at += width + layout.inline
    return fields


def _numbers(
    data: bytes, fields: dict[int, tuple[int, int, int]], tag: int, layout: _Layout
) -> array[int]:
    """All values of a whole-number field; empty if it is not there or of another type."""
    kind, count, at = fields.get(tag, (0, 0, 0))
    if kind not in _ARRAYS:
        return array("Q")
    if count > _MOST_PIECES:
        raise rejections.corrupt(Format.TIFF, "too many strips or tiles")
    values = array(_ARRAYS[kind])
    length = count * values.itemsize
    if length > layout.inline:
        (at,) = layout.read("Q" if layout.inline == 8 else "I", data, at)
    if at + length > len(data):
        raise rejections.truncated(Format.TIFF)
    values.frombytes(data[at : at + length])
    if (layout.order == "<") != (sys.byteorder == "little"):
        values.byteswap()
    return values


def _number(data: bytes, fields: dict[int, tuple[int, int, int]], tag: int, layout: _Layout) -> int:
    values = _numbers(data, fields, tag, layout)
    return values[0] if values else 0


def _check_tiles(
    data: bytes,
    fields: dict[int, tuple[int, int, int]],
    layout: _Layout,
    width: int,
    height: int,
) -> None:
    for tag, side in ((_TILE_WIDTH, width), (_TILE_HEIGHT, height)):
        if _number(data, fields, tag, layout) > max(_LARGEST_TILE, side + 15):
            raise rejections.corrupt(Format.TIFF, "its tiles are larger than the picture")


def _check_pages(data: bytes, at: int, layout: _Layout, limits: Limits) -> None:
    """Follow the chain of directories, which a hostile file can make long or circular."""
    seen: set[int] = set()
    entry = struct.calcsize("=" + layout.entry) + layout.inline
    while at:
        if at in seen:
            raise rejections.corrupt(Format.TIFF, "its directories run in a circle")
        seen.add(at)
        rejections.check_frames(len(seen), limits, counted=False)
        (count,) = layout.read(layout.count, data, at)
        at += struct.calcsize("=" + layout.count) + count * entry
        (at,) = layout.read("Q" if layout.inline == 8 else "I", data, at)


def _check_pieces(data: bytes, offsets: array[int], counts: array[int]) -> None:
    """Every strip or tile of the first page must end inside the file."""
    if offsets and max(map(operator.add, offsets, counts), default=0) > len(data):
        raise rejections.truncated(Format.TIFF)
