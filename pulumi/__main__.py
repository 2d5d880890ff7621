"""Safelight on AWS: configuration, wiring, exports. Each component is a file in ``stack/``.

uploads -> [intake bucket] -> queues -> ingest function -> [delivery bucket], [quarantine bucket]
                                               |-> catalog (table)
                                               `-> events (bus)
asset.heavy events -> workflow (state machine) -> heavy (jobs on Spot) -> [delivery bucket]
"""

import pulumi
import pulumi_aws as aws

from stack.catalog import Catalog
from stack.config import load
from stack.cost import Cost
from stack.events import Events
from stack.heavy import Heavy
from stack.intake import Intake
from stack.observability import Observability
from stack.registry import Registry
from stack.scope import Scope
from stack.storage import Buckets
from stack.workflow import Workflow

config = load()
scope = Scope(
    stack=config.stack, account=aws.get_caller_identity().account_id, extra_tags=config.tags
)

if config.registry.enabled:
    registry = Registry(scope.name("registry"), scope, config.registry)
    pulumi.export("repositories", dict(registry.urls))
buckets = Buckets(scope.name("storage"), scope, config.storage)
catalog = Catalog(scope.name("catalog"), scope, config.catalog)
events = Events(scope.name("events"), scope)
intake = Intake(
    scope.name("intake"), scope, config, buckets=buckets, catalog=catalog, events=events
)
heavy: Heavy | None = None
workflow: Workflow | None = None
if config.heavy.enabled:
    heavy = Heavy(
        scope.name("heavy"),
        scope,
        config,
        buckets=buckets,
        catalog=catalog,
        environment=intake.environment,
    )
    workflow = Workflow(
        scope.name("workflow"),
        scope,
        config,
        buckets=buckets,
        catalog=catalog,
        events=events,
        heavy=heavy,
        environment=intake.environment,
    )
    pulumi.export("jobQueues", dict(heavy.queues))
    pulumi.export("jobDefinitions", {kind: one.arn for kind, one in heavy.definitions.items()})
    pulumi.export("jobLogs", heavy.log_group.name)
    pulumi.export("heavyWorkflow", workflow.machine.arn)
if config.observability.enabled:
    Observability(
        scope.name("observability"),
        scope,
        config,
        intake=intake,
        catalog=catalog,
        heavy=heavy,
        workflow=workflow,
    )
Cost(scope.name("cost"), scope, config.cost)

pulumi.export("intakeBucket", buckets.intake.name)
pulumi.export("deliveryBucket", buckets.delivery.name)
pulumi.export("quarantineBucket", buckets.quarantine.name)
pulumi.export("table", catalog.name)
pulumi.export("eventBus", events.name)
# Where S3 puts upload events, and the queue the function reads: the same one if not ordered.
pulumi.export("uploadsQueue", intake.uploads.url)
pulumi.export("uploadsDeadLetters", intake.uploads.dead_letters.url)
pulumi.export("workQueue", intake.work.url)
pulumi.export("workDeadLetters", intake.work.dead_letters.url)
pulumi.export("ingestFunction", intake.ingest.name)
pulumi.export("ingestEnvironment", intake.environment)
pulumi.export(
    "ingest",
    {
        "ordering": config.intake.ordering.value,
        "timeout": config.intake.timeout,
        "memory": config.intake.memory,
        "batchSize": config.intake.batch_size,
        "batchWindow": config.intake.batch_window,
        "visibility": config.intake.visibility,
        "maximumReceives": config.intake.maximum_receives,
    },
)
