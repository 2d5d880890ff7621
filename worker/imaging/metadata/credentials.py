"""Content credentials: that a file has C2PA manifests, how many, and who made the last one.

They are recorded, not checked: signatures are not verified. They sign the bytes of the original,
so no rendition carries them. Where they lie and what they consist of: C2PA technical
specification 2.2, sections 11 (manifests, labels) and A.3 (embedding); boxes ISO/IEC 19566-5
(JUMBF); claims are maps in CBOR (RFC 8949).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from worker.domain.errors import Rejected
from worker.domain.image import ContentCredentials, Format
from worker.imaging import rejections
from worker.imaging.formats import isobmff, jpeg
from worker.imaging.metadata import values

VOID = "void"
"""The status of credentials in a rendition."""

_STORE_TYPE = b"c2pa"
_BMFF = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_MOST_CHUNKS = 100_000
_MOST_CLAIM = 262_144
"""Bytes of a claim that is read. Claims list hashes of their parts and have some thousand."""
_DEEPEST = 16
_UNREADABLE = (struct.error, IndexError, KeyError, ValueError, TypeError, Rejected)


def read_credentials(data: bytes, kind: Format) -> ContentCredentials | None:
    """The content credentials of a file, from its manifests; None without manifests. Never raises.

    Args:
        data: the file, whose structure the probe has walked.
        kind: its format: JPEG, PNG, WebP, AVIF, HEIC or JPEG XL; others have none.
    """
    try:
        store = _STORES[kind](data) if kind in _STORES else b""
    except _UNREADABLE:
        return None
    if not store:
        return None
    try:
        label, manifests = _superbox(store)
        if label != "c2pa":
            return None  # JUMBF of something else, such as a 360 degree picture
        labels = [(name, part) for name, part in map(_named, manifests) if name is not None]
    except _UNREADABLE:
        return _credentials(0, None, None)
    if not labels:
        return _credentials(0, None, None)
    active, content = labels[-1]
    return _credentials(len(labels), active, _generator(content))


def _credentials(count: int, active: str | None, generator: str | None) -> ContentCredentials:
    return ContentCredentials(
        manifests=count,
        active=values.clean(active or ""),
        generator=values.clean(generator or ""),
        renditions=VOID,
    )


# --- where the manifests lie ----------------------------------------------------------------------


def _jpeg(data: bytes) -> bytes:
    """APP11 segments of one box, in their order. ISO/IEC 19566-5, annex D.2."""
    packets: dict[bytes, dict[int, bytes]] = {}
    for marker, _, content in jpeg.segments(data):
        if marker == 0xEB and content[:2] == b"JP" and len(content) > 16:
            (number,) = struct.unpack_from(">I", content, 4)
            packets.setdefault(content[2:4], {}).setdefault(number, content[8:])
    for parts in packets.values():
        ordered = [parts[number] for number in sorted(parts)]
        # Each begins with the header of the whole box.
        head = 16 if ordered[0][:4] == b"\0\0\0\1" else 8
        box = ordered[0] + b"".join(part[head:] for part in ordered[1:])
        if _STORE_TYPE in box[:64]:
            return box
    return b""


def _png(data: bytes) -> bytes:
    at = 8
    for _ in range(_MOST_CHUNKS):
        if at + 12 > len(data):
            break
        length, name = struct.unpack_from(">I4s", data, at)
        if name == b"caBX":
            return bytes(data[at + 8 : at + 8 + length])
        at += 12 + length
    return b""


def _webp(data: bytes) -> bytes:
    at = 12
    for _ in range(_MOST_CHUNKS):
        if at + 8 > len(data):
            break
        name, length = struct.unpack_from("<4sI", data, at)
        if name == b"C2PA":
            return bytes(data[at + 8 : at + 8 + length])
        at += 8 + length + (length & 1)
    return b""


def _bmff(data: bytes) -> bytes:
    """A box of type ``uuid``: version and flags, purpose, the place of Merkle trees, manifests."""
    for box in isobmff.walk(data):
        if box.name == b"uuid" and data[box.content : box.content + 16] == _BMFF:
            content = bytes(data[box.content + 20 : box.end])
            purpose, found, rest = content.partition(b"\0")
            if found and purpose == b"manifest":
                return rest[8:]
    return b""


def _jxl(data: bytes) -> bytes:
    """The first superbox of a container; a bare codestream has no boxes."""
    if data[4:8] == b"JXL ":
        for box in isobmff.walk(data, most=rejections.most_blocks(data)):
            if box.name == b"jumb":
                return bytes(data[box.start : box.end])
    return b""


_STORES = {
    Format.JXL: _jxl,
    Format.JPEG: _jpeg,
    Format.PNG: _png,
    Format.WEBP: _webp,
    Format.AVIF: _bmff,
    Format.HEIC: _bmff,
}


# --- boxes ----------------------------------------------------------------------------------------


def _superbox(data: bytes) -> tuple[str | None, list[bytes]]:
    """Label and inner superboxes of the first box. ISO/IEC 19566-5, annex A."""
    box = next(isobmff.walk(data))
    if box.name != b"jumb":
        raise ValueError("no superbox")
    label, inner = None, []
    for number, part in enumerate(isobmff.walk(data, box.content, min(box.end, len(data)))):
        if number == 0:
            label = _label(data[part.content : part.end])
        elif part.end <= len(data):
            inner.append(data[part.start : part.end])
    return label, inner


def _label(description: bytes) -> str | None:
    """The label of a description box: type, switches, and a text that ends with a zero."""
    if len(description) < 17 or not description[16] & 0x02:
        return None
    return description[17:].partition(b"\0")[0].decode()


def _named(part: bytes) -> tuple[str | None, bytes]:
    try:
        return _superbox(part)[0], part
    except (ValueError, StopIteration):
        return None, part


def _generator(manifest: bytes) -> str | None:
    """The generator of a manifest: ``claim_generator_info``, or its counterpart in older claims."""
    try:
        for label, part in map(_named, _superbox(manifest)[1]):
            if label is not None and label.startswith("c2pa.claim"):
                (content,) = (piece for piece in _superbox(part)[1] if piece[4:8] == b"cbor")
                if len(content) > _MOST_CLAIM:
                    return None
                claim = _Cbor(content, 8).item()
                return _program(claim.get("claim_generator_info")) or _text(
                    claim.get("claim_generator")
                )
    except (*_UNREADABLE, AttributeError):
        pass
    return None


def _program(said: Any) -> str | None:
    """Name and version. Claims of version 1 have a list of them."""
    first = said[0] if isinstance(said, list) and said else said
    if not isinstance(first, dict):
        return None
    parts = [_text(first.get(name)) for name in ("name", "version")]
    return " ".join(part for part in parts if part) or None


def _text(said: Any) -> str | None:
    return said if isinstance(said, str) and said else None


class _Cbor:
    """A reader of one item. RFC 8949, section 3; bytes and numbers that are not used are None."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at

    def item(self, depth: int = 0) -> Any:
        """The next item.

        Raises:
            IndexError: it is cut off.
            ValueError: it is nested too deeply, or its text is not UTF-8.
        """
        if depth > _DEEPEST:
            raise ValueError("nested too deeply")
        kind, detail = divmod(self._data[self._at], 32)
        self._at += 1
        if kind == 7:
            self._at += {24: 1, 25: 2, 26: 4, 27: 8}.get(detail, 0)
            return None
        count = self._count(detail)
        if kind in (0, 1):
            return count
        if kind == 6:
            return self.item(depth + 1)
        if kind in (2, 3):
            found = b"".join(self._strings(count, depth))
            return found.decode() if kind == 3 else None
        if kind == 4:
            return list(self._items(count, depth))
        return {
            key if isinstance(key, str) else None: self.item(depth + 1)
            for key in self._items(count, depth)
        }

    def _count(self, detail: int) -> int | None:
        """The number in a head; None for an item that says its end."""
        if detail < 24:
            return detail
        if detail == 31:
            return None
        size = 1 << detail - 24
        part = self._data[self._at : self._at + size]
        if detail > 27 or len(part) < size:
            raise IndexError
        self._at += size
        return int.from_bytes(part)

    def _ended(self) -> bool:
        if self._data[self._at] != 0xFF:
            return False
        self._at += 1
        return True

    def _items(self, count: int | None, depth: int) -> Iterator[Any]:
        if count is None:
            while not self._ended():
                yield self.item(depth + 1)
        else:
            for _ in range(count):
                yield self.item(depth + 1)

    def _strings(self, count: int | None, depth: int) -> Iterator[bytes]:
        if count is None:
            while not self._ended():
                detail = self._data[self._at] % 32
                self._at += 1
                inner = self._count(detail)
                if inner is None:
                    raise ValueError("a piece without a length")
                yield from self._strings(inner, depth)
            return
        part = self._data[self._at : self._at + count]
        if len(part) < count:
            raise IndexError
        self._at += count
        yield part
