"""How long work is stopped, told how far it is, and given its scratch folder and threads."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import NoReturn

from worker.domain.errors import Stopped

GRACE_SECONDS = 8.0
"""From the signal to the end by force. Container engines wait 10 s before they kill."""
EXIT_STOPPED = 143
"""128 + SIGTERM: the process ended by force after a signal."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """A flag that is raised once and never lowered. Safe to use from any thread.

    Long work checks it, waits on it, or adds a callback that ends a child program.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        # Re-entrant: a signal handler may call ``request`` while the same thread holds the lock.
        self._lock = threading.RLock()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._next = 0
        self._why = "the job was asked to stop"
        self._pipe: tuple[int, int] | None = None

    @property
    def requested(self) -> bool:
        """Whether a stop has been asked for."""
        return self._event.is_set()

    def check(self) -> None:
        """Raises ``Stopped`` if a stop has been asked for."""
        if self.requested:
            raise Stopped(self._why)

    def wait(self, seconds: float) -> bool:
        """Wait, but not beyond a stop; returns whether one has been asked for."""
        return self._event.wait(seconds)

    def add_callback(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` once when a stop is asked for, at once if that has happened already.

        It runs in another thread, must return quickly and must not raise: terminate a child
        program, set a flag.

        Returns:
            A function that removes the callback; call it when the child program has ended.
        """
        with self._lock:
            if not self.requested:
                self._next += 1
                number = self._next
                self._callbacks[number] = callback
                return lambda: self._forget(number)
        callback()
        return lambda: None

    def request(self, why: str = "the job was asked to stop") -> None:
        """Ask for a stop: set the flag, then call every callback. The first ``why`` stays."""
        with self._lock:
            if self.requested:
                return
            self._why = why
            self._event.set()
            callbacks, self._callbacks = list(self._callbacks.values()), {}
            if self._pipe is not None:
                os.write(self._pipe[1], b"!")
        for callback in callbacks:
            callback()

    def fileno(self) -> int:
        """A descriptor that is readable once a stop has been asked for: for ``select``."""
        with self._lock:
            if self._pipe is None:
                self._pipe = os.pipe()
                if self.requested:
                    os.write(self._pipe[1], b"!")
            return self._pipe[0]

    def close(self) -> None:
        """Close the descriptors of ``fileno``, if there are any."""
        with self._lock:
            pipe, self._pipe = self._pipe, None
        for descriptor in pipe or ():
            with suppress(OSError):
                os.close(descriptor)

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """While this context is open, SIGINT and SIGTERM ask for a stop. Main thread only.

        The second signal raises KeyboardInterrupt, so that a slow end can be cut short.
        """

        def handler(number: int, _frame: FrameType | None) -> None:
            if self.requested:
                raise KeyboardInterrupt
            self.request(f"stopped by {signal.Signals(number).name}")

        before = {number: signal.signal(number, handler) for number in SIGNALS}
        try:
            yield
        finally:
            for number, action in before.items():
                signal.signal(number, action)

    def _forget(self, number: int) -> None:
        with self._lock:
            self._callbacks.pop(number, None)


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True, slots=True, kw_only=True)
class JobContext:
    """The context of long work: one value instead of parameters through each level."""

    scratch: Path
    """An empty folder for files that no other program reads; the caller removes it."""
    stop: Stop = field(default_factory=Stop)
    progress: Callable[[float, str], None] = lambda _share, _what: None
    """Is told the share of the work that is done, 0 to 1, and what is being done, in words."""
    threads: int = field(default_factory=processors)
    """How many threads an encoder or a library may use."""

    def step(self, share: float, what: str) -> None:
        """Report progress between two steps of the work.

        Raises:
            Stopped: a stop has been asked for.
        """
        self.stop.check()
        self.progress(share, what)

    def within(self, start: float, end: float) -> JobContext:
        """The same for a part of the work, which goes from one share of it to another."""
        return replace(
            self, progress=lambda share, what: self.progress(start + share * (end - start), what)
        )


class SignalWatch:
    """While it is open, SIGTERM and SIGINT ask for a stop; after ``grace`` the process ends.

    A thread reads the signals from the pipe that the C handler writes to: Python's own handlers
    wait until the main thread returns from a library in C, which may take minutes. Only one
    watch can be open, in the main thread.

    SIGTERM is the same signal whether a Spot machine is reclaimed, a job is terminated or a person
    stops a container, and Batch decides by itself: it never tries again what a person terminated
    and always what a reclaim took. So the exit code says how the process ended, not who asked:

    - 75 (``batch.catalogue.EXIT_AGAIN``): in order. Finished chunks are in the checkpoint.
    - 143 (``EXIT_STOPPED``): by force, after ``grace`` or a second signal. Work after the last
    checkpoint is lost; a new attempt repeats it.

    Args:
        stop: is asked.
        grace: seconds from the first signal to the end by force (``EXIT_STOPPED``).
    """

    def __init__(self, stop: Stop, *, grace: float = GRACE_SECONDS) -> None:
        self._stop = stop
        self._grace = grace
        self._before_end: Callable[[], None] = lambda: None
        self._before: dict[int, object] = {}

    def before_forced_end(self, duty: Callable[[], None]) -> None:
        """Called before a forced end. It must not take longer than a second."""
        self._before_end = duty

    def __enter__(self) -> SignalWatch:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, _ignored) for number in SIGNALS}
        self._thread = threading.Thread(target=self._listen, name="signals", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal() gave out
        os.close(self._write)  # ends the thread
        self._thread.join()
        os.close(self._read)

    def _listen(self) -> None:
        timer: threading.Timer | None = None
        while received := os.read(self._read, 1):
            if received[0] not in SIGNALS:
                continue
            name = signal.Signals(received[0]).name
            if timer is not None:
                self._end()
            # Before the callbacks: one that hangs must not delay the end.
            timer = threading.Timer(self._grace, self._end)
            timer.daemon = True
            timer.start()
            self._stop.request(f"the job was stopped by {name}")
        if timer is not None:
            timer.cancel()

    def _end(self) -> NoReturn:
        try:
            self._before_end()
        finally:
            os._exit(EXIT_STOPPED)


def _ignored(number: int, frame: FrameType | None) -> None:
    """Python installs the C handler only where there is a handler in Python."""
