"""Resources and retry rules of each kind of job, and the resources of this machine.

Sources: AWS Batch API Reference, ``RetryStrategy`` and ``EvaluateOnExit``. The figures and the
rules are data of ``batch.catalogue``; nothing here knows an exit code.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

EXITED = "Essential container in task exited"
"""Status reason of every attempt whose program ended by itself, with success or not."""
TIMED_OUT = "Job attempt duration exceeded timeout"
CHILD_FAILED = "Array Child Job failed"
NOT_STARTED = "Task failed to start"


def host_lost(instance: str) -> str:
    """Status reason of a job whose machine was reclaimed."""
    return f"Host EC2 (instance {instance}) terminated."


class Rule(Protocol):
    """One line of ``evaluateOnExit``: all patterns that are given must fit."""

    @property
    def action(self) -> Literal["RETRY", "EXIT"]:
        """The action after an attempt."""
        ...

    @property
    def status_reason(self) -> str | None:
        """Pattern; may end in ``*``."""
        ...

    @property
    def exit_code(self) -> str | None:
        """Pattern of a decimal number; may end in ``*``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """The facts about a kind of job that the runner needs."""

    vcpus: float = 1
    memory_mib: int = 2048
    timeout_seconds: float = 3600
    """Of one attempt."""
    attempts: int = 1
    """All together."""
    rules: Sequence[Rule] = ()


def is_retried(resources: Resources, *, attempts: int, exit_code: int | None, reason: str) -> bool:
    """Whether a failed attempt is followed by another.

    Args:
        resources: of the job's kind.
        attempts: made so far.
        exit_code: None if the program was lost with its machine.
        reason: the attempt's status reason.

    The first rule that fits decides. When none fits the job is tried again: that is Batch's
    default, not ours.
    """
    if attempts >= resources.attempts:
        return False
    code = None if exit_code is None else str(exit_code)
    for rule in resources.rules:
        if _fits(rule.exit_code, code) and _fits(rule.status_reason, reason):
            return rule.action == "RETRY"
    return True


def _fits(pattern: str | None, text: str | None) -> bool:
    if pattern is None:
        return True
    if text is None:
        return False
    if pattern.endswith("*"):
        return text.startswith(pattern[:-1])
    return text == pattern


def resources_of(kind: str) -> Resources:
    """The facts about a kind from the catalogue.

    Raises:
        ProblemsError: there is no such kind.
    """
    from batch import catalogue  # the catalogue stands above this package: only when it is used

    found = catalogue.kind(kind)
    return Resources(
        vcpus=found.vcpus,
        memory_mib=found.memory_mib,
        timeout_seconds=found.timeout_seconds,
        attempts=found.attempts,
        rules=catalogue.RETRY,
    )


def job_environment() -> Mapping[str, str]:
    """Return the part of this process's environment that jobs get."""
    # The workers of the stack have one thread each; a job may use what it has been given.
    return {name: value for name, value in os.environ.items() if name != "VIPS_CONCURRENCY"}
