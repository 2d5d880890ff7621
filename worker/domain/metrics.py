"""The list of all metrics, and what a process has counted since it wrote them last.

:data:`METRICS` is the only list: nothing else can be counted, the dashboard draws it, and
docs/metrics.md is written from it. ``add`` and ``timed`` count from any thread. An entry point
writes what was counted at the end of an event (``worker.adapters.emf``).

Each distinct combination of a name and dimension values is a metric that CloudWatch bills, so every
dimension has a closed set of values. Owners, recipes, keys and endpoints are none of them: the
ledger has the cost of each. Durations are of the monotonic clock. Ages are of the wall clocks of
two machines: one that would be negative is 0.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from worker.domain.errors import EngineError, MalformedMessage, Reason
from worker.domain.moderation import MODERATION_REJECTED
from worker.domain.review import REJECTED

OTHER = "other"
"""Stands for each value that is not in the set of a dimension."""
MOST_VALUES = 1_000
"""Values of one distribution that are kept until they are written; later ones are left out."""


class Unit(StrEnum):
    """CloudWatch's units, as far as they are used."""

    COUNT = "Count"
    BYTES = "Bytes"
    SECONDS = "Seconds"
    DOLLARS = "None"
    """US dollars: CloudWatch has no unit for them."""


class Statistic(StrEnum):
    """The statistic of a metric's values in a period."""

    SUM = "Sum"
    AVERAGE = "Average"
    MAXIMUM = "Maximum"
    P90 = "p90"
    """Nine of ten are not above it."""


class MetricGroup(StrEnum):
    """The parts of the dashboard, and of docs/metrics.md, in this order."""

    UPLOADS = "Uploads"
    SERVICES = "Services"
    ESCALATED = "Workflows, reviews and jobs"
    DELIVERY = "Delivery and events"
    MONEY = "Money"


class Source(StrEnum):
    """Where CloudWatch has a metric from."""

    CODE = "code"
    """Lines in the embedded metric format, which functions and jobs write."""
    LOG = "log"
    """A metric filter on a log: also of processes that were killed. It takes dimensions from fields
    of a line, and not every line has them, so the value is a part of the name instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec:
    """One metric, with all the values that its dimensions can have."""

    name: str
    unit: Unit
    services: tuple[str, ...]
    """Services that emit it: names of functions, or ``batch``."""
    dimensions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The closed set of values of each."""
    statistic: Statistic = Statistic.SUM
    says: str
    """The meaning of the metric, as a sentence."""
    group: MetricGroup
    source: Source = Source.CODE

    @property
    def names(self) -> tuple[str, ...]:
        """Under which names CloudWatch has it."""
        if self.source is Source.LOG and self.dimensions:
            (values,) = self.dimensions.values()
            return tuple(self.name_of(value) for value in values)
        return (self.name,)

    def name_of(self, value: str = "") -> str:
        """Its name in CloudWatch, for a value of its only dimension if that is in the name.

        Raises:
            ValueError: the dimension has no such value.
        """
        values = next(iter(self.dimensions.values()), ("",)) if self.source is Source.LOG else ("",)
        if value not in values:
            raise ValueError(f"{self.name} is not counted for {value!r}, only for {values}")
        return f"{value.capitalize()}{self.name}"

    @property
    def distinct(self) -> int:
        """The most metrics that CloudWatch can bill for it, without :data:`OTHER`."""
        return math.prod(len(values) for values in self.dimensions.values())


