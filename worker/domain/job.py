"""A heavy job as its caller sees it: the request, its states, and its status.

Frozen values on the standard library alone. What a kind of job needs and how it is retried is
data of ``batch.catalogue``; who runs jobs is behind the ``Jobs`` port.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class JobState(StrEnum):
    """The states of AWS Batch, in the order a job goes through them."""

    SUBMITTED = "SUBMITTED"
    """Accepted; not looked at yet."""
    PENDING = "PENDING"
    """Is the parent of an array, or waits for other jobs."""
    RUNNABLE = "RUNNABLE"
    """Waits for a free machine, or between two attempts."""
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
    """One job to run. The same ``name`` twice is one job: see ``Jobs.submit``."""

    name: str
    """Letters, digits, hyphens and underscores, at most 128; ``batch.submit`` derives it."""
    kind: str
    """A name in ``batch.catalogue``."""
    queue: str = "standard"
    """``standard``, ``urgent`` or ``bulk``."""
    inputs: tuple[str, ...]
    """URIs (``s3://bucket/key``) or, for a local runner, absolute paths."""
    output: str
    """The place results go to: an ``s3://`` prefix or, for a local runner, a folder."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    asset: str | None = None
    """The asset in whose record the job is listed."""
    closed: bool = False
    """The distribution may not read the results."""
    array_size: int | None = None
    """Children of an array job, 2 to 10,000; None for a single job."""
    traceparent: str = ""
    """Of the upload that the work is for; empty if it is for none."""
    submitted: str = ""
    """ISO 8601; when it was submitted, where that is known."""
    priority: int = 0
    """0 to 9999; the higher goes first within its queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """How a job stands."""

    id: str
    """``parent:index`` for a child of an array."""
    name: str
    kind: str
    state: JobState
    queue: str = ""
    reason: str = ""
    """Status reason: why it is retried, failed or stopped. Empty when there is none."""
    exit_code: int | None = None
    """Of the last attempt that ended by itself."""
    attempts: int = 0
    """Attempts started, the running one included."""
    created_at: str = ""
    """ISO 8601 UTC, like every time here; empty when it has not happened."""
    started_at: str = ""
    """Of the last attempt."""
    stopped_at: str = ""
    array_size: int | None = None
    array_counts: Mapping[JobState, int] = field(default_factory=dict)
    """Children by state; empty unless this is the parent of an array."""
    log: str = ""
    """Where the lines of the last attempt are: a log stream or a file."""
    output: str = ""
    """Where results go, if the runner knows."""
    progress: float | None = None
    """Share done, 0 to 1, as far as the job has said so."""
    doing: str = ""
    """What it says it is doing."""
    trouble: str = ""
    """What the job itself has said went wrong, ``code: message``, if that is known here."""


def command_line(request: JobRequest) -> tuple[str, ...]:
    """The arguments of the Batch image (``python -m batch``) that do this job."""
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
