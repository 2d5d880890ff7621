"""Comparisons of bills: levers, the steps from the naive design, commitments, and sensitivity."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from worker.domain.bill import FULL_VCPU, Bill, Design, Traffic
from worker.domain.errors import InputError
from worker.prices import GIGABYTE, Assumptions, Prices
from worker.services.bill import bill
from worker.services.bill_month import MEGABYTE, Month
from worker.services.tuning_curve import DurationCurve

SCREENED = 0.01
"""Share of the uploads that the tiers of moderation leave to Rekognition and a workflow
(docs/moderation.md). The naive design sends every upload to Rekognition."""
MODERATION_STATES = 2
"""States of the naive workflow for moderation: ask, decide."""
REACH_RATIO, REACH_COMPUTE, REACH_TRACING = 0.5, 5.0, 0.02
"""Goals: the bill as a share of the naive bill, US dollars of compute for a million pictures, and
tracing as a share of the bill."""
NAIVE = Design(
    architecture="x86_64",
    memory=FULL_VCPU,
    ordering="standard",
    batch=1,
    one_decode=False,
    moderated=1.0,
    workflow=1.0,
    originals="standard",
    glacier_after_days=0,
    access_logs=False,
    cache_gigabytes=0,
    baseline_vcpus=0,
    spot=0.0,
    private_network=False,
)
"""Nine variants of each upload, each decoded separately; Step Functions and Rekognition for
all of them; on-demand x86; everything in S3 Standard for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """All inputs of a bill."""

    design: Design
    traffic: Traffic
    price: Prices
    need: Assumptions
    durations: DurationCurve | None = None

    def bill(self, **changes: Any) -> Bill:
        """The bill of the design with some choices changed."""
        design = replace(self.design, **changes)
        return bill(design, self.traffic, self.price, self.need, self.durations)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lever:
    """One choice: its name and its two positions."""

    name: str
    on: str
    off: str
    changes_on: Mapping[str, Any]
    changes_off: Mapping[str, Any]

    def taken(self, design: Design) -> bool:
        """Whether the lever is on in the design."""
        return all(getattr(design, name) == value for name, value in self.changes_on.items())


def _lever(name: str, on: str, off: str, changes_on: Mapping[str, Any], **off_values: Any) -> Lever:
    return Lever(name=name, on=on, off=off, changes_on=changes_on, changes_off=off_values)


