"""The pipe from the standard queue to the FIFO queue, and the function that names the groups.

``worker/services/ordering.py`` explains the groups, and why a pipe alone cannot compute them.
"""

from __future__ import annotations

from pathlib import Path

import pulumi
from pulumi_aws import iam, pipes

from stack import policies
from stack.functions import LambdaFunction, Zipped
from stack.queues import QueueWithDeadLetters
from stack.scope import Scope
from worker.services import ordering

COMPONENT = "intake"
BATCH = 10
"""A pipe takes no larger batches than its target, and SQS sends ten messages at most."""
TIMEOUT = 10
"""Seconds. It hashes ten keys; the rest is a cold start."""


class OrderingPipe(pulumi.ComponentResource):
    """Carries every message on, into the group of its object.

    A failed message becomes visible again after the source queue's visibility timeout, and ends in
    the source queue's dead-letter queue after the maximum number of receives.
    """

    def __init__(
        self,
        name: str,
        scope: Scope,
        *,
        source: QueueWithDeadLetters,
        target: QueueWithDeadLetters,
        architecture: str,
        log_retention_days: int,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("safelight:pipe:OrderingPipe", name, None, opts)
        own = pulumi.ResourceOptions(parent=self)
        file = Path(ordering.__file__)
        grouping = LambdaFunction(
            name,
            scope,
            component=COMPONENT,
            description="Names the FIFO group of an upload event",
            code=Zipped(
                files={file.name: pulumi.FileAsset(str(file))}, handler=f"{file.stem}.handler"
            ),
            architecture=architecture,
            memory=128,
            timeout=TIMEOUT,
            log_retention_days=log_retention_days,
            statements=[],
            opts=own,
        )
        role = iam.Role(
            f"{name}-pipe",
            description="Carries upload events to the FIFO queue",
            assume_role_policy=policies.trust("pipes.amazonaws.com", account=scope.account),
            tags=scope.tags(COMPONENT),
            opts=own,
        )
        rights = iam.RolePolicy(
            f"{name}-pipe",
            role=role.name,
            policy=policies.document(
                [
                    policies.allow(
                        ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
                        [source.arn],
                    ),
                    policies.allow(["lambda:InvokeFunction"], [grouping.arn]),
                    policies.allow(["sqs:SendMessage"], [target.arn]),
                ]
            ),
            opts=own,
        )
        self.pipe = pipes.Pipe(
            name,
            description="Upload events, into the group of their object",
            role_arn=role.arn,
            source=source.arn,
            source_parameters=pipes.PipeSourceParametersArgs(
                sqs_queue_parameters=pipes.PipeSourceParametersSqsQueueParametersArgs(
                    batch_size=BATCH
                )
            ),
            enrichment=grouping.arn,
            target=target.arn,
            target_parameters=pipes.PipeTargetParametersArgs(
                # Paths into what the function answered.
                sqs_queue_parameters=pipes.PipeTargetParametersSqsQueueParametersArgs(
                    message_group_id="$.group", message_deduplication_id="$.deduplication"
                ),
                input_template="<$.body>",
            ),
            tags=scope.tags(COMPONENT),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[rights]),
        )
        self.register_outputs({"name": self.pipe.name})
