"""From a change of the catalog to an event on the bus.

table -> its stream -> function -> bus -> archive

A service writes a record and nothing else; its events follow. So the two cannot disagree: what was
not written is not told, and what was written is told once the bus answers.
"""

from __future__ import annotations

import pulumi
from pulumi_aws import lambda_, sqs

from stack import policies
from stack.catalog import CatalogTable
from stack.config import VISIBILITY_FACTOR, Config
from stack.events import AssetEventBus
from stack.functions import Image, LambdaFunction
from stack.intake import Intake
from stack.queues import DEAD_RETENTION
from stack.scope import Scope
from worker.settings import PREFIX

COMPONENT = "outbox"
ENTRY_POINT = "worker.entrypoints.lambda_outbox.handler"
MEMORY = 512
"""Megabytes. It unpacks records and waits for the bus."""
TIMEOUT = 60
"""Seconds. A full batch is ten requests to the bus, each in some 20 ms."""
BATCH = 100
"""Changes of one call."""
PARALLEL = 4
"""Batches of a shard at a time. Changes of one item stay in order (AWS Lambda Developer Guide,
"Using AWS Lambda with Amazon DynamoDB")."""


class EventOutbox(pulumi.ComponentResource):
    """Function, event source and dead letters."""

    def __init__(
        self,
        scope: Scope,
        config: Config,
        *,
        catalog: CatalogTable,
        events: AssetEventBus,
        intake: Intake,
    ) -> None:
        super().__init__("safelight:outbox:EventOutbox", scope.name(COMPONENT))
        own = pulumi.ResourceOptions(parent=self)
        tags = scope.tags(COMPONENT)
        name = scope.name("outbox")
        self.timeout = TIMEOUT
        self.dead_letters = sqs.Queue(
            f"{name}-dead",
            message_retention_seconds=DEAD_RETENTION,
            visibility_timeout_seconds=VISIBILITY_FACTOR * TIMEOUT,
            sqs_managed_sse_enabled=True,
            tags=tags,
            opts=own,
        )
        """Changes that no event can be made of, and those that were tried for too long."""
        self.function = LambdaFunction(
            name,
            scope,
            component=COMPONENT,
            description="Sends the events that follow from changes of the catalog",
            code=Image(uri=config.image, command=ENTRY_POINT),
            architecture=config.intake.architecture,
            memory=MEMORY,
            timeout=TIMEOUT,
            log_retention_days=config.intake.log_retention_days,
            statements=[
                *catalog.stream_rights(),
                policies.allow(["events:PutEvents"], [events.arn]),
                policies.allow(["sqs:SendMessage"], [self.dead_letters.arn]),
            ],
            tracing=config.tracing,
            environment={
                **intake.environment,
                f"{PREFIX}OUTBOX_DLQ_URL": self.dead_letters.url,
            },
            opts=own,
        )
        catalog.feed(
            self.function,
            name,
            batch_size=BATCH,
            parallelization_factor=PARALLEL,
            destination_config=lambda_.EventSourceMappingDestinationConfigArgs(
                on_failure=lambda_.EventSourceMappingDestinationConfigOnFailureArgs(
                    destination_arn=self.dead_letters.arn
                )
            ),
            tags=tags,
            parent=self,
        )
        self.register_outputs({})
