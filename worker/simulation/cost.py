"""The cost of a simulated load: the bill of a month, with the simulated batches and cold starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from worker.domain.bill import Design, Traffic
from worker.prices import Assumptions, Prices
from worker.services.bill import bill
from worker.services.tuning_curve import DurationCurve
from worker.simulation.model import Outcome
from worker.simulation.workload import DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedCost:
    """US dollars at list prices."""

    month: float
    """The first month at the mean rate of the simulated time."""
    million: float
    """Of a million uploads."""
    window: float
    """Of the uploads that were simulated."""
    groups: Mapping[str, float]
    """Of a million uploads, by group of the bill."""


def cost_of(
    found: Outcome,
    design: Design,
    price: Prices,
    need: Assumptions,
    curve: DurationCurve,
) -> SimulatedCost:
    """Price a simulation.

    Args:
        design: of the preset; its batches become those that were simulated.
    """
    calls = max(found.calls, 1)
    rate = found.accepted / found.seconds
    priced = bill(
        replace(design, batch=max(1, round(found.mean_batch))),
        Traffic(
            images_per_day=rate * DAY,
            videos_per_day=found.workload.videos * DAY,
        ),
        price,
        replace(need, cold_share=found.cold / calls),
        curve,
    )
    each = priced.total / priced.images if priced.images else 0.0
    return SimulatedCost(
        month=priced.total,
        million=each * 1e6,
        window=each * found.accepted,
        groups={
            group: sum(line.usd for line in lines) / priced.images * 1e6 if priced.images else 0.0
            for group, lines in priced.groups()
        },
    )
