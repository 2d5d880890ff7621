"""Reads the colour declaration of a file from its header: PNG chunks, profile, nclx, AV1 stream.

A broken or absurd declaration is ignored, as browsers do; it never causes a rejection.

The order of the sources is that of browsers (seen in Chromium 156): PNG cICP, iCCP, sRGB, then gAMA
with cHRM (PNG specification, third edition, 4.3); AVIF and HEIC the ICC profile, then nclx, then
the AV1 sequence header (ISO/IEC 23000-22, 7.3.6.4; AV1 Image File Format 1.1). A ``colr`` box of
type ``rICC`` or ``prof`` is a profile, one of type ``nclx`` has code points; an item may have one
of each.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from worker.domain.colour import (
    CHROMATICITIES,
    Colour,
    ColourSource,
    Primaries,
    Transfer,
    from_code_points,
)
from worker.domain.errors import Rejected
from worker.domain.image import ColourSpace, Format
from worker.imaging.formats import isobmff
from worker.imaging.formats.jxl import JxlHeader
from worker.imaging.icc import profile_colour
from worker.imaging.primaries import is_wide

_UNREADABLE = (struct.error, IndexError, Rejected)

_SRGB_GAMMA = 1 / 2.2
_GAMMA_MARGIN = 0.05
"""A gAMA so near to 1/2.2 is sRGB: libpng's PNG_GAMMA_THRESHOLD, which browsers go by."""
_GAMMA_RANGE = (0.1, 10.0)
"""Plausible values of gAMA. Others would make everything black, or white."""

_TELEVISION = 2.4
"""ITU-R BT.1886: how a screen shows BT.709."""

_NEAR = 0.002
"""How far chromaticities may be from named ones: writers round to four places, or adapt."""


def declared(
    data: bytes, kind: Format, space: ColourSpace, icc: bytes | None, *, exif_srgb: bool = False
) -> Colour:
    """The colour of a picture's values, from the first source that declares it.

    Args:
        data: the file.
        kind: its format.
        space: of its pixels as stored.
        icc: its embedded profile.
        exif_srgb: its EXIF says sRGB (ColorSpace 1).
    """
    if space in (ColourSpace.CMYK, ColourSpace.LAB):
        source = ColourSource.DEFAULT if icc is None else ColourSource.ICC
        return Colour(source=source, primaries=None, transfer=None)
    chunks = _png_chunks(data) if kind is Format.PNG else {}
    found = _cicp(chunks)
    if found is None and icc is not None:
        found = profile_colour(icc)
    if found is None and b"sRGB" in chunks:
        found = Colour(source=ColourSource.SRGB)
    found = found or _gamma(chunks)
    if found is None and kind in (Format.AVIF, Format.HEIC):
        found = _code_points(data)
    if found is None and exif_srgb:
        found = Colour(source=ColourSource.EXIF)
    return found or Colour()


def of_jxl(header: JxlHeader, icc: bytes | None) -> Colour:
    """The meaning of the values that ``worker.imaging.loaders`` decodes a JPEG XL to.

    A file that stores light has no values yet: they are made as its code points say, or where it
    has a profile in their place, in Display P3 or sRGB, whichever holds the profile's colours.
    """
    if not header.profile:
        xy = header.colour.chromaticities
        if xy is not None and not _sensible(xy):
            return replace(header.colour, primaries=Primaries.BT709, chromaticities=None)
        return header.colour
    found = None if icc is None else profile_colour(icc)
    if not header.xyb:
        return found or Colour()
    narrow = header.grey or (
        found is not None and found.primaries is not None and not is_wide(found.xy)
    )
    primaries = Primaries.BT709 if narrow else Primaries.DISPLAY_P3
    return Colour(source=ColourSource.CICP, primaries=primaries)


# --- PNG ------------------------------------------------------------------------------------------

_LENGTHS = {b"cICP": 4, b"sRGB": 1, b"gAMA": 4, b"cHRM": 32}


