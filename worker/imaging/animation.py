"""Frame delays of animations: as players show them, as GIF can store them, and as files contain
them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import accumulate

from worker.domain.image import Format
from worker.imaging import rejections
from worker.imaging.formats import jxl

_SHORT_MS, _SHOWN_MS = 10, 100
"""A frame of at most 10 ms is shown for 100 ms by Chromium, Firefox and Safari, in GIF and WebP
alike (WebKit, ``ImageSource::frameDurationAtIndex``, bug 36082, whose rule the others share)."""

_TICK_MS = 10
"""GIF counts delays in hundredths of a second (GIF89a specification, section 23)."""
_LEAST_TICKS = 2
"""Least delay of a GIF's frame: players show a single tick for 100 ms."""
_MOST_TICKS = 0xFFFF


def shown_ms(delay: int) -> int:
    """Milliseconds for which players show a frame with a stored delay of ``delay`` milliseconds."""
    return _SHOWN_MS if delay <= _SHORT_MS else delay


def gif_timing(delays: Sequence[int]) -> list[tuple[int, int]]:
    """Fit an animation into the ticks of GIF.

    Each frame begins at the tick nearest to its time, so that rounding never adds up. A frame that
    would get a single tick is left out in favour of its neighbour, and one that is longer than a
    GIF can say (655.35 s) is repeated.

    Args:
        delays: of each frame, milliseconds, as players show them.

    Returns:
        Index of the frame and its delay in milliseconds; all together within one tick of
        ``delays``, a last frame of one tick apart.
    """
    starts = [round(edge / _TICK_MS) for edge in accumulate(delays, initial=0)]
    last = len(delays) - 1
    kept: list[tuple[int, int]] = []
    for index, start in enumerate(starts[:-1]):
        if not kept or start - kept[-1][1] >= _LEAST_TICKS:
            kept.append((index, start))
        elif index == last and len(kept) > 1:
            # An animation that ends stays on its last frame.
            kept[-1] = (index, kept[-1][1])
    ends = [start for _, start in kept[1:]] + [max(starts[-1], kept[-1][1] + _LEAST_TICKS)]
    timing = []
    for (index, start), end in zip(kept, ends, strict=True):
        whole, rest = divmod(end - start, _MOST_TICKS)
        ticks = [_MOST_TICKS] * whole + [rest] * (rest > 0)
        timing += [(index, each * _TICK_MS) for each in ticks]
    return timing


def written_delays(data: bytes, kind: Format) -> tuple[int, ...]:
    """Delays in milliseconds of the frames of a file that this process has written; () for a still.

    Encoders join equal neighbours into one frame, so a file may have fewer than were given. Only
    block headers are read.
    """
    match kind:
        case Format.GIF:
            found = _gif(data)
        case Format.WEBP:
            found = _webp(data)
        case Format.JXL:
            found = jxl.read(data, rejections.UNLIMITED).durations
        case _:  # no other format is written as an animation
            found = ()
    return found if len(found) > 1 else ()


def _gif(data: bytes) -> tuple[int, ...]:
    """GIF89a specification, sections 17 to 23."""

    def colours(flags: int) -> int:
        return 3 << (flags & 7) + 1 if flags & 0x80 else 0

    delays = []
    ticks = 0
    at = 13 + colours(data[10])
    while data[at] != 0x3B:
        if data[at] == 0x2C:
            delays.append(ticks * _TICK_MS)
            at += 11 + colours(data[at + 9])
        else:
            if data[at + 1] == 0xF9:
                (ticks,) = struct.unpack_from("<H", data, at + 4)
            at += 2
        while data[at]:
            at += data[at] + 1
        at += 1
    return tuple(delays)


def _webp(data: bytes) -> tuple[int, ...]:
    """RFC 9649, section 2.7.1.1: a frame's duration stands behind four fields of 24 bits."""
    delays = []
    at = 12
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        if name == b"ANMF":
            delays.append(int.from_bytes(data[at + 20 : at + 23], "little"))
        at += 8 + size + (size & 1)
    return tuple(delays)
