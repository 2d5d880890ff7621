"""Child processes that belong together: started in stages, restarted when they die, stopped."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import NoReturn

from worker.domain.errors import SafelightError
from worker.job_context import SIGNALS, Stop
from worker.subprocesses.child import Process
from worker.subprocesses.launch import tie_to

POLL_SECONDS = 0.2
"""Between two looks at the children."""
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0
"""Between two starts of a child that dies again and again."""
STEADY_SECONDS = 60.0
"""Seconds of life after which a child that dies is started again at once."""


class ForkedProcess(Process):
    """A function that runs in a process forked from this one.

    A fork shares the memory of what this process has imported. It begins as a fresh process does:
    with its own environment, session and log, without the descriptors and signal handlers of this
    process. It gets SIGTERM when this process dies. Only one thread may run when it is made.
    Above all this process must not have computed with libvips: the child would wait forever for
    threads that a fork does not copy.

    Args:
        run: called in the new process, which ends when it returns.
        environment: all variables of the new process.
        log: file that its output is appended to.

    Raises:
        RuntimeError: threads of libvips run.
    """

    def __init__(
        self, run: Callable[[], object], *, environment: Mapping[str, str], log: Path
    ) -> None:
        if _libvips_has_threads():
            raise RuntimeError("a process that has used libvips cannot be forked")
        parent = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal between the fork and the reset of the handlers would act in the parent's name.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            pid = os.fork()
            if pid == 0:
                _run_forked(run, environment, log, parent)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        super().__init__(pid)


def _libvips_has_threads() -> bool:
    """Whether this process has computed with libvips; false where /proc is missing."""
    for name in Path("/proc/self/task").glob("*/comm"):
        with contextlib.suppress(OSError):  # a thread that has ended
            if name.read_text().startswith("libvips"):
                return True
    return False


def _run_forked(
    run: Callable[[], object], environment: Mapping[str, str], log: Path, parent: int
) -> NoReturn:
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        os.setsid()  # Ctrl-C reaches the supervisor, which stops its children in order
        os.environ.clear()
        os.environ.update(environment)
        null = os.open(os.devnull, os.O_RDONLY)
        output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.dup2(null, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        # Among the others is the lock of the folder, which must end with the parent.
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(write_through=True)
        if not tie_to(parent, signal.SIGTERM):
            sys.exit("the parent is gone already")
        run()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
        if isinstance(error.code, str):
            sys.stderr.write(f"{error.code}\n")
    except BaseException:  # noqa: BLE001 - nothing above this frame is the child's
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """One process to keep alive."""

    name: str
    start: Callable[[], Process]
    """Starts it; called again after each death. May raise SafelightError or OSError."""
    log: str
    """Where its output is, for messages."""
    stop_seconds: float = 15.0
    """Time to end after SIGTERM; then it is killed."""


class _SupervisedChild:
    """A child and its state."""

    def __init__(self, child: ChildSpec, now: float) -> None:
        self.child = child
        self.process: Process | None = child.start()
        self.started = now
        self.due = 0.0
        self.deaths = 0


class Supervisor:
    """Keeps children alive, in the order of their stages.

    Args:
        say: called with a sentence for each event of a child.
        clock: seconds, monotonic.
    """

    def __init__(
        self, say: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._say = say
        self._clock = clock
        self._stages: list[list[_SupervisedChild]] = []

    def start(self, stage: Sequence[ChildSpec]) -> None:
        """Start children after all that were started before. They stop before those.

        Raises:
            SafelightError, OSError: one does not start; those before it are kept and stopped
                with the others.
        """
        kept: list[_SupervisedChild] = []
        self._stages.append(kept)
        for child in stage:
            kept.append(_SupervisedChild(child, self._clock()))

    def watch(self, stop: Stop) -> None:
        """Keep all alive until asked to stop."""
        while not stop.requested:
            select.select([stop], [], [], POLL_SECONDS)
            if not stop.requested:
                self.tend()

    def tend(self) -> None:
        """Look at every child once: note ends, start those that are due."""
        for stage in self._stages:
            for kept in stage:
                if kept.process is not None and kept.process.ended():
                    self._reap(kept, kept.process)
                if kept.process is None and self._clock() >= kept.due:
                    self._restart(kept)

    def dead(self) -> tuple[str, ...]:
        """Names of children that are not running at this moment."""
        return tuple(
            kept.child.name
            for stage in self._stages
            for kept in stage
            if kept.process is None or kept.process.ended()
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
        """Stop all, last stage first; each stage has ended before the next is stopped."""
        while self._stages:
            stage = self._stages.pop()
            running = [(kept.child, kept.process) for kept in stage if kept.process is not None]
            try:
                for _, process in running:
                    process.send_signal(signal.SIGTERM)
                for child, process in running:
                    if not process.wait(child.stop_seconds):
                        limit = f"{child.stop_seconds:.0f} s"
                        self._say(f"{child.name} did not end within {limit} and is killed")
                    process.end()
            except BaseException:
                # A second Ctrl-C is in a hurry, and still nothing may be left behind.
                for _, process in running:
                    process.end()
                self.stop()
                raise

    def _reap(self, kept: _SupervisedChild, process: Process) -> None:
        process.end()  # what it has started
        lived = self._clock() - kept.started
        kept.process = None
        kept.deaths = 1 if lived >= STEADY_SECONDS else kept.deaths + 1
        self._postpone(kept, f"{kept.child.name} {_ending(process.status)}")

    def _postpone(self, kept: _SupervisedChild, what: str) -> None:
        wait = 0.0
        if kept.deaths > 1:
            wait = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** (kept.deaths - 2))
        kept.due = self._clock() + wait
        again = "now" if not wait else f"in {wait:g} s"
        self._say(f"{what}; it is started again {again} (its output: {kept.child.log})")

    def _restart(self, kept: _SupervisedChild) -> None:
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
