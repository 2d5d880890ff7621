"""Metrics that no AWS service has: read from logs, and from events of Batch about jobs.

A function that answers "these messages failed" has not failed for Lambda; a job that was
submitted by hand is in no state machine; Batch has no metric of its jobs at all. ``alarms`` has the
thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
from pulumi_aws import cloudwatch

from batch.catalogue import KINDS, RETRY
from stack import policies
from stack.alarms import Metric
from stack.functions import LambdaFunction
from stack.heavy import HeavyJobs
from stack.scope import Scope
from worker.domain import metrics
from worker.domain.metrics import MetricSpec

COMPONENT = "observability"
SHOUTED = '{ $.level = "ERROR" }'
"""Lines of the functions' loggers that a person must read (``worker.entrypoints``)."""
FAILED = '{ $.event = "failed" }'
"""A job that ended for no fault of its input (``batch.reporting``)."""
STARTED = '{ $.detail.status = "RUNNING" }'


class MetricFilters(pulumi.ComponentResource):
    """Metric filters, and the log that Batch's events are kept in."""

    def __init__(
        self,
        name: str,
        scope: Scope,
        *,
        functions: Mapping[str, LambdaFunction],
        heavy: HeavyJobs | None,
        log_retention_days: int,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("safelight:metric_filters:MetricFilters", name, None, opts)
        self._scope = scope
        self._own = pulumi.ResourceOptions(parent=self)
        self._tags = scope.tags(COMPONENT)
        self.defects = {
            what: self._count(
                f"{what}-defects", metrics.DEFECTS, function.log_group.name, SHOUTED, of=what
            )
            for what, function in functions.items()
        }
        """Errors in the log of each function."""
        self.failed: Metric | None = None
        """Jobs that failed."""
        self.started: Metric | None = None
        """Attempts of jobs that began."""
        self.reclaimed: Metric | None = None
        """Attempts that ended because their machine was taken away."""
        if heavy is not None:
            self.failed = self._count(
                "jobs-failed", metrics.JOBS_FAILED, heavy.log_group.name, FAILED
            )
            states = self._states(heavy, log_retention_days)
            self.started = self._count("jobs-started", metrics.JOBS_STARTED, states.name, STARTED)
            self.reclaimed = self._count(
                "jobs-reclaimed", metrics.RECLAIMS, states.name, reclaimed()
            )
        self.register_outputs({})

    def _count(
        self, what: str, metric: MetricSpec, group: pulumi.Input[str], pattern: str, *, of: str = ""
    ) -> Metric:
        name = metric.name_of(of)
        cloudwatch.LogMetricFilter(
            self._scope.name(what),
            log_group_name=group,
            pattern=pattern,
            metric_transformation=cloudwatch.LogMetricFilterMetricTransformationArgs(
                name=name,
                namespace=self._scope.metrics,
                value="1",
                default_value="0",
                unit=metric.unit.value,
            ),
            opts=self._own,
        )
        return Metric(namespace=self._scope.metrics, name=name, dimensions={})

    def _states(self, heavy: HeavyJobs, log_retention_days: int) -> cloudwatch.LogGroup:
        """A log of Batch's events of jobs that start, are retried or fail."""
        name = self._scope.name("job-states")
        group = cloudwatch.LogGroup(
            name,
            # EventBridge's own console offers groups of this prefix only.
            name_prefix=f"/aws/events/{name}-",
            retention_in_days=log_retention_days,
            tags=self._tags,
            opts=self._own,
        )
        rule = cloudwatch.EventRule(
            name,
            description="Jobs that begin, are put back or fail",
            event_pattern=pulumi.Output.json_dumps(
                {
                    "source": ["aws.batch"],
                    "detail-type": ["Batch Job State Change"],
                    "detail": {
                        "status": ["RUNNING", "RUNNABLE", "FAILED"],
                        "jobQueue": list(heavy.queues.values()),
                    },
                }
            ),
            tags=self._tags,
            opts=self._own,
        )
        allowed = cloudwatch.LogResourcePolicy(
            name,
            policy_name=name,
            policy_document=policies.may_log(group.arn, source=rule.arn),
            opts=self._own,
        )
        cloudwatch.EventTarget(
            name,
            rule=rule.name,
            arn=group.arn,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[allowed]),
        )
        return group


def reclaimed() -> str:
    """Which events say that an attempt was lost with its machine.

    An event lists the job's attempts so far, the newest last. The pattern language has no "last":
    it is the one that no other follows.
    """
    reason = next(rule.status_reason for rule in RETRY if rule.status_reason)
    most = max(kind.attempts for kind in KINDS.values())
    lost = " || ".join(
        f'($.detail.attempts[{number}].statusReason = "{reason}"'
        f" && $.detail.attempts[{number + 1}] NOT EXISTS)"
        for number in range(most)
    )
    return f'{{ $.detail.status != "RUNNING" && ({lost}) }}'
