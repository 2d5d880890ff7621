"""The name of a colour profile, read from its description tag.

What lives here: a bounds-checked reader of one tag. What may not: colour conversion, which is
the renderer's. A profile comes from outside: a broken one has no name and harms nothing.
Source: ICC.1:2022 (sections 7.2 and 7.3, 10.15) and ICC.1:2001-04 (6.5.17).
"""

from __future__ import annotations

import struct

UNNAMED = "unnamed"
"""The name of a profile that does not say one, or says it unreadably."""

_TAG_TABLE = 128
"""Where the tag table stands, after the header."""

_MOST_TAGS = 100
"""Real profiles have about twenty."""

_LONGEST = 120
"""Characters of a name that are kept."""


def profile_name(profile: bytes) -> str:
    """Description of an ICC profile, at most 120 printable characters; never raises."""
    try:
        (count,) = struct.unpack_from(">I", profile, _TAG_TABLE)
        for index in range(min(count, _MOST_TAGS)):
            tag, offset, size = struct.unpack_from(">4sII", profile, _TAG_TABLE + 4 + 12 * index)
            if tag == b"desc":
                return _clean(_text(profile[offset : offset + size])) or UNNAMED
    except (struct.error, UnicodeDecodeError):
        pass
    return UNNAMED


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
