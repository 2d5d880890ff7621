"""Shared functions of the local stack's processes: stopping, waiting, logging."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from worker.domain.errors import SafelightError
from worker.job_context import Stop

FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 5.0
"""Between two tries of something that does not answer."""


@contextlib.contextmanager
def working(ready: Path) -> Iterator[Stop]:
    """A stop that this process's signals ask for. ``ready`` is written as the block begins."""
    stop = Stop()
    with stop.on_signals():
        log("ready")
        ready.write_text(str(os.getpid()))
        with contextlib.suppress(KeyboardInterrupt):  # a second signal: at once
            yield stop
    log("stopped")


def log(line: str) -> None:
    """Write one line with the time to standard error, which is the child's log."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    print(f"{now} {line}", file=sys.stderr, flush=True)  # noqa: T201 - the log is a file


def repeat(once: Callable[[], object], stop: Stop) -> None:
    """Call a function again and again until asked to stop.

    After a ``SafelightError`` it waits, twice as long each time; a stop ends the wait. The first
    failure, every hundredth and the recovery are logged.
    """
    failures = 0
    while not stop.requested:
        try:
            once()
        except SafelightError as error:
            failures += 1
            if failures == 1 or failures % 100 == 0:
                log(f"{error.code}: {error.message}; trying again")
            stop.wait(min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** min(failures - 1, 10)))
        else:
            if failures:
                log(f"works again after {failures} failures")
            failures = 0
