"""Prices of AWS and assumptions about an object, read from the dated file ``prices.toml``.

A price is of one region. The file has all prices of :data:`HOME`; another region has those that
differ, and is refused unless it has each price that is not the same everywhere. Some prices fall
with the amount of a month: :meth:`Prices.tiers`.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from difflib import get_close_matches
from functools import cache
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

from worker.domain.errors import ConfigurationError, InputError, Problem, ProblemsError

FILE = Path(str(resources.files("worker").joinpath("prices.toml")))
HOME = "us-east-1"
"""The region that all prices are known of."""
SHARES = frozenset(
    {
        "managed_share", "spot_share", "lambda_plan_year", "lambda_plan_three",
        "machine_plan_year", "machine_plan_three", "table_plan", "edge_plan",
    }
)  # fmt: skip
"""Prices that are a share of another one, 0 to 1."""
MOST = 1e6
"""US dollars: a greater price of one's own is a mistake, and makes sums that no number holds."""
STALE_DAYS = 120
"""A price that was noted longer ago is worth a warning: AWS changes some every few months."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """AWS's prices in US dollars; the file describes each with its source."""

    list_request: float
    get_request: float
    put_request: float
    cold_put_request: float
    cold_get_request: float
    cold_retrieval: float
    tiering_transition: float
    glacier_transition: float
    glacier_retrieval: float
    tiering_object: float
    storage_month: float
    cold_month: float
    glacier_month: float
    queue_request: float
    standard_queue_request: float
    gigabyte_second: float
    gigabyte_second_x86: float
    invocation: float
    snapshot_second: float
    snapshot_restore: float
    poller_hour: float
    managed_share: float
    write_unit: float
    read_unit: float
    write_capacity_hour: float
    read_capacity_hour: float
    table_month: float
    recovery_month: float
    event: float
    archive_gigabyte: float
    archive_month: float
    pipe_request: float
    transition: float
    vcpu_hour: float
    vcpu_hour_x86: float
    spot_share: float
    endpoint_hour: float
    transfer_gigabyte: float
    transfer_gigabyte_asia: float
    edge_request: float
    edge_request_elsewhere: float
    edge_function: float
    invalidation_path: float
    flat_rate_month: float
    rekognition: float
    log_gigabyte: float
    log_month: float
    metric_month: float
    alarm_month: float
    dashboard_month: float
    span_gigabyte: float
    cache_hour: float
    cache_unit: float
    lambda_plan_year: float
    lambda_plan_three: float
    machine_plan_year: float
    machine_plan_three: float
    table_plan: float
    edge_plan: float
    region: str = HOME
    above: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    """By the name of a price: amounts of a month above which each further one costs less, and what
    it costs then."""

    def tiers(self, name: str) -> tuple[tuple[float, float, float], ...]:
        """The steps of a price: from, up to, and US dollars for each one between."""
        steps = ((0.0, float(getattr(self, name))), *self.above.get(name, ()), (math.inf, 0.0))
        return tuple((low, high, usd) for (low, usd), (high, _) in pairwise(steps))

    def usd(self, name: str, amount: float) -> float:
        """The price of a month's amount of one resource, tier by tier."""
        return sum(
            (min(amount, high) - low) * usd for low, high, usd in self.tiers(name) if amount > low
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """The resources for handling one object; the file describes how each was found."""

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
    reviewed_share: float
    outbox_seconds: float
    outbox_gigabytes: float
    webhook_seconds: float
    webhook_gigabytes: float
    popular_days: float
    jxl_upgrade_saving: float
    jxl_upgrade_seconds: float
    avif_upgrade_saving: float
    avif_upgrade_seconds: float
    jpeg_seconds_per_megabyte: float
    jxl_seconds_per_megabyte: float
    avif_seconds_per_megabyte: float
    naive_seconds_per_megabyte: float
    naive_files: float
    naive_transitions: float
    second_seconds: float
    second_files: float
    jpeg_bytes: float
    webp_bytes: float
    jxl_bytes: float
    avif_bytes: float
    jpeg_view: float
    webp_view: float
    jxl_view: float
    avif_view: float
    modern_clients: float
    view_skew: float
    delivery_seconds: float
    viewers_europe: float
    viewers_elsewhere: float
    cold_share: float
    init_seconds: float
    group_seconds: float
    group_gigabytes: float
    outbox_batch: float
    upload_events: float
    event_bytes: float
    ledger_writes: float
    ledger_seconds: float
    record_bytes: float
    log_bytes: float
    access_log_bytes: float
    spans: float
    span_bytes: float
    alarms: float
    metrics: float
    month_hours: float
    provisioned_use: float
    trough: float
    video_vcpu_seconds: float
    video_files: float


GIGABYTE = 2**30
"""Bytes. AWS bills storage and transfer by it (Amazon S3 pricing, "Storage"), and Lambda's memory
by 1,024 MB (AWS Lambda pricing, "Duration cost")."""


@cache
def load(region: str = HOME) -> tuple[Prices, Assumptions]:
    """Read the file.

    A price that the file does not have for the region is no number (NaN): what needs it must refuse
    to go on, which :func:`known` does.

    Raises:
        InputError: ``input_region``: the file has no prices of this region.
    """
    lines = _lines(region)
    names = [one.name for one in fields(Prices) if one.name not in ("region", "above")]
    _check("prices", lines, names)
    price = Prices(
        **{name: float(lines[name]["value"]) if name in lines else math.nan for name in names},
        region=region,
        above={
            name: tuple((float(low), float(usd)) for low, usd in line["above"])
            for name, line in lines.items()
            if "above" in line
        },
    )
    needs = _read()["assumptions"]
    _check("assumptions", needs, [one.name for one in fields(Assumptions)])
    return price, Assumptions(**{name: line["value"] for name, line in needs.items()})


def known(price: Prices, name: str) -> float:
    """The price of a name.

    Raises:
        InputError: ``input_price``: the file does not have it for this region.
    """
    found = float(getattr(price, name))
    if math.isnan(found):
        raise InputError(
            f"prices of {price.region} are not known: {', '.join(unknown(price))}. Give them with "
            f"--prices, take those of {HOME} with --fill, or read AWS's price list by "
            f"`safelight cost prices update --region {price.region}`",
            code="input_price",
        )
    return found


def unknown(price: Prices) -> tuple[str, ...]:
    """Names of the prices that are not known."""
    numbers = (one.name for one in fields(Prices) if one.name not in ("region", "above"))
    return tuple(name for name in numbers if math.isnan(getattr(price, name)))


def filled(price: Prices) -> Prices:
    """The prices, with those of :data:`HOME` where they are not known: a guess, to be told."""
    home, names = load()[0], unknown(price)
    values: dict[str, Any] = {name: getattr(home, name) for name in names}
    above = {name: steps for name, steps in home.above.items() if name in names}
    return replace(price, above={**price.above, **above}, **values)


def regions() -> tuple[str, ...]:
    """Those that the file has prices of, the one with all of them first."""
    return (HOME, *_read().get("regions", {}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A line of the file."""

    name: str
    value: float
    usd: bool
    """Whether it is a price."""
    of: str
    """The meaning of the price."""
    source: str
    """Its source: a URL, or a file of Safelight."""
    noted: str
    """The day on which it was written down, ISO 8601."""
    seen: str = ""
    """Where a copy of AWS's list or documentation showed a price; empty if it is from memory."""
    offer: str = ""
    """The offer of AWS's price list that has the price; empty if it is compared by hand."""
    usage: str = ""
    """Its usage type there, without the region's prefix."""
    everywhere: bool = False
    """Whether a price is the same in every region."""
    above: tuple[tuple[float, float], ...] = ()


def figures(region: str = HOME) -> tuple[Figure, ...]:
    """All lines, prices first.

    Raises:
        InputError: ``input_region``.
    """
    return tuple(
        Figure(
            name=name,
            usd=usd,
            **{
                **line,
                "noted": str(line["noted"]),
                "above": tuple(map(tuple, line.get("above", ()))),
            },
        )
        for usd, lines in ((True, _lines(region)), (False, _read()["assumptions"]))
        for name, line in lines.items()
    )


def age(today: date, region: str = HOME) -> tuple[int, str]:
    """Days since the oldest price was noted, and its name. Negative if the clock is behind it.

    Raises:
        InputError: ``input_region``.
    """
    oldest = min((one for one in figures(region) if one.usd), key=lambda one: one.noted)
    return (today - date.fromisoformat(oldest.noted)).days, oldest.name


def warning(today: date, region: str = HOME) -> str:
    """A note about old prices; empty if there are none.

    Raises:
        InputError: ``input_region``.
    """
    days, name = age(today, region)
    if days < 0:
        return f"the clock says {today}, before the price {name} was noted: is it right?"
    if days <= STALE_DAYS:
        return ""
    return (
        f"prices are up to {days} days old ({name}); "
        f"`safelight cost prices update` reads AWS's list"
    )


def own_prices(price: Prices, text: str, subject: str) -> Prices:
    """Prices with some replaced by those of a TOML text: ``put_request = 4e-6``.

    A price that is given replaces all steps of the listed one.

    Args:
        text: of names of prices and US dollars.
        subject: what errors call it.

    Raises:
        ProblemsError: with every mistake: an unknown name, what is no number, a price below 0 or
            above ``MOST``, a share above 1.
        ConfigurationError: it is no TOML.
    """
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{subject}: {error}") from error
    names = {one.name for one in fields(Prices)} - {"region", "above"}
    problems = [
        Problem(name, said) for name, value in given.items() if (said := _wrong(name, value, names))
    ]
    if problems:
        raise ProblemsError(subject, tuple(problems))
    values: dict[str, Any] = {name: float(value) for name, value in given.items()}
    above = {name: steps for name, steps in price.above.items() if name not in given}
    return replace(price, above=above, **values)


def _wrong(name: str, value: object, names: set[str]) -> str:
    if name not in names:
        near = get_close_matches(name, names, n=1)
        return f"is no price{f'; did you mean {near[0]}?' if near else ''}"
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return "must be a number of US dollars"
    if name in SHARES:
        return "" if 0 <= value <= 1 else "is a share: must be from 0 to 1"
    return "" if 0 <= value <= MOST else f"must be from 0 to {MOST:,.0f} US dollars"


def _lines(region: str) -> dict[str, dict[str, Any]]:
    """Lines of all prices of a region that the file has."""
    found = _read()
    lines: dict[str, dict[str, Any]] = found["prices"]
    if region == HOME:
        return lines
    elsewhere = found.get("regions", {}).get(region)
    if elsewhere is None:
        there = ", ".join(regions())
        raise InputError(
            f"there are no prices of {region!r}, only of {there}; "
            f"`safelight cost prices update --region` reads those of others from AWS's price list",
            code="input_region",
        )
    own = ("value", "above", "noted", "seen")
    shared = {
        name: line if line.get("everywhere") else {**_without(line, own), **elsewhere[name]}
        for name, line in lines.items()
        if line.get("everywhere") or name in elsewhere
    }
    _check(f"regions.{region}", elsewhere, list(lines))
    return shared


def _without(line: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name not in names}


def _check(table: str, lines: Mapping[str, Any], names: list[str]) -> None:
    unknown = lines.keys() - set(names)
    if unknown:
        raise ConfigurationError(f"prices.toml: {table} has no {', '.join(sorted(unknown))}")


@cache
def _read() -> dict[str, Any]:
    return tomllib.loads(FILE.read_text("utf-8"))
