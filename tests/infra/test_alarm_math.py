"""The evaluator of alarms says what CloudWatch's user guide says, on the guide's own examples."""

from __future__ import annotations

import pytest

from tests.infra.alarm_math import Series, aggregated, evaluate, learnt, state

MINUTES = tuple(range(0, 300, 60))


def series(*values: float | None) -> Series:
    """A value for each minute; None where there is none."""
    return {
        minute: value for minute, value in zip(MINUTES, values, strict=False) if value is not None
    }


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("metric1 < metric2", series(0, 0, 1, 0)),
        ("metric1 >= 30", series(1, 0, 0, 0)),
        ("IF(on, some, other)", series(30, 0, 20)),
        ("IF(on, 5, other)", series(5, 5, 20)),
        ("IF(on, some, 5)", series(30, 0, 5, 5)),
        ("FILL(metric2, 9)", series(20, 9, 20, 9, 9)),
        ("FILL(nothing, 9)", {}),
        ("metric1 + metric2", series(50, 20, 20, 0)),
        ("100 * metric2 / metric1", series(100 * 20 / 30, 0)),
    ],
)
def test_metric_math_is_that_of_the_guide(expression: str, result: Series) -> None:
    """A missing value beside another is 0, a quotient by 0 is dropped, FILL makes values."""
    metrics = {
        "metric1": series(30, 20, 0, 0),
        "metric2": series(20, None, 20, None),
        "on": series(1, 1, 0, 0, None),
        "some": series(30, None, 0, 0, 30),
        "other": series(0, 0, 20, None, 20),
        "nothing": series(),
    }

    assert evaluate(expression, metrics, MINUTES) == pytest.approx(result)


@pytest.mark.parametrize("expression", ["SUM(metric1)", "RATE(metric1)", "metric1 and metric1"])
def test_what_is_not_known_is_not_guessed(expression: str) -> None:
    """A new function in an alarm has to be written here first."""
    with pytest.raises(NotImplementedError):
        evaluate(expression, {"metric1": series(1)}, MINUTES)


THREE_OF_THREE = [
    ("0-X-X", "OK", "OK", "OK"),
    ("0----", "OK", "OK", "OK"),
    ("-----", "before", "ALARM", "OK"),
    ("0XX-X", "ALARM", "ALARM", "ALARM"),
    ("----X", "before", "ALARM", "OK"),
    ("X----", "before", "ALARM", "OK"),
]
TWO_OF_THREE = [
    ("0-X-X", "ALARM", "ALARM", "ALARM"),
    ("00X0X", "ALARM", "ALARM", "ALARM"),
    ("0-X--", "OK", "ALARM", "OK"),
    ("----0", "OK", "ALARM", "OK"),
    ("----X", "before", "ALARM", "OK"),
]


@pytest.mark.parametrize(
    ("needed", "row"),
    [*((3, row) for row in THREE_OF_THREE), *((2, row) for row in TWO_OF_THREE)],
)
def test_states_are_those_of_the_tables(needed: int, row: tuple[str, str, str, str]) -> None:
    """Both tables of "How alarm state is evaluated when data is missing", whatever was before."""
    points = [{"0": False, "X": True, "-": None}[one] for one in row[0]]
    for before in ("OK", "ALARM"):
        for missing, said in zip(("ignore", "breaching", "notBreaching"), row[1:], strict=True):
            found = state(points, needed=needed, of=3, missing=missing, before=before)
            assert found == (before if said == "before" else said), (missing, before)


def test_a_figure_is_the_statistic_of_a_period() -> None:
    """Of all values that were put in it."""
    raw = [(0, 1.0), (59, 3.0), (60, 5.0)]

    assert aggregated(raw, "Sum", 60) == {0: 4.0, 60: 5.0}
    assert aggregated(raw, "Maximum", 120) == {0: 5.0}
    assert aggregated([(one, float(one)) for one in range(100)], "p90", 300) == {0: 89.0}


def test_a_band_knows_the_hours_of_the_week() -> None:
    """A value that is usual at noon is unusual at night."""
    hour, week = 3600, 7 * 24 * 3600
    history = {
        second: (100.0 if second // hour % 24 == 12 else 10.0) + (second // week)
        for second in range(0, 2 * week, hour)
    }
    band = learnt(history, 2)

    assert band(2 * week + 12 * hour) == (99.5, 101.5)
    assert band(2 * week) == (9.5, 11.5)