LEVERS: tuple[Lever, ...] = (
    _lever("processor", "arm64", "x86_64", {"architecture": "arm64"}, architecture="x86_64"),
    _lever("memory", "1,536 MB", "1,769 MB", {"memory": 1536}, memory=1769),
    _lever("SnapStart of delivery", "on", "off", {"snap_start": True}, snap_start=False),
    _lever("provisioned pollers", "none", "2", {"pollers": 0}, pollers=2),
    _lever("managed instances", "on", "off", {"managed": True}, managed=False),
    _lever("batches of the ingest function", "1", "10", {"batch": 1}, batch=10),
    _lever("Spot for jobs", "all", "none", {"spot": 1.0}, spot=0.0),
    _lever(
        "Compute Savings Plan, 1 year", "bought", "none", {"compute_plan": "year"}, compute_plan=""
    ),
    _lever(
        "Compute Savings Plan, 3 years",
        "bought",
        "none",
        {"compute_plan": "three"},
        compute_plan="",
    ),
    _lever("Database Savings Plan", "bought", "none", {"table_plan": True}, table_plan=False),
    _lever("CloudFront savings bundle", "bought", "none", {"edge_plan": True}, edge_plan=False),
    _lever(
        "capacity of the table",
        "provisioned",
        "on-demand",
        {"capacity": "provisioned"},
        capacity="on-demand",
    ),
    _lever(
        "near duplicates", "not looked for", "on", {"near_duplicates": False}, near_duplicates=True
    ),
    _lever(
        "originals",
        "Intelligent-Tiering",
        "Standard",
        {"originals": "tiering"},
        originals="standard",
    ),
    _lever("originals in IA at once", "on", "off", {"originals": "cold"}, originals="tiering"),
    _lever(
        "class named at upload",
        "on",
        "by lifecycle",
        {"tier_at_upload": True},
        tier_at_upload=False,
    ),
    _lever(
        "Glacier IR after 90 days", "on", "never", {"glacier_after_days": 90}, glacier_after_days=0
    ),
    _lever("files expire", "after 90 days", "never", {"rendition_days": 90}, rendition_days=0),
    _lever("second format at first view", "on", "at upload", {"lazy": True}, lazy=False),
    _lever("second format", "JPEG XL", "WebP", {"second_format": "jxl"}, second_format="webp"),
    _lever("AVIF where viewed", "none", "made", {"avif": ""}, avif="viewed"),
    _lever("AVIF of every upload", "none", "made", {"avif": ""}, avif="all"),
    _lever(
        "price class",
        "PriceClass_100",
        "PriceClass_All",
        {"price_class": "PriceClass_100"},
        price_class="PriceClass_All",
    ),
    _lever("flat-rate plan", "Premium", "none", {"flat_rate": True}, flat_rate=False),
    _lever("cache of hot files", "none", "5 GB", {"cache_gigabytes": 0}, cache_gigabytes=5),
    _lever("order of uploads", "standard", "fifo", {"ordering": "standard"}, ordering="fifo"),
    _lever("traces", "1 %", "100 %", {"trace_percent": 1.0}, trace_percent=100.0),
    _lever(
        "moderation in tiers",
        "none",
        "1 % asked about",
        {"moderated": 0.0, "workflow": 0.0},
        moderated=SCREENED,
        workflow=SCREENED,
    ),
    _lever("moderation of all", "none", "all asked about", {"moderated": 0.0}, moderated=1.0),
    _lever("workflow for all", "none", "4 states each", {"workflow": 0.0}, workflow=1.0),
    _lever(
        "one decode for all files", "on", "nine variants", {"one_decode": True}, one_decode=False
    ),
)
"""All levers; ``on`` is the cheaper position under most loads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeverEffect:
    """The effect of a lever."""

    name: str
    now: str
    """Its position in the design."""
    other: str
    change: float | None
    """US dollars a month that the other position adds; None if it is not possible."""
    share: float
    """The change as a share of the bill, 0 to 1; negative if the other position is cheaper."""
    why_not: str = ""


def effects(model: Model) -> tuple[LeverEffect, ...]:
    """Each lever alone, the greatest effect first.

    Raises:
        InputError: ``input_price``: a price that the design needs is not known.
    """
    base = model.bill().total
    found = [_effect(model, lever, base) for lever in LEVERS]
    return tuple(sorted(found, key=lambda one: -abs(one.change or 0.0)))


def _effect(model: Model, lever: Lever, base: float) -> LeverEffect:
    taken = lever.taken(model.design)
    now, other = (lever.on, lever.off) if taken else (lever.off, lever.on)
    changes = lever.changes_off if taken else lever.changes_on
    if not taken and not all(
        getattr(model.design, name) == value for name, value in lever.changes_off.items()
    ):
        now = "neither"
    try:
        change = model.bill(**changes).total - base
    except InputError as error:
        # No plan covers the load, or the other position needs a price that is unknown for this
        # region.
        return LeverEffect(
            name=lever.name, now=now, other=other, change=None, share=0.0, why_not=error.message
        )
    share = change / base if base else 0.0
    return LeverEffect(name=lever.name, now=now, other=other, change=change, share=share)


# --- the way from the naive design ---------------------------------------------------------------

STEPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Step Functions for what is escalated", ("workflow",)),
    ("moderation in tiers", ("moderated",)),
    ("one decode, files that pay", ("one_decode", "second_format", "lazy", "avif")),
    ("arm64", ("architecture", "memory")),
    ("Intelligent-Tiering, then Glacier", ("originals", "glacier_after_days", "tier_at_upload")),
    ("files expire", ("rendition_days",)),
    ("delivery", ("delivery", "price_class", "flat_rate")),
    ("table", ("capacity", "near_duplicates", "recovery")),
    ("Spot, and machines that wait", (
        "spot", "machines", "baseline_vcpus", "private_network", "zones",
    )),
    ("plans", (
        "compute_plan", "table_plan", "edge_plan", "managed", "snap_start", "pollers",
    )),
    ("order, cache, logs, watching", (
        "ordering", "batch", "cache_gigabytes", "access_logs", "access_log_days", "archive_days",
        "log_retention_days", "observed", "trace_percent",
    )),
)  # fmt: skip
"""The order in which choices of the naive design are replaced, and the fields that each step
replaces. Together the steps contain all fields of a design, so they lead from one bill to the
other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaterfallStep:
    """One bar of the waterfall."""

    name: str
    change: float
    """US dollars a month."""
    share: float
    """Share of the whole difference, 0 to 1; negative if the step increases the bill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BillWaterfall:
    """The steps from the naive design to this design, with moderation in both."""

    naive: float
    """US dollars a month."""
    steps: tuple[WaterfallStep, ...]
    ours: float

    @property
    def ratio(self) -> float:
        """The bill of this design divided by that of the naive design."""
        return self.ours / self.naive if self.naive else 0.0


def like_for_like(design: Design) -> Design:
    """The design with moderation in tiers if it has none, because the naive design moderates
    too."""
    return replace(
        design,
        moderated=design.moderated or SCREENED,
        workflow=design.workflow or SCREENED,
    )


def waterfall(model: Model, *, moderated: bool = True, orchestrated: bool = True) -> BillWaterfall:
    """Replace the choices of the naive design step by step.

    Args:
        moderated: False: neither design moderates.
        orchestrated: False: without moderation, the naive design uses no workflow for its variants.
    """
    goal = like_for_like(model.design)
    current = NAIVE
    if not moderated:
        states = model.need.naive_transitions
        left = (states - MODERATION_STATES) / states if orchestrated else 0.0
        goal = replace(goal, moderated=0.0, workflow=0.0)
        current = replace(current, moderated=0.0, workflow=left)
    naive = replace(model, design=current).bill().total
    before, changes = naive, []
    for name, moved in STEPS:
        current = replace(current, **{one: getattr(goal, one) for one in moved})
        after = replace(model, design=current).bill().total
        changes.append((name, after - before))
        before = after
    whole = naive - before
    steps = tuple(
        WaterfallStep(name=name, change=change, share=-change / whole if whole else 0.0)
        for name, change in changes
        if change
    )
    return BillWaterfall(naive=naive, steps=steps, ours=before)


# --- goals ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """A goal and the computed value."""

    name: str
    found: float
    goal: float
    note: str = ""

    @property
    def met(self) -> bool:
        """Whether the goal is met: lower is better for all goals."""
        return self.found <= self.goal


def _durations(model: Model) -> str:
    """The source of the durations, for people."""
    if model.durations is None:
        return "assumed durations"
    measured = model.durations.photos.bytes / MEGABYTE
    like = 0.5 <= measured / (model.traffic.megabytes or math.inf) <= 2
    return "measured durations" if like else f"scaled from photos of {measured:.3g} MB"


def _on_machines(model: Model, where: str) -> str:
    """The part of the durations that managed instances are billed for, for people."""
    curve = model.durations
    if curve is None or curve.at(model.design.memory).cpu_seconds is None:
        return where
    return f"processor time of {where}"


def reach(model: Model) -> tuple[Reach, ...]:
    """The goals with their computed values; empty for a load without pictures."""
    found = model.bill()
    if not found.images:
        return ()
    where = _durations(model)
    both = waterfall(model)
    plain = waterfall(model, moderated=False)
    bare = waterfall(model, moderated=False, orchestrated=False)
    return (
        Reach(
            name="bill ÷ naive design",
            found=both.ratio,
            goal=REACH_RATIO,
            note="pictures moderated in both, here in tiers",
        ),
        Reach(
            name="the same, nothing moderated in either",
            found=plain.ratio,
            goal=REACH_RATIO,
            note="Step Functions make the naive one's variants",
        ),
        Reach(
            name="the same, nothing moderated and no workflow in either",
            found=bare.ratio,
            goal=REACH_RATIO,
        ),
        Reach(
            name="compute of a million pictures, USD",
            found=found.compute_of_a_million,
            goal=REACH_COMPUTE,
            note=where,
        ),
        Reach(
            name="the same on managed instances, USD",
            found=model.bill(managed=True).compute_of_a_million,
            goal=REACH_COMPUTE,
            note=f"{_on_machines(model, where)}, machines {model.need.provisioned_use:.0%} in use",
        ),
        Reach(
            name="the same with a plan of a year, USD",
            found=model.bill(managed=True, compute_plan="year").compute_of_a_million,
            goal=REACH_COMPUTE,
        ),
        Reach(
            name="tracing ÷ bill",
            found=model.bill(trace_percent=1.0).tracing,
            goal=REACH_TRACING,
            note="if 1 % is sampled"
            + (f"; here {percent:g} %" if (percent := model.design.trace_percent) != 1 else ""),
        ),
    )


# --- commitments ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitment:
    """A savings plan, with the commitment and its break-even."""

    name: str
    hourly: float
    """US dollars an hour to commit: the usage of the quietest hour, at the plan's price."""
    saves: float
    """US dollars a month that the commitment saves."""
    break_even: float
    """Share of the commitment, 0 to 1, that must be used for the plan to pay."""
    note: str


