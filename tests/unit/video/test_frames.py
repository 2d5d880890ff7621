"""Tests of reaching frames: by each way the right ones, upright, square and of the right colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.unit.video.samples import H264, PICTURES, garbled, make, needs_ffmpeg, turned
from tests.unit.video.scenes import counted, number, opened
from worker.domain.errors import Rejected
from worker.imaging.geometry import Size
from worker.video import frames
from worker.video.frames import Frame, FrameSource, Way, clip, spread

pytestmark = needs_ffmpeg

SMALL = Size(64, 48)


def looked_at(footage: FrameSource, count: int) -> tuple[Way, list[int], list[float]]:
    """The way, which frames came, and when they are shown."""
    seen: list[int] = []
    times: list[float] = []

    def take(index: int, seconds: float, frame: Frame) -> None:
        assert index == len(seen)
        seen.append(number(frame))
        times.append(round(seconds, 6))

    return spread(footage, count, SMALL, take), seen, times


def only(footage: FrameSource, size: Size = SMALL) -> Frame:
    """The frame in the middle."""
    seen: list[Frame] = []
    spread(footage, 1, size, lambda _, __, frame: seen.append(frame))
    return seen[0]


def forced(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take this way whatever is cheapest."""
    monkeypatch.setattr(frames, "cheapest", lambda footage, times: way)


