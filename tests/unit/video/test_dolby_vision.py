"""Tests of Dolby Vision: pictures that only its own displays show right are refused."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from batch.operations import find
from tests.unit.video.jobs import work
from tests.unit.video.samples import make
from worker.domain.errors import Rejected
from worker.video.probe import probe

pytestmark = pytest.mark.ffmpeg


def box(name: bytes, body: bytes) -> bytes:
    """A box of MP4 (ISO/IEC 14496-12, 4.2)."""
    return struct.pack(">I4s", 8 + len(body), name) + body


def dolby(profile: int, base: int) -> bytes:
    """A video that says it is Dolby Vision: dvcC or dvvC in its sample entry ("Dolby Vision Streams
    Within the ISO Base Media File Format", 2.6, 3.2)."""
    footage = make(
        "mp4",
        *("-f", "lavfi", "-i", "testsrc2=size=160x90:rate=10:duration=0.4"),
        *("-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-x265-params", "log-level=error"),
        *("-tag:v", "hvc1"),
    )
    bits = profile << 9 | 3 << 3 | 0b101
    record = bytes((1, 0)) + struct.pack(">HB", bits, base << 4) + bytes(19)
    added = box(b"dvvC" if profile > 7 else b"dvcC", record)
    data = bytearray(footage)
    start = footage.index(b"moov")
    entry = footage.index(b"hvc1", footage.index(b"stsd")) - 4
    (length,) = struct.unpack_from(">I", footage, entry)
    data[entry + length : entry + length] = added
    places = [footage.index(name, start) - 4 for name in PARENTS]
    for at in (entry, *places):
        struct.pack_into(">I", data, at, struct.unpack_from(">I", footage, at)[0] + len(added))
    return bytes(data)


PARENTS = (b"stsd", b"stbl", b"minf", b"mdia", b"trak", b"moov")
SHOWN = ("poster", "storyboard", "preview", "transcode-plan", "transcode")


@pytest.mark.parametrize(("profile", "base", "kinds"), [(5, 0, SHOWN), (10, 0, ("poster",))])
def test_colours_of_dolby_vision_alone_are_refused(
    profile: int, base: int, kinds: tuple[str, ...], tmp_path: Path
) -> None:
    """By every job that shows pictures, with a code; metadata name the profile."""
    source = tmp_path / "x.mp4"
    source.write_bytes(dolby(profile, base))
    for kind in kinds:
        job, _ = work(kind, source, tmp_path)
        with pytest.raises(Rejected, match=f"Dolby Vision profile {profile}") as caught:
            find(kind)(job)
        assert caught.value.code == "unsupported_variant"
    job, _ = work("video-metadata", source, tmp_path)
    video = find("video-metadata")(job)["video"]
    assert isinstance(video, dict)
    assert video["dolby_vision"] == f"{profile}.{base}"


@pytest.mark.parametrize(("profile", "base"), [(8, 1), (8, 4), (7, 6), (9, 2)])
def test_a_base_layer_that_others_show_is_taken(profile: int, base: int, tmp_path: Path) -> None:
    """The enhancement layer for Dolby Vision displays is ignored."""
    source = tmp_path / "x.mp4"
    source.write_bytes(dolby(profile, base))
    found = probe(source).video
    assert found is not None
    assert found.dolby_vision == f"{profile}.{base}"
