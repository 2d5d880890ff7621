"""When pictures are shown: every one that a player would show, at its time, to the end."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.unit.transcode import clips
from tests.unit.video.jobs import Folder, divided, run
from worker.video import plan as plans
from worker.video.probe import probe

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")

SLIDES = (0.0, 3.2, 9.92, 14.12, 20.6, 24.32, 30.0)


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of two seconds, so that borders of chunks are among the pictures."""
    monkeypatch.setattr("batch.operations.transcode.CHUNK_SECONDS", 2.0)


def transcoded(source: Path, tmp_path: Path, **parameters: object) -> tuple[Path, float]:
    """The results of a whole transcode and their frame rate."""
    outputs = Folder(tmp_path / "out")
    given = {"segment_seconds": 1.0, **parameters}
    details = run("transcode", source, outputs, tmp_path / "scratch", **given)
    return outputs.root, float(Fraction(str(details["frame_rate"])))


def check(path: Path, rate: float, times: Sequence[float], *, end: float, within: float) -> None:
    """Every picture is shown, in order, none farther from its time than ``within`` seconds."""
    found = clips.changes(path, rate)
    assert [number for _, number in found] == [n % clips.GREYS for n in range(len(times))]
    late = [shown - time + times[0] for (shown, _), time in zip(found, times, strict=True)]
    assert max(map(abs, late)) <= within + 1e-6
    assert abs(len(clips.lumas(path)) / rate - end) <= 0.05


def phone(count: int, shortest: float, longest: float) -> list[float]:
    """Times of a phone that takes as long for a picture as the light wants."""
    chance = random.Random(3)
    steps = [round(chance.uniform(shortest, longest), 5) for _ in range(count - 1)]
    return [sum(steps[:number]) for number in range(count)]


def burst(rate: int) -> list[float]:
    """A picture a second for ten seconds, after the fifth twenty at once."""
    return sorted({*map(float, range(10)), *(5 + number / rate for number in range(20))})


