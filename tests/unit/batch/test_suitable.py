"""Which files a kind of job can take, told from how they begin."""

from __future__ import annotations

import pytest

from batch.catalogue import KINDS
from batch.input_types import HEAD_BYTES, refusal
from worker.imaging.formats.sniff import identify

JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF"
GIF = b"GIF89a\1\0\1\0"
AVIF = b"\0\0\0\x1cftypavif\0\0\0\0avifmif1"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>'
MP4 = b"\0\0\0\x18ftypisom\0\0\2\0isommp42"
MATROSKA = b"\x1a\x45\xdf\xa3\x93\x42\x82\x88matroska"
EBML = b"\x1a\x45\xdf\xa3\x80"
TRANSPORT = (b"\x47" + bytes(187)) * 6
FLASH = b"FLV\x01\5"
OGG = b"OggS\0"
MXF = b"\x06\x0e\x2b\x34\2\5\1\1\x0d\1\2\1\1\2" + bytes(100)
H264 = b"\0\0\0\1\x67\x64\0\x1f"
WAV = b"RIFF\x24\0\0\0WAVEfmt "
MP3 = b"ID3\4\0\0"
M4A = b"\0\0\0\x18ftypM4A \0\0\2\0isommp42"
PDF = b"%PDF-1.7\n"
ZIP = b"PK\3\4"
TEXT = "Grüße,\nthis is a letter.\n".encode()
UTF16 = "Grüße,\nthis is a letter.\n".encode("utf-16")
PLAYLIST = b"#EXTM3U\n#EXT-X-VERSION:3\n"
SUBRIP = b"1\n00:00:01,000 --> 00:00:02,000\nHello\n"
WEBVTT = b"\xef\xbb\xbfWEBVTT\n\n00:01.000 --> 00:02.000\nHello\n"
ASS = b"[Script Info]\nScriptType: v4.00+\n"

OK = None
RARE = [FLASH, OGG, MXF, H264, EBML, M4A]
"""Containers that ffmpeg reads, some of which no table of ours names."""


def code(kind: str, head: bytes) -> str | None:
    """The code a file is refused with."""
    found = refusal(KINDS[kind], head)
    return None if found is None else found[0].value


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.media == "video"])
def test_kinds_of_moving_pictures(name: str) -> None:
    """Every container that may hold a film; no still, no sound alone, no text."""
    assert {code(name, head) for head in (MP4, MATROSKA, TRANSPORT, *RARE)} == {None}
    assert {code(name, head) for head in (JPEG, GIF, AVIF, SVG, PDF, ZIP)} == {"format_not_allowed"}
    assert {code(name, head) for head in (WAV, MP3)} == {"no_video"}
    assert {code(name, head) for head in (TEXT, UTF16, SUBRIP)} == {"unknown_format"}
    assert code(name, b"") == "empty"


@pytest.mark.parametrize("name", ["audio-waveform", "subtitles", "video-metadata"])
def test_kinds_of_any_tracks(name: str) -> None:
    """Sound and subtitles alone too."""
    heads = (MP4, MATROSKA, TRANSPORT, WAV, MP3, SUBRIP, WEBVTT, ASS, *RARE)
    assert {code(name, head) for head in heads} == {None}
    assert {code(name, head) for head in (JPEG, GIF, AVIF, SVG, PDF)} == {"format_not_allowed"}
    assert code(name, TEXT) == "unknown_format"


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.media == "image"])
def test_kinds_of_pictures(name: str) -> None:
    """Every format that ingest may accept; no film, no sound, no document."""
    assert {code(name, head) for head in (JPEG, GIF, AVIF, SVG)} == {None}
    assert {code(name, head) for head in (MP4, MATROSKA, WAV, PDF)} == {"format_not_allowed"}
    assert {code(name, head) for head in (TEXT, MXF)} == {"unknown_format"}


def test_a_playlist_is_no_input() -> None:
    """It names other files, which are never opened."""
    assert {code(name, PLAYLIST) for name in KINDS} == {"format_not_allowed"}


def test_text_that_is_cut_within_a_letter_is_text() -> None:
    """A head ends anywhere."""
    text = ("a" + "é" * HEAD_BYTES).encode()[:HEAD_BYTES]
    assert identify(text) is None
    assert code("poster", text) == "unknown_format"


def test_the_sentence_names_what_was_found_and_what_is_taken() -> None:
    """For a person who took the wrong file."""
    found = refusal(KINDS["denoise"], MP4)
    assert found is not None
    assert found[1] == "is video (MP4); denoise takes pictures"
