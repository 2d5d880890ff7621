"""What people look at and are woken by: alarms, one message topic, a dashboard.

What is watched is in ``alarms_of`` as data; how an alarm is declared is in ``alarms``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_aws as aws
from pulumi_aws import cloudwatch, sns

from stack import alarms, policies
from stack.alarms import Alarm, Metric
from stack.catalog import Catalog
from stack.config import Config
from stack.functions import Function
from stack.heavy import Heavy
from stack.intake import Intake
from stack.queues import QueueWithDeadLetters
from stack.scope import Scope
from stack.workflow import Workflow

COMPONENT = "observability"
NEAR_TIMEOUT = 0.8
"""Share of a function's timeout that its slowest calls may take."""
WIDTH = 4
"""Standard deviations of the band of usual figures: fewer would call every evening unusual."""


class Observability(pulumi.ComponentResource):
    """Alarms, topic and dashboard of a stack."""

    def __init__(
        self,
        name: str,
        scope: Scope,
        config: Config,
        *,
        intake: Intake,
        catalog: Catalog,
        heavy: Heavy | None,
        workflow: Workflow | None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("safelight:observability:Observability", name, None, opts)
        self._scope = scope
        self._tags = scope.tags(COMPONENT)
        self._own = pulumi.ResourceOptions(parent=self)
        self.topic = sns.Topic(
            scope.name("alarms"),
            display_name=f"Safelight {scope.stack}",
            tags=self._tags,
            opts=self._own,
        )
        settings = config.observability
        if settings.email:
            sns.TopicSubscription(
                scope.name("alarms"),
                topic=self.topic.arn,
                protocol="email",
                endpoint=settings.email,
                opts=self._own,
            )
        watched = [
            *_intake_alarms(config, intake, catalog),
            *(_workflow_alarms(workflow) if workflow is not None else ()),
        ]
        made = {alarm.name: self._alarm(alarm) for alarm in watched}
        cloudwatch.CompositeAlarm(
            scope.name("not-processed"),
            alarm_name=scope.name("not-processed"),
            alarm_description="Uploads are not processed as they should be: start with the one"
            " below that is in alarm.",
            alarm_rule=pulumi.Output.all(
                *(made[alarm.name].name for alarm in watched if alarm.urgent)
            ).apply(lambda names: " OR ".join(f'ALARM("{one}")' for one in names)),
            alarm_actions=[self.topic.arn],
            tags=self._tags,
            opts=self._own,
        )
        if settings.anomalies:
            self._unusual(intake)
        if heavy is not None:
            self._machines(heavy)
        self._dashboard(watched)
        self.register_outputs({"topic": self.topic.arn})

    def _alarm(self, alarm: Alarm) -> cloudwatch.MetricAlarm:
        return alarms.declare(
            alarm,
            self._scope.name(alarm.name),
            topic=self.topic.arn,
            tags=self._tags,
            parent=self,
        )

    def _unusual(self, intake: Intake) -> None:
        for name, metric, says in (
            ("usual-load", _of_function(intake.ingest, "Invocations"), "Unusually many, or few"),
            (
                "usual-time",
                _of_function(intake.ingest, "Duration", "p90"),
                "Unusually slow, or quick",
            ),
        ):
            alarms.unusual(
                metric,
                self._scope.name(name),
                says=f"{says} calls of the ingest function, compared with the last two weeks.",
                width=WIDTH,
                topic=self.topic.arn,
                tags=self._tags,
                parent=self,
            )

    def _machines(self, heavy: Heavy) -> None:
        """Queues whose first job cannot start: Batch says so as an event, not as a metric."""
        name = self._scope.name("stuck")
        rule = cloudwatch.EventRule(
            name,
            description="A queue of jobs is blocked by its first job",
            event_pattern=pulumi.Output.json_dumps(
                {
                    "source": ["aws.batch"],
                    "detail-type": ["Batch Job Queue Blocked"],
                    "detail": {"jobQueue": list(heavy.queues.values())},
                }
            ),
            tags=self._tags,
            opts=self._own,
        )
        allowed = sns.TopicPolicy(
            name,
            arn=self.topic.arn,
            policy=policies.may_publish(
                self.topic.arn,
                {
                    "events.amazonaws.com": rule.arn,
                    "cloudwatch.amazonaws.com": self._alarm_arns(),
                },
                account=self._scope.account,
            ),
            opts=self._own,
        )
        cloudwatch.EventTarget(
            name,
            rule=rule.name,
            arn=self.topic.arn,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[allowed]),
        )

    def _alarm_arns(self) -> str:
        region = aws.get_region().region
        return f"arn:aws:cloudwatch:{region}:{self._scope.account}:alarm:{self._scope.name('*')}"

    def _dashboard(self, watched: Sequence[Alarm]) -> None:
        region = aws.get_region().region
        cloudwatch.Dashboard(
            self._scope.name("overview"),
            dashboard_name=self._scope.name("overview"),
            dashboard_body=pulumi.Output.json_dumps(
                {
                    "widgets": [
                        _widget(alarm, number, region) for number, alarm in enumerate(watched)
                    ]
                }
            ),
            opts=self._own,
        )


def _widget(alarm: Alarm, number: int, region: str) -> Mapping[str, Any]:
    """A chart of what an alarm watches, with the line it must not cross. Three in a row."""
    lines: list[Any] = []
    for key, metric in alarm.metrics.items():
        dimensions = [part for pair in metric.dimensions.items() for part in pair]
        options = {"id": key, "stat": metric.statistic, "visible": alarm.formula is None}
        lines.append([metric.namespace, metric.name, *dimensions, options])
    if alarm.formula is not None:
        lines.append([{"expression": alarm.formula, "label": alarm.name, "id": "result"}])
    return {
        "type": "metric",
        "x": 8 * (number % 3),
        "y": 6 * (number // 3),
        "width": 8,
        "height": 6,
        "properties": {
            "title": alarm.name,
            "region": region,
            "period": alarms.PERIOD,
            "metrics": lines,
            "annotations": {"horizontal": [{"label": "alarm", "value": alarm.above}]},
        },
    }


# --- what is watched --------------------------------------------------------------------------


def _intake_alarms(config: Config, intake: Intake, catalog: Catalog) -> list[Alarm]:
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


def _workflow_alarms(workflow: Workflow) -> list[Alarm]:
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
            says="Uploads that wait for heavy work could not be handed to the workflow: look at"
            " its dead letters.",
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


def _function_alarms(
    name: str, function: Function, timeout: int, error_percent: float
) -> list[Alarm]:
    return [
        Alarm(
            name=f"{name}-errors",
            says=f"Calls of the function {name} fail: its log has the reasons.",
            metrics={
                "errors": _of_function(function, "Errors"),
                "calls": _of_function(function, "Invocations"),
            },
            formula="100 * errors / calls",
            above=error_percent,
            urgent=name == "ingest",
        ),
        Alarm(
            name=f"{name}-throttled",
            says=f"Calls of the function {name} are refused: the account's or the function's"
            " concurrency is used up.",
            metrics={"throttles": _of_function(function, "Throttles")},
            above=0,
        ),
        Alarm(
            name=f"{name}-slow",
            says=f"The slowest calls of the function {name} come near its timeout of {timeout} s.",
            metrics={"slowest": _of_function(function, "Duration", "p99")},
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


def _of_function(function: Function, name: str, statistic: str = "Sum") -> Metric:
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
