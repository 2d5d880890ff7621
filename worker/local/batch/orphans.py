"""Processes that a killed runner has left: recognised by number and time of birth, and ended.

A process number alone is not enough: the kernel gives it to another process later.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from worker.local.batch.execution import kill_group

_POLL_SECONDS = 0.02


def born(pid: int) -> int | None:
    """When a process started, in the kernel's ticks since boot; None if it has ended.

    Source: proc(5), ``/proc/PID/stat``, field 22. A zombie has ended. Elsewhere than on Linux
    nothing is known.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except OSError:
        return None
    # The second field, a name in parentheses, may hold spaces and parentheses of its own.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def end(processes: Sequence[tuple[int, int | None]], *, seconds: float) -> None:
    """Wait until processes have ended, and kill those that have not after ``seconds``.

    They were told to end when their runner died: see ``worker.local.parent_death_signal``.
    """
    deadline = time.monotonic() + seconds
    left = [(pid, at) for pid, at in processes if at is not None]
    while True:
        left = [(pid, at) for pid, at in left if born(pid) == at]
        if not left:
            return
        if time.monotonic() >= deadline:
            for pid, _ in left:
                kill_group(pid)
        time.sleep(_POLL_SECONDS)
