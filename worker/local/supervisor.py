"""Child processes that belong together: started in stages, restarted when they die, stopped.

What lives here: the life of children. What may not: what the children are (``stack``).
"""

from __future__ import annotations

import contextlib
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from worker.domain.errors import SafelightError
from worker.job_context import Stop

POLL_SECONDS = 0.2
"""Between two looks at the children."""
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0
"""Between two starts of a child that dies again and again."""
STEADY_SECONDS = 60.0
"""A child that has lived for so long is started again at once when it dies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """One process to keep alive."""

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    """Starts it; called again after each death. May raise SafelightError or OSError."""
    log: str
    """Where its output is, for messages."""
    stop_seconds: float = 15.0
    """Time to end after SIGTERM; then it is killed."""


class _Kept:
    """A child with what has happened to it."""

    def __init__(self, child: Child, now: float) -> None:
        self.child = child
        self.process: subprocess.Popen[bytes] | None = child.start()
        self.started = now
        self.due = 0.0
        self.deaths = 0


class Supervisor:
    """Keeps children alive, in the order of their stages.

    Args:
        say: told, in a sentence, what happens to a child.
        clock: seconds, monotonic.
    """

    def __init__(
        self, say: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._say = say
        self._clock = clock
        self._stages: list[list[_Kept]] = []

    def start(self, stage: Sequence[Child]) -> None:
        """Start children after all that were started before. They stop before those.

        Raises:
            SafelightError, OSError: one does not start; those before it are kept and stopped
                with the others.
        """
        kept: list[_Kept] = []
        self._stages.append(kept)
        for child in stage:
            kept.append(_Kept(child, self._clock()))

    def watch(self, stop: Stop) -> None:
        """Keep all alive until somebody asks to stop."""
        while not stop.requested:
            select.select([stop], [], [], POLL_SECONDS)
            if not stop.requested:
                self.tend()

    def tend(self) -> None:
        """Look at every child once: note deaths, start what is due."""
        for stage in self._stages:
            for kept in stage:
                if kept.process is not None and kept.process.poll() is not None:
                    self._bury(kept, kept.process.returncode)
                if kept.process is None and self._clock() >= kept.due:
                    self._revive(kept)

    def dead(self) -> tuple[str, ...]:
        """Names of children that are not running at this moment."""
        return tuple(
            kept.child.name
            for stage in self._stages
            for kept in stage
            if kept.process is None or kept.process.poll() is not None
        )

    def pids(self) -> dict[str, int]:
        """Process ids of the children that run."""
        return {
            kept.child.name: kept.process.pid
            for stage in self._stages
            for kept in stage
            if kept.process is not None
        }

    def stop(self) -> None:
        """Stop all, last stage first; each stage is gone before the next is told."""
        while self._stages:
            stage = self._stages.pop()
            running = [(kept.child, kept.process) for kept in stage if kept.process is not None]
            try:
                for _, process in running:
                    _signal(process, signal.SIGTERM)
                for child, process in running:
                    self._await(child, process)
            except BaseException:
                # Whoever is in a hurry (a second Ctrl-C) still leaves nothing behind.
                for _, process in running:
                    _signal(process, signal.SIGKILL)
                    process.wait()
                self.stop()
                raise

    def _await(self, child: Child, process: subprocess.Popen[bytes]) -> None:
        try:
            process.wait(child.stop_seconds)
        except subprocess.TimeoutExpired:
            self._say(f"{child.name} did not end within {child.stop_seconds:.0f} s and is killed")
            _signal(process, signal.SIGKILL)
            process.wait()

    def _bury(self, kept: _Kept, code: int) -> None:
        lived = self._clock() - kept.started
        kept.process = None
        kept.deaths = 1 if lived >= STEADY_SECONDS else kept.deaths + 1
        self._postpone(kept, f"{kept.child.name} {_ending(code)}")

    def _postpone(self, kept: _Kept, what: str) -> None:
        wait = 0.0
        if kept.deaths > 1:
            wait = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** (kept.deaths - 2))
        kept.due = self._clock() + wait
        again = "now" if not wait else f"in {wait:g} s"
        self._say(f"{what}; it is started again {again} (its output: {kept.child.log})")

    def _revive(self, kept: _Kept) -> None:
        kept.started = self._clock()
        try:
            kept.process = kept.child.start()
        except (SafelightError, OSError) as error:
            kept.deaths += 1
            self._postpone(kept, f"{kept.child.name} does not start: {error}")
        else:
            self._say(f"{kept.child.name} runs again, process {kept.process.pid}")


def _ending(code: int) -> str:
    if code < 0:
        name = str(-code)
        with contextlib.suppress(ValueError):
            name = signal.Signals(-code).name
        return f"was ended by {name}"
    return f"ended with code {code}"


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
