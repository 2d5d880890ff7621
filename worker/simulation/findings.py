"""Finds the bottlenecks of a simulation, and the settings that move them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from worker.simulation import model
from worker.simulation.model import Outcome, Simulation
from worker.simulation.rules import Rules
from worker.simulation.topology import Topology
from worker.simulation.workload import ServiceTimes, SimulatedFault

LEAST_WAITING = 0.05
"""Seconds that an upload waits on average; below it nothing is called a bottleneck."""
ROOM = 1.25
"""Of what the peak needs, so that a queue that has grown gets shorter again."""
API = "api"
MOST_SETTING = 1000
"""Largest value of ``intake.maximumConcurrency``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bottleneck:
    """Something that uploads waited for."""

    cause: str
    what: str
    """In words."""
    since: float
    """Seconds of the simulation at which the waiting began."""
    waited: float
    """Upload-seconds."""
    share: float
    """Of all waiting."""
    per_second: float
    """Uploads a second that it allows; infinite if it is no rate."""
    setting: str
    """The setting that moves it."""
    advice: str
    """To what, and what else to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainStep:
    """A bottleneck, and what is left when it and all before it are gone."""

    bottleneck: Bottleneck
    oldest: float
    """Seconds: the longest wait with it."""
    dead: int
    """Dead letters with it."""
    p50: float
    p99: float


def causes(found: Outcome) -> tuple[Bottleneck, ...]:
    """Everything that uploads waited for, the most first."""
    total = sum(found.waits.seconds.values())
    if total <= LEAST_WAITING * max(found.accepted, 1):
        return ()
    allowed = capacities(found.topology, found.service)
    allowed.update({one.name: one.first / one.units for one in found.limits})
    return tuple(
        Bottleneck(
            cause=cause,
            what=_WORDS.get(cause, cause),
            since=found.waits.first[cause],
            waited=waited,
            share=waited / total,
            per_second=allowed.get(cause, math.inf),
            **_advice(cause, found),
        )
        for cause, waited in sorted(found.waits.seconds.items(), key=lambda one: -one[1])
        if waited
    )


def capacities(topology: Topology, service: ServiceTimes) -> dict[str, float]:
    """Uploads a second that each part allows when it works without a pause."""
    found = {
        model.SOURCE: topology.source.most / service.seconds,
        model.RESERVED if topology.reserved else model.ACCOUNT: topology.instances
        / service.seconds,
    }
    if topology.pipe:
        pipe = topology.pipe
        found[model.PIPE] = pipe.scaling.most * pipe.batch / pipe.seconds
    if topology.requests_per_second:
        found[API] = topology.requests_per_second
    return found


_WORDS: Mapping[str, str] = {
    model.SOURCE: "invocations that the queue may make at the same time",
    model.RAMP: "the event source adds invocations minute by minute",
    model.ACCOUNT: "instances that all functions of the account may have",
    model.RESERVED: "instances that are kept for the ingest function",
    model.NEW: "new instances of a function a second",
    model.PIPE: "executions of the pipe at the same time",
    model.IN_FLIGHT: "messages under way in a queue",
    model.FAULT: "uploads that failed and come back later",
    model.DELIVERY: "writes a second to the delivery bucket",
    model.CATALOG: "write units a second of the catalog's table",
    model.STATUSES: "write units a second of a status in its index",
    model.OWNER: "write units a second of one owner in the index of owners",
    model.GROUPS: "uploads of one object, one after the other",
    model.STOPPED: "the event source is stopped",
    "postponed": "uploads that no time was left for in their call",
}


def _needed(found: Outcome) -> int:
    """Instances for the peak, with some room."""
    return math.ceil(found.workload.peak * found.service.seconds * ROOM / 10) * 10


def _source(found: Outcome) -> tuple[str, str]:
    needed, peak = _needed(found), found.workload.peak
    pollers = math.ceil(needed / 10)
    if found.topology.provisioned:
        return "intake.maximumPollers", f"{pollers:,} for {peak:,.0f} uploads a second"
    if needed <= MOST_SETTING:
        return "intake.maximumConcurrency", f"{needed:,} for {peak:,.0f} uploads a second"
    return (
        "intake.minimumPollers, intake.maximumPollers",
        f"{needed:,} invocations are more than intake.maximumConcurrency allows; {pollers:,}"
        " pollers make them",
    )


def _account(found: Outcome) -> tuple[str, str]:
    return (
        "quota Concurrent executions (lambda, L-B99A9384)",
        f"ask AWS for {_needed(found):,} and more; `safelight infra preflight` has the command",
    )


def _ramp(found: Outcome) -> tuple[str, str]:
    if found.topology.provisioned:
        least = math.ceil(_needed(found) / 10)
        text = f"{least:,} of them are enough for the peak from its first second on"
        return "intake.minimumPollers", text
    least = max(2, math.ceil(found.workload.rate * found.service.seconds * ROOM / 10))
    return (
        "intake.minimumPollers",
        f"{least:,} provisioned pollers make the calls of the steady load, and add 1,000 calls a"
        " minute in place of 300",
    )


def _delivery(found: Outcome) -> tuple[str, str]:
    needed = found.workload.peak * found.topology.files
    return (
        "no setting: S3 makes two partitions of one after 30 to 60 minutes of such a rate",
        f"before a planned peak ask AWS to partition the delivery bucket for {needed:,.0f} writes"
        " a second; a recipe with fewer files needs fewer",
    )


def _catalog(found: Outcome) -> tuple[str, str]:
    needed = math.ceil(found.workload.peak * model.TABLE_UNITS * ROOM / 100) * 100
    table = found.topology.table
    if table is not None and not table.on_demand:
        return "catalog.maximumWrites", f"{needed:,}, and catalog.minimumWrites before the peak"
    return (
        "warm throughput of the table",
        f"warm it for {needed:,} write units a second before the peak; above 40,000 ask AWS first",
    )


_ADVICE: Mapping[str, Callable[[Outcome], tuple[str, str]]] = {
    model.SOURCE: _source,
    model.RAMP: _ramp,
    model.ACCOUNT: _account,
    model.RESERVED: lambda found: ("intake.reservedConcurrency", f"{_needed(found):,}"),
    model.NEW: lambda _found: ("provisioned concurrency", "AWS does not raise this rate"),
    model.PIPE: lambda _found: (
        "intake.ordering",
        "`standard` needs no pipe; or ask AWS for more executions of pipes",
    ),
    model.IN_FLIGHT: lambda _found: ("quota of SQS", "ask AWS for more than 120,000 under way"),
    model.DELIVERY: _delivery,
    model.CATALOG: _catalog,
    model.STATUSES: lambda _found: (
        "STATUS_SHARDS of the catalog's schema",
        "its code, not a setting: more shards make lists of a status dearer",
    ),
    model.GROUPS: lambda _found: (
        "intake.ordering",
        "`standard` handles uploads of one object at once, and the catalog keeps the newest",
    ),
    model.OWNER: lambda _found: (
        "no setting",
        "give the uploads of so large an owner several names",
    ),
}


def _advice(cause: str, found: Outcome) -> dict[str, str]:
    advise = _ADVICE.get(cause)
    setting, advice = advise(found) if advise else ("none", "it ends with its fault")
    return {"setting": setting, "advice": advice}


def chain(
    first: Outcome,
    rules: Rules,
    *,
    faults: tuple[SimulatedFault, ...] = (),
    steps: int,
) -> Iterator[ChainStep]:
    """The following bottlenecks: each bottleneck is removed, and the load is simulated again.

    Args:
        steps: most of them; the first needs no further simulation.
    """
    found, lifted = first, frozenset[str]()
    for _ in range(steps):
        all_of_them = [one for one in causes(found) if one.cause in _ADVICE]
        if not all_of_them:
            return
        worst = all_of_them[0]
        yield ChainStep(
            bottleneck=worst,
            oldest=found.oldest,
            dead=found.dead,
            p50=found.percentile(50),
            p99=found.percentile(99),
        )
        lifted |= {worst.cause}
        found = Simulation(
            first.topology,
            first.workload,
            first.service,
            rules,
            faults=faults,
            lifted=lifted,
            weight=first.weight,
        ).run()
