"""``safelight submit``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.entrypoints.cli import output
from worker.entrypoints.cli.job_text import Watch, exit_code, job_json, state_text
from worker.entrypoints.cli.reach import data_option, json_option, reach
from worker.entrypoints.cli.waiting import going_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.jobs import JobRequest, JobStatus
    from worker.ports import Jobs

LOOK_SECONDS = 1.0
"""Between two looks at a job somebody waits for."""

_EPILOG = """\b
Kinds of an input each, one job an input
  transcode poster storyboard preview audio-waveform subtitles video-metadata
  deepzoom denoise document background
Kinds of several inputs, one job
  stitch hdr-merge restore
Kinds that divide their inputs among the children of an array job
  batch-process

\b
The same request again is the same job, unless that has failed; --again makes it another.
docs/jobs.md has every parameter.

\b
Exit codes with --wait, --follow or --local
  0    every job succeeded
  1    an input can never succeed; the job said why
  2    wrong use: nothing was submitted
  3    the output folder cannot be written
  70   a defect in Safelight
  75   a job was stopped, or failed too often; try again
  130  stopped by Ctrl-C or SIGTERM: with --local the jobs are, else they go on
"""


@click.command(name="submit", epilog=_EPILOG)
@click.argument("kind", metavar="KIND")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "--param", "parameters", multiple=True, metavar="NAME=VALUE", help="A parameter of the kind."
)
@click.option("--out", metavar="PLACE", help="Folder, or s3://BUCKET/PREFIX, for the results.")
@click.option("--priority", is_flag=True, help="Before everything else, in the urgent queue.")
@click.option("--array", type=int, metavar="N", help="Children of the array job.")
@click.option("--asset", metavar="ASSET", help="List the job in the record of this asset.")
@click.option("--again", is_flag=True, help="Another job, even if this one was done already.")
@click.option("--wait", is_flag=True, help="Wait until all jobs have ended.")
@click.option("--follow", is_flag=True, help="Show what the jobs write; wait, too.")
@click.option("--local", is_flag=True, help="Run the jobs here, with no stack and no AWS.")
@click.option("--container", is_flag=True, help="With --local: in containers of the Batch image.")
@click.option(
    "--image", default="safelight-batch", show_default=True, help="With --container: the image."
)
@data_option
@json_option
def command(
    *,
    kind: str,
    inputs: tuple[str, ...],
    parameters: tuple[str, ...],
    out: str | None,
    priority: bool,
    array: int | None,
    asset: str | None,
    again: bool,
    wait: bool,
    follow: bool,
    local: bool,
    container: bool,
    image: str,
    data: Path | None,
    as_json: bool,
) -> int:
    """Hand in heavy work, and print the ids of its jobs.

    An INPUT is a file, a folder, or an s3:// address. All mistakes are named before anything is
    submitted.
    """
    from batch import parameters as given
    from batch.submit import Surroundings, Wish, requests

    if container and not local:
        raise click.UsageError("--container needs --local: elsewhere every job is in a container")
    if local and data is not None:
        raise click.UsageError("--local needs no stack, and no --data")
    texts, unread = given.pairs(parameters)
    wish = Wish(
        kind=kind,
        inputs=inputs,
        output=out,
        parameters=texts,
        unread=unread,
        urgent=priority,
        array=array,
        asset=asset,
        again=str(time.time_ns()) if again else "",
    )
    if local:
        here = requests(wish, Surroundings(files=True))
        return _run_here(here, image if container else None, follow=follow, as_json=as_json)
    reached = reach(data)
    store, settings = reached.app.store, reached.app.settings
    around = Surroundings(
        files=reached.local is not None,
        places=f"s3://{settings.delivery_bucket}/",
        etag=lambda address: store.head(address.bucket, address.key).etag,
    )
    jobs = reached.jobs
    made = requests(wish, around)
    ids = tuple(dict.fromkeys(jobs.submit(request) for request in made))
    if not (wait or follow):
        for id_ in ids:
            _say(jobs.describe(id_), as_json=as_json)
        return 0
    commands = [f"safelight jobs {what} {ids[0]}" for what in ("logs --follow", "show")]
    commands.append(f"safelight jobs stop {' '.join(ids)}")
    with going_on("submitted work goes on; to follow, look at or stop it:", commands, data):
        return _await(jobs, ids, follow=follow, as_json=as_json)


def _await(jobs: Jobs, ids: Sequence[str], *, follow: bool, as_json: bool) -> int:
    if not as_json:
        for id_ in ids:
            _say(jobs.describe(id_), as_json=False)
    if follow:
        for id_ in ids:
            for line in jobs.logs(id_, follow=True):
                click.echo(output.one_line(line), err=True)
    watch = Watch(jobs.describe, quiet=as_json)
    while not watch.ended(ids):
        time.sleep(LOOK_SECONDS)
    found = [jobs.describe(id_) for id_ in ids]
    for job in found:
        _say(job, as_json=as_json)
    return exit_code(found)


def _run_here(made: Sequence[JobRequest], image: str | None, *, follow: bool, as_json: bool) -> int:
    from worker.local.batch.session import run_here
    from worker.services.local_run.stop import Stop

    def show(line: str) -> None:
        click.echo(output.one_line(line), err=True)

    stop = Stop()
    with stop.on_signals(), run_here(made, image=image) as here:
        watch = Watch(here.jobs.describe, quiet=as_json)
        for line in here.work(stop, lines=follow):
            if line is not None:
                show(line)
            watch.ended(here.ids)
        found = [here.jobs.describe(id_) for id_ in here.ids]
        for job in found:
            _say(job, as_json=as_json, here=True)
        if stop.requested:
            show("stopped; the same command goes on where it was")
            return output.INTERRUPTED
        return exit_code(found)


def _say(job: JobStatus, *, as_json: bool, here: bool = False) -> None:
    if as_json:
        output.print_line(job_json(job))
        return
    name = job.name if here else f"{job.id}  {job.name}"
    place = f" -> {job.output}" if job.output else ""
    click.echo(output.one_line(f"{name}  {state_text(job)}{place}"))
    if here and job.state.value == "FAILED" and job.log:
        click.echo(output.one_line(f"  its log: {job.log}"), err=True)
