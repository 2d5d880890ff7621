"""The stack's configuration: typed, frozen, every mistake reported at once. No resources here.

One dataclass a concern; a field's key in ``Pulumi.<stack>.yaml`` is its name in camel case
(``safelight:intake`` -> ``maximumConcurrency``). Limits of AWS are checked here, so that a mistake
costs a second and not half a deployment. What each value costs is in README.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, TypeVar

import pulumi
from pulumi.runtime import config as runtime_config

from stack import checks
from stack.scope import PROJECT
from worker.errors import Problem, ProblemsError, SettingsError
from worker.settings import PREFIX, Ordering, Settings

Section = TypeVar(
    "Section", bound="Registry | Storage | Catalog | Intake | Heavy | Observability | Cost"
)

LOG_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 3653)
"""Retention periods that CloudWatch Logs accepts (API reference, PutRetentionPolicy)."""
FIFO_BATCH = 10
"""Most messages of a FIFO queue in one batch (AWS Lambda Developer Guide, "Using Amazon SQS")."""
VISIBILITY_FACTOR = 6
"""A message stays hidden for at least six function timeouts (the same page): while Lambda is
throttled it waits in a batch already taken."""
OUTSIDE_SANDBOX_MEGABYTES = 256
"""Kept for the handler itself beside the sandboxed child."""
GIVEN = frozenset(
    {
        "table",
        "intake_bucket",
        "delivery_bucket",
        "quarantine_bucket",
        "event_bus",
        "queue_url",
        "dlq_url",
        "ordering",
        "recipe",
    }
)
"""Settings of the function that the program itself sets."""


# --- the concerns -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """The repositories of the container images."""

    enabled: bool = checks.value(checks.switch, default=True)
    """Off: the images come from repositories that this program does not own."""
    images_kept: int = checks.value(checks.whole(2, 1000), 30)
    """Older images than so many are deleted."""
    force_delete: bool = checks.value(checks.switch, default=False)
    """Let `pulumi destroy` delete repositories that still hold images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """The three buckets."""

    glacier_after_days: int = checks.value(checks.whole(1, 3650), 90)
    """Originals over 128 KB then move from Intelligent-Tiering to Glacier Instant Retrieval."""
    noncurrent_days: int = checks.value(checks.whole(1, 3650), 30)
    """A replaced or deleted original can be brought back for so long."""
    quarantine_days: int = checks.value(checks.whole(1, 3650), 30)
    """Rejected originals are kept for so long."""
    force_destroy: bool = checks.value(checks.switch, default=False)
    """Let `pulumi destroy` delete buckets that still hold objects."""
    event_bridge: bool = checks.value(checks.switch, default=False)
    """Also send the intake bucket's events to the account's default event bus, for others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """The table."""

    deletion_protection: bool = checks.value(checks.switch, default=True)
    point_in_time_recovery: bool = checks.value(checks.switch, default=True)
    stream: bool = checks.value(checks.switch, default=True)
    """Changes of the last 24 hours (old and new image), for whoever wants to follow them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """From an upload's event to the function that handles it."""

    ordering: Ordering = checks.value(checks.one_of(*Ordering), Ordering.FIFO)  # noqa: RUF009 - a field
    """``fifo``: two workers never hold one object; ``standard``: cheaper, any order."""
    architecture: str = checks.value(checks.one_of("arm64", "x86_64"), "arm64")
    memory: int = checks.value(checks.whole(512, 10240), 1769)
    """Megabytes. Lambda gives one vCPU with 1,769."""
    timeout: int = checks.value(checks.whole(10, 900), 120)
    """Seconds, for a whole batch."""
    batch_size: int = checks.value(checks.whole(1, 1000), 10)
    batch_window: int = checks.value(checks.whole(0, 300), 0)
    """Seconds to wait for a full batch; standard ordering only."""
    maximum_concurrency: int = checks.value(checks.whole(2, 1000), 100)
    """Instances of the function that the queue may use at the same time."""
    maximum_receives: int = checks.value(checks.whole(2, 100), 5)
    """Tries before a message goes to the dead-letter queue."""
    log_retention_days: int = checks.value(checks.one_of(*LOG_DAYS), 30)

    @property
    def visibility(self) -> int:
        """Seconds a message stays hidden while it is worked on."""
        return VISIBILITY_FACTOR * self.timeout


