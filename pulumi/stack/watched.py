"""What is watched, and where it becomes wrong: the alarms of a stack, as data.

How an alarm is declared is in ``alarms``; figures that no service counts come from ``signals``.
"""

from __future__ import annotations

from stack.alarms import Alarm, Metric
from stack.catalog import Catalog
from stack.config import Config
from stack.functions import Function
from stack.intake import Intake
from stack.queues import QueueWithDeadLetters
from stack.signals import Signals
from stack.workflow import Workflow

NEAR_TIMEOUT = 0.8
"""Share of a function's timeout that its slowest calls may take."""
ENOUGH_ATTEMPTS = 20
"""Attempts in an hour from which on a share of them means something."""
HOUR = 3600


def alarms_of(
    config: Config,
    *,
    intake: Intake,
    catalog: Catalog,
    workflow: Workflow | None,
    signals: Signals,
) -> list[Alarm]:
    """Every alarm of a stack, in the order in which the dashboard shows them."""
    return [
        *_intake(config, intake, catalog),
        *(_workflow(workflow) if workflow is not None else ()),
        *(
            Alarm(
                name=f"{what}-defects",
                says=f"The function {what} met an error that is no fault of an upload: its log"
                " has it, with level ERROR.",
                metrics={"errors": errors},
                above=0,
                minutes=1,
            )
            for what, errors in signals.defects.items()
        ),
        *_jobs(config, signals),
    ]


def _intake(config: Config, intake: Intake, catalog: Catalog) -> list[Alarm]:
    settings = config.observability
    lanes = {"uploads": intake.uploads, "ordered": intake.work}
    found = [
        Alarm(
            name=f"{name}-waiting",
            says=f"Messages wait too long in the queue {name}: is the function throttled or slow?",
            metrics={"age": _of_queue(queue, "ApproximateAgeOfOldestMessage", "Maximum")},
            above=settings.waiting_seconds,
            urgent=True,
        )
        for name, queue in lanes.items()
        if name == "uploads" or queue is not intake.uploads
    ]
    found += [
        _dead(name, queue)
        for name, queue in lanes.items()
        if name == "uploads" or queue is not intake.uploads
    ]
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


def _workflow(workflow: Workflow) -> list[Alarm]:
    machine = {"StateMachineArn": workflow.machine.arn}
    return [
        *_function_alarms("workflow", workflow.function, workflow.timeout, 1),
        Alarm(
            name="heavy-failed",
            says="Heavy work failed for no fault of the upload: see the state machine's executions"
            " and the logs of their jobs; start them again once the cause is gone.",
            metrics={
                name.lower(): Metric(namespace="AWS/States", name=name, dimensions=machine)
                for name in ("ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted")
            },
            formula="FILL(executionsfailed, 0) + FILL(executionstimedout, 0)"
            " + FILL(executionsaborted, 0)",
            above=0,
            minutes=1,
        ),
        Alarm(
            name="heavy-undelivered",
            says="Uploads that wait for heavy work could not be handed to the workflow, or it"
            " failed on them: its dead letters say which (output heavyDeadLetters), and"
            " `safelight assets retry` starts their work once the cause is gone.",
            metrics={
                "visible": Metric(
                    namespace="AWS/SQS",
                    name="ApproximateNumberOfMessagesVisible",
                    dimensions={"QueueName": workflow.dead_letters.name},
                    statistic="Maximum",
                )
            },
            above=0,
            minutes=1,
        ),
    ]


def _jobs(config: Config, signals: Signals) -> list[Alarm]:
    found = []
    if signals.failed is not None:
        found.append(
            Alarm(
                name="jobs-failed",
                says="Jobs failed for no fault of their input: `safelight jobs list` has them, and"
                " `safelight jobs logs` what they said last.",
                metrics={"failed": signals.failed},
                above=0,
                minutes=1,
            )
        )
    if signals.started is not None and signals.reclaimed is not None:
        found.append(
            Alarm(
                name="jobs-reclaimed",
                says="Spot takes many machines back, and their work is done twice: more zones or"
                " instance families, or the overflow, would help.",
                metrics={"reclaimed": signals.reclaimed, "started": signals.started},
                formula=f"IF(started >= {ENOUGH_ATTEMPTS}, 100 * FILL(reclaimed, 0) / started, 0)",
                above=config.observability.reclaim_percent,
                minutes=1,
                period=HOUR,
            )
        )
    return found


def _function_alarms(
    name: str, function: Function, timeout: int, error_percent: float
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


def _dead(name: str, queue: QueueWithDeadLetters) -> Alarm:
    return Alarm(
        name=f"{name}-dead",
        says=f"Messages of the queue {name} failed too often: see `safelight dlq list`.",
        metrics={
            "visible": Metric(
                namespace="AWS/SQS",
                name="ApproximateNumberOfMessagesVisible",
                dimensions={"QueueName": queue.dead_letters.name},
                statistic="Maximum",
            )
        },
        above=0,
        minutes=1,
    )


def of_function(function: Function, name: str, statistic: str = "Sum") -> Metric:
    """One of Lambda's own figures about a function."""
    return Metric(
        namespace="AWS/Lambda",
        name=name,
        dimensions={"FunctionName": function.name},
        statistic=statistic,
    )


def _of_queue(queue: QueueWithDeadLetters, name: str, statistic: str) -> Metric:
    return Metric(
        namespace="AWS/SQS",
        name=name,
        dimensions={"QueueName": queue.queue.name},
        statistic=statistic,
    )
