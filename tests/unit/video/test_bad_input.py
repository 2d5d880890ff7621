"""Tests of what hostile and broken uploads come to: a verdict with a code, and never a hang."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from tests.unit.video.samples import (
    AAC,
    AUDIO,
    H264,
    PICTURES,
    claiming,
    claiming_matroska,
    clip,
    garbled,
    make,
    matroska,
    needs_ffmpeg,
    patched,
    picture,
    spread,
)
from worker.domain.errors import InputError, Rejected
from worker.video.ffmpeg import ProgramLimits, input_url, run
from worker.video.probe import VideoLimits, probe

pytestmark = needs_ffmpeg

LIMITS = ProgramLimits(wall_seconds=60)

PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n%s\n#EXT-X-ENDLIST\n"
MANIFEST = (
    b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
    b'<AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1">'
    b"<BaseURL>file:///etc/passwd</BaseURL></Representation></AdaptationSet></Period></MPD>"
)
SESSION = (
    b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    b"m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
)


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    """Where a video goes; for some the name lies."""
    return tmp_path / "video.mp4"


def verdict(path: Path, limits: VideoLimits | None = None) -> str:
    """The code a file is rejected with."""
    with pytest.raises(Rejected) as caught:
        probe(path, limits)
    assert not caught.value.retryable
    return caught.value.code


REFUSED: dict[str, tuple[Callable[[], bytes], set[str]]] = {
    "zero-length": (lambda: b"", {"empty"}),
    "one byte": (lambda: b"\0", {"unknown_format"}),
    "half an mp4": (lambda: clip()[: len(clip()) // 2], {"truncated"}),
    "an mp4 without its last byte": (lambda: clip()[:-1], {"truncated"}),
    "an mp4 whose index is cut off": (
        lambda: make("mp4", *PICTURES, *H264)[:-200],
        {"truncated"},
    ),
    "the first box of an mp4": (lambda: clip()[:32], {"truncated"}),
    "half a matroska": (lambda: matroska()[: len(matroska()) // 2], {"truncated"}),
    "half an avi": (
        lambda: make("avi", *PICTURES)[: len(make("avi", *PICTURES)) // 2],
        {"truncated"},
    ),
    "audio alone": (lambda: make("m4a", *AUDIO, *AAC), {"no_video"}),
    "a picture": (picture, {"format_not_allowed"}),
    "a jpeg": (lambda: make("jpg", *PICTURES, "-frames:v", "1"), {"format_not_allowed"}),
    "a gif": (lambda: make("gif", *PICTURES, "-frames:v", "2"), {"format_not_allowed"}),
    "a heic": (
        lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100),
        {"format_not_allowed"},
    ),
    "a playlist of a file": (lambda: PLAYLIST % b"file:///etc/passwd", {"format_not_allowed"}),
    "a playlist of an address": (
        lambda: PLAYLIST % b"http://127.0.0.1:9/a.ts",
        {"format_not_allowed"},
    ),
    "a script of files": (
        lambda: b"ffconcat version 1.0\nfile /etc/passwd\n",
        {"format_not_allowed"},
    ),
    "a manifest": (lambda: MANIFEST, {"format_not_allowed", "unknown_format"}),
    "a session description": (lambda: SESSION, {"format_not_allowed"}),
    "text": (lambda: b"hello\n" * 500, {"unknown_format"}),
    "noise": (lambda: garbled(bytes(5000), 0, 1), {"unknown_format"}),
    "an mp4 of noise": (
        lambda: garbled(clip(), (clip().index(b"mdat") + 4) / len(clip()), 1),
        {"corrupt"},
    ),
    "two seconds spread over two days": (lambda: spread(86_400), {"too_long_duration"}),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str, footage: Path) -> None:
    """Each has its code."""
    make_it, codes = REFUSED[what]
    footage.write_bytes(make_it())
    assert verdict(footage) in codes


@pytest.mark.parametrize("what", ["noise", "text", "an mp4 of noise"])
@pytest.mark.parametrize("name", ["video.mkv", "video.ts", "-i"])
def test_a_name_plays_no_chunk(what: str, name: str, tmp_path: Path) -> None:
    """The verdict on the same bytes is the same under every name."""
    make_it, codes = REFUSED[what]
    footage = tmp_path / name
    footage.write_bytes(make_it())
    assert verdict(footage) in codes


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """That is no fault of a video's."""
    with pytest.raises(InputError):
        probe(tmp_path / "none.mp4")