def commitments(model: Model) -> tuple[Commitment, ...]:
    """Plans for this design, sized by its quietest hour."""
    price, need = model.price, model.need
    plain = model.bill(compute_plan="", table_plan=False, edge_plan=False)
    hours = need.month_hours
    duration = sum(one.usd for one in plain.lines if one.unit == "GB-s") / hours
    machines = plain.named("EC2, baseline") / hours
    units = plain.named("DynamoDB, writes", "DynamoDB, reads") / hours
    # Machines that always run are also in use in the quietest hour.
    found = [
        _commitment(
            f"Compute Savings Plan, {term}, for {what}", usd, off, hours, f"{off:.0%} less; {note}"
        )
        for term, lambda_off, machine_off in (
            ("1 year", price.lambda_plan_year, price.machine_plan_year),
            ("3 years", price.lambda_plan_three, price.machine_plan_three),
        )
        for what, usd, off, note in (
            ("Lambda", duration * need.trough, lambda_off, "duration only, never calls"),
            ("machines", machines, machine_off, "the baseline"),
        )
    ]
    found.append(
        _commitment(
            "Database Savings Plan, 1 year",
            units * need.trough,
            price.table_plan,
            hours,
            f"{price.table_plan:.0%} less; on demand",
        )
    )
    # This commitment is per month, so the quietest hour does not matter.
    edge = plain.named("CloudFront, to ", "CloudFront, requests") / hours
    found.append(
        _commitment(
            "CloudFront Security Savings Bundle, 1 year",
            edge,
            price.edge_plan,
            hours,
            f"{price.edge_plan:.0%} less; by the month",
        )
    )
    return tuple(one for one in found if one.hourly)


