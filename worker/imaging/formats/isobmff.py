"""ISO base media files: a bounds-checked walk of boxes, and the headers of HEIC and AVIF.

For pictures it reads the declared size and the primary item, and checks that the file is complete.
MP4 and QuickTime consist of the same boxes; ``worker.video`` walks them with :func:`walk`.

Sources: ISO/IEC 14496-12 sections 4.2 (boxes) and 8.11 (pitm, iloc, iinf, iref), ISO/IEC 23008-12
sections 6.5.3 (ispe) and 9.3 (ipma).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from worker.domain.image import Format
from worker.imaging import rejections

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from mmap import mmap

    from worker.domain.image import Limits

_MOST_BOXES = 4096
"""Most child boxes of one box. A grid of a phone has about a hundred tiles with a handful of
properties."""

_MOST_ITEMS = 65_536
"""Most entries of a table that are read: more than any real file has."""

_KIND = Format.HEIC
"""Named in messages for both formats: the container is the same."""


class IsoBox(NamedTuple):
    """Position of a box, in bytes from the beginning of the data."""

    name: bytes
    start: int
    content: int
    """The first byte after the header."""
    end: int
    """The first byte after the box. The last box may extend beyond its container or the data; the
    caller checks that."""


class IsoBoxError(ValueError):
    """Invalid boxes: one is smaller than its header, or there are too many."""


UNREADABLE = (IsoBoxError, struct.error)
"""Errors raised by :func:`walk`."""


def walk(
    data: bytes | mmap, start: int = 0, stop: int | None = None, *, most: int = _MOST_BOXES
) -> Iterator[IsoBox]:
    """The sibling boxes from ``start`` to ``stop``; fewer than 8 bytes at the end are ignored.

    Args:
        data: the file, or a part of it.
        start: where the first box begins.
        stop: where the container ends; the data's end unless given.
        most: boxes in the row.

    Raises:
        IsoBoxError: a box is invalid.
        struct.error: the data ends within a 64-bit size.
    """
    stop = len(data) if stop is None else stop
    for _ in range(most):
        if start + 8 > stop:
            return
        size, name = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1:  # the size did not fit into 32 bits
            (size,) = struct.unpack_from(">Q", data, start + 8)
            head = 16
        elif size == 0:  # up to the end
            size = stop - start
        if size < head:
            raise IsoBoxError("a box smaller than its own header")
        yield IsoBox(name, start, start + head, start + size)
        start += size
    raise IsoBoxError("too many boxes")


def _boxes(data: bytes, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, start of the content and end of each sibling box in a picture."""
    try:
        for box in walk(data, start, stop):
            yield box.name, box.content, box.end
    except IsoBoxError as error:
        raise rejections.corrupt(_KIND, str(error)) from error


def examine(data: bytes, limits: Limits) -> tuple[int, int]:
    """Declared (width, height): the largest of any picture inside, before rotation.

    Raises:
        LimitExceeded: that size is over ``limits``.
        DamagedInput: a box reaches past the end, or past the box around it.
        UnsupportedInput: there is no still picture.
    """
    names = set()
    width = height = 0
    for name, start, stop in _boxes(data, 0, len(data)):
        names.add(name)
        if name == b"meta":
            width, height = _largest(data, start + 4, min(stop, len(data)))
            _check_names(data, start + 4, min(stop, len(data)))
            rejections.check_size(width, height, limits)
        if stop > len(data):
            raise rejections.truncated(_KIND)
    if b"meta" not in names:
        if b"moov" in names:
            raise rejections.variant("an image sequence without a still picture")
        raise rejections.truncated(_KIND)
    if not width or not height:
        raise rejections.corrupt(_KIND, "no picture has a size")
    return width, height


def _largest(data: bytes, start: int, stop: int) -> tuple[int, int]:
    """Largest width and height of any item below a ``meta`` box."""
    width = height = 0
    for container_start, container_stop in _inside(data, b"iprp", start, stop):
        for properties_start, properties_stop in _inside(
            data, b"ipco", container_start, container_stop
        ):
            for at, _ in _inside(data, b"ispe", properties_start, properties_stop):
                across, down = struct.unpack_from(">4xII", data, at)
                width, height = max(width, across), max(height, down)
    return width, height


