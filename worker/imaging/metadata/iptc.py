"""IPTC-IIM: the words that newsrooms and older editors put into pictures.

The IIM 4.2 datasets that ``Tags`` has a field for are read, bare or in the Photoshop image
resource block that holds them in a JPEG.
"""

from __future__ import annotations

from collections.abc import Iterator

from worker.domain.image import Tags
from worker.imaging.metadata import values

_HEADER = b"Photoshop 3.0\0"
_RESOURCE = b"8BIM"
_IIM_RESOURCE = 0x0404
_MARKER = 0x1C
_APPLICATION_RECORD = 2
_TITLE, _KEYWORD, _DATE, _TIME, _BYLINE, _COPYRIGHT, _CAPTION = 5, 25, 55, 60, 80, 116, 120

# More than any editor writes; bounds the time that a hostile block can take.
_DATASETS_LIMIT = 2000
_RESOURCES_LIMIT = 1000


def read(block: bytes) -> Tags:
    """Read IIM datasets, bare (as TIFF has them) or in Photoshop resources (as JPEG has them).

    Never raises: reading stops at the first byte that is not what the standard asks for, and what
    was found before it counts.
    """
    found: dict[int, list[str]] = {}
    for number, value in _datasets(_iim(block)):
        found.setdefault(number, []).append(values.decode(value))

    def one(number: int) -> str | None:
        return values.clean(found[number][0]) if number in found else None

    date, time = one(_DATE), one(_TIME)
    return Tags(
        title=one(_TITLE),
        caption=one(_CAPTION),
        keywords=values.clean_keywords(found.get(_KEYWORD, [])),
        taken_at=values.iim_date(date, time) if date else None,
        artist=values.clean_list(found.get(_BYLINE, [])),
        copyright=one(_COPYRIGHT),
    )


def _iim(block: bytes) -> bytes:
    """Find the datasets: Photoshop File Formats Specification, "Image Resource Blocks"."""
    place = len(_HEADER) if block.startswith(_HEADER) else 0
    if not block.startswith(_RESOURCE, place):
        return block
    for _ in range(_RESOURCES_LIMIT):
        if not block.startswith(_RESOURCE, place) or len(block) < place + 7:
            break
        kind = int.from_bytes(block[place + 4 : place + 6])
        # A Pascal string: one byte of length, padded so that both together are even.
        place += 6 + (1 + block[place + 6] + 1) // 2 * 2
        size = int.from_bytes(block[place : place + 4])
        place += 4
        if kind == _IIM_RESOURCE:
            return block[place : place + size]
        place += size + size % 2
    return b""


def _datasets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and value of the application record's datasets (IIM 4.2, chapter 1.5)."""
    place = 0
    for _ in range(_DATASETS_LIMIT):
        if len(data) < place + 5 or data[place] != _MARKER:
            return
        record, number = data[place + 1], data[place + 2]
        size = int.from_bytes(data[place + 3 : place + 5])
        place += 5
        if size & 0x8000:  # extended dataset: the rest is the length of the length
            width = size & 0x7FFF
            if width > 4:
                return
            size = int.from_bytes(data[place : place + width])
            place += width
        if record == _APPLICATION_RECORD:
            # The limit is applied here too: ten megabytes of value are not worth copying.
            yield number, data[place : place + min(size, values.TEXT_LIMIT * 4)]
        place += size
