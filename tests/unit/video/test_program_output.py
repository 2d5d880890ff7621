"""Tests of what ffmpeg's report says it has decoded."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.video.films import H264, PICTURES, make, needs_ffmpeg
from worker.video.ffmpeg import Decoded, ProgramLimits, input_url, run

LIMITS = ProgramLimits(wall_seconds=60)


@needs_ffmpeg
@pytest.mark.parametrize("title", ["decode errors", "input stream"])
def test_what_a_film_says_of_itself_is_not_counted(title: str, tmp_path: Path) -> None:
    """A title that looks like ffmpeg's own count of what it decoded makes no damage."""
    said = "\n  Input stream #0:0 (video): 9 packets read (9 bytes); "
    said += "1 frames decoded; 8 decode errors; "
    film = tmp_path / "film.mp4"
    film.write_bytes(make("mp4", *PICTURES, *H264, "-metadata", f"title={title}{said}"))
    run(["-i", input_url(film), "-f", "null", "-"], limits=LIMITS)


def test_counts_of_what_was_decoded() -> None:
    """In the words of 5.1, which counts no errors, and of 7.1; in pieces, the last line counts."""
    counted = Decoded()
    counted.take(
        b"  Input stream #0:0 (video): 50 packets read (79084 bytes); 20 frames decoded; \n"
    )
    assert counted.failed() == 0
    counted.take(b"[in#0/mov @ 0x5]   Input stream #0:1 (audio): 9 packets read (99 bytes); ")
    counted.take(b"30 frames decoded (30720 samples); 10 decode errors; \n")
    assert counted.failed() == 0.25
    counted.take(b"[in#0/mov @ 0x5]   Input stream #0:0 (video): 50 packets read (79084 bytes); ")
    counted.take(b"0 frames decoded; 50 decode errors; \n  Total: 1 packets demuxed\n")
    assert counted.failed() == 1


def test_packets_that_come_to_nothing_are_counted() -> None:
    """Where fewer pictures come than are wanted; what was only read ahead does not count."""
    counted = Decoded()
    counted.take(b"  Input stream #0:0 (video): 264 packets read (9 bytes); 50 frames decoded; \n")
    assert counted.failed() == 0
    assert counted.failed(300) == 0.75
    assert counted.failed(51) == 0.75
    assert counted.failed(50) == 0
    counted.take(b"  Input stream #0:0 (video): 64 packets read (9 bytes); 1 frames decoded; \n")
    assert counted.failed(100) == 0
