"""Containers of videos, told from content: what goes to Batch and what only looks like it."""

from __future__ import annotations

import pytest

from worker.domain.image import Format
from worker.imaging.formats.sniff import VideoContainer, identify, sniff, video_container


def ebml(doctype: bytes) -> bytes:
    """The head of a Matroska file as muxers write it."""
    inside = b"\x42\x86\x81\x01\x42\xf7\x81\x01\x42\x82" + bytes([0x80 | len(doctype)]) + doctype
    return b"\x1a\x45\xdf\xa3" + bytes([0x80 | len(inside)]) + inside + bytes(100)


def stream(first: int, step: int, packets: int) -> bytes:
    """A transport stream of so many packets, the sync byte at ``first`` of each."""
    packet = bytearray(step)
    packet[first] = 0x47
    return bytes(packet) * packets


KNOWN = {
    "mp4": (b"\0\0\0\x18ftypisom\0\0\2\0isomiso2", VideoContainer.MP4),
    "mp4 of an unknown brand": (b"\0\0\0\x10ftypabcd\0\0\0\0", VideoContainer.MP4),
    "mov": (b"\0\0\0\x14ftypqt  \0\0\2\0qt  ", VideoContainer.MP4),
    "old mov": (b"\0\0\0\x08wide\0\0\0\0mdat", VideoContainer.MP4),
    "webm": (ebml(b"webm"), VideoContainer.MATROSKA),
    "matroska": (ebml(b"matroska"), VideoContainer.MATROSKA),
    "padded doctype": (ebml(b"webm\0\0"), VideoContainer.MATROSKA),
    "mpeg-ts": (stream(0, 188, 6), VideoContainer.MPEGTS),
    "m2ts": (stream(4, 192, 6), VideoContainer.MPEGTS),
    "avi": (b"RIFF\0\0\1\0AVI LIST", VideoContainer.AVI),
}
OTHERS = {
    "empty": b"",
    "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "audio mp4": b"\0\0\0\x10ftypM4A \0\0\0\0",
    "other ebml": ebml(b"secret"),
    "ebml cut short": b"\x1a\x45\xdf\xa3\x42\x82",
    "four packets": stream(0, 188, 4),
    "letters G": b"G" + b"x" * 2000,
    "flv": b"FLV\x01",
    "ogg": b"OggS",
    "playlist": b"#EXTM3U\n#EXT-X-VERSION:7\nfile:///etc/passwd\n",
    "concat": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "wav": b"RIFF\0\0\1\0WAVEfmt ",
}


@pytest.mark.parametrize("name", KNOWN)
def test_accepted_containers_are_recognised(name: str) -> None:
    """Each by its content; none is taken for a picture."""
    data, container = KNOWN[name]
    assert video_container(data) is container
    assert sniff(data) is None
    assert str(identify(data)).startswith("video (")


@pytest.mark.parametrize("name", OTHERS)
def test_everything_else_is_no_video(name: str) -> None:
    """Audio, pictures, playlists and containers nobody accepts."""
    assert video_container(OTHERS[name]) is None


def test_a_picture_stays_a_picture() -> None:
    """A bitmap that starts a transport stream by chance is still told by its header."""
    assert sniff(b"BM" + bytes(12) + b"\x28\0\0\0" + bytes(40)) is Format.BMP
