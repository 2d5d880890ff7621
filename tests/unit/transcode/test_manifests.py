"""What players choose by: the master playlist (RFC 8216, 4.3.4) and the manifest of DASH."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.unit.transcode import clips
from tests.unit.transcode.test_results import check_frames, lengths, transcoded
from worker.domain.errors import EngineError
from worker.video import fmp4
from worker.video.manifests import MediaStream, Segment, language_tag, playlist

_NAMES = {"": "urn:mpeg:dash:schema:mpd:2011"}

TRACKS = (
    ("eng", 'a "quoted", title'),
    ("eng", "commentary"),
    ("ger", '"""'),
    ("und", "#EXT-X-ENDLIST"),
    ("gsw", "commentary"),
    ("und", "commentary 5"),
    ("und", ""),
    ("x y<&", "</Label>&amp;"),
)


@pytest.mark.ffmpeg
def test_tracks_of_audio_are_told_apart(tmp_path: Path) -> None:
    """Tags of RFC 5646, one track of a language to choose by itself, names that differ and end no
    line."""
    options: list[str] = []
    for number, (language, title) in enumerate(TRACKS):
        options += [f"-metadata:s:a:{number}", f"language={language}"]
        options += [f"-metadata:s:a:{number}", f"title={title}"]
    source = clips.write(tmp_path / "x.mkv", frames=5, audio=[0.2] * len(TRACKS), options=options)
    out = transcoded(source, tmp_path)
    text = (out / "hls/master.m3u8").read_text()
    found = re.findall(
        r'^#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="([^"]+)"(?:,LANGUAGE="([^"]+)")?,'
        r'DEFAULT=(YES|NO),AUTOSELECT=(YES|NO),CHANNELS="1",URI="audio-\d/index.m3u8"$',
        text,
        re.MULTILINE,
    )
    assert found == [
        ("a quoted, title", "en", "YES", "YES"),
        ("commentary", "en", "NO", "NO"),
        ("ger", "de", "NO", "YES"),
        ("#EXT-X-ENDLIST", "", "NO", "YES"),
        ("commentary 5", "gsw", "NO", "YES"),
        ("commentary 5 6", "", "NO", "NO"),
        ("Track 7", "", "NO", "NO"),
        ("</Label>&amp;", "", "NO", "NO"),
    ]
    sets = manifest(out).findall(".//AdaptationSet[@contentType='audio']", _NAMES)
    assert [(one.findtext("Label", None, _NAMES), one.get("lang", "")) for one in sets] == [
        (name, language) for name, language, _, _ in found
    ]


@pytest.mark.ffmpeg
def test_the_first_variant_is_of_the_first_codec(tmp_path: Path) -> None:
    """A player that knows no other begins with that one, however near others are."""
    noise = "noise=alls=90:allf=t"
    source = clips.write(tmp_path / "x.mp4", frames=50, size=(96, 64), video_filter=noise)
    out = transcoded(source, tmp_path, codecs=("h264", "av1"), heights=("64",))
    master = (out / "hls/master.m3u8").read_text()
    rates = [int(rate) for rate in re.findall(r"INF:BANDWIDTH=(\d+)", master)]
    assert rates[0] < rates[1] < 2_000_000
    assert re.findall(r'CODECS="(....)', master) == ["avc1", "av01"]


def manifest(out: Path) -> ElementTree.Element:
    """The MPD of a transcode."""
    return ElementTree.parse(out / "hls/manifest.mpd").getroot()


def variants(out: Path) -> Mapping[str, Mapping[str, str]]:
    """The attributes of each variant of the master playlist, by the name of its rung."""
    text = (out / "hls/master.m3u8").read_text()
    return {
        name: dict(_attributes(line))
        for line, name in re.findall(r"#EXT-X-STREAM-INF:(.*)\n(.+)/index.m3u8", text)
    }


def _attributes(line: str) -> list[tuple[str, str]]:
    return [(name, a or b) for name, a, b in re.findall(r'([A-Z-]+)=(?:"([^"]*)"|([^,]*))', line)]


