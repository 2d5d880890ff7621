"""``safelight chaos``: lets things go wrong in a local stack, on purpose."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.entrypoints.cli import output
from worker.entrypoints.cli.parameters import Number
from worker.entrypoints.cli.target import data_option, find_target, json_option, local_only

if TYPE_CHECKING:
    from worker.job_context import Stop
    from worker.local.faults.run import FaultReport, FaultRunOptions


@click.group(name="chaos")
def chaos_group() -> None:
    """Let things go wrong in a local stack, and check that nothing is lost."""


@chaos_group.command(name="spot")
@click.option(
    "--probability",
    type=Number(0, 1),
    required=True,
    metavar="P",
    help="0 to 1: how likely each running job loses its machine.",
)
@click.option(
    "--notice",
    type=Number(0, 120),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="Between SIGTERM and SIGKILL; Spot gives two minutes.",
)
@click.option(
    "--every",
    type=Number(min=0.1),
    metavar="SECONDS",
    help="Repeat every so many seconds, until Ctrl-C.",
)
@click.option(
    "--times", type=click.IntRange(min=1), metavar="N", help="With --every: end after N rounds."
)
@click.option(
    "--seed", type=int, metavar="N", help="Random seed: the same seed hits the same jobs."
)
@data_option
@json_option
def spot_command(
    *,
    probability: float,
    notice: float,
    every: float | None,
    times: int | None,
    seed: int | None,
    data: Path | None,
    as_json: bool,
) -> int:
    """Reclaim the machines of running jobs, as Spot does.

    A job gets SIGTERM, after the notice SIGKILL, and ends with the status reason
    `Host EC2 (instance i-...) terminated.`: the rules of its kind say whether it is retried.
    """
    from worker.job_context import Stop
    from worker.local.address import JOBS
    from worker.local.batch.jobs import LocalJobs

    if times is not None and every is None:
        raise click.UsageError("--times needs --every")
    local = local_only(find_target(data), "chaos spot")
    jobs, chance, stop = LocalJobs(local.data / JOBS), random.Random(seed), Stop()
    left = times if every is not None else 1
    with stop.on_signals():
        while not stop.requested:
            hit = jobs.reclaim(probability, chance=chance, notice_seconds=notice)
            _say(hit, jobs.running(), as_json=as_json)
            left = None if left is None else left - 1
            if left == 0:
                break
            assert every is not None
            stop.wait(every)
    return output.INTERRUPTED if stop.requested else 0


def _say(hit: tuple[str, ...], running: int, *, as_json: bool) -> None:
    if as_json:
        output.print_line({"reclaimed": list(hit), "running": running})
        return
    click.echo(f"{len(hit)} of {running} running jobs lose their machine")
    for job in hit:
        click.echo(f"  {job}")


# --- run --------------------------------------------------------------------------------------

_EPILOG = """\b
Each run has a stack of its own, in a new folder below --out, which stays if something is wrong.

\b
Exit codes
  0    whatever went wrong, everything agrees afterwards
  1    it does not; each line names a rule of `safelight check`
  2    the plan has a mistake
  75   the stack does not start
