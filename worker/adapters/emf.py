"""Writes what was counted as lines in CloudWatch's embedded metric format.

CloudWatch makes metrics of such lines in a log group, without any request (Amazon CloudWatch User
Guide, "Specification: Embedded metric format"). A name has one value in a line, so a line takes all
metrics whose dimensions do not contradict each other; what is left goes to a further line.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from worker.domain import metrics
from worker.domain.metrics import Counted, Unit

NAMESPACE = "Safelight"
"""Of a process that was told none. A stack's own is ``Safelight/STACK``."""
VARIABLE = "SAFELIGHT_METRICS_NAMESPACE"
"""The environment's variable of the namespace (``worker.settings``). It is read here, because what
was counted is written even if the settings are wrong."""
VALUES = 100
"""Most values of a metric in one line (the same page)."""
DEFINITIONS = 100
"""Most metrics of one directive (the same page)."""

DIGITS = {Unit.COUNT: 0, Unit.BYTES: 0, Unit.SECONDS: 6, Unit.DOLLARS: 9}
"""Decimals that are written: microseconds, and thousandths of a dollar for a million images."""


def namespace() -> str:
    """The namespace of this process's metrics."""
    return os.environ.get(VARIABLE, "").strip() or NAMESPACE


@contextmanager
def flushing(service: str) -> Iterator[None]:
    """Write what was counted when the block ends, also if it raises; a decorator of handlers too.

    Args:
        service: name of the function.
    """
    try:
        yield
    finally:
        flush(service)


def flush(service: str) -> None:
    """Write all that this process has counted to standard output; nothing if that is nothing.

    A log that cannot be written loses metrics and no work.

    Args:
        service: name of the function; a property of each line, not a dimension.
    """
    for line in lines(metrics.take(), service, namespace(), now=time.time()):
        try:
            sys.stdout.write(f"{json.dumps(line, separators=(',', ':'))}\n")
            sys.stdout.flush()
        except (OSError, ValueError):
            return


def lines(
    counted: Iterable[Counted],
    service: str,
    space: str,
    *,
    now: float,
    properties: Mapping[str, Any] | None = None,
) -> Iterator[Mapping[str, Any]]:
    """The lines, JSON-ready, as few as possible.

    Args:
        counted: what to write.
        service: name of the function.
        space: their namespace.
        now: seconds since 1970.
        properties: further members of each line, which are no dimensions.
    """
    left = [part for one in counted for part in _parts(one)]
    while left:
        line, left = _line(left)
        dimensions: dict[str, str] = {}
        values: dict[str, float | list[float]] = {}
        directives: dict[tuple[str, ...], list[Mapping[str, str]]] = {}
        for one in line:
            names = tuple(name for name, _ in one.labels)
            definition = {"Name": one.metric.name, "Unit": one.metric.unit.value}
            directives.setdefault(names, []).append(definition)
            dimensions.update(one.labels)
            digits = DIGITS[one.metric.unit]
            rounded = [round(value, digits) for value in one.values]
            values[one.metric.name] = rounded[0] if len(rounded) == 1 else rounded
        yield {
            "_aws": {
                "Timestamp": int(now * 1000),
                "CloudWatchMetrics": [
                    {"Namespace": space, "Dimensions": [list(names)], "Metrics": found}
                    for names, found in directives.items()
                ],
            },
            **(properties or {}),
            "service": service,
            **dimensions,
            **values,
        }


def _parts(one: Counted) -> Iterator[Counted]:
    """A distribution in pieces that fit into a line."""
    for start in range(0, len(one.values), VALUES):
        values = one.values[start : start + VALUES]
        yield Counted(metric=one.metric, labels=one.labels, values=values)


def _line(counted: Sequence[Counted]) -> tuple[list[Counted], list[Counted]]:
    """The values that fit into the next line, and the remaining ones."""
    taken: list[Counted] = []
    left: list[Counted] = []
    dimensions: dict[str, str] = {}
    names: set[str] = set()
    for one in counted:
        contradicts = any(dimensions.get(name, value) != value for name, value in one.labels)
        if contradicts or one.metric.name in names or len(taken) == DEFINITIONS:
            left.append(one)
            continue
        taken.append(one)
        names.add(one.metric.name)
        dimensions.update(one.labels)
    return taken, left
