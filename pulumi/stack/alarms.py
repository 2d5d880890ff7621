"""The alarms of a stack: each as data (a metric or a formula of metrics, and its threshold), and
how it is declared.

Figures that no service counts come from ``metric_filters``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi
from pulumi_aws import cloudwatch, sqs

from stack.catalog import CatalogTable
from stack.config import Config
from stack.functions import LambdaFunction
from stack.intake import Intake
from stack.invalidations import Invalidations
from stack.outbox import EventOutbox
from stack.queues import QueueWithDeadLetters
from stack.upgrades import DailyUpgrades
from stack.webhooks import WebhookEndpoints
from stack.workflow import StateMachines

if TYPE_CHECKING:
    from stack.metric_filters import MetricFilters  # which makes metrics of this module

PERIOD = 60
"""Seconds of one figure, unless an alarm says another."""
NEAR_TIMEOUT = 0.8
"""Share of a function's timeout that its slowest calls may take."""
ENOUGH_ATTEMPTS = 20
"""Attempts in an hour from which on a share of them means something."""
HOUR = 3600
WEBHOOK_SECONDS = 1800
"""An event that waits longer is an alarm. The first three tries take 13 minutes at most."""


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
    """When a person should look, and at what."""

    name: str
    says: str
    """The fault and the first thing to do, for the person who gets the message."""
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
        metric: the figure to watch.
        name: of the resource.
        says: the fault.
        width: of the band, standard deviations.
        topic: notified.
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


# --- the alarms of a stack ---------------------------------------------------------------------


def alarms_of(
    config: Config,
    *,
    intake: Intake,
    catalog: CatalogTable,
    outbox: EventOutbox,
    workflow: StateMachines | None,
    invalidations: Invalidations | None,
    webhooks: WebhookEndpoints | None,
    upgrades: DailyUpgrades | None,
    counted: MetricFilters,
) -> list[Alarm]:
    """Every alarm of a stack, in the order in which the dashboard shows them."""
    return [
        *_intake(config, intake, catalog),
        *_outbox(config, outbox),
        *(_workflow(workflow) if workflow is not None else ()),
        *(_invalidations(config, invalidations) if invalidations is not None else ()),
        *(_webhooks(webhooks) if webhooks is not None else ()),
        *(
            _function_alarms("upgrade", upgrades.function, upgrades.timeout, 1)[:2]
            if upgrades is not None
            else ()
        ),
        *(
            Alarm(
                name=f"{what}-defects",
                says=f"The function {what} met an error that is no fault of an upload: its log"
                " has it, with level ERROR.",
                metrics={"errors": errors},
                above=0,
                minutes=1,
            )
            for what, errors in counted.defects.items()
        ),
        *_jobs(config, counted),
    ]


def _intake(config: Config, intake: Intake, catalog: CatalogTable) -> list[Alarm]:
    settings = config.observability
    queues = {"uploads": intake.uploads}
    if intake.work is not intake.uploads:
        queues["ordered"] = intake.work
    found = [
        _waiting(name, queue, settings.waiting_seconds, urgent=True)
        for name, queue in queues.items()
    ]
    found += [_dead(name, queue) for name, queue in queues.items()]
    found += _function_alarms(
        "ingest", intake.ingest, config.intake.timeout, settings.error_percent
    )
    table = {"TableName": catalog.name}
    found.append(
        Alarm(
            name="catalog-throttled",
            says="The catalog refuses requests: a hot partition, or a limit of the account.",
            metrics={
                "reads": Metric(
                    namespace="AWS/DynamoDB", name="ReadThrottleEvents", dimensions=table
                ),
                "writes": Metric(
                    namespace="AWS/DynamoDB", name="WriteThrottleEvents", dimensions=table
                ),
            },
            formula="FILL(reads, 0) + FILL(writes, 0)",
            above=0,
        )
    )
    return found


def _outbox(config: Config, outbox: EventOutbox) -> list[Alarm]:
    """Changes that nobody is told of: workflows do not start, and edges keep what was closed."""
    return [
        *_function_alarms("outbox", outbox.function, outbox.timeout, 1),
        Alarm(
            name="outbox-late",
            says="Events come long after their records: is the function outbox throttled, or does"
            " the bus not answer?",
            metrics={"age": of_function(outbox.function, "IteratorAge", "Maximum")},
            above=1000 * config.observability.waiting_seconds,
            urgent=True,
        ),
        Alarm(
            name="outbox-dead",
            says="Changes of the catalog were not told: `safelight dlq show` has them, or Lambda's"
            " record of a batch that the bus did not take for hours (output outboxDeadLetters).",
            metrics={"visible": _visible(outbox.dead_letters)},
            above=0,
            minutes=1,
        ),
    ]


