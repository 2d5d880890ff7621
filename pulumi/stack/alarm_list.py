"""The alarms of a stack: which figures, what is too much of them, and what a person does first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pulumi_aws import sqs

from stack import api as http_api
from stack import origin as delivery_origin
from stack.alarms import Alarm, Band, Metric, Runbook
from stack.api import Api
from stack.catalog import CatalogTable
from stack.config import Config
from stack.functions import LambdaFunction
from stack.intake import Intake
from stack.invalidations import Invalidations
from stack.ledger import WorkLedger
from stack.metric_filters import MetricFilters
from stack.origin import DeliveryOrigin
from stack.outbox import EventOutbox
from stack.queues import QueueWithDeadLetters
from stack.upgrades import DailyUpgrades
from stack.webhooks import WebhookEndpoints
from stack.workflow import StateMachines
from worker.domain import metrics
from worker.domain.metrics import MetricSpec

NEAR_TIMEOUT = 0.8
"""Share of a function's timeout that its slowest calls may take."""
ENOUGH_ATTEMPTS = 20
"""Attempts in an hour from which on a share of them means something."""
FEW_MINUTES = 300
HOUR, DAY = 3600, 86_400
"""Seconds."""
ONCE = (1, 1)
"""One figure is enough: it is 0 unless something went wrong."""
MOST = (2, 3)
"""Of five minutes each: also calls that come every few minutes are enough of them. With points of
a minute, all of five, a quiet function could fail each time and no alarm would see it."""
WEBHOOK_SECONDS = 1800
"""An event that waits longer is an alarm. The first three tries take 13 minutes at most."""
WIDTH = 4
"""Standard deviations of a band: fewer would call every evening unusual."""
LEDGER_SECONDS = 1_800
"""Age of a change that the ledger has not counted, from which on somebody should look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """The parts of a stack that have alarms. None is a part that the stack does without."""

    namespace: str
    """Of what the stack counts itself."""
    intake: Intake
    catalog: CatalogTable
    outbox: EventOutbox
    ledger: WorkLedger
    counted: MetricFilters
    workflow: StateMachines | None
    invalidations: Invalidations | None
    webhooks: WebhookEndpoints | None
    upgrades: DailyUpgrades | None
    api: Api | None
    origin: DeliveryOrigin | None


def alarms_of(config: Config, parts: Watched) -> list[Alarm]:
    """Every alarm of a stack, in the order in which the dashboard shows them."""
    return [
        *_intake(config, parts.intake, parts.catalog),
        *_outbox(config, parts.outbox),
        *_ledger(parts.ledger),
        *(_api(config, parts.api) if parts.api is not None else ()),
        *(_delivery(config, parts.origin) if parts.origin is not None else ()),
        *(_workflow(parts.workflow) if parts.workflow is not None else ()),
        *(_invalidations(config, parts.invalidations) if parts.invalidations is not None else ()),
        *(_webhooks(parts.webhooks) if parts.webhooks is not None else ()),
        *(_upgrades(parts.upgrades) if parts.upgrades is not None else ()),
        *_defects(parts.counted),
        *_jobs(config, parts.counted),
        *(_paused(parts) if config.cost.daily_limit else ()),
        *(_unusual(parts) if config.observability.anomalies else ()),
    ]


def _intake(config: Config, intake: Intake, catalog: CatalogTable) -> Iterator[Alarm]:
    settings = config.observability
    queues = {"uploads": intake.uploads}
    if intake.work is not intake.uploads:
        queues["ordered"] = intake.work
    for name, queue in queues.items():
        yield _waiting(
            name, queue, settings.waiting_seconds, runbook=Runbook.UPLOADS_WAITING, urgent=True
        )
    for name, queue in queues.items():
        yield _dead(name, queue, runbook=Runbook.UPLOADS_DEAD)
    yield from _function(
        "ingest", intake.ingest, config.intake.timeout, percent=settings.error_percent, urgent=True
    )
    table = {"TableName": catalog.name}
    yield Alarm(
        name="catalog-throttled",
        says="The catalog refuses requests: a hot partition, or a limit of the account.",
        runbook=Runbook.CATALOG_THROTTLED,
        metrics={
            "reads": Metric(namespace="AWS/DynamoDB", name="ReadThrottleEvents", dimensions=table),
            "writes": Metric(
                namespace="AWS/DynamoDB", name="WriteThrottleEvents", dimensions=table
            ),
        },
        # The figures exist only while requests are refused, and alarms on DynamoDB's figures stay
        # as they are while there are none (API reference, PutMetricAlarm): zeros end the alarm.
        formula="FILL(reads, 0) + FILL(writes, 0)",
        above=0,
        points=(3, 5),
    )


def _outbox(config: Config, outbox: EventOutbox) -> Iterator[Alarm]:
    """Changes that nobody is told of: workflows do not start, and edges keep what was closed."""
    yield from _function("outbox", outbox.function, outbox.timeout)
    yield Alarm(
        name="outbox-late",
        says="Events come long after their records: is the function outbox throttled, or does"
        " the bus not answer?",
        runbook=Runbook.OUTBOX_LATE,
        metrics={"age": _of_function(outbox.function, "IteratorAge", "Maximum")},
        above=1000 * config.observability.waiting_seconds,
        urgent=True,
    )
    yield Alarm(
        name="outbox-dead",
        says="Changes of the catalog were not told: `safelight dlq show` has them, or Lambda's"
        " record of a batch that the bus did not take for hours (output outboxDeadLetters).",
        runbook=Runbook.OUTBOX_DEAD,
        metrics={"visible": _visible(outbox.dead_letters)},
        above=0,
        points=ONCE,
    )


def _ledger(ledger: WorkLedger) -> Iterator[Alarm]:
    """Work that is not counted: reports are short of it, and the daily limit trips late."""
    yield from _function("ledger", ledger.function, ledger.timeout)
    yield Alarm(
        name="ledger-late",
        says="The ledger is behind: costs of the last half hour and more are not counted, and the"
        " daily limit does not see them.",
        runbook=Runbook.LEDGER_LATE,
        metrics={"age": _of_function(ledger.function, "IteratorAge", "Maximum")},
        above=1000 * LEDGER_SECONDS,
    )


def _api(config: Config, api: Api) -> Iterator[Alarm]:
    """The API answers mistakes of its own with a status: for Lambda such a call is no error."""
    gateway = {"ApiId": api.gateway.id}
    yield _failing(
        "api",
        says="The API answers requests with 5xx: no uploads can be announced.",
        failed=Metric(namespace="AWS/ApiGateway", name="5xx", dimensions=gateway),
        requests=Metric(namespace="AWS/ApiGateway", name="Count", dimensions=gateway),
        percent=config.observability.error_percent,
        urgent=True,
    )
    yield from _refused_or_slow("api", api.function, http_api.TIMEOUT)


def _delivery(config: Config, origin: DeliveryOrigin) -> Iterator[Alarm]:
    """Files that are made at their first view: viewers see an error in place of a picture."""
    yield _failing(
        "deliver",
        says="Files that are made at the first view are not delivered: viewers get 5xx.",
        failed=_of_function(origin.function, "Url5xxCount"),
        requests=_of_function(origin.function, "UrlRequestCount"),
        percent=config.observability.error_percent,
    )
    yield from _refused_or_slow("deliver", origin.function, delivery_origin.TIMEOUT)


def _workflow(workflow: StateMachines) -> Iterator[Alarm]:
    yield from _function("workflow", workflow.function, workflow.timeout)
    ends = ("ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted")
    for name, arn in workflow.arns.items():
        machine = {"StateMachineArn": arn}
        yield Alarm(
            name=f"{name}-failed",
            says=f"An execution of the workflow {name} has failed: see its history and the logs"
            " of its jobs; `safelight workflow resume` goes on once the cause is gone.",
            runbook=Runbook.WORKFLOW_FAILED,
            metrics={
                one.lower(): Metric(namespace="AWS/States", name=one, dimensions=machine)
                for one in ends
            },
            formula=" + ".join(one.lower() for one in ends),
            above=0,
            points=ONCE,
        )
    yield Alarm(
        name="heavy-undelivered",
        says="Uploads that have to go through a workflow could not be handed to its function,"
        " or it failed on them: its dead letters say which (output heavyDeadLetters), and"
        " `safelight dlq redrive` starts them once the cause is gone.",
        runbook=Runbook.WORKFLOW_DEAD,
        metrics={"visible": _visible(workflow.dead_letters)},
        above=0,
        points=ONCE,
    )


def _invalidations(config: Config, invalidations: Invalidations) -> Iterator[Alarm]:
    """Edges that still serve what was deleted, held back or replaced."""
    waiting = config.observability.waiting_seconds
    yield _waiting(
        "invalidations", invalidations.queue, waiting, runbook=Runbook.INVALIDATIONS_WAITING
    )
    yield _dead("invalidations", invalidations.queue, runbook=Runbook.INVALIDATIONS_DEAD)
    yield from _function("invalidate", invalidations.function, invalidations.timeout)


def _webhooks(webhooks: WebhookEndpoints) -> Iterator[Alarm]:
    """Endpoints that take nothing, and a function that does not send."""
    yield from _function("webhook", webhooks.function, webhooks.timeout)
    for name, queue in webhooks.queues.items():
        key = f"webhook-{name}"
        # Messages that were received three times or more do not count in this figure: what it
        # shows is not the wait for a receiver that fails (Amazon SQS Developer Guide,
        # "Available CloudWatch metrics").
        yield _waiting(key, queue, WEBHOOK_SECONDS, runbook=Runbook.WEBHOOK_WAITING)
        yield _dead(key, queue, runbook=Runbook.WEBHOOK_DEAD)


def _upgrades(upgrades: DailyUpgrades) -> Iterator[Alarm]:
    """One call a day: its failure is one figure."""
    yield _errors("upgrade", upgrades.function, points=ONCE)
    yield _throttled("upgrade", upgrades.function, points=ONCE)


def _defects(counted: MetricFilters) -> Iterator[Alarm]:
    for what, errors in counted.defects.items():
        yield Alarm(
            name=f"{what}-defects",
            says=f"The function {what} met an error that is no fault of an upload: its log"
            " has it, with level ERROR.",
            runbook=Runbook.FUNCTION_DEFECTS,
            metrics={"errors": errors},
            above=0,
            points=ONCE,
        )


def _jobs(config: Config, counted: MetricFilters) -> Iterator[Alarm]:
    if counted.failed is not None:
        yield Alarm(
            name="jobs-failed",
            says="Jobs failed for no fault of their input: `safelight jobs list` has them, and"
            " `safelight jobs logs` what they said last.",
            runbook=Runbook.JOBS_FAILED,
            metrics={"failed": counted.failed},
            above=0,
            points=ONCE,
        )
    if counted.started is not None and counted.reclaimed is not None:
        yield Alarm(
            name="jobs-reclaimed",
            says="Spot takes many machines back, and their work is done twice: more zones or"
            " instance families, or the overflow, would help.",
            runbook=Runbook.JOBS_RECLAIMED,
            metrics={"reclaimed": counted.reclaimed, "started": counted.started},
            formula=f"IF(started >= {ENOUGH_ATTEMPTS}, 100 * reclaimed / started, 0)",
            above=config.observability.reclaim_percent,
            points=ONCE,
            period=HOUR,
        )


def _paused(parts: Watched) -> Iterator[Alarm]:
    """The daily limit is spent, and somebody or a schedule has asked for optional work."""
    yield Alarm(
        name="work-paused",
        says="Today's limit of spending is passed: optional work pauses until midnight UTC. Intake"
        " goes on. `safelight cost resume` lets the work go on.",
        runbook=Runbook.WORK_PAUSED,
        metrics={work: _own(parts, metrics.PAUSED, work=work) for work in metrics.OPTIONAL_WORK},
        formula=" + ".join(metrics.OPTIONAL_WORK),
        above=0,
        period=FEW_MINUTES,
        points=ONCE,
    )


def _unusual(parts: Watched) -> Iterator[Alarm]:
    """Figures without a fixed limit, because they follow the hours of the week."""
    yield Alarm(
        name="unusual-traffic",
        says="Unusually many uploads, or few, for this hour of the week.",
        runbook=Runbook.UNUSUAL_TRAFFIC,
        # Unlike the calls of a function, this figure is there, as 0, when nothing arrives.
        metrics={"arrived": _of_queue(parts.intake.uploads.queue, "NumberOfMessagesSent", "Sum")},
        above=Band(width=WIDTH),
        period=FEW_MINUTES,
        points=(3, 4),
    )
    yield Alarm(
        name="unusual-errors",
        says="Unusually many uploads fail or are rejected for this hour of the week.",
        runbook=Runbook.UNUSUAL_ERRORS,
        metrics={
            "retries": _own(parts, metrics.RETRIES, service="ingest"),
            "rejected": _own(parts, metrics.UPLOADS, outcome="rejected"),
        },
        formula="retries + rejected",
        above=Band(width=WIDTH, low=False),
        period=FEW_MINUTES,
        points=(3, 4),
    )
    yield Alarm(
        name="unusual-duration",
        says="Uploads take unusually long for this hour of the week.",
        runbook=Runbook.UNUSUAL_DURATION,
        metrics={"slower": _of_function(parts.intake.ingest, "Duration", "p90")},
        above=Band(width=WIDTH, low=False),
        period=FEW_MINUTES,
        points=(3, 4),
    )
    yield Alarm(
        name="unusual-spend",
        says="Unusually much money was spent in a day, by list prices.",
        runbook=Runbook.SPENDING,
        # The sum of the last 24 hours, whatever the time of day: the window of an alarm slides
        # (Amazon CloudWatch User Guide, "Alarm evaluation window").
        metrics={"dollars": _own(parts, metrics.SPEND)},
        above=Band(width=WIDTH, low=False),
        period=DAY,
        points=ONCE,
    )


def _own(parts: Watched, spec: MetricSpec, **dimensions: str) -> Metric:
    """One of the figures that Safelight counts itself.

    Raises:
        ValueError: it is never counted with these dimensions.
    """
    labels = metrics.labels_of(spec, dimensions)
    if dict(labels) != dimensions:
        raise ValueError(f"{spec.name} is not counted for {dimensions}")
    return Metric(
        namespace=parts.namespace,
        name=spec.name,
        dimensions=dimensions,
        statistic=spec.statistic.value,
    )


def _function(
    name: str,
    function: LambdaFunction,
    timeout: int,
    *,
    percent: float = 1,
    urgent: bool = False,
) -> Iterator[Alarm]:
    """Of a function whose failures Lambda counts."""
    yield _errors(name, function, percent=percent, urgent=urgent)
    yield from _refused_or_slow(name, function, timeout)


def _errors(
    name: str,
    function: LambdaFunction,
    *,
    percent: float = 1,
    points: tuple[int, int] = MOST,
    urgent: bool = False,
) -> Alarm:
    return Alarm(
        name=f"{name}-errors",
        says=f"Calls of the function {name} fail: its log has the reasons.",
        runbook=Runbook.FUNCTION_ERRORS,
        metrics={
            "errors": _of_function(function, "Errors"),
            "calls": _of_function(function, "Invocations"),
        },
        formula="100 * errors / calls",
        above=percent,
        period=FEW_MINUTES,
        points=points,
        urgent=urgent,
    )


def _refused_or_slow(name: str, function: LambdaFunction, timeout: int) -> Iterator[Alarm]:
    yield _throttled(name, function)
    yield Alarm(
        name=f"{name}-slow",
        says=f"The slowest calls of the function {name} come near its timeout of {timeout} s.",
        runbook=Runbook.FUNCTION_SLOW,
        metrics={"slowest": _of_function(function, "Duration", "p99")},
        above=1000 * NEAR_TIMEOUT * timeout,
        period=FEW_MINUTES,
        points=MOST,
    )


def _throttled(name: str, function: LambdaFunction, *, points: tuple[int, int] = (3, 3)) -> Alarm:
    return Alarm(
        name=f"{name}-throttled",
        says=f"Calls of the function {name} are refused: the account's or the function's"
        " concurrency is used up.",
        runbook=Runbook.FUNCTION_THROTTLED,
        metrics={"throttles": _of_function(function, "Throttles")},
        above=0,
        period=FEW_MINUTES,
        points=points,
    )


def _failing(
    name: str,
    *,
    says: str,
    failed: Metric,
    requests: Metric,
    percent: float,
    urgent: bool = False,
) -> Alarm:
    return Alarm(
        name=f"{name}-failing",
        says=says,
        runbook=Runbook.REQUESTS_FAILING,
        metrics={"failed": failed, "requests": requests},
        formula="100 * failed / requests",
        above=percent,
        period=FEW_MINUTES,
        points=MOST,
        urgent=urgent,
    )


def _waiting(
    name: str,
    queue: QueueWithDeadLetters,
    seconds: int,
    *,
    runbook: Runbook,
    urgent: bool = False,
) -> Alarm:
    return Alarm(
        name=f"{name}-waiting",
        says=f"Messages wait too long in the queue {name}: is the function throttled or slow?",
        runbook=runbook,
        metrics={"age": _of_queue(queue.queue, "ApproximateAgeOfOldestMessage")},
        above=seconds,
        urgent=urgent,
    )


def _dead(name: str, queue: QueueWithDeadLetters, *, runbook: Runbook) -> Alarm:
    return Alarm(
        name=f"{name}-dead",
        says=f"Messages of the queue {name} failed too often: see `safelight dlq list`.",
        runbook=runbook,
        metrics={"visible": _visible(queue.dead_letters)},
        above=0,
        points=ONCE,
    )


def _of_function(function: LambdaFunction, name: str, statistic: str = "Sum") -> Metric:
    """One of Lambda's own figures about a function."""
    return Metric(
        namespace="AWS/Lambda",
        name=name,
        dimensions={"FunctionName": function.name},
        statistic=statistic,
    )


def _visible(queue: sqs.Queue) -> Metric:
    return _of_queue(queue, "ApproximateNumberOfMessagesVisible")


def _of_queue(queue: sqs.Queue, name: str, statistic: str = "Maximum") -> Metric:
    return Metric(
        namespace="AWS/SQS", name=name, dimensions={"QueueName": queue.name}, statistic=statistic
    )
