"""``safelight chaos``."""

from __future__ import annotations

import random
from pathlib import Path

import click

from worker.entrypoints.cli import output
from worker.entrypoints.cli.reach import data_option, json_option, local_only, reach


@click.group(name="chaos")
def group() -> None:
    """Take machines away from jobs of the local stack."""


@group.command(name="spot")
@click.option(
    "--probability",
    type=click.FloatRange(0, 1),
    required=True,
    metavar="P",
    help="0 to 1: how likely each running job loses its machine.",
)
@click.option(
    "--notice",
    type=click.FloatRange(0, 120),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="Between SIGTERM and SIGKILL; Spot gives two minutes.",
)
@click.option(
    "--every",
    type=click.FloatRange(min=0.1),
    metavar="SECONDS",
    help="Do it again every so many seconds, until Ctrl-C.",
)
@click.option(
    "--times", type=click.IntRange(min=1), metavar="N", help="With --every: end after N rounds."
)
@click.option(
    "--seed", type=int, metavar="N", help="Seed of the chances: the same seed hits the same jobs."
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
    `Host EC2 (instance i-...) terminated.`: its kind's rules say whether it is tried again.
    """
    from worker.job_context import Stop
    from worker.local.address import JOBS
    from worker.local.batch.jobs import LocalJobs

    if times is not None and every is None:
        raise click.UsageError("--times needs --every")
    local = local_only(reach(data), "chaos spot")
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
