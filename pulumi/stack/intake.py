"""From an upload's event to the function that handles it.

``fifo``:     intake bucket -> uploads queue -> pipe -> ordered queue (FIFO) -> ingest function
``standard``: intake bucket -> uploads queue -> ingest function

S3 cannot notify a FIFO queue. Order is a matter of efficiency only (no two workers on one
object): what the catalog records is right in any order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
from pulumi_aws import lambda_, s3, sqs

from stack import policies
from stack.catalog import CatalogTable
from stack.config import Config
from stack.events import AssetEventBus
from stack.functions import Image, LambdaFunction, Unattended
from stack.pipe import OrderingPipe
from stack.queues import QueueWithDeadLetters
from stack.scope import Scope
from stack.storage import Buckets
from worker.adapters.aws.dynamodb.schema import INDEXES
from worker.settings import PREFIX, DeletedOriginals, Ordering

COMPONENT = "intake"
ENTRY_POINT = "worker.entrypoints.lambda_ingest.handler"
EVENTS = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:LifecycleExpiration:*")
"""Every event that changes the current version of a key."""


class Intake(pulumi.ComponentResource):
    """Notification, queues, pipe and function."""

    def __init__(
        self,
        scope: Scope,
        config: Config,
        *,
        buckets: Buckets,
        catalog: CatalogTable,
        events: AssetEventBus,
    ) -> None:
        super().__init__("safelight:intake:Intake", scope.name(COMPONENT))
        self._scope = scope
        self._intake = config.intake
        own = pulumi.ResourceOptions(parent=self)
        ordered = config.intake.ordering is Ordering.FIFO
        erases = config.storage.deleted_originals is DeletedOriginals.ERASE
        self.uploads = self._queue("uploads", fifo=False)
        self._notify(buckets, event_bridge=config.storage.event_bridge)
        self.work = self.uploads
        """The queue whose messages the function gets."""
        if ordered:
            self.work = self._queue("ordered", fifo=True)
            OrderingPipe(
                scope.name("order"),
                scope,
                source=self.uploads,
                target=self.work,
                architecture=config.intake.architecture,
                log_retention_days=config.intake.log_retention_days,
                opts=own,
            )
        given = _environment(config, buckets, catalog, events, self.work)
        self.environment = {**given, f"{PREFIX}METRICS_NAMESPACE": scope.metrics}
        self.ingest = LambdaFunction(
            scope.name("ingest"),
            scope,
            component=COMPONENT,
            description="Turns uploads into renditions and catalog records",
            code=Image(uri=config.image, command=ENTRY_POINT),
            architecture=config.intake.architecture,
            memory=config.intake.memory,
            timeout=config.intake.timeout,
            log_retention_days=config.intake.log_retention_days,
            statements=[
                *_rights(buckets, catalog, self.work),
                *(_erasing(buckets, catalog) if erases else ()),
            ],
            tracing=config.tracing,
            # Power Tuning 4.4.0 cannot read logs in JSON (its issue 305). Our own lines are JSON in
            # either format.
            log_format="Text" if config.cost.power_tuning else "JSON",
            reserved=config.intake.reserved_concurrency,
            # Our code always waits for its answer. An asynchronous call by hand loses no upload.
            unattended=Unattended(failures=self.uploads.dead_letters.arn, retries=0),
            environment=self.environment,
            opts=own,
        )
        lambda_.EventSourceMapping(
            scope.name("ingest"),
            event_source_arn=self.work.arn,
            function_name=self.ingest.arn,
            batch_size=config.intake.batch_size,
            # Not known on FIFO queues, not even as zero.
            maximum_batching_window_in_seconds=None if ordered else config.intake.batch_window,
            function_response_types=["ReportBatchItemFailures"],
            # AWS takes one of the two.
            scaling_config=None
            if config.intake.minimum_pollers
            else lambda_.EventSourceMappingScalingConfigArgs(
                maximum_concurrency=config.intake.maximum_concurrency
            ),
            provisioned_poller_config=lambda_.EventSourceMappingProvisionedPollerConfigArgs(
                minimum_pollers=config.intake.minimum_pollers,
                maximum_pollers=config.intake.maximum_pollers,
            )
            if config.intake.minimum_pollers
            else None,
            tags=scope.tags(COMPONENT),
            # Lambda tries the role on the queue when the mapping is made.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[self.ingest.rights]),
        )
        self.register_outputs({})

    def _queue(self, what: str, *, fifo: bool) -> QueueWithDeadLetters:
        return QueueWithDeadLetters(
            self._scope.name(what),
            self._scope,
            component=COMPONENT,
            fifo=fifo,
            visibility=self._intake.visibility,
            maximum_receives=self._intake.maximum_receives,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _notify(self, buckets: Buckets, *, event_bridge: bool) -> None:
        intake = buckets.intake
        may_send = sqs.QueuePolicy(
            self._scope.name("uploads"),
            queue_url=self.uploads.url,
            policy=policies.may_send(
                self.uploads.arn,
                service="s3.amazonaws.com",
                source=intake.arn,
                account=self._scope.account,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        s3.BucketNotification(
            self._scope.name("intake"),
            bucket=intake.name,
            queues=[
                s3.BucketNotificationQueueArgs(
                    id="uploads", queue_arn=self.uploads.arn, events=list(EVENTS)
                )
            ],
            eventbridge=event_bridge,
            # S3 sends a test message at once and refuses if the queue does not take it.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[may_send]),
        )


def _environment(
    config: Config,
    buckets: Buckets,
    catalog: CatalogTable,
    events: AssetEventBus,
    queue: QueueWithDeadLetters,
) -> Mapping[str, pulumi.Input[str]]:
    """The environment for ``worker.settings.Settings``. The local stack's workers get the same."""
    given: dict[str, pulumi.Input[str]] = {
        "table": catalog.name,
        "intake_bucket": buckets.intake.name,
        "delivery_bucket": buckets.delivery.name,
        "quarantine_bucket": buckets.quarantine.name,
        "event_bus": events.name,
        "queue_url": queue.url,
        "dlq_url": queue.dead_letters.url,
        "ordering": config.intake.ordering.value,
        "deleted_originals": config.storage.deleted_originals.value,
        "recipe": config.recipe,
        **({"daily_limit": str(config.cost.daily_limit)} if config.cost.daily_limit else {}),
        **config.settings,
    }
    return {PREFIX + name.upper(): value for name, value in given.items()}


