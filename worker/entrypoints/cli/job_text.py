"""How jobs are shown: as a line, as JSON, and while somebody waits for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from worker.entrypoints.cli import output

if TYPE_CHECKING:
    from worker.jobs import JobStatus

_ENDINGS = {1: output.DEFECT, 2: output.USAGE, 65: output.REJECTED}
"""What exit codes of the job runner (``batch.catalog``) are here; any other: try again."""
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
    words = [job.state.value]
    if job.array_counts:
        counts = ", ".join(f"{n} {state.value}" for state, n in job.array_counts.items())
        words.append(f"({counts})")
    if job.progress is not None and not job.state.ended:
        words.append(f"{job.progress:.0%} {job.doing}".rstrip())
    if job.attempts > 1:
        words.append(f"attempt {job.attempts}")
    if job.state.value in {"FAILED", "RUNNABLE"}:
        # That it was stopped the job knows; why, only who stopped it.
        stopped = job.trouble.startswith("stopped:")
        why = job.reason if stopped or not job.trouble else job.trouble
        words += [f"- {why}"] if why else []
    return " ".join(words)


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


class Watch:
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
