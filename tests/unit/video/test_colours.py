"""Tests of colours: what is made of a video reads as the video does, by the tags it carries."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.video.jobs import Folder, run
from tests.unit.video.samples import make, needs_ffmpeg
from worker.video import colours
from worker.video.ffmpeg import ProgramLimits
from worker.video.ffmpeg import run as run_ffmpeg
from worker.video.frames import Frame
from worker.video.tracks import VideoTrack

pytestmark = needs_ffmpeg

RED, GREEN = (220, 30, 30), (30, 200, 30)
UNSAID = "setparams=colorspace=unknown:color_primaries=unknown:color_trc=unknown"
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-qp", "6")
OPTION = {"bt709": "bt709", "smpte170m": "bt601", "bt470bg": "bt601"}


def chart(size: str, *arguments: str, ending: str = "mp4", video_filter: str = "null") -> bytes:
    """Two pictures, red on the left and green on the right."""
    one = "color=0xdc1e1e:rate=5:duration=0.4:size="
    two = "color=0x1ec81e:rate=5:duration=0.4:size="
    wide, _, high = size.partition("x")
    half = f"{int(wide) // 2}x{high}"
    graph = f"{one}{half},format=rgb24[a];{two}{half},format=rgb24[b];[a][b]hstack,{video_filter}"
    return make(ending, "-f", "lavfi", "-i", graph, *arguments)


def yuv(matrix: str, *, full: bool = False, said: bool = False, form: str = "yuv420p") -> str:
    """A filter to values of a matrix; unless ``said``, frames do not tell of it."""
    scale = f"scale=out_color_matrix={matrix}:out_range={'pc' if full else 'tv'}"
    return f"{scale},format={form}" + ("" if said else f",{UNSAID}")


def tags(primaries: str, transfer: str, matrix: str) -> tuple[str, ...]:
    """Options of an encoder."""
    return ("-color_primaries", primaries, "-color_trc", transfer, "-colorspace", matrix)


SOURCES = {
    "untagged-hd": ("96x720", "mp4", yuv("bt709"), X264),
    "untagged-sd": ("96x64", "mp4", yuv("bt601"), X264),
    "tagged-601-hd": (
        *("96x720", "mp4", yuv("bt601", said=True)),
        (*X264, *tags("smpte170m", "smpte170m", "smpte170m")),
    ),
    "tagged-470-sd": (
        *("320x240", "mp4", yuv("bt601", said=True)),
        (*X264, *tags("bt470bg", "gamma28", "bt470bg")),
    ),
    # By the filter, too: from 7.0 on ffmpeg would convert what frames do not say to be so.
    "only-the-matrix": (
        *("320x240", "mp4", f"{yuv('bt709')},setparams=colorspace=bt709"),
        (*X264, "-colorspace", "bt709"),
    ),
    "full-range": ("96x720", "mp4", yuv("bt709", full=True, form="yuvj420p"), X264),
    "rgb-of-x264": ("96x720", "mkv", "null", ("-c:v", "libx264rgb", "-qp", "6")),
    "animation": ("320x240", "mov", "format=argb", ("-c:v", "qtrle")),
    "planar-rgb": ("320x240", "mkv", "format=gbrp10le", ("-c:v", "ffv1")),
    "prores": ("96x720", "mov", yuv("bt709", form="yuv422p10le"), ("-c:v", "prores_ks")),
    "motion-jpeg": ("320x240", "avi", yuv("bt601", full=True, form="yuvj420p"), ("-c:v", "mjpeg")),
    "bt2020": (
        "96x720",
        "mkv",
        "format=gbrp16le,zscale=pin=709:tin=709:min=gbr:rin=pc:p=2020:t=2020_10:m=2020_ncl:r=tv,"
        "format=yuv444p10le",
        ("-c:v", "ffv1", *tags("bt2020", "bt2020-10", "bt2020nc")),
    ),
}


def described(path: Path) -> dict[str, str]:
    """What ffprobe says of the track."""
    shown = "stream=width,height,color_range,color_space,color_primaries,color_transfer"
    command = ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", shown]
    found = subprocess.run(
        [*command, "-of", "json", str(path)], check=True, capture_output=True, timeout=60
    )
    stream: dict[str, str] = json.loads(found.stdout)["streams"][0]
    return stream


def as_a_player(path: Path, said: Mapping[str, str]) -> Frame:
    """The first picture, through the matrix and the range that are said."""
    wide, high = int(said["width"]), int(said["height"])
    read = f"in_color_matrix={OPTION[said['color_space']]}:in_range={said['color_range']}"
    decoded = subprocess.run(
        [
            *("ffmpeg", "-v", "error", "-i", str(path), "-frames:v", "1", "-vf"),
            f"scale={read}:flags=accurate_rnd+full_chroma_int+bicubic,format=rgb24",
            *("-f", "rawvideo", "pipe:1"),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    ).stdout
    return np.frombuffer(decoded, np.uint8).reshape(high, wide, 3)


def off(frame: Frame) -> int:
    """By how much red and green are off, levels of 255."""
    high, wide = frame.shape[:2]
    seen = frame[high // 2, [wide // 4, wide - wide // 4]].astype(int)
    return int(np.abs(seen - (RED, GREEN)).max())


def served(out: Folder, folder: Path) -> list[Path]:
    """Every rung as one file, and the progressive one."""
    steps = []
    for place in sorted((out.root / "hls").iterdir()):
        if place.is_dir():
            path = folder / f"{place.name}.mp4"
            path.write_bytes((place / "init.mp4").read_bytes() + (place / "00000.m4s").read_bytes())
            steps.append(path)
    return [*steps, out.root / "video.mp4"]


ZSCALE = pytest.mark.ffmpeg("filter zscale")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=ZSCALE) if name == "bt2020" else name for name in SOURCES]
)
def test_every_rung_reads_as_the_source(name: str, tmp_path: Path) -> None:
    """Red and green are themselves in each file of a transcode, by the tags that each carries."""
    size, ending, video_filter, encoder = SOURCES[name]
    source = tmp_path / f"x.{ending}"
    source.write_bytes(chart(size, *encoder, ending=ending, video_filter=video_filter))
    out = Folder(tmp_path / "out")
    run("transcode", source, out, tmp_path / "scratch", heights=("96", "48"))
    files = served(out, tmp_path)
    assert len(files) >= 2
    for path in files:
        said = described(path)
        assert said["color_range"] == "tv"
        assert {said[f"color_{one}"] for one in ("space", "primaries", "transfer")} == {"bt709"}
        assert off(as_a_player(path, said)) <= 4, path.name


def test_every_codec_carries_tags(tmp_path: Path) -> None:
    """HEVC and AV1 say the same of their colours as H.264: the container, and the codec itself."""
    source = tmp_path / "x.mp4"
    source.write_bytes(chart("320x240", *X264, video_filter=yuv("bt601")))
    out = Folder(tmp_path / "out")
    codecs = ("h264", "hevc", "av1")
    run("transcode", source, out, tmp_path / "scratch", heights=("240",), codecs=codecs)
    steps = served(out, tmp_path)[:-1]
    assert len(steps) == 3
    for path in steps:
        assert b"colrnclx\x00\x01\x00\x01\x00\x01\x00" in path.read_bytes()
        # Raw: nothing but the bitstream is left to say it.
        form = {"240p.mp4": "h264", "240p-hevc.mp4": "hevc", "240p-av1.mp4": "obu"}[path.name]
        bare = tmp_path / f"bare.{form}"
        command = ["ffmpeg", "-v", "error", "-i", str(path), "-c", "copy", "-f", form, str(bare)]
        subprocess.run(command, check=True, timeout=60)
        for file in (path, bare):
            said = described(file)
            assert {said[f"color_{one}"] for one in ("space", "primaries", "transfer")} == {"bt709"}
            assert said["color_range"] == "tv"


@pytest.mark.parametrize("name", ["untagged-hd", "tagged-601-hd", "full-range", "planar-rgb"])
def test_pictures_of_a_video_have_its_colours(name: str, tmp_path: Path) -> None:
    """A preview that plays is red and green as the video is, and says how to read it."""
    size, ending, video_filter, encoder = SOURCES[name]
    source = tmp_path / f"x.{ending}"
    source.write_bytes(chart(size, *encoder, ending=ending, video_filter=video_filter))
    out = Folder(tmp_path / "out")
    run("preview", source, out, tmp_path / "scratch", formats=("mp4",))
    preview = out.root / "preview.mp4"
    said = described(preview)
    assert (said["color_space"], said["color_primaries"], said["color_range"]) == (
        *("bt709", "bt709"),
        "tv",
    )
    assert off(as_a_player(preview, said)) <= 4


def track(high: int = 480, **said: str | None) -> VideoTrack:
    """A track that says so much of its colours."""
    size: dict[str, Any] = {"width": high * 2, "stored_width": high * 2, "stored_height": high}
    given: dict[str, Any] = {"codec": "h264", "pix_fmt": "yuv420p", **size, **said}
    return VideoTrack(index=0, fps=Fraction(25), height=high, **given)


def test_what_is_not_said_is_what_players_assume() -> None:
    """The height decides where nothing is said; what is said decides the rest."""
    of = colours.of
    assert [of(track(high)).matrix for high in (719, 720)] == ["smpte170m", "bt709"]
    assert of(track(space="gbr")).matrix == "smpte170m"
    assert of(track(primaries="bt709")).matrix == "bt709"
    assert of(track(1080, primaries="bt470bg")).matrix == "smpte170m"
    assert of(track(primaries="bt2020")).matrix == "bt2020nc"
    assert of(track(space="bt2020nc")).primaries == "bt2020"
    assert of(track(transfer="smpte2084")).primaries == "bt2020"
    assert of(track(pix_fmt="pal8", space="bt709")).matrix == "gbr"
    assert [of(track(pix_fmt=form)).full_range for form in ("yuv420p", "yuvj420p", "gray")] == [
        *(False, True),
        True,
    ]
    assert not of(track(pix_fmt="gray", range="tv")).full_range


@ZSCALE
def test_no_combination_of_tags_fails() -> None:
    """Tags are anyone's: whatever they say, filters make a picture of it."""
    spaces = (None, "gbr", "ycgco", "ictcp", "bt2020c", "smpte240m")
    ways = list(itertools.product(spaces, ("smpte432", "film"), ("linear", "smpte2084", "bt1361e")))
    graphs = []
    for number, (space, primaries, transfer) in enumerate(ways):
        form = ("yuv420p", "gbrp", "yuvj422p", "xyz12le", "gray")[number % 5]
        said = {"space": space, "primaries": primaries, "transfer": transfer}
        found = colours.of(track(480, pix_fmt=form, **said))
        scale = {"w": 32, "h": 24, "flags": "bicubic"}
        graph = ",".join(
            f"{name}=" + ":".join(f"{key}={value}" for key, value in options.items())
            for name, options in colours.to_bt709(found, scale, rgb=bool(number % 2))
        )
        odd = f"setparams=color_trc={transfer}:color_primaries={primaries}"
        source = f"color=red:size=33x25:rate=5:duration=0.2,format={form},{odd}"
        graphs.append(f"{source},{graph}[out{number}]")
    # In one program: to start it takes longer than to convert a picture.
    every = [word for number in range(len(ways)) for word in ("-map", f"[out{number}]")]
    arguments = ["-filter_complex", ";".join(graphs), *every, "-f", "framecrc", "pipe:1"]
    shown = run_ffmpeg(arguments, limits=ProgramLimits(wall_seconds=60), capture=True)
    assert {int(line.split(b",")[0]) for line in shown.splitlines() if line[:1] != b"#"} == {
        *range(len(ways))
    }
