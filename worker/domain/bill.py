"""The bill: its inputs, a design and a load, and its lines.

A design holds every choice that affects the bill. Its defaults are those of the preset ``prod``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from worker.domain.errors import Problem, ProblemsError

FULL_VCPU = 1769
"""Megabytes of Lambda's memory that come with one vCPU (AWS Lambda Developer Guide, "Configure
Lambda function memory")."""
PLAN_LAMBDA = "Compute Savings Plan, Lambda"
"""Prefix of the lines for a savings plan on Lambda's duration."""
UPLOADS, QUEUES, COMPUTE, FILES, STORAGE = "Uploads", "Queues", "Compute", "Files", "Storage"
CATALOG, EVENTS, DELIVERY, MACHINES = "Catalog", "Events", "Delivery", "Machines"
ESCALATION, WATCHING, COMMITMENTS = "Escalation", "Watching", "Commitments"
COMPUTE_UNITS = ("GB-s", "GB restored", "vCPU hours")
"""Units of the lines for Lambda's time outside the group of machines."""
GROUPS = (
    UPLOADS, QUEUES, COMPUTE, FILES, STORAGE, CATALOG, EVENTS, DELIVERY, MACHINES, ESCALATION,
    WATCHING, COMMITMENTS,
)  # fmt: skip
"""Groups of lines, in the order of the bill."""
FORMATS = ("", "webp", "jxl")
"""Second formats that a recipe may make beside JPEG."""
ORIGINALS = ("standard", "tiering", "cold")
"""Classes of originals: S3 Standard, Intelligent-Tiering, Standard-IA from the upload on."""
LEAST_IMAGES = 0.001
"""Least number of pictures a day, unless it is 0: below it the cost of a million pictures is
meaningless."""
PLANS = ("", "year", "three")
"""A Compute Savings Plan: none, a year with nothing up front, three years all up front."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """The load: uploads and views."""

    images_per_day: float = 10_000_000
    megabytes: float = 1.0
    """Millions of bytes of an upload."""
    views: float = 3.0
    """Files of an upload that viewers get, all in the month of the upload."""
    misses: float | None = None
    """Share of the views that the edge fetches, 0 to 1, if known: CloudFront measures the rate of
    cache hits. None: computed from the views (:mod:`worker.services.edge_fetches`)."""
    videos_per_day: float = 0.0
    """Videos of one minute, in addition to the pictures."""
    month: int = 1
    """The billed month since the start of steady uploads: storage adds up."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ProblemsError: with every mistake.
        """
        found = [
            Problem(name, "must be a number from 0 on")
            for name in ("images_per_day", "megabytes", "views", "videos_per_day")
            if not 0 <= getattr(self, name) < math.inf
        ]
        if 0 < self.images_per_day < LEAST_IMAGES:
            found.append(Problem("images_per_day", f"must be 0, or {LEAST_IMAGES:g} or more"))
        if self.misses is not None and not 0 <= self.misses <= 1:
            found.append(Problem("misses", "must be from 0 to 1"))
        if not 1 <= self.month <= 1200:
            found.append(Problem("month", "must be from 1 to 1200"))
        if found:
            raise ProblemsError("the load", tuple(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """Every choice that affects the bill. The defaults are those of the preset ``prod``."""

    architecture: str = "arm64"
    memory: int = 1536
    """Megabytes of the ingest function. The delivery function has at least a whole vCPU."""
    managed: bool = False
    """The ingest function runs on Lambda Managed Instances."""
    snap_start: bool = False
    """SnapStart of the delivery function."""
    pollers: int = 0
    """Provisioned pollers of the ingest queue."""
    ordering: str = "fifo"
    batch: int = 1
    """Uploads of a call of the ingest function. Under a steady load it is one if the queue has no
    batching window; a FIFO queue has none (``safelight simulate --images-per-day 10e6``)."""
    second_format: str = "webp"
    """The format that is made beside JPEG, one of ``FORMATS``."""
    lazy: bool = False
    """The second format is made at its first view."""
    avif: str = ""
    """``all``: AVIF files of every upload as well; ``viewed``: at their first view."""
    one_decode: bool = True
    """False: nine variants of each upload, each decoded separately, as in the naive design."""
    moderated: float = 0.0
    """Share of the uploads that Rekognition is asked about."""
    workflow: float = 0.0
    """Share of the uploads that go through a workflow of Step Functions."""
    originals: str = "tiering"
    tier_at_upload: bool = True
    """Uploads name their storage class, as the tickets of the API do, so that no lifecycle
    transition is paid."""
    glacier_after_days: int = 90
    """0: never."""
    rendition_days: int = 0
    """Files expire after so many days; 0 for never."""
    access_logs: bool = True
    access_log_days: int = 30
    capacity: str = "on-demand"
    near_duplicates: bool = True
    recovery: bool = True
    """Point-in-time recovery of the table."""
    archive_days: int = 14
    """Days that events are archived."""
    delivery: bool = True
    price_class: str = "PriceClass_All"
    flat_rate: bool = False
    cache_gigabytes: int = 5
    """Size of the cache of hot files; 0 for none."""
    machines: str = "arm64"
    """Architecture of the machines of jobs."""
    baseline_vcpus: int = 16
    spot: float = 1.0
    """Share of the machine time of jobs on Spot."""
    private_network: bool = True
    zones: int = 3
    log_retention_days: int = 30
    observed: bool = True
    """Whether there are alarms, metrics and a dashboard."""
    trace_percent: float = 1.0
    compute_plan: str = ""
    """One of ``PLANS``, for all of Lambda's duration and of the machines that always run."""
    table_plan: bool = False
    """A Database Savings Plan for all reads and writes on demand."""
    edge_plan: bool = False
    """A CloudFront Security Savings Bundle for all transfer and requests of the edge."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ProblemsError: with every mistake.
        """
        allowed: Mapping[str, tuple[str, ...]] = {
            "architecture": ("arm64", "x86_64"),
            "machines": ("arm64", "x86_64"),
            "ordering": ("fifo", "standard"),
            "second_format": FORMATS,
            "avif": ("", "all", "viewed"),
            "originals": ORIGINALS,
            "capacity": ("on-demand", "provisioned"),
            "price_class": ("PriceClass_100", "PriceClass_200", "PriceClass_All"),
            "compute_plan": PLANS,
        }
        found = [
            Problem(name, f"must be one of {', '.join(repr(one) for one in those)}")
            for name, those in allowed.items()
            if getattr(self, name) not in those
        ]
        limits = {
            "memory": (128, 10_240), "pollers": (0, 2_000), "batch": (1, 10_000),
            "moderated": (0, 1), "workflow": (0, 1), "glacier_after_days": (0, 36_500),
            "rendition_days": (0, 36_500), "access_log_days": (1, 36_500),
            "archive_days": (0, 36_500), "cache_gigabytes": (0, 5_000),
            "baseline_vcpus": (0, 10_000), "spot": (0, 1), "zones": (1, 6),
            "log_retention_days": (1, 36_500), "trace_percent": (0, 100),
        }  # fmt: skip
        found += [
            Problem(name, f"must be from {low} to {high}")
            for name, (low, high) in limits.items()
            if not low <= getattr(self, name) <= high
        ]
        if found:
            raise ProblemsError("the design", tuple(found))


