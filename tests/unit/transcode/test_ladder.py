"""The choice of steps: sizes, names, rates."""

from __future__ import annotations

from fractions import Fraction

import pytest

from worker.video.plan import VideoCodec, choose_rungs, kilobits
from worker.video.timing import lower, nearest_common

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


def test_every_codec_has_every_step() -> None:
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
