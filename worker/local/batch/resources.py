"""What jobs need here, read from the catalogue of heavy work; and the machine they run on."""

from __future__ import annotations

import os
from collections.abc import Mapping

from worker.local.batch.retry import Needs


def of_catalog(kind: str) -> Needs:
    """What a kind needs.

    Raises:
        ProblemsError: there is no such kind.
    """
    from batch import catalogue  # the catalogue stands above this package: only when it is used

    found = catalogue.kind(kind)
    return Needs(
        vcpus=found.vcpus,
        memory_mib=found.memory_mib,
        timeout_seconds=found.timeout_seconds,
        attempts=found.attempts,
        rules=catalogue.RETRY,
    )


def processors() -> int:
    """Processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def environment() -> Mapping[str, str]:
    """Of this process's environment what jobs get."""
    # The workers of the stack have one thread each; a job may use what it has been given.
    return {name: value for name, value in os.environ.items() if name != "VIPS_CONCURRENCY"}
