"""Outputs of a stack for the command line, `make`, and the local stack.

Names are in camel case; README.md has who reads which.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from stack.api import Api
from stack.catalog import CatalogTable
from stack.config import Config
from stack.cost import CostControls
from stack.delivery import Distribution
from stack.events import AssetEventBus
from stack.heavy import HeavyJobs
from stack.intake import Intake
from stack.invalidations import Invalidations
from stack.observability import Observability
from stack.outbox import EventOutbox
from stack.registry import Registry
from stack.scope import Scope
from stack.storage import Buckets
from stack.webhooks import EventTopic, WebhookEndpoints
from stack.workflow import StateMachines
from worker.settings import PREFIX


def export(values: Mapping[str, Any]) -> None:
    """Tell the engine each of them."""
    for name, value in values.items():
        pulumi.export(name, value)


def of_registry(registry: Registry | None) -> Mapping[str, Any]:
    """Where images are pushed to."""
    if registry is None:
        return {}
    return {"registry": registry.address, "repositories": dict(registry.urls)}


def of_pipeline(
    scope: Scope,
    config: Config,
    *,
    buckets: Buckets,
    catalog: CatalogTable,
    events: AssetEventBus,
    intake: Intake,
    outbox: EventOutbox,
    heavy: HeavyJobs | None,
    workflow: StateMachines | None,
    delivery: Distribution | None,
    invalidations: Invalidations | None,
    webhooks: WebhookEndpoints | None,
    topic: EventTopic | None,
    api: Api | None,
    observability: Observability | None,
    cost: CostControls,
) -> Mapping[str, Any]:
    """Everything else."""
    # Settings of the command line in addition to those of the function.
    commands: dict[str, Any] = {
        "BATCH_PREFIX": scope.prefix,
        "UPLOADS_QUEUE_URL": intake.uploads.url,
        "UPLOADS_DLQ_URL": intake.uploads.dead_letters.url,
        "OUTBOX_DLQ_URL": outbox.dead_letters.url,
        **({} if events.archive is None else {"EVENT_ARCHIVE": events.archive}),
    }
    found: dict[str, Any] = {
        "intakeBucket": buckets.intake.name,
        "deliveryBucket": buckets.delivery.name,
        "quarantineBucket": buckets.quarantine.name,
        "table": catalog.name,
        "catalogStream": catalog.stream,
        "eventBus": events.name,
        "eventArchive": events.archive,
        "outboxDeadLetters": outbox.dead_letters.url,
        # Where S3 puts upload events, and the queue the function reads: the same one if not
        # ordered.
        "uploadsQueue": intake.uploads.url,
        "uploadsDeadLetters": intake.uploads.dead_letters.url,
        "workQueue": intake.work.url,
        "workDeadLetters": intake.work.dead_letters.url,
        "ingestFunction": intake.ingest.name,
        "ingestEnvironment": intake.environment,
        "ingest": {
            "ordering": config.intake.ordering.value,
            "timeout": config.intake.timeout,
            "memory": config.intake.memory,
            "batchSize": config.intake.batch_size,
            "batchWindow": config.intake.batch_window,
            "visibility": config.intake.visibility,
            "maximumReceives": config.intake.maximum_receives,
        },
    }
    if heavy is not None and workflow is not None:
        commands["WORKFLOWS"] = workflow.setting()
        commands["HEAVY_DLQ_URL"] = workflow.dead_letters.url
        found |= {
            "jobQueues": dict(heavy.queues),
            "jobDefinitions": {kind: one.arn for kind, one in heavy.definitions.items()},
            "jobLogs": heavy.log_group.name,
            "workflows": dict(workflow.arns),
            "heavyDeadLetters": workflow.dead_letters.url,
        }
    if invalidations is not None:
        queue = invalidations.queue
        commands["INVALIDATIONS_QUEUE_URL"] = queue.url
        commands["INVALIDATIONS_DLQ_URL"] = queue.dead_letters.url
        found |= {
            "invalidationsQueue": queue.url,
            "invalidationsDeadLetters": queue.dead_letters.url,
        }
    sending: Mapping[str, Any] = {}
    if webhooks is not None:
        sending = webhooks.environment
        found["webhooks"] = {
            name: {"queue": queue.url, "deadLetters": queue.dead_letters.url}
            for name, queue in webhooks.queues.items()
        }
        found["webhookEnvironment"] = sending
    if topic is not None:
        found["eventTopic"] = topic.arn
    if delivery is not None:
        found |= {"delivery": delivery.url, "distribution": delivery.distribution.id}
        if config.console.enabled:
            found["console"] = delivery.console
    if api is not None:
        found |= {
            "api": api.url,
            "apiFunction": api.function.name,
            "apiEnvironment": api.environment,
        }
    if observability is not None:
        found["alarmTopic"] = observability.topic.arn
    if cost.tuning is not None:
        found["powerTuning"] = {"machine": cost.tuning, "function": intake.ingest.arn}
    told = {PREFIX + name: value for name, value in commands.items()}
    return {**found, "environment": {**intake.environment, **sending, **told}}
