"""Timelines from packets, cuts from timelines, and the ladder: pure arithmetic."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from worker.domain.errors import DamagedInput, LimitExceeded, Reason
from worker.video import timing
from worker.video.ffmpeg import ProgramLimits
from worker.video.plan import VideoCodec, choose_rungs, cut_timeline, kilobits, share_out
from worker.video.timing import Timeline, lower, nearest_common
from worker.video.tracks import VideoProbe, VideoTrack

MILLISECOND = "1/1000"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Reads a time line from packets as ffprobe would print them."""

    def reader(packets, time_base=MILLISECOND, claimed=Fraction(25), end=None, **more):  # type: ignore[no-untyped-def]
        text = "".join(
            f"packet|{pts}|{dts}|{length}|{flags}\n" for pts, dts, length, flags in packets
        )
        printed = f"{text}stream|{time_base}\n".encode()
        monkeypatch.setattr(timing, "run", lambda *_args, **_named: printed)
        options = {"most_rate": 60.0, "most_seconds": 1000.0} | more
        size: dict[str, Any] = {"width": 64, "height": 48, "stored_width": 64, "stored_height": 48}
        track = VideoTrack(index=0, codec="h264", fps=claimed, end=end, pix_fmt="yuv420p", **size)
        probe = VideoProbe(container="mov", bytes=1, duration=1.0, streams=1, video=track)
        return timing.read_timeline(Path("x"), probe, limits=ProgramLimits(), **options)

    return reader


def even(count: int, step: int = 40, start: int = 0, keys: int = 10) -> list[tuple[object, ...]]:
    """Packets at equal distances."""
    return [
        (start + step * number, "N/A", step, "K__" if number % keys == 0 else "___")
        for number in range(count)
    ]


def test_an_even_source_keeps_its_frames_and_rate(read) -> None:  # type: ignore[no-untyped-def]
    """Every picture has its own place, wherever the time stamps begin."""
    found = read(even(50, start=7000))
    assert (found.rate, found.frames, found.variable) == (25, 50, False)
    assert (found.start_pts, found.keys[1]) == (7000, (10, 7400))


def test_rounded_time_stamps_are_still_even(read) -> None:  # type: ignore[no-untyped-def]
    """Matroska's milliseconds of 30000/1001 are no variable rate."""
    packets = [
        (round(number * 1001 / 30), "N/A", 33, "K__" if number == 0 else "___")
        for number in range(90)
    ]
    found = read(packets, claimed=Fraction(30000, 1001))
    assert (found.rate, found.frames, found.variable) == (Fraction(30000, 1001), 90, False)


def test_a_varying_source_is_put_on_the_grid_of_its_fast_chunks(read) -> None:  # type: ignore[no-untyped-def]
    """Pictures 20 ms apart for a while and 40 ms apart later make 50 frames a second."""
    packets = [*even(50, step=20), *even(25, step=40, start=1000)]
    found = read(packets, claimed=Fraction(75, 2))
    assert found.variable
    assert (found.rate, found.frames) == (50, 100)


def test_a_high_rate_is_lowered(read) -> None:  # type: ignore[no-untyped-def]
    """120 a second become 60; the length stays."""
    found = read(even(240, step=1), time_base="1/120", claimed=Fraction(120))
    assert (found.rate, found.frames) == (60, 120)


