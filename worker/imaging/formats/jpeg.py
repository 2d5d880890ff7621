"""JPEG: the declared size, and a check that the picture is complete.

A file without its end marker may lack only these two bytes or half of the picture, and libjpeg
gives the same warning for both. So :func:`whole` decodes the file once more, at an eighth of its
size, with an end marker directly after its last scan: a complaint of the entropy decoder is then
about the picture. It does so only for files with a decoder warning or without the marker. How a
JPEG is recognised: ``sniff``.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import simplejpeg

from worker.domain.image import Format, Limits
from worker.imaging import rejections

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_END_MARKER = "no_end_marker"
"""Warning: the file has no end marker. The picture is complete."""

_END = b"\xff\xd9"
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""A marker within the data of a scan, other than stuffed bytes, restarts and fill (ITU-T T.81,
B.1.1.5)."""
_LEFT_OVER = re.compile(r"(\d+) extraneous bytes before marker 0xd9$")
_MOST_SEGMENTS = 10_000
_MOST_SCANS = 200
"""Most scans of a progressive JPEG. Encoders write about ten; each costs a pass over the whole
picture."""
_MIDDLE_GREY = 128
"""The value that libjpeg draws for missing data."""


def examine(data: bytes, limits: Limits) -> tuple[int, int]:
    """Declared (width, height): the segments up to the first start of frame. ITU-T T.81, annex B.

    Raises:
        LimitExceeded: that size is over ``limits``.
        DamagedInput: TRUNCATED, CORRUPT.
        UnsupportedInput: a lossless, arithmetic-coded or 12-bit file.
        struct.error, IndexError: a read runs off the end.
    """
    at = 2
    for _ in range(rejections.most_blocks(data)):
        if data[at] != 0xFF:  # decoders also skip stray bytes between segments
            at = data.find(b"\xff", at)
            if at < 0:
                raise rejections.truncated(Format.JPEG)
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD8:
            at += 2
        elif marker in (0xD9, 0xDA):
            raise rejections.corrupt(Format.JPEG, "no frame header before the picture data")
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            depth, height, width = struct.unpack_from(">BHH", data, at + 4)
            rejections.check_size(width, height, limits)
            if marker > 0xC2 or depth != 8:
                # libjpeg reads some of these variants, but no browser does.
                raise rejections.variant("a lossless, arithmetic-coded or 12-bit JPEG")
            if marker == 0xC2 and data.count(b"\xff\xda", at) > _MOST_SCANS:
                raise rejections.corrupt(Format.JPEG, "too many scans")
            return width, height
        else:
            at += 2 + max(2, struct.unpack_from(">H", data, at + 2)[0])
    raise rejections.corrupt(Format.JPEG, "too many segments")


def segments(data: bytes, start: int = 0) -> Iterator[tuple[int, int, bytes]]:
    """Marker, place and content of each segment before the first scan of the JPEG at ``start``.

    A truncated content ends the walk. ITU-T T.81, B.1.1.4.
    """
    at = start + 2
    for _ in range(_MOST_SEGMENTS):
        while data[at : at + 2] == b"\xff\xff":  # fill
            at += 1
        head = data[at : at + 4]
        if len(head) < 4 or head[0] != 0xFF or head[1] in (0x00, 0xD8, 0xD9, 0xDA):
            return
        marker, length = head[1], int.from_bytes(head[2:])
        if length < 2 or at + 2 + length > len(data):
            return
        yield marker, at + 4, bytes(data[at + 4 : at + 2 + length])
        at += 2 + length


def complete(data: bytes) -> bool:
    """Whether the first picture in a file has all its scans, followed by an end marker."""
    scans = _scans(data)
    return scans.marked and scans.complete


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scans:
    """The scans of the first picture in a file."""

    end: int
    """End of the data of the last scan, without zeros at the end of a file without end marker."""
    zeros: int
    """Number of those zeros, which are padding or belong to the data."""
    marked: bool
    """Whether an end marker follows."""
    complete: bool
    """Whether the scans contain every coefficient of every component to its last bit."""


def warnings(data: bytes) -> tuple[str, ...]:
    """Codes of harmless defects in the structure of a file."""
    return () if data[-2:] == _END or _scans(data).marked else (NO_END_MARKER,)


