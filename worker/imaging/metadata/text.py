"""Text out of files: bytes of unknown encoding to short, clean strings.

What lives here: decoding, cleaning and bounding. What may not: knowledge of any tag or container.
Nothing here raises, whatever it is given.
"""

from __future__ import annotations

import codecs

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


def clean_keywords(values: list[str]) -> tuple[str, ...]:
    """Clean each keyword, drop repeats (case ignored), keep the order and the first hundred."""
    found: dict[str, str] = {}
    for value in values:
        if len(found) == KEYWORDS_LIMIT:
            break
        keyword = clean(value, limit=KEYWORD_LIMIT)
        if keyword is not None:
            found.setdefault(keyword.casefold(), keyword)
    return tuple(found.values())
