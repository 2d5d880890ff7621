"""``safelight submit``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.domain.errors import AssetMissing
from worker.entrypoints.cli import output
from worker.entrypoints.cli.job_text import JobWatch, exit_code, job_json, print_log, state_text
from worker.entrypoints.cli.kinds import KindGroup
from worker.entrypoints.cli.reach import data_option, json_option, reach
from worker.entrypoints.cli.waiting import going_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.domain.job import JobRequest, JobStatus
    from worker.ports import Jobs, ObjectStore

LOOK_SECONDS = 1.0
"""Between two looks at a job somebody waits for."""

_EXIT_CODES = """\b
Exit codes with --wait, --follow or --local
  0    every job succeeded
  1    an input can never succeed; the job said why
  2    wrong use: nothing was submitted
  3    the output folder cannot be written
  70   a defect in Safelight
  75   a job was stopped, or failed too often; try again
  130  stopped by Ctrl-C or SIGTERM: with --local the jobs are, else they go on
"""

_EPILOG = f"""
safelight submit KIND --help shows the parameters of a kind; docs/jobs.md has all of them. The same
request again is the same job, unless that has failed; --again makes it another.

{_EXIT_CODES}"""


def _options() -> list[click.Parameter]:
    """What can be said about jobs of every kind."""

    @click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
    @click.option("--out", metavar="PLACE", help="Folder, or s3://BUCKET/PREFIX, for the results.")
    @click.option(
        "--param",
        "parameters",
        multiple=True,
        metavar="NAME=VALUE",
        help="A parameter, in another way: --param width=640 is --width 640.",
    )
    @click.option(
        "--priority", is_flag=True, help="Run it before everything else, in the urgent queue."
    )
    @click.option("--array", type=int, metavar="N", help="Number of children of an array job.")
    @click.option("--asset", metavar="ASSET", help="List the job in the record of this asset.")
    @click.option(
        "--again", is_flag=True, help="Make another job, even if this one was done already."
    )
    @click.option("--wait", is_flag=True, help="Wait until all jobs have ended.")
    @click.option(
        "--follow", is_flag=True, help="Show what the jobs write, and wait until all have ended."
    )
    @click.option("--local", is_flag=True, help="Run the jobs here; no stack and no AWS is needed.")
    @click.option("--container", is_flag=True, help="With --local: in containers of an image.")
    @click.option(
        "--image", default="safelight-batch", show_default=True, help="With --container: the image."
    )
    @data_option
    @json_option
    def holder() -> None:
        pass

    return list(reversed(holder.__click_params__))  # type: ignore[attr-defined]


def _submit(
    *,
    kind: str,
    given: Sequence[tuple[str, str]],
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
    from batch.arguments import split_pairs
    from batch.submit import JobSpec, SubmitContext, requests

    if container and not local:
        raise click.UsageError("--container needs --local: elsewhere every job is in a container")
    if local and data is not None:
        raise click.UsageError("--local needs no stack, and no --data")
    texts, unread = split_pairs([*(f"{name}={text}" for name, text in given), *parameters])
    spec = JobSpec(
        kind=kind,
        inputs=inputs,
        output=out,
        parameters=texts,
        options=frozenset(name for name, _ in given),
        unread=unread,
        urgent=priority,
        array=array,
        asset=asset,
        again=str(time.time_ns()) if again else "",
    )
    if local:
        here = requests(spec, SubmitContext(files=True, store=_store_of(inputs, out)))
        return _run_local(here, image if container else None, follow=follow, as_json=as_json)
    reached = reach(data)
    if asset is not None and reached.app.catalog.get(asset) is None:
        raise AssetMissing(f"there is no asset {asset} to list the job with")
    around = SubmitContext(
        files=reached.local is not None,
        outputs=f"s3://{reached.app.settings.delivery_bucket}/",
        store=reached.app.store,
    )
    jobs = reached.jobs
    made = requests(spec, around)
    ids = tuple(dict.fromkeys(jobs.submit(request) for request in made))
    if not (wait or follow):
        for id_ in ids:
            _say(jobs.describe(id_), as_json=as_json)
        return 0
    commands = [f"safelight jobs {what} {ids[0]}" for what in ("logs --follow", "show")]
    commands.append(f"safelight jobs stop {' '.join(ids)}")
    with going_on("submitted work goes on; to follow, look at or stop it:", commands, data):
        return _await(jobs, ids, follow=follow, as_json=as_json)


command = KindGroup(
    name="submit",
    action=_submit,
    options=_options,
    epilog=_EPILOG,
    epilog_of_kind=_EXIT_CODES,
    subcommand_metavar="KIND INPUT... [OPTIONS]",
    options_metavar="",
    help="""Submit heavy work, and print the ids of its jobs.

    An INPUT is a file, a folder, or an s3:// address. All mistakes are told before anything is
    submitted: a parameter that is wrong, an input that is not there, one that the kind cannot take.
    """,
)


def _store_of(inputs: Sequence[str], out: str | None) -> ObjectStore | None:
    """Where the jobs that run here find S3: only if they are to look there at all."""
    if not any(text.startswith("s3://") for text in (*inputs, out or "")):
        return None
    from batch.job_services import JobServices

    return JobServices().store


def _await(jobs: Jobs, ids: Sequence[str], *, follow: bool, as_json: bool) -> int:
    if not as_json:
        for id_ in ids:
            _say(jobs.describe(id_), as_json=False)
    if follow:
        for id_ in ids:
            array = jobs.describe(id_).array_size is not None
            for line in jobs.logs(id_, follow=True):
                _show(line, array=array, as_json=as_json)
    watch = JobWatch(jobs.describe, quiet=as_json)
    while not watch.ended(ids):
        time.sleep(LOOK_SECONDS)
    found = [jobs.describe(id_) for id_ in ids]
    for job in found:
        _say(job, as_json=as_json)
    return exit_code(found)


def _run_local(
    made: Sequence[JobRequest], image: str | None, *, follow: bool, as_json: bool
) -> int:
    from worker.job_context import Stop
    from worker.local.batch.run_local import run_local

    stop = Stop()
    arrays = any(request.array_size is not None for request in made)
    with stop.on_signals(), run_local(made, image=image) as here:
        # Who follows reads the same in the lines of the jobs.
        watch = JobWatch(here.jobs.describe, quiet=as_json or follow)
        for line in here.work(stop, lines=follow):
            if line is not None:
                _show(line, array=arrays, as_json=as_json)
            watch.ended(here.ids)
        found = [here.jobs.describe(id_) for id_ in here.ids]
        for job in found:
            _say(job, as_json=as_json, here=True)
        if stop.requested:
            click.echo("stopped; the same command goes on where it was", err=True)
            return output.INTERRUPTED
        return exit_code(found)


def _show(line: str, *, array: bool, as_json: bool) -> None:
    """What a job has written goes to standard error; results alone go to standard output."""
    if as_json:
        click.echo(output.one_line(line), err=True)
    else:
        print_log(line, array=array, err=True)


def _say(job: JobStatus, *, as_json: bool, here: bool = False) -> None:
    if as_json:
        output.print_line(job_json(job))
        return
    name = job.name if here else f"{job.id}  {job.name}"
    place = f" -> {job.output}" if job.output else ""
    click.echo(output.one_line(f"{name}  {state_text(job)}{place}"))
    if here and job.state.value == "FAILED" and job.log:
        click.echo(output.one_line(f"  its log: {job.log}"), err=True)
