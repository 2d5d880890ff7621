"""What comes out of transcoding real clips, proved by decoding all of it."""

from __future__ import annotations

import re
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.unit.transcode import clips
from tests.unit.video.jobs import Folder, run
from tests.unit.video.samples import PQ

pytestmark = pytest.mark.ffmpeg


def transcoded(source: Path, tmp_path: Path, **parameters: object) -> Path:
    """The folder of results of a whole transcode."""
    outputs = Folder(tmp_path / "out")
    run("transcode", source, outputs, tmp_path / "scratch", **parameters)
    return outputs.root


def check_frames(path: Path, expected: list[int], stream: str = "0:v:0") -> None:
    """Every frame is the one it should be: its grey is nearer to its own than to a neighbour's."""
    shown = clips.lumas(path, stream)
    assert len(shown) == len(expected)
    assert max(abs(a - b) for a, b in zip(shown, map(clips.grey, expected), strict=True)) < 2.4


def lengths(playlist: Path) -> list[float]:
    """The lengths that a media playlist gives, seconds."""
    return [float(value) for value in re.findall(r"#EXTINF:([0-9.]+),", playlist.read_text())]


def streams(path: Path, entries: str) -> list[str]:
    """What ffprobe says of each stream."""
    command = ["ffprobe", "-v", "error", "-show_entries", f"stream={entries}", "-of", "csv=p=0"]
    listed = subprocess.run([*command, str(path)], check=True, capture_output=True, text=True)
    return listed.stdout.split()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three segments of two rungs at 30000/1001 frames a second, with audio."""
    folder = tmp_path_factory.mktemp("whole")
    source = clips.write(
        folder / "x.mp4", frames=90, rate="30000/1001", audio=[3.003], key_frames=37
    )
    return transcoded(source, folder, segment_seconds=1.0, heights=("48", "24"))


def test_every_frame_is_there_in_order_and_audio_is_as_long(whole: Path) -> None:
    """No frame is lost, doubled or late."""
    check_frames(whole / "video.mp4", list(range(90)))
    for rung in ("48p", "24p"):
        check_frames(whole / "hls" / rung / "index.m3u8", list(range(90)))
        assert lengths(whole / "hls" / rung / "index.m3u8") == [1.001, 1.001, 1.001]
    samples = round(3.003 * 48000)
    assert abs(len(clips.heard(whole / "video.mp4")) - samples) <= 2048
    assert sum(lengths(whole / "hls/audio-0/index.m3u8")) == pytest.approx(3.003, abs=0.022)


def test_the_master_playlist_plays_every_rung_and_its_bandwidth_holds(whole: Path) -> None:
    """No segment has more bits a second than the playlist says, and a player finds all of it."""
    master = (whole / "hls/master.m3u8").read_text()
    assert "#EXT-X-INDEPENDENT-SEGMENTS" in master
    assert "RESOLUTION=64x48,FRAME-RATE=29.970" in master
    assert re.search(r'CODECS="avc1\.[0-9a-f]{6},mp4a\.40\.2"', master)
    check_frames(whole / "hls/master.m3u8", list(range(90)))
    peaks: dict[str, float] = {}
    for name in ("48p", "24p", "audio-0"):
        sizes = [path.stat().st_size for path in sorted((whole / "hls" / name).glob("*.m4s"))]
        seconds = lengths(whole / "hls" / name / "index.m3u8")
        peaks[name] = max(a * 8 / b for a, b in zip(sizes, seconds, strict=True))
    for name in ("48p", "24p"):
        found = re.search(rf":BANDWIDTH=(\d+),.*\n{name}/index", master)
        assert found is not None
        assert int(found[1]) >= int(peaks[name] + peaks["audio-0"])


def test_segments_can_be_decoded_alone(whole: Path, tmp_path: Path) -> None:
    """Any segment behind the init segment gives its own frames and no complaint."""
    place = whole / "hls/48p"
    alone = tmp_path / "alone.mp4"
    alone.write_bytes((place / "init.mp4").read_bytes() + (place / "00001.m4s").read_bytes())
    check_frames(alone, list(range(30, 60)))


def test_the_progressive_file_begins_with_its_index(whole: Path) -> None:
    """``faststart``: a player needs not fetch the end first."""
    data = (whole / "video.mp4").read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")


def test_pictures_at_uneven_times_keep_their_times(tmp_path: Path) -> None:
    """Of a variable rate each picture is repeated until the next: nothing drifts."""
    keep = "select='lt(n,30)+not(mod(n,2))'"
    source = clips.write(tmp_path / "x.mkv", frames=75, video_filter=keep)
    out = transcoded(source, tmp_path, segment_seconds=1.0)
    shown = [number if number < 30 else number // 2 * 2 for number in range(75)]
    check_frames(out / "video.mp4", shown)


@pytest.mark.parametrize("ending", ["mkv", "ts", "avi", "mov"])
def test_containers_differ_in_nothing(tmp_path: Path, ending: str) -> None:
    """Seeking is only as good as a container's index; the frames are the same all the same."""
    options = ["-c:v", "mpeg4", "-q:v", "2", "-bf", "0"] if ending == "avi" else []
    source = clips.write(tmp_path / f"x.{ending}", frames=75, options=options)
    out = transcoded(source, tmp_path, segment_seconds=1.0)
    check_frames(out / "video.mp4", list(range(75)))


