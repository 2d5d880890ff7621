"""Every alarm fires when what it watches goes wrong, is over afterwards, and is quiet otherwise.

The alarms are those that the program declares, with their own formulas, periods and limits. What
the services would count is made here; ``tests/integration`` has those that the local stack counts.
"""

from __future__ import annotations

import io
import json
import math
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import product
from typing import Any

import pytest
from aws_lambda_powertools import Logger

from tests.infra.alarm_math import HOUR, WEEK, MetricKey, Raw, composite, metrics_of, states
from tests.infra.configs import CHOSEN, switched
from tests.infra.declared import declare
from worker.adapters import emf
from worker.domain import metrics
from worker.domain.metrics import MetricCounts

DAY = 24 * HOUR
BEGIN = 2 * WEEK
"""Second at which alarms are looked at; what is before is what bands have learnt."""
BREAKS = BEGIN + 3 * HOUR
MENDED = BREAKS + 2 * HOUR
END = MENDED + 3 * HOUR

AtMinute = Callable[[int], float | tuple[float, ...] | None]
"""What is put in the minute that begins at a second; None for nothing."""


@cache
def alarms() -> Mapping[str, Mapping[str, Any]]:
    """Every alarm that any stack has, by name."""
    found: dict[str, Mapping[str, Any]] = {}
    for config in (switched(on=True), CHOSEN):
        for one in declare(config).of("cloudwatch/MetricAlarm"):
            found[one.name] = one.inputs
    return found


# --- ordinary days ------------------------------------------------------------------------------


def load(second: int) -> float:
    """Share of the most that a minute of this hour has: nights are quiet, Sundays too."""
    day = 0.55 - 0.45 * math.cos(2 * math.pi * second / DAY)
    return day * (0.6 if second % WEEK >= 6 * DAY else 1.0)


def rarely(second: int, minutes: int, value: float, otherwise: float | None) -> float | None:
    """One value in so many minutes, another in the rest."""
    return value if second // 60 % minutes == minutes // 2 else otherwise


