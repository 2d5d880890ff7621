"""Tests of subtitles as WebVTT and of what is left, and of the description of a video."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, cast

import pytest

from batch.operations.video import run_audio_waveform, run_subtitles, run_video_metadata
from tests.unit.video.jobs import work
from tests.unit.video.samples import AAC, AUDIO, H264, PICTURES, clip, make, needs_ffmpeg
from worker.domain.errors import Rejected
from worker.video.subtitles import tidy

pytestmark = needs_ffmpeg

TEXTS = ("-i", "SRT", "-i", "SRT", "-i", "SRT", "-map", "0", "-map", "1", "-map", "2", "-map", "3")
LANGUAGES = (
    *("-metadata:s:s:0", "language=deu", "-metadata:s:s:1", "language=deu"),
    *("-disposition:s:1", "forced"),
)


def three_tracks() -> bytes:
    """German, German for what is foreign in the video, and one of no language."""
    codecs = ("-c:s:0", "srt", "-c:s:1", "ass", "-c:s:2", "webvtt")
    return make("mkv", *PICTURES, *TEXTS, *H264, *codecs, *LANGUAGES)


def extracted(footage: bytes, folder: Path, **given: Any) -> tuple[dict[str, Any], Path]:
    """Details and output folder of the job."""
    path = folder / "video.mkv"
    path.write_bytes(footage)
    job, outputs = work("subtitles", path, folder, **given)
    return cast("dict[str, Any]", run_subtitles(job)), outputs.root


def test_every_text_track_becomes_a_file(tmp_path: Path) -> None:
    """Named by language and purpose, with all texts and times in it."""
    details, folder = extracted(three_tracks(), tmp_path)
    assert [each["name"] for each in details["tracks"]] == [
        "subtitles/deu.vtt",
        "subtitles/deu.forced.vtt",
        "subtitles/und.vtt",
    ]
    assert [each["cues"] for each in details["tracks"]] == [2, 2, 2]
    assert details["skipped"] == []
    for each in details["tracks"]:
        text = (folder / each["name"]).read_text()
        assert text.startswith("WEBVTT\n")
        assert "00:00.100 --> 00:01.000\nGuten <b>Tag</b>" in text
    json.dumps(details)


def test_texts_and_curves_count_from_the_first_picture(tmp_path: Path) -> None:
    """As the transcoded video does, whatever was heard or written before it."""
    late = ("-itsoffset", "1", *PICTURES)
    words = ("-map", "0", "-map", "1", "-map", "2", *H264, *AAC, "-c:s", "srt")
    footage = make("mkv", *late, *AUDIO, "-i", "SRT", *words)
    details, folder = extracted(footage, tmp_path)
    (track,) = details["tracks"]
    # The first text is over by then, of the second 0.1 s are; Matroska's clock starts 0.02 s late.
    text = (folder / track["name"]).read_text()
    assert re.fullmatch(
        r"WEBVTT\n\n00:00\.(07|08|09|10)\d --> 00:00\.(87|88|89|90)\d\nAuf Wiedersehen\n", text
    )

    path = tmp_path / "video.mkv"
    (tmp_path / "sound").mkdir()
    job, outputs = work("audio-waveform", path, tmp_path / "sound")
    assert run_audio_waveform(job)["seconds"] == pytest.approx(1.0, abs=0.1)
    assert (outputs.root / "waveform.json").is_file()


def test_tracks_of_one_language_have_names_of_their_own(tmp_path: Path) -> None:
    """The second one is counted."""
    footage = make("mkv", *PICTURES, *TEXTS, *H264, "-c:s", "srt")
    details, _ = extracted(footage, tmp_path)
    assert [each["name"].split("/")[1] for each in details["tracks"]] == [
        "und.vtt",
        "und.2.vtt",
        "und.3.vtt",
    ]


def test_only_the_languages_asked_for(tmp_path: Path) -> None:
    """The others are listed with the reason."""
    details, folder = extracted(three_tracks(), tmp_path, languages=("DEU",))
    assert len(details["tracks"]) == 2
    assert [each["reason"] for each in details["skipped"]] == ["language"]
    assert len(list(folder.rglob("*.vtt"))) == 2


def test_pictures_of_letters_are_reported(tmp_path: Path) -> None:
    """A track of a disc's bitmaps is named and left; the text tracks are written."""
    footage = three_tracks().replace(b"S_TEXT/UTF8", b"S_HDMV/PGS\0", 1)
    details, _ = extracted(footage, tmp_path)
    assert [(each["codec"], each["reason"]) for each in details["skipped"]] == [
        ("hdmv_pgs_subtitle", "bitmap")
    ]
    assert len(details["tracks"]) == 2


