"""Builds alarms: a metric or a formula of metrics, its limit, and its runbook.

``watched`` lists the alarms of a stack.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import pulumi
from pulumi_aws import cloudwatch

PERIOD = 60
"""Seconds of one figure, unless an alarm says another."""
FOLDER = "docs/runbooks"
"""Where the pages are in the repository: the address of a runbook unless the stack has another."""


class Runbook(StrEnum):
    """A page of ``docs/runbooks``, named without ``.md``: what to do about a kind of alarm."""

    NOT_PROCESSED = "not-processed"
    UPLOADS_WAITING = "uploads-waiting"
    UPLOADS_DEAD = "uploads-dead"
    FUNCTION_ERRORS = "function-errors"
    FUNCTION_THROTTLED = "function-throttled"
    FUNCTION_SLOW = "function-slow"
    FUNCTION_DEFECTS = "function-defects"
    REQUESTS_FAILING = "requests-failing"
    CATALOG_THROTTLED = "catalog-throttled"
    OUTBOX_LATE = "outbox-late"
    OUTBOX_DEAD = "outbox-dead"
    WORKFLOW_FAILED = "workflow-failed"
    WORKFLOW_DEAD = "workflow-dead"
    JOBS_FAILED = "jobs-failed"
    JOBS_RECLAIMED = "jobs-reclaimed"
    JOBS_STUCK = "jobs-stuck"
    INVALIDATIONS_WAITING = "invalidations-waiting"
    INVALIDATIONS_DEAD = "invalidations-dead"
    WEBHOOK_WAITING = "webhook-waiting"
    WEBHOOK_DEAD = "webhook-dead"
    UNUSUAL_TRAFFIC = "unusual-traffic"
    UNUSUAL_ERRORS = "unusual-errors"
    UNUSUAL_DURATION = "unusual-duration"
    SPENDING = "spending"
    WORK_PAUSED = "work-paused"
    LEDGER_LATE = "ledger-late"

    def at(self, base: str) -> str:
        """Its address: below ``base``, or in the repository if that is empty."""
        return f"{base.rstrip('/') or FOLDER}/{self}.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric of CloudWatch."""

    namespace: str
    name: str
    dimensions: Mapping[str, pulumi.Input[str]]
    statistic: str = "Sum"

    def query(self, key: str, period: int = PERIOD) -> cloudwatch.MetricAlarmMetricQueryArgs:
        """The metric as one line of a formula, under the name ``key``."""
        return cloudwatch.MetricAlarmMetricQueryArgs(
            id=key,
            metric=cloudwatch.MetricAlarmMetricQueryMetricArgs(
                namespace=self.namespace,
                metric_name=self.name,
                dimensions=dict(self.dimensions) or None,
                period=period,
                stat=self.statistic,
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """The band that CloudWatch has learnt for the hour of the week, from at most two weeks."""

    width: float
    """Standard deviations on either side."""
    low: bool = True
    """Also too little is an alarm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """When a person should look, and at what.

    Sums and quotients need no ``FILL``: a figure that is missing beside another counts as 0, and a
    quotient by 0 is dropped. ``FILL`` puts its value in place of a figure that is only late, so
    that the newest one is never above: an alarm with it needs fewer points than it looks at
    (Amazon CloudWatch User Guide, "Using metric math").
    """

    name: str
    says: str
    """The fault and the first thing to do, for the person who gets the message."""
    runbook: Runbook
    metrics: Mapping[str, Metric]
    """By the names that the formula uses; a single one needs no formula."""
    above: float | Band
    """More is too much; with a band, what is outside of it."""
    formula: str | None = None
    points: tuple[int, int] = (5, 5)
    """How many of how many figures, the newest, must be above."""
    period: int = PERIOD
    """Seconds of one figure."""
    urgent: bool = False
    """Part of the alarm that says uploads are not processed."""

    def band(self) -> str:
        """The formula of its band.

        Raises:
            TypeError: it has a fixed limit.
        """
        if not isinstance(self.above, Band):
            raise TypeError(f"the alarm {self.name} has no band")
        watched = "result" if self.formula is not None else next(iter(self.metrics))
        return f"ANOMALY_DETECTION_BAND({watched}, {self.above.width:g})"

    def description(self, runbooks: str) -> str:
        """The text of the message: the fault, and the address of its page."""
        return f"{self.says} Runbook: {self.runbook.at(runbooks)}"


def declare(
    alarm: Alarm,
    name: str,
    *,
    topic: pulumi.Input[str],
    runbooks: str,
    tags: Mapping[str, str],
    parent: pulumi.Resource,
) -> cloudwatch.MetricAlarm:
    """The alarm itself. No data is no news: nothing was uploaded.

    Args:
        alarm: what to declare.
        name: of the resource.
        topic: told when it begins and when it is over.
        runbooks: address of the folder of runbooks; empty for that of the repository.
        tags: of the resource.
        parent: of the resource.
    """
    queries = [metric.query(key, alarm.period) for key, metric in alarm.metrics.items()]
    if alarm.formula is not None:
        queries.append(_expression("result", alarm.formula, alarm.name))
    queries[-1].return_data = True  # the formula, or the only metric
    band = alarm.above if isinstance(alarm.above, Band) else None
    if band is not None:
        queries.append(_expression("band", alarm.band(), "usual"))
        queries[-1].return_data = True
    points, of = alarm.points
    return cloudwatch.MetricAlarm(
        name,
        alarm_description=alarm.description(runbooks),
        metric_queries=queries,
        comparison_operator=_operator(band),
        threshold=None if isinstance(alarm.above, Band) else alarm.above,
        threshold_metric_id="band" if band is not None else None,
        evaluation_periods=of,
        datapoints_to_alarm=points,
        treat_missing_data="notBreaching",
        alarm_actions=[topic],
        ok_actions=[topic],
        tags=dict(tags),
        opts=pulumi.ResourceOptions(parent=parent),
    )


def _expression(key: str, formula: str, label: str) -> cloudwatch.MetricAlarmMetricQueryArgs:
    return cloudwatch.MetricAlarmMetricQueryArgs(id=key, expression=formula, label=label)


def _operator(band: Band | None) -> str:
    if band is None:
        return "GreaterThanThreshold"
    return "LessThanLowerOrGreaterThanUpperThreshold" if band.low else "GreaterThanUpperThreshold"
