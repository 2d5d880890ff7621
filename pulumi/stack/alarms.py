"""What an alarm watches, as data: a metric or a formula of metrics, and where it becomes wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import cloudwatch

PERIOD = 60
"""Seconds of one figure, unless an alarm says another."""


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
class Alarm:
    """When somebody should look, and at what."""

    name: str
    says: str
    """What is wrong and what to do first, for whoever gets the message."""
    metrics: Mapping[str, Metric]
    """By the names that the formula uses; a single one needs no formula."""
    above: float
    formula: str | None = None
    minutes: int = 5
    """So many figures in a row must be above: minutes, unless the period is another."""
    period: int = PERIOD
    """Seconds of one figure."""
    urgent: bool = False
    """Part of the alarm that says uploads are not processed."""


def declare(
    alarm: Alarm,
    name: str,
    *,
    topic: pulumi.Input[str],
    tags: Mapping[str, str],
    parent: pulumi.Resource,
) -> cloudwatch.MetricAlarm:
    """The alarm itself. No data is no news: nothing was uploaded."""
    queries = [metric.query(key, alarm.period) for key, metric in alarm.metrics.items()]
    if alarm.formula is None:
        (only,) = queries
        only.return_data = True
    else:
        queries.append(
            cloudwatch.MetricAlarmMetricQueryArgs(
                id="result", expression=alarm.formula, label=alarm.says[:60], return_data=True
            )
        )
    return cloudwatch.MetricAlarm(
        name,
        alarm_description=alarm.says,
        metric_queries=queries,
        comparison_operator="GreaterThanThreshold",
        threshold=alarm.above,
        evaluation_periods=alarm.minutes,
        datapoints_to_alarm=alarm.minutes,
        treat_missing_data="notBreaching",
        alarm_actions=[topic],
        ok_actions=[topic],
        tags=dict(tags),
        opts=pulumi.ResourceOptions(parent=parent),
    )


def unusual(
    metric: Metric,
    name: str,
    *,
    says: str,
    width: int,
    topic: pulumi.Input[str],
    tags: Mapping[str, str],
    parent: pulumi.Resource,
) -> cloudwatch.MetricAlarm:
    """An alarm outside the band that CloudWatch learns from the last two weeks.

    Args:
        metric: what is watched.
        name: of the resource.
        says: what is wrong.
        width: of the band, standard deviations.
        topic: who is told.
        tags: of the resource.
        parent: of the resource.
    """
    watched = metric.query("watched")
    watched.return_data = True
    return cloudwatch.MetricAlarm(
        name,
        alarm_description=says,
        metric_queries=[
            watched,
            cloudwatch.MetricAlarmMetricQueryArgs(
                id="band",
                expression=f"ANOMALY_DETECTION_BAND(watched, {width})",
                label="usual",
                return_data=True,
            ),
        ],
        comparison_operator="LessThanLowerOrGreaterThanUpperThreshold",
        threshold_metric_id="band",
        evaluation_periods=15,
        datapoints_to_alarm=12,
        treat_missing_data="notBreaching",
        alarm_actions=[topic],
        tags=dict(tags),
        opts=pulumi.ResourceOptions(parent=parent),
    )
