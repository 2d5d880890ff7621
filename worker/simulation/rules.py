"""How AWS behaves under load, as data: ``rules.toml`` has each figure with its source."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("rules.toml")
KINDS = ("documented", "assumed")


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsRule:
    """One figure."""

    name: str
    value: float
    of: str
    """Description of the rule."""
    kind: str
    """``documented`` or ``assumed``."""
    source: str
    """Where it stands; of an assumption, what it was chosen by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Every figure by its name; ``rules.toml`` says what each one is."""

    source_start: float
    source_ramp: float
    source_most: float
    poller_invocations: float
    poller_ramp: float
    poller_most: float
    scale_in_seconds: float
    instances_per_second: float
    instances_at_once: float
    account_concurrency: float
    instance_idle_seconds: float
    in_flight: float
    group_scan: float
    queue_seconds: float
    pipe_most: float
    pipe_account: float
    pipe_seconds: float
    notify_seconds: float
    prefix_writes: float
    split_seconds: float
    split_use: float
    partition_writes: float
    warm_writes: float
    warm_growth: float
    warm_seconds: float
    table_writes: float
    follow_seconds: float
    retry_wait: float
    submits_per_second: float
    machine_seconds: float
    machine_vcpus: float
    reclaims_per_hour: float


@cache
def listed() -> tuple[AwsRule, ...]:
    """All figures, in the order of the file."""
    with FILE.open("rb") as file:
        found = tomllib.load(file)
    return tuple(
        AwsRule(
            name=name,
            value=float(one["value"]),
            of=one["of"],
            kind=one["kind"],
            source=one["source"],
        )
        for name, one in found.items()
    )


def load() -> Rules:
    """The figures of this version."""
    by_name = {one.name: one.value for one in listed()}
    return Rules(**{one.name: by_name[one.name] for one in fields(Rules)})
