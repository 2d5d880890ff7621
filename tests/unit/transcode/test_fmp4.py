"""Fragments taken apart and built."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from worker.domain.errors import EngineError
from worker.video import fmp4, package


def test_a_built_fragment_reads_back(tmp_path: Path) -> None:
    """Sizes, lengths and the place of the samples come back as they went in."""
    header = struct.pack(">I4s", 16, b"ftyp") + b"isom0000"
    data = fmp4.built([3, 5], [1024, 464], b"abcdefgh", number=7, time=2048)
    path = tmp_path / "x.mp4"
    path.write_bytes(header + data)
    track = fmp4.read(path)
    (one,) = track.fragments
    assert (track.header, one.sizes, one.durations, one.sync) == (header, (3, 5), (1024, 464), True)
    at = one.position + one.data_at
    assert path.read_bytes()[at : at + 8] == b"abcdefgh"


def test_a_moved_fragment_differs_in_number_and_time_only(tmp_path: Path) -> None:
    """Moving twice to the same place gives the same bytes; the samples stay."""
    path = tmp_path / "x.mp4"
    header = struct.pack(">I4s", 8, b"ftyp")
    first = fmp4.built([4], [10], b"same", number=1, time=0)
    path.write_bytes(header + first)
    track = fmp4.read(path)
    assert fmp4.moved(track, track.fragments, number=1, time=0) == first
    there = fmp4.moved(track, track.fragments, number=9, time=1 << 40)
    assert there == fmp4.built([4], [10], b"same", number=9, time=1 << 40)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0",
        struct.pack(">I4s", 4, b"ftyp"),
        struct.pack(">I4s", 99, b"ftyp"),
        struct.pack(">I4s", 8, b"ftyp") + struct.pack(">I4s", 8, b"moof"),
        fmp4.built([4], [10], b"same", number=1, time=0)[:-1],
    ],
)
def test_a_broken_file_of_ours_is_a_defect_with_a_code(tmp_path: Path, data: bytes) -> None:
    """Truncated files are reported, not joined."""
    path = tmp_path / "x.mp4"
    path.write_bytes(data)
    with pytest.raises(EngineError):
        fmp4.read(path)


def box(name: bytes, body: bytes = b"") -> bytes:
    """One box."""
    return struct.pack(">I4s", 8 + len(body), name) + body


def test_an_edit_list_is_left_out() -> None:
    """Only the edit list is removed, and the sizes of the enclosing boxes are updated."""
    before, after, edits = box(b"tkhd", b"1"), box(b"mdia", b"23"), box(b"edts", box(b"elst"))

    def header(inner: bytes) -> bytes:
        return box(b"ftyp", b"iso5") + box(b"moov", box(b"mvhd") + box(b"trak", inner))

    plain = header(before + after)
    assert fmp4.without_edits(header(before + edits + after)) == plain
    assert fmp4.without_edits(plain) == plain


def _record(name: bytes, body: bytes) -> bytes:
    return b"...." + struct.pack(">I4s", 8 + len(body), name) + body


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (_record(b"avcC", bytes([1, 0x64, 0, 0x1F])), "avc1.64001f"),
        (
            _record(b"hvcC", bytes([1, 1, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 93])),
            "hvc1.1.6.L93.90",
        ),
        (_record(b"av1C", bytes([0x81, 0x05, 0x0C, 0])), "av01.0.05M.08"),
    ],
)
def test_codec_strings_follow_their_standards(header: bytes, expected: str) -> None:
    """Known records give the strings that players know."""
    assert package.codec_string(header) == expected


def test_a_header_without_a_codec_is_a_defect() -> None:
    """An init segment that says nothing is not announced as something."""
    with pytest.raises(EngineError):
        package.codec_string(b"nothing here")
