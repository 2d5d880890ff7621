"""Videos of which a part is missing, damaged or unknown: the rest is shown, with a mark."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import pytest

from tests.unit.transcode import clips
from tests.unit.video.jobs import Folder, divided, run
from worker.domain.errors import Rejected
from worker.video import container
from worker.video.probe import probe

pytestmark = pytest.mark.ffmpeg

RECORDED = {
    "every index in its fragment": "frag_keyframe+empty_moov",
    "lengths in front": "dash+frag_keyframe+global_sidx",
    "a first part of the ordinary kind": "frag_keyframe",
}
BOTH = "lengths in front"
"""Cut off everywhere and transcoded: within its data each kind is."""


def boxes(data: bytes, kind: bytes) -> list[tuple[int, int]]:
    """Where each top-level box of a kind begins and how long it is."""
    at, found = 0, []
    while at < len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        if name == kind:
            found.append((at, length))
        at += length
    return found


@cache
def recording(flags: str) -> bytes:
    """Four seconds, a fragment each: 100 frames."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "x.mp4")
        clips.write(path, frames=100, audio=(4,), key_frames=25, options=("-movflags", flags))
        return path.read_bytes()


def transcoded(source: Path, folder: Path) -> tuple[Mapping[str, object], Folder]:
    """Details and results of a whole transcode."""
    out = Folder(folder / "out")
    return run("transcode", source, out, folder / "scratch", heights=("48",)), out