@pytest.mark.parametrize(
    ("rate", "frames", "ending"),
    [("1", 9, "mkv"), ("1/2", 6, "mp4"), ("3", 12, "ts"), ("24000/1001", 30, "mkv")],
)
def test_few_pictures_a_second_with_b_frames(
    rate: str, frames: int, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reordering that spans many seconds is no jump of time; every picture has its time."""
    monkeypatch.setattr("batch.operations.transcode.CHUNK_SECONDS", 4.0)
    source = clips.write(tmp_path / f"x.{ending}", frames=frames, rate=rate)
    times = [float(number / Fraction(rate)) for number in range(frames)]
    out, found = transcoded(source, tmp_path)
    check(out / "video.mp4", found, times, end=float(frames / Fraction(rate)), within=0.001)
    assert 10 <= found <= 24


def test_slides_change_when_their_text_is_spoken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slides of different lengths, a beep at each change; the last one stays to the end."""
    monkeypatch.setattr("batch.operations.transcode.CHUNK_SECONDS", 12.0)
    source = tmp_path / "x.mp4"
    picture = clips.write(tmp_path / "p.mp4", times=SLIDES)
    beeps = "+".join(f"between(t,{time},{time + 0.1})" for time in SLIDES)
    audio = f"aevalsrc='0.5*sin(2*PI*1000*t)*({beeps})':d=36:s=48000"
    command = ["ffmpeg", "-v", "error", "-i", str(picture), "-f", "lavfi", "-i", audio]
    subprocess.run([*command, "-c:v", "copy", "-c:a", "aac", str(source)], check=True)
    out, rate = transcoded(source, tmp_path)
    for path in (out / "video.mp4", out / "hls/48p/index.m3u8"):
        check(path, rate, SLIDES, end=36, within=0.03)
    loud = np.abs(clips.heard(out / "video.mp4").astype(int)) > 3000
    starts = [int(np.argmax(loud[int((time - 0.05) * 48_000) :])) / 48_000 for time in SLIDES[1:]]
    assert all(abs(start - 0.05) < 0.02 for start in starts)


@pytest.mark.parametrize(("ending", "bidirectional"), [("mp4", "2"), ("mkv", "0")])
def test_the_last_picture_is_held(ending: str, bidirectional: str, tmp_path: Path) -> None:
    """Two seconds of video, then one picture for eight: ten seconds, whatever the packets say."""
    scale = ("-video_track_timescale", "12800")
    moving = ("-bf", bidirectional, *scale)
    first = clips.write(tmp_path / "a.mp4", frames=50, options=moving)
    last = clips.write(tmp_path / "b.mp4", frames=1, rate="1/8", options=scale)
    source = clips.then(tmp_path / f"x.{ending}", first, last)
    assert probe(source).duration == pytest.approx(10.0, abs=0.01)
    out, rate = transcoded(source, tmp_path, heights=("48",))
    assert clips.changes(out / "video.mp4", rate)[-1] == (2.0, 0)
    assert len(clips.lumas(out / "video.mp4")) == 250


@pytest.mark.parametrize("fragments", [(), ("-movflags", "frag_keyframe+empty_moov")])
def test_the_last_picture_is_held_behind_b_frames(
    fragments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An MP4 counts decoding times: how long the last picture stays is what the others leave."""
    monkeypatch.setattr("batch.operations.transcode.CHUNK_SECONDS", 8.0)
    times = [0, 1, 7, 9, 14, 20]
    options = ("-bf", "1", "-b_strategy", "0", "-bsf:v", "setts=pts=PTS:dts=DTS:duration=450000")
    source = clips.write(tmp_path / "x.mp4", times=times, options=(*options, *fragments))
    out, rate = transcoded(source, tmp_path)
    check(out / "video.mp4", rate, times, end=25, within=0.001)


def test_a_video_before_time_zero_is_not_held_until_then(tmp_path: Path) -> None:
    """The 33 bits of a transport stream's time run over: what came before counts from below 0."""
    wrap = 2**33 / 90_000
    early = clips.write(tmp_path / "a.ts", frames=25, audio=[1])
    source = tmp_path / "x.ts"
    command = ["ffmpeg", "-v", "error", "-i", str(early), "-c", "copy", "-muxdelay", "0"]
    command += ["-output_ts_offset", f"{wrap - 5}", str(source)]
    subprocess.run(command, check=True)
    found = probe(source).video
    assert found is not None
    assert found.start < -2
    out, _ = transcoded(source, tmp_path, heights=("48",))
    assert len(clips.lumas(out / "video.mp4")) == 25


def test_slides_in_a_transport_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That the first picture is whole is seen when the second begins, here after 12 seconds."""
    monkeypatch.setattr("batch.operations.transcode.CHUNK_SECONDS", 10.0)
    source = clips.write(tmp_path / "x.ts", times=[0, 12, 25], audio=[30])
    out, rate = transcoded(source, tmp_path, heights=("48",))
    check(out / "video.mp4", rate, [0, 12, 25], end=30, within=0.05)


def test_a_text_that_stays_holds_no_picture(tmp_path: Path) -> None:
    """Subtitles that go on for a minute after the video make a Matroska as long."""
    picture = clips.write(tmp_path / "p.mp4", frames=25)
    text = tmp_path / "x.srt"
    text.write_text("1\n00:00:00,500 --> 00:01:00,000\nThe end\n")
    source = tmp_path / "x.mkv"
    command = ["ffmpeg", "-v", "error", "-i", str(picture), "-i", str(text), "-c:v", "copy"]
    subprocess.run([*command, str(source)], check=True)
    found = probe(source)
    assert found.claimed_duration == pytest.approx(60)
    out, _ = transcoded(source, tmp_path)
    assert len(clips.lumas(out / "video.mp4")) == 25


def test_an_edit_list_ends_the_last_picture(tmp_path: Path) -> None:
    """The edit list ends the last picture, although its packet lasts longer."""
    source = clips.write(tmp_path / "x.mp4", frames=2, rate="1/5", options=("-bf", "0"))
    data = bytearray(source.read_bytes())
    at = data.index(b"elst") + 12
    assert int.from_bytes(data[at : at + 4]) == 10_000
    data[at : at + 4] = (7000).to_bytes(4)
    source.write_bytes(data)
    out, rate = transcoded(source, tmp_path)
    check(out / "video.mp4", rate, [0, 5], end=7, within=0.001)


@pytest.mark.parametrize("rate", [15, 50])
def test_a_burst_is_not_thinned_out(rate: int, tmp_path: Path) -> None:
    """Twenty pictures in a second of a recording that has one a second are all there."""
    source = clips.write(tmp_path / "x.mp4", times=burst(rate))
    out, found = transcoded(source, tmp_path, heights=("48", "24"))
    for rung in ("48p", "24p"):
        place = out / "hls" / rung / "index.m3u8"
        check(place, found, burst(rate), end=burst(rate)[-1] + 0.04, within=0.03)


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_a_phone_in_changing_light_keeps_its_rate(ending: str, tmp_path: Path) -> None:
    """Pictures 33 to 42 ms apart all have a frame within 20 ms, without twice as many frames."""
    times = phone(150, 1 / 30, 1 / 24)
    source = clips.write(tmp_path / f"x.{ending}", times=times)
    out, rate = transcoded(source, tmp_path, heights=("48",))
    check(out / "video.mp4", rate, times, end=times[-1] + 0.04, within=0.0205)
    assert rate <= 30


def test_places_of_moved_pictures_do_not_depend_on_the_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where pictures are moved to frames of their own, parts begin so that each moves the same."""
    source = clips.write(tmp_path / "x.mp4", times=phone(150, 0.03, 0.04), key_frames=10)
    planned = Folder(tmp_path / "planned")
    run("transcode-plan", source, planned, tmp_path / "scratch")
    assert plans.loads((planned.root / "plan.json").read_bytes()).slack > 0
    shown = []
    for seconds in (1.0, 60.0):
        monkeypatch.setattr("batch.operations.transcode.CHUNK_SECONDS", seconds)
        folder = tmp_path / str(seconds)
        folder.mkdir()
        out, rate = transcoded(source, folder, heights=("48",))
        shown.append(clips.changes(out / "video.mp4", rate))
    assert shown[0] == shown[1]


def test_slow_motion_keeps_what_a_screen_shows(tmp_path: Path) -> None:
    """Of 240 pictures a second between ordinary ones a player shows 60."""
    times = [*(n / 30 for n in range(10)), *((80 + n) / 240 for n in range(80))]
    source = clips.write(tmp_path / "x.mp4", times=times)
    out, rate = transcoded(source, tmp_path)
    assert rate == 60
    found = clips.changes(out / "video.mp4", rate)
    assert len(found) >= 10 + 19


def test_a_clock_that_begins_again_by_itself(tmp_path: Path) -> None:
    """Time stamps of transport streams have 33 bits and begin again after 26.5 hours."""
    offset = ("-output_ts_offset", "95442")
    source = clips.write(tmp_path / "x.ts", frames=75, options=offset)
    out, rate = transcoded(source, tmp_path)
    check(out / "video.mp4", rate, [n / 25 for n in range(75)], end=3, within=0.001)


@pytest.mark.parametrize("rest", [1, 8])
def test_chunks_of_few_pictures_fit_together(
    rest: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every encoder writes the same header, and the same delay, for every part of a video."""
    monkeypatch.setattr("batch.operations.transcode.CHUNK_SECONDS", 1.0)
    source = clips.write(tmp_path / "x.mp4", frames=50 + rest, size=(64, 64))
    out, rate = transcoded(source, tmp_path, codecs=("h264", "hevc", "av1"), preset="fast")
    times = [number / 25 for number in range(50 + rest)]
    for name in ("64p", "64p-hevc", "64p-av1"):
        check(out / f"hls/{name}/index.m3u8", rate, times, end=(50 + rest) / 25, within=0.001)


def test_several_machines_and_one_agree_on_uneven_videos(tmp_path: Path) -> None:
    """Where pictures are moved and repeated too, the bytes are the same."""
    source = clips.write(tmp_path / "x.mp4", times=phone(100, 1 / 30, 1 / 24), audio=[5])
    one, several = Folder(tmp_path / "one"), Folder(tmp_path / "several")
    scratch = tmp_path / "scratch"
    run("transcode", source, one, scratch, segment_seconds=1.0)
    divided(source, several, scratch, segment_seconds=1.0)
    assert one.content("hls/", "video.mp4") == several.content("hls/", "video.mp4")
