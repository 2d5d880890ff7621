"""A queue and where its messages go that have failed too often. Always the two together."""

from __future__ import annotations

import pulumi
from pulumi_aws import sqs

from stack.scope import Scope

RETENTION = 4 * 24 * 3600
"""Seconds a message waits at most."""
DEAD_RETENTION = 14 * 24 * 3600
"""Seconds; the longest SQS allows. More than ``RETENTION``: on standard queues a dead letter's age
counts from when it was first sent."""


class QueueWithDeadLetters(pulumi.ComponentResource):
    """A standard or FIFO queue with its dead-letter queue, both encrypted by SQS."""

    def __init__(
        self,
        name: str,
        scope: Scope,
        *,
        component: str,
        fifo: bool,
        visibility: int,
        maximum_receives: int,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("safelight:queues:QueueWithDeadLetters", name, None, opts)
        own = pulumi.ResourceOptions(parent=self)
        tags = scope.tags(component)
        # None, not False: SQS knows the attributes of FIFO queues on FIFO queues only. Limits and
        # deduplication per group lift 300 messages a second to tens of thousands.
        fifo_queue = True if fifo else None
        scope_of_duplicates = "messageGroup" if fifo else None
        limit_per = "perMessageGroupId" if fifo else None
        self.dead_letters = sqs.Queue(
            f"{name}-dead",
            fifo_queue=fifo_queue,
            deduplication_scope=scope_of_duplicates,
            fifo_throughput_limit=limit_per,
            message_retention_seconds=DEAD_RETENTION,
            visibility_timeout_seconds=visibility,
            sqs_managed_sse_enabled=True,
            tags=tags,
            opts=own,
        )
        self.queue = sqs.Queue(
            name,
            fifo_queue=fifo_queue,
            deduplication_scope=scope_of_duplicates,
            fifo_throughput_limit=limit_per,
            message_retention_seconds=RETENTION,
            visibility_timeout_seconds=visibility,
            receive_wait_time_seconds=20,  # long polls: an empty queue costs 3 requests a minute
            sqs_managed_sse_enabled=True,
            redrive_policy=pulumi.Output.json_dumps(
                {
                    "deadLetterTargetArn": self.dead_letters.arn,
                    "maxReceiveCount": maximum_receives,
                }
            ),
            tags=tags,
            opts=own,
        )
        sqs.RedriveAllowPolicy(
            name,
            queue_url=self.dead_letters.url,
            redrive_allow_policy=pulumi.Output.json_dumps(
                {"redrivePermission": "byQueue", "sourceQueueArns": [self.queue.arn]}
            ),
            opts=own,
        )
        self.url = self.queue.url
        self.arn = self.queue.arn
        self.register_outputs({"url": self.url, "arn": self.arn})