"""


@chaos_group.command(name="run", epilog=_EPILOG)
@click.option(
    "--plan",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="What goes wrong, as TOML.  [default: by chance, from --seed]",
)
@click.option(
    "--seed",
    type=int,
    metavar="N",
    help="Of plan and traffic.  [default: by chance; it is printed]",
)
@click.option(
    "--for",
    "seconds",
    type=Number(5, 3600),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="How long people work on the stack; a plan of --plan says it itself.",
)
@click.option(
    "--rate",
    type=Number(0.01, 1000),
    default=2.0,
    show_default=True,
    metavar="N",
    help="What people do a second: uploads, replacements, removals and more.",
)
@click.option(
    "--every",
    type=Number(0.1, 3600),
    default=8.0,
    show_default=True,
    metavar="SECONDS",
    help="Between two faults of a plan by chance.",
)
@click.option(
    "--load",
    type=Number(0, 1000),
    default=0.5,
    show_default=True,
    metavar="N",
    help="What clients of the API upload a second, as `safelight load` does it.",
)
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, metavar="N")
@click.option("--videos/--no-videos", default=True, help="Upload short videos too.")
@click.option(
    "--shrink", is_flag=True, help="If something is wrong, find the smallest plan that shows it."
)
@click.option(
    "--tries",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="With --shrink: so many runs must be right before a smaller plan counts as harmless.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("chaos"),
    show_default=True,
    metavar="DIR",
    help="For plans and stacks.",
)
@json_option
def run_command(
    *,
    file: Path | None,
    seed: int | None,
    seconds: float,
    rate: float,
    every: float,
    load: float,
    workers: int,
    videos: bool,
    shrink: bool,
    tries: int,
    out: Path,
    as_json: bool,
) -> int:
    """Let a plan of faults happen to a loaded stack, and check that nothing is lost.

    Processes are killed and stalled, the disk is full, clocks are wrong, Spot takes machines, AWS
    throttles, fails before and after it has done what was asked, and messages come late, twice and
    in another order. Afterwards every rule of `safelight check` must hold, and everything that a
    store has answered for must be there.
    """
    from worker.infra import checkout
    from worker.job_context import Stop
    from worker.local.faults import plan as plans
    from worker.local.faults.run import FaultRunOptions

    checkout.require()
    if file is not None:
        plan = plans.load(file)
    else:
        seed = random.randrange(1_000_000) if seed is None else seed
        plan = plans.random_plan(seed, seconds, workers=workers, every=every)
    options = FaultRunOptions(plan=plan, rate=rate, load=load, workers=workers, videos=videos)
    stop = Stop()
    with stop.on_signals():
        report = _run(options, out, stop)
        if report.violations and shrink and not stop.requested:
            report = _shrunk(options, report, out, stop, tries)
    if stop.requested:
        return output.INTERRUPTED
    if as_json:
        output.print_json(_as_dict(report))
    else:
        _print(report)
    return output.REJECTED if report.violations else 0


def _run(options: FaultRunOptions, out: Path, stop: Stop) -> FaultReport:
    """One run; its folder goes if all is well."""
    import shutil

    from worker.local.faults import plan as plans
    from worker.local.faults.run import FaultRun

    with output.writing("--out", out):
        out.mkdir(parents=True, exist_ok=True)
        number = 1 + sum(1 for one in out.iterdir() if one.is_dir())
        while (folder := out.absolute() / f"run-{number}").exists():
            number += 1
        folder.mkdir()
        (folder / "plan.toml").write_text(plans.dumps(options.plan))
    count = len(options.plan.faults)
    _tell(f"{folder.name}: {count} faults in {options.plan.seconds:g} s, seed {options.plan.seed}")
    report = FaultRun(options, folder, say=_tell).run(stop)
    if not report.violations:
        shutil.rmtree(folder, ignore_errors=True)
    return report


def _shrunk(
    options: FaultRunOptions, report: FaultReport, out: Path, stop: Stop, tries: int
) -> FaultReport:
    """The report of the smallest part of the plan that still breaks a rule."""
    from dataclasses import replace

    from worker.local.faults.plan import PlannedFault, dumps
    from worker.local.faults.shrink import smallest

    last = report

    def fails(faults: Sequence[PlannedFault]) -> bool:
        nonlocal last
        for _ in range(tries):
            if stop.requested:
                return False
            found = _run(replace(options, plan=options.plan.only(faults)), out, stop)
            if found.violations:
                last = found
                return True
        return False

    found = smallest(options.plan.faults, fails)
    path = out / "smallest.toml"
    path.write_text(dumps(options.plan.only(found)))
    _tell(f"{len(found)} of {len(options.plan.faults)} faults are enough: {path}")
    return last


def _tell(line: str) -> None:
    click.echo(f"chaos: {output.one_line(line)}", err=True)


def _as_dict(report: FaultReport) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(report)


def _print(report: FaultReport) -> None:
    statuses = ", ".join(f"{count:,} {name}" for name, count in report.statuses.items())
    click.echo(f"seed {report.plan.seed}: {len(report.happened)} faults happened")
    click.echo(f"{report.uploads:,} uploads were answered for, {report.refused:,} deeds failed")
    click.echo(f"{report.clients:,} uploads by clients of the API")
    struck = ", ".join(f"{name} {count:,}" for name, count in report.hits.items())
    click.echo(f"requests that were struck: {struck or 'none'}")
    click.echo(f"assets: {statuses or 'none'}; {report.checks:,} checks during the run")
    for one in report.violations:
        click.echo(f"{one.rule}  {output.one_line(one.subject)}: {output.one_line(one.message)}")
    if report.violations:
        click.echo(output.violations_text(report.violations))
    else:
        click.echo(f"everything agreed after {report.settled:g} s")
