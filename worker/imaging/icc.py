"""The name, primaries and curve of a colour profile, read from its tags with bounds checks.

A profile comes from outside: a broken one has no name and harms nothing.
Source: ICC.1:2022 (sections 7.2 and 7.3, 9.2.17, 10) and ICC.1:2001-04 (6.5.17).
"""

from __future__ import annotations

import struct
from functools import cache

import numpy as np

from worker.domain.colour import (
    CHROMATICITIES,
    Colour,
    ColourSource,
    Primaries,
    Transfer,
    from_code_points,
)
from worker.imaging.primaries import Matrix, to_d50

UNNAMED = "unnamed"
"""The name of a profile that does not say one, or says it unreadably."""

_TAG_TABLE = 128
"""Where the tag table stands, after the header."""

_MOST_TAGS = 100
"""Real profiles have about twenty."""

_LONGEST = 120
"""Characters of a name that are kept."""


_NEAR = 0.003
"""How far colorants may be from named ones: profiles adapt and round in their own ways."""


def profile_name(profile: bytes) -> str:
    """Description of an ICC profile, at most 120 printable characters; never raises."""
    try:
        return _clean(_text(_tag(profile, b"desc"))) or UNNAMED
    except (struct.error, UnicodeDecodeError):
        return UNNAMED


def profile_colour(profile: bytes) -> Colour | None:
    """Primaries and curve of an RGB or grey profile, as far as they have names; None if it is no
    profile at all. Never raises.

    A ``cicp`` tag that says PQ or HLG is believed, as browsers do: the rest of such a profile is
    for readers that do not know it.
    """
    if len(profile) < _TAG_TABLE + 4 or profile[36:40] != b"acsp":
        return None
    unknown = Colour(source=ColourSource.ICC, primaries=None, transfer=None)
    space = profile[16:20]
    if space not in (b"RGB ", b"GRAY"):
        return unknown
    try:
        points = _tag(profile, b"cicp")
        if points[:4] == b"cicp" and len(points) >= 12:
            said = from_code_points(points[8], points[9], ColourSource.ICC, strict=True)
            if said is not None and said.hdr:
                return said
        if _tag(profile, b"A2B0"):
            return unknown  # a table of colours, in which primaries and curves play no part
        curve, gamma = _curve(_tag(profile, b"rTRC" if space == b"RGB " else b"kTRC"))
        primaries = _colorants(profile) if space == b"RGB " else Primaries.BT709
    except (struct.error, IndexError):
        return unknown
    return Colour(source=ColourSource.ICC, primaries=primaries, transfer=curve, gamma=gamma)


def _tag(profile: bytes, wanted: bytes) -> bytes:
    """Contents of a tag; empty if it is not there."""
    (count,) = struct.unpack_from(">I", profile, _TAG_TABLE)
    for index in range(min(count, _MOST_TAGS)):
        tag, offset, size = struct.unpack_from(">4sII", profile, _TAG_TABLE + 4 + 12 * index)
        if tag == wanted:
            return profile[offset : offset + size]
    return b""


def _colorants(profile: bytes) -> Primaries | None:
    stored = [
        struct.unpack_from(">3i", _tag(profile, name), 8) for name in (b"rXYZ", b"gXYZ", b"bXYZ")
    ]
    off = np.abs(_known() - np.array(stored).T / 65536).max(axis=(1, 2))
    nearest = int(off.argmin())
    return list(CHROMATICITIES)[nearest] if off[nearest] <= _NEAR else None


@cache
def _known() -> Matrix:
    """Colorants of all named primaries, in their order."""
    return np.array([to_d50(xy) for xy in CHROMATICITIES.values()])


def _curve(tag: bytes) -> tuple[Transfer | None, float | None]:
    """The curve of a ``curv`` or ``para`` tag. ICC.1:2022, 10.6 and 10.18."""
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count <= 1:
            return _power(struct.unpack_from(">H", tag, 12)[0] / 256 if count else 1.0)
        middle = struct.unpack_from(">H", tag, 12 + 2 * round((count - 1) / 2))[0] / 65535
        quarter = struct.unpack_from(">H", tag, 12 + 2 * round((count - 1) / 4))[0] / 65535
        # Light of sRGB at a half and a quarter of the scale (IEC 61966-2-1).
        srgb = abs(middle - 0.2140) < 0.004 and abs(quarter - 0.0509) < 0.002
        return (Transfer.SRGB if srgb else None), None
    if tag[:4] == b"para":
        kind, gamma = struct.unpack_from(">H2xi", tag, 8)
        if kind == 0:
            return _power(gamma / 65536)
        (scale,) = struct.unpack_from(">i", tag, 16)
        srgb = abs(gamma / 65536 - 2.4) < 0.01 and abs(scale / 65536 - 1 / 1.055) < 0.001
        return (Transfer.SRGB if srgb else None), None
    return None, None


def _power(gamma: float) -> tuple[Transfer, float | None]:
    gamma = round(gamma, 2)
    return (Transfer.LINEAR, None) if gamma == 1 else (Transfer.GAMMA, gamma)


def _text(tag: bytes) -> str:
    if tag[:4] == b"desc":  # version 2: a counted, NUL-ended ASCII string
        (length,) = struct.unpack_from(">I", tag, 8)
        return tag[12 : 12 + length].decode("latin-1")
    if tag[:4] == b"mluc":  # version 4: records of language, country, length, offset; UTF-16BE
        records, width = struct.unpack_from(">II", tag, 8)
        best = None
        for index in range(min(records, _MOST_TAGS)):
            language, _, length, offset = struct.unpack_from(">2s2sII", tag, 16 + index * width)
            if best is None or language == b"en":
                best = tag[offset : offset + length].decode("utf-16-be", "ignore")
            if language == b"en":
                break
        return best or ""
    return ""


def _clean(text: str) -> str:
    text = text.partition("\0")[0]
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_LONGEST]
