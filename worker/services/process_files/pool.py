"""Worker processes under supervision: one that dies or hangs costs only its own picture.

``concurrent.futures`` breaks the whole pool when one process dies; here a dead or late process is
replaced, and its picture tried once more in the sandbox, which says what happened to it.
Processes are spawned, never forked: libvips keeps threads, and threads do not survive a fork.
What may not live here: pictures, files, records.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from multiprocessing import connection
from typing import TYPE_CHECKING, Any

from worker.domain.errors import EngineError, Reason
from worker.imaging.malloc import keep_memory
from worker.services.process_files import storage
from worker.services.process_files.manifest import Cause
from worker.services.process_files.one_file import FileOutcome, FileTask, Setup, handle

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

    from worker.job_context import Stop

_SPAWN = multiprocessing.get_context("spawn")

_NOTHING: Any = object()
"""Told apart from any message."""

_SANDBOX_MARGIN = 30.0
"""Seconds a worker gets beyond its two sandboxed calls before it is itself given up."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Member:
    """One worker process, as its supervisor sees it."""

    process: SpawnProcess
    pipe: Connection
    ready: bool = False
    job: FileTask | None = None
    deadline: float = float("inf")

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.process.close()
        self.pipe.close()


class Pool:
    """Runs jobs on up to ``size`` worker processes."""

    def __init__(
        self, setup: Setup, *, size: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._setup = setup
        self._size = size
        self._clock = clock

    def run(self, jobs: Iterable[FileTask], *, stop: Stop) -> Generator[FileOutcome]:
        """Yield an outcome for each job, as they finish, until ``stop`` is asked for.

        Leaving the iteration early, or an error in it, ends every process at once. What
        unfinished jobs wrote aside is the caller's to remove.

        Raises:
            EngineError: worker processes do not start.
        """
        waiting = deque(jobs)
        crew: list[_Member] = []
        # Workers hold the reading end and end themselves when it closes: even a killed
        # supervisor leaves nobody writing to the output folder.
        lifeline, held = _SPAWN.Pipe(duplex=False)
        try:
            while not stop.requested:
                busy = sum(member.job is not None for member in crew)
                while len(crew) < min(self._size, busy + len(waiting)):
                    crew.append(self._start(lifeline))
                for member in crew:
                    if member.ready and member.job is None and waiting:
                        self._hand(member, waiting.popleft())
                if not waiting and all(member.job is None for member in crew):
                    return
                for member in self._listen(crew, stop):
                    yield from self._hear(member, crew, waiting)
        finally:
            for member in crew:
                member.end()
            held.close()
            lifeline.close()

    def _start(self, lifeline: Connection) -> _Member:
        ours, theirs = _SPAWN.Pipe()
        process = _SPAWN.Process(target=work, args=(theirs, lifeline), daemon=True)
        with _without_interrupts():
            process.start()
        theirs.close()
        # Sent after the start, so that nothing of the engine is imported before the worker has
        # set its environment.
        with contextlib.suppress(OSError):  # it has died: heard of in the next round
            ours.send(self._setup)
        return _Member(process=process, pipe=ours)

    def _hand(self, member: _Member, job: FileTask) -> None:
        seconds = self._setup.confinement.wall_seconds
        if job.confined:
            seconds = 2 * seconds + _SANDBOX_MARGIN
        member.job = job
        member.deadline = self._clock() + seconds
        with contextlib.suppress(OSError):  # it has died: heard of in the next round
            member.pipe.send(job)

    def _listen(self, crew: list[_Member], stop: Stop) -> list[_Member]:
        """Wait for news; return who spoke, died or is late."""
        patience = min(member.deadline for member in crew) - self._clock()
        timeout = None if patience == float("inf") else max(0.0, patience)
        heard = connection.wait([stop.fileno(), *(member.pipe for member in crew)], timeout)
        now = self._clock()
        return [member for member in crew if member.pipe in heard or member.deadline <= now]

    def _hear(
        self, member: _Member, crew: list[_Member], waiting: deque[FileTask]
    ) -> Iterator[FileOutcome]:
        job, news = member.job, _NOTHING
        late = not member.pipe.poll()
        if not late:
            # The pipe ends when its process does, so one wait covers news and death.
            with contextlib.suppress(EOFError, OSError):
                news = member.pipe.recv()
        if news is not _NOTHING:
            member.ready, member.job, member.deadline = True, None, float("inf")
            if job is not None:
                yield news
            return
        if not member.ready:
            raise EngineError("a worker process ended before it could work")
        crew.remove(member)
        member.end()
        if job is None:
            return
        storage.remove(job.aside)
        if job.confined:
            yield FileOutcome(number=job.number, cause=_lost(late=late))
        else:
            waiting.appendleft(replace(job, confined=True))


def _lost(*, late: bool) -> Cause:
    if late:
        return Cause(code=Reason.TIMED_OUT.value, message="it took longer than allowed, twice")
    return Cause(code=Reason.CRASHED.value, message="it ended its worker process, twice")


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    # A child inherits the mask: Ctrl-C in a terminal reaches every process of the group, and
    # only the supervisor is to act on it. In this process the signals wait for the unblocking.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def work(pipe: Connection, lifeline: Connection) -> None:
    """Be a worker process: take jobs from the pipe, send outcomes back, until it closes."""
    # libvips reads these when it is loaded. One thread each: the processes are the parallelism.
    os.environ["VIPS_CONCURRENCY"] = "1"
    os.environ.setdefault("VIPS_WARNING", "1")  # any value silences its warnings
    keep_memory()
    # Blocked while this process was started; Ctrl-C stays the supervisor's to act on.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    if "SAFELIGHT_DEBUG" not in os.environ:
        _silence()
    threading.Thread(target=_end_with_supervisor, args=(lifeline,), daemon=True).start()
    try:
        setup: Setup = pipe.recv()
        pipe.send(None)
        while True:
            pipe.send(handle(pipe.recv(), setup))
    except (EOFError, OSError, KeyboardInterrupt):
        pass  # the supervisor is gone
    except MemoryError:
        os._exit(1)  # tried again in the sandbox, where memory is bounded


def _silence() -> None:
    # Decoders print to both streams, and a crashing C library to standard error; standard output
    # must hold nothing but the command's own.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def _end_with_supervisor(lifeline: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        lifeline.recv_bytes()
    os._exit(1)
