"""Jobs as their callers see them: request, states, and status.

Frozen values on the standard library alone. ``batch.catalogue`` has the resources and retries of
each kind; the ``Jobs`` port hides who runs jobs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class JobState(StrEnum):
    """The states of AWS Batch, in the order a job goes through them."""

    SUBMITTED = "SUBMITTED"
    """Accepted, and not scheduled yet."""
    PENDING = "PENDING"
    """The parent of an array job, or a job that waits for other jobs."""
    RUNNABLE = "RUNNABLE"
    """Waits for a machine, or for its next attempt."""
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"

    @property
    def ended(self) -> bool:
        """Whether the job will never change again."""
        return self in {JobState.SUCCEEDED, JobState.FAILED}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """One job to run. A repeated ``name`` is the same job: see ``Jobs.submit``."""

    name: str
    """Letters, digits, hyphens and underscores, at most 128; ``batch.submit`` derives it."""
    kind: str
    """A name in ``batch.catalogue``."""
    queue: str = "standard"
    """``standard``, ``urgent`` or ``bulk``."""
    inputs: tuple[str, ...]
    """URIs (``s3://bucket/key``) or, for a local runner, absolute paths."""
    output: str
    """Location of the results: an ``s3://`` prefix or, for a local runner, a folder."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    asset: str | None = None
    """The asset that lists the job in its record."""
    closed: bool = False
    """Whether the results are closed to the distribution."""
    array_size: int | None = None
    """Children of an array job, 2 to 10,000; None for a single job."""
    traceparent: str = ""
    """Trace context of the upload that the job is for; empty if there is none."""
    submitted: str = ""
    """ISO 8601: time of submission, if known."""
    priority: int = 0
    """0 to 9999; within a queue a higher priority runs first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """The status of a job."""

    id: str
    """``parent:index`` for a child of an array."""
    name: str
    kind: str
    state: JobState
    queue: str = ""
    reason: str = ""
    """Why the job is retried, failed or stopped; empty without a reason."""
    exit_code: int | None = None
    """Exit code of the last attempt that ended by itself."""
    attempts: int = 0
    """Attempts started, the running one included."""
    created_at: str = ""
    """ISO 8601 UTC, like every time here; empty if it has not happened yet."""
    started_at: str = ""
    """Start of the last attempt."""
    stopped_at: str = ""
    array_size: int | None = None
    array_counts: Mapping[JobState, int] = field(default_factory=dict)
    """Children by state; empty unless this is the parent of an array."""
    log: str = ""
    """Log of the last attempt: a log stream or a file."""
    output: str = ""
    """Location of the results, if the runner knows it."""
    progress: float | None = None
    """Reported progress, 0 to 1."""
    doing: str = ""
    """The step that the job reports."""
    trouble: str = ""
    """The error that the job reported, ``code: message``, if known."""


def command_line(request: JobRequest) -> tuple[str, ...]:
    """The arguments of the Batch image (``python -m batch``) for this job."""
    words = ["run", request.kind]
    for uri in request.inputs:
        words += ["--input", uri]
    words += ["--output", request.output]
    for name, value in sorted(request.parameters.items()):
        words += ["--param", f"{name}={value}"]
    if request.asset is not None:
        words += ["--asset", request.asset]
    if request.closed:
        words += ["--access", "closed"]
    if request.traceparent:
        words += ["--trace", request.traceparent]
    if request.submitted:
        words += ["--submitted", request.submitted]
    return tuple(words)
