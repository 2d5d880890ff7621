"""CloudWatch's part of an alarm, as far as our alarms use it: statistics, metric math, M of N.

Sources, all of the Amazon CloudWatch User Guide: "Using metric math" (functions, and what becomes
of missing values), "Evaluating an alarm" and "Configuring how CloudWatch alarms treat missing data"
(states; its tables are tests), "Using CloudWatch anomaly detection". The model behind a band is
Amazon's own: :func:`learnt` stands for it, with a mean and a deviation for each hour of the week.

Time is counted in seconds from any start of an hour. A series has a value for the start of each
period that has one.
"""

from __future__ import annotations

import ast
import math
import re
import statistics
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import add, eq, ge, gt, le, lt, mul, ne, sub, truediv
from typing import Any

Series = Mapping[int, float]
Raw = Sequence[tuple[int, float]]
"""What was put: a second and a value each."""
MetricKey = tuple[str, str, tuple[tuple[str, str], ...]]
"""Namespace, name, dimensions in order."""
Value = Series | float

EXTRA = 2
"""Figures that CloudWatch reads beyond those that count. The number is not documented; the tables
have five for three."""
ALWAYS_IGNORED = "AWS/DynamoDB"
"""Namespace whose missing figures leave an alarm as it is, whatever it says (API reference,
PutMetricAlarm, TreatMissingData)."""
HOUR = 3600
WEEK = 7 * 24 * HOUR


def aggregated(raw: Raw, statistic: str, period: int, *, origin: int = 0) -> Series:
    """One figure for each period that has a value.

    Args:
        origin: second at which a period begins.

    Raises:
        KeyError: a statistic that no alarm of ours uses.
    """
    found: dict[int, list[float]] = defaultdict(list)
    for second, value in raw:
        found[second - (second - origin) % period].append(value)
    return {start: _statistic(statistic)(values) for start, values in found.items()}


def _statistic(name: str) -> Callable[[list[float]], float]:
    if re.fullmatch(r"p\d+", name):
        # The nearest rank: CloudWatch's own way of reading between values is not documented.
        share = int(name[1:]) / 100
        return lambda values: sorted(values)[math.ceil(share * len(values)) - 1]
    known: Mapping[str, Callable[[list[float]], float]] = {
        "Sum": math.fsum,
        "Maximum": max,
        "Average": statistics.fmean,
    }
    return known[name]


# --- metric math --------------------------------------------------------------------------------

_OPERATORS: Mapping[type[ast.AST], Callable[[float, float], float]] = {
    **{ast.Add: add, ast.Sub: sub, ast.Mult: mul, ast.Div: truediv},
    **{ast.Gt: gt, ast.GtE: ge, ast.Lt: lt, ast.LtE: le, ast.Eq: eq, ast.NotEq: ne},
}


def evaluate(expression: str, metrics: Mapping[str, Series], times: Iterable[int]) -> Series:
    """The series of an expression.

    Args:
        expression: of arithmetic, comparisons, ``FILL`` with a number, and ``IF``.
        metrics: by their ids.
        times: the start of every period that is asked for.

    Raises:
        NotImplementedError: it uses something else.
    """
    found = _value(ast.parse(expression, mode="eval").body, metrics, tuple(times))
    if isinstance(found, float):
        raise NotImplementedError(f"{expression} is a number, not a series")  # refused by AWS too
    return found


def _value(node: ast.expr, metrics: Mapping[str, Series], times: tuple[int, ...]) -> Value:
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name):
            return metrics[name]
        case ast.BinOp(left=left, op=operator, right=right):
            return _paired(
                _OPERATORS[type(operator)],
                _value(left, metrics, times),
                _value(right, metrics, times),
            )
        case ast.Compare(left=left, ops=[operator], comparators=[right]):
            return _paired(
                _OPERATORS[type(operator)],
                _value(left, metrics, times),
                _value(right, metrics, times),
            )
        case ast.Call(func=ast.Name(id="FILL"), args=[series, ast.Constant(value=int() as number)]):
            given = _series(_value(series, metrics, times))
            # Whether a series without any value is filled is not documented: it is left empty.
            return {one: given.get(one, float(number)) for one in times} if given else {}
        case ast.Call(func=ast.Name(id="IF"), args=[condition, yes, no]):
            return _chosen(*(_value(one, metrics, times) for one in (condition, yes, no)))
    raise NotImplementedError(ast.unparse(node))