STAGES = (
    *("fetch", "render", "commit"),
    *("start", "finish", "approve", "expire", "publish", "reject", "quarantine"),
    *("moderate", "label", "webhook"),
    *("tell", "invalidate", "send", "deliver"),
)
"""Of ingest; of the workflow function, by its tasks; of outbox, invalidate, webhook and deliver."""
OUTCOMES = (
    *("accepted", "rejected", "processing", "review", "duplicate", "stale"),
    *("deleted", "erased", "unchanged", "replaced", "ignored"),
)
"""``worker.services.ingest.IngestOutcome``."""
FINISHED_OUTCOMES = ("accepted", "rejected", "review", "deleted", "failed", "stale")
"""``worker.services.finalize.FinalizeOutcome``."""
REVIEW_OUTCOMES = (
    *("asked", "approved", "rejected", "held", "stale"),
    *("task_timed_out", "task_unknown", "task_used"),
)
"""Return values of ``worker.services.review.Reviews.follow``."""
JUDGED = (MODERATION_REJECTED, REJECTED, "quarantined")
"""Codes of verdicts that are no fault of the file: of moderation, of people, of a failed stage."""
CACHE_OUTCOMES = ("hit", "stale", "miss", "bypass")
STATUSES = ("200", "302", "403", "404", "410", "503")
JOB_OUTCOMES = ("done", "unchanged", "rejected", "stopped", "failed")
KINDS = (
    *("transcode", "transcode-plan", "transcode-part", "transcode-assemble"),
    *("poster", "storyboard", "preview", "audio-waveform", "subtitles", "video-metadata"),
    *("deepzoom", "denoise", "stitch", "hdr-merge", "document", "restore", "background"),
    "batch-process",
)
"""``batch.catalogue.KINDS``."""
FUNCTIONS = (
    *("ingest", "workflow", "outbox", "ledger", "invalidate", "webhook", "upgrade"),
    *("deliver", "api"),
)
QUEUED = ("ingest", "outbox", "invalidate", "webhook")
"""Functions that a queue or a stream feeds."""
POISONS = (
    *(Reason.CRASHED.value, Reason.OUT_OF_MEMORY.value, Reason.TIMED_OUT.value),
    *(MalformedMessage.code, EngineError.code),
)
OPTIONAL_WORK = ("upgrade", "moderation", "remake", "backfill", "job")


# --- uploads ------------------------------------------------------------------------------------

UPLOADS = MetricSpec(
    name="Uploads",
    group=MetricGroup.UPLOADS,
    unit=Unit.COUNT,
    services=("ingest",),
    dimensions={"outcome": OUTCOMES},
    says="Upload events that are done, by what became of them.",
)
REJECTIONS = MetricSpec(
    name="Rejections",
    group=MetricGroup.UPLOADS,
    unit=Unit.COUNT,
    services=("ingest", "workflow"),
    dimensions={"reason": (*(one.value for one in Reason), *JUDGED)},
    says="Uploads that were rejected, by the code of the reason (docs/errors.md).",
)
BYTES_IN = MetricSpec(
    name="BytesIn",
    group=MetricGroup.UPLOADS,
    unit=Unit.BYTES,
    services=("ingest",),
    says="Bytes of the originals of uploads that are accepted, or wait for a person or jobs.",
)
BYTES_OUT = MetricSpec(
    name="BytesOut",
    group=MetricGroup.UPLOADS,
    unit=Unit.BYTES,
    services=("ingest", "workflow", "deliver"),
    says="Bytes of renditions that were made: at the upload, by jobs, at the first view.",
)
BYTES_SAVED = MetricSpec(
    name="BytesSaved",
    group=MetricGroup.UPLOADS,
    unit=Unit.BYTES,
    services=("ingest", "upgrade"),
    dimensions={"by": ("format", "copy", "upgrade")},
    says="Bytes that need not be made or sent. `format`: for each size, the file that every client"
    " accepts, less the smallest file of that size. `copy`: renditions that were copied from"
    " identical bytes. `upgrade`: files that were encoded again at a higher effort.",
)
READY_SECONDS = MetricSpec(
    name="ReadySeconds",
    group=MetricGroup.UPLOADS,
    unit=Unit.SECONDS,
    services=("ingest",),
    statistic=Statistic.P90,
    says="From the function's queue to the record of an accepted picture, earlier tries included.",
)
COST_PER_IMAGE = MetricSpec(
    name="CostPerImage",
    group=MetricGroup.MONEY,
    unit=Unit.DOLLARS,
    services=("ingest",),
    statistic=Statistic.AVERAGE,
    says="US dollars of an upload that was handled: its share of the call's measured seconds, and"
    " the requests that it needs, at list prices of us-east-1 (worker/prices.toml). Without INIT,"
    " storage, delivery and what other functions do for it.",
)

# --- every service ------------------------------------------------------------------------------

STAGE_SECONDS = MetricSpec(
    name="StageSeconds",
    group=MetricGroup.SERVICES,
    unit=Unit.SECONDS,
    services=("ingest", "workflow", "outbox", "invalidate", "webhook", "deliver"),
    dimensions={"stage": STAGES},
    statistic=Statistic.P90,
    says="How long a stage took, of one upload, event or request.",
)
QUEUE_SECONDS = MetricSpec(
    name="QueueSeconds",
    group=MetricGroup.SERVICES,
    unit=Unit.SECONDS,
    services=QUEUED,
    dimensions={"service": QUEUED},
    statistic=Statistic.MAXIMUM,
    says="Age of a message, or of a change of the catalog, when its function begins with it.",
)
RETRIES = MetricSpec(
    name="Retries",
    group=MetricGroup.SERVICES,
    unit=Unit.COUNT,
    services=QUEUED,
    dimensions={"service": QUEUED},
    says="Messages that were not done and come again.",
)
POISON = MetricSpec(
    name="Poison",
    group=MetricGroup.SERVICES,
    unit=Unit.COUNT,
    services=QUEUED,
    dimensions={"code": POISONS},
    says="What no further try can do: messages that nobody here sends, defects, and files that"
    " kill, hang or exhaust the decoder.",
)
DEFECTS = MetricSpec(
    name="Defects",
    group=MetricGroup.SERVICES,
    unit=Unit.COUNT,
    services=FUNCTIONS,
    dimensions={"service": FUNCTIONS},
    says="Lines of level ERROR in a function's log.",
    source=Source.LOG,
)

