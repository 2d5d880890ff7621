"""From an event of an asset to an invalidation of its cache tag.

asset.erased, asset.invalidated -> queue -> function -> distribution

The queue keeps an event until CloudFront has accepted an invalidation. A batch of events is one.
"""

from __future__ import annotations

import pulumi
from pulumi_aws import cloudfront, lambda_

from stack import policies
from stack.config import VISIBILITY_FACTOR, Config
from stack.events import AssetEventBus
from stack.functions import Image, LambdaFunction
from stack.intake import Intake
from stack.queues import QueueWithDeadLetters
from stack.scope import Scope
from worker.domain.events import ERASED, INVALIDATED, SOURCE
from worker.settings import PREFIX

COMPONENT = "invalidations"
ENTRY_POINT = "worker.entrypoints.lambda_invalidate.handler"
PATTERN = {"source": [SOURCE], "detail-type": [ERASED, INVALIDATED]}
"""Not every event: a first outcome has nothing in a cache, and a path costs $0.005 from the 1,001st
of a month on (CloudFront pricing). And none that comes before files are closed: an edge would fetch
an open one anew."""
MEMORY = 256
"""Megabytes."""
TIMEOUT = 30
"""Seconds. It makes one request, which AWS's client may send three times."""
BATCH, WINDOW = 100, 1
"""Events of one invalidation, and seconds to wait for them. 3,000 paths may be in progress."""
INSTANCES = 2
"""At a time: the fewest that an event source can be limited to."""
RECEIVES = 60
"""Three hours of tries: with 3,000 paths in progress CloudFront accepts no more for a while."""


class Invalidations(pulumi.ComponentResource):
    """Rule, queue and function."""

    def __init__(
        self,
        scope: Scope,
        config: Config,
        *,
        events: AssetEventBus,
        intake: Intake,
        distribution: cloudfront.Distribution,
    ) -> None:
        super().__init__("safelight:invalidations:Invalidations", scope.name(COMPONENT))
        self._own = pulumi.ResourceOptions(parent=self)
        self._tags = scope.tags(COMPONENT)
        self.timeout = TIMEOUT
        self.queue = QueueWithDeadLetters(
            scope.name("invalidations"),
            scope,
            component=COMPONENT,
            fifo=False,
            visibility=VISIBILITY_FACTOR * TIMEOUT,
            maximum_receives=RECEIVES,
            opts=self._own,
        )
        self.function = LambdaFunction(
            scope.name("invalidate"),
            scope,
            component=COMPONENT,
            description="Tells the edges to forget files of an asset",
            code=Image(uri=config.image, command=ENTRY_POINT),
            architecture=config.intake.architecture,
            memory=MEMORY,
            timeout=TIMEOUT,
            log_retention_days=config.intake.log_retention_days,
            statements=[
                policies.allow(
                    ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
                    [self.queue.arn],
                ),
                policies.allow(["cloudfront:CreateInvalidation"], [distribution.arn]),
            ],
            tracing=config.tracing,
            environment={**intake.environment, f"{PREFIX}DISTRIBUTION": distribution.id},
            opts=self._own,
        )
        lambda_.EventSourceMapping(
            scope.name("invalidate"),
            event_source_arn=self.queue.arn,
            function_name=self.function.arn,
            batch_size=BATCH,
            maximum_batching_window_in_seconds=WINDOW,
            function_response_types=["ReportBatchItemFailures"],
            scaling_config=lambda_.EventSourceMappingScalingConfigArgs(
                maximum_concurrency=INSTANCES
            ),
            tags=self._tags,
            # Lambda tries the role on the queue when the mapping is made.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[self.function.rights]),
        )
        events.to_queue(
            scope.name("invalidations"),
            scope,
            description="Assets whose files the edges must forget",
            pattern=PATTERN,
            queue=self.queue,
            tags=self._tags,
            parent=self,
        )
        self.register_outputs({})