@pytest.mark.parametrize("way", [Way.ALL, Way.SEEK])
def test_frames_are_those_in_the_middle(
    way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty frames in three stretches: the sixth, the sixteenth and the twenty-sixth."""
    forced(way, monkeypatch)
    assert looked_at(opened(counted(), tmp_path), 3) == (way, [5, 15, 25], [0.5, 1.5, 2.5])


def test_key_frames_stand_for_what_follows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only key frames are decoded: the last before each middle, with its own time."""
    forced(Way.KEYS, monkeypatch)
    found = looked_at(opened(counted(), tmp_path), 3)
    assert found == (Way.KEYS, [0, 10, 20], [0.0, 1.0, 2.0])


@pytest.mark.parametrize("count", [1, 7, 30, 45])
def test_any_number_of_frames_comes(count: int, tmp_path: Path) -> None:
    """As many as asked for, in order, also more than there are."""
    _, seen, times = looked_at(opened(counted(), tmp_path), count)
    assert len(seen) == count
    assert seen == sorted(seen)
    assert all(abs(frame / 10 - time) <= 0.11 for frame, time in zip(seen, times, strict=True))


def test_one_frame_is_enough(tmp_path: Path) -> None:
    """A video of a single picture has that picture, however often it is asked for."""
    footage = opened(counted(1), tmp_path)
    assert looked_at(footage, 1)[1] == [0]
    assert looked_at(footage, 3)[1] == [0, 0, 0]


def test_cheapest_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Key frames where they are close, a start each for few frames, else everything."""
    footage = opened(counted(), tmp_path)
    times = [0.5, 1.5, 2.5]
    assert frames.cheapest(footage, times) is Way.ALL  # short
    monkeypatch.setattr(frames, "_SHORT_SECONDS", 0.0)
    assert frames.cheapest(footage, times) is Way.KEYS
    monkeypatch.setattr(frames, "_STARTING_SECONDS", 0.01)
    few = opened(counted(key=30), tmp_path, "few.mp4")
    assert frames.cheapest(few, [0.5]) is Way.KEYS
    assert frames.cheapest(few, [0.1, 0.2, 0.3]) is Way.SEEK
    assert frames.cheapest(few, times) is Way.ALL


def test_clips_follow_the_video(tmp_path: Path) -> None:
    """A clip begins where it should, at the rate it should, and may repeat the last picture."""
    footage = opened(counted(), tmp_path)
    seen: list[int] = []
    came = clip(
        footage, 1.0, SMALL, rate=10, count=5, take=lambda _, frame: seen.append(number(frame))
    )
    assert (came, seen) == (5, [10, 11, 12, 13, 14])
    seen.clear()
    clip(footage, 0.0, SMALL, rate=5, count=3, take=lambda _, frame: seen.append(number(frame)))
    assert [each // 2 for each in seen] == [0, 1, 2]
    seen.clear()
    clip(footage, 2.8, SMALL, rate=10, count=4, take=lambda _, frame: seen.append(number(frame)))
    assert seen == [28, 29, 29, 29]


@pytest.mark.parametrize("way", [Way.ALL, Way.SEEK])
def test_the_frame_is_the_one_that_is_shown(
    way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture of many seconds is shown in the middle of them, and at the end of the video."""
    forced(way, monkeypatch)
    slides = "setpts='if(lt(N,1),0,if(lt(N,2),3,20))/TB'"
    footage = opened(counted(3, filters=slides, key=30), tmp_path)
    assert looked_at(footage, 5)[1] == [0, 1, 1, 1, 1]
    seen: list[int] = []
    for start in (1.0, 10.0, footage.seconds - 0.01):
        clip(
            footage, start, SMALL, rate=5, count=2, take=lambda _, frame: seen.append(number(frame))
        )
    assert seen == [0, 0, 1, 1, 2, 2]


def test_rotation_and_shape_of_pixels(tmp_path: Path) -> None:
    """A video that lies on its side is upright; one of wide pixels is as wide as it is shown."""
    upright = opened(turned(), tmp_path)
    assert upright.inside(1000, 1000) == Size(90, 160)
    wide = make("mp4", *PICTURES, "-vf", "setsar=2", *H264)
    assert opened(wide, tmp_path, "wide.mp4").inside(1000, 1000) == Size(320, 90)
    assert opened(wide, tmp_path, "wide.mp4").inside(100, 10) == Size(36, 10)


def test_colours_are_those_of_the_video(tmp_path: Path) -> None:
    """A saturated red comes out as itself through the matrix that the file names."""
    for matrix in ("bt709", "smpte170m"):
        footage = make(
            "mp4",
            *("-f", "lavfi", "-i", "color=0xc83214:size=64x48:rate=5:duration=0.4"),
            *("-vf", f"scale=out_color_matrix={matrix}:out_range=tv,format=yuv420p"),
            *("-c:v", "libx264", "-qp", "4", "-colorspace", matrix),
        )
        frame = only(opened(footage, tmp_path))
        assert np.abs(frame[24, 32].astype(int) - (200, 50, 20)).max() <= 4


@pytest.mark.ffmpeg("filter zscale")
@pytest.mark.parametrize("size", [SMALL, Size(33, 25)])
def test_bright_hdr_becomes_ordinary(size: Size, tmp_path: Path) -> None:
    """PQ grey of 100 cd/m2 is a bright grey after tone mapping, not a dull one nor white; small
    frames of odd sides are no exception."""
    footage = make(
        "mp4",
        *("-f", "lavfi", "-i", "nullsrc=size=64x48:rate=5:duration=0.4"),
        *("-vf", "format=yuv420p10le,geq=lum='64+876*0.508':cb=512:cr=512"),
        *("-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-x265-params"),
        "log-level=error:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc",
    )
    pixel = only(opened(footage, tmp_path), size)[24, 32].astype(int)
    assert 140 <= pixel.mean() <= 245
    assert np.ptp(pixel) <= 3


def test_damage_is_survived_or_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With noise in the middle frames still come, by every way; or there is a verdict."""
    data = garbled(counted(), 0.4, 0.5)
    for way in Way:
        forced(way, monkeypatch)
        try:
            _, seen, _ = looked_at(opened(data, tmp_path), 5)
        except Rejected:
            continue
        assert 1 <= len(seen) <= 5


def test_take_may_stop(tmp_path: Path) -> None:
    """An exception of the callback ends the program and is raised."""

    class Enough(Exception):
        """Raised by the taker."""

    def take(index: int, seconds: float, frame: Frame) -> None:
        raise Enough

    with pytest.raises(Enough):
        spread(opened(counted(), tmp_path), 3, SMALL, take)