def whole(data: bytes, *, colours: str, look: bool) -> bytes:
    """Return a file with an end marker directly after its last scan.

    Without an end marker a picture is accepted only if the decoder finds no missing data. With an
    end marker, damage is within the data and is shown as browsers show it, unless scans or at least
    the last row of blocks are missing.

    Args:
        data: the file.
        colours: colour space that ``simplejpeg`` can decode without a conversion: ``GRAY`` or
            ``CMYK``.
        look: whether to decode even a file that ends with the marker.

    Raises:
        DamagedInput: TRUNCATED.
    """
    if not look and data[-2:] == _END:
        return data
    scans = _scans(data)
    mended = bytes(data[: scans.end]) + _END
    said = _complaint(mended, colours)
    if not scans.marked:
        if scans.complete and (said is None or _only_a_trailer(said, mended, colours)):
            return mended
        # The codes of a uniform corner are also zeros: they belong to the data if exactly that many
        # are needed.
        mended = bytes(data[: scans.end + scans.zeros]) + _END
        if not scans.zeros or not scans.complete or _complaint(mended, colours) is not None:
            raise rejections.truncated(Format.JPEG)
        return mended
    early = said is not None and "premature end" in said
    if early and (not scans.complete or _last_row_missing(mended, colours)):
        raise rejections.truncated(Format.JPEG)
    return data


def _complaint(data: bytes, colours: str) -> str | None:
    """libjpeg's first warning about a file, or None."""
    try:
        simplejpeg.decode_jpeg(data, colorspace=colours, min_factor=8)
    except ValueError as error:
        return str(error)
    return None


def _only_a_trailer(said: str, mended: bytes, colours: str) -> bool:
    """Whether the warning is about bytes after a complete picture.

    A decoder treats any bytes as data until the picture is full. If the bytes before the remaining
    ones are text, it has decoded the beginning of a text as the end of the picture: in real scan
    data, sixteen consecutive bytes are all below 128 only once in 65,536 files.
    """
    found = _LEFT_OVER.search(said)
    if found is None or _last_row_missing(mended, colours):
        return False
    used = len(mended) - len(_END) - int(found[1])
    return not mended[used - 16 : used].isascii()


def _last_row_missing(data: bytes, colours: str) -> bool:
    """Whether the last row of blocks is libjpeg's replacement for missing data."""
    try:
        pixels = simplejpeg.decode_jpeg(data, colorspace=colours, min_factor=8, strict=False)
    except ValueError:
        return False  # more than a warning: the real decoder reports it
    return bool((pixels[-1] == _MIDDLE_GREY).all())


def _scans(data: bytes) -> _Scans:
    """Walk the segments of a file to its end marker, or to the end of the data."""
    at, end, zeros, marked = 2, len(data), 0, False
    missing: dict[int, int] = {}
    try:
        for _ in range(_MOST_SEGMENTS):
            at = data.find(b"\xff", at)
            if at < 0:
                break
            marker = data[at + 1]
            if marker == 0xFF:
                at += 1
            elif marker == 0xD9:
                marked = True
                break
            elif marker == 0xD8 or 0x02 <= marker < 0xC0:
                break  # the start of another picture or of other data
            elif marker <= 0x01 or 0xD0 <= marker <= 0xD7:
                at += 2
            else:
                (length,) = struct.unpack_from(">H", data, at + 2)
                if marker in (0xC0, 0xC1, 0xC2):
                    # Missing bits of each of the 64 coefficients, one list per component.
                    missing = {data[at + 10 + 3 * n]: 2**64 - 1 for n in range(data[at + 9])}
                at += 2 + length
                if marker == 0xDA:
                    _count(data, at - length, missing)
                    found = _MARKER.search(data, at)
                    end = _without_zeros(data, at) if found is None else found.start()
                    zeros = len(data) - end if found is None else 0
                    at = end
    except (IndexError, struct.error):
        pass  # a truncated segment: data after the last scan does not matter
    return _Scans(end=end, zeros=zeros, marked=marked, complete=not any(missing.values()))


def _count(data: bytes, at: int, missing: dict[int, int]) -> None:
    """Remove from ``missing`` the coefficients that the scan with its header at ``at`` completes.

    ITU-T T.81, B.2.3 and G.1.1.1: components, spectral selection, successive approximation.
    """
    count = data[at + 2]
    first, last, bits = struct.unpack_from(">BBB", data, at + 3 + 2 * count)
    if bits & 0x0F == 0:
        for number in range(count):
            component = data[at + 3 + 2 * number]
            covered = (2 ** (last + 1) - 1) & ~(2**first - 1)
            missing[component] = missing.get(component, 0) & ~covered


def _without_zeros(data: bytes, start: int) -> int:
    """The end of a file without padding zeros."""
    tail = bytes(data[start:])
    end = len(tail.rstrip(b"\0"))
    # A byte of 0xFF in the data is followed by a zero that belongs to it.
    return start + end + (end < len(tail) and tail[:end].endswith(b"\xff"))