@dataclass(frozen=True, slots=True, kw_only=True)
class Heavy:
    """Machines for heavy work, and what starts jobs on them."""

    enabled: bool = checks.value(checks.switch, default=True)
    """Off: videos and oversize pictures stay in status ``heavy``."""
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
    private_network: bool = checks.value(checks.switch, default=False)
    """Machines without public addresses, behind endpoints that are paid by the hour."""
    log_retention_days: int = checks.value(checks.one_of(*LOG_DAYS), 30)
    stuck_minutes: int = checks.value(checks.whole(10, 1440), 120)
    """A job that could not start for so long, for a reason that does not go away, is cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Who is told when money goes faster than planned."""

    monthly_budget: int = checks.value(checks.whole(0, 100_000_000), 0)
    """US dollars a month; 0 for no budget."""
    anomaly_dollars: int = checks.value(checks.whole(0, 1_000_000), 0)
    """Tell of unusual spending of at least so much; 0 for no watch."""
    email: str = checks.value(checks.EMAIL, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Observability:
    """Alarms and who hears them."""

    enabled: bool = checks.value(checks.switch, default=True)
    email: str = checks.value(checks.EMAIL, "")
    waiting_seconds: int = checks.value(checks.whole(30, 86_400), 300)
    """An upload that waits longer is an alarm."""
    error_percent: int = checks.value(checks.whole(0, 100), 5)
    """More failing calls of the ingest function are an alarm."""
    anomalies: bool = checks.value(checks.switch, default=False)
    """Also alarms on figures that are unusual for the hour of the week."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that can be chosen about a stack."""

    stack: str
    image: str
    """The function's container image, by digest."""
    batch_image: str = ""
    """The container image of heavy work, by digest."""
    recipe: str = "default"
    settings: Mapping[str, str] = field(default_factory=dict)
    """Further variables of the function: names of ``worker.settings.Settings``."""
    tags: Mapping[str, str] = field(default_factory=dict)
    registry: Registry = field(default_factory=Registry)
    storage: Storage = field(default_factory=Storage)
    catalog: Catalog = field(default_factory=Catalog)
    intake: Intake = field(default_factory=Intake)
    heavy: Heavy = field(default_factory=Heavy)
    observability: Observability = field(default_factory=Observability)
    cost: Cost = field(default_factory=Cost)


_IMAGE = checks.matching(r"[\w.\-:/]+@sha256:[0-9a-f]{64}", "an image URI with a digest (@sha256:)")
_TEXTS = {
    "image": _IMAGE,
    "batchImage": _IMAGE,
    "recipe": checks.matching(r"[^\s]+", "a recipe's name"),
}
_SECTIONS: dict[str, type[Any]] = {
    "registry": Registry,
    "storage": Storage,
    "catalog": Catalog,
    "intake": Intake,
    "heavy": Heavy,
    "observability": Observability,
    "cost": Cost,
}
_STACK = checks.matching(r"[a-z][a-z0-9-]{0,19}", "1 to 20 lower-case letters, digits and hyphens")


def read(values: Mapping[str, object], *, stack: str) -> Config:
    """Check everything and say everything that is wrong.

    Args:
        values: the configuration without its ``safelight:`` prefix, objects already decoded.
        stack: the stack's name.

    Raises:
        ProblemsError: with every mistake, each by its key; an unknown key is one.
    """
    problems: list[Problem] = []
    found: dict[str, Any] = {}

    def take(path: str, check: Callable[[object], Any], value: object) -> Any:
        try:
            return check(value)
        except ValueError as error:
            problems.append(Problem(path, f"{error}, not {value!r}"))
            return None

    take("stack", _STACK, stack)
    for key, check in _TEXTS.items():
        if key in values:
            found[_snake(key)] = take(key, check, values[key])
    if "image" not in values:
        problems.append(Problem("image", "is not set"))
    found["settings"] = take("settings", checks.texts, values.get("settings", {})) or {}
    found["tags"] = take("tags", checks.tags, values.get("tags", {})) or {}
    for key, section in _SECTIONS.items():
        given = take(key, _mapping, values.get(key, {}))
        found[key] = _section(section, key, given or {}, take, problems)
    known = {*_TEXTS, *_SECTIONS, "settings", "tags"}
    problems += [Problem(key, "is no key of Safelight") for key in sorted({*values} - known)]
    problems += _settings_problems(found["settings"], found["intake"])
    problems += _conflicts(found["intake"])
    problems += _missing(found)
    if problems:
        raise ProblemsError(f"config of stack {stack}", tuple(problems))
    return Config(stack=stack, **found)


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise ValueError("must be a map")  # noqa: TRY004 - a finding, not a bug
    return value


def _section(
    section: type[Section],
    path: str,
    given: Mapping[str, object],
    take: Callable[[str, Callable[[object], Any], object], Any],
    problems: list[Problem],
) -> Section:
    keys: dict[str, Field[Any]] = {_camel(item.name): item for item in fields(section)}
    values = {
        keys[key].name: take(f"{path}.{key}", keys[key].metadata["check"], value)
        for key, value in given.items()
        if key in keys
    }
    problems += [
        Problem(f"{path}.{key}", "is no key of Safelight") for key in sorted({*given} - {*keys})
    ]
    # What is wrong is reported already; its default lets the rest be checked too.
    return section(**{name: value for name, value in values.items() if value is not None})


def _snake(key: str) -> str:
    return re.sub("[A-Z]", lambda found: "_" + found[0].lower(), key)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def _settings_problems(settings: Mapping[str, str], intake: Intake) -> list[Problem]:
    """Let the worker itself judge its settings, so that the two never disagree."""
    problems = [
        Problem(f"settings.{name}", "is set by the program itself")
        for name in sorted(GIVEN & {*settings})
    ]
    # Names of resources exist only later; any text stands for them.
    environment = {
        PREFIX + name.upper(): "x" for name in GIVEN if name not in ("ordering", "recipe")
    } | {PREFIX + name.upper(): value for name, value in settings.items() if name not in GIVEN}
    try:
        judged = Settings.from_environment(environment)
    except SettingsError as error:
        return problems + [
            Problem(f"settings.{found.path.removeprefix(PREFIX).lower()}", found.message)
            for found in error.problems
        ]
    if judged.sandbox_seconds >= intake.timeout:
        problems.append(
            Problem(
                "intake.timeout",
                f"must be more than the setting sandbox_seconds, which is {judged.sandbox_seconds}",
            )
        )
    room = intake.memory - OUTSIDE_SANDBOX_MEGABYTES
    if judged.sandbox_megabytes > room:
        problems.append(
            Problem(
                "intake.memory",
                f"{intake.memory} MB leave {room} MB for the sandbox, whose setting"
                f" sandbox_megabytes is {judged.sandbox_megabytes}",
            )
        )
    return problems


def _missing(found: Mapping[str, Any]) -> list[Problem]:
    problems = []
    if found["heavy"].enabled and "batch_image" not in found:
        problems.append(Problem("batchImage", "is not set; heavy work needs it (heavy.enabled)"))
    cost = found["cost"]
    if (cost.monthly_budget or cost.anomaly_dollars) and not cost.email:
        problems.append(Problem("cost.email", "is not set: nobody would be told"))
    return problems


def _conflicts(intake: Intake) -> list[Problem]:
    problems = []
    if intake.ordering is Ordering.FIFO:
        if intake.batch_size > FIFO_BATCH:
            problems.append(Problem("intake.batchSize", f"is at most {FIFO_BATCH} with fifo"))
        if intake.batch_window:
            problems.append(Problem("intake.batchWindow", "is possible with standard only"))
    elif intake.batch_size > FIFO_BATCH and intake.batch_window == 0:
        problems.append(
            Problem("intake.batchWindow", f"must be at least 1 for batches over {FIFO_BATCH}")
        )
    return problems


# --- from the engine --------------------------------------------------------------------------


def load() -> Config:
    """Read the configuration of the stack that is being deployed.

    Raises:
        pulumi.RunError: with every mistake; Pulumi shows it without a traceback.
    """
    try:
        return read(_gather(), stack=pulumi.get_stack())
    except ProblemsError as error:
        raise pulumi.RunError(error.message) from error


def _gather() -> dict[str, object]:
    """All keys of this project. ``pulumi.Config`` answers for known names only: a misspelt one
    would go unseen, so the two places it reads are read here.
    """
    everything = {**runtime_config.get_config_env(), **runtime_config.CONFIG.get()}
    prefix = f"{PROJECT}:"
    return {
        key.removeprefix(prefix): _decoded(key.removeprefix(prefix), value)
        for key, value in everything.items()
        if key.startswith(prefix)
    }


def _decoded(key: str, value: object) -> object:
    """Objects are handed over as JSON."""
    if key in _TEXTS or not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value  # reported as no map
