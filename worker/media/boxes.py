"""The boxes of HEIC and AVIF: declared size, and whether all of the file is there.

What lives here: a bounds-checked walk of ISO base media boxes. What may not: item decoding.
Sources: ISO/IEC 14496-12 section 4.2 (boxes), ISO/IEC 23008-12 section 6.5.3 (ispe).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from worker.media import refuse
from worker.model import Format

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.model import Limits

_MOST_BOXES = 4096
"""In one box. A grid of a phone has about a hundred tiles with a handful of properties."""

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
            refuse.check_size(width, height, limits)
        if stop > len(data):
            raise refuse.truncated(_KIND)
    if b"meta" not in names:
        if b"moov" in names:
            raise refuse.variant("an image sequence without a still picture")
        raise refuse.truncated(_KIND)
    if not width or not height:
        raise refuse.corrupt(_KIND, "no picture has a size")
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
                    raise refuse.corrupt(_KIND, "the name of an item is not text") from error


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
            raise refuse.corrupt(_KIND, "a box smaller than its own header")
        yield name, at + head, at + size
        at += size
    raise refuse.corrupt(_KIND, "too many boxes")