def _series(value: Value) -> Series:
    if isinstance(value, float):
        raise NotImplementedError("a number where a series is needed")
    return value


def _paired(operator: Callable[[float, float], float], left: Value, right: Value) -> Value:
    """A missing value beside another is 0; a quotient by 0 is dropped."""
    if isinstance(left, float) and isinstance(right, float):
        return float(operator(left, right))
    found: dict[int, float] = {}
    times = {one for side in (left, right) if not isinstance(side, float) for one in side}
    for one in times:
        pair = [side if isinstance(side, float) else side.get(one, 0.0) for side in (left, right)]
        try:
            found[one] = float(operator(*pair))
        except ZeroDivisionError:
            continue
    return found


def _chosen(condition: Value, yes: Value, no: Value) -> Series:
    """Where the condition has no value there is none; what is missing is 0 if it is true."""
    found: dict[int, float] = {}
    for one, holds in _series(condition).items():
        if holds:
            found[one] = yes if isinstance(yes, float) else yes.get(one, 0.0)
        elif isinstance(no, float):
            found[one] = no
        elif one in no:
            found[one] = no[one]
    return found


# --- alarms -------------------------------------------------------------------------------------


def state(
    points: Sequence[bool | None], *, needed: int, of: int, missing: str, before: str = "OK"
) -> str:
    """The state of an alarm.

    Args:
        points: whether each figure of the range that CloudWatch reads is breaching, the newest
            last; None is a missing one.
        needed: datapoints to alarm (M).
        of: evaluation periods (N).
        missing: ``notBreaching``, ``breaching`` or ``ignore``.
        before: the state so far.
    """
    there = [one for one in points if one is not None][-of:]
    lacking = of - len(there)
    if missing == "ignore" and lacking and sum(there) < needed:
        return before if all(there) else "OK"
    breaching = sum(there) + (lacking if missing == "breaching" else 0)
    return "ALARM" if breaching >= needed else "OK"


