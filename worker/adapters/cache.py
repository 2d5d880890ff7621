"""Caches: in the memory of one process, and on Redis.

Whatever is wrong with Redis is a miss, logged once a minute. A Redis that does not answer must not
cost a timeout for every picture: after one failure the cache keeps away from it, first for a
second, then ever longer, and lets one call try again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from worker.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from redis import Redis

# --- memory -----------------------------------------------------------------------------------

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


# --- Redis ------------------------------------------------------------------------------------

TIMEOUT_SECONDS = 0.25
"""For connecting and for an answer. A cache slower than this is none."""
FIRST_BACKOFF_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 30.0
LOG_INTERVAL_SECONDS = 60.0
"""Between two lines in the log about failures."""
PREFIX = "safelight:"
"""Before every key: other programs may share the Redis."""
CONNECTIONS = 32

_log = logging.getLogger(__name__)
Answer = TypeVar("Answer")


class RedisCache:
    """A cache that processes share. Safe to share between threads; connects when first used.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``, with password and database.
        timeout: seconds, for connecting and for an answer.
        clock: seconds that only go up.

    Raises:
        ConfigurationError: the URL is none.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = TIMEOUT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        from redis import Redis  # 0.2 s, and most installations have no Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        try:
            self._redis: Redis = Redis.from_url(
                url,
                socket_timeout=timeout,
                socket_connect_timeout=timeout,
                retry=Retry(NoBackoff(), 0),  # the library's own waits for seconds
                max_connections=CONNECTIONS,
                client_name="safelight",
            )
        except ValueError as error:
            # The URL may hold a password, and the error the URL.
            raise ConfigurationError("SAFELIGHT_REDIS_URL is not the URL of a Redis") from error
        self._clock = clock
        self._lock = threading.Lock()
        self._backoff = 0.0
        self._retry_at = float("-inf")
        self._next_log = float("-inf")
        self._unlogged = 0

    def get(self, key: str) -> bytes | None:
        """See ``Cache.get``."""
        value = self._call(lambda: self._redis.get(_name(key)))
        return value if isinstance(value, bytes) else None

    def put(self, key: str, value: bytes, *, seconds: int) -> None:
        """See ``Cache.put``."""
        if seconds <= 0:
            self.drop(key)
            return
        self._call(lambda: self._redis.set(_name(key), value, ex=seconds))

    def drop(self, key: str) -> None:
        """See ``Cache.drop``."""
        self._call(lambda: self._redis.delete(_name(key)))

    def close(self) -> None:
        """Close the connections. The next use makes new ones."""
        self._redis.close()

    def _call(self, call: Callable[[], Answer]) -> Answer | None:
        from redis import exceptions

        backoff = self._current_backoff()
        if backoff is None:
            return None
        try:
            answer = call()
        except (exceptions.ConnectionError, exceptions.TimeoutError, OSError) as error:
            self._back_off(backoff)
            self._log_failure(error)
            return None
        except (exceptions.RedisError, ValueError) as error:
            # It answers, but not with this: full, read-only, another type under the key.
            self._log_failure(error)
            return None
        if backoff:
            with self._lock:
                self._backoff, self._retry_at = 0.0, float("-inf")
        return answer

    def _current_backoff(self) -> float | None:
        """None: not now. Otherwise the backoff that was taken before this call, 0 if none."""
        now = self._clock()
        with self._lock:
            if now < self._retry_at:
                return None
            # While this call tries, the others keep away: one pays for finding out.
            if self._backoff:
                self._retry_at = now + self._backoff
            return self._backoff

    def _back_off(self, backoff: float) -> None:
        with self._lock:
            if self._backoff != backoff:
                return  # a call that began with this one has failed before it
            self._backoff = min(max(2 * backoff, FIRST_BACKOFF_SECONDS), LONGEST_BACKOFF_SECONDS)
            self._retry_at = self._clock() + self._backoff

    def _log_failure(self, error: Exception) -> None:
        now = self._clock()
        with self._lock:
            self._unlogged += 1
            if now < self._next_log:
                return
            self._next_log = now + LOG_INTERVAL_SECONDS
            count, self._unlogged = self._unlogged, 0
        _log.warning("Redis is not used: %s (calls failed: %d)", type(error).__name__, count)


def _name(key: str) -> bytes:
    return (PREFIX + key).encode(errors="surrogatepass")
