"""The boxes of HEIC and AVIF: declared size, whether all of the file is there, the primary item.

What lives here: a bounds-checked walk of ISO base media boxes. What may not: item decoding.
Sources: ISO/IEC 14496-12 sections 4.2 (boxes) and 8.11 (pitm, iloc, iinf, iref), ISO/IEC 23008-12
sections 6.5.3 (ispe) and 9.3 (ipma).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from worker.domain.image import Format
from worker.imaging import rejections

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from worker.domain.image import Limits

_MOST_BOXES = 4096
"""In one box. A grid of a phone has about a hundred tiles with a handful of properties."""

_MOST_ITEMS = 65_536
"""Entries of a table that are looked at: more than any real file has."""

_KIND = Format.HEIC
"""Named in messages for both formats: the container is the same."""


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
    for outer, properties_start, properties_stop in _boxes(data, start, stop):
        if outer != b"iprp":
            continue
        for middle, container_start, container_stop in _boxes(
            data, properties_start, min(properties_stop, stop)
        ):
            if middle != b"ipco":
                continue
            for name, at, _ in _boxes(data, container_start, min(container_stop, stop)):
                if name == b"ispe":
                    across, down = struct.unpack_from(">4xII", data, at)
                    width, height = max(width, across), max(height, down)
    return width, height


def _check_names(data: bytes, start: int, stop: int) -> None:
    """Types and names of items must be text: pi_heif 1.4.0 dies of one that is not.

    ISO/IEC 14496-12, section 8.11.6 (item information).
    """
    for outer, at, end in _boxes(data, start, stop):
        if outer != b"iinf":
            continue
        # A full box: its version says how wide the count of entries is that follows.
        first = at + (6 if data[at] == 0 else 8)
        for name, entry, entry_end in _boxes(data, first, min(end, stop)):
            if name == b"infe":
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
    """By type: start of content and end of each property that belongs to it."""
    content: bytes
    """The beginning of its coded data."""
    premultiplied: bool = False
    """Its colours are stored multiplied with its alpha (MIAF, ISO/IEC 23000-22, 7.3.5.2)."""


_HEAD = 4096
"""Bytes of an item's data that are looked at: headers stand in front."""


def primary(data: bytes) -> ImageItem:
    """The picture that is shown; of one put together of tiles, the first tile with what the whole
    says of itself.

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
            mask = 0x7FFF if long else 0x7F  # the highest bit says: essential
            return [_number(data, at + step * link, step) & mask for link in range(links)]
        at += links * (2 if long else 1)
    return []


def _referenced(data: bytes, tables: _Tables, number: int, how: bytes) -> int | None:
    """The first item that an item is derived from (``dimg``) or multiplied with (``prem``)."""
    at, stop = tables.get(b"iref", (0, 0))
    wide = 4 if stop and data[at] else 2
    for name, start, _ in _boxes(data, at + 4, stop):
        if name == how and _number(data, start, wide) == number:
            return _number(data, start + wide + 2, wide)
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
        at += wide + (4 if version else 2)  # and where the data is: in this file
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
    """A whole number of so many bytes, which must all be there."""
    if at + size > len(data):
        raise IndexError
    return int.from_bytes(data[at : at + size], "big")


def _boxes(data: bytes, at: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """(name, start of content, end) of the boxes side by side from ``at``; the last may
    reach past ``stop``, which is for the caller to judge."""
    for _ in range(_MOST_BOXES):
        if at + 8 > stop:
            return
        size, name = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1:  # the size did not fit into 32 bits
            (size,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        elif size == 0:  # up to the end
            size = stop - at
        if size < head:
            raise rejections.corrupt(_KIND, "a box smaller than its own header")
        yield name, at + head, at + size
        at += size
    raise rejections.corrupt(_KIND, "too many boxes")
