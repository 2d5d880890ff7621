"""Being stopped: a flag with callbacks, and the signals that raise it.

The rule of exit codes. SIGTERM is the same signal whether a Spot machine is reclaimed, a job is
terminated or a person stops a container, and Batch decides by itself: it never tries again what a
person terminated and always what a reclaim took. So the code says not who, but how it ended:

- 75 (``EXIT_AGAIN``): in order. The operation has ended, finished pieces are in the checkpoint.
- 143 (``EXIT_STOPPED``): by force. The operation had not ended after ``GRACE_SECONDS``, or a
  second signal came. What had not reached the checkpoint is lost; a new attempt makes it again.

Signals are heard by a thread, over the pipe that the C handler writes to: Python's own handlers
wait until the main thread returns from a library in C, which may take minutes.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import NoReturn

from batch.catalogue import EXIT_STOPPED
from worker.domain.errors import Stopped

GRACE_SECONDS = 8.0
"""From the signal to the end by force. Container engines wait 10 s before they kill."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopFlag:
    """``work.Stop``: raised once, never lowered."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._next = 0
        self._why = "the job was asked to stop"

    @property
    def requested(self) -> bool:
        """Whether a stop has been asked for."""
        return self._event.is_set()

    def check(self) -> None:
        """Raises ``Stopped`` if a stop has been asked for."""
        if self.requested:
            raise Stopped(self._why)

    def wait(self, seconds: float) -> bool:
        """Rest, but not beyond a stop; whether one has been asked for."""
        return self._event.wait(seconds)

    def add_callback(self, callback: Callable[[], None]) -> Callable[[], None]:
        """See ``work.Stop.add_callback``."""
        with self._lock:
            if not self.requested:
                self._next += 1
                number = self._next
                self._callbacks[number] = callback
                return lambda: self._forget(number)
        callback()
        return lambda: None

    def request(self, why: str) -> None:
        """Ask for a stop: raise the flag, then call everybody back. The first ``why`` stays."""
        with self._lock:
            if self.requested:
                return
            self._why = why
            self._event.set()
            callbacks, self._callbacks = list(self._callbacks.values()), {}
        for callback in callbacks:
            callback()

    def _forget(self, number: int) -> None:
        with self._lock:
            self._callbacks.pop(number, None)


class SignalWatch:
    """While it is open, SIGTERM and SIGINT ask for a stop, and at last end the process.

    Only one can be open, in the main thread.

    Args:
        stop: is asked.
        grace: seconds from the first signal to the end by force.
    """

    def __init__(self, stop: StopFlag, *, grace: float = GRACE_SECONDS) -> None:
        self._stop = stop
        self._grace = grace
        self._last: Callable[[], None] = lambda: None
        self._before: dict[int, object] = {}

    def at_last(self, duty: Callable[[], None]) -> None:
        """What to do before an end by force. It must not take longer than a second."""
        self._last = duty

    def __enter__(self) -> SignalWatch:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, _ignored) for number in SIGNALS}
        self._thread = threading.Thread(target=self._listen, name="signals", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal() gave out
        os.close(self._write)  # ends the thread
        self._thread.join()
        os.close(self._read)

    def _listen(self) -> None:
        timer: threading.Timer | None = None
        while heard := os.read(self._read, 1):
            if heard[0] not in SIGNALS:
                continue
            name = signal.Signals(heard[0]).name
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
            self._last()
        finally:
            os._exit(EXIT_STOPPED)


def _ignored(number: int, frame: FrameType | None) -> None:
    """There must be a handler in Python for the one in C to be installed."""
