"""Clips whose frames can be told apart after any encoding: each has a grey of its own."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

GREYS = 40
"""Frames with different greys, five apart; then they begin again."""


def grey(number: int) -> int:
    """Luma of a frame."""
    return 30 + 5 * (number % GREYS)


def write(
    path: Path,
    *,
    frames: int = 75,
    size: tuple[int, int] = (64, 48),
    rate: str = "25",
    audio: Sequence[float] = (),
    key_frames: int = 20,
    options: Sequence[str] = (),
    video_filter: str = "null",
    times: Sequence[float] = (),
) -> Path:
    """A clip: ``audio`` gives the seconds of each audio track, ``times`` those at which
    pictures begin instead of ``frames`` and ``rate``."""
    if times:
        frames, video_filter = len(times), f"settb=1/90000,setpts='{_table(times)}'"
        # The last one too lasts 40 ms; Matroska has no place for it.
        lasting = ["-bsf:v", "setts=pts=PTS:dts=DTS:duration=3600"] * (path.suffix == ".mp4")
        options = ["-fps_mode", "passthrough", "-enc_time_base", "1/90000", *lasting, *options]
    wide, high = size
    chroma = bytes([128]) * (2 * ((wide + 1) // 2) * ((high + 1) // 2))
    pixels = b"".join(bytes([grey(number)]) * (wide * high) + chroma for number in range(frames))
    command = ["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "yuv420p"]
    command += ["-s", f"{wide}x{high}", "-r", rate, "-i", "pipe:0"]
    for number, seconds in enumerate(audio):
        command += ["-f", "lavfi", "-i", f"sine=frequency={400 * (number + 1)}:duration={seconds}"]
    command += ["-map", "0"]
    for number in range(len(audio)):
        command += ["-map", str(number + 1)]
    command += ["-vf", video_filter, "-c:v", "libx264"]
    command += ["-preset", "ultrafast", "-g", str(key_frames), "-bf", "2", "-fps_mode", "vfr"]
    command += ["-c:a", "aac", *options, str(path)]
    subprocess.run(command, input=pixels, check=True, timeout=60)
    return path


def _table(times: Sequence[float], first: int = 0) -> str:
    """The expression that gives the ``N``-th picture its time, in ticks of 1/90000 s."""
    if len(times) == 1:
        return str(round(times[0] * 90_000))
    half = len(times) // 2
    before, after = _table(times[:half], first), _table(times[half:], first + half)
    return f"if(lt(N,{first + half}),{before},{after})"


def then(path: Path, *parts: Path) -> Path:
    """Videos of one coding behind each other, each for as long as it says."""
    listing = path.with_suffix(".txt")
    listing.write_text("".join(f"file '{part}'\n" for part in parts))
    command = ["ffmpeg", "-v", "error", "-y", "-f", "concat", "-safe", "0", "-i", str(listing)]
    subprocess.run([*command, "-c", "copy", str(path)], check=True, timeout=60)
    return path


def turn(path: Path, turned: Path) -> Path:
    """A copy of an MP4 whose first track is to be shown turned by 90 degrees clockwise."""
    data = bytearray(path.read_bytes())
    # Version 0 of the track header (ISO/IEC 14496-12, 8.3.2): the matrix is 40 bytes in.
    matrix = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + len(matrix)] = matrix
    turned.write_bytes(data)
    return turned


def lumas(path: Path, stream: str = "0:v:0") -> list[float]:
    """The mean luma of each frame of a whole decode; fails on any decoding error."""
    width, height = 16, 16
    decoded = subprocess.run(
        [
            *("ffmpeg", "-v", "error", "-xerror", "-i", str(path), "-map", stream),
            *("-vf", f"scale={width}:{height}:flags=area,format=yuv420p"),
            *("-fps_mode", "passthrough", "-f", "rawvideo", "pipe:1"),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    assert decoded.stderr == b""
    luma = width * height
    shown = np.frombuffer(decoded.stdout, dtype=np.uint8).reshape(-1, luma * 3 // 2)
    means: list[float] = shown[:, :luma].mean(axis=1).tolist()
    return means


def changes(path: Path, rate: float) -> list[tuple[float, int]]:
    """When another picture is shown, seconds, and the number of its grey."""
    numbers = [round((luma - 30) / 5) for luma in lumas(path)]
    return [
        (index / rate, number)
        for index, number in enumerate(numbers)
        if index == 0 or number != numbers[index - 1]
    ]


def heard(path: Path, stream: str = "0:a:0") -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """The samples of an audio track, mono at 48 kHz, of a whole decode."""
    decoded = subprocess.run(
        [
            *("ffmpeg", "-v", "error", "-xerror", "-i", str(path), "-map", stream),
            *("-ac", "1", "-ar", "48000", "-f", "s16le", "pipe:1"),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    assert decoded.stderr == b""
    return np.frombuffer(decoded.stdout, dtype=np.int16)
