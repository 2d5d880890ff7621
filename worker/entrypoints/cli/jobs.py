"""``safelight jobs``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from worker.entrypoints.cli import output
from worker.entrypoints.cli.job_text import job_json, log_json, print_log, standing, state_text
from worker.entrypoints.cli.reach import data_option, json_option, reach
from worker.entrypoints.cli.rows import print_rows
from worker.services.process_files.wording import age_text

_STATES = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED")


@click.group(name="jobs")
def group() -> None:
    """List, show, follow and stop jobs. JOB is an id; ID:N is child N of an array."""


@group.command(name="list")
@click.option(
    "--state", type=click.Choice(_STATES, case_sensitive=False), help="Only jobs in this state."
)
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    metavar="N",
    help="At most N jobs.",
)
@data_option
@json_option
def list_command(*, state: str | None, limit: int, data: Path | None, as_json: bool) -> None:
    """List jobs, newest first: the age is that of the submission."""
    from worker.domain.job import JobState

    jobs = reach(data).jobs
    found = jobs.list(None if state is None else JobState(state.upper()), limit=limit)
    if as_json:
        output.print_json([job_json(job) for job in found])
        return
    if not found:
        click.echo("no jobs")
        return
    now = datetime.now(UTC)
    rows = [
        (
            *(job.state.value, job.kind, age_text(job.created_at, now)),
            *(job.id, job.name, standing(job)),
        )
        for job in found
    ]
    print_rows(("state", "kind", "age"), ("job", "name", "what"), rows)


@group.command(name="show")
@click.argument("job", metavar="JOB")
@data_option
@json_option
def show_command(*, job: str, data: Path | None, as_json: bool) -> None:
    """Show how a job, and each child of an array, stands."""
    jobs = reach(data).jobs
    found = jobs.describe(job)
    children = jobs.children(job) if found.array_size is not None else ()
    if as_json:
        body = job_json(found)
        if found.array_size is not None:
            body["children"] = [job_json(child) for child in children]
        output.print_json(body)
        return
    rows = [
        ("state", state_text(found)),
        ("kind", found.kind),
        ("queue", found.queue),
        ("attempts", found.attempts or None),
        ("reason", found.reason),
        ("exit code", found.exit_code),
        ("created", found.created_at),
        ("started", found.started_at),
        ("stopped", found.stopped_at),
        ("output", found.output),
        ("log", found.log),
        *((child.id.rpartition(":")[2], state_text(child)) for child in children),
    ]
    output.console().print(output.table(f"{found.name}  {found.id}", rows))


@group.command(name="logs")
@click.argument("job", metavar="JOB")
@click.option("--follow", "-f", is_flag=True, help="Wait for more, until the job has ended.")
@data_option
@json_option
def logs_command(*, job: str, follow: bool, data: Path | None, as_json: bool) -> None:
    """Show what a job has written, attempt after attempt. Times are UTC.

    With --json each line is the object that the job wrote; what is no such object is {"line": ...}.
    """
    jobs = reach(data).jobs
    array = jobs.describe(job).array_size is not None
    for line in jobs.logs(job, follow=follow):
        if as_json:
            output.print_line(log_json(line, array=array))
        else:
            print_log(line, array=array)


@group.command(name="stop")
@click.argument("ids", nargs=-1, required=True, metavar="JOB...")
@click.option(
    "--reason",
    default="stopped by a person",
    show_default=True,
    help="Why; it is kept with the job.",
)
@data_option
@json_option
def stop_command(*, ids: tuple[str, ...], reason: str, data: Path | None, as_json: bool) -> None:
    """Stop jobs: SIGTERM, and SIGKILL 30 s later. What they have finished is kept."""
    jobs = reach(data).jobs
    for job in ids:
        jobs.stop(job, reason)
        found = jobs.describe(job)
        if as_json:
            output.print_line(job_json(found))
        elif found.state.ended:
            click.echo(output.one_line(f"{job}  {state_text(found)}"))
        else:
            click.echo(output.one_line(f"{job}  is being stopped"))