def _png_chunks(data: bytes) -> dict[bytes, bytes]:
    """Colour chunks before the pixels with the right length and checksum, the first of a name."""
    found: dict[bytes, bytes] = {}
    at = 8
    # The chunk walk of worker.imaging.formats.structure has bounded their number already.
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        if name == b"IDAT":
            break
        if _LENGTHS.get(name) == length and name not in found:
            content = bytes(data[at + 8 : at + 8 + length])
            if data[at + 8 + length : at + 12 + length] == zlib.crc32(name + content).to_bytes(4):
                found[name] = content
        at += 12 + length
    return found


def _cicp(chunks: dict[bytes, bytes]) -> Colour | None:
    """Matrix 0 (pixels are RGB) and full range are the only ones that browsers follow."""
    primaries, transfer, matrix, full = chunks.get(b"cICP", b"\2\2\0\0")
    if matrix != 0 or full != 1:
        return None
    found = from_code_points(primaries, transfer, ColourSource.CICP, strict=True)
    if found is not None and found.transfer is Transfer.BT709:
        return replace(found, gamma=_TELEVISION)
    return found


def _gamma(chunks: dict[bytes, bytes]) -> Colour | None:
    """gAMA with or without cHRM; cHRM alone says nothing to browsers either."""
    if b"gAMA" not in chunks:
        return None
    (stored,) = struct.unpack(">I", chunks[b"gAMA"])
    gamma = stored / 100_000
    if not _GAMMA_RANGE[0] <= gamma <= _GAMMA_RANGE[1]:
        return None
    primaries, chromaticities = _primaries(chunks.get(b"cHRM", b""))
    usual = abs(gamma / _SRGB_GAMMA - 1) < _GAMMA_MARGIN
    if usual and primaries is Primaries.BT709:
        # PNG recommends these values beside sRGB, for readers that do not know that chunk.
        return Colour(source=ColourSource.GAMA)
    exact = 2.2 if usual else round(1 / gamma, 5)
    linear = abs(gamma - 1) < 1e-4
    return Colour(
        source=ColourSource.GAMA,
        primaries=primaries,
        transfer=Transfer.LINEAR if linear else Transfer.GAMMA,
        gamma=None if linear else exact,
        chromaticities=chromaticities,
    )


def _primaries(chunk: bytes) -> tuple[Primaries, tuple[float, ...] | None]:
    """The primaries of a cHRM chunk; BT.709 without one, or with an absurd one."""
    if not chunk:
        return Primaries.BT709, None
    xy = tuple(value / 100_000 for value in struct.unpack(">8I", chunk))
    for name, known in CHROMATICITIES.items():
        if all(abs(a - b) <= _NEAR for a, b in zip(xy, known, strict=True)):
            return name, None
    return (Primaries.CUSTOM, xy) if _sensible(xy) else (Primaries.BT709, None)


def _sensible(xy: tuple[float, ...]) -> bool:
    """White lies well inside a triangle that is not a line, and all are colours."""
    points = list(zip(xy[::2], xy[1::2], strict=True))
    white, *corners = points
    if white[1] < 0.05 or any(x + y > 1.001 for x, y in points):
        return False
    areas = [
        (b[0] - a[0]) * (white[1] - a[1]) - (b[1] - a[1]) * (white[0] - a[0])
        for a, b in zip(corners, corners[1:] + corners[:1], strict=True)
    ]
    return all(area > 0.005 for area in areas) or all(area < -0.005 for area in areas)


# --- AVIF and HEIC --------------------------------------------------------------------------------


def _code_points(data: bytes) -> Colour | None:
    try:
        picture = isobmff.primary(data)
        for start, stop in picture.properties.get(b"colr", ()):
            if data[start : start + 4] == b"nclx" and stop - start >= 10:
                primaries, transfer = struct.unpack_from(">4xHH", data, start)
                return from_code_points(primaries, transfer, ColourSource.NCLX)
        if picture.kind == b"av01":
            header = _sequence_header(picture.content)
            if header is not None and header.points is not None:
                return from_code_points(*header.points, ColourSource.BITSTREAM)
    except _UNREADABLE:
        pass
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleLayout:
    """How an AVIF stores what its decoder (libheif 1.21, libvips 8.18) hands out as it is."""

    limited_grey: bool = False
    """Grey from 16 to 235 of 255, or as much of more bits. Colours are brought to full range."""
    premultiplied: bool = False
    """Colours are multiplied with alpha."""


