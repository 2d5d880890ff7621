"""Prices of AWS and assumptions about an object, read from the dated file ``prices.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from typing import Any, TypeVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What AWS charges, in US dollars; the file says for what, and where that stands."""

    list_request: float
    get_request: float
    put_request: float
    queue_request: float
    gigabyte_second: float
    invocation: float
    write_unit: float
    read_unit: float
    event: float
    transition: float
    vcpu_hour: float
    transfer_gigabyte: float
    invalidation_path: float
    rekognition_to_1_million: float
    rekognition_to_5_million: float
    rekognition_to_35_million: float
    rekognition_beyond: float
    standard_queue_request: float
    storage_month: float
    cache_hour: float
    cache_unit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """What handling one object needs; the file says how each was found."""

    seconds_fixed: float
    """A Lambda invocation's time for an object, apart from the engine."""
    seconds_per_megabyte: float
    gigabytes: float
    renditions: int
    write_units: float
    read_units: float
    batch: float
    transitions: float
    month_days: float
    classifier_seconds: float
    earlier_read_units: float
    stage_seconds: float
    stage_gigabytes: float
    stage_write_units: float
    label_write_units: float
    stage_read_units: float
    stage_requests: float
    escalated_events: float
    reviewed_events: float
    outbox_seconds: float
    outbox_gigabytes: float
    webhook_seconds: float
    webhook_gigabytes: float
    popular_days: float
    jxl_upgrade_saving: float
    jxl_upgrade_seconds: float
    avif_upgrade_saving: float
    avif_upgrade_seconds: float


_Table = TypeVar("_Table", Prices, Assumptions)


@cache
def load() -> tuple[Prices, Assumptions]:
    """Read the file."""
    found = _read()
    return _table(Prices, found["prices"]), _table(Assumptions, found["assumptions"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A line of the file."""

    name: str
    value: float
    usd: bool
    """Whether it is a price."""
    of: str
    """What it is."""
    source: str
    """Its source: a URL, or a file of Safelight."""
    noted: str
    """The day on which it was written down, ISO 8601."""


def figures() -> tuple[Figure, ...]:
    """All lines, prices first."""
    return tuple(
        Figure(name=name, usd=table == "prices", **{**line, "noted": str(line["noted"])})
        for table, lines in _read().items()
        for name, line in lines.items()
    )


def _read() -> dict[str, dict[str, dict[str, Any]]]:
    return tomllib.loads(resources.files("worker").joinpath("prices.toml").read_text("utf-8"))


def _table(kind: type[_Table], lines: dict[str, dict[str, Any]]) -> _Table:
    unknown = lines.keys() - {field.name for field in fields(kind)}
    if unknown:
        raise ValueError(f"prices.toml: {kind.__name__} has no {', '.join(sorted(unknown))}")
    return kind(**{name: line["value"] for name, line in lines.items()})
