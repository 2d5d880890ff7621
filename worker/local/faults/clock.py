"""Clocks that go wrong: a process of the local stack that thinks it is another time.

The file ``clocks.json`` in the folder of the stack has the seconds by the name of the process. It
is read as a process starts.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

NAME = "clocks.json"


def run_at(data: Path, name: str, run: Callable[[], object]) -> None:
    """Run a process with the clock that is chosen for it; the monotonic clock is right."""
    seconds = read(data).get(name, 0.0)
    if not seconds:
        run()
        return
    from datetime import UTC, datetime

    import time_machine  # for tests and faults: no other process needs it

    there = datetime.now(UTC) + timedelta(seconds=seconds)
    with time_machine.travel(there, tick=True):
        run()


def read(data: Path) -> dict[str, float]:
    """Seconds that clocks go ahead, by process."""
    try:
        found = json.loads((data / NAME).read_text())
    except (OSError, ValueError):
        return {}
    return {str(name): float(seconds) for name, seconds in found.items()}


def write(data: Path, name: str, seconds: float) -> None:
    """Choose the clock of a process, from its next start on."""
    clocks = {**read(data), name: seconds}
    (data / NAME).write_text(json.dumps(clocks))
