"""What ``safelight bench video`` says of its figures; the measuring itself takes minutes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from worker.bench import video_report
from worker.bench.video import Cost, VideoFigures
from worker.errors import InputError

FIGURES = VideoFigures(
    film_seconds=90.0,
    frames=2700,
    parts=6,
    plain=Cost(wall=60.0, cpu=110.0),
    ours=Cost(wall=61.2, cpu=111.1),
    plain_bytes=1_000_000,
    our_bytes=1_010_000,
    pinned_one=110.0,
    pinned_two=57.0,
    larger_share=0.5,
    free_one=58.0,
    cores=2,
    interrupted=Cost(wall=70.0, cpu=120.0),
    film_lost=9.0,
    longest_part=15.0,
)


def test_figures_that_meet_their_goals_say_so() -> None:
    """Each goal is printed beside its figure."""
    text = "\n".join(video_report.lines(FIGURES))
    assert text.count("met)") == 4
    assert "missed" not in text
    assert "2.0% of wall time" in text


def test_figures_that_miss_say_so_too() -> None:
    """Nothing is rounded into a goal."""
    worse = replace(
        FIGURES,
        ours=Cost(wall=63.1, cpu=116.0),
        our_bytes=1_020_001,
        pinned_two=65.0,
        film_lost=30.1,
    )
    assert "\n".join(video_report.lines(worse)).count("missed)") == 4


def test_what_the_sizes_of_parts_allow_is_said_beside_two_workers() -> None:
    """Of five equal parts one worker has three: two workers cannot be twice as fast."""
    uneven = replace(FIGURES, parts=5, larger_share=0.6)
    assert any("at best 1.67" in line for line in video_report.lines(uneven))
    assert video_report.as_dict(uneven)["two_workers_at_best"] == 1.67


def test_one_core_measures_no_two_workers() -> None:
    """Where cores cannot be chosen the line says that, and the JSON has nothing there."""
    alone = replace(FIGURES, pinned_one=None, pinned_two=None, cores=1)
    assert any("not measured" in line for line in video_report.lines(alone))
    assert json.loads(json.dumps(video_report.as_dict(alone)))["two_workers"] is None


@pytest.mark.parametrize("size", ["", "12", "1280", "1281x720", "1280x720:x=1", "9x9", "99999x2"])
def test_a_size_is_two_even_numbers(size: str) -> None:
    """Anything else, above all what a filter would read as more options, is refused."""
    with pytest.raises(InputError):
        video_report.check_size(size)