def reordered(count: int, step: int) -> list[tuple[object, ...]]:
    """Packets of I-B-B-B-P with a pyramid, in the order of decoding."""
    order = [0, *(4 * group + place for group in range(count // 4) for place in (4, 2, 1, 3))]
    return [(step * n, "N/A", "N/A", "K__" if n == 0 else "___") for n in order]


@pytest.mark.parametrize("step", [40, 1000, 2000, 10_000])
def test_reordering_is_counted_in_pictures(read, step: int) -> None:  # type: ignore[no-untyped-def]
    """However long a picture lasts, a coder may show it before three that it has written earlier;
    without a length of its own the last picture lasts as long as the others."""
    found = read(reordered(20, step), claimed=Fraction(1000, step), most_seconds=1000)
    assert (found.pictures, found.seconds) == (21, Fraction(21 * step, 1000))


@pytest.mark.parametrize("packets", [even(10, step=1000, keys=10), reordered(24, 2000)])
def test_time_that_begins_again_is_seen_at_any_rate(read, packets) -> None:  # type: ignore[no-untyped-def]
    """A few pictures behind each other twice: half of them could not be shown."""
    with pytest.raises(DamagedInput, match="jump back"):
        read([*packets, *packets], claimed=Fraction(1))


@pytest.mark.parametrize(
    ("own", "rate"), [("1", 10), ("1/2", 10), ("3", 12), ("15/2", 15), ("12", 12), ("1/7", 10)]
)
def test_a_low_rate_is_raised(read, own: str, rate: int) -> None:  # type: ignore[no-untyped-def]
    """Pictures are repeated, each as often, so that any time is near a frame."""
    step = 90_000 / Fraction(own)
    packets = [(round(step * n), "N/A", round(step), "K__") for n in range(20)]
    found = read(packets, time_base="1/90000", claimed=Fraction(own))
    assert (found.rate, found.variable) == (rate, False)
    assert abs(found.seconds - 20 / Fraction(own)) < Fraction(1, 1000)


def test_the_last_picture_lasts_as_long_as_it_says(read) -> None:  # type: ignore[no-untyped-def]
    """Or as the probe knows; the rate is not lowered by it."""
    packets = [*even(50), (2000, "N/A", 8000, "K__")]
    assert (read(packets).rate, read(packets).seconds) == (25, 10)
    assert read(even(50), end=12.0).seconds == 12
    assert read(even(50), end=2.03).seconds == 2


def test_a_single_picture_of_no_length_is_one_frame(read) -> None:  # type: ignore[no-untyped-def]
    """Its duration is unknown, so it is one frame."""
    found = read([(0, "N/A", "N/A", "K__")])
    assert (found.rate, found.frames) == (25, 1)


def test_a_rate_reckoned_from_a_wrong_length_is_not_kept(read) -> None:  # type: ignore[no-untyped-def]
    """A muxer that counts the last picture wrongly gives 15.1 for 15."""
    packets = [(round(n * 1000 / 15), "N/A", "N/A", "K__") for n in range(60)]
    assert read(packets, claimed=Fraction(2250, 149)).rate == 15


def test_a_picture_of_a_moment_costs_no_higher_rate(read) -> None:  # type: ignore[no-untyped-def]
    """One that lasts 5 ms may be left out; its neighbours are shown."""
    packets = sorted([*even(60, step=40), (1035, "N/A", 5, "___")])
    found = read(packets)
    assert found.rate == 25


def test_pictures_before_the_first_key_frame_are_not_counted(read) -> None:  # type: ignore[no-untyped-def]
    """Undecodable frames and frames outside the edit list do not make the video longer."""
    packets = [(0, 0, 40, "___"), (40, 40, 40, "K__"), (80, 80, 40, "_D_"), (120, 120, 40, "___")]
    found = read(packets)
    assert (found.start_pts, found.pictures) == (40, 2)


def test_missing_time_stamps_are_damage(read) -> None:  # type: ignore[no-untyped-def]
    """A frame without a time cannot be placed on the grid."""
    with pytest.raises(DamagedInput) as caught:
        read([("N/A", "N/A", "N/A", "K__")])
    assert caught.value.reason is Reason.CORRUPT


def test_a_jump_of_hours_is_too_long(read) -> None:  # type: ignore[no-untyped-def]
    """A wrong time stamp cannot order millions of repeated pictures."""
    with pytest.raises(LimitExceeded) as caught:
        read([*even(10), (360_000_000, 0, 40, "___")])
    assert caught.value.reason is Reason.TOO_LONG_DURATION


def line(frames: int, keys: list[int]) -> Timeline:
    """A time line at 25 frames a second whose time base is once a frame."""
    return Timeline(
        time_base=Fraction(1, 25),
        start_pts=0,
        pictures=frames,
        variable=False,
        rate=Fraction(25),
        frames=frames,
        keys=tuple((key, key) for key in keys),
    )


def test_cuts_are_whole_segments_next_to_key_frames() -> None:
    """A part is longer or shorter by a segment where that saves decoding."""
    cut = cut_timeline(line(2000, [0, 290, 620, 1190]), segment_seconds=4, chunk_seconds=12)
    assert (cut.segment_frames, cut.key_frames) == (100, 50)
    assert [(chunk.first, chunk.seek) for chunk in cut.chunks] == [
        *((0, None), (300, 290), (700, 620), (1100, 620), (1300, 1190), (1700, 1190)),
    ]
    assert sum(chunk.frames for chunk in cut.chunks) == 2000


def test_one_key_frame_means_few_cuts() -> None:
    """Without key frames every part would decode all that is before it: it is not cut often."""
    cut = cut_timeline(line(50_000, [0]), segment_seconds=4, chunk_seconds=12)
    assert cut.chunks[-1].first <= 4 * 300


def test_a_short_rest_belongs_to_the_last_chunk() -> None:
    """No part is shorter than half a usual one, unless the video is."""
    for frames in (1, 99, 100, 301, 449, 451, 700):
        cut = cut_timeline(line(frames, [0]), segment_seconds=4, chunk_seconds=12)
        assert sum(chunk.frames for chunk in cut.chunks) == frames
        assert len(cut.chunks) == 1 or cut.chunks[-1].frames > 100


def test_no_chunk_begins_where_pictures_are_moved() -> None:
    """Only at entries, where what comes before has no part in the place of a picture."""
    video = replace(line(2000, list(range(0, 2000, 50))), entries=((0, 0), (640, 640)))
    cut = cut_timeline(video, segment_seconds=4, chunk_seconds=12)
    assert {chunk.seek for chunk in cut.chunks} == {None, 640}


@pytest.mark.parametrize("rest", range(1, 10))
def test_no_chunk_has_only_a_few_frames(rest: int) -> None:
    """An encoder does not make of them what it makes of others."""
    cut = cut_timeline(
        line(600 + rest, list(range(0, 600, 50))), segment_seconds=4, chunk_seconds=4
    )
    assert sum(chunk.frames for chunk in cut.chunks) == 600 + rest
    assert min(chunk.frames for chunk in cut.chunks) >= 8


def test_groups_have_every_chunk_once_and_about_as_much() -> None:
    """Children get runs of parts; some get nothing if there are more of them than parts."""
    parts = cut_timeline(
        line(6000, list(range(0, 6000, 50))), segment_seconds=4, chunk_seconds=12
    ).chunks
    shared = share_out(parts, 4)
    assert [number for numbers in shared for number in numbers] == list(range(20))
    assert {len(numbers) for numbers in shared} == {5}
    many = share_out(parts, 50)
    assert sorted(number for numbers in many for number in numbers) == list(range(20))


# --- the ladder ----------------------------------------------------------------------------------

HEIGHTS = (1080, 720, 480, 240)
H264 = (VideoCodec.H264,)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ((3840, 2160), [(1920, 1080), (1280, 720), (854, 480), (426, 240)]),
        ((1920, 1080), [(1920, 1080), (1280, 720), (854, 480), (426, 240)]),
        ((1080, 1920), [(1080, 1920), (720, 1280), (480, 854), (240, 426)]),
        ((1280, 720), [(1280, 720), (854, 480), (426, 240)]),
        ((1366, 768), [(1280, 720), (854, 480), (426, 240)]),
        ((1024, 576), [(1024, 576), (854, 480), (426, 240)]),
        ((640, 360), [(640, 360), (426, 240)]),
        ((320, 180), [(320, 180)]),
        ((161, 91), [(160, 90)]),
        ((1920, 800), [(1728, 720), (1152, 480), (576, 240)]),
        ((3, 3), [(2, 2)]),
        ((1, 400), [(2, 400)]),
    ],
)
def test_sizes_follow_the_source(source: tuple[int, int], expected: list[tuple[int, int]]) -> None:
    """Steps are even, keep the shape and are never larger than the source."""
    rungs = choose_rungs(*source, heights=HEIGHTS, codecs=H264)
    assert [(rung.width, rung.height) for rung in rungs] == expected


def test_all_heights_above_the_source_leave_the_source() -> None:
    """A source smaller than every listed step gets one of its own size."""
    rungs = choose_rungs(200, 100, heights=(720, 480), codecs=H264)
    assert [(rung.name, rung.width, rung.height) for rung in rungs] == [("100p", 200, 100)]


def test_every_codec_has_every_rung() -> None:
    """Further codecs repeat the sizes under names of their own."""
    rungs = choose_rungs(
        1280, 720, heights=(720, 240), codecs=(VideoCodec.H264, VideoCodec.HEVC, VideoCodec.AV1)
    )
    assert [rung.name for rung in rungs] == [
        *("720p", "240p", "720p-hevc", "240p-hevc", "720p-av1", "240p-av1"),
    ]


def test_av1_leaves_out_what_its_encoder_refuses() -> None:
    """There is no AV1 step with a side below 64 pixels."""
    assert choose_rungs(80, 60, heights=(60,), codecs=(VideoCodec.AV1,)) == ()


def test_rates_meet_the_published_table_and_grow_with_size() -> None:
    """At a size of the table its rate comes out, between two sizes one between theirs."""
    assert kilobits(1920 * 1080, VideoCodec.H264) == 7800
    assert kilobits(1280 * 720, VideoCodec.HEVC) == 3400
    assert kilobits(1280 * 720, VideoCodec.AV1) == 0
    assert 1100 < kilobits(854 * 480, VideoCodec.H264) < 2000
    assert 7800 < kilobits(3840 * 2160, VideoCodec.H264) < 40_000
    assert kilobits(4, VideoCodec.H264) == 64


@pytest.mark.parametrize(
    ("rate", "most", "expected"),
    [
        (Fraction(25), 60, Fraction(25)),
        (Fraction(60), 60, Fraction(60)),
        (Fraction(120), 60, Fraction(60)),
        (Fraction(240000, 1001), 60, Fraction(60000, 1001)),
        (Fraction(50), 30, Fraction(25)),
        (Fraction(90), 60, Fraction(45)),
    ],
)
def test_a_rate_is_lowered_by_whole_divisors(
    rate: Fraction, most: float, expected: Fraction
) -> None:
    """Every n-th picture is kept, so that movement stays even."""
    assert lower(rate, most) == expected


def test_measured_rates_become_usual_ones_where_they_are_near() -> None:
    """Time stamps in milliseconds hide 30 and 24000/1001; 12.5 is nobody's rate and stays."""
    assert nearest_common(30.3, tolerance=0.04) == 30
    assert nearest_common(23.9761, tolerance=0.002) == Fraction(24000, 1001)
    assert nearest_common(12.5, tolerance=0.002) == Fraction(25, 2)