def test_a_rotated_clip_comes_out_upright(tmp_path: Path) -> None:
    """The rotation of a phone is done, not written down: width and height change places."""
    source = clips.write(tmp_path / "x.mp4", frames=25)
    turned = clips.turn(source, tmp_path / "turned.mp4")
    out = transcoded(turned, tmp_path)
    assert streams(out / "video.mp4", "width,height") == ["48,64"]


def test_odd_sides_lose_a_line(tmp_path: Path) -> None:
    """4:2:0 needs even sides; the result is never larger than the source."""
    source = clips.write(
        tmp_path / "x.mp4", frames=25, size=(65, 49), options=["-pix_fmt", "yuv444p"]
    )
    out = transcoded(source, tmp_path)
    assert streams(out / "video.mp4", "width,height,pix_fmt") == ["64,48,yuv420p"]


@pytest.mark.ffmpeg("filter zscale")
def test_hdr_becomes_sdr(tmp_path: Path) -> None:
    """PQ in BT.2020 comes out as BT.709, 8 bits, in the playlist's words too."""
    source = clips.write(tmp_path / "x.mp4", frames=25, options=PQ)
    out = transcoded(source, tmp_path)
    (found,) = streams(out / "video.mp4", "pix_fmt,color_space,color_transfer,color_primaries")
    assert found == "yuv420p,bt709,bt709,bt709"
    assert "VIDEO-RANGE=SDR" in (out / "hls/master.m3u8").read_text()


def test_two_tracks_of_audio_are_both_offered(tmp_path: Path) -> None:
    """Each has its language and a playlist; a track that ends early is filled with silence."""
    languages = ["-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=deu"]
    source = clips.write(tmp_path / "x.mp4", frames=75, audio=[3, 1.5], options=languages)
    out = transcoded(source, tmp_path, segment_seconds=1.0)
    master = (out / "hls/master.m3u8").read_text()
    assert 'LANGUAGE="en",DEFAULT=YES' in master
    assert 'LANGUAGE="de",DEFAULT=NO' in master
    second = clips.heard(out / "video.mp4", "0:a:1")
    assert abs(len(second) - 3 * 48000) <= 2048
    assert np.abs(second[20_000:60_000].astype(int)).max() > 1000
    assert np.abs(second[80_000:].astype(int)).max() < 50


def test_late_audio_stays_late(tmp_path: Path) -> None:
    """Audio that begins a second after the picture does so in the result, to 5 ms."""
    picture = clips.write(tmp_path / "p.mp4", frames=75)
    source = tmp_path / "x.mkv"
    command = ["ffmpeg", "-v", "error", "-i", str(picture), "-itsoffset", "1", "-f", "lavfi"]
    command += ["-i", "sine=duration=2", "-map", "0", "-map", "1", "-c:v", "copy"]
    subprocess.run([*command, "-c:a", "pcm_s16le", str(source)], check=True)
    out = transcoded(source, tmp_path)
    loud = np.abs(clips.heard(out / "video.mp4").astype(int)) > 500
    assert abs(int(np.argmax(loud)) - 48_000) < 240


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_audio_that_goes_on_holds_the_last_picture(ending: str, tmp_path: Path) -> None:
    """Two seconds of music after the last picture are kept, under that picture.

    Matroska has no lengths of tracks: how long the audio is, its packets tell.
    """
    source = clips.write(tmp_path / f"x.{ending}", frames=25, audio=[3])
    out = transcoded(source, tmp_path, segment_seconds=1.0)
    check_frames(out / "video.mp4", [*range(25), *([24] * 50)])


