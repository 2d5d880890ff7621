"""Tests of the curve of audio: its data, its pictures and its bounds."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from batch.operations.video import run_audio_waveform as run
from tests.unit.video.jobs import work
from tests.unit.video.samples import AAC, AUDIO, H264, PICTURES, clip, make, needs_ffmpeg
from worker.domain.errors import Rejected
from worker.video.waveform import Waveform, _CurveReader, draw_png, draw_svg


def curve_of(samples: NDArray[np.int16], points: int, piece: int) -> Waveform:
    """The curve of samples that come in pieces of so many bytes."""
    curve = _CurveReader(points)
    data = samples.astype("<i2").tobytes()
    for at in range(0, len(data), piece):
        curve.take(data[at : at + piece])
    return curve.finish(8000)


@pytest.mark.parametrize("count", [1, 2, 99, 100, 101, 6400, 6401, 123_457])
@pytest.mark.parametrize("piece", [1001, 65_536])
def test_columns_are_the_extremes_of_equal_stretches(count: int, piece: int) -> None:
    """However samples arrive, the curve is that of the whole audio at once."""
    # Not of numpy: the image has no numpy.random.
    samples = np.frombuffer(Random(count).randbytes(2 * count), np.int16)
    curve = curve_of(samples, 100, piece)
    each = curve.samples_per_pixel
    starts = np.arange(0, count, each)
    assert curve.samples == count
    assert np.array_equal(curve.low, np.minimum.reduceat(samples, starts))
    assert np.array_equal(curve.high, np.maximum.reduceat(samples, starts))
    fewest = 95 if count >= 6400 else -(-count // -(-count // 100))
    assert fewest <= curve.columns <= 100


def test_memory_does_not_grow_with_the_audio() -> None:
    """The memory after a minute of audio is the same as after a second."""
    curve = _CurveReader(100)
    silence = bytes(1 << 16)
    for _ in range(500):
        curve.take(silence)
    assert curve._low.nbytes + curve._high.nbytes + curve._rest.nbytes < 200_000
    assert curve.samples == 500 << 15


def test_data_are_those_of_peaks_js() -> None:
    """Every field of version 2 and 8-bit values, lowest and highest in turn."""
    curve = curve_of(np.array([-32768, 32767, 0, 256], np.int16), 2, 100)
    assert json.loads(curve.json()) == {
        "version": 2,
        "channels": 1,
        "sample_rate": 8000,
        "samples_per_pixel": 2,
        "bits": 8,
        "length": 2,
        "data": [-128, 127, 0, 1],
    }


def test_pictures_show_the_curve(tmp_path: Path) -> None:
    """A loud half fills the height, a silent half is a line, both in the colour asked for."""
    loud = np.tile(np.array([-32768, 32767], np.int16), 500)
    curve = curve_of(np.concatenate([loud, np.zeros(1000, np.int16)]), 100, 4096)
    width, height = draw_png(curve, tmp_path / "w.png", height=40, colour="#ff8000")
    with Image.open(tmp_path / "w.png") as opened:
        pixels = np.asarray(opened.convert("RGBA"))
    assert pixels.shape == (height, width, 4)
    assert (pixels[..., :3] == (255, 128, 0)).all()
    assert (pixels[:, : width // 2 - 1, 3] > 250).all()
    quiet = pixels[:, width // 2 + 1 :, 3].astype(int).sum(axis=0)
    assert ((quiet > 60) & (quiet < 255)).all()
    svg = draw_svg(curve, height=40, colour="#ff8000")
    assert 'fill="#ff8000"' in svg
    assert svg.count("L") == 2 * width + 1


def test_a_picture_is_never_wider_than_its_limit(tmp_path: Path) -> None:
    """Of a very fine curve several columns are drawn in one."""
    curve = curve_of(np.zeros(50_000, np.int16), 50_000, 65_536)
    assert curve.columns == 50_000
    assert draw_png(curve, tmp_path / "w.png", height=16, colour="#000000") == (2000, 16)


@needs_ffmpeg
def test_the_job(tmp_path: Path) -> None:
    """A video comes to three files whose figures agree."""
    footage = tmp_path / "video.mp4"
    footage.write_bytes(clip())
    job, outputs = work("audio-waveform", footage, tmp_path, points=200)
    details = run(job)
    data = json.loads((outputs.root / "waveform.json").read_text())
    assert details["columns"] == data["length"] == len(data["data"]) // 2
    assert 190 <= data["length"] <= 200
    assert data["length"] * data["samples_per_pixel"] / data["sample_rate"] == pytest.approx(
        2.0, abs=0.05
    )
    assert details["peak"] == pytest.approx(1 / 8, abs=0.1)  # how loud ffmpeg's sine is, and AAC
    assert set(outputs.types) == {"waveform.json", "waveform.svg", "waveform.png"}


@needs_ffmpeg
def test_audio_that_starts_late_is_drawn_late(tmp_path: Path) -> None:
    """A column is where it is in the video."""
    footage = tmp_path / "video.mkv"
    footage.write_bytes(make("mkv", *PICTURES, "-itsoffset", "1", *AUDIO, *H264, *AAC))
    job, outputs = work("audio-waveform", footage, tmp_path, points=300)
    run(job)
    data = json.loads((outputs.root / "waveform.json").read_text())
    high = data["data"][1::2]
    before = int(0.9 * data["sample_rate"] / data["samples_per_pixel"])
    assert max(high[:before]) == 0
    assert max(high[before:]) > 10


@needs_ffmpeg
def test_audio_alone_is_enough(tmp_path: Path) -> None:
    """A podcast has a curve too."""
    audio = tmp_path / "sound.wav"
    audio.write_bytes(make("wav", *AUDIO))
    job, _ = work("audio-waveform", audio, tmp_path)
    assert run(job)["seconds"] == pytest.approx(2.0, abs=0.01)


@needs_ffmpeg
def test_a_video_without_audio_is_refused(tmp_path: Path) -> None:
    """There is nothing to draw, and the code says so."""
    footage = tmp_path / "video.mp4"
    footage.write_bytes(make("mp4", *PICTURES, *H264))
    job, outputs = work("audio-waveform", footage, tmp_path)
    with pytest.raises(Rejected) as caught:
        run(job)
    assert caught.value.code == "no_audio"
    assert not outputs.types


@needs_ffmpeg
def test_audio_that_goes_on_for_longer_than_it_says_is_refused(tmp_path: Path) -> None:
    """The limit is on what is decoded, too: a header that hides the length is no way past."""
    audio = tmp_path / "sound.wav"
    whole = make("wav", *AUDIO)
    audio.write_bytes(whole)
    job, outputs = work("audio-waveform", audio, tmp_path, max_seconds=1.0)
    with pytest.raises(Rejected) as caught:
        run(job)
    assert caught.value.code == "too_long_duration"
    assert not outputs.types


@needs_ffmpeg
def test_a_audio_of_sixty_thousand_channels_is_refused(tmp_path: Path) -> None:
    """A wave file whose header lies about its channels does not hurt us."""
    data = bytearray(make("wav", *AUDIO))
    struct.pack_into("<H", data, 22, 60_000)
    audio = tmp_path / "sound.wav"
    audio.write_bytes(data)
    job, _ = work("audio-waveform", audio, tmp_path)
    with pytest.raises(Rejected):
        run(job)
