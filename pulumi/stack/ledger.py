"""From a change of the catalog to counted work: what the pipeline does, by day, owner and recipe.

table -> its stream -> function -> lines of the ledger in the table

A second reader of the stream beside the outbox; DynamoDB allows two (Amazon DynamoDB Developer
Guide, "Reading and processing a stream"). A ledger that cannot be written holds no event back.
"""

from __future__ import annotations

import pulumi

from stack import policies
from stack.catalog import CatalogTable
from stack.config import Config
from stack.functions import Image, LambdaFunction
from stack.intake import Intake
from stack.scope import Scope

COMPONENT = "ledger"
ENTRY_POINT = "worker.entrypoints.lambda_ledger.handler"
MEMORY = 512
"""Megabytes. It unpacks records and waits for the table."""
TIMEOUT = 120
"""Seconds. A full batch of as many owners is a thousand writes, sixteen at a time."""
BATCH = 1_000
"""Changes of one call: a batch costs a write for each owner and each recipe that is in it. Lambda
ends a batch at 6 MB, which is more."""
BATCH_SECONDS = 30
"""Longest wait for a batch to fill."""
WINDOW = 900
"""Seconds, the most. With a window an event names its shard, and positions of changes are compared
within a shard; the window's state is not used."""


class WorkLedger(pulumi.ComponentResource):
    """Function and event source."""

    def __init__(
        self, scope: Scope, config: Config, *, catalog: CatalogTable, intake: Intake
    ) -> None:
        super().__init__("safelight:ledger:WorkLedger", scope.name(COMPONENT))
        own = pulumi.ResourceOptions(parent=self)
        name = scope.name("ledger")
        self.timeout = TIMEOUT
        self.function = LambdaFunction(
            name,
            scope,
            component=COMPONENT,
            description="Counts the work that changes of the catalog tell of",
            code=Image(uri=config.image, command=ENTRY_POINT),
            architecture=config.intake.architecture,
            memory=MEMORY,
            timeout=TIMEOUT,
            log_retention_days=config.intake.log_retention_days,
            statements=[
                *catalog.stream_rights(),
                policies.allow(
                    ["dynamodb:UpdateItem", "dynamodb:Query", "dynamodb:GetItem"], [catalog.arn]
                ),
            ],
            tracing=config.tracing,
            environment=intake.environment,
            opts=own,
        )
        catalog.feed(
            self.function,
            name,
            batch_size=BATCH,
            maximum_batching_window_in_seconds=BATCH_SECONDS,
            tumbling_window_in_seconds=WINDOW,
            # One batch of a shard at a time: only then do positions of a shard rise.
            parallelization_factor=1,
            tags=scope.tags(COMPONENT),
            parent=self,
        )
        self.register_outputs({})
