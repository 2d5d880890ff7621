"""``safelight simulate``: a deployment under a load, without AWS."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.entrypoints.cli import output
from worker.entrypoints.cli.parameters import Duration, Number, Percent
from worker.entrypoints.cli.target import DATA
from worker.prices import HOME

if TYPE_CHECKING:
    from worker.simulation.cost import SimulatedCost
    from worker.simulation.findings import Bottleneck, ChainStep
    from worker.simulation.model import Outcome

SCHEMA = "safelight.simulation/1"
ENOUGH = 300_000
"""Uploads that are simulated, unless the command says otherwise."""
_SPIKE = re.compile(r"(\d+(?:\.\d+)?)\s*x?")


class Times(click.ParamType[float]):
    """``10x`` or ``10``."""

    name = "times"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The factor.

        Raises:
            BadParameter: it is none.
        """
        if not isinstance(value, str):
            return value
        match = _SPIKE.fullmatch(value.strip())
        if match is None:
            self.fail(f"{value!r} is no factor like 10x", param, ctx)
        return float(match[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """The parsed options of the command line."""

    preset: str
    settings: tuple[str, ...]
    account: int | None
    durations: Path | None
    region: str
    steps: int
    weight: int | None
    faults: Path | None
    svg: Path | None


@click.command(name="simulate")
@click.option(
    "--images-per-day",
    type=Number(1, 1e10),
    default=10_000_000,
    metavar="N",
    help="Pictures uploaded a day, outside of a spike.  [default: 10,000,000]",
)
@click.option(
    "--spike", type=Times(), default=1.0, metavar="TIMES", help="10x: so many times the rate."
)
@click.option(
    "--for",
    "spike_seconds",
    type=Duration(),
    default="30m",
    show_default=True,
    metavar="TIME",
    help="How long the spike lasts.",
)
@click.option(
    "--steady",
    type=Duration(),
    metavar="TIME",
    help="How long the load is steady: without a spike 1h, before a spike 10m.",
)
@click.option(
    "--videos-per-day",
    type=Number(0, 1e9),
    default=0.0,
    metavar="N",
    help="Videos of a minute uploaded a day.  [default: 0]",
)
@click.option(
    "--failures",
    type=Percent(),
    default=0.0,
    metavar="PERCENT",
    help="Share of the tries that fail and succeed later.  [default: 0]",
)
@click.option(
    "--largest-owner",
    type=Percent(),
    default=0.0,
    metavar="PERCENT",
    help="Share of the uploads that belong to one owner.  [default: 0]",
)
@click.option(
    "--faults",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="What goes wrong meanwhile, as TOML: docs/scale.md.",
)
@click.option(
    "--preset",
    default="prod",
    show_default=True,
    metavar="NAME",
    help="The Pulumi configuration that is simulated.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change the configuration: intake.maximumConcurrency=700. Again for more.",
)
@click.option(
    "--account-concurrency",
    "account",
    type=click.IntRange(10, 1_000_000),
    metavar="N",
    help="Instances of all functions of the account.  [default: 1,000, as AWS gives]",
)
@click.option(
    "--durations",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="What `safelight tune` has measured.  [default: docs/durations.json]",
)
@click.option(
    "--region", default=HOME, show_default=True, metavar="REGION", help="Whose list prices."
)
@click.option(
    "--next",
    "steps",
    type=click.IntRange(1, 10),
    default=1,
    show_default=True,
    metavar="N",
    help="Bottlenecks to find: each is taken away, and the load is simulated again.",
)
@click.option(
    "--one-in",
    "weight",
    type=click.IntRange(1, 10_000),
    metavar="N",
    help="Simulate one upload in N, and as much of each limit."
    "  [default: so that about 300,000 are simulated]",
)
@click.option(
    "--seed", type=int, default=1, show_default=True, metavar="N", help="Of the random numbers."
)
@click.option(
    "--svg",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Draw queues and instances over time to FILE, .svg or .png.",
)
@click.option(
    "--validate",
    "loaded",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Simulate the uploads of a run of `safelight load` on the local stack (what --out has"
    " written), and compare.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=DATA,
    show_default=True,
    metavar="DIR",
    help="Folder of the local stack of that run: its logs say how long uploads took.",
)
@click.option(
    "--rules", "show_rules", is_flag=True, help="Print AWS's rules, with sources, and end."
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def command(
    *,
    images_per_day: float,
    spike: float,
    spike_seconds: float,
    steady: float | None,
    videos_per_day: float,
    failures: float,
    largest_owner: float,
    faults: Path | None,
    preset: str,
    settings: tuple[str, ...],
    account: int | None,
    durations: Path | None,
    region: str,
    steps: int,
    weight: int | None,
    seed: int,
    svg: Path | None,
    loaded: Path | None,
    data: Path,
    show_rules: bool,
    as_json: bool,
) -> None:
    """Simulate a preset under a load: waiting, instances, drops, cost, and the first bottleneck.

    Discrete events over the queues, the pipe, the functions and the machines that the Pulumi
    program declares, with measured durations and AWS's documented limits. docs/scale.md says what
    that is worth.
    """
    from worker.simulation import rules
    from worker.simulation.workload import DAY, SimulatedLoad

    if show_rules:
        _print_rules(rules.listed(), as_json=as_json)
        return
    if loaded is not None:
        _validate(loaded, data, seed=seed, as_json=as_json)
        return
    spiking = spike > 1
    load = SimulatedLoad(
        rate=images_per_day / DAY,
        seconds=steady or (600.0 if spiking else 3600.0),
        spike=spike,
        spike_seconds=spike_seconds if spiking else 0.0,
        videos=videos_per_day / DAY,
        failures=failures,
        largest_owner=largest_owner,
        seed=seed,
    )
    request = _Request(
        preset=preset,
        settings=settings,
        account=account,
        durations=durations,
        region=region,
        steps=steps,
        weight=weight,
        faults=faults,
        svg=svg,
    )
    _simulate(request, load, as_json=as_json)


def _simulate(asked: _Request, load: Any, *, as_json: bool) -> None:
    from worker import prices
    from worker.bench.page import check_picture
    from worker.domain.bill import Traffic
    from worker.infra import bill_design, checkout
    from worker.services import tuning_curve
    from worker.services.bill_month import Month
    from worker.simulation import chart, findings, rules, topology, workload
    from worker.simulation.cost import cost_of
    from worker.simulation.model import Simulation

    if asked.svg is not None:
        check_picture("--svg", asked.svg)
    faults = () if asked.faults is None else workload.read_faults(asked.faults)
    measured = asked.durations or checkout.folder().parent / "docs" / "durations.json"
    curve = tuning_curve.read(measured)
    price, need = prices.load(asked.region)
    design = bill_design.of_preset(asked.preset, asked.settings).design
    month = Month(
        design=design,
        traffic=Traffic(images_per_day=load.rate * workload.DAY),
        price=price,
        need=need,
    )
    rule = rules.load()
    stack = topology.of_preset(
        asked.preset,
        rule,
        settings=asked.settings,
        account_concurrency=asked.account,
        files=month.files,
    )
    service = workload.ServiceTimes.of_curve(curve, stack.memory)
    weight = asked.weight or load.weight(ENOUGH)
    found = Simulation(stack, load, service, rule, faults=faults, weight=weight).run()
    reasons = findings.causes(found)
    steps = tuple(findings.chain(found, rule, faults=faults, steps=asked.steps))
    cost = cost_of(found, design, price, need, curve)
    if asked.svg is not None:
        chart.draw(asked.svg, found, reasons)
    if as_json:
        output.print_json(_plain(found, reasons, steps, cost))
        return
    for line in _text(found, reasons, steps, cost):
        click.echo(line)


def _plain(
    found: Outcome,
    reasons: tuple[Bottleneck, ...],
    steps: tuple[ChainStep, ...],
    cost: SimulatedCost,
) -> dict[str, Any]:
    load = found.workload
    return {
        "schema": SCHEMA,
        "load": asdict(load),
        "topology": asdict(found.topology),
        "service": asdict(found.service),
        "seconds": found.seconds,
        "one_in": found.weight,
        "uploads": {
            "offered": found.offered,
            "rejected": found.rejected,
            "accepted": found.accepted,
            "dead": found.dead,
            "left": found.left,
        },
        "latency": {f"p{percent}": found.percentile(percent) for percent in (50, 90, 95, 99, 100)},
        "throughput": found.throughput,
        "waiting": {"most": found.most_waiting, "oldest_seconds": found.oldest},
        "function": {
            "calls": found.calls,
            "mean_batch": found.mean_batch,
            "cold": found.cold,
            "throttled": found.throttled,
            "mean_instances": found.busy,
            "most_instances": found.peak_instances,
        },
        "limits": [
            {
                "name": one.name,
                "units_per_upload": one.units,
                "capacity_first": one.first,
                "capacity_last": one.capacity,
                "peak": one.peak,
                "full_seconds": one.full_seconds,
                "refused": one.refused,
            }
            for one in found.limits
        ],
        "bottlenecks": [asdict(one) for one in reasons],
        "steps": [asdict(one) for one in steps],
        "jobs": None if found.jobs is None else asdict(found.jobs),
        "cost": asdict(cost),
        "samples": [asdict(one) for one in found.samples],
    }


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min"


def _text(
    found: Outcome,
    reasons: tuple[Bottleneck, ...],
    steps: tuple[ChainStep, ...],
    cost: SimulatedCost,
) -> Iterator[str]:
    load, stack = found.workload, found.topology
    spike = ""
    if load.spike_seconds:
        spike = f", {load.spike:g} times as many for {_span(load.spike_seconds)}"
    copy = f", one in {found.weight} of them" if found.weight > 1 else ""
    yield f"{stack.name}: {load.rate * 86_400:,.0f} uploads a day, {load.rate:,.1f} a second{spike}"
    yield f"simulated {_span(found.seconds)}: {found.offered:,} uploads{copy}, seed {load.seed}"
    yield ""
    yield from _figures(found)
    yield (
        f"cost        ${cost.million:,.2f} a million uploads, ${cost.window:,.0f} for these,"
        f" ${cost.month:,.0f} a month at this mean rate"
    )
    yield ""
    yield from _reasons(reasons, steps)


def _figures(found: Outcome) -> Iterator[str]:
    yield (
        f"accepted    {found.accepted:,}, {found.throughput:,.1f} a second; dead letters"
        f" {found.dead:,}, refused by the API {found.rejected:,},"
        f" under way at the end {found.left:,}"
    )
    ranks = ", ".join(f"p{rank} {_span(found.percentile(rank))}" for rank in (50, 90, 99))
    yield f"latency     {ranks}, longest {_span(found.percentile(100))}: from upload to record"
    yield f"waiting     at most {found.most_waiting:,} messages, the oldest {_span(found.oldest)}"
    yield (
        f"function    {found.busy:,.0f} instances on average, {found.peak_instances:,} at most;"
        f" {found.calls:,} calls of {found.mean_batch:.1f} uploads, {found.cold:,} starts"
    )
    for one in found.limits:
        grown = f", grown to {one.capacity:,.0f}" if one.capacity > one.first else ""
        full = f"; full in {one.full_seconds:,} seconds" if one.full_seconds else ""
        yield (
            f"{one.name:12}{one.peak:.0%} used in the fullest second, of {one.first:,.0f} units"
            f" a second{grown}{full}"
        )
    if found.jobs is None:
        return
    jobs = found.jobs
    yield (
        f"jobs        {jobs.done:,} of {jobs.asked:,} done, {jobs.failed:,} failed,"
        f" {jobs.reclaimed:,} attempts taken back; wait p50 {_span(jobs.wait_p50)},"
        f" longest {_span(jobs.wait_longest)}; Spot {jobs.spot_vcpus:,} vCPU at most,"
        f" on demand {jobs.overflow_vcpus:,}"
    )


def _reasons(reasons: tuple[Bottleneck, ...], steps: tuple[ChainStep, ...]) -> Iterator[str]:
    if not steps:
        yield "no bottleneck: uploads wait for nothing but their own work"
    for number, step in enumerate(steps, 1):
        one = step.bottleneck
        rank = "first bottleneck" if number == 1 else f"then, number {number}"
        allowed = f", {one.per_second:,.0f} uploads a second" if one.per_second < 1e7 else ""
        yield f"{rank}: {one.what}{allowed}"
        yield (
            f"    from {_span(one.since)} on, {one.share:.0%} of all waiting; the oldest"
            f" {_span(step.oldest)}, p50 {_span(step.p50)}, dead letters {step.dead:,}"
        )
        yield f"    {one.setting}: {one.advice}"
    for one in reasons[1:]:
        if one.share >= 0.01:
            yield f"also: {one.what}, {one.share:.0%} of all waiting, from {_span(one.since)} on"


def _validate(loaded: Path, data: Path, *, seed: int, as_json: bool) -> None:
    from worker.simulation import rules, validation

    found = validation.validate(
        validation.read_report(loaded),
        rules.load(),
        data=data,
        workers=validation.workers_of(data),
        seed=seed,
    )
    if as_json:
        figures = [{**asdict(one), "error": one.error} for one in found.figures]
        output.print_json({**asdict(found), "figures": figures, "good": found.good})
    else:
        service = found.service
        click.echo(
            f"{found.uploads:,} uploads, {found.workers} workers; an upload took them"
            f" {service.seconds:.2f} s, of which {service.overlap:.0%} beside the one before"
        )
        click.echo(f"{'':20}{'loaded':>10}{'simulated':>12}{'error':>8}")
        for one in found.figures:
            click.echo(f"{one.name:20}{one.loaded:10.2f}{one.simulated:12.2f}{one.error:8.0%}")
        share = f"{validation.ALLOWED:.0%}"
        said = f"within {share}" if found.good else f"not within {share}"
        click.echo(f"p50 and uploads a second are {said}")
    if not found.good:
        raise click.exceptions.Exit(1)


def _print_rules(found: Any, *, as_json: bool) -> None:
    if as_json:
        output.print_json([asdict(one) for one in found])
        return
    for one in found:
        click.echo(f"{one.name:22}{one.value:>12,.10g}  {one.kind:11} {one.of}; {one.source}")
