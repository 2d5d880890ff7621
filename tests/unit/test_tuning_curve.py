"""The measured curve: its file, the points between two sizes, and what it recommends."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from worker.domain.errors import InputError
from worker.services import tuning_curve
from worker.services.tuning_curve import (
    DurationCurve,
    PhotoSet,
    Point,
    Recommendation,
    Strategy,
    Where,
)

PRICES = {"arm64": 0.0000133334, "x86_64": 0.0000166667}


def curve(*points: tuple[int, float], architecture: str = "x86_64") -> DurationCurve:
    """A curve of these sizes and seconds."""
    return DurationCurve(
        measured="2026-11-30",
        where=Where.CONTAINER,
        architecture=architecture,
        recipe="default",
        photos=PhotoSet(count=9, bytes=1_052_000.0, pixels=3_200_000.0),
        batch=1,
        points=tuple(
            Point(memory=memory, uploads=20, seconds=seconds, init_seconds=2.0)
            for memory, seconds in points
        ),
    )


def chosen(*curves: DurationCurve, **options: Any) -> Recommendation:
    """What is recommended at the list prices of us-east-1."""
    return tuning_curve.recommend(curves, PRICES.__getitem__, **options)


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Everything comes back, sizes that failed and the recommendation too."""
    made = tuning_curve.with_recommendation(
        replace(curve((1024, 1.1), (1769, 0.6)), failed={512: "out_of_memory"}),
        Recommendation(memory=1769, architecture="arm64"),
    )
    path = tmp_path / "durations.json"
    path.write_text(tuning_curve.written(made))

    assert tuning_curve.read(path) == made
    assert json.loads(path.read_text())["schema"] == "safelight.durations/1"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda found: found.pop("schema"), "its schema is not"),
        (lambda found: found.pop("points"), "points"),
        (lambda found: found.update(points=[]), "points: there is none"),
        (lambda found: found["points"].reverse(), "memory must grow"),
        (lambda found: found["points"][0].update(seconds=-1), "points[0].seconds: -1"),
        (lambda found: found["points"][0].update(seconds="1"), "'1' is not of type"),
        (lambda found: found["points"][0].update(seconds=float("nan")), "points[0].seconds: nan"),
        (lambda found: found["points"][0].update(init_seconds=0), "points[0].init_seconds: 0"),
        (lambda found: found["points"][0].update(memory=64), "points[0].memory: 64"),
        (lambda found: found.update(architecture="riscv"), "neither arm64 nor x86_64"),
        (lambda found: found.update(measured="yesterday"), "no day"),
        (lambda found: found.update(where="moon"), "moon"),
        (lambda found: found.update(batch=0), "batch: 0"),
        (lambda found: found["photos"].update(bytes=float("inf")), "photos.bytes: inf"),
        (lambda found: found.update(failed={"big": "x"}), "failed must be"),
        (lambda found: found.update(failed=[1]), "failed must be"),
        (
            lambda found: found.update(recommended={"memory": 1, "architecture": "arm64"}),
            "recommended.memory: 1",
        ),
    ],
)
def test_a_mistake_in_a_file_is_named(
    change: Callable[[Any], object], said: str, tmp_path: Path
) -> None:
    """No file with a wrong value gets as far as the bill."""
    found = json.loads(tuning_curve.written(curve((1024, 1.1), (1769, 0.6))))
    change(found)
    path = tmp_path / "durations.json"
    path.write_text(json.dumps(found))

    with pytest.raises(InputError) as caught:
        tuning_curve.read(path)

    assert caught.value.code == "input_invalid"
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("text", "code"),
    [(None, "input_missing"), ("{", "input_unreadable"), ("[" * 100_000, "input_unreadable")],
)
def test_what_is_no_json_is_refused(text: str | None, code: str, tmp_path: Path) -> None:
    """A file that is missing or is no JSON has a code of its own."""
    path = tmp_path / "durations.json"
    if text is not None:
        path.write_text(text)

    with pytest.raises(InputError) as caught:
        tuning_curve.read(path)

    assert caught.value.code == code


def test_a_size_between_two_follows_a_power_of_the_memory() -> None:
    """Twice the memory takes half the time in this curve, so the square root of two takes that."""
    found = curve((1000, 2.0), (2000, 1.0))

    assert found.at(1000) == found.points[0]
    assert found.at(1414).seconds == pytest.approx(1.4144, abs=0.0005)
    assert found.at(1414).init_seconds == pytest.approx(2.0)
    with pytest.raises(InputError, match="outside of what was measured"):
        found.at(2001)
    with pytest.raises(InputError, match="outside of what was measured"):
        found.at(999)


def test_a_gigabyte_of_the_bill_has_1024_megabytes() -> None:
    """An upload of half a second with 2,048 MB is a gigabyte-second."""
    point = Point(memory=2048, uploads=1, seconds=0.5)
    assert point.gigabyte_seconds() == pytest.approx(1.0)


def test_equal_costs_leave_the_choice_to_the_time() -> None:
    """1,769 MB cost 1 % more than 1,024 MB here, and take 58 % of the time."""
    found = curve((512, 2.4), (1024, 1.0), (1769, 0.585), (3008, 0.5))

    assert chosen(found) == Recommendation(memory=1769, architecture="x86_64")


def test_strategies_choose_as_power_tuning_does() -> None:
    """Speed takes the last size, a balance of cost and time one between, of cost alone the first.

    Worked by hand: in units of 512 MB and seconds the costs are 1.0, 1.2 and 2.4 and the times
    1.0, 0.6 and 0.4, so the balanced values are 0.708, 0.55 and 0.7.
    """
    found = curve((512, 1.0), (1024, 0.6), (3072, 0.4))

    assert chosen(found, strategy=Strategy.SPEED).memory == 3072
    assert chosen(found, strategy=Strategy.BALANCED).memory == 1024
    assert chosen(found, strategy=Strategy.BALANCED, balance=1.0).memory == 512
    assert chosen(found, strategy=Strategy.BALANCED, balance=0.0).memory == 3072


def test_arm64_is_chosen_as_long_as_it_is_less_than_a_quarter_slower() -> None:
    """Its gigabyte-second costs four fifths of that of x86_64."""
    x86 = curve((1769, 0.6))
    slower, slowest = (
        curve((1769, 0.7), architecture="arm64"),
        curve((1769, 0.8), architecture="arm64"),
    )

    assert chosen(x86, slower).architecture == "arm64"
    assert chosen(x86, slowest).architecture == "x86_64"


def test_sizes_below_what_the_sandbox_needs_are_not_chosen() -> None:
    """The cheapest size is not taken if the configuration refuses it, and none is an error."""
    found = curve((512, 1.0), (1769, 0.5))

    assert chosen(found).memory == 512
    assert chosen(found, least=1656).memory == 1769
    with pytest.raises(InputError, match="no size of at least 2000 MB"):
        chosen(found, least=2000)
