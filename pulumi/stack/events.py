"""The bus on which Safelight tells others what happened to an asset, and the archive of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
from pulumi_aws import cloudwatch, sqs

from stack import policies
from stack.config import EventsConfig
from stack.queues import QueueWithDeadLetters
from stack.scope import Scope
from worker.domain.events import SOURCE

COMPONENT = "events"


class AssetEventBus(pulumi.ComponentResource):
    """A bus of our own: subscribers' rules see asset events and nothing else."""

    def __init__(self, scope: Scope, config: EventsConfig) -> None:
        super().__init__("safelight:events:AssetEventBus", scope.name(COMPONENT))
        own = pulumi.ResourceOptions(parent=self)
        self.bus = cloudwatch.EventBus(
            scope.name("events"),
            description="What happened to assets and their jobs: docs/events.md",
            tags=scope.tags(COMPONENT),
            opts=own,
        )
        self.name = self.bus.name
        self.arn = self.bus.arn
        self.archive: pulumi.Output[str] | None = None
        """ARN of the archive, from which events can be sent again."""
        if config.archive_days:
            archive = cloudwatch.EventArchive(
                scope.name("events"),
                description="Every event, to be sent again: `safelight events replay`",
                event_source_arn=self.bus.arn,
                retention_days=config.archive_days,
                opts=own,
            )
            self.archive = archive.arn
        self.register_outputs({"name": self.name, "arn": self.arn})

    def to_queue(
        self,
        name: str,
        scope: Scope,
        *,
        description: str,
        pattern: Mapping[str, Any],
        queue: QueueWithDeadLetters,
        tags: Mapping[str, str],
        parent: pulumi.Resource,
    ) -> None:
        """Put the events that fit a pattern into a queue. An event that the bus cannot deliver
        within a day becomes a dead letter.

        Args:
            name: of the rule and of all that it needs.
            scope: the account.
            description: of the rule.
            pattern: of the events.
            queue: for the events.
            tags: of the rule.
            parent: of all that is made.
        """
        own = pulumi.ResourceOptions(parent=parent)
        rule = self.rule(name, description=description, pattern=pattern, tags=tags, opts=own)
        dead = queue.dead_letters
        allowed = [
            sqs.QueuePolicy(
                key,
                queue_url=one.url,
                policy=policies.may_send(
                    one.arn,
                    service="events.amazonaws.com",
                    source=rule.arn,
                    account=scope.account,
                ),
                opts=own,
            )
            for key, one in ((name, queue.queue), (f"{name}-dead", dead))
        ]
        cloudwatch.EventTarget(
            name,
            rule=rule.name,
            event_bus_name=self.name,
            arn=queue.arn,
            dead_letter_config=cloudwatch.EventTargetDeadLetterConfigArgs(arn=dead.arn),
            retry_policy=cloudwatch.EventTargetRetryPolicyArgs(
                maximum_event_age_in_seconds=24 * 3600, maximum_retry_attempts=185
            ),
            opts=pulumi.ResourceOptions(parent=parent, depends_on=allowed),
        )

    def rule(
        self,
        name: str,
        *,
        description: str,
        pattern: Mapping[str, Any],
        tags: Mapping[str, str],
        opts: pulumi.ResourceOptions,
    ) -> cloudwatch.EventRule:
        """A rule on this bus."""
        return cloudwatch.EventRule(
            name,
            description=description,
            event_bus_name=self.name,
            event_pattern=json.dumps(pattern),
            tags=dict(tags),
            opts=opts,
        )


def of_types(types: Sequence[str]) -> Mapping[str, Any]:
    """The pattern of events of some types: ``asset.accepted``, ``asset.*`` or ``*``."""
    wanted = [{"prefix": one.removesuffix("*")} if one.endswith("*") else one for one in types]
    pattern: dict[str, Any] = {"source": [SOURCE]}
    return pattern if "*" in types else {**pattern, "detail-type": wanted}
