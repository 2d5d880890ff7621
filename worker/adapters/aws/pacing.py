"""Staying below a service's limit of requests a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Pace:
    """A bucket of tokens: at most ``rate`` calls a second, a second's worth at once. Thread-safe.

    Args:
        rate: calls a second.
        clock: seconds, monotonic.
        sleep: waits.
    """

    def __init__(
        self,
        rate: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._tokens = rate
        self._at = clock()

    def wait(self) -> None:
        """Take a token; wait for it if there is none."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self._rate, self._tokens + (now - self._at) * self._rate) - 1
            self._at = now
            # Below nothing: whoever comes next waits behind this one.
            owed = -self._tokens / self._rate
        if owed > 0:
            self._sleep(owed)
