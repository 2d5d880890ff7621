"""Fragmented MP4 that our own encoders wrote: taken apart and put together without re-encoding.

Read are the few boxes that tell where a fragment is, how long it lasts and when it begins (ISO/IEC
14496-12, 8.8). Files of users are never read here; ``container`` looks at those.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.domain.errors import EngineError
from worker.imaging.formats import isobmff

_NOT_SYNC = 0x00010000
"""``sample_is_non_sync_sample`` (8.8.3.1)."""
_UNITY = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
_TRACK_DURATION, _TRACK_SIZE, _TRACK_FLAGS = 0x8, 0x10, 0x20
_RUN_OFFSET, _RUN_FIRST_FLAGS = 0x1, 0x4
_RUN_DURATION, _RUN_SIZE, _RUN_FLAGS, _RUN_COMPOSITION = 0x100, 0x200, 0x400, 0x800


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """One ``moof`` with its ``mdat``."""

    position: int
    """Of the ``moof`` in the file, bytes."""
    size: int
    """Of both boxes, bytes."""
    sequence_at: int
    """Where its number is, from the beginning of the ``moof``."""
    time_at: int
    """Where its beginning in ticks is, likewise; 64 bits."""
    data_at: int
    """Where its first sample is, likewise."""
    sizes: tuple[int, ...]
    """Bytes of each sample."""
    durations: tuple[int, ...]
    """Ticks of each sample."""
    sync: bool
    """It can be decoded without those before it."""

    @property
    def ticks(self) -> int:
        """How long it lasts."""
        return sum(self.durations)


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One file with one track."""

    path: Path
    header: bytes
    """``ftyp`` and ``moov``: what an init segment is."""
    fragments: tuple[Fragment, ...]

    @property
    def samples(self) -> int:
        """In the whole file."""
        return sum(len(fragment.sizes) for fragment in self.fragments)

    @property
    def timescale(self) -> int:
        """Ticks a second."""
        body = find(self.header, b"moov", b"trak", b"mdia", b"mdhd")
        at = 20 if body[0] == 1 else 12
        return int(struct.unpack_from(">I", body, at)[0])

    @property
    def delay(self) -> int:
        """Ticks of the media that come before what is shown (the edit list); mostly 0."""
        try:
            body = find(self.header, b"moov", b"trak", b"edts", b"elst")
        except EngineError:
            return 0
        code, at = (">q", 16) if body[0] == 1 else (">i", 12)
        return int(struct.unpack_from(code, body, at)[0])


def boxes(
    data: bytes | mmap.mmap, start: int = 0, stop: int | None = None
) -> Iterator[tuple[bytes, int, int]]:
    """(Name, first byte of the content, end) of each box in a row.

    Raises:
        EngineError: a box reaches past the end.
    """
    stop = len(data) if stop is None else stop
    try:
        for box in isobmff.walk(data, start, stop, most=stop):
            if box.end > stop:
                raise EngineError(f"a box {box.name!r} of our own file has an impossible size")
            yield box.name, box.content, box.end
            start = box.end
    except isobmff.UNREADABLE as error:
        raise EngineError("a box of our own file has an impossible size") from error
    if start < stop:
        raise EngineError("a fragmented file of our own ends within a box")


def find(data: bytes, *path: bytes) -> bytes:
    """Content of the first box at a path of names.

    Raises:
        EngineError: there is none.
    """
    start, stop = 0, len(data)
    for step in path:
        for name, begin, end in boxes(data, start, stop):
            if name == step:
                start, stop = begin, end
                break
        else:
            raise EngineError(f"our own file has no box {b'/'.join(path)!r}")
    return data[start:stop]


def read(path: Path) -> Track:
    """Read the structure of a file; its samples stay where they are.

    Raises:
        EngineError: it is not what our encoders write.
    """
    if not path.stat().st_size:
        raise EngineError(f"{path.name} is empty")
    header = moof = b""
    start = 0
    found: list[Fragment] = []
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for name, _, end in boxes(data):
            if name == b"ftyp":
                header += data[start:end]
            elif name == b"moov":
                header += _upright(data[start:end])
            elif name == b"moof":
                moof = data[start:end]
            elif name == b"mdat" and moof:
                found.append(_fragment(moof, start - len(moof), len(moof) + end - start))
                moof = b""
            start = end
    if not header or moof:
        raise EngineError(f"{path.name} is not a whole fragmented file")
    return Track(path=path, header=header, fragments=tuple(found))


def _upright(moov: bytes) -> bytes:
    """Without a turn for players: pictures are upright as they are.

    ffmpeg hands on the turn of a source that it was told not to make (8.3.2, the matrix of tkhd).
    """
    at = moov.find(b"tkhd") + 4
    if at < 8:
        raise EngineError("our own file has no track")
    at += 52 if moov[at] == 1 else 40
    return moov[:at] + _UNITY + moov[at + len(_UNITY) :]