def _inside(data: bytes, name: bytes, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Start of the content and end, at most ``stop``, of each box with a name."""
    for found, content, end in _boxes(data, start, stop):
        if found == name:
            yield content, min(end, stop)


def _check_names(data: bytes, start: int, stop: int) -> None:
    """Check that types and names of items are text: pi_heif 1.4.0 crashes otherwise.

    ISO/IEC 14496-12, section 8.11.6 (item information).
    """
    for at, end in _inside(data, b"iinf", start, stop):
        # A full box: its version gives the width of the count of entries.
        first = at + (6 if data[at] == 0 else 8)
        for name, entry, entry_end in _boxes(data, first, end):
            if name != b"infe":
                continue
            identity = 4 if data[entry] >= 3 else 2
            try:
                data[entry + 6 + identity : entry_end].decode()
            except UnicodeDecodeError as error:
                raise rejections.corrupt(_KIND, "the name of an item is not text") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageItem:
    """A coded picture of a file."""

    kind: bytes
    """``av01``, ``hvc1``, ``grid`` ..."""
    properties: Mapping[bytes, tuple[tuple[int, int], ...]]
    """Start of content and end of each property of the item, by type."""
    content: bytes
    """The beginning of its coded data."""
    premultiplied: bool = False
    """Its colours are stored multiplied with its alpha (MIAF, ISO/IEC 23000-22, 7.3.5.2)."""


_HEAD = 4096
"""Bytes of an item's data that are read; headers are at the beginning."""


def primary(data: bytes) -> ImageItem:
    """The primary picture; for a grid, its first tile with the properties of the whole.

    Raises:
        struct.error, IndexError: a read runs off the end.
        DamagedInput: a box is smaller than its header, or there are too many.
    """
    meta = next((part for part in _boxes(data, 0, len(data)) if part[0] == b"meta"), None)
    if meta is None:
        raise rejections.truncated(_KIND)
    tables = {name: (at, stop) for name, at, stop in _boxes(data, meta[1] + 4, meta[2])}
    at, _ = tables[b"pitm"] if b"pitm" in tables else (len(data), 0)
    number = _number(data, at + 4, 4 if data[at] else 2)
    item = _item(data, tables, number)
    multiplied = _referenced(data, tables, number, b"prem") is not None
    tile = _referenced(data, tables, number, b"dimg")
    if tile is None:
        return replace(item, premultiplied=multiplied)
    first = _item(data, tables, tile)
    properties = {**first.properties, **item.properties}
    return replace(first, properties=properties, premultiplied=multiplied)


_Tables = dict[bytes, tuple[int, int]]


def tone_map(data: bytes) -> tuple[bytes, tuple[int, int] | None] | None:
    """Data of the item that applies a gain map, with the map's width and height.

    ISO/IEC 23008-12, 6.6.2.4 (``tmap``): its inputs are the picture and the map.

    Returns:
        None if there is no such item.

    Raises:
        struct.error, IndexError: a read runs off the end.
        DamagedInput: a box is smaller than its header, or there are too many.
    """
    meta = next((part for part in _boxes(data, 0, len(data)) if part[0] == b"meta"), None)
    if meta is None:
        return None
    tables = {name: (at, stop) for name, at, stop in _boxes(data, meta[1] + 4, meta[2])}
    at, stop = tables.get(b"iinf", (0, 0))
    for name, entry, _ in _boxes(data, at + (6 if stop and data[at] == 0 else 8), stop):
        wide = 4 if data[entry] >= 3 else 2
        kind = data[entry + 6 + wide : entry + 10 + wide]
        if name == b"infe" and data[entry] >= 2 and kind == b"tmap":
            number = _number(data, entry + 4, wide)
            gain_map = _referenced(data, tables, number, b"dimg", place=1)
            shapes = _item(data, tables, gain_map or 0).properties.get(b"ispe", ())
            size = struct.unpack_from(">4xII", data, shapes[0][0]) if shapes else None
            return _content(data, tables, number), size
    return None


def _item(data: bytes, tables: _Tables, number: int) -> ImageItem:
    kind = b""
    at, stop = tables.get(b"iinf", (0, 0))
    for name, entry, _ in _boxes(data, at + (6 if stop and data[at] == 0 else 8), stop):
        wide = 4 if data[entry] >= 3 else 2
        if name == b"infe" and data[entry] >= 2 and _number(data, entry + 4, wide) == number:
            kind = bytes(data[entry + 6 + wide : entry + 10 + wide])
    found: dict[bytes, tuple[tuple[int, int], ...]] = {}
    at, stop = tables.get(b"iprp", (0, 0))
    parts = {name: (start, end) for name, start, end in _boxes(data, at, stop)}
    known = list(_boxes(data, *parts.get(b"ipco", (0, 0))))
    for index in _associated(data, *parts.get(b"ipma", (0, 0)), number):
        if 0 < index <= len(known):
            name, start, end = known[index - 1]
            found[name] = (*found.get(name, ()), (start, end))
    return ImageItem(kind=kind, properties=found, content=_content(data, tables, number))


def _associated(data: bytes, at: int, stop: int, number: int) -> list[int]:
    """Indexes, from 1, of the properties of an item."""
    if not stop:
        return []
    wide, long = (4 if data[at] else 2), bool(data[at + 3] & 1)
    count = _number(data, at + 4, 4)
    at += 8
    for _ in range(min(count, _MOST_ITEMS)):
        owner, links = _number(data, at, wide), data[at + wide]
        at += wide + 1
        if owner == number:
            step = 2 if long else 1
            mask = 0x7FFF if long else 0x7F  # the highest bit means: essential
            return [_number(data, at + step * link, step) & mask for link in range(links)]
        at += links * (2 if long else 1)
    return []


def _referenced(
    data: bytes, tables: _Tables, number: int, how: bytes, place: int = 0
) -> int | None:
    """An item that an item is derived from (``dimg``) or multiplied with (``prem``): the first,
    or the one at another ``place``."""
    at, stop = tables.get(b"iref", (0, 0))
    wide = 4 if stop and data[at] else 2
    for name, start, _ in _boxes(data, at + 4, stop):
        if name == how and _number(data, start, wide) == number:
            if place >= _number(data, start + wide, 2):
                return None
            return _number(data, start + wide + 2 + wide * place, wide)
    return None


def _content(data: bytes, tables: _Tables, number: int) -> bytes:
    """The beginning of an item's data, from its first extent."""
    at, stop = tables.get(b"iloc", (0, 0))
    if not stop:
        return b""
    version, sizes, more = data[at], data[at + 4], data[at + 5]
    offsets, lengths, base = sizes >> 4, sizes & 15, more >> 4
    index = more & 15 if version else 0
    wide = 4 if version == 2 else 2
    count = _number(data, at + 6, wide)
    at += 6 + wide
    for _ in range(min(count, _MOST_ITEMS)):
        owner = _number(data, at, wide)
        method = _number(data, at + wide, 2) & 15 if version else 0
        at += wide + (4 if version else 2)  # data reference 0: the data is in this file
        start = _number(data, at, base)
        extents = _number(data, at + base, 2)
        at += base + 2
        if owner == number and extents:
            start += _number(data, at + index, offsets)
            length = _number(data, at + index + offsets, lengths) or _HEAD
            if method == 1:
                start += tables.get(b"idat", (len(data), 0))[0]
            return bytes(data[start : start + min(length, _HEAD)])
        at += extents * (index + offsets + lengths)
    return b""


def _number(data: bytes, at: int, size: int) -> int:
    """An integer of the given number of bytes, all of which must exist."""
    if at + size > len(data):
        raise IndexError
    return int.from_bytes(data[at : at + size], "big")
