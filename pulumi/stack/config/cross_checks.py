"""Values of the configuration that are right one by one and wrong together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stack.config.sections import (
    FIFO_BATCH,
    ApiConfig,
    Capacity,
    CatalogConfig,
    ConsoleConfig,
    CostConfig,
    DeliveryConfig,
    IntakeConfig,
    ObservabilityConfig,
    StorageConfig,
    WebhooksConfig,
)
from worker.domain.errors import Problem, SettingsError
from worker.settings import PREFIX, Ordering, Settings

QUEUE_BYTES = 330
"""Bytes of two queue URLs with the longest name and region, and of the JSON around an endpoint."""
ENDPOINTS_BYTES = 3000
"""Of the 4 KB that Lambda takes for all variables of a function (AWS Lambda Developer Guide,
"Lambda quotas"); the rest is for the others."""
OUTSIDE_SANDBOX_MEGABYTES = 256
"""Kept for the handler itself beside the sandboxed child."""
NAMES = frozenset(
    {
        "table",
        "intake_bucket",
        "delivery_bucket",
        "quarantine_bucket",
        "event_bus",
        "queue_url",
        "dlq_url",
    }
)
"""Settings that every process needs: names of resources."""
GIVEN = NAMES | {
    "ordering",
    "recipe",
    "workflows",
    "batch_prefix",
    "uploads_queue_url",
    "uploads_dlq_url",
    "heavy_dlq_url",
    "invalidations_queue_url",
    "invalidations_dlq_url",
    "distribution",
    "webhooks",
    "webhook_secrets",
    "webhook_networks",
    "edge_logs_bucket",
    "rekognition_rate",
    "upgrade_cents",
    "api_issuer",
    "api_audience",
    "api_origins",
    "upload_key",
    "upload_routes",
    "daily_limit",
}
"""Settings that the program itself sets."""


def problems(found: Mapping[str, Any], keys: frozenset[str]) -> Iterator[Problem]:
    """Return every conflict between values.

    Args:
        found: the checked values, by the names of ``Config``'s fields.
        keys: the keys at the top of the configuration, valid or not.
    """
    yield from _images(found, keys)
    yield from _settings(found["settings"], found["intake"])
    yield from _delivery(found["delivery"], found["settings"])
    yield from _cache(found)
    yield from _rekognition(found)
    yield from _batches(found["intake"])
    yield from _concurrency(found["intake"])
    yield from _capacity(found["catalog"])
    yield from _api(found["api"], found["storage"], found["console"])
    yield from _console(found)
    yield from _webhooks(found["webhooks"])
    yield from _listeners(found["cost"], found["observability"])


def _webhooks(webhooks: WebhooksConfig) -> Iterator[Problem]:
    """Functions learn the endpoints from a variable."""
    size = sum(
        QUEUE_BYTES + len(one.name) + len(one.url) + sum(len(kind) + 3 for kind in one.events)
        for one in webhooks.endpoints
    )
    if size > ENDPOINTS_BYTES:
        said = f"must be fewer, or have shorter URLs and lists: they take {size} bytes of the"
        yield Problem(
            "webhooks.endpoints", f"{said} {ENDPOINTS_BYTES} that a variable has for them"
        )


def _images(found: Mapping[str, Any], keys: frozenset[str]) -> Iterator[Problem]:
    if found["registry"].only:
        if not found["registry"].enabled:
            yield Problem("registry.only", "leaves nothing, because registry.enabled is false")
        # A stack that has images has buckets and a table, which would be deleted.
        if keys & {"image", "batchImage"}:
            yield Problem("registry.only", "is for a stack without images; remove it or them")
        return
    if "image" not in keys:
        yield Problem("image", "is not set")
    if found["heavy"].enabled and "batchImage" not in keys:
        yield Problem("batchImage", "is not set; heavy work needs it (heavy.enabled)")


def _settings(settings: Mapping[str, str], intake: IntakeConfig) -> Iterator[Problem]:
    """Let the worker itself judge its settings, so that the two never disagree."""
    for name in sorted(GIVEN & {*settings}):
        yield Problem(f"settings.{name}", "is set by the program itself")
    # Names of resources exist only later; any text stands for them.
    environment = {PREFIX + name.upper(): "x" for name in NAMES} | {
        PREFIX + name.upper(): value for name, value in settings.items() if name not in GIVEN
    }
    try:
        judged = Settings.from_environment(environment)
    except SettingsError as error:
        for found in error.problems:
            yield Problem(f"settings.{found.path.removeprefix(PREFIX).lower()}", found.message)
        return
    if judged.sandbox_seconds >= intake.timeout:
        yield Problem(
            "intake.timeout",
            f"must be more than the setting sandbox_seconds, which is {judged.sandbox_seconds}",
        )
    room = intake.memory - OUTSIDE_SANDBOX_MEGABYTES
    if judged.sandbox_megabytes > room:
        yield Problem(
            "intake.memory",
            f"{intake.memory} MB leave {room} MB for the sandbox, whose setting"
            f" sandbox_megabytes is {judged.sandbox_megabytes}",
        )


def _batches(intake: IntakeConfig) -> Iterator[Problem]:
    if intake.ordering is Ordering.FIFO:
        if intake.batch_size > FIFO_BATCH:
            yield Problem("intake.batchSize", f"is at most {FIFO_BATCH} with fifo")
        if intake.batch_window:
            yield Problem("intake.batchWindow", "is possible with standard only")
    elif intake.batch_size > FIFO_BATCH and intake.batch_window == 0:
        yield Problem("intake.batchWindow", f"must be at least 1 for batches over {FIFO_BATCH}")


def _concurrency(intake: IntakeConfig) -> Iterator[Problem]:
    """The queue's calls must not exceed reservedConcurrency: throttled batches only wait."""
    provisioned = intake.minimum_pollers > 0
    if provisioned and intake.maximum_pollers < intake.minimum_pollers:
        yield Problem(
            "intake.maximumPollers",
            f"must be at least intake.minimumPollers, which is {intake.minimum_pollers}",
        )
    if 0 < intake.reserved_concurrency < intake.most_calls:
        key = "ten times intake.maximumPollers" if provisioned else "intake.maximumConcurrency"
        yield Problem(
            "intake.reservedConcurrency", f"must be at least {key}, which is {intake.most_calls}"
        )


