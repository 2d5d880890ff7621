"""``safelight jobs``, and how jobs are shown: as a line, as JSON, and while a command waits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker import codec
from worker.entrypoints.cli import output
from worker.entrypoints.cli.target import data_option, find_target, json_option
from worker.services.process_files.wording import age_text, seconds_text

if TYPE_CHECKING:
    from worker.domain.job import JobStatus


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
    """List jobs, newest first; the age is the time since they were submitted."""
    from worker.domain.job import JobState

    jobs = find_target(data).jobs
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
    output.print_rows(("state", "kind", "age"), ("job", "name", "what"), rows)


@group.command(name="show")
@click.argument("job", metavar="JOB")
@data_option
@json_option
def show_command(*, job: str, data: Path | None, as_json: bool) -> None:
    """Show the state of a job, and of each child of an array."""
    jobs = find_target(data).jobs
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
    """Show the log of a job, attempt after attempt. Times are UTC.

    With --json each line is the object that the job wrote; any other line is {"line": ...}.
    """
    jobs = find_target(data).jobs
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
    help="Reason that is stored with the job.",
)
@data_option
@json_option
def stop_command(*, ids: tuple[str, ...], reason: str, data: Path | None, as_json: bool) -> None:
    """Stop jobs with SIGTERM, and SIGKILL 30 s later. Finished parts are kept."""
    jobs = find_target(data).jobs
    for job in ids:
        jobs.stop(job, reason)
        found = jobs.describe(job)
        if as_json:
            output.print_line(job_json(found))
        elif found.state.ended:
            click.echo(output.one_line(f"{job}  {state_text(found)}"))
        else:
            click.echo(output.one_line(f"{job}  is being stopped"))


# --- jobs as text and JSON --------------------------------------------------------------------


_ENDINGS = {1: output.DEFECT, 2: output.USAGE, 65: output.REJECTED}
"""Exit codes of the job runner (``batch.catalogue``) as those of commands; any other: try again."""
_STEPS = 10
"""A progress line is printed for each such part of the work."""


def job_json(job: JobStatus) -> dict[str, Any]:
    """Return a job as JSON-ready values: every field, empty or not."""
    body: dict[str, Any] = codec.plain(job, defaults=True)
    return body


def state_text(job: JobStatus) -> str:
    """Return the state of a job in a few words."""
    words = [*_progress_words(job), *(f"- {why}" for why in _reasons(job))]
    return " ".join((job.state.value, *words))


def standing(job: JobStatus) -> str:
    """Return progress and reason of a job, without its state."""
    return ": ".join(part for part in (" ".join(_progress_words(job)), *_reasons(job)) if part)


def _progress_words(job: JobStatus) -> list[str]:
    """Progress and attempts."""
    words = []
    if job.array_counts:
        counts = ", ".join(f"{n} {state.value}" for state, n in job.array_counts.items())
        words.append(f"({counts})")
    if job.progress is not None and not job.state.ended:
        words.append(f"{job.progress:.0%} {job.doing}".rstrip())
    if job.attempts > 1:
        words.append(f"attempt {job.attempts}")
    return words


def _reasons(job: JobStatus) -> list[str]:
    """Why it does not run: one reason, or none."""
    if job.state.value not in {"FAILED", "RUNNABLE"}:
        return []
    # The job knows that it was stopped; only its status reason says why.
    stopped = job.trouble.startswith("stopped:")
    why = job.reason if stopped or not job.trouble else job.trouble
    return [why] if why else []


def log_text(line: str, *, array: bool = False) -> str | None:
    """Return a line of a job's log for a person; None for metrics.

    A line that is not an event (a traceback, output of another program) stays as it is.

    Args:
        line: as ``Jobs.logs`` gives it.
        array: the job is an array: a line begins with ``[`` and the number of the child.
    """
    child, text = _of_child(line) if array else ("", line)
    said = _event(text)
    if said is None:
        return line
    if "_aws" in said:
        return None
    time, name = str(said.get("time", ""))[:19].replace("T", " "), str(said.get("event", ""))
    return "  ".join(part for part in (time, child, _sentence(name, said)) if part)


def print_log(line: str, *, array: bool = False, err: bool = False) -> None:
    """Write a line of a job's log for a person (see :func:`log_text`).

    Args:
        err: to standard error.
    """
    for each in (log_text(line, array=array) or "").splitlines():
        click.echo(output.one_line(each), err=err)


def log_json(line: str, *, array: bool = False) -> Mapping[str, Any]:
    """Return a line of a job's log as the object it is; any other line as ``line`` of one."""
    text = _of_child(line)[1] if array else line
    said = _event(text)
    return {"line": line} if said is None else said


def _of_child(line: str) -> tuple[str, str]:
    child, space, text = line.partition(" ")
    return (child, text) if space else ("", line)


def _event(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        said: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) and ("event" in said or "_aws" in said) else None


def _sentence(name: str, said: Mapping[str, Any]) -> str:
    """An event (see docs/jobs.md) as a sentence, without the fields that every line has."""
    if name == "started":
        return f"{said.get('kind')} started, attempt {said.get('attempt')} -> {said.get('output')}"
    if name in {"progress", "heartbeat"}:
        left = said.get("seconds_left")
        rest = f", {seconds_text(left)} left" if isinstance(left, int | float) and left > 0 else ""
        return f"{said.get('percent')!s:>5} %  {said.get('doing')}{rest}"
    seconds = said.get("seconds")
    time = f" in {seconds_text(seconds)}" if isinstance(seconds, int | float) else ""
    if name == "done":
        return f"done{time}, files: {said.get('outputs')}"
    if name == "unchanged":
        return f"done before, nothing to do{time}"
    # An event may have the name of its code: "stopped" is printed once.
    parts = (str(said[key]) for key in ("code", "message") if said.get(key))
    why = ": ".join(part for part in parts if part != name)
    where = f" ({said['at']})" if said.get("at") else ""
    trace = f"\n{said['trace']}" if said.get("trace") else ""
    return f"{name}: {why}{where}{trace}"


def exit_code(jobs: Iterable[JobStatus]) -> int:
    """Return the exit code of a command that waited for these jobs."""
    codes = [_exit_code_of(job) for job in jobs if job.state.value != "SUCCEEDED"]
    return max(codes, default=0)


def _exit_code_of(job: JobStatus) -> int:
    if job.exit_code is None or job.exit_code == 0:
        # An array has no exit code of its own; that of a reclaimed machine is lost.
        return output.TRY_AGAIN
    if job.exit_code == 1 and job.trouble.startswith("output_"):
        return output.STORAGE
    return _ENDINGS.get(job.exit_code, output.TRY_AGAIN)


class JobWatch:
    """Prints changes of jobs, one line a change.

    Args:
        look: returns the state of a job.
        quiet: print nothing.
    """

    def __init__(self, look: Callable[[str], JobStatus], *, quiet: bool) -> None:
        self._look = look
        self._quiet = quiet
        self._last: dict[str, tuple[object, ...]] = {}

    def ended(self, ids: Sequence[str]) -> bool:
        """Look at all jobs once; return whether every one has ended."""
        found = [self._look(id_) for id_ in ids]
        for job in found:
            share = None if job.progress is None else int(job.progress * _STEPS)
            key = (job.state, job.attempts, share, tuple(job.array_counts.items()))
            if key != self._last.get(job.id):
                self._last[job.id] = key
                if not self._quiet:
                    click.echo(output.one_line(f"{job.name}: {state_text(job)}"), err=True)
        return all(job.state.ended for job in found)