def _calls(key: MetricKey) -> Callable[[int], int]:
    """Calls of a function in a minute: the smaller ones have none in most minutes."""
    function = dict(key[2]).get("FunctionName", "api").rsplit("-", 1)[-1]
    if function == "upgrade":
        return lambda second: int(second % DAY == 4 * HOUR)
    if function in ("ingest", "deliver", "outbox", "ledger", "api"):
        return lambda second: int(600 * load(second))
    return lambda second: int(second // 60 % 7 == 0)


def ordinary(key: MetricKey) -> AtMinute:
    """A metric on days on which nobody need look: with the mishaps that every day has."""
    name = key[1]
    noise, calls = random.Random(repr(key)), _calls(key)
    found: Mapping[str, AtMinute] = {
        **dict.fromkeys(("Invocations", "Count", "UrlRequestCount"), calls),
        **dict.fromkeys(
            ("Errors", "5xx", "Url5xxCount"),
            lambda second: rarely(second, 97, 1.0, 0.0) if calls(second) else None,
        ),
        "Throttles": lambda second: rarely(second, 211, 4.0, 0.0) if calls(second) else None,
        # One call of five minutes in an hour takes longer than any timeout allows.
        "Duration": lambda second: (
            (
                150_000.0 if second // 60 % 59 == 29 else 900.0,
                *(noise.gauss(900, 60) for _ in range(4)),
            )
            if calls(second)
            else None
        ),
        "IteratorAge": lambda _: noise.uniform(200, 3_000),
        "ApproximateAgeOfOldestMessage": lambda second: rarely(
            second, 113, 400.0, noise.uniform(0, 20)
        ),
        "NumberOfMessagesSent": lambda second: noise.gauss(
            6_000 * load(second), 300 * load(second)
        ),
        # These exist only when one has happened.
        **dict.fromkeys(
            ("ReadThrottleEvents", "WriteThrottleEvents"),
            lambda second: rarely(second, 241, 3.0, None),
        ),
        **dict.fromkeys(
            ("ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted"), lambda _: None
        ),
        "Spend": lambda second: noise.gauss(2 * load(second), 0.1),
        **dict.fromkeys(
            ("Retries", "Uploads"), lambda second: float(int(noise.uniform(0, 8) * load(second)))
        ),
        # Three of sixty attempts an hour.
        **dict.fromkeys(("jobs-started", "JobsStarted"), lambda _: 1.0),
        **dict.fromkeys(
            ("jobs-reclaimed", "Reclaims"), lambda second: rarely(second, 20, 1.0, 0.0)
        ),
    }
    # Dead letters, and what metric filters count: 0 is said as well.
    return found.get(name, lambda _: 0.0)


@cache
def put(key: MetricKey, start: int, end: int) -> Raw:
    """The figures of ordinary days."""
    return tuple(_put(ordinary(key), start, end))


def _put(at: AtMinute, start: int, end: int) -> Iterator[tuple[int, float]]:
    for second in range(start, end, 60):
        value = at(second)
        for one in value if isinstance(value, tuple) else (value,):
            if one is not None:
                yield second, one


def broken(key: MetricKey, what: AtMinute) -> Raw:
    """The figures of a day on which something goes wrong for two hours."""
    usual = put(key, BEGIN - DAY, END)
    return (
        *(one for one in usual if one[0] < BREAKS),
        *_put(what, BREAKS, MENDED),
        *(one for one in usual if one[0] >= MENDED),
    )


def history(declared: Mapping[str, Any]) -> Mapping[MetricKey, Raw]:
    """What the band of an alarm has learnt from; nothing for an alarm without one."""
    if "thresholdMetricId" not in declared:
        return {}
    return {key: put(key, 0, BEGIN) for key in metrics_of(declared)}


def run(
    declared: Mapping[str, Any], raw: Mapping[MetricKey, Raw], *, late: int, start: int = BEGIN
) -> list[tuple[int, str]]:
    """The states of an alarm over the day."""
    return states(declared, raw, start=start, end=END, late=late, history=history(declared))


@pytest.mark.parametrize("late", [0, 120])
def test_ordinary_days_are_quiet(late: int) -> None:
    """Mishaps of a minute wake nobody: a failed call, a cold start, a burst, a machine lost."""
    for name, declared in alarms().items():
        raw = {key: put(key, BEGIN - DAY, END) for key in metrics_of(declared)}
        woken = [second for second, state in run(declared, raw, late=late) if state == "ALARM"]
        assert not woken, name


def test_a_stack_that_nobody_uses_is_quiet() -> None:
    """Also one whose figures have all stopped."""
    for name, declared in alarms().items():
        raw = {key: put(key, BEGIN - DAY, BEGIN + HOUR) for key in metrics_of(declared)}
        for late in (0, 120):
            assert {state for _, state in run(declared, raw, late=late)} == {"OK"}, name
        assert {state for _, state in run(declared, {}, late=0)} == {"OK"}, name


# --- what goes wrong ----------------------------------------------------------------------------


def _older(second: int) -> float:
    """Age of a message that nobody takes, after the minute that was ordinary."""
    return float(second - BREAKS + 60)


FAULTS: Mapping[str, Mapping[str, AtMinute]] = {
    "-waiting": {"ApproximateAgeOfOldestMessage": _older},
    "-dead": {"ApproximateNumberOfMessagesVisible": lambda _: 1.0},
    "heavy-undelivered": {"ApproximateNumberOfMessagesVisible": lambda _: 1.0},
    "-errors": {"Errors": lambda _: 60.0, "Invocations": lambda _: 600.0},
    "upgrade-errors": {
        # The one call of the day.
        "Errors": lambda second: 1.0 if second == BREAKS else None,
        "Invocations": lambda second: 1.0 if second == BREAKS else None,
    },
    "-throttled": {"Throttles": lambda _: 5.0},
    "upgrade-throttled": {"Throttles": lambda second: 1.0 if second == BREAKS else None},
    "-failing": {
        **{"5xx": lambda _: 60.0, "Count": lambda _: 600.0},
        **{"Url5xxCount": lambda _: 60.0, "UrlRequestCount": lambda _: 600.0},
    },
    "-slow": {"Duration": lambda _: 119_000.0},
    "catalog-throttled": {"WriteThrottleEvents": lambda _: 40.0},
    "-late": {"IteratorAge": lambda second: 1000 * _older(second)},
    "-failed": {"ExecutionsTimedOut": lambda second: 1.0 if second == BREAKS else None},
    "-defects": {"*": lambda second: rarely(second, 2, 1.0, 0.0)},
    "jobs-failed": {"*": lambda second: rarely(second, 2, 1.0, 0.0)},
    "jobs-reclaimed": {
        "jobs-reclaimed": lambda second: rarely(second, 3, 1.0, 0.0),
        "Reclaims": lambda second: rarely(second, 3, 1.0, 0.0),
    },
    "unusual-traffic": {"NumberOfMessagesSent": lambda _: 0.0},
    "unusual-errors": {"Uploads": lambda _: 90.0},
    "unusual-duration": {"Duration": lambda _: 8_000.0},
    "work-paused": {"Paused": lambda _: 1.0},
    "unusual-spend": {"Spend": lambda _: 30.0},
}
"""By the end of the alarm's name, the longest that fits: what its metrics say while it lasts."""


def fault_of(name: str) -> Mapping[str, AtMinute]:
    """What goes wrong for an alarm.

    Raises:
        ValueError: nothing is written down for it: a new alarm needs its fault.
    """
    return FAULTS[max((end for end in FAULTS if name.endswith(end)), key=len)]


@pytest.mark.parametrize("late", [0, 120])
def test_every_alarm_fires_and_is_over(late: int) -> None:
    """Within its points and three more; over when the mishap is, and not before it."""
    for name, declared in alarms().items():
        fault = fault_of(name)
        raw = {
            key: broken(key, what) if what is not None else put(key, BEGIN - DAY, END)
            for key in metrics_of(declared)
            for what in (fault.get(key[1], fault.get("*")),)
        }
        period = int(declared["metricQueries"][0]["metric"]["period"])
        limit = float(declared.get("threshold") or 0)
        grows = limit / (1000 if name.endswith("-late") else 1) if _grows(fault) else 0
        delay = period * (int(declared["evaluationPeriods"]) + 3) + late + grows

        found = run(declared, raw, late=late)
        woken = [second for second, state in found if state == "ALARM"]

        assert woken, f"{name} never fires"
        assert BREAKS < woken[0] <= BREAKS + delay, name
        assert woken[-1] <= MENDED + delay, f"{name} is not over"


@pytest.mark.parametrize("minutes", [1, 4, 7])
def test_a_function_that_is_seldom_called_is_seen_failing(minutes: int) -> None:
    """Each call fails, and there is one in so many minutes."""
    for name, declared in alarms().items():
        if not name.endswith(("-errors", "-failing")) or name.startswith(("unusual", "upgrade")):
            continue
        raw = {
            key: [(second, 1.0) for second in range(BREAKS, MENDED, 60 * minutes)]
            for key in metrics_of(declared)
        }

        found = run(declared, raw, late=0)

        first = next((second for second, state in found if state == "ALARM"), END)
        assert first <= BREAKS + 1200, name


def test_spending_is_watched_by_the_day() -> None:
    """Two dear hours that are too much for a day are told within them, whatever the time of day,
    and are forgotten when they are a day old; a dear hour that a day can bear is not told."""
    declared = alarms()["unusual-spend"]
    (key,) = metrics_of(declared)
    later = put(key, END, END + 2 * DAY)
    for broke in (BREAKS, BREAKS + 11 * HOUR):
        usual = (*put(key, BEGIN - DAY, END), *later)
        for dollars, told in ((30.0, True), (4.0, False)):
            raw = (
                *(one for one in usual if one[0] < broke),
                *((second, dollars) for second in range(broke, broke + 2 * HOUR, 60)),
                *(one for one in usual if one[0] >= broke + 2 * HOUR),
            )
            found = states(
                declared, {key: raw}, start=BEGIN, end=END + 2 * DAY, history=history(declared)
            )
            woken = [second for second, state in found if state == "ALARM"]
            assert bool(woken) is told
            if told:
                assert broke < woken[0] <= broke + 2 * HOUR
                assert woken[-1] <= broke + 2 * HOUR + DAY


def _grows(fault: Mapping[str, AtMinute]) -> bool:
    return not {"ApproximateAgeOfOldestMessage", "IteratorAge"}.isdisjoint(fault)


def test_unusually_much_traffic_is_unusual_too() -> None:
    """The band has two ends."""
    declared = alarms()["unusual-traffic"]
    (key,) = metrics_of(declared)

    found = run(declared, {key: broken(key, lambda _: 30_000.0)}, late=0)

    assert "ALARM" in {state for _, state in found}


def test_an_alarm_that_fills_looks_at_more_than_it_needs() -> None:
    """A figure that is late would be filled each time, and an alarm on all points never fires."""
    filled = {
        name: one
        for name, one in alarms().items()
        if any("FILL" in query.get("expression", "") for query in one["metricQueries"])
    }

    assert set(filled) == {"catalog-throttled"}
    for one in filled.values():
        assert one["datapointsToAlarm"] <= one["evaluationPeriods"] - 2
    (declared,) = filled.values()
    raw = {key: broken(key, lambda _: 40.0) for key in metrics_of(declared)}
    strict = {**declared, "datapointsToAlarm": declared["evaluationPeriods"]}
    assert {state for _, state in run(strict, raw, late=120)} == {"OK"}


def test_the_sum_of_alarms_fires_with_each_of_them() -> None:
    """While one of those that are urgent is on, and rests while none is."""
    (one,) = declare(switched(on=True)).of("cloudwatch/CompositeAlarm")
    rule = one.inputs["alarmRule"]
    urgent = ["uploads-waiting", "ordered-waiting", "ingest-errors", "outbox-late", "api-failing"]
    full = {f"safelight-test-{name}": "OK" for name in alarms()}

    assert not composite(rule, full)
    for name in alarms():
        assert composite(rule, {**full, f"safelight-test-{name}": "ALARM"}) is (name in urgent)


def test_alarms_keep_the_limits_of_cloudwatch() -> None:
    """API reference, PutMetricAlarm: one day, or seven from an hour on; ten metrics a formula."""
    for name, one in alarms().items():
        queries = one["metricQueries"]
        periods = {int(query["metric"]["period"]) for query in queries if "metric" in query}
        (period,) = periods
        longest = 604_800 if period >= HOUR else 86_400
        assert period * one["evaluationPeriods"] <= longest, name
        assert sum("metric" in query for query in queries) <= 10, name
        assert 1 <= one["datapointsToAlarm"] <= one["evaluationPeriods"], name
        ids = [query["id"] for query in queries]
        assert len({*ids}) == len(ids), name
        assert all(id_[0].islower() for id_ in ids), name


# --- figures from what our own code writes ------------------------------------------------------


def emitted(per_minute: Callable[[MetricCounts], None]) -> Mapping[MetricKey, Raw]:
    """What CloudWatch makes of the lines that functions write, one line a minute.

    Args:
        per_minute: counts as code does.
    """
    found: dict[MetricKey, list[tuple[int, float]]] = defaultdict(list)
    for second in range(BREAKS, MENDED, 60):
        counts = MetricCounts()
        per_minute(counts)
        for line in emf.lines(counts.take(), "ingest", "Safelight/test", now=second):
            read: Mapping[str, Any] = json.loads(json.dumps(line))
            for directive in read["_aws"]["CloudWatchMetrics"]:
                for names, metric in product(directive["Dimensions"], directive["Metrics"]):
                    dimensions = tuple((name, read[name]) for name in sorted(names))
                    value = read[metric["Name"]]
                    key = (directive["Namespace"], metric["Name"], dimensions)
                    found[key] += [
                        (second, one) for one in (value if isinstance(value, list) else [value])
                    ]
    return found


def _rejecting(counts: MetricCounts) -> None:
    counts.add(metrics.UPLOADS, 90, outcome="rejected")
    counts.add(metrics.UPLOADS, 500, outcome="accepted")
    counts.add(metrics.RETRIES, 3, service="ingest")


def _pausing(counts: MetricCounts) -> None:
    for work in metrics.OPTIONAL_WORK:
        counts.add(metrics.PAUSED, work=work)


@pytest.mark.parametrize(
    ("name", "per_minute"),
    [
        ("unusual-errors", _rejecting),
        ("unusual-spend", lambda counts: counts.add(metrics.SPEND, 30.0)),
        ("work-paused", _pausing),
    ],
)
def test_alarms_read_the_metrics_that_code_writes(
    name: str, per_minute: Callable[[MetricCounts], None]
) -> None:
    """Namespace, names and dimensions are those of the lines in the embedded metric format."""
    declared = alarms()[name]
    written = emitted(per_minute)

    assert {*metrics_of(declared)} <= {*written}
    assert "ALARM" in {state for _, state in run(declared, written, late=60)}


def test_a_line_of_level_error_is_a_defect() -> None:
    """As the functions' own loggers write it, and as the filter of the stack reads it."""
    written = io.StringIO()
    logger = Logger(service="defects-of-a-test", stream=written)
    logger.warning("come again")
    logger.error("a defect", extra={"code": "state_unexpected"})
    lines = [json.loads(one) for one in written.getvalue().splitlines()]
    stack = declare(switched(on=True))
    counted = stack.one("cloudwatch/LogMetricFilter", "ingest-defects").inputs
    transformation = counted["metricTransformation"]
    key: MetricKey = (transformation["namespace"], transformation["name"], ())
    raw = {
        key: [(BREAKS + number, 1.0) for number, line in enumerate(lines) if fits(counted, line)]
    }

    assert len(raw[key]) == 1
    assert "ALARM" in {state for _, state in run(alarms()["ingest-defects"], raw, late=0)}


def fits(declared: Mapping[str, Any], line: Mapping[str, Any]) -> bool:
    """Whether a filter takes a line, for patterns that compare one member with one text."""
    match = re.fullmatch(r'\{ \$\.(\w+) = "(\w+)" \}', declared["pattern"])
    assert match is not None
    return line.get(match[1]) == match[2]


def test_every_metric_of_ours_that_an_alarm_reads_is_counted() -> None:
    """By code that writes lines, or by a filter of the stack."""
    stack = declare(CHOSEN)
    filtered = {
        one.inputs["metricTransformation"]["name"] for one in stack.of("cloudwatch/LogMetricFilter")
    }
    read = {
        key[1]
        for one in stack.of("cloudwatch/MetricAlarm")
        for key in metrics_of(one.inputs)
        if key[0] == "Safelight/test"
    }
    written = {one.name for one in metrics.METRICS if one.source is metrics.Source.CODE}

    assert read <= filtered | written
    assert filtered <= read