def _rights(
    buckets: Buckets, catalog: CatalogTable, queue: QueueWithDeadLetters
) -> Sequence[policies.Statement]:
    """Exactly what ingest calls, on exactly what it calls it on."""
    return [
        policies.allow(
            [
                "sqs:ReceiveMessage",
                "sqs:DeleteMessage",
                "sqs:GetQueueAttributes",
                "sqs:ChangeMessageVisibility",  # growing waits between tries
            ],
            [queue.arn],
        ),
        # Versions: what an event announced is read, not what lies there by now; a rejected
        # version goes to quarantine, and a marker hides what it had replaced. Events of a backfill
        # name no version.
        policies.allow(
            ["s3:GetObject", "s3:GetObjectVersion", "s3:DeleteObject", "s3:DeleteObjectVersion"],
            [buckets.intake.objects],
        ),
        # Without it S3 answers "forbidden" for an object that is gone.
        policies.allow(["s3:ListBucket"], [buckets.intake.arn, buckets.delivery.arn]),
        policies.allow(
            [
                "s3:PutObject",
                "s3:PutObjectTagging",  # of what is superseded, or closed
                "s3:DeleteObjectTagging",  # of what a person has published meanwhile
                "s3:GetObject",
                "s3:DeleteObject",
            ],
            [buckets.delivery.objects],
        ),
        # Objects larger than 5 GB are copied in parts, and parts of a failed copy are removed.
        policies.allow(["s3:PutObject", "s3:AbortMultipartUpload"], [buckets.quarantine.objects]),
        policies.allow(
            ["dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:PutItem"], [catalog.arn]
        ),
        # The timeline, which has the versions whose files must expire. The same bytes; and what
        # looks alike, if the recipe moderates.
        policies.allow(["dynamodb:Query"], [catalog.arn, *(catalog.index(one) for one in INDEXES)]),
    ]


def _erasing(buckets: Buckets, catalog: CatalogTable) -> Sequence[policies.Statement]:
    """Permissions to erase an asset, in addition to those of ingest."""
    return [
        policies.allow(["s3:ListBucketVersions"], [buckets.intake.arn]),
        policies.allow(["s3:ListBucket"], [buckets.quarantine.arn]),
        policies.allow(["s3:DeleteObject"], [buckets.quarantine.objects]),
        policies.allow(["dynamodb:BatchWriteItem"], [catalog.arn]),
    ]
