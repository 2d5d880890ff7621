"""The master playlist: what players choose by (RFC 8216, 4.3.4)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.transcode import clips
from tests.unit.transcode.test_results import transcoded
from worker.video.package import language_tag

TRACKS = (
    ("eng", 'a "quoted", title'),
    ("eng", "commentary"),
    ("ger", '"""'),
    ("und", "#EXT-X-ENDLIST"),
    ("gsw", "commentary"),
    ("und", "commentary 5"),
    ("und", ""),
)


@pytest.mark.ffmpeg
def test_tracks_of_audio_are_told_apart(tmp_path: Path) -> None:
    """Tags of RFC 5646, one track of a language to choose by itself, names that differ and end no
    line."""
    options: list[str] = []
    for number, (language, title) in enumerate(TRACKS):
        options += [f"-metadata:s:a:{number}", f"language={language}"]
        options += [f"-metadata:s:a:{number}", f"title={title}"]
    source = clips.write(tmp_path / "x.mkv", frames=5, audio=[0.2] * 7, options=options)
    text = (transcoded(source, tmp_path) / "hls/master.m3u8").read_text()
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


@pytest.mark.parametrize(
    ("language", "expected"),
    [("deu", "de"), ("ger", "de"), ("de", "de"), ("gsw", "gsw"), ("zho-hant", "zh-hant")],
)
def test_languages_have_their_shortest_tag(language: str, expected: str) -> None:
    """Two letters wherever there are any."""
    assert language_tag(language) == expected