def test_a_playlist_is_not_followed_when_it_is_given_to_ffmpeg(tmp_path: Path) -> None:
    """Even without a probe before it, nothing of another file reaches an output."""
    secret = tmp_path / "secret.ts"
    secret.write_bytes(make("ts", *PICTURES, "-c:v", "mpeg2video"))
    trap = tmp_path / "video.mp4"
    trap.write_bytes(PLAYLIST % str(secret).encode())
    target = tmp_path / "out.raw"
    with pytest.raises(Rejected) as caught:
        run(
            ["-i", input_url(trap), "-f", "rawvideo", input_url(target)],
            limits=LIMITS,
        )
    assert caught.value.code == "format_not_allowed"
    assert not target.exists()


def test_nobody_is_called(footage: Path) -> None:
    """Somebody who listens at the address in a playlist or a session hears nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        port = listener.getsockname()[1]
        url = f"http://127.0.0.1:{port}/a.ts".encode()
        traps = (
            PLAYLIST % url,
            MANIFEST.replace(b"file:///etc/passwd", url),
            b"ffconcat version 1.0\nfile " + url + b"\n",
            b"[playlist]\nFile1=" + url + b"\n",
            b"RTSPtext\r\nrtsp://127.0.0.1:%d/\r\n" % port,
        )
        for trap in traps:
            footage.write_bytes(trap)
            verdict(footage)
            with pytest.raises(Rejected):
                run(["-i", input_url(footage), "-f", "null", "-"], limits=LIMITS)
        with pytest.raises(BlockingIOError):
            listener.accept()


# --- accepted, with doubt -----------------------------------------------------------------------


def test_a_video_of_one_frame(footage: Path) -> None:
    """It is a video, though a short one."""
    footage.write_bytes(make("mp4", *PICTURES, "-frames:v", "1", *H264))
    found = probe(footage)
    assert found.video is not None
    assert (found.video.frames, found.video.vfr) == (1, False)
    assert 0 < found.duration <= 1


def test_a_claim_of_a_hundred_hours_is_measured(footage: Path) -> None:
    """Two seconds that say they are a hundred hours are two seconds."""
    footage.write_bytes(claiming_matroska(360_000))
    found = probe(footage)
    assert found.claimed_duration == pytest.approx(360_000, rel=0.2)
    assert found.duration == pytest.approx(2.0, abs=0.05)
    assert "duration_corrected" in found.warnings


def test_a_claim_of_an_mp4_is_measured(footage: Path) -> None:
    """ffmpeg 7.1 and later count its samples themselves, so it may not even be a claim."""
    footage.write_bytes(claiming(360_000))
    assert probe(footage).duration == pytest.approx(2.0, abs=0.05)


def test_a_claim_that_fits_the_bytes_is_refused(footage: Path) -> None:
    """Too long is too long before anything is decoded."""
    footage.write_bytes(clip())
    assert verdict(footage, VideoLimits(seconds=1.5)) == "too_long_duration"


def test_time_stamps_with_a_gap(footage: Path) -> None:
    """Frames that jump ahead by minutes are told of, and the rate is no longer even."""
    setts = "setts=pts=PTS+gt(N\\,20)*60000:dts=DTS+gt(N\\,20)*60000"
    source = footage.with_name("source.mkv")
    source.write_bytes(matroska())
    footage.write_bytes(make("mkv", "-i", str(source), "-c", "copy", "-bsf:v", setts))
    found = probe(footage)
    assert "timestamps_irregular" in found.warnings
    assert found.duration == pytest.approx(62, abs=1)


def test_half_a_transport_stream_is_what_is_left_of_it(footage: Path) -> None:
    """A recording that stopped has no end to miss."""
    whole = make("ts", *PICTURES, "-c:v", "mpeg2video")
    footage.write_bytes(whole[: len(whole) // 2])
    assert 0.3 < probe(footage).duration < 1.8


@pytest.mark.parametrize(
    ("pix_fmt", "codec", "ending"),
    [
        ("gray", "ffv1", "mkv"),
        ("gray10le", "ffv1", "mkv"),
        ("yuv410p", "ffv1", "mkv"),
        ("yuv444p16le", "ffv1", "mkv"),
        ("gbrp16le", "ffv1", "mkv"),
        ("yuva444p10le", "prores_ks", "mov"),
        pytest.param("pal8", "png", "mov", marks=pytest.mark.ffmpeg("encoder png")),
        pytest.param("monob", "png", "mov", marks=pytest.mark.ffmpeg("encoder png")),
        ("rgb24", "rawvideo", "nut"),
        ("bgr8", "rawvideo", "nut"),
        ("xyz12be", "rawvideo", "nut"),
    ],
)
def test_odd_pixel_formats(footage: Path, pix_fmt: str, codec: str, ending: str) -> None:
    """Pixel formats that swscale can convert are accepted: the probe converts the first frame."""
    footage.write_bytes(
        make(ending, *PICTURES, "-frames:v", "3", "-c:v", codec, "-pix_fmt", pix_fmt)
    )
    found = probe(footage)
    assert found.video is not None
    assert found.video.fps == Fraction(25)


def test_an_unknown_coding(footage: Path) -> None:
    """A track whose coding nobody knows is named as that."""
    footage.write_bytes(clip().replace(b"avc1\0", b"zzzz\0").replace(b"avcC", b"zzzC"))
    assert verdict(footage) in {"unsupported_variant", "corrupt"}


def test_limits_of_a_frame(footage: Path) -> None:
    """Read from the header, before a frame of that size is decoded."""
    footage.write_bytes(clip())
    assert verdict(footage, VideoLimits(dimension=100)) == "too_large_dimension"
    assert verdict(footage, VideoLimits(pixels=1000)) == "too_many_pixels"
    assert verdict(footage, VideoLimits(bytes=1000)) == "too_many_bytes"
    assert verdict(footage, VideoLimits(streams=1)) == "too_many_streams"


# --- damage in the middle -----------------------------------------------------------------------


def test_a_corrupt_middle_of_packets_is_found_when_it_is_decoded(tmp_path: Path) -> None:
    """The index is whole, so only a decoder can see it; every run of ffmpeg would."""
    footage = tmp_path / "video.mp4"
    footage.write_bytes(garbled(clip(), 0.3, 0.7))
    assert probe(footage).duration == pytest.approx(2.0, abs=0.05)
    with pytest.raises(Rejected) as caught:
        run(["-i", input_url(footage), "-f", "null", "-"], limits=LIMITS)
    assert caught.value.code == "corrupt"


def test_a_corrupt_middle_of_a_container_is_found_by_the_probe(footage: Path) -> None:
    """Where packets are lost, a decoder sees nothing: they are counted."""
    footage.write_bytes(garbled(matroska(), 0.3, 0.7))
    assert verdict(footage) == "corrupt"


def test_a_little_damage_is_no_verdict(tmp_path: Path) -> None:
    """One bad frame of fifty is concealed by the decoder, as every player does."""
    footage = tmp_path / "video.mp4"
    footage.write_bytes(garbled(clip(), 0.5, 0.51))
    run(["-i", input_url(footage), "-f", "null", "-"], limits=LIMITS)


def test_a_damaged_beginning_is_no_verdict(footage: Path) -> None:
    """One frame that can be decoded is looked for; how many before it cannot is no matter."""
    data = make("mp4", *PICTURES, *H264)
    start = data.index(b"mdat") + 4
    footage.write_bytes(data[:start] + bytes(8000) + data[start + 8000 :])
    found = probe(footage)
    assert found.video is not None
    assert found.video.frames == 50


@pytest.mark.parametrize("seed", range(4))
def test_noise_anywhere_is_a_verdict_or_a_video(footage: Path, seed: int) -> None:
    """Noise in the header of a video never is a defect of ours."""
    start = seed * 0.02
    footage.write_bytes(garbled(clip(), start, start + 0.004, seed=seed))
    with contextlib.suppress(Rejected):
        assert probe(footage).duration >= 0


def test_a_frame_size_that_lies(footage: Path) -> None:
    """A header with another size than its frames: they are believed, or it is refused."""
    footage.write_bytes(patched(clip(), b"avc1", 24, b"\xff\xff\xff\xff"))
    with contextlib.suppress(Rejected):
        found = probe(footage)
        assert found.video is not None
        assert found.video.stored_width == 160
