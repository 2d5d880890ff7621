"""Videos made on the spot, good ones and damaged ones. Each is made once a process."""

from __future__ import annotations

import io
import random
import struct
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest
from PIL import Image

needs_ffmpeg = pytest.mark.ffmpeg

PQ = (
    *("-pix_fmt", "yuv420p10le", "-x264-params"),
    "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc",
)
"""As x264 writes it by itself: of its own options for that, ffmpeg 7.1 heeds the matrix alone."""
PICTURES = ("-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25:duration=2")
AUDIO = ("-f", "lavfi", "-i", "sine=frequency=440:duration=2")
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "10", "-pix_fmt", "yuv420p")
AAC = ("-c:a", "aac", "-b:a", "64k")

SRT = """1
00:00:00,100 --> 00:00:01,000
Guten <b>Tag</b>

2
00:00:01,100 --> 00:00:01,900
Auf Wiedersehen
"""


@cache
def make(ending: str, *arguments: str) -> bytes:
    """What ffmpeg makes of these arguments; inputs first, the output is put behind them.

    ``SRT`` as an argument stands for a file with two subtitles in it.
    """
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder, "text.srt")
        text.write_text(SRT)
        target = Path(folder, f"video.{ending}")
        words = [str(text) if word == "SRT" else word for word in arguments]
        command = ["ffmpeg", "-nostdin", "-loglevel", "error", *words, str(target)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        return target.read_bytes()


def clip() -> bytes:
    """Two seconds of H.264 and AAC in an MP4, 160 by 90 at 25 a second, index first."""
    return make("mp4", *PICTURES, *AUDIO, *H264, *AAC, "-movflags", "faststart")


def matroska() -> bytes:
    """Two seconds of H.264 in a Matroska."""
    return make("mkv", *PICTURES, *H264)


def patched(data: bytes, box: bytes, offset: int, value: bytes) -> bytes:
    """With other bytes at an offset from the end of the first such word."""
    at = data.index(box) + len(box) + offset
    return data[:at] + value + data[at + len(value) :]


def garbled(data: bytes, first: float, last: float, *, seed: int = 1) -> bytes:
    """With noise between two shares of its length."""
    noise = random.Random(seed)
    start, end = int(len(data) * first), int(len(data) * last)
    return data[:start] + noise.randbytes(end - start) + data[end:]


def claiming(seconds: int) -> bytes:
    """The clip whose header says it lasts so long (ISO/IEC 14496-12: mvhd, tkhd and mdhd)."""
    data = patched(clip(), b"mvhd", 16, (seconds * 1000).to_bytes(4))
    at = data.index(b"mdhd") + 4
    scale = int.from_bytes(data[at + 12 : at + 16])
    return patched(data, b"mdhd", 16, (seconds * scale % (1 << 32)).to_bytes(4))


def claiming_matroska(seconds: int) -> bytes:
    """The Matroska whose header says it lasts so long (RFC 9559, 5.1.2.10: Duration, ms)."""
    return patched(matroska(), b"\x44\x89\x88", 0, struct.pack(">d", seconds * 1000))


def spread(times: int) -> bytes:
    """The Matroska with its frames so many times as far apart."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "video.mkv")
        source.write_bytes(matroska())
        setts = f"setts=pts=PTS*{times}:dts=DTS*{times}"
        return make.__wrapped__("mkv", "-i", str(source), "-c", "copy", "-bsf:v", setts)


def turned() -> bytes:
    """The clip with a display matrix that turns it clockwise by a quarter (tkhd, matrix)."""
    one, minus = (1 << 16).to_bytes(4), (-(1 << 16)).to_bytes(4, signed=True)
    matrix = bytes(4) + one + bytes(4) + minus + bytes(12)
    return patched(clip(), b"tkhd", 40, matrix)


def picture() -> bytes:
    """A PNG. Not every ffmpeg has an encoder for it."""
    file = io.BytesIO()
    Image.new("RGB", (160, 90), "teal").save(file, "PNG")
    return file.getvalue()