def without_edits(header: bytes) -> bytes:
    """An init segment less the edit list of its track."""
    return _without(header, (b"moov", b"trak", b"edts"))


def _without(data: bytes, path: Sequence[bytes]) -> bytes:
    """A row of boxes less those at a path of names."""
    kept = []
    for name, begin, end in boxes(data):
        body = data[begin:end]
        if name != path[0]:
            kept.append(_box(name, body))
        elif len(path) > 1:
            kept.append(_box(name, _without(body, path[1:])))
    return b"".join(kept)


def _fragment(moof: bytes, position: int, size: int) -> Fragment:
    try:
        return _parse(moof, position, size)
    except (struct.error, StopIteration) as error:
        raise EngineError("a fragment of our own file cannot be read") from error


def _parse(moof: bytes, position: int, size: int) -> Fragment:
    inner = {name: (begin, end) for name, begin, end in boxes(moof, 8)}
    traf = {name: (begin, end) for name, begin, end in boxes(moof, *inner[b"traf"])}
    if not {b"tfhd", b"tfdt", b"trun"} <= traf.keys() or moof[traf[b"tfdt"][0]] != 1:
        raise EngineError("a fragment of our own file lacks a box")
    at = traf[b"tfhd"][0]
    flags = struct.unpack_from(">I", moof, at)[0] & 0xFFFFFF
    at += 8 + (8 if flags & 0x1 else 0) + (4 if flags & 0x2 else 0)
    default: dict[int, int] = {}
    for flag in (_TRACK_DURATION, _TRACK_SIZE, _TRACK_FLAGS):
        if flags & flag:
            default[flag] = struct.unpack_from(">I", moof, at)[0]
            at += 4
    at = traf[b"trun"][0]
    flags, count = struct.unpack_from(">II", moof, at)
    at += 8
    data_at = struct.unpack_from(">i", moof, at)[0]
    at += 4
    first = default.get(_TRACK_FLAGS, 0)
    if flags & _RUN_FIRST_FLAGS:
        first = struct.unpack_from(">I", moof, at)[0]
        at += 4
    sizes, durations = [], []
    columns = [
        flag for flag in (_RUN_DURATION, _RUN_SIZE, _RUN_FLAGS, _RUN_COMPOSITION) if flags & flag
    ]
    for number, values in enumerate(
        struct.iter_unpack(f">{len(columns)}I", moof[at : at + 4 * len(columns) * count])
        if columns
        else iter([()] * count)
    ):
        row = dict(zip(columns, values, strict=True))
        sizes.append(row.get(_RUN_SIZE, default.get(_TRACK_SIZE, 0)))
        durations.append(row.get(_RUN_DURATION, default.get(_TRACK_DURATION, 0)))
        if number == 0:
            first = row.get(_RUN_FLAGS, first)
    return Fragment(
        position=position,
        size=size,
        sequence_at=inner[b"mfhd"][0] + 4,
        time_at=traf[b"tfdt"][0] + 4,
        data_at=data_at,
        sizes=tuple(sizes),
        durations=tuple(durations),
        sync=not first & _NOT_SYNC,
    )


def moved(track: Track, fragments: Sequence[Fragment], *, number: int, time: int) -> bytes:
    """The bytes of some fragments, numbered from ``number`` and beginning at ``time`` ticks."""
    parts = []
    with track.path.open("rb") as file:
        for fragment in fragments:
            file.seek(fragment.position)
            data = bytearray(file.read(fragment.size))
            if len(data) != fragment.size:
                raise EngineError(f"{track.path.name} has become shorter while it was read")
            struct.pack_into(">I", data, fragment.sequence_at, number)
            struct.pack_into(">Q", data, fragment.time_at, time)
            parts.append(bytes(data))
            number += 1
            time += fragment.ticks
    return b"".join(parts)


def built(
    sizes: Sequence[int], durations: Sequence[int], data: bytes, *, number: int, time: int
) -> bytes:
    """One new fragment of samples that can all be decoded alone, as those of AAC can."""
    flags = 0x01000000 | _RUN_OFFSET | _RUN_DURATION | _RUN_SIZE  # version 1
    rows = b"".join(
        struct.pack(">II", duration, size) for duration, size in zip(durations, sizes, strict=True)
    )
    header = _box(b"mfhd", struct.pack(">II", 0, number))
    # default-base-is-moof and default_sample_flags: depends on no other sample.
    tfhd = _box(b"tfhd", struct.pack(">III", 0x020000 | _TRACK_FLAGS, 1, 0x02000000))
    tfdt = _box(b"tfdt", struct.pack(">IQ", 0x01000000, time))
    length = 8 + len(header) + 8 + len(tfhd) + len(tfdt) + 8 + 12 + len(rows)
    trun = _box(b"trun", struct.pack(">III", flags, len(sizes), length + 8) + rows)
    return _box(b"moof", header + _box(b"traf", tfhd + tfdt + trun)) + _box(b"mdat", data)


def _box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), name) + body