def learnt(
    history: Series, width: float, period: int = HOUR
) -> Callable[[int], tuple[float, float]]:
    """A band: for a time its lower and upper end, from figures of the same hour of the week.

    Hours that the history does not have take all of it, and so does each longer period: of a day
    two weeks have fourteen figures.
    """
    hours: dict[int, list[float]] = defaultdict(list)
    for second, value in history.items() if period <= HOUR else ():
        hours[second % WEEK // HOUR].append(value)
    everything = list(history.values())

    def band(second: int) -> tuple[float, float]:
        values = hours.get(second % WEEK // HOUR, everything)
        middle, spread = statistics.fmean(values), statistics.pstdev(values)
        return middle - width * spread, middle + width * spread

    return band


def composite(rule: str, found: Mapping[str, str]) -> bool:
    """Whether the rule of a composite alarm holds, for rules of ``ALARM`` and ``OR``.

    Raises:
        KeyError: it names an alarm that is not there; CloudWatch refuses such a rule.
        NotImplementedError: it has another word.
    """
    names = [re.fullmatch(r'ALARM\("([^"]+)"\)', part) for part in rule.split(" OR ")]
    if not all(names):
        raise NotImplementedError(rule)
    return "ALARM" in [found[match[1]] for match in names if match is not None]


def key_of(metric: Mapping[str, Any]) -> MetricKey:
    """The metric of an alarm's query."""
    dimensions = tuple(sorted((metric.get("dimensions") or {}).items()))
    return metric["namespace"], metric["metricName"], dimensions


def metrics_of(declared: Mapping[str, Any]) -> list[MetricKey]:
    """What an alarm reads.

    Args:
        declared: inputs of a ``cloudwatch/MetricAlarm``.
    """
    return [key_of(one["metric"]) for one in declared["metricQueries"] if "metric" in one]


def states(
    declared: Mapping[str, Any],
    raw: Mapping[MetricKey, Raw],
    *,
    start: int,
    end: int,
    late: int = 0,
    history: Mapping[MetricKey, Raw] | None = None,
) -> list[tuple[int, str]]:
    """The state of an alarm after each of its periods, which begins as OK.

    A window slides with each look ("Alarm evaluation window"); how often CloudWatch looks at a long
    one is not documented, and is once an hour here.

    Args:
        declared: inputs of a ``cloudwatch/MetricAlarm``.
        raw: what is put while the alarm is there.
        start: second of the first look.
        end: second of the last.
        late: seconds after which CloudWatch shows what was put.
        history: what its band has learnt from.
    """
    of, needed = int(declared["evaluationPeriods"]), int(declared["datapointsToAlarm"])
    period = _period(declared)
    missing = declared["treatMissingData"]
    if any(namespace == ALWAYS_IGNORED for namespace, _, _ in metrics_of(declared)):
        missing = "ignore"
    breaching = _limit(declared, history or {})
    found: list[tuple[int, str]] = []
    current = "OK"
    for now in range(start, end + 1, min(period, HOUR)):
        times = range(now - (of + EXTRA) * period, now, period)
        shown = {
            key: _between(raw.get(key, ()), times[0], now - late) for key in metrics_of(declared)
        }
        figures = watched(declared, shown, times)
        points = [breaching(one, figures[one]) if one in figures else None for one in times]
        current = state(points, needed=needed, of=of, missing=missing, before=current)
        found.append((now, current))
    return found


def _between(raw: Raw, first: int, end: int) -> Raw:
    """What was put from one second until before another; it was put in order."""
    return raw[bisect_left(raw, first, key=_second) : bisect_left(raw, end, key=_second)]


def _second(one: tuple[int, float]) -> int:
    return one[0]


def watched(
    declared: Mapping[str, Any], raw: Mapping[MetricKey, Raw], times: Sequence[int]
) -> Series:
    """The figures that an alarm compares with its limit."""
    series: dict[str, Series] = {}
    found: Series = {}
    for one in declared["metricQueries"]:
        if "metric" in one:
            key = key_of(one["metric"])
            period = int(one["metric"]["period"])
            series[one["id"]] = aggregated(
                raw.get(key, ()), one["metric"]["stat"], period, origin=times[0]
            )
        elif one["id"] != "band":
            series[one["id"]] = evaluate(one["expression"], series, times)
        if one.get("returnData") and one["id"] != "band":
            found = series[one["id"]]
    return found


def _period(declared: Mapping[str, Any]) -> int:
    """All metrics of an expression have the same one, or AWS refuses the alarm."""
    (period,) = {
        int(one["metric"]["period"]) for one in declared["metricQueries"] if "metric" in one
    }
    return period


def _limit(
    declared: Mapping[str, Any], history: Mapping[MetricKey, Raw]
) -> Callable[[int, float], bool]:
    """Whether a figure of a time is breaching."""
    how = declared["comparisonOperator"]
    if how == "GreaterThanThreshold":
        threshold = float(declared["threshold"])
        return lambda _, value: value > threshold
    (band,) = (
        one["expression"]
        for one in declared["metricQueries"]
        if one["id"] == declared["thresholdMetricId"]
    )
    match = re.fullmatch(r"ANOMALY_DETECTION_BAND\((\w+), ([\d.]+)\)", band)
    if match is None:
        raise NotImplementedError(band)
    last = max((second for raw in history.values() for second, _ in raw), default=0)
    period = _period(declared)
    usual = learnt(watched(declared, history, range(0, last + 1, period)), float(match[2]), period)
    low = {"GreaterThanUpperThreshold": False, "LessThanLowerOrGreaterThanUpperThreshold": True}
    both = low[how]

    def outside(second: int, value: float) -> bool:
        lower, upper = usual(second)
        return value > upper or (both and value < lower)

    return outside