@pytest.mark.parametrize("kind", RECORDED)
@pytest.mark.parametrize("where", ["data", "index", "head", "room"])
def test_a_recording_that_was_cut_off(kind: str, where: str, tmp_path: Path) -> None:
    """Whole fragments are a video, with what is there of the last one; a mark says it is cut."""
    flags = RECORDED[kind]
    data = recording(flags)
    index, content = boxes(data, b"moof")[2], boxes(data, b"mdat")
    before = [place for place in content if place[0] < index[0]]
    last = content[len(before)]
    whole = sum(end <= index[0] for end, _ in before)
    cut = {
        "data": data[: last[0] + last[1] // 2],
        "index": data[: index[0] + index[1] // 2],
        "head": data[: index[0] + 5],
        "room": data[: index[0]] + bytes(4096),
    }[where]
    source = tmp_path / "x.mp4"
    source.write_bytes(cut)
    found = probe(source)
    assert "damaged" in found.warnings
    if where != "data" and kind != BOTH:
        return  # what can be read ends behind a fragment: from here on it is as if cut in its data
    details, out = transcoded(source, tmp_path)
    assert "damaged" in cast("list[str]", details["warnings"])
    lumas = clips.lumas(out.root / "video.mp4")
    assert 25 * whole <= len(lumas) <= 25 * whole + (25 if where == "data" else 0)
    assert abs(len(lumas) / 25 - found.duration) < 0.2
    assert all(
        abs(luma - clips.grey(number)) < 3 for number, luma in enumerate(lumas[: 25 * whole])
    )


@pytest.mark.parametrize("ending", ["ts", "flv"])
def test_a_stream_that_was_cut_off(ending: str, tmp_path: Path) -> None:
    """A stream that ends within a packet is marked, a whole one is not."""
    whole = clips.write(tmp_path / f"x.{ending}", frames=50).read_bytes()
    source = tmp_path / f"y.{ending}"
    source.write_bytes(whole)
    assert "damaged" not in probe(source).warnings
    source.write_bytes(whole[: len(whole) * 9 // 10 // 188 * 188 + 77])
    assert "damaged" in probe(source).warnings
    details, _ = transcoded(source, tmp_path)
    assert "damaged" in cast("list[str]", details["warnings"])


def test_frames_that_an_avi_has_lost(tmp_path: Path) -> None:
    """Its index names them: a few are damage, most of them are too much. Empty frames, with which
    an AVI holds a picture, are none that are missing."""
    source = tmp_path / "x.avi"
    whole = clips.write(source, frames=100, options=("-c:v", "mpeg4", "-g", "5")).read_bytes()
    assert probe(source).warnings == ()
    data = slice(whole.index(b"movi"), whole.rindex(b"idx1"))
    length = data.stop - data.start
    for share, start in ((0.05, 0.5), (0.6, 0.2)):
        at, hole = data.start + int(start * length), int(share * length)
        source.write_bytes(whole[:at] + bytes(hole) + whole[at + hole :])
        if share < 0.2:
            assert "damaged" in probe(source).warnings
            continue
        with pytest.raises(Rejected) as caught:
            probe(source)
        assert caught.value.code == "corrupt"
    held = "select=eq(n\\,0)+eq(n\\,40)+eq(n\\,99)"
    clips.write(source, frames=100, video_filter=held, options=("-c:v", "mpeg4", "-bf", "0"))
    assert container.examine(source).avi_frames == {0: 3}
    assert "damaged" not in probe(source).warnings


def test_what_counts_as_cut_off(tmp_path: Path) -> None:
    """A whole recording is not, nor one that ends behind a fragment; an ordinary MP4 is refused."""
    data = recording(RECORDED["every index in its fragment"])
    source = tmp_path / "y.mp4"
    at, length = boxes(data, b"mdat")[1]
    for end in (len(data), at + length):
        source.write_bytes(data[:end])
        assert container.readable_bytes(source) is None
        assert probe(source).warnings == ()
    source.write_bytes(data[: boxes(data, b"moof")[0][0] + 20])
    with pytest.raises(Rejected) as caught:
        probe(source)
    assert caught.value.code == "truncated"
    clips.write(source, frames=25, options=("-movflags", "faststart"))
    source.write_bytes(source.read_bytes()[:-100])
    with pytest.raises(Rejected) as caught:
        probe(source)
    assert caught.value.code == "truncated"


@pytest.mark.parametrize("way", [partial(run, "transcode"), divided])
def test_a_video_altered_in_its_middle_is_marked(
    way: Callable[..., object], tmp_path: Path
) -> None:
    """On one machine and on several; the same video unaltered is not."""
    data = clips.write(tmp_path / "x.mp4", frames=400, key_frames=25).read_bytes()
    middle = data.index(b"mdat") + (data.index(b"moov") - data.index(b"mdat")) // 2
    altered = data[:middle] + bytes(40) + data[middle + 40 :]
    for content, warnings in ((data, []), (altered, ["damaged"])):
        source = tmp_path / "y.mp4"
        source.write_bytes(content)
        out = Folder(tmp_path / f"out-{len(warnings)}")
        details = way(source, out, tmp_path / "scratch", heights=("48",))
        assert cast("Mapping[str, object]", details)["warnings"] == warnings


@pytest.mark.parametrize(
    ("coding", "known"), [(b"zzzz", 0), (b"Qclp", 0), (b"mha1", 0), (b"Qclp", 1)]
)
def test_audio_of_an_unknown_coding_is_left_out(coding: bytes, known: int, tmp_path: Path) -> None:
    """A video that has no other audio is silent; what is known beside it is heard. Both say so.

    Nobody knows the first coding, ffmpeg knows the second and Safelight does not want it decoded,
    the third has a name and no decoder.
    """
    data = clips.write(tmp_path / "x.mp4", frames=50, audio=(2,) * (1 + known)).read_bytes()
    data = data.replace(b"mp4a", coding, 1).replace(b"esds", b"zzzz", 1)
    source = tmp_path / "y.mp4"
    source.write_bytes(data)
    details, out = transcoded(source, tmp_path)
    assert details["warnings"] == ["audio_ignored"]
    assert len(cast("list[object]", details["sounds"])) == known
    assert len(clips.lumas(out.root / "video.mp4")) == 50
    assert ("TYPE=AUDIO" in (out.root / "hls/master.m3u8").read_text()) == bool(known)
    if known:
        assert len(clips.heard(out.root / "video.mp4")) >= 95_000
    else:
        with pytest.raises(Rejected, match="audio") as caught:
            run("audio-waveform", source, Folder(tmp_path / "w"), tmp_path / "scratch")
        assert caught.value.code == "unsupported_variant"