def test_audio_that_only_claims_to_go_on_holds_nothing(tmp_path: Path) -> None:
    """Three hours in a header would be three hours of the last picture."""
    source = clips.write(tmp_path / "x.mp4", frames=25, audio=[1])
    data = bytearray(source.read_bytes())
    at = data.index(b"mdhd", data.index(b"mdhd") + 4) + 16  # of the audio
    struct.pack_into(">I", data, at + 4, 10_800 * struct.unpack_from(">I", data, at)[0])
    source.write_bytes(data)
    out = transcoded(source, tmp_path)
    check_frames(out / "video.mp4", list(range(25)))


@pytest.mark.parametrize(
    ("left_out", "encoded"), [("hls", ["48p.mp4"]), ("mp4", ["48p.mp4", "24p.mp4"])]
)
def test_what_is_not_wanted_is_not_made(left_out: str, encoded: list[str], tmp_path: Path) -> None:
    """Without HLS only what the MP4 needs is encoded: the other rungs would be thrown away."""
    source = clips.write(tmp_path / "x.mp4", frames=25)
    outputs, kept = Folder(tmp_path / "out"), Folder(tmp_path / "checkpoint")
    words = {left_out: False, "heights": ("48", "24")}
    run("transcode", source, outputs, tmp_path / "scratch", checkpoint=kept, **words)
    assert ("video.mp4" in outputs.content("")) == (left_out == "hls")
    assert bool(outputs.content("hls/")) == (left_out == "mp4")
    assert [name.rpartition("-")[2] for name in kept.put_names] == encoded


def test_loudness_meets_its_target(tmp_path: Path) -> None:
    """A quiet tone is brought to -16 LUFS; without normalising it stays as it was."""
    source = clips.write(tmp_path / "x.mp4", frames=75, audio=[3])

    def loudness(path: Path) -> float:
        chain = "ebur128=metadata=1,ametadata=print:key=lavfi.r128.I:file=-"
        command = ["ffmpeg", "-v", "error", "-i", str(path), "-af", chain, "-f", "null", "-"]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return float(re.findall(r"lavfi.r128.I=(\S+)", said)[-1])

    before = loudness(source)
    out = transcoded(source, tmp_path)
    assert loudness(out / "video.mp4") == pytest.approx(-16, abs=0.3)
    out = transcoded(source, tmp_path, normalise=False)
    assert loudness(out / "video.mp4") == pytest.approx(before, abs=0.3)


@pytest.mark.parametrize(
    "codec", ["hevc", pytest.param("av1", marks=pytest.mark.ffmpeg("decoder libdav1d"))]
)
def test_other_codecs_join_the_ladder(tmp_path: Path, codec: str) -> None:
    """Parts of other encoders fit together just so, and play beside H.264."""
    source = clips.write(tmp_path / "x.mp4", frames=75, size=(96, 64))
    out = transcoded(source, tmp_path, codecs=("h264", codec), segment_seconds=1.0)
    check_frames(out / f"hls/64p-{codec}/index.m3u8", list(range(75)))
    name = {"hevc": "hvc1", "av1": "av01"}[codec]
    assert f'CODECS="{name}.' in (out / "hls/master.m3u8").read_text()


def test_one_frame_is_a_video(tmp_path: Path) -> None:
    """The shortest there is has one segment of one frame."""
    source = clips.write(tmp_path / "x.mp4", frames=1)
    out = transcoded(source, tmp_path)
    check_frames(out / "video.mp4", [0])
    assert lengths(out / "hls/48p/index.m3u8") == [0.04]


def test_a_damaged_middle_is_bridged(tmp_path: Path) -> None:
    """Pictures that cannot be decoded are covered by others: length and audio stay right."""
    source = clips.write(tmp_path / "x.mp4", frames=75, audio=[3])
    data = bytearray(source.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = bytes(200)
    source.write_bytes(data)
    out = transcoded(source, tmp_path, segment_seconds=1.0)
    assert len(clips.lumas(out / "video.mp4")) == 75