def storage(data: bytes) -> SampleLayout:
    """The corrections that the decoded pixels of an AVIF still need.

    The range of an ``nclx`` box stands before that of the AV1 sequence header.
    """
    try:
        picture = isobmff.primary(data)
        header = _sequence_header(picture.content) if picture.kind == b"av01" else None
        limited = header is not None and header.grey and not header.full
        if header is not None and header.grey:
            for start, stop in picture.properties.get(b"colr", ()):
                if data[start : start + 4] == b"nclx" and stop - start >= 11:
                    limited = not data[start + 10] & 0x80
                    break
        return SampleLayout(limited_grey=limited, premultiplied=picture.premultiplied)
    except _UNREADABLE:
        return SampleLayout()


_SEQUENCE_HEADER = 1
"""OBU type. AV1 specification, 6.2.2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """The colour fields of a sequence header."""

    points: tuple[int, int] | None
    """Primaries and transfer."""
    grey: bool
    full: bool
    """Values from 0 on, not from 16 of 255 on."""


def _sequence_header(content: bytes) -> _Header | None:
    """A still's first sequence header. AV1 specification, 5.3 to 5.5."""
    at = 0
    while at < len(content):
        head = content[at]
        at += 2 if head & 0x04 else 1  # the extension
        size, shift = 0, 0
        if not head & 0x02:
            size = len(content) - at
        else:
            while True:  # leb128; an endless one runs off the end
                byte = content[at]
                at += 1
                size |= (byte & 0x7F) << shift
                shift += 7
                if not byte & 0x80:
                    break
        if head >> 3 & 0x0F == _SEQUENCE_HEADER:
            return _colour_config(_bits(content[at : at + size]))
        at += size
    return None


def _bits(content: bytes) -> Iterator[int]:
    return (byte >> shift & 1 for byte in content for shift in range(7, -1, -1))


def _colour_config(bits: Iterator[int]) -> _Header | None:
    """Parse the colours of a sequence header; None for a header of a video."""

    def take(count: int) -> int:
        """A number of so many bits."""
        value = 0
        for _ in range(count):
            bit = next(bits, None)
            if bit is None:
                raise IndexError
            value = value << 1 | bit
        return value

    profile, _, reduced = take(3), take(1), take(1)
    if reduced:
        take(5)  # level
    else:
        if take(1):
            return None  # timing: of a video
        delay_said = take(1)
        for _ in range(take(5) + 1):
            take(12)
            take(1 if take(5) > 7 else 0)  # tier of high levels
            take(4 if delay_said and take(1) else 0)
    widths = take(4) + 1, take(4) + 1
    take(sum(widths))
    if not reduced and take(1):
        take(7)  # lengths of frame numbers
    take(3)  # superblock, intra filters
    if not reduced:
        _skip_tools(take)
    take(3)  # superresolution, cdef, restoration
    high = take(1)
    take(1 if profile == 2 and high else 0)
    grey = bool(profile != 1 and take(1))
    points = (take(8), take(8), take(8)) if take(1) else None
    # sRGB as it is (matrix 0) has no bit for its range: it is full.
    full = (not grey and points == (1, 13, 0)) or bool(take(1))
    return _Header(points=None if points is None else points[:2], grey=grey, full=full)


def _skip_tools(take: Callable[[int], int]) -> None:
    """Switches of moving pictures, which a full header has for stills too."""
    take(4)
    ordered = take(1)
    take(2 if ordered else 0)
    screen = 1 if take(1) else take(1)
    if screen and not take(1):
        take(1)
    take(3 if ordered else 0)
