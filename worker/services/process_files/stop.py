"""Asking a run to stop: by a signal or by a caller, without an exception at a random line."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Iterator
from types import FrameType


class Stop:
    """A wish to stop that a waiting loop can wake up from."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self.requested = False

    def request(self) -> None:
        """Ask the run to stop. Safe in a signal handler and any number of times."""
        self.requested = True
        with contextlib.suppress(OSError):  # the pipe is full of earlier wishes, or closed
            os.write(self._write, b"!")

    def wait(self, seconds: float) -> None:
        """Wait, but not for longer than until somebody asks to stop."""
        select.select([self], [], [], seconds)

    def fileno(self) -> int:
        """Return a descriptor that is readable once stopping was asked for."""
        return self._read

    def close(self) -> None:
        """Free the descriptors."""
        os.close(self._read)
        os.close(self._write)

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """While in this context, SIGINT and SIGTERM ask to stop.

        The second one raises KeyboardInterrupt: whoever waits too long is not held up.
        """

        def handler(_number: int, _frame: FrameType | None) -> None:
            if self.requested:
                raise KeyboardInterrupt
            self.request()

        before = {
            number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, action in before.items():
                signal.signal(number, action)
