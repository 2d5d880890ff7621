"""The catalogue of heavy work: every kind of job, its resources, and when a job is tried again.

Pure data, read by the submitter, the job runner, the local Batch runner and the Pulumi program.
Standard library and ``worker.domain.errors`` only: the Pulumi program has none of our dependencies.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from batch.kind import JobKind, Parameter
from batch.kinds import KINDS as _LIST
from worker.domain.errors import ParameterError, Problem
from worker.job_context import EXIT_STOPPED

__all__ = [
    "EXIT_AGAIN",
    "EXIT_BAD_INPUT",
    "EXIT_DONE",
    "EXIT_FAILED",
    "EXIT_STOPPED",
    "EXIT_USAGE",
    "KINDS",
    "OFFERED",
    "RETRY",
    "JobKind",
    "Parameter",
    "Retry",
    "kind",
]

EXIT_DONE = 0
EXIT_FAILED = 1
"""A defect or a missing right: somebody must look."""
EXIT_USAGE = 2
"""A wrong command line or wrong parameters."""
EXIT_BAD_INPUT = 65
"""The input can never succeed (``EX_DATAERR`` of sysexits.h)."""
EXIT_AGAIN = 75
"""The same job may succeed later, or was interrupted (``EX_TEMPFAIL`` of sysexits.h)."""

KINDS: Mapping[str, JobKind] = MappingProxyType({item.name: item for item in _LIST})
"""Every kind by its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """One rule: the first that fits decides. Patterns may end in ``*``, as Batch reads them."""

    action: Literal["RETRY", "EXIT"]
    status_reason: str | None = None
    exit_code: str | None = None


RETRY: tuple[Retry, ...] = (
    # A reclaimed machine takes the exit code with it: only the reason is left.
    Retry(action="RETRY", status_reason="Host EC2*"),
    Retry(action="EXIT", exit_code=str(EXIT_BAD_INPUT)),
    Retry(action="RETRY", exit_code=str(EXIT_AGAIN)),
    # Ended before the runner could say 75. What a person terminates is never retried anyway.
    Retry(action="RETRY", exit_code=str(EXIT_STOPPED)),
    Retry(action="EXIT", exit_code="*"),
)
"""Five rules are the most that Batch takes. A job that no rule fits, because it never ran, is
retried."""


OFFERED = tuple(item.name for item in _LIST if not item.step)
"""The kinds that lists and suggestions name; the others are steps of one of these."""


def kind(name: str) -> JobKind:
    """The kind of that name.

    Raises:
        ParameterError: there is none; the message names the nearest, or those there are.
    """
    found = KINDS.get(name)
    if found is None:
        near = difflib.get_close_matches(name, OFFERED, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(OFFERED))}"
        raise ParameterError("job", (Problem("kind", f"there is no kind {name!r}; {hint}"),))
    return found
