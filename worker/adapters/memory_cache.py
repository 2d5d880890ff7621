"""Cache in the memory of one process: bounded in bytes, least recently used goes first."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

DEFAULT_BYTES = 32 * 1024**2
ENTRY_BYTES = 200
"""What an entry costs beside its key and value: two objects, a tuple and its place in the table."""


class MemoryCache:
    """A cache of this process. Safe to share between threads.

    Args:
        most_bytes: of keys, values and their keeping together.
        clock: seconds that only go up.
    """

    def __init__(
        self, most_bytes: int = DEFAULT_BYTES, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most_bytes
        self._clock = clock
        self._entries: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()

    def get(self, key: str) -> bytes | None:
        """See ``Cache.get``."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            value, until = entry
            if self._clock() >= until:
                self._remove(key)
                return None
            self._entries.move_to_end(key)
            return value

    def put(self, key: str, value: bytes, *, seconds: int) -> None:
        """See ``Cache.put``. A value that would fill the cache alone is not kept."""
        with self._lock:
            self._remove(key)
            cost = _cost(key, value)
            if seconds <= 0 or cost > self._most:
                return
            while self._held + cost > self._most:
                self._remove(next(iter(self._entries)))
            self._entries[key] = (value, self._clock() + seconds)
            self._held += cost

    def drop(self, key: str) -> None:
        """See ``Cache.drop``."""
        with self._lock:
            self._remove(key)

    @property
    def held_bytes(self) -> int:
        """What it holds at the moment; never more than ``most_bytes``."""
        return self._held

    def _remove(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._held -= _cost(key, entry[0])


def _cost(key: str, value: bytes) -> int:
    return len(key.encode(errors="surrogatepass")) + len(value) + ENTRY_BYTES