# --- escalated work -----------------------------------------------------------------------------

RUNS = MetricSpec(
    name="Runs",
    group=MetricGroup.ESCALATED,
    unit=Unit.COUNT,
    services=("workflow",),
    says="Workflows that were started.",
)
FINISHED = MetricSpec(
    name="Finished",
    group=MetricGroup.ESCALATED,
    unit=Unit.COUNT,
    services=("workflow",),
    dimensions={"outcome": FINISHED_OUTCOMES},
    says="Uploads whose jobs have ended, by what became of them.",
)
REVIEWS = MetricSpec(
    name="Reviews",
    group=MetricGroup.ESCALATED,
    unit=Unit.COUNT,
    services=("workflow",),
    dimensions={"outcome": REVIEW_OUTCOMES},
    says="Questions to people that were asked, and answers that took effect.",
)
JOBS = MetricSpec(
    name="Jobs",
    group=MetricGroup.ESCALATED,
    unit=Unit.COUNT,
    services=("batch",),
    dimensions={"kind": KINDS, "outcome": JOB_OUTCOMES},
    says="Attempts of jobs that ended by themselves; `stopped` by a reclaim or by a person.",
)
JOB_SECONDS = MetricSpec(
    name="JobSeconds",
    group=MetricGroup.ESCALATED,
    unit=Unit.SECONDS,
    services=("batch",),
    dimensions={"kind": KINDS},
    statistic=Statistic.P90,
    says="How long an attempt of a job took.",
)
JOB_WAIT_SECONDS = MetricSpec(
    name="JobWaitSeconds",
    group=MetricGroup.ESCALATED,
    unit=Unit.SECONDS,
    services=("batch",),
    statistic=Statistic.MAXIMUM,
    says="From the submission of a job by a workflow to the start of its first attempt: the age of"
    " the queue of jobs.",
)
JOB_BYTES_IN = MetricSpec(
    name="JobBytesIn",
    group=MetricGroup.ESCALATED,
    unit=Unit.BYTES,
    services=("batch",),
    dimensions={"kind": KINDS},
    says="Bytes of the inputs of an attempt.",
)
JOB_BYTES_OUT = MetricSpec(
    name="JobBytesOut",
    group=MetricGroup.ESCALATED,
    unit=Unit.BYTES,
    services=("batch",),
    dimensions={"kind": KINDS},
    says="Bytes that an attempt has stored.",
)
JOBS_STARTED = MetricSpec(
    name="JobsStarted",
    group=MetricGroup.ESCALATED,
    unit=Unit.COUNT,
    services=("batch",),
    says="Attempts of jobs that began, by the events of AWS Batch.",
    source=Source.LOG,
)
JOBS_FAILED = MetricSpec(
    name="JobsFailed",
    group=MetricGroup.ESCALATED,
    unit=Unit.COUNT,
    services=("batch",),
    says="Attempts of jobs that failed for no fault of their input.",
    source=Source.LOG,
)
RECLAIMS = MetricSpec(
    name="Reclaims",
    group=MetricGroup.ESCALATED,
    unit=Unit.COUNT,
    services=("batch",),
    says="Attempts of jobs that ended because Spot took their machine away.",
    source=Source.LOG,
)

# --- delivery and events ------------------------------------------------------------------------

