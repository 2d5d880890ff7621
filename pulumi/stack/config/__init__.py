"""The stack's configuration: typed, frozen, every mistake reported at once. No resources here.

One dataclass a concern (``sections``); a field's key in ``Pulumi.<stack>.yaml`` is its name in
camel case (``safelight:intake`` -> ``maximumConcurrency``). Limits of AWS are checked here, so that
a mistake costs a second and not half a deployment: of single values in ``checks``, of values that
must go together in ``cross_checks``. README.md has the cost of each value.
"""

from stack.config.reading import load, read
from stack.config.sections import (
    FIFO_BATCH,
    LOG_DAYS,
    SECTIONS,
    VISIBILITY_FACTOR,
    ApiConfig,
    CacheConfig,
    Capacity,
    CatalogConfig,
    Config,
    ConsoleConfig,
    CostConfig,
    DeliveryConfig,
    EventsConfig,
    HeavyConfig,
    IntakeConfig,
    ObservabilityConfig,
    RegistryConfig,
    RekognitionConfig,
    StorageConfig,
    WebhooksConfig,
)

__all__ = [
    "FIFO_BATCH",
    "LOG_DAYS",
    "SECTIONS",
    "VISIBILITY_FACTOR",
    "ApiConfig",
    "CacheConfig",
    "Capacity",
    "CatalogConfig",
    "Config",
    "ConsoleConfig",
    "CostConfig",
    "DeliveryConfig",
    "EventsConfig",
    "HeavyConfig",
    "IntakeConfig",
    "ObservabilityConfig",
    "RegistryConfig",
    "RekognitionConfig",
    "StorageConfig",
    "WebhooksConfig",
    "load",
    "read",
]
