"""What the processes of the local stack have in common: arguments, readiness, stopping, waiting.

What may not live here: what any of them does.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from worker.domain.errors import SafelightError
from worker.job_context import Stop
from worker.ports import Queue

FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 5.0
"""Between two tries of something that does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """What a child was told on its command line."""

    values: Mapping[str, str]
    ready: Path | None


def arguments(*required: str, optional: Mapping[str, str] | None = None) -> Arguments:
    """Read ``--name VALUE`` options of this process."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--ready", type=Path, help="file to write once work can begin")
    for name in required:
        parser.add_argument(f"--{name}", required=True)
    for name, default in (optional or {}).items():
        parser.add_argument(f"--{name}", default=default)
    found = vars(parser.parse_args())
    ready = found.pop("ready")
    return Arguments(values=found, ready=ready)


@contextlib.contextmanager
def stopping(ready: Path | None, *, profile: str | None = None) -> Iterator[tuple[Queue, Stop]]:
    """The queue of this process's environment, and a stop that its signals ask for.

    Args:
        profile: whose rights on the queue, if not the process's own.
    """
    from worker.adapters.aws.clients import AwsClients
    from worker.adapters.aws.sqs import SqsQueue

    stop = Stop()
    with stop.on_signals():
        tell_ready(ready)
        with contextlib.suppress(KeyboardInterrupt):  # a second signal: at once
            yield SqsQueue(AwsClients(profile=profile)), stop
    log("stopped")


def tell_ready(file: Path | None) -> None:
    """Say that work has begun, to whoever waits for the file."""
    log("ready")
    if file is not None:
        file.write_text(str(os.getpid()))


def log(line: str) -> None:
    """One line with the time, to standard error: the child's log."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    print(f"{now} {line}", file=sys.stderr, flush=True)  # noqa: T201 - the log is a file


def pause(stop: Stop, seconds: float) -> None:
    """Wait, but not for longer than until somebody asks to stop."""
    stop.wait(seconds)


class Backoff:
    """Growing waits while something fails; one line when it begins, one when it is over."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._failures = 0

    def lose(self, error: SafelightError) -> None:
        """Something failed: say so the first time, and wait."""
        self._failures += 1
        if self._failures == 1 or self._failures % 100 == 0:
            log(f"{error.code}: {error.message}; trying again")
        wait = FIRST_WAIT_SECONDS * 2 ** min(self._failures - 1, 10)
        pause(self._stop, min(LONGEST_WAIT_SECONDS, wait))

    def regain(self) -> None:
        """It works."""
        if self._failures:
            log(f"works again after {self._failures} failures")
        self._failures = 0


def module(name: str, values: Sequence[tuple[str, object]]) -> list[str]:
    """The command that runs a child's module with options."""
    command = [sys.executable, "-m", name]
    for option, value in values:
        command += [f"--{option}", str(value)]
    return command
