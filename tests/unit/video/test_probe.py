"""Tests of what is found out about good videos."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from tests.unit.video.samples import (
    AAC,
    AUDIO,
    H264,
    PICTURES,
    PQ,
    clip,
    make,
    needs_ffmpeg,
    turned,
)
from worker.domain.errors import DamagedInput, Reason
from worker.video import probe as probe_module
from worker.video.ffmpeg import ProgramLimits
from worker.video.probe import describe, probe
from worker.video.timing import measure
from worker.video.tracks import VideoProbe, VideoTrack

pytestmark = needs_ffmpeg


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    """Where a video of a test goes; the name says nothing."""
    return tmp_path / "upload"


def track(found: VideoProbe) -> VideoTrack:
    """The video track, which must be there."""
    assert found.video is not None
    return found.video


def test_an_ordinary_video(footage: Path) -> None:
    """Size, rate, length and tracks, measured."""
    footage.write_bytes(clip())
    found = probe(footage)
    video = track(found)
    assert found.measured
    assert found.duration == pytest.approx(2.0, abs=0.05)
    assert (video.codec, video.width, video.height) == ("h264", 160, 90)
    assert (video.fps, video.vfr, video.frames) == (Fraction(25), False, 50)
    assert (video.pix_fmt, video.bit_depth, video.hdr, video.rotation) == ("yuv420p", 8, False, 0)
    assert [(each.codec, each.channels, each.sample_rate) for each in found.audio] == [
        ("aac", 1, 44100)
    ]
    assert found.warnings == ()


def test_a_video_held_upright_is_measured_upright(footage: Path) -> None:
    """A telephone stores what it sees lying and says so; width and height are as shown."""
    footage.write_bytes(turned())
    video = track(probe(footage))
    assert (video.rotation, video.width, video.height) == (90, 90, 160)
    assert (video.stored_width, video.stored_height) == (160, 90)


def test_pixels_that_are_not_square_are_made_so(footage: Path) -> None:
    """A stretched video is as wide as it is shown; nothing is lost in making it square."""
    footage.write_bytes(make("mkv", *PICTURES, "-vf", "setsar=2", *H264))
    video = track(probe(footage))
    assert (video.sar, video.width, video.height) == (Fraction(2), 320, 90)


def test_high_dynamic_range_is_seen(footage: Path) -> None:
    """PQ in ten bits must be tone-mapped later."""
    footage.write_bytes(make("mkv", *PICTURES, "-frames:v", "5", *H264[:2], *PQ))
    video = track(probe(footage))
    assert video.hdr
    assert (video.bit_depth, video.primaries, video.space) == (10, "bt2020", "bt2020nc")


def test_a_varying_frame_rate_is_seen(footage: Path) -> None:
    """Every fifth frame is missing: the rate is the average, and said to vary."""
    footage.write_bytes(
        make("mkv", *PICTURES, "-vf", "select=mod(n\\,5)", "-fps_mode", "vfr", *H264)
    )
    video = track(probe(footage))
    assert video.vfr
    assert float(video.fps) == pytest.approx(20, abs=1)


@pytest.mark.parametrize("rate", ["24000/1001", "30000/1001", "60"])
def test_rates_are_exact_through_rounded_time_stamps(footage: Path, rate: str) -> None:
    """Matroska rounds to milliseconds; the rate is still the one it was recorded at."""
    source = ("-f", "lavfi", "-i", f"testsrc2=size=64x64:rate={rate}:duration=2")
    footage.write_bytes(make("mkv", *source, *H264))
    video = track(probe(footage))
    assert video.fps == Fraction(rate)
    assert not video.vfr


def test_many_tracks(footage: Path) -> None:
    """Audio tracks and subtitles with their languages; the main picture is the default one."""
    footage.write_bytes(
        make(
            "mkv",
            *PICTURES,
            *AUDIO,
            *("-i", "SRT", "-map", "0", "-map", "1", "-map", "1", "-map", "2"),
            *H264,
            *AAC,
            *("-metadata:s:a:0", "language=deu", "-metadata:s:a:1", "language=eng"),
            *("-metadata:s:s:0", "language=fra", "-disposition:s:0", "forced"),
        )
    )
    found = probe(footage)
    assert [each.language for each in found.audio] == ["deu", "eng"]
    (subtitle,) = found.subtitles
    assert (subtitle.language, subtitle.text, subtitle.forced) == ("fra", True, True)
    assert found.streams == 4


def test_audio_alone_is_read_where_no_picture_is_needed(footage: Path) -> None:
    """A waveform can be drawn of it."""
    footage.write_bytes(make("m4a", *AUDIO, *AAC))
    found = probe(footage, need_video=False)
    assert found.video is None
    assert found.duration == pytest.approx(2.0, abs=0.1)


def test_a_stream_without_a_container(footage: Path) -> None:
    """It has no time stamps: its frames are counted."""
    footage.write_bytes(make("h264", *PICTURES, *H264))
    found = probe(footage)
    assert found.duration == pytest.approx(2.0)
    assert "timestamps_irregular" in found.warnings


@pytest.mark.parametrize(
    ("ending", "codec"),
    [("avi", "mpeg4"), ("flv", "flv1"), ("ts", "mpeg2video"), ("webm", "libvpx"), ("mov", "mjpeg")],
)
def test_other_containers_and_codecs(footage: Path, ending: str, codec: str) -> None:
    """Files of cameras, discs and browsers are probed correctly."""
    speed = ("-deadline", "realtime") if codec == "libvpx" else ()
    footage.write_bytes(make(ending, *PICTURES, "-c:v", codec, *speed))
    found = probe(footage)
    assert found.duration == pytest.approx(2.0, abs=0.05)
    assert track(found).fps == 25


@pytest.mark.parametrize("pictures", [(), PICTURES])
def test_good_audio_of_opus_is_no_damage(footage: Path, pictures: tuple[str, ...]) -> None:
    """ffprobe 8.0 complains at the end of every track of it."""
    speed = ("-c:v", "libvpx", "-deadline", "realtime") if pictures else ()
    footage.write_bytes(make("webm", *pictures, *AUDIO, *speed, "-c:a", "libopus"))
    assert probe(footage, need_video=bool(pictures)).warnings == ()


def test_key_frames_are_counted(footage: Path) -> None:
    """Where a video can be cut."""
    footage.write_bytes(clip())
    timing = measure(footage, 0, ProgramLimits())
    assert timing.key_frames == 5
    assert timing.longest_group == pytest.approx(0.4, abs=0.01)


def test_places_are_told_only_if_asked_for(footage: Path) -> None:
    """A video says where it was taken; its description does not."""
    tags = ("-metadata", "location=+48.1374+011.5755/", "-metadata", "title=Isar")
    footage.write_bytes(make("mov", *PICTURES, *H264, *tags, "-movflags", "use_metadata_tags"))
    found = probe(footage)
    assert "48.1374" not in str(describe(found, location=False))
    told = describe(found, location=True)
    assert told["location"] == "+48.1374+011.5755/"
    assert told["tags"]["title"] == "Isar"


@pytest.mark.parametrize(
    ("pix_fmt", "raw", "depth"),
    [
        ("yuv420p", 8, 8),
        ("yuv420p10le", 10, 10),
        ("yuv444p12be", 0, 12),
        ("gbrp16le", 0, 16),
        ("gray10le", 0, 10),
        ("p010le", 0, 10),
        ("p216le", 0, 16),
        ("y210le", 0, 10),
        ("rgb48le", 0, 16),
        ("rgba64be", 0, 16),
        ("gbrpf32le", 0, 32),
        ("xyz12le", 0, 12),
        ("nv12", 8, 8),
        ("nv20le", 0, 10),
        ("x2rgb10le", 0, 10),
        ("yuvj422p", 8, 8),
        ("bgr8", 0, 8),
        ("unknown", 0, 8),
    ],
)
def test_bits_of_a_channel(pix_fmt: str, raw: int, depth: int) -> None:
    """Read from the name of the pixel format, whatever the decoder says."""
    assert probe_module.bit_depth(pix_fmt, raw) == depth


@pytest.mark.parametrize("ending", ["mkv", "mp4"])
def test_a_header_that_counts_longer_audio_is_right(ending: str, footage: Path) -> None:
    """Audio goes on after the pictures; of Matroska only the packets tell how long."""
    footage.write_bytes(
        make(ending, *PICTURES, "-f", "lavfi", "-i", "sine=duration=5", *H264, *AAC)
    )
    found = probe(footage)
    assert found.duration == pytest.approx(5.0, abs=0.05)
    assert found.warnings == ()


@pytest.mark.parametrize("value", ["", "0/0", "x", None, {}, "1/0", "-25/1", "9" * 5000, [], "nan"])
def test_numbers_that_are_none(value: object) -> None:
    """Any number that ffprobe prints is parsed or ignored."""
    assert probe_module.ratio(value) is None
    assert probe_module.claimed_fps({"avg_frame_rate": value}) == 25
    assert probe_module.rotation({"side_data_list": [{"rotation": value}]}) == (0, False)


def test_tags_are_bounded_and_clean() -> None:
    """No file fills a record with its tags, or a terminal with control characters."""
    tags = {f"Name{number}": "x\x1b[31m" * 1000 for number in range(500)}
    read = probe_module.tags({"tags": tags | {"com.apple.quicktime.location.ISO6709": "+1+1/"}})
    assert len(read) == 64
    assert all(len(value) <= 1000 and "\x1b" not in value for value in read.values())
    assert not any("location" in name for name in read)


@pytest.mark.parametrize("printed", [b"", b"{", b"[]", b"[" * 100_000, b"\xff"])
def test_what_is_no_report_is_a_fault_of_the_file(printed: bytes) -> None:
    """ffprobe gets the same arguments for every file, so nobody is to try again."""
    with pytest.raises(DamagedInput) as caught:
        probe_module.read_report(printed)
    assert caught.value.reason is Reason.CORRUPT


def test_parts_of_a_report_that_are_of_another_kind_are_left_out() -> None:
    """A program that a file has taken over prints what it likes."""
    report = probe_module.read_report(
        b'{"format": 7, "chapters": {}, "streams": [5, {"codec_type": "video", "tags": [],'
        b' "disposition": 1, "side_data_list": [3, {"rotation": -90}], "index": "x"}]}'
    )

    assert report["format"]["tags"] == {}
    assert report["chapters"] == []
    assert len(report["streams"]) == 2
    stream = probe_module.main_video(report)
    assert stream is not None
    assert (stream["index"], probe_module.tags(stream)) == (0, {})
    assert probe_module.rotation(stream) == (90, False)