def test_a_track_that_is_no_text_costs_no_other(tmp_path: Path) -> None:
    """One track of bytes that are no letters is left out; the others are as ever."""
    footage = three_tracks().replace(b"Guten <b>Tag</b>", b"\xff\xfe\xff\xfe" * 4, 1)
    details, folder = extracted(footage, tmp_path)
    assert len(details["tracks"]) >= 2
    for each in details["tracks"]:
        (folder / each["name"]).read_bytes().decode("utf-8")


def test_a_video_without_subtitles_is_no_mistake(tmp_path: Path) -> None:
    """There is just nothing to write."""
    details, folder = extracted(clip(), tmp_path)
    assert details == {"tracks": [], "skipped": []}
    assert list(folder.iterdir()) == []


def test_subtitles_of_a_telephone(tmp_path: Path) -> None:
    """Those of an MP4 are text too."""
    footage = make(
        "mp4", *PICTURES, "-i", "SRT", "-map", "0", "-map", "1", *H264, "-c:s", "mov_text"
    )
    details, _ = extracted(footage, tmp_path)
    assert [each["codec"] for each in details["tracks"]] == ["mov_text"]


def test_texts_that_webvtt_would_misread(tmp_path: Path) -> None:
    """An arrow, a loose bracket, an ampersand and an empty line: two texts, all of them shown."""
    footage = three_tracks().replace(b"Guten <b>Tag</b>", b"a-->b < c & d&lt", 1)
    footage = footage.replace(b"Auf Wiedersehen", rb"Auf\N\NWiederse")
    details, folder = extracted(footage, tmp_path)
    first = details["tracks"][0]
    text = (folder / first["name"]).read_text()
    assert first["cues"] == 2
    assert "a--&gt;b &lt; c &amp; d&amp;lt\n\n" in text
    assert text.count("-->") == 2
    forced = (folder / details["tracks"][1]["name"]).read_text()
    assert forced.endswith(" --> 00:01.900\nAuf\nWiederse\n")
    assert [path.suffix for path in (folder / "subtitles").iterdir()] == [".vtt"] * 3


def test_a_name_of_a_text_is_no_chunk_of_the_one_before(tmp_path: Path) -> None:
    """Names, tags, voices and times within a text stay as they are; what follows none is left."""
    path = tmp_path / "x.vtt"
    path.write_text(
        "WEBVTT\n\nstray\n\n"
        "first\n00:00.000 --> 00:01.000 line:0\n<v Ann>Hi <00:00.500>&amp; <c.x>so</c>\n"
        "\n2\n00:01.000 --> 00:02.000\n<bad>\n"
    )
    assert tidy(path) == 2
    assert path.read_text() == (
        "WEBVTT\n\nfirst\n00:00.000 --> 00:01.000 line:0\n<v Ann>Hi <00:00.500>&amp; <c.x>so</c>\n"
        "\n2\n00:01.000 --> 00:02.000\n&lt;bad>\n"
    )


def test_something_else_is_refused(tmp_path: Path) -> None:
    """A file of no video has a verdict, not an empty list."""
    with pytest.raises(Rejected):
        extracted(b"WEBVTT\n\nthis is no video\n", tmp_path)


# --- video-metadata -----------------------------------------------------------------------------


def described(footage: bytes, folder: Path, **given: Any) -> dict[str, Any]:
    """Details of the job."""
    path = folder / "video.mov"
    path.write_bytes(footage)
    job, _ = work("video-metadata", path, folder, **given)
    return cast("dict[str, Any]", run_video_metadata(job))


def test_a_description_is_plain_data(tmp_path: Path) -> None:
    """All of it can be written as JSON and read again."""
    details = described(clip(), tmp_path)
    assert json.loads(json.dumps(details)) == details
    assert details["video"]["fps"] == 25
    assert details["video"]["fps_text"] == "25"
    assert "key_frames" not in details
    assert "location" not in details


def test_a_deep_description_counts_key_frames(tmp_path: Path) -> None:
    """For that every packet is read."""
    details = described(clip(), tmp_path, deep=True)
    assert (details["key_frames"], details["longest_group"]) == (5, 0.4)


def test_a_description_tells_a_place_only_if_asked(tmp_path: Path) -> None:
    """And then exactly as the file has it."""
    place = ("-metadata", "location=+48.1374+011.5755/", "-movflags", "use_metadata_tags")
    footage = make("mov", *PICTURES, *AUDIO, *H264, *AAC, *place)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert "48.1374" not in json.dumps(described(footage, tmp_path / "a"))
    assert described(footage, tmp_path / "b", location=True)["location"] == "+48.1374+011.5755/"