def _commitment(name: str, usd: float, off: float, hours: float, note: str) -> Commitment:
    """A plan for an hourly amount at list price, with its discount."""
    return Commitment(
        name=name,
        hourly=usd * (1 - off),
        saves=usd * off * hours,
        break_even=1 - off,
        note=note,
    )


def views_for_avif(model: Model) -> float:
    """Least number of views of a file for which making it as AVIF at its first view pays."""
    need, price = model.need, model.price
    seconds = need.seconds_fixed + need.second_seconds
    month = Month(design=model.design, traffic=model.traffic, price=price, need=need)
    gigabytes = month.delivery_gigabytes
    making = seconds * gigabytes * price.gigabyte_second + price.invocation
    making += price.put_request + price.get_request + price.write_unit
    saved = (month.view_bytes - need.avif_view) / GIGABYTE * price.transfer_gigabyte
    return making / saved if saved > 0 else math.inf


def provisioned_break_even(price: Prices) -> float:
    """Share of a provisioned write unit that must be used for it to cost no more than on demand."""
    return price.write_capacity_hour / (3600 * price.write_unit)


# --- sensitivity ---------------------------------------------------------------------------------

NEEDS: tuple[tuple[str, str, float, float], ...] = (
    ("seconds of the function", "seconds_per_megabyte", 0.5, 2.0),
    ("bytes of a view", "webp_view", 0.5, 2.0),
    ("bytes of files", "jpeg_bytes", 0.5, 2.0),
    ("how unlike the views of pictures are", "view_skew", 0.3, 10.0),
    ("viewers outside Europe and North America", "viewers_elsewhere", 0.0, 2.5),
    ("write units of an upload", "write_units", 0.5, 1.6),
    ("bytes of logs", "log_bytes", 0.5, 5.0),
    ("instances that start", "cold_share", 0.2, 10.0),
    ("bytes and number of spans", "spans", 0.5, 5.0),
    ("events of an upload", "upload_events", 1.0, 2.0),
    ("size of a record", "record_bytes", 0.5, 2.0),
    ("machines in use", "provisioned_use", 0.6, 1.4),
)
"""Assumptions with their least and greatest values, as multiples of the assumed value."""
LOADS: tuple[tuple[str, str, float, float], ...] = (
    ("uploads a day", "images_per_day", 0.5, 2.0),
    ("size of an upload", "megabytes", 0.5, 4.0),
    ("views of an upload", "views", 0.33, 5.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Swing:
    """The effect of an uncertain assumption on the bill."""

    name: str
    low: str
    high: str
    usd_low: float
    """The bill at the least value."""
    usd_high: float

    @property
    def swing(self) -> float:
        """US dollars between the two."""
        return abs(self.usd_high - self.usd_low)


def sensitivity(model: Model) -> tuple[Swing, ...]:
    """The effect of each uncertain assumption, the greatest swing first."""

    def need(name: str) -> Callable[[float], Model]:
        def moved(factor: float) -> Model:
            changes: dict[str, Any] = {name: getattr(model.need, name) * factor}
            return replace(model, need=replace(model.need, **changes))

        return moved

    def load(name: str) -> Callable[[float], Model]:
        def moved(factor: float) -> Model:
            changes: dict[str, Any] = {name: getattr(model.traffic, name) * factor}
            return replace(model, traffic=replace(model.traffic, **changes))

        return moved

    found = [
        Swing(
            name=name,
            low=f"x {low:g}",
            high=f"x {high:g}",
            usd_low=move(low).bill().total,
            usd_high=move(high).bill().total,
        )
        for rows, kind in ((NEEDS, need), (LOADS, load))
        for name, field, low, high in rows
        for move in (kind(field),)
    ]
    return tuple(sorted((one for one in found if one.swing), key=lambda one: -one.swing))


def choices() -> frozenset[str]:
    """Names of all choices of a design."""
    return frozenset(one.name for one in fields(Design))