def _capacity(catalog: CatalogConfig) -> Iterator[Problem]:
    if catalog.capacity is not Capacity.PROVISIONED:
        return
    for what, least, most in (
        ("Reads", catalog.minimum_reads, catalog.maximum_reads),
        ("Writes", catalog.minimum_writes, catalog.maximum_writes),
    ):
        if least > most:
            yield Problem(f"catalog.minimum{what}", f"is more than catalog.maximum{what}, {most}")


def _api(api: ApiConfig, storage: StorageConfig, console: ConsoleConfig) -> Iterator[Problem]:
    if not api.enabled:
        return
    own = console.enabled and console.user_pool
    for name in ("issuer", "audience"):
        if own and getattr(api, name):
            yield Problem(f"api.{name}", "is that of the user pool (console.userPool)")
        if not own and not getattr(api, name):
            yield Problem(f"api.{name}", "is not set; the API needs it (api.enabled)")
    if api.accelerated and not storage.acceleration:
        yield Problem("api.accelerated", "needs storage.acceleration")


def _console(found: Mapping[str, Any]) -> Iterator[Problem]:
    console: ConsoleConfig = found["console"]
    if not console.enabled:
        return
    for section in ("api", "delivery"):
        if not found[section].enabled:
            yield Problem("console.enabled", f"needs {section}.enabled")
    if console.user_pool:
        if console.client_id:
            yield Problem("console.clientId", "is that of the user pool (console.userPool)")
        for name in ("api_owner_claim", "api_scope_claim", "api_scope_prefix"):
            if name in found["settings"]:
                yield Problem(f"settings.{name}", "is that of the user pool (console.userPool)")
    elif not console.client_id:
        yield Problem("console.clientId", "is not set; without it, console.userPool makes one")


def _delivery(delivery: DeliveryConfig, settings: Mapping[str, str]) -> Iterator[Problem]:
    if bool(delivery.domains) is not bool(delivery.certificate):
        missing, given = (
            ("certificate", "domains") if delivery.domains else ("domains", "certificate")
        )
        yield Problem(f"delivery.{missing}", f"is not set; delivery.{given} needs it")
    if delivery.upload_key and not delivery.enabled:
        yield Problem("delivery.uploadKey", "needs the distribution (delivery.enabled)")
    if delivery.upgrade_cents and not (delivery.enabled and delivery.logs):
        yield Problem("delivery.upgradeCents", "needs logs of a distribution (delivery.logs)")
    if delivery.enabled and "delivery_url" in settings:
        yield Problem("settings.delivery_url", "is that of the distribution (delivery.enabled)")


def _cache(found: Mapping[str, Any]) -> Iterator[Problem]:
    if not found["cache"].enabled:
        return
    if not found["delivery"].enabled:
        yield Problem("cache.enabled", "needs delivery.enabled")
    for name in ("redis_url", "redis_iam"):
        if name in found["settings"]:
            yield Problem(f"settings.{name}", "is that of the cache (cache.enabled)")


def _rekognition(found: Mapping[str, Any]) -> Iterator[Problem]:
    """Only workflows ask it."""
    for name in ("moderation", "labels"):
        if getattr(found["rekognition"], name) and not found["heavy"].enabled:
            yield Problem(f"rekognition.{name}", "needs the workflows (heavy.enabled)")


def _listeners(cost: CostConfig, observability: ObservabilityConfig) -> Iterator[Problem]:
    """Cost alerts need an address: the alarm topic gets them too, but may have no subscriber."""
    listener = cost.email or (observability.enabled and observability.email)
    if (cost.monthly_budget or cost.anomaly_dollars) and not listener:
        yield Problem(
            "cost.email", "is not set, nor observability.email: the alerts would reach no one"
        )
