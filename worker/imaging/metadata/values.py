"""Texts and dates as files write them, to short clean strings and ISO 8601. Nothing here raises.

A date that cannot be, or is outside 1826 to 2100, is None: the first photograph was taken in 1826,
and a camera whose clock says 2107 has no clock.
"""

from __future__ import annotations

import codecs
import re
from datetime import datetime

TEXT_LIMIT = 2000
"""Most characters kept of any text: the length of an IPTC caption (IIM 4.2, dataset 2:120)."""

KEYWORD_LIMIT = 200
"""Most characters kept of one keyword; IIM 4.2 allows 64 bytes, XMP sets no bound."""

KEYWORDS_LIMIT = 100
"""Most keywords kept."""

# Cutting before cleaning keeps the cost bounded; the factor leaves room for what cleaning removes.
_SLACK = 4

_WHITE_CONTROLS = "\t\n\v\f\r\x1c\x1d\x1e\x1f\x85"
# Bidirectional overrides, embeddings and isolates can make a text read as another one; a byte
# order mark and the replacement character say nothing. Joiners stay: scripts and emoji need them.
_DROPPED = (
    *range(0x20),
    *range(0x7F, 0xA0),
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
    0xFEFF,
    0xFFFD,
)
_CLEANING: dict[int, str | None] = {
    **dict.fromkeys(_DROPPED),
    **{ord(character): " " for character in _WHITE_CONTROLS},
}


def decode(data: bytes) -> str:
    """Read ``data`` as UTF-8 if it is that, else as Windows-1252; at most four times the limit.

    EXIF and IPTC text is ASCII by standard and one of these two in practice. A character cut in
    half at the end of UTF-8, as fixed-length fields leave it, is dropped.
    """
    head = data[: TEXT_LIMIT * _SLACK]
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoded = decoder.decode(head)
    except UnicodeDecodeError:
        return head.decode("cp1252", "ignore")
    unfinished, _ = decoder.getstate()
    # An accented letter at the end of plain text is no half of anything: "André" in Windows-1252.
    if unfinished and decoded.isascii():
        return head.decode("cp1252", "ignore")
    return decoded


def clean(value: str, *, limit: int = TEXT_LIMIT) -> str | None:
    """Drop what cannot be shown, fold white space to single spaces, cut at ``limit`` characters.

    Returns None if nothing is left.
    """
    head = value[: limit * _SLACK].encode("utf-8", "ignore").decode("utf-8")  # lone surrogates go
    return " ".join(head.translate(_CLEANING).split())[:limit].strip() or None


def clean_list(names: list[str]) -> str | None:
    """Clean each name and join them with commas; None if nothing is left."""
    return clean(", ".join(filter(None, map(clean, names))))


def clean_keywords(keywords: list[str]) -> tuple[str, ...]:
    """Clean each keyword, drop repeats (case ignored), keep the order and the first hundred."""
    found: dict[str, str] = {}
    for value in keywords:
        if len(found) == KEYWORDS_LIMIT:
            break
        keyword = clean(value, limit=KEYWORD_LIMIT)
        if keyword is not None:
            found.setdefault(keyword.casefold(), keyword)
    return tuple(found.values())


# --- dates ----------------------------------------------------------------------------------------

_EARLIEST, _LATEST = 1826, 2100

# Some cameras and editors write other separators than the colons CIPA DC-008 asks for.
_EXIF = re.compile(r"(\d{4})[:/.-](\d\d)[:/.-](\d\d)[ T](\d\d):(\d\d):(\d\d)", re.ASCII)
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)", re.ASCII)
# XMP part 1, 8.2.1.2: a profile of ISO 8601 that may stop after the year, month, day or minute.
_XMP = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.\d{1,9})?)?"
    r"(Z|[+-]\d\d:\d\d)?)?)?)?",
    re.ASCII,
)
# IIM 4.2, datasets 2:55 (CCYYMMDD, zeros for an unknown month or day) and 2:60 (HHMMSS±HHMM).
_IIM_DATE = re.compile(r"(\d{4})(\d\d)(\d\d)", re.ASCII)
_IIM_TIME = re.compile(r"(\d\d)(\d\d)(\d\d)([+-]\d{4})?", re.ASCII)
_WHOLE = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d:\d\d:\d\d)([+-]\d\d:\d\d)?", re.ASCII)


def exif_date(moment: str, offset: str | None) -> str | None:
    """Read ``YYYY:MM:DD HH:MM:SS`` and, if the file gives one, an offset as ``+HH:MM``."""
    found = _EXIF.fullmatch(moment.strip())
    if found is None:
        return None
    return _checked(*found.groups(), offset=offset)


def xmp_date(value: str) -> str | None:
    """Read an XMP date; one that stops early stays that short (``2024-05``)."""
    found = _XMP.fullmatch(value.strip())
    if found is None:
        return None
    year, month, day, hour, minute, second, zone = found.groups()
    if hour is None:
        return _checked_date(year, month, day)
    return _checked(year, month, day, hour, minute, second or "00", offset=zone)


def iim_date(date: str, time: str | None) -> str | None:
    """Read an IPTC date and, if there is one, its time."""
    found = _IIM_DATE.fullmatch(date.strip())
    if found is None:
        return None
    year, month, day = found.groups()
    clock = _IIM_TIME.fullmatch(time.strip()) if time else None
    if clock is None or day == "00":
        known_month = None if month == "00" else month
        return _checked_date(year, known_month, None if day == "00" else day)
    hour, minute, second, zone = clock.groups()
    return _checked(year, month, day, hour, minute, second, offset=zone)


def exif_text(taken_at: str) -> tuple[str, str | None] | None:
    """Turn a whole ISO 8601 moment into EXIF's date and offset; None for one that stops early."""
    found = _WHOLE.fullmatch(taken_at)
    if found is None:
        return None
    year, month, day, clock, offset = found.groups()
    return f"{year}:{month}:{day} {clock}", offset


def _checked(*parts: str, offset: str | None) -> str | None:
    """Check year to second, all six of them."""
    year, month, day, hour, minute, second = map(int, parts)
    try:
        # EXIF times are local; an offset is added as text.
        moment = datetime(year, month, day, hour, minute, second)  # noqa: DTZ001
    except ValueError:
        return None
    if not _EARLIEST <= moment.year <= _LATEST:
        return None
    return moment.isoformat() + _checked_offset(offset)


def _checked_date(year: str, month: str | None, day: str | None) -> str | None:
    whole = _checked(year, month or "01", day or "01", "00", "00", "00", offset=None)
    if whole is None:
        return None
    return "-".join(part for part in (year, month, day if month else None) if part)


def _checked_offset(offset: str | None) -> str:
    """An unusable offset leaves a local time, which EXIF's are anyway."""
    text = (offset or "").strip()
    if text == "Z":
        return "+00:00"
    found = _OFFSET.fullmatch(text)
    if found is None:
        return ""
    sign, hours, minutes = found.groups()
    # The zones in use run from -12:00 to +14:00.
    if int(hours) > 14 or int(minutes) > 59:
        return ""
    return f"{sign}{hours}:{minutes}"
