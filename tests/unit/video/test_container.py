"""Tests of the first look at a file, before any program is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.domain.errors import Rejected
from worker.video.container import examine

OTHERS = {
    "hls": b"#EXTM3U\n#EXT-X-VERSION:7\n",
    "hls behind a mark and blanks": b"\xef\xbb\xbf\r\n#EXTM3U\r\n",
    "hls without its first line": b"#EXTINF:5,\nhttp://127.0.0.1/a.ts\n",
    "concat": b"ffconcat version 1.0\nfile a.mp4\n",
    "pls": b"[playlist]\nFile1=http://127.0.0.1/a\n",
    "windows media": b"[Reference]\nRef1=http://127.0.0.1/a\n",
    "asx": b'<ASX version="3.0"><entry/></ASX>',
    "smil": b"<smil><body/></smil>",
    "dash": b'<?xml version="1.0"?>\n<!-- made <by> hand -->\n<MPD type="static"></MPD>',
    "sdp": b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n",
    "quicktime": b"RTSPtext\r\nrtsp://127.0.0.1/\r\n",
    "png": b"\x89PNG\r\n\x1a\n" + bytes(30),
    "svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
    "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
}


def box(name: bytes, size: int, *, claimed: int | None = None) -> bytes:
    """A box of so many bytes that may claim to have more."""
    return (size if claimed is None else claimed).to_bytes(4) + name + bytes(size - 8)


FTYP = b"\0\0\0\x18ftypisom\0\0\2\0isomiso2"
CUT = {
    "nothing but its type": FTYP,
    "no index": FTYP + box(b"free", 8) + box(b"mdat", 100),
    "data to the end": FTYP + box(b"mdat", 100, claimed=0),
    "within the head of the index": FTYP + box(b"mdat", 100) + b"\0\0\1",
    "within the index": FTYP + box(b"mdat", 100) + box(b"moov", 50, claimed=60),
    "within the data": FTYP + box(b"moov", 50) + box(b"mdat", 100, claimed=101),
}


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A video by its name alone."""
    return tmp_path / "video.mp4"


@pytest.mark.parametrize("what", OTHERS)
def test_what_is_no_video(what: str, video: Path) -> None:
    """Playlists, scripts and pictures are known by their content, whatever ffmpeg would say."""
    video.write_bytes(OTHERS[what])
    with pytest.raises(Rejected) as caught:
        examine(video)
    assert caught.value.code == "format_not_allowed"


@pytest.mark.parametrize("what", CUT)
def test_an_mp4_that_is_cut_off(what: str, video: Path) -> None:
    """A truncated MP4 is rejected, whichever part is missing."""
    video.write_bytes(CUT[what])
    with pytest.raises(Rejected) as caught:
        examine(video)
    assert caught.value.code == "truncated"


def test_what_may_be_a_video(video: Path) -> None:
    """A whole MP4, one with a box of no possible size, a bare stream that begins with a JPEG."""
    for data, known in (
        (FTYP + box(b"moov", 50) + box(b"mdat", 100), True),
        (FTYP + b"\0\0\0\3" + bytes(100), True),
        (b"\xff\xd8\xff\xe0" + bytes(100), False),
        (b"#EXTRA\n", False),
        (b"v=0\n", False),
    ):
        video.write_bytes(data)
        assert examine(video).known is known
