"""What ``safelight bench video`` says of its figures; the measuring itself takes minutes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from worker.bench.video import Cost, VideoFigures, check_size
from worker.domain.errors import InputError

FIGURES = VideoFigures(
    video_seconds=90.0,
    frames=2700,
    parts=6,
    plain=Cost(wall_seconds=60.0, cpu_seconds=110.0),
    parts_run=Cost(wall_seconds=61.2, cpu_seconds=111.1),
    plain_bytes=1_000_000,
    parts_bytes=1_010_000,
    one_worker_one_core_seconds=110.0,
    two_workers_a_core_each_seconds=57.0,
    one_worker_all_cores_seconds=58.0,
    cores=2,
    larger_share=0.5,
    reclaimed_wall_seconds=70.0,
    reclaimed_cpu_seconds=120.0,
    reclaim_video_seconds_lost=9.0,
    longest_part_seconds=15.0,
)


def test_figures_that_meet_their_goals_say_so() -> None:
    """Each goal is printed beside its figure."""
    text = "\n".join(FIGURES.lines())
    assert text.count("met)") == 4
    assert "missed" not in text
    assert "2.0% of wall time" in text


def test_figures_that_miss_say_so_too() -> None:
    """A figure that misses its goal is not rounded up to it."""
    worse = replace(
        FIGURES,
        parts_run=Cost(wall_seconds=63.1, cpu_seconds=116.0),
        parts_bytes=1_020_001,
        two_workers_a_core_each_seconds=65.0,
        reclaim_video_seconds_lost=30.1,
    )
    assert "\n".join(worse.lines()).count("missed)") == 4


def test_what_the_sizes_of_parts_allow_is_said_beside_two_workers() -> None:
    """Of five equal parts one worker has three: two workers cannot be twice as fast."""
    uneven = replace(FIGURES, parts=5, larger_share=0.6)
    assert any("at best 1.67" in line for line in uneven.lines())
    assert uneven.as_dict()["two_workers_at_best"] == pytest.approx(5 / 3)


def test_one_core_measures_no_two_workers() -> None:
    """Where cores cannot be chosen the line says that, and the JSON has nothing there."""
    alone = replace(FIGURES, one_worker_one_core_seconds=None, cores=1)
    assert any("not measured" in line for line in alone.lines())
    assert json.loads(json.dumps(alone.as_dict()))["two_workers"] is None


@pytest.mark.parametrize("size", ["", "12", "1280", "1281x720", "1280x720:x=1", "9x9", "99999x2"])
def test_a_size_is_two_even_numbers(size: str) -> None:
    """Anything else, above all what a filter would read as more options, is refused."""
    with pytest.raises(InputError):
        check_size(size)
