"""The first look at a file that says it is a video: its signature, and whether all of it is here.

A few bytes are read with the standard library, before any program is started. Codecs, tracks and
time are read by ffprobe.

Sources: ISO/IEC 14496-12 (boxes), RFC 8794 and 9559 (EBML, Matroska), AVI (RIFF) by its size field.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from worker.domain.errors import DamagedInput, Reason, UnsupportedInput
from worker.domain.image import Format
from worker.imaging.formats import isobmff
from worker.imaging.formats.sniff import is_playlist, sniff

_HEAD_BYTES = 4096
_PICTURE_BRANDS = frozenset(
    {b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
)
_TOP_BOXES = frozenset(
    {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"moof", b"sidx"}
)
_NEEDED_BOXES = frozenset({b"moov", b"mdat", b"moof"})
_INDEX_BOXES = frozenset({b"moov", b"moof"})
_MOST_BOXES = 100_000
_MOST_CHUNKS = 1000
_INDEX_ENTRY = 16
_INDEX_BYTES = 64 * 2**20
"""Of an AVI's index that are read: four million chunks."""
_TS_PACKET = 188
_FLV_HEADER = 11
"""Bytes of the header of a tag."""
_FLV_LEAST = 9 + 4 + _FLV_HEADER + 4
"""Bytes of the shortest file with a tag."""
_FLV_TAGS = frozenset({8, 9, 18})
"""Audio, pictures, script."""
_EBML = b"\x1aE\xdf\xa3"
_SEGMENT = 0x18538067
_SIGNATURES = (
    b"RIFF",
    b"RF64",
    b"OggS",
    b"fLaC",
    b"ID3",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF
    b"\x00\x00\x01\xba",  # MPEG program stream
    b"\x00\x00\x01\xb3",  # MPEG video
    b"\x06\x0e\x2b\x34",  # MXF
    b"DKIF",
    b"YUV4MPEG2",
    b".RMF",
    b"FORM",
    b"caff",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """Facts about a file from its bytes."""

    known: bool = False
    """It has the signature of a container that is known here. False says little: some streams
    have none."""
    readable: int | None = None
    """Of a fragmented MP4 that is cut off, the bytes that can be read; None of any other file."""
    torn: bool = False
    """The last packet of a transport stream or of an FLV is not whole. ffprobe leaves it out
    without a word."""
    avi_frames: Mapping[int, int] | None = field(default=None, repr=False)
    """How many frames the index of an AVI names, by the number of the stream; None if it is none,
    or has no index."""


def examine(path: Path) -> Container:
    """Look at a file once, from its signature to its end.

    Raises:
        DamagedInput: it is empty, a box or segment goes on beyond its end, or an MP4 has ended
            before its index.
        UnsupportedInput: it is a picture, a playlist or a description of a session.
    """
    size = path.stat().st_size
    if size == 0:
        raise DamagedInput(Reason.EMPTY, "the file has no bytes")
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        _refuse_others(head)
        if head[4:8] in _TOP_BOXES:
            if head[4:8] == b"ftyp" and head[8:12] in _PICTURE_BRANDS:
                raise UnsupportedInput(
                    Reason.FORMAT_NOT_ALLOWED, "it is a picture (HEIC or AVIF), not a video"
                )
            return Container(known=True, readable=_walk_boxes(file, size))
        if head.startswith(_EBML):
            _measure_segment(file, size)
            return Container(known=True)
        if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
            # OpenDML files go on in further RIFF chunks; the first must be whole in any case.
            _need(8 + int.from_bytes(head[4:8], "little"), size)
            return Container(known=True, avi_frames=_avi_frames(file))
        if _is_transport(head):
            return Container(known=True, torn=size % _TS_PACKET != 0)
        if head.startswith(b"FLV"):
            return Container(known=head[3:4] == b"\x01", torn=_is_torn_flv(file, size))
    return Container(known=head.startswith(_SIGNATURES))


def readable_bytes(path: Path) -> int | None:
    """How many bytes can be read of a recording that is a video as far as it goes: of a fragmented
    MP4 whose last box is not whole. None if it is no such thing.

    One that ends behind a whole fragment cannot be told from a finished one. ffprobe notices
    Matroska that is cut, ``Container.torn`` the rest.

    Raises:
        DamagedInput: as :func:`examine` says of an MP4.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(8)[4:8] not in _TOP_BOXES:
            return None
        return _walk_boxes(file, size)


def _refuse_others(head: bytes) -> None:
    """Reject a file whose first bytes are not those of a video, whatever its name. One JPEG may
    begin a bare stream."""
    picture = sniff(head)
    if picture is not None and picture is not Format.JPEG:
        raise UnsupportedInput(Reason.FORMAT_NOT_ALLOWED, f"it is a picture ({picture}), no video")
    if is_playlist(head):
        raise UnsupportedInput(
            Reason.FORMAT_NOT_ALLOWED, "it is a playlist or a script of other files, no video"
        )


def _walk_boxes(file: BinaryIO, size: int) -> int | None:
    """Top-level boxes: none that matters may end beyond the file, and the index must be there.

    In a fragmented MP4 (ISO/IEC 14496-12, 8.8) each fragment has its own index: whatever follows
    the first of them may be missing.

    Returns:
        Of a fragmented one that is cut off, how much can be read: up to the box that is not whole,
        and of pictures and audio all that is there.
    """
    at = 0
    indexed = extended = fragmented = False
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            for number, box in enumerate(isobmff.walk(data, most=size)):
                if number == _MOST_BOXES:
                    return None  # more than anybody writes: ffprobe will say what it makes of them
                indexed = indexed or box.name in _INDEX_BOXES
                if fragmented and box.name == bytes(4) and box.end == size:
                    return at  # room that was set aside, and nothing written to it
                if fragmented and box.end > size:
                    return size if box.name == b"mdat" else at
                if box.name in _NEEDED_BOXES:
                    _need(box.end, size)
                if box.name == b"moov":
                    extended = extended or _has(data, box, b"mvex")
                fragmented = fragmented or box.name == b"moof" or (box.name == b"mdat" and extended)
                at = box.end
        except isobmff.UNREADABLE:  # no box: ffprobe will say what it makes of it
            return at if fragmented else None
    if fragmented and at < size:
        return at
    if not indexed:
        raise DamagedInput(Reason.TRUNCATED, "the file ends before its index begins")
    return None


def _has(data: mmap.mmap, outer: isobmff.IsoBox, wanted: bytes) -> bool:
    """Whether a box has a certain child."""
    try:
        return any(box.name == wanted for box in isobmff.walk(data, outer.content, outer.end))
    except isobmff.UNREADABLE:
        return False


def _measure_segment(file: BinaryIO, size: int) -> None:
    """EBML header, then the segment that holds all: it may not end beyond the file."""
    file.seek(4)
    length = _vint(file)
    if length is None or length > size:
        return
    file.seek(length, os.SEEK_CUR)
    if int.from_bytes(file.read(4)) != _SEGMENT:
        return
    length = _vint(file)
    if length is not None:  # None: unknown, as live recordings have it
        _need(file.tell() + length, size)


def _vint(file: BinaryIO) -> int | None:
    """A variable-length size (RFC 8794, section 4); None for unknown or none."""
    first = file.read(1)
    if not first or first[0] == 0:
        return None
    width = 9 - first[0].bit_length()
    rest = file.read(width - 1)
    value = int.from_bytes(first + rest) & ((1 << 7 * width) - 1)
    return None if value == (1 << 7 * width) - 1 or len(rest) < width - 1 else value


def _need(end: int, size: int) -> None:
    if end > size:
        raise DamagedInput(
            Reason.TRUNCATED, f"the file has {size} bytes and its content goes on to {end}"
        )


def _is_torn_flv(file: BinaryIO, size: int) -> bool:
    if size < _FLV_LEAST:
        return False
    # Behind each tag stands its size: 11 bytes of header, then as many as that says
    # (Adobe Flash Video File Format 10.1, annex E.3).
    file.seek(-4, os.SEEK_END)
    length = int.from_bytes(file.read(4))
    if not _FLV_HEADER <= length <= size - 4:
        return True
    file.seek(-4 - length, os.SEEK_END)
    tag = file.read(4)
    return tag[0] & 0x1F not in _FLV_TAGS or int.from_bytes(tag[1:]) + _FLV_HEADER != length


def _avi_frames(file: BinaryIO) -> Mapping[int, int] | None:
    """Frames that the index names, by the number of the stream.

    Frames without bytes stand for the one before them and do not count (Microsoft, "AVI RIFF File
    Reference"). In a file of several RIFF chunks only those of the first count.
    """
    file.seek(12)
    for _ in range(_MOST_CHUNKS):
        name, length = file.read(4), int.from_bytes(file.read(4), "little")
        if name == b"idx1":
            index = file.read(min(length, _INDEX_BYTES))
            whole = index[: len(index) // _INDEX_ENTRY * _INDEX_ENTRY]
            entries = struct.iter_unpack("<4s8xI", whole)
            named = Counter(kind for kind, size in entries if size > 0)
            streams: Counter[int] = Counter()
            for kind, count in named.items():
                if kind[:2].isdigit() and kind[2:] in (b"dc", b"db"):
                    streams[int(kind[:2])] += count
            return streams
        if not name:
            return None
        file.seek(length + length % 2, os.SEEK_CUR)
    return None


def _is_transport(head: bytes) -> bool:
    """Whether packets of 188 bytes follow each other (ISO/IEC 13818-1)."""
    start = head[: _TS_PACKET * 3 + 1]
    whole = range(0, len(start), _TS_PACKET)
    return len(start) > _TS_PACKET and all(start[at] == 0x47 for at in whole)
