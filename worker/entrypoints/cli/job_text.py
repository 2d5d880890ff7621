"""How jobs are shown: as a line, as JSON, and while somebody waits for them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from worker.entrypoints.cli import output
from worker.services.process_files.wording import seconds_text

if TYPE_CHECKING:
    from worker.domain.job import JobStatus

_ENDINGS = {1: output.DEFECT, 2: output.USAGE, 65: output.REJECTED}
"""What exit codes of the job runner (``batch.catalogue``) are here; any other: try again."""
_STEPS = 10
"""A line is written each time a job has done another such part of its way."""


def job_json(job: JobStatus) -> dict[str, Any]:
    """Return a job as JSON-ready values."""
    return {
        "id": job.id,
        "name": job.name,
        "kind": job.kind,
        "state": job.state.value,
        "queue": job.queue,
        "reason": job.reason,
        "trouble": job.trouble,
        "exit_code": job.exit_code,
        "attempts": job.attempts,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "stopped_at": job.stopped_at,
        "array_size": job.array_size,
        "array_counts": {state.value: count for state, count in job.array_counts.items()},
        "progress": job.progress,
        "doing": job.doing,
        "output": job.output,
        "log": job.log,
    }


def state_text(job: JobStatus) -> str:
    """Return how a job stands, in a few words."""
    words = [*_where(job), *(f"- {why}" for why in _why(job))]
    return " ".join((job.state.value, *words))


def standing(job: JobStatus) -> str:
    """Return what there is to say about how a job stands, beside its state."""
    return ": ".join(part for part in (" ".join(_where(job)), *_why(job)) if part)


def _where(job: JobStatus) -> list[str]:
    """How far it is."""
    words = []
    if job.array_counts:
        counts = ", ".join(f"{n} {state.value}" for state, n in job.array_counts.items())
        words.append(f"({counts})")
    if job.progress is not None and not job.state.ended:
        words.append(f"{job.progress:.0%} {job.doing}".rstrip())
    if job.attempts > 1:
        words.append(f"attempt {job.attempts}")
    return words


def _why(job: JobStatus) -> list[str]:
    """Why it does not run: one reason, or none."""
    if job.state.value not in {"FAILED", "RUNNABLE"}:
        return []
    # That it was stopped the job knows; why, only who stopped it.
    stopped = job.trouble.startswith("stopped:")
    why = job.reason if stopped or not job.trouble else job.trouble
    return [why] if why else []


def log_text(line: str, *, array: bool = False) -> str | None:
    """Return a line of a job's log for a person; None if it says nothing to one (metrics).

    What is no event of ours (a traceback, another program's words) stays as it is.

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
    """What an event says (docs/jobs.md has them), without what is the same in every line."""
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
    # An event may be called like its code: "stopped" is said once.
    parts = (str(said[key]) for key in ("code", "message") if said.get(key))
    why = ": ".join(part for part in parts if part != name)
    where = f" ({said['at']})" if said.get("at") else ""
    trace = f"\n{said['trace']}" if said.get("trace") else ""
    return f"{name}: {why}{where}{trace}"


def exit_code(jobs: Iterable[JobStatus]) -> int:
    """Return the exit code of a command that has waited for these jobs."""
    codes = [_ending(job) for job in jobs if job.state.value != "SUCCEEDED"]
    return max(codes, default=0)


def _ending(job: JobStatus) -> int:
    if job.exit_code is None or job.exit_code == 0:
        # An array's own exit code is nowhere; a reclaimed machine's is lost.
        return output.TRY_AGAIN
    if job.exit_code == 1 and job.trouble.startswith("output_"):
        return output.STORAGE
    return _ENDINGS.get(job.exit_code, output.TRY_AGAIN)


class JobWatch:
    """Says what changes about jobs, one line a change.

    Args:
        look: how a job stands.
        quiet: say nothing.
    """

    def __init__(self, look: Callable[[str], JobStatus], *, quiet: bool) -> None:
        self._look = look
        self._quiet = quiet
        self._last: dict[str, tuple[object, ...]] = {}

    def ended(self, ids: Sequence[str]) -> bool:
        """Look at all once; whether every one has ended."""
        found = [self._look(id_) for id_ in ids]
        for job in found:
            share = None if job.progress is None else int(job.progress * _STEPS)
            key = (job.state, job.attempts, share, tuple(job.array_counts.items()))
            if key != self._last.get(job.id):
                self._last[job.id] = key
                if not self._quiet:
                    click.echo(output.one_line(f"{job.name}: {state_text(job)}"), err=True)
        return all(job.state.ended for job in found)
