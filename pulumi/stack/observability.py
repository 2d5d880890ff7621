"""Monitoring: alarms, a topic for their messages, and a dashboard.

``alarm_list`` has the alarms as data, ``alarms`` declares them, ``dashboard`` draws them; figures
that no service counts come from ``metric_filters``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_aws as aws
from pulumi_aws import cloudwatch

from stack import alarms, dashboard
from stack.alarm_list import Watched, alarms_of
from stack.alarms import Alarm, Runbook
from stack.api import Api
from stack.catalog import CatalogTable
from stack.config import Config
from stack.heavy import HeavyJobs
from stack.intake import Intake
from stack.invalidations import Invalidations
from stack.ledger import WorkLedger
from stack.metric_filters import MetricFilters
from stack.notifications import COMPONENT, AlarmTopic
from stack.origin import DeliveryOrigin
from stack.outbox import EventOutbox
from stack.scope import Scope
from stack.upgrades import DailyUpgrades
from stack.webhooks import WebhookEndpoints
from stack.workflow import StateMachines


class Observability(pulumi.ComponentResource):
    """Alarms, topic and dashboard of a stack."""

    def __init__(
        self,
        scope: Scope,
        config: Config,
        *,
        intake: Intake,
        catalog: CatalogTable,
        outbox: EventOutbox,
        ledger: WorkLedger,
        heavy: HeavyJobs | None,
        workflow: StateMachines | None,
        invalidations: Invalidations | None,
        webhooks: WebhookEndpoints | None,
        upgrades: DailyUpgrades | None,
        api: Api | None,
        origin: DeliveryOrigin | None,
    ) -> None:
        super().__init__("safelight:observability:Observability", scope.name(COMPONENT))
        self._scope = scope
        self._runbooks = config.observability.runbooks
        self._tags = scope.tags(COMPONENT)
        self._own = pulumi.ResourceOptions(parent=self)
        self._region = aws.get_region().region
        blocked = self._blocked(heavy) if heavy is not None else None
        self.topic = AlarmTopic(
            scope.name("alarms"),
            scope,
            email=config.observability.email,
            publishers=self._publishers(config, blocked),
            opts=self._own,
        )
        if blocked is not None:
            self._tell_of(blocked)
        counted = MetricFilters(
            scope.name("metric-filters"),
            scope,
            functions={
                what: part.function
                for what, part in (
                    ("outbox", outbox),
                    ("ledger", ledger),
                    ("workflow", workflow),
                    ("invalidate", invalidations),
                    ("webhook", webhooks),
                    ("upgrade", upgrades),
                    ("api", api),
                    ("deliver", origin),
                )
                if part is not None
            }
            | {"ingest": intake.ingest},
            heavy=heavy,
            log_retention_days=config.heavy.log_retention_days,
            opts=self._own,
        )
        watched = alarms_of(
            config,
            Watched(
                namespace=scope.metrics,
                intake=intake,
                catalog=catalog,
                outbox=outbox,
                ledger=ledger,
                counted=counted,
                workflow=workflow,
                invalidations=invalidations,
                webhooks=webhooks,
                upgrades=upgrades,
                api=api,
                origin=origin,
            ),
        )
        self._declare(watched)
        cloudwatch.Dashboard(
            scope.name("overview"),
            dashboard_name=dashboard.dashboard_name(scope),
            dashboard_body=pulumi.Output.json_dumps(
                dashboard.body(watched, self._region, scope.metrics)
            ),
            opts=self._own,
        )
        self.register_outputs({"topic": self.topic.arn})

    def _publishers(
        self, config: Config, blocked: cloudwatch.EventRule | None
    ) -> Mapping[str, pulumi.Input[str] | None]:
        """Services that may publish, and what of theirs; one without use is not among them."""
        account = self._scope.account
        alarm = f"arn:aws:cloudwatch:{self._region}:{account}:alarm:{self._scope.name('*')}"
        found: dict[str, pulumi.Input[str] | None] = {"cloudwatch.amazonaws.com": alarm}
        if blocked is not None:
            found["events.amazonaws.com"] = blocked.arn
        if config.cost.monthly_budget:
            found["budgets.amazonaws.com"] = f"arn:aws:budgets::{account}:*"
        if config.cost.anomaly_dollars:
            found["costalerts.amazonaws.com"] = None
        return found

    def _blocked(self, heavy: HeavyJobs) -> cloudwatch.EventRule:
        """Queues whose first job cannot start: Batch says so as an event, not as a metric."""
        return cloudwatch.EventRule(
            self._scope.name("stuck"),
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

    def _tell_of(self, blocked: cloudwatch.EventRule) -> None:
        """A message as the alarms have it, with the queue and the reason from the event."""
        cloudwatch.EventTarget(
            self._scope.name("stuck"),
            rule=blocked.name,
            arn=self.topic.arn,
            input_transformer=cloudwatch.EventTargetInputTransformerArgs(
                input_paths={
                    "queue": "$.detail.jobQueue",
                    "job": "$.detail.jobId",
                    "reason": "$.detail.statusReason",
                },
                input_template='"The first job of the queue <queue> cannot start (<job>):'
                f' <reason>. Runbook: {Runbook.JOBS_STUCK.at(self._runbooks)}"',
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[self.topic.allowed]),
        )

    def _declare(self, watched: Sequence[Alarm]) -> None:
        """Each alarm, and the one that sums up those that people are woken by."""
        made = {
            alarm.name: alarms.declare(
                alarm,
                self._scope.name(alarm.name),
                topic=self.topic.arn,
                runbooks=self._runbooks,
                tags=self._tags,
                parent=self,
            )
            for alarm in watched
        }
        name = self._scope.name("not-processed")
        cloudwatch.CompositeAlarm(
            name,
            alarm_name=name,
            alarm_description="Uploads are not taken or not processed: start with the one below"
            f" that is in alarm. Runbook: {Runbook.NOT_PROCESSED.at(self._runbooks)}",
            alarm_rule=pulumi.Output.all(
                *(made[alarm.name].name for alarm in watched if alarm.urgent)
            ).apply(lambda names: " OR ".join(f'ALARM("{one}")' for one in names)),
            alarm_actions=[self.topic.arn],
            ok_actions=[self.topic.arn],
            tags=self._tags,
            opts=self._own,
        )
