"""Safelight on AWS: configuration, wiring, exports. Each component is a file in ``stack/``.

uploads -> [intake bucket] -> queues -> ingest function -> [delivery bucket], [quarantine bucket]
                                               |-> catalog (table)
                                               `-> events (bus)
asset.heavy events -> workflow (state machine) -> heavy (jobs on Spot) -> [delivery bucket]
"""

from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_aws as aws

from stack import exports
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


def main() -> None:
    """Declare everything that the configuration asks for."""
    config = load()
    account = aws.get_caller_identity().account_id
    scope = Scope(stack=config.stack, account=account, extra_tags=config.tags)
    registry: Registry | None = None
    heavy: Heavy | None = None
    workflow: Workflow | None = None
    observability: Observability | None = None

    if config.registry.enabled:
        registry = Registry(scope.name("registry"), scope, config.registry)
    export(exports.of_registry(registry))
    if config.registry.only:
        return  # a new stack has no images yet, and without them nothing below can be made
    buckets = Buckets(scope.name("storage"), scope, config.storage)
    catalog = Catalog(scope.name("catalog"), scope, config.catalog)
    events = Events(scope.name("events"), scope)
    intake = Intake(
        scope.name("intake"), scope, config, buckets=buckets, catalog=catalog, events=events
    )
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
    if config.observability.enabled:
        observability = Observability(
            scope.name("observability"),
            scope,
            config,
            intake=intake,
            catalog=catalog,
            heavy=heavy,
            workflow=workflow,
        )
    topic = observability.topic if observability is not None else None
    Cost(scope.name("cost"), scope, config.cost, topic=topic, ingest=intake.ingest)
    export(
        exports.of_pipeline(
            scope,
            config,
            buckets=buckets,
            catalog=catalog,
            events=events,
            intake=intake,
            heavy=heavy,
            workflow=workflow,
            observability=observability,
        )
    )


def export(values: Mapping[str, Any]) -> None:
    """Tell the engine each of them."""
    for name, value in values.items():
        pulumi.export(name, value)


main()