def _workflow(workflow: StateMachines) -> list[Alarm]:
    return [
        *_function_alarms("workflow", workflow.function, workflow.timeout, 1),
        *(
            Alarm(
                name=f"{name}-failed",
                says=f"An execution of the workflow {name} has failed: see its history and the logs"
                " of its jobs; `safelight workflow resume` goes on once the cause is gone.",
                metrics={
                    one.lower(): Metric(
                        namespace="AWS/States", name=one, dimensions={"StateMachineArn": arn}
                    )
                    for one in ("ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted")
                },
                formula="FILL(executionsfailed, 0) + FILL(executionstimedout, 0)"
                " + FILL(executionsaborted, 0)",
                above=0,
                minutes=1,
            )
            for name, arn in workflow.arns.items()
        ),
        Alarm(
            name="heavy-undelivered",
            says="Uploads that have to go through a workflow could not be handed to its function,"
            " or it failed on them: its dead letters say which (output heavyDeadLetters), and"
            " `safelight dlq redrive` starts them once the cause is gone.",
            metrics={"visible": _visible(workflow.dead_letters)},
            above=0,
            minutes=1,
        ),
    ]


def _invalidations(config: Config, invalidations: Invalidations) -> list[Alarm]:
    """Edges that still serve what was deleted, held back or replaced."""
    waiting = config.observability.waiting_seconds
    return [
        _waiting("invalidations", invalidations.queue, waiting, urgent=False),
        _dead("invalidations", invalidations.queue),
        *_function_alarms("invalidate", invalidations.function, invalidations.timeout, 1),
    ]


def _webhooks(webhooks: WebhookEndpoints) -> list[Alarm]:
    """Endpoints that take nothing, and a function that does not send."""
    found = _function_alarms("webhook", webhooks.function, webhooks.timeout, 1)
    for name, queue in webhooks.queues.items():
        key = f"webhook-{name}"
        found += [
            # Messages that were received three times or more do not count in this figure: what it
            # shows is not the wait for a receiver that fails (Amazon SQS Developer Guide,
            # "Available CloudWatch metrics").
            _waiting(key, queue, WEBHOOK_SECONDS, urgent=False),
            _dead(key, queue),
        ]
    return found


def _jobs(config: Config, counted: MetricFilters) -> list[Alarm]:
    found = []
    if counted.failed is not None:
        found.append(
            Alarm(
                name="jobs-failed",
                says="Jobs failed for no fault of their input: `safelight jobs list` has them, and"
                " `safelight jobs logs` what they said last.",
                metrics={"failed": counted.failed},
                above=0,
                minutes=1,
            )
        )
    if counted.started is not None and counted.reclaimed is not None:
        found.append(
            Alarm(
                name="jobs-reclaimed",
                says="Spot takes many machines back, and their work is done twice: more zones or"
                " instance families, or the overflow, would help.",
                metrics={"reclaimed": counted.reclaimed, "started": counted.started},
                formula=f"IF(started >= {ENOUGH_ATTEMPTS}, 100 * FILL(reclaimed, 0) / started, 0)",
                above=config.observability.reclaim_percent,
                minutes=1,
                period=HOUR,
            )
        )
    return found


def _function_alarms(
    name: str, function: LambdaFunction, timeout: int, error_percent: float
) -> list[Alarm]:
    return [
        Alarm(
            name=f"{name}-errors",
            says=f"Calls of the function {name} fail: its log has the reasons.",
            metrics={
                "errors": of_function(function, "Errors"),
                "calls": of_function(function, "Invocations"),
            },
            formula="100 * errors / calls",
            above=error_percent,
            urgent=name == "ingest",
        ),
        Alarm(
            name=f"{name}-throttled",
            says=f"Calls of the function {name} are refused: the account's or the function's"
            " concurrency is used up.",
            metrics={"throttles": of_function(function, "Throttles")},
            above=0,
        ),
        Alarm(
            name=f"{name}-slow",
            says=f"The slowest calls of the function {name} come near its timeout of {timeout} s.",
            metrics={"slowest": of_function(function, "Duration", "p99")},
            above=1000 * NEAR_TIMEOUT * timeout,
        ),
    ]


def _waiting(name: str, queue: QueueWithDeadLetters, seconds: int, *, urgent: bool) -> Alarm:
    return Alarm(
        name=f"{name}-waiting",
        says=f"Messages wait too long in the queue {name}: is the function throttled or slow?",
        metrics={"age": _of_queue(queue.queue, "ApproximateAgeOfOldestMessage")},
        above=seconds,
        urgent=urgent,
    )


def _dead(name: str, queue: QueueWithDeadLetters) -> Alarm:
    return Alarm(
        name=f"{name}-dead",
        says=f"Messages of the queue {name} failed too often: see `safelight dlq list`.",
        metrics={"visible": _visible(queue.dead_letters)},
        above=0,
        minutes=1,
    )


def of_function(function: LambdaFunction, name: str, statistic: str = "Sum") -> Metric:
    """One of Lambda's own figures about a function."""
    return Metric(
        namespace="AWS/Lambda",
        name=name,
        dimensions={"FunctionName": function.name},
        statistic=statistic,
    )


def _visible(queue: sqs.Queue) -> Metric:
    return _of_queue(queue, "ApproximateNumberOfMessagesVisible")


def _of_queue(queue: sqs.Queue, name: str) -> Metric:
    return Metric(
        namespace="AWS/SQS",
        name=name,
        dimensions={"QueueName": queue.name},
        statistic="Maximum",
    )