CACHE_READS = MetricSpec(
    name="CacheReads",
    group=MetricGroup.DELIVERY,
    unit=Unit.COUNT,
    services=("deliver",),
    dimensions={"outcome": CACHE_OUTCOMES},
    says="Files that the delivery function read, by what the cache had. The rate of hits is"
    " (hit + stale) / (hit + stale + miss).",
)
ORIGIN_ANSWERS = MetricSpec(
    name="OriginAnswers",
    group=MetricGroup.DELIVERY,
    unit=Unit.COUNT,
    services=("deliver",),
    dimensions={"status": STATUSES},
    says="Responses of the delivery function, by HTTP status.",
)
EVENTS = MetricSpec(
    name="Events",
    group=MetricGroup.DELIVERY,
    unit=Unit.COUNT,
    services=("outbox",),
    says="Events that were sent to the bus.",
)
INVALIDATIONS = MetricSpec(
    name="Invalidations",
    group=MetricGroup.DELIVERY,
    unit=Unit.COUNT,
    services=("invalidate",),
    says="Cache tags that CloudFront was told to forget; it bills each like a path.",
)
WEBHOOKS = MetricSpec(
    name="Webhooks",
    group=MetricGroup.DELIVERY,
    unit=Unit.COUNT,
    services=("webhook",),
    dimensions={"outcome": ("delivered", "failed", "dead")},
    says="Requests to endpoints: `failed` comes again, `dead` does not.",
)
UPGRADES = MetricSpec(
    name="Upgrades",
    group=MetricGroup.DELIVERY,
    unit=Unit.COUNT,
    services=("upgrade",),
    says="Files that were encoded again because they are viewed often.",
)

# --- money --------------------------------------------------------------------------------------

SPEND = MetricSpec(
    name="Spend",
    group=MetricGroup.MONEY,
    unit=Unit.DOLLARS,
    services=("ledger",),
    says="US dollars that the ledger has added, at list prices.",
)
PAUSED = MetricSpec(
    name="Paused",
    group=MetricGroup.MONEY,
    unit=Unit.COUNT,
    services=("ingest", "upgrade", "api"),
    dimensions={"work": OPTIONAL_WORK},
    says="Optional work that was put off because the day's limit is spent.",
)

METRICS: tuple[MetricSpec, ...] = tuple(
    sorted(
        (one for one in tuple(globals().values()) if isinstance(one, MetricSpec)),
        key=lambda one: one.name,
    )
)
"""All of them, by name."""


# --- what was counted ---------------------------------------------------------------------------

Labels = tuple[tuple[str, str], ...]
"""Names and values of dimensions, in the metric's order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The counted values of a metric with the same dimensions."""

    metric: MetricSpec
    labels: Labels
    values: tuple[float, ...]
    """One sum for a metric whose statistic is the sum; else each value."""


class MetricCounts:
    """The counted values that are not written yet. For several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[tuple[str, Labels], tuple[MetricSpec, list[float]]] = {}

    def add(self, metric: MetricSpec, value: float = 1, **dimensions: str) -> None:
        """Count; see :func:`add`."""
        labels = labels_of(metric, dimensions)
        if not math.isfinite(value):
            return
        value = max(0, value)
        with self._lock:
            _, values = self._values.setdefault((metric.name, labels), (metric, []))
            if metric.statistic is Statistic.SUM and values:
                values[0] += value
            elif len(values) < MOST_VALUES:
                values.append(value)

    def take(self) -> tuple[Counted, ...]:
        """The values counted since the last call."""
        with self._lock:
            taken, self._values = self._values, {}
        return tuple(
            Counted(metric=metric, labels=labels, values=tuple(values))
            for (_, labels), (metric, values) in taken.items()
        )


def labels_of(metric: MetricSpec, dimensions: Mapping[str, str]) -> Labels:
    """The dimensions of a value; one outside the closed set becomes :data:`OTHER`.

    Raises:
        TypeError: the dimensions are not those of the metric.
    """
    if dimensions.keys() != metric.dimensions.keys():
        said = f"{metric.name} has the dimensions {list(metric.dimensions)}, not {list(dimensions)}"
        raise TypeError(said)
    return tuple(
        (name, dimensions[name] if dimensions[name] in values else OTHER)
        for name, values in metric.dimensions.items()
    )


_counts = MetricCounts()
"""Of this process."""


def add(metric: MetricSpec, value: float = 1, **dimensions: str) -> None:
    """Count a value of a metric; it is written when the entry point writes all.

    A negative value counts as 0, and one that is no number not at all: the clocks of two machines
    differ, and a metric never fails the work.

    Args:
        metric: a member of :data:`METRICS`.
        value: in the unit of the metric.
        dimensions: all that the metric has.
    """
    _counts.add(metric, value, **dimensions)


@contextmanager
def timed(metric: MetricSpec, **dimensions: str) -> Iterator[None]:
    """Count the seconds that the block takes, also if it raises."""
    began = time.perf_counter()
    try:
        yield
    finally:
        _counts.add(metric, time.perf_counter() - began, **dimensions)


def take() -> tuple[Counted, ...]:
    """The values that this process has counted since the last call."""
    return _counts.take()
