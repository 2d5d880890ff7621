"""What a player must be able to decode, in the words of ``CODECS`` (RFC 6381).

What lives here: reading of decoder configuration records in our own init segments. What may not:
anything else of a header (``fragments``).
"""

from __future__ import annotations

from worker.domain.errors import EngineError


def name_of(header: bytes) -> str:
    """The codec string of an init segment's video track.

    Raises:
        EngineError: it has no record of a codec that we encode to.
    """
    for name, reader in _READERS.items():
        at = header.find(name)
        if at >= 4:
            size = int.from_bytes(header[at - 4 : at])
            record = header[at + 4 : at - 4 + size]
            if len(record) >= 4:
                return reader(record)
    raise EngineError("an init segment of our own says nothing of its codec")


def _avc(record: bytes) -> str:
    """ISO/IEC 14496-15, 5.3.3.1: profile, constraints, level."""
    return f"avc1.{record[1]:02x}{record[2]:02x}{record[3]:02x}"


def _hevc(record: bytes) -> str:
    """ISO/IEC 14496-15, annex E.3."""
    if len(record) < 13:
        raise EngineError("an init segment of our own ends within its codec")
    space = ("", "A", "B", "C")[record[1] >> 6]
    tier = "H" if record[1] & 0x20 else "L"
    compatible = int(f"{int.from_bytes(record[2:6]):032b}"[::-1], 2)
    constraints = record[6:12].rstrip(b"\0")
    parts = [f"hvc1.{space}{record[1] & 0x1F}", f"{compatible:X}", f"{tier}{record[12]}"]
    return ".".join([*parts, *(f"{value:X}" for value in constraints)])


def _av1(record: bytes) -> str:
    """AV1 Codec ISO Media File Format Binding, section 5."""
    tier = "H" if record[2] & 0x80 else "M"
    depth = (10 if not record[2] & 0x20 else 12) if record[2] & 0x40 else 8
    return f"av01.{record[1] >> 5}.{record[1] & 0x1F:02}{tier}.{depth:02}"


_READERS = {b"avcC": _avc, b"hvcC": _hevc, b"av1C": _av1}
