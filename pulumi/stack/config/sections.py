"""The configuration of a stack: one frozen dataclass a section, each field with its check.

``reading`` parses the configuration, and ``cross_checks`` has checks of several values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from stack.config import checks
from worker.settings import DeletedOriginals, Ordering

LOG_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 3653)
"""Retention periods that CloudWatch Logs accepts (API reference, PutRetentionPolicy)."""
FIFO_BATCH = 10
"""Most messages of a FIFO queue in one batch (AWS Lambda Developer Guide, "Using Amazon SQS")."""
VISIBILITY_FACTOR = 6
"""A message stays hidden for at least six function timeouts (the same page): while Lambda is
throttled it waits in a batch already taken."""
POLLER_CALLS = 10
"""Calls at the same time of a provisioned poller (AWS Lambda Developer Guide, "Configuring scaling
behavior for SQS event source mappings")."""
CAPACITY_UNITS = 40_000
"""Most units of a table or an index unless AWS is asked for more (DynamoDB Developer Guide,
"Quotas")."""

PRICE_CLASSES = ("PriceClass_100", "PriceClass_200", "PriceClass_All")
"""Sets of edges, by CloudFront's names; each has all edges of the one before it."""
AUDIENCES: Mapping[str, str] = {
    **dict.fromkeys(("europe", "israel", "north-america"), PRICE_CLASSES[0]),
    **dict.fromkeys(("africa", "asia", "middle-east"), PRICE_CLASSES[1]),
    **dict.fromkeys(("oceania", "south-america"), PRICE_CLASSES[2]),
}
"""Where viewers are, and the smallest set of edges with some near them (Amazon CloudFront pricing,
"Price classes")."""
LEAST_RATE, MOST_RATE = 10, 2_000_000_000
"""Limits of a rate-based rule (AWS WAF API reference, RateBasedStatement)."""


class Capacity(StrEnum):
    """How the catalog's table is paid."""

    ON_DEMAND = "on-demand"
    """By request; nothing while idle."""
    PROVISIONED = "provisioned"
    """By the hour, following the load between two bounds; cheaper once the load is steady."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryConfig:
    """The repositories of the container images."""

    enabled: bool = checks.value(checks.switch, default=True)
    """Off: the images come from repositories that this program does not own."""
    only: bool = checks.value(checks.switch, default=False)
    """The repositories and nothing else: the first step of a new stack, which has no images yet."""
    images_kept: int = checks.value(checks.whole(2, 1000), 30)
    """So many images are kept in each repository; older images are deleted."""
    force_delete: bool = checks.value(checks.switch, default=False)
    """Let `pulumi destroy` delete repositories that still hold images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageConfig:
    """The three buckets."""

    glacier_after_days: int = checks.value(checks.whole(1, 3650), 90)
    """Originals over 128 KB then move from Intelligent-Tiering to Glacier Instant Retrieval."""
    noncurrent_days: int = checks.value(checks.whole(1, 3650), 30)
    """Days for which a replaced or deleted original can be restored."""
    rendition_days: int = checks.value(checks.whole(0, 3650), 0)
    """Days after which renditions expire; 0 for never."""
    superseded_days: int = checks.value(checks.whole(1, 3650), 7)
    """Days after its replacement until the files of a replaced original expire."""
    deleted_originals: DeletedOriginals = checks.value(  # noqa: RUF009 - a field
        checks.one_of(*DeletedOriginals), DeletedOriginals.KEEP
    )
    """``keep``: if an original is deleted in S3, its renditions are kept; ``erase``: they are
    deleted too, with every version of the original."""
    quarantine_days: int = checks.value(checks.whole(1, 3650), 30)
    """Days for which rejected originals are kept."""
    force_destroy: bool = checks.value(checks.switch, default=False)
    """Let `pulumi destroy` delete buckets that still hold objects."""
    event_bridge: bool = checks.value(checks.switch, default=True)
    """Also send the intake bucket's events to the account's default event bus, for others."""
    browser_origins: tuple[str, ...] = checks.value(checks.origins, ("*",))
    """Origins whose pages may upload from a browser; empty allows none."""
    acceleration: bool = checks.value(checks.switch, default=True)
    """Uploads may also come in through the edge (S3 Transfer Acceleration)."""
    access_logs: bool = checks.value(checks.switch, default=False)
    """Keep logs of all requests in a separate bucket."""
    access_log_days: int = checks.value(checks.whole(1, 3650), 90)
    """Days for which access logs are kept."""
    replicate_to: str = checks.value(checks.BUCKET, "")
    """ARN of a versioned bucket, best in another region, that every original is copied to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogConfig:
    """The table."""

    capacity: Capacity = checks.value(checks.one_of(*Capacity), Capacity.ON_DEMAND)  # noqa: RUF009 - a field
    minimum_reads: int = checks.value(checks.whole(1, CAPACITY_UNITS), 5)
    """Read units a second of the table and of each index, with ``provisioned``."""
    maximum_reads: int = checks.value(checks.whole(1, CAPACITY_UNITS), 1_000)
    minimum_writes: int = checks.value(checks.whole(1, CAPACITY_UNITS), 5)
    """Minimum of write units a second."""
    maximum_writes: int = checks.value(checks.whole(1, CAPACITY_UNITS), 1_000)
    deletion_protection: bool = checks.value(checks.switch, default=True)
    point_in_time_recovery: bool = checks.value(checks.switch, default=True)
    contributor_insights: bool = checks.value(checks.switch, default=False)
    """Say which keys are throttled, of the table and of each index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsConfig:
    """Events."""

    archive_days: int = checks.value(checks.whole(0, 3_650), 14)
    """Days for which events are archived, so that they can be sent again; 0 for no archive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeConfig:
    """From an upload's event to the function that handles it."""

    ordering: Ordering = checks.value(checks.one_of(*Ordering), Ordering.FIFO)  # noqa: RUF009 - a field
    """``fifo``: two workers never hold one object; ``standard``: cheaper, any order."""
    architecture: str = checks.value(checks.one_of("arm64", "x86_64"), "arm64")
    memory: int = checks.value(checks.whole(512, 10240), 1536)
    """Megabytes. Lambda gives one vCPU with 1,769; why less is better: docs/tuning.md."""
    timeout: int = checks.value(checks.whole(10, 900), 120)
    """Seconds, for a whole batch."""
    batch_size: int = checks.value(checks.whole(1, 1000), 10)
    batch_window: int = checks.value(checks.whole(0, 300), 0)
    """Seconds to wait for a full batch; standard ordering only."""
    maximum_concurrency: int = checks.value(checks.whole(2, 1000), 100)
    """Instances of the function that the queue may use at the same time."""
    minimum_pollers: int = checks.value(checks.none_or(2, 200), 0)
    """Provisioned pollers that are always there, paid by the hour; 0 for none. With them
    ``maximum_pollers`` counts in place of ``maximum_concurrency``."""
    maximum_pollers: int = checks.value(checks.whole(2, 2_000), 100)
    """Most provisioned pollers. Each makes up to ten calls at the same time."""
    reserved_concurrency: int = checks.value(checks.whole(0, 100_000), 0)
    """So many of the account's instances are kept for the function and are its most; 0 for none."""
    maximum_receives: int = checks.value(checks.whole(2, 100), 5)
    """Tries before a message goes to the dead-letter queue."""
    log_retention_days: int = checks.value(checks.one_of(*LOG_DAYS), 30)

    @property
    def visibility(self) -> int:
        """Seconds a message stays hidden while it is worked on."""
        return VISIBILITY_FACTOR * self.timeout

    @property
    def most_calls(self) -> int:
        """Calls of the function that the queue may make at the same time."""
        if self.minimum_pollers:
            return POLLER_CALLS * self.maximum_pollers
        return self.maximum_concurrency


@dataclass(frozen=True, slots=True, kw_only=True)
class HeavyConfig:
    """Machines for heavy work, and the state machines that start jobs on them."""

    enabled: bool = checks.value(checks.switch, default=True)
    """Off: videos and oversize pictures stay in status ``processing``."""
    architecture: str = checks.value(checks.one_of("arm64", "x86_64"), "arm64")
    zones: int = checks.value(checks.whole(1, 4), 3)
    """Availability zones: more zones are more Spot markets."""
    baseline_vcpus: int = checks.value(checks.whole(0, 10_000), 0)
    """On-demand processors that always run; cover them with a savings plan."""
    spot_vcpus: int = checks.value(checks.whole(2, 10_000), 64)
    """Most processors on Spot."""
    overflow_vcpus: int = checks.value(checks.whole(0, 10_000), 0)
    """Most processors on demand when Spot has none."""
    scratch_gib: int = checks.value(checks.whole(30, 16_384), 200)
    """Disk of a machine, for the jobs on it together."""
    workflows: tuple[str, ...] = checks.value(checks.workflows, ("approve", "moderate"))
    """Workflows that recipes name, beside ``video``: names of those that ship, or paths of files. A
    state machine for each, which costs nothing while nothing goes through it."""
    private_network: bool = checks.value(checks.switch, default=False)
    """Machines without public addresses, behind endpoints that are paid by the hour."""
    log_retention_days: int = checks.value(checks.one_of(*LOG_DAYS), 30)
    stuck_minutes: int = checks.value(checks.whole(10, 1440), 120)
    """Minutes after which a job is cancelled that cannot start for a permanent reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiConfig:
    """The HTTP API for uploads and assets."""

    enabled: bool = checks.value(checks.switch, default=False)
    """Needs ``issuer`` and ``audience``: there is no API without signing in."""
    issuer: str = checks.value(checks.ISSUER, "")
    """The OpenID provider: the ``iss`` of tokens, an https address that has
    ``/.well-known/openid-configuration`` below it."""
    audience: str = checks.value(checks.AUDIENCE, "")
    """The ``aud`` or ``client_id`` of tokens for this API."""
    origins: tuple[str, ...] = checks.value(checks.origins, ())
    """Origins of pages that may call the API from a browser."""
    requests_per_second: int = checks.value(checks.whole(1, 10_000), 500)
    """Of all callers together; more are answered with 429."""
    burst: int = checks.value(checks.whole(1, 5_000), 1_000)
    """Requests at the same time."""
    accelerated: bool = checks.value(checks.switch, default=False)
    """Send uploads through the edge; needs ``storage.acceleration`` and costs by the gigabyte."""
    memory: int = checks.value(checks.whole(256, 10240), 1024)
    """Megabytes. Of less memory comes less processor: a first request waits longer."""
    reserved_concurrency: int = checks.value(checks.whole(0, 100_000), 0)
    """So many of the account's instances are kept for the function and are its most; 0 for none."""
    log_retention_days: int = checks.value(checks.one_of(*LOG_DAYS), 30)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryConfig:
    """The distribution that renditions are read through."""

    enabled: bool = checks.value(checks.switch, default=True)
    """If false, renditions are read by signed URLs of the bucket."""
    audience: tuple[str, ...] = checks.value(
        checks.some_of(*AUDIENCES), ("europe", "north-america")
    )
    """Where viewers are: the distribution uses the fewest edges that include all these regions."""
    domains: tuple[str, ...] = checks.value(checks.domains, ())
    """Own domain names; URLs use the first one. They need ``certificate``."""
    certificate: str = checks.value(checks.CERTIFICATE, "")
    """ARN of a certificate for all the names, in us-east-1."""
    origins: tuple[str, ...] = checks.value(checks.origins, ("*",))
    """Origins whose scripts may read renditions (players, canvases). Any page may show them."""
    upload_key: str = checks.value(checks.UPLOAD_KEY, "")
    """A secret. With it uploads may also go through the distribution: the API signs them with
    it, and an edge function checks them."""
    snap_start: bool = checks.value(checks.switch, default=False)
    """Instances of the delivery function start from a snapshot (Lambda SnapStart)."""
    logs: bool = checks.value(checks.switch, default=False)
    """Keep logs of all requests in a separate bucket."""
    log_days: int = checks.value(checks.whole(1, 3650), 30)
    """Days that these logs are kept."""
    upgrade_cents: int = checks.value(checks.whole(0, 1_000_000), 0)
    """Maximum of US cents a day for encoding frequently viewed files at a higher effort; 0 for
    none. Needs ``logs``, which show the views."""
    rate_limit: int = checks.value(checks.none_or(LEAST_RATE, MOST_RATE), 0)
    """Requests that one address may send in five minutes; further ones get 429. 0 for no limit."""
    flat_rate_plan: bool = checks.value(checks.switch, default=False)
    """A flat-rate plan was chosen for the distribution, outside of this program. Without a rate
    limit a deployment then leaves the plan's web ACL where it is."""

    @property
    def price_class(self) -> str:
        """The smallest set of edges that covers the audience."""
        return max((AUDIENCES[one] for one in self.audience), key=PRICE_CLASSES.index)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheConfig:
    """The cache of files that many ask the delivery function for."""

    enabled: bool = checks.value(checks.switch, default=False)
    """Off: each instance of the function has some in its own memory."""
    gigabytes: int = checks.value(checks.whole(1, 5_000), 1)
    """Maximum size; beyond it the least recently used files are evicted."""
    ecpus_per_second: int = checks.value(checks.whole(1_000, 15_000_000), 10_000)
    """Most that it does: one ECPU for each kilobyte. Above that it slows down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RekognitionConfig:
    """The use of Amazon Rekognition by workflows. Recipes say about which pictures."""

    moderation: bool = checks.value(checks.switch, default=False)
    """Recipes with ``[moderation]`` may have the tier ``rekognition``."""
    labels: bool = checks.value(checks.switch, default=False)
    """Recipes may have ``[labels]``."""
    rate: int = checks.value(checks.whole(1, 10_000), 5)
    """Requests a second to each operation, of all functions together: the account's quota, or
    less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleConfig:
    """The web console, and the OpenID provider that signs people in."""

    enabled: bool = checks.value(checks.switch, default=False)
    """Needs ``api`` and ``delivery``, and ``client_id`` or ``user_pool``."""
    user_pool: bool = checks.value(checks.switch, default=False)
    """A Cognito user pool of this stack in place of ``api.issuer`` and ``api.audience``."""
    client_id: str = checks.value(checks.AUDIENCE, "")
    """The console's client ID at ``api.issuer``: a public client, with PKCE."""
    scope: str = checks.value(checks.SCOPE, "openid safelight:read safelight:write")
    """Scopes that the console requests. ``offline_access`` requests refresh tokens."""
    audience: str = checks.value(checks.AUDIENCE, "")
    """The ``audience`` parameter of the request, which some providers need."""
    sign_in_origins: tuple[str, ...] = checks.value(checks.origins, ())
    """Origins of the provider's endpoints (tokens, revocation) that differ from the issuer's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhooksConfig:
    """Where events are sent to, outside of AWS or to subscribers of a topic."""

    endpoints: tuple[checks.EndpointValues, ...] = checks.value(checks.endpoints, ())
    """``NAME: {url: https://..., events: [asset.accepted, "job.*"]}`` for each endpoint. A name is
    part of the endpoint's queue, rule and secret."""
    topic: tuple[str, ...] = checks.value(checks.event_types, ())
    """Types of events that are published to an SNS topic as well; empty for no topic."""
    maximum_concurrency: int = checks.value(checks.whole(2, 1000), 10)
    """Batches of ten events that are sent to one endpoint at the same time."""
    log_retention_days: int = checks.value(checks.one_of(*LOG_DAYS), 30)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservabilityConfig:
    """Alarms and who hears them."""

    enabled: bool = checks.value(checks.switch, default=True)
    email: str = checks.value(checks.EMAIL, "")
    tracing: bool = checks.value(checks.switch, default=True)
    """Functions and jobs send traces to X-Ray: needs Transaction Search in the account."""
    trace_percent: float = checks.value(checks.percent, 1.0)
    """Of all traces; those with an error are sent whatever it is."""
    waiting_seconds: int = checks.value(checks.whole(30, 86_400), 300)
    """An upload that waits longer is an alarm."""
    error_percent: int = checks.value(checks.whole(0, 100), 5)
    """More failing calls of the ingest function are an alarm."""
    reclaim_percent: int = checks.value(checks.whole(1, 100), 20)
    """More attempts of jobs that end because Spot takes the machine are an alarm."""
    anomalies: bool = checks.value(checks.switch, default=False)
    """Also alarms on figures that are unusual for the hour of the week."""
    runbooks: str = checks.value(checks.FOLDER_URL, "")
    """Where the pages of docs/runbooks are on the web, for the messages; empty for their paths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostConfig:
    """Budgets, cost alerts and savings."""

    monthly_budget: int = checks.value(checks.whole(0, 100_000_000), 0)
    """US dollars a month; 0 for no budget."""
    anomaly_dollars: int = checks.value(checks.whole(0, 1_000_000), 0)
    """US dollars: unusual spending of at least this amount is reported; 0 for no monitoring."""
    anomaly_monitor: str = checks.value(checks.MONITOR, "")
    """ARN of the account's monitor of the tag Stack, if another stack has made it; empty to make
    one. Cost Explorer allows one for a dimension."""
    daily_limit: int = checks.value(checks.whole(0, 100_000_000), 0)
    """US dollars a day, by the ledger: optional work pauses for the rest of a day in which they are
    spent; 0 for no limit."""
    email: str = checks.value(checks.EMAIL, "")
    activate_tags: bool = checks.value(checks.switch, default=False)
    """Activate our tags as cost allocation tags; possible in the account that pays only."""
    power_tuning: bool = checks.value(checks.switch, default=False)
    """A state machine that measures which memory size of the ingest function is the cheapest."""
    savings_plan_cents: int = checks.value(checks.whole(0, 1_000_000), 0)
    """US cents an hour of compute that are committed to for a year; 0 for no plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that can be chosen about a stack."""

    stack: str
    image: str = ""
    """The function's container image, by digest; needed by all but the repositories."""
    batch_image: str = ""
    """The container image of heavy work, by digest."""
    recipe: str = "default"
    settings: Mapping[str, str] = field(default_factory=dict)
    """Further variables of the function: names of ``worker.settings.Settings``."""
    tags: Mapping[str, str] = field(default_factory=dict)
    registry: RegistryConfig = field(default_factory=RegistryConfig)
    storage: StorageConfig = field(default_factory=StorageConfig)
    catalog: CatalogConfig = field(default_factory=CatalogConfig)
    events: EventsConfig = field(default_factory=EventsConfig)
    intake: IntakeConfig = field(default_factory=IntakeConfig)
    heavy: HeavyConfig = field(default_factory=HeavyConfig)
    api: ApiConfig = field(default_factory=ApiConfig)
    delivery: DeliveryConfig = field(default_factory=DeliveryConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)
    rekognition: RekognitionConfig = field(default_factory=RekognitionConfig)
    console: ConsoleConfig = field(default_factory=ConsoleConfig)
    webhooks: WebhooksConfig = field(default_factory=WebhooksConfig)
    observability: ObservabilityConfig = field(default_factory=ObservabilityConfig)
    cost: CostConfig = field(default_factory=CostConfig)

    @property
    def tracing(self) -> float:
        """Percent of all traces that are sent; 0: none, and no errors either."""
        chosen = self.observability
        return chosen.trace_percent if chosen.enabled and chosen.tracing else 0.0


SECTIONS: Mapping[str, type[Any]] = {
    "registry": RegistryConfig,
    "storage": StorageConfig,
    "catalog": CatalogConfig,
    "events": EventsConfig,
    "intake": IntakeConfig,
    "heavy": HeavyConfig,
    "api": ApiConfig,
    "delivery": DeliveryConfig,
    "cache": CacheConfig,
    "rekognition": RekognitionConfig,
    "console": ConsoleConfig,
    "webhooks": WebhooksConfig,
    "observability": ObservabilityConfig,
    "cost": CostConfig,
}
"""By the key in the configuration."""
