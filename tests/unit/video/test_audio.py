"""Audio whose channels change on the way: its time is kept, and every failure arrives."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from batch.operations.video import run_audio_waveform as run
from tests.unit.transcode import clips
from tests.unit.transcode.test_results import lengths, transcoded
from tests.unit.video.jobs import work
from tests.unit.video.samples import AAC, H264, PICTURES, clip, make, needs_ffmpeg, picture
from worker.domain.errors import Rejected
from worker.video import commands, ffmpeg
from worker.video.audio import normalised_audio
from worker.video.ffmpeg import ProgramLimits

pytestmark = needs_ffmpeg

LIMITS = ProgramLimits(wall_seconds=60)


def changing(path: Path) -> Path:
    """Two seconds of two channels, two of six; a tone throughout."""
    parts = []
    for layout, start in (("stereo", 0), ("5.1", 2)):
        tone = f"sine=frequency=440:duration=2,aformat=channel_layouts={layout}"
        words = (*PICTURES, "-f", "lavfi", "-i", tone, *H264, *AAC)
        parts.append(make("ts", *words, "-output_ts_offset", str(start)))
    path.write_bytes(b"".join(parts))
    return path


def test_a_video_has_its_audio_once_and_in_time(tmp_path: Path) -> None:
    """Filters that begin again would fill the second half with silence, or shreds."""
    out = transcoded(changing(tmp_path / "x.ts"), tmp_path)
    samples = clips.heard(out / "video.mp4").astype(np.int32)
    assert len(samples) / 48_000 == pytest.approx(4.0, abs=0.1)
    assert sum(lengths(out / "hls/audio-0/index.m3u8")) == pytest.approx(4.0, abs=0.1)
    loud = [np.abs(samples[at : at + 4800]).max() > 500 for at in range(4800, 182_400, 4800)]
    assert loud.count(False) <= 1  # the encoders' silence at the seam


def test_a_curve_is_as_long_as_the_audio(tmp_path: Path) -> None:
    """Not twice as long, with silence in the middle."""
    job, outputs = work("audio-waveform", changing(tmp_path / "x.ts"), tmp_path, points=200)
    assert run(job)["seconds"] == pytest.approx(4.0, abs=0.1)
    data = json.loads((outputs.root / "waveform.json").read_text())
    assert sum(high > 2 for high in data["data"][1::2]) > 0.95 * data["length"]


def read(path: Path, seconds: float) -> bytes:
    """So much of the first audio track, by way of a second program."""
    with normalised_audio(path, 1, rate=8000, layout="mono", start=0.0, limits=LIMITS) as (
        track,
        pipes,
    ):
        raw = {"f": "s16le", "c:a": "pcm_s16le", "t": seconds}
        made = commands.output("pipe:1", [track], raw)
        arguments = commands.arguments(made, everywhere={"copyts": None})
        return ffmpeg.run(arguments, limits=LIMITS, capture=True, pipes=pipes)


def test_a_reader_may_leave_early(tmp_path: Path) -> None:
    """That the first program finds nobody to write to is no failure of it."""
    footage = tmp_path / "video.mp4"
    footage.write_bytes(
        make("mp4", *PICTURES, "-f", "lavfi", "-i", "sine=duration=60", *H264, *AAC)
    )
    assert len(read(footage, 0.5)) == 8000


def test_what_ends_the_first_program_is_what_is_told(tmp_path: Path) -> None:
    """Its reader sees only that nothing more comes."""
    footage = tmp_path / "video.mp4"
    footage.write_bytes(picture())
    with pytest.raises(Rejected) as caught:
        read(footage, 5)
    assert caught.value.code == "format_not_allowed"


def test_what_the_reader_raises_ends_the_first_program(tmp_path: Path) -> None:
    """And it is what is told."""
    footage = tmp_path / "video.mp4"
    footage.write_bytes(
        make("mp4", *PICTURES, "-f", "lavfi", "-i", "sine=duration=60", *H264, *AAC)
    )

    def enough() -> None:
        with normalised_audio(footage, 1, rate=8000, layout="mono", start=0.0, limits=LIMITS):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        enough()


def test_a_track_that_nobody_knows_is_left_out(tmp_path: Path) -> None:
    """Phones write spatial audio of their own, beside an ordinary track or alone."""
    footage, two = tmp_path / "video.mp4", tmp_path / "two.mp4"
    footage.write_bytes(clip())
    words = ("-map", "0:v", "-map", "0:a", "-map", "0:a", "-c", "copy")
    data = bytearray(make("mp4", "-i", str(footage), *words))
    at = data.rindex(b"mp4a\0")
    data[at : at + 4] = b"apac"
    settings = data.index(b"esds", at)
    data[settings : settings + 4] = b"dapa"
    two.write_bytes(data)
    out = transcoded(two, tmp_path)
    assert sorted(path.name for path in (out / "hls").glob("audio-*")) == ["audio-0"]

    shutil.rmtree(out)
    footage.write_bytes(clip().replace(b"mp4a\0", b"apac\0").replace(b"esds", b"dapa"))
    out = transcoded(footage, tmp_path)
    assert not list((out / "hls").glob("audio-*"))