def begins(template: ElementTree.Element) -> list[int]:
    """The ticks at which segments begin by a ``SegmentTimeline``, and the end of the last one."""
    ticks = [0]
    for one in template.iterfind("SegmentTimeline/S", _NAMES):
        assert int(one.get("t", ticks[-1])) == ticks[-1]
        for _ in range(int(one.get("r", "0")) + 1):
            ticks.append(ticks[-1] + int(one.attrib["d"]))
    return ticks


def own_times(folder: Path) -> list[int]:
    """The time that each segment of a stream has in itself (``tfdt``), ticks."""
    times = []
    for path in sorted(folder.glob("*.m4s")):
        begin = fmp4.find(path.read_bytes(), b"moof", b"traf", b"tfdt")
        assert begin[0] == 1
        times.append(struct.unpack_from(">Q", begin, 4)[0])
    return times


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five segments, the last one short, of two rungs in two codecs at 30000/1001, two tracks."""
    folder = tmp_path_factory.mktemp("ladder")
    source = clips.write(
        folder / "x.mkv", frames=130, size=(96, 64), rate="30000/1001", audio=[4.4, 4.4]
    )
    codecs, heights = ("h264", "av1"), ("64", "32")
    return transcoded(source, folder, segment_seconds=1.0, codecs=codecs, heights=heights)


@pytest.mark.ffmpeg("encoder libsvtav1")
def test_dash_says_what_hls_says(ladder: Path) -> None:
    """The same streams, codecs, sizes, peaks and times of segments, of the same files."""
    listed = variants(ladder)
    mpd = manifest(ladder)
    streams = mpd.findall(".//Representation", _NAMES)
    names = [one.attrib["id"] for one in streams]
    assert sorted(names) == sorted([*listed, "audio-0", "audio-1"])
    peak = max(int(one.attrib["bandwidth"]) for one in streams if "width" not in one.attrib)
    for one in streams:
        if "width" in one.attrib:
            said = listed[one.attrib["id"]]
            assert one.attrib["codecs"] == said["CODECS"].split(",")[0]
            assert f"{one.attrib['width']}x{one.attrib['height']}" == said["RESOLUTION"]
            assert int(one.attrib["bandwidth"]) + peak == int(said["BANDWIDTH"])
    for group in mpd.iterfind("Period/AdaptationSet", _NAMES):
        template = group.find("SegmentTemplate", _NAMES)
        assert template is not None
        ticks, scale = begins(template), int(template.attrib["timescale"])
        for one in group.iterfind("Representation", _NAMES):
            folder = ladder / "hls" / one.attrib["id"]
            assert own_times(folder) == ticks[:-1]
            files = [f"{number:05}.m4s" for number in range(len(ticks) - 1)]
            assert sorted(path.name for path in folder.iterdir()) == [
                *files,
                "index.m3u8",
                "init.mp4",
            ]
            ends = list(accumulate(lengths(folder / "index.m3u8")))
            assert ends == pytest.approx([tick / scale for tick in ticks[1:]], abs=1e-6)


@pytest.mark.ffmpeg("encoder libsvtav1")
def test_the_manifest_keeps_the_rules_of_dash(ladder: Path) -> None:
    """The manifest meets ISO/IEC 23009-1 for static manifests of the live profile (5.3.1.2,
    8.4)."""
    mpd = manifest(ladder)
    assert mpd.tag == f"{{{_NAMES['']}}}MPD"
    assert (mpd.get("type"), mpd.get("profiles")) == (
        "static",
        "urn:mpeg:dash:profile:isoff-live:2011",
    )
    duration = re.compile(r"PT([0-9]+(?:\.[0-9]+)?)S")
    seconds = {
        name: float(duration.fullmatch(mpd.attrib[name])[1])  # type: ignore[index]
        for name in ("mediaPresentationDuration", "minBufferTime", "maxSegmentDuration")
    }
    assert seconds["mediaPresentationDuration"] == pytest.approx(130 * 1001 / 30000, abs=1e-6)
    sets = mpd.findall("Period/AdaptationSet", _NAMES)
    assert len({one.attrib["id"] for one in sets}) == len(sets) == 4
    # Children in the order of the schema, and each representation with what it must have.
    order = ["AudioChannelConfiguration", "Label", "Role", "SegmentTemplate", "Representation"]
    for one in sets:
        found = [order.index(child.tag.rpartition("}")[2]) for child in one]
        assert found == sorted(found)
        assert one.get("segmentAlignment") == "true"
        template = one.find("SegmentTemplate", _NAMES)
        assert template is not None
        assert "$RepresentationID$" in template.attrib["initialization"]
        assert template.attrib["media"] == "$RepresentationID$/$Number%05d$.m4s"
        ticks = begins(template)
        longest = max(later - sooner for sooner, later in pairwise(ticks))
        assert longest / int(template.attrib["timescale"]) <= seconds["maxSegmentDuration"] + 1e-6
        # All sizes of a set have one codec.
        codecs = {each.attrib["codecs"][:4] for each in one.iterfind("Representation", _NAMES)}
        assert len(codecs) == 1
    assert sets[0].get("frameRate") == "30000/1001"


@pytest.mark.ffmpeg("encoder libsvtav1", "demuxer dash")
def test_ffmpeg_plays_the_manifest(ladder: Path) -> None:
    """All frames of every size, and both tracks of audio as long as the picture."""
    frames = list(range(130))
    for number in range(3):  # AV1 has no rung below 64 pixels
        check_frames(ladder / "hls/manifest.mpd", frames, f"0:v:{number}")
    for number in range(2):
        samples = clips.heard(ladder / "hls/manifest.mpd", f"0:a:{number}")
        assert abs(len(samples) - 130 * 1001 / 30000 * 48000) <= 1024


@pytest.mark.ffmpeg
def test_audio_needs_no_edit_list(tmp_path: Path) -> None:
    """Its segments have the times at which they are heard, to the sample as in the MP4, where an
    edit list hides the encoder's first frame. Only the first 1024 samples differ: they fade in."""
    source = clips.write(tmp_path / "x.mkv", frames=75, audio=[3])
    out = transcoded(source, tmp_path, segment_seconds=1.0)
    header = (out / "hls/audio-0/init.mp4").read_bytes()
    with pytest.raises(EngineError, match="edts"):
        fmp4.find(header, b"moov", b"trak", b"edts")
    assert fmp4.find(header, b"moov", b"trak", b"mdia", b"mdhd")
    whole, parts = clips.heard(out / "video.mp4"), clips.heard(out / "hls/audio-0/index.m3u8")
    # ffmpeg decodes the last frame to its end.
    assert all(3 * 48_000 <= len(each) < 3 * 48_000 + 1024 for each in (whole, parts))
    later = slice(1024, 3 * 48_000)
    kept, same = whole[later].astype(float), parts[later].astype(float)
    # The decoder's noise differs (PNS); one sample off would be 5 % at 400 Hz.
    assert np.std(same - kept) < 0.01 * np.std(kept)


def test_lengths_of_segments_do_not_drift() -> None:
    """After four hours too a playlist says to the microsecond when a segment begins."""
    count, ticks = 7200, 88_064
    stream = MediaStream(
        name="x",
        codec="mp4a.40.2",
        timescale=44_100,
        segments=(Segment(bytes=1, ticks=ticks),) * count,
    )
    written = [Fraction(text) for text in re.findall(r"#EXTINF:([0-9.]+),", playlist(stream))]
    assert len(written) == count
    for number, end in enumerate(accumulate(written), 1):
        assert abs(end - Fraction(number * ticks, 44_100)) <= Fraction(1, 1_000_000)


@pytest.mark.parametrize(
    ("language", "expected"),
    [("deu", "de"), ("ger", "de"), ("de", "de"), ("gsw", "gsw"), ("zho-hant", "zh-hant")],
)
def test_languages_have_their_shortest_tag(language: str, expected: str) -> None:
    """Two letters wherever there are any."""
    assert language_tag(language) == expected
