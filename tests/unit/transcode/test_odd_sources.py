"""Sources that no camera makes on a good day, and what is made of them: the video, or a verdict."""

from __future__ import annotations

import struct
import subprocess
from math import cos, radians, sin
from pathlib import Path

import pytest

from tests.unit.transcode import clips
from tests.unit.transcode.test_results import check_frames, streams, transcoded
from tests.unit.video.jobs import Folder, divided, run
from worker.domain.errors import Rejected
from worker.video.probe import VideoLimits, probe

pytestmark = pytest.mark.ffmpeg


def joined(path: Path, *parts: Path) -> Path:
    """Transport streams behind each other: what a camera writes that was switched over."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def test_pictures_that_change_their_size_on_the_way(tmp_path: Path) -> None:
    """No frame is lost where it happens; all have the size of the first."""
    first = clips.write(tmp_path / "a.ts", frames=25)
    second = clips.write(
        tmp_path / "b.ts", frames=25, size=(96, 72), options=("-output_ts_offset", "1.08")
    )
    out = transcoded(joined(tmp_path / "x.ts", first, second), tmp_path)
    check_frames(out / "video.mp4", [*range(25), *range(25)])
    assert streams(out / "video.mp4", "width,height") == ["64,48"]


def test_time_that_begins_again_is_a_verdict(tmp_path: Path) -> None:
    """Pictures of one time cannot all be shown: better none than a third of the video."""
    part = clips.write(tmp_path / "a.ts", frames=50)
    with pytest.raises(Rejected, match="jump back") as caught:
        transcoded(joined(tmp_path / "x.ts", part, part, part), tmp_path)
    assert caught.value.code == "corrupt"


def test_a_beginning_that_an_edit_list_cuts_off(tmp_path: Path) -> None:
    """Phones trim so: what is shown begins between key frames, and none of it is lost."""
    source = clips.write(
        tmp_path / "x.mp4",
        frames=75,
        key_frames=50,
        options=("-output_ts_offset", "-0.8", "-avoid_negative_ts", "disabled"),
    )
    out = transcoded(source, tmp_path)
    check_frames(out / "video.mp4", list(range(20, 75)))


@pytest.mark.parametrize("degrees", [30, 91])
def test_a_rotation_that_is_not_by_quarters_is_not_made(degrees: int, tmp_path: Path) -> None:
    """Not here, and no player is told to make it."""
    source = clips.write(tmp_path / "x.mp4", frames=5)
    across, along = (round(part(radians(degrees)) * (1 << 16)) for part in (cos, sin))
    data = bytearray(source.read_bytes())
    matrix = struct.pack(">9i", across, along, 0, -along, across, 0, 0, 0, 1 << 30)
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + len(matrix)] = matrix
    source.write_bytes(data)

    out = transcoded(source, tmp_path)
    check_frames(out / "video.mp4", list(range(5)))
    assert streams(out / "video.mp4", "width,height:stream_side_data=rotation") == ["64,48"]


def test_pixels_that_are_stretched_beyond_what_is_allowed(tmp_path: Path) -> None:
    """The limit applies to the encoded size, not only to the stored size."""
    source = clips.write(tmp_path / "x.mp4", frames=2, video_filter="setsar=15/1")
    assert probe(source, VideoLimits(dimension=960)).video is not None
    for limits in (VideoLimits(dimension=959), VideoLimits(pixels=960 * 48 - 1)):
        with pytest.raises(Rejected):
            probe(source, limits)


def bright(path: Path, *, tagged: bool, full: bool) -> Path:
    """A grey of 203 cd/m2 in PQ (ITU-R BT.2408: diffuse white), 25 frames of it."""
    share = 0.5806
    luma = round(share * 1023) if full else round(64 + share * 876)
    plane = struct.pack("<H", luma) * (64 * 64) + struct.pack("<H", 512) * (64 * 32)
    said = "log-level=error:transfer=smpte2084"
    said += ":colorprim=bt2020:colormatrix=bt2020nc" if tagged else ""
    said += f":range={'full' if full else 'limited'}"
    command = ["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p10le", "-s", "64x64"]
    command += ["-r", "25", "-color_range", "pc" if full else "tv", "-i", "pipe:0"]
    command += ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", said]
    command += ["-color_range", "pc" if full else "tv", str(path)]
    subprocess.run(command, input=plane * 25, check=True, timeout=60)
    return path


@pytest.mark.ffmpeg("filter zscale")
@pytest.mark.parametrize(("tagged", "full"), [(True, False), (False, False), (True, True)])
def test_hdr_that_does_not_say_all_of_itself(tagged: bool, full: bool, tmp_path: Path) -> None:
    """Left-out primaries are those of HDR, and black is where the file says it is."""
    out = transcoded(bright(tmp_path / "x.mkv", tagged=tagged, full=full), tmp_path)
    lumas = clips.lumas(out / "video.mp4")
    assert len(lumas) == 25
    assert max(abs(luma - 182) for luma in lumas) < 3


def test_a_video_that_is_mostly_damaged_is_none(tmp_path: Path) -> None:
    """The picture before it would stand still for all the rest; a moment of damage is bridged. So
    on one machine, on several, and where a stopped attempt has come past it."""
    data = clips.write(tmp_path / "x.mp4", frames=500, key_frames=25).read_bytes()
    first = data.index(b"mdat") + 4
    last = data.index(b"moov") - 4 if data.index(b"moov") > first else len(data)
    for share, accepted in ((0.03, True), (0.6, False)):
        start = first + (last - first) // 5
        end = start + int((last - first) * share)
        source = tmp_path / f"{share}.mp4"
        source.write_bytes(data[:start] + bytes(end - start) + data[end:])
        kept = Folder(tmp_path / f"kept-{share}")

        def alone(source: Path = source, kept: Folder = kept) -> None:
            out = Folder(tmp_path / "out")
            run("transcode", source, out, tmp_path / "scratch", checkpoint=kept, heights=("24",))

        def by_two(source: Path = source, share: float = share) -> None:
            out = Folder(tmp_path / f"divided-{share}")
            divided(source, out, tmp_path / "scratch", heights=("24",))

        for way in (alone, by_two) if accepted else (alone, alone, by_two):
            if accepted:
                way()
                continue
            with pytest.raises(Rejected, match="too much of it") as caught:
                way()
            assert caught.value.code == "corrupt"


@pytest.mark.ffmpeg("decoder libdav1d", "encoder libsvtav1")
def test_pictures_that_a_decoder_leaves_out_are_damage(tmp_path: Path) -> None:
    """That of AV1 passes over zeroed packets without a word: what came of them is counted."""
    coder = ("-c:v", "libsvtav1", "-preset", "12", "-svtav1-params", "keyint=25")
    footage = clips.write(tmp_path / "x.mp4", frames=750, size=(64, 64), options=coder)
    data = footage.read_bytes()
    first = data.index(b"mdat") + 4
    last = data.index(b"moov") - 4
    start, end = (first + (last - first) * share // 10 for share in (2, 8))
    footage.write_bytes(data[:start] + bytes(end - start) + data[end:])
    with pytest.raises(Rejected, match="too much of it") as caught:
        transcoded(footage, tmp_path)
    assert caught.value.code == "corrupt"
