"""Tests of previews: what they show, how long, and how many bytes they may have."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from batch.operations.video import run_preview as run
from tests.unit.video.jobs import context, work
from tests.unit.video.samples import H264, PICTURES, clip, make, needs_ffmpeg
from tests.unit.video.scenes import counted, number, opened
from worker.domain.errors import LimitExceeded, Reason
from worker.video.preview import Moments, collect, write_mp4, write_webp

pytestmark = needs_ffmpeg


def gathered(data: bytes, folder: Path, **given: Any) -> Moments:
    """The moments of a video."""
    settings = {"width": 64, "seconds": 1.0, "clips": 2, "frame_rate": 10.0} | given
    return collect(opened(data, folder), folder / "moments", context=context(folder), **settings)


def described(path: Path) -> dict[str, Any]:
    """What ffprobe says of a file."""
    printed = subprocess.run(
        ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", str(path)],
        check=True,
        capture_output=True,
    ).stdout
    report: dict[str, Any] = json.loads(printed)
    return report


def test_moments_are_runs_of_the_video(tmp_path: Path) -> None:
    """Two clips of half a second, each from its half of the video, in its order."""
    moments = gathered(counted(), tmp_path)
    shown = [number(frame) for frame in moments.all()]
    assert len(shown) == 10
    assert np.diff(shown[:5]).tolist() == np.diff(shown[5:]).tolist() == [1, 1, 1, 1]
    assert 0 <= shown[0] < 15 <= shown[9]
    assert shown[4] < shown[5]
    assert len(moments.starts) == 2


def test_a_short_video_is_shown_whole(tmp_path: Path) -> None:
    """A video that is shorter than its preview would be is its preview."""
    moments = gathered(counted(8), tmp_path, seconds=3.0, clips=3)
    assert [number(frame) for frame in moments.all()] == list(range(8))
    assert moments.starts == (0.0,)


def test_one_frame(tmp_path: Path) -> None:
    """A video of one picture has a still WebP and an MP4 of one frame."""
    moments = gathered(counted(1), tmp_path)
    assert moments.count == 1
    write_webp(moments, tmp_path / "a.webp", quality=70, most=50_000, context=context(tmp_path))
    with Image.open(tmp_path / "a.webp") as image:
        assert (image.size, getattr(image, "n_frames", 1)) == ((64, 48), 1)
    write_mp4(moments, tmp_path / "a.mp4", quality=70, most=50_000, context=context(tmp_path))
    assert described(tmp_path / "a.mp4")["streams"][0]["nb_read_frames"] == "1"


def test_operation(tmp_path: Path) -> None:
    """A WebP that repeats for ever and a silent MP4 of the same frames, as long as asked for."""
    source = tmp_path / "video.mp4"
    source.write_bytes(clip())
    job, outputs = work("preview", source, tmp_path, seconds=1.0, width=81, frame_rate=10.0)
    details = run(job)
    assert details["seconds"] == 1.0
    with Image.open(outputs.root / "preview.webp") as image:
        assert image.size == (80, 46)
        assert getattr(image, "n_frames", 1) == 10
        assert image.info["loop"] == 0
        total = 0
        for index in range(10):
            image.seek(index)
            image.load()
            total += image.info["duration"]
    assert total == 1000
    (stream,) = described(outputs.root / "preview.mp4")["streams"]
    assert (stream["codec_name"], stream["pix_fmt"]) == ("h264", "yuv420p")
    assert (stream["width"], stream["height"]) == (80, 46)
    assert stream["nb_read_frames"] == "10"
    assert float(stream["duration"]) == pytest.approx(1.0)
    data = (outputs.root / "preview.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_bytes_are_bounded(tmp_path: Path) -> None:
    """Quality gives way, then frames, then size; the file says how much; one frame must fit."""
    noise = make("mp4", *PICTURES, "-vf", "noise=alls=80:allf=t", *H264, "-qp", "10")
    moments = gathered(noise, tmp_path, width=160)
    free = write_webp(
        moments, tmp_path / "free.webp", quality=80, most=10**7, context=context(tmp_path)
    )
    size = free.path.stat().st_size
    assert (free.quality, free.count) == (80, 10)
    for share in (2, 10, 60):
        made = write_webp(
            moments,
            tmp_path / "less.webp",
            quality=80,
            most=size // share,
            context=context(tmp_path),
        )
        assert made.path.stat().st_size <= size // share
        assert made.quality < 80
        with Image.open(made.path) as image:
            assert image.size == (made.size.width, made.size.height)
            assert getattr(image, "n_frames", 1) == made.count
    with pytest.raises(LimitExceeded) as caught:
        write_webp(moments, tmp_path / "none.webp", quality=80, most=50, context=context(tmp_path))
    assert caught.value.reason is Reason.TOO_LARGE_OUTPUT


def test_bytes_of_the_mp4_are_bounded(tmp_path: Path) -> None:
    """The encoder's buffer model, and lower quality where that is not enough."""
    noise = make("mp4", *PICTURES, "-vf", "noise=alls=80:allf=t", *H264, "-qp", "10")
    moments = gathered(noise, tmp_path, width=160)
    free = write_mp4(
        moments, tmp_path / "free.mp4", quality=90, most=10**7, context=context(tmp_path)
    )
    size = free.path.stat().st_size
    made = write_mp4(
        moments, tmp_path / "less.mp4", quality=90, most=size // 2, context=context(tmp_path)
    )
    assert made.path.stat().st_size <= size // 2
    with pytest.raises(LimitExceeded):
        write_mp4(moments, tmp_path / "none.mp4", quality=90, most=500, context=context(tmp_path))
    assert not (tmp_path / "none.mp4").exists()


def test_delays_do_not_drift(tmp_path: Path) -> None:
    """Twelve frames a second are a third of a millisecond off each, and not at all together."""
    moments = gathered(counted(rate=12, frames=24), tmp_path, seconds=1.0, clips=1, frame_rate=12.0)
    write_webp(moments, tmp_path / "a.webp", quality=50, most=10**6, context=context(tmp_path))
    with Image.open(tmp_path / "a.webp") as image:
        delays = []
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            image.load()
            delays.append(image.info["duration"])
    assert sum(delays) == 1000


def test_frames_are_counted_in_the_file(tmp_path: Path) -> None:
    """Of a video that stands still for a while equal frames are one: the count is the file's."""
    half = "drawbox=color=red:t=fill:enable='gte(t,1)'"
    still = make("mp4", "-f", "lavfi", "-i", f"color=c=blue:s=64x48:r=25:d=2,{half}", *H264)
    made = write_webp(
        gathered(still, tmp_path, seconds=2.0, clips=1),
        tmp_path / "a.webp",
        quality=70,
        most=50_000,
        context=context(tmp_path),
    )
    with Image.open(made.path) as image:
        frames = getattr(image, "n_frames", 1)
        total = 0
        for index in range(frames):
            image.seek(index)
            image.load()
            total += image.info["duration"]
    assert made.count == frames < 20
    assert total == 2000
