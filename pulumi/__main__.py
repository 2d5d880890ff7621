"""Safelight on AWS: configuration, wiring, exports. Each component is a file in ``stack/``.

uploads -> [intake bucket] -> queues -> ingest function -> [delivery bucket], [quarantine bucket]
browsers <- distribution <- [delivery bucket], [console bucket]
                                               |-> catalog (table) -> ledger (function)
                                               `-> events (bus) -> invalidations -> distribution
clients -> api (HTTP API, function) -> tickets for the intake bucket, catalog
events -> webhooks (queues, function) -> endpoints of others, topic
asset.processing events -> workflow (state machine) -> heavy (jobs on Spot) -> [delivery bucket]
"""

import pulumi_aws as aws

from stack.api import Api
from stack.cache import HotCache
from stack.catalog import CatalogTable
from stack.config import load
from stack.console import Console
from stack.cost import CostControls
from stack.delivery import Distribution
from stack.events import AssetEventBus
from stack.exports import export, of_pipeline, of_registry
from stack.heavy import HeavyJobs
from stack.intake import Intake
from stack.invalidations import Invalidations
from stack.ledger import WorkLedger
from stack.observability import Observability
from stack.origin import DeliveryOrigin
from stack.outbox import EventOutbox
from stack.registry import Registry
from stack.scope import Scope
from stack.sign_in import provider
from stack.storage import Buckets
from stack.upgrades import DailyUpgrades
from stack.webhooks import EventTopic, WebhookEndpoints
from stack.workflow import StateMachines


def main() -> None:
    """Declare everything that the configuration asks for."""
    config = load()
    account = aws.get_caller_identity().account_id
    scope = Scope(stack=config.stack, account=account, extra_tags=config.tags)
    registry = Registry(scope, config.registry) if config.registry.enabled else None
    export(of_registry(registry))
    if config.registry.only:
        return  # a new stack has no images yet, and without them nothing below can be made
    buckets = Buckets(scope, config.storage)
    console = Console(scope) if config.console.enabled else None
    catalog = CatalogTable(scope, config.catalog)
    events = AssetEventBus(scope, config.events)
    intake = Intake(scope, config, buckets=buckets, catalog=catalog, events=events)
    outbox = EventOutbox(scope, config, catalog=catalog, events=events, intake=intake)
    ledger = WorkLedger(scope, config, catalog=catalog, intake=intake)
    delivery: Distribution | None = None
    invalidations: Invalidations | None = None
    origin: DeliveryOrigin | None = None
    if config.delivery.enabled:
        cache = HotCache(scope, config.cache) if config.cache.enabled else None
        origin = DeliveryOrigin(
            scope, config, buckets=buckets, catalog=catalog, intake=intake, cache=cache
        )
        delivery = Distribution(
            scope,
            config,
            buckets=buckets,
            origin=origin,
            console_bucket=console.bucket if console else None,
        )
        invalidations = Invalidations(
            scope, config, events=events, intake=intake, distribution=delivery.distribution
        )
    upgrades: DailyUpgrades | None = None
    if delivery is not None and delivery.logs is not None and config.delivery.upgrade_cents:
        upgrades = DailyUpgrades(
            scope,
            config,
            buckets=buckets,
            catalog=catalog,
            intake=intake,
            logs=delivery.logs,
        )
    webhooks: WebhookEndpoints | None = None
    if config.webhooks.endpoints:
        webhooks = WebhookEndpoints(scope, config, events=events, intake=intake)
    topic = EventTopic(scope, config, events=events) if config.webhooks.topic else None
    buckets.restrict(delivery.rights if delivery else {})
    buckets.let_browsers_upload([delivery.url] if delivery and console else [])
    heavy: HeavyJobs | None = None
    workflow: StateMachines | None = None
    api: Api | None = None
    observability: Observability | None = None

    if config.heavy.enabled:
        heavy = HeavyJobs(scope, config, buckets=buckets, catalog=catalog, intake=intake)
        workflow = StateMachines(
            scope,
            config,
            buckets=buckets,
            catalog=catalog,
            events=events,
            intake=intake,
            heavy=heavy,
            webhooks=webhooks,
        )
    if config.api.enabled:
        sign_in = provider(scope, config, console=delivery.console if delivery else None)
        api = Api(
            scope,
            config,
            buckets=buckets,
            catalog=catalog,
            intake=intake,
            delivery=delivery,
            sign_in=sign_in,
            heavy=heavy,
            workflow=workflow,
        )
        if console is not None and delivery is not None:
            console.publish(config, buckets=buckets, delivery=delivery, api=api, sign_in=sign_in)
    if config.observability.enabled:
        observability = Observability(
            scope,
            config,
            catalog=catalog,
            intake=intake,
            outbox=outbox,
            ledger=ledger,
            heavy=heavy,
            workflow=workflow,
            invalidations=invalidations,
            webhooks=webhooks,
            upgrades=upgrades,
            api=api,
            origin=origin,
        )
    cost = CostControls(scope, config.cost, intake=intake, observability=observability)
    export(
        of_pipeline(
            scope,
            config,
            buckets=buckets,
            catalog=catalog,
            events=events,
            intake=intake,
            outbox=outbox,
            heavy=heavy,
            workflow=workflow,
            delivery=delivery,
            invalidations=invalidations,
            webhooks=webhooks,
            topic=topic,
            api=api,
            observability=observability,
            cost=cost,
        )
    )


main()