@dataclass(frozen=True, slots=True)
class BillLine:
    """One line: ``amount`` x ``price`` = ``usd``."""

    group: str
    name: str
    amount: float
    unit: str
    price: float
    """US dollars for one."""
    usd: float
    formula: str
    """How the amount is computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """A month."""

    lines: tuple[BillLine, ...]
    design: Design
    traffic: Traffic
    region: str
    images: float
    """Uploads of the month."""

    @property
    def total(self) -> float:
        """US dollars."""
        return sum(one.usd for one in self.lines)

    def of(self, group: str) -> float:
        """US dollars of a group of lines."""
        return sum(one.usd for one in self.lines if one.group == group)

    def named(self, *names: str) -> float:
        """US dollars of the lines whose names have one of the prefixes."""
        return sum(one.usd for one in self.lines if one.name.startswith(names))

    def groups(self) -> Iterator[tuple[str, tuple[BillLine, ...]]]:
        """Groups that have lines, in the order of the bill."""
        for group in GROUPS:
            those = tuple(one for one in self.lines if one.group == group)
            if those:
                yield group, those

    @property
    def compute_of_a_million(self) -> float:
        """US dollars of Lambda for a million pictures: the duration of all functions, INIT,
        snapshots, and machines of managed instances, less what a plan takes off. Calls and pollers
        are requests and are not included."""
        usd = sum(
            one.usd
            for one in self.lines
            if (one.unit in COMPUTE_UNITS and one.group != MACHINES)
            or one.name.startswith(PLAN_LAMBDA)
        )
        return usd / self.images * 1e6 if self.images else 0.0

    @property
    def tracing(self) -> float:
        """Share of tracing, 0 to 1."""
        return self.named("Traces") / self.total if self.total else 0.0
