"""What the processes of the local stack have in common: stopping, waiting, logging."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
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


class Backoff:
    """Exponential backoff that logs the first failure and the recovery."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._failures = 0

    def failed(self, error: SafelightError) -> None:
        """Log the first failure and every hundredth, and wait; a stop ends the wait."""
        self._failures += 1
        if self._failures == 1 or self._failures % 100 == 0:
            log(f"{error.code}: {error.message}; trying again")
        wait = FIRST_WAIT_SECONDS * 2 ** min(self._failures - 1, 10)
        self._stop.wait(min(LONGEST_WAIT_SECONDS, wait))

    def succeeded(self) -> None:
        """Log the recovery, and wait the shortest time after the next failure."""
        if self._failures:
            log(f"works again after {self._failures} failures")
        self._failures = 0
