"""Caches: in the memory of one process, and on Redis or Valkey.

Every error of Redis counts as a miss and is logged at most once a minute. A Redis that does not
answer must not cost a timeout for every picture: after one failure the cache keeps away from it (an
open circuit breaker), first for a second, then ever longer, and lets one call try again.

Values in Redis are input from outside: others may write there. Each one is framed with a version,
its length and a digest over key and value; what does not fit is a miss. The digest finds damage and
values under the wrong key. It is no signature: who can write to Redis can make one. So a user that
must be sure compares the value with something of its own, as ``HotFiles`` does.
"""

from __future__ import annotations

import logging
import struct
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from worker.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from redis import CredentialProvider, Redis

# --- memory -----------------------------------------------------------------------------------

DEFAULT_BYTES = 32 * 1024**2
ENTRY_BYTES = 200
"""Overhead of an entry in addition to its key and value: two objects, a tuple and its place in the
table."""


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
            self._put(key, value, seconds)

    def add(self, key: str, value: bytes, *, seconds: int) -> bool:
        """See ``Cache.add``."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None and self._clock() < entry[1]:
                return False
            self._put(key, value, seconds)
            return True

    def drop(self, key: str) -> None:
        """See ``Cache.drop``."""
        with self._lock:
            self._remove(key)

    @property
    def held_bytes(self) -> int:
        """Bytes held at the moment; never more than ``most_bytes``."""
        return self._held

    def _put(self, key: str, value: bytes, seconds: int) -> None:
        self._remove(key)
        cost = _cost(key, value)
        if seconds <= 0 or cost > self._most:
            return
        while self._held + cost > self._most:
            self._remove(next(iter(self._entries)))
        self._entries[key] = (value, self._clock() + seconds)
        self._held += cost

    def _remove(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._held -= _cost(key, entry[0])


def _cost(key: str, value: bytes) -> int:
    return len(key.encode(errors="surrogatepass")) + len(value) + ENTRY_BYTES


# --- Redis ------------------------------------------------------------------------------------

TIMEOUT_SECONDS = 0.1
"""For a whole answer, however it trickles in. A cache slower than this is none: S3 takes less."""
CONNECT_SECONDS = 0.25
"""For a new connection. TLS takes a small function's share of a core some 10 ms."""
FIRST_BACKOFF_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 30.0
LOG_INTERVAL_SECONDS = 60.0
"""Between two lines in the log about failures."""
PREFIX = "safelight:"
"""Before every key: other programs may share the Redis."""
CONNECTIONS = 32
MOST_VALUE_BYTES = 4_000_000
"""Larger values are not put, and of a larger one that somebody else has put no more is read."""
_READ_BYTES = 1 << 18
"""Of one read from the socket; the library's 32 KiB take a picture eight times as many."""

_log = logging.getLogger(__name__)
Answer = TypeVar("Answer")


class RedisCache:
    """A cache that processes share. Safe to share between threads; connects when first used.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``, with password and database.
        timeout: seconds for a connection and for an answer; None for the usual ones.
        credentials: gives user and password of each new connection. The URL may have the user.
        clock: seconds that only go up.

    Raises:
        ConfigurationError: the URL is none.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float | None = None,
        credentials: CredentialProvider | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        from redis import Redis  # 0.2 s, and most installations have no Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        try:
            self._redis: Redis = Redis.from_url(
                _without_user(url) if credentials else url,
                connection_class=_connection_class(url),
                socket_timeout=timeout or TIMEOUT_SECONDS,
                socket_connect_timeout=timeout or CONNECT_SECONDS,
                socket_read_size=_READ_BYTES,
                retry=Retry(NoBackoff(), 0),  # the library's own waits for seconds
                max_connections=CONNECTIONS,
                credential_provider=credentials,
                # No HELLO and no CLIENT SETINFO: three round trips less for each connection.
                protocol=2,
                driver_info=None,
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
        name = _name(key)
        # GET would read whatever lies there, up to 512 MB.
        framed = self._call(lambda: self._redis.getrange(name, 0, _HEAD.size + MOST_VALUE_BYTES))
        if not isinstance(framed, bytes) or not framed:
            return None
        value = unframed(name, framed)
        if value is None:
            self._log_failure(ValueError("a value is damaged or not of this version"))
        return value

    def put(self, key: str, value: bytes, *, seconds: int) -> None:
        """See ``Cache.put``. A value that is too large is not kept, nor is the one before it."""
        if seconds <= 0 or len(value) > MOST_VALUE_BYTES:
            self.drop(key)
            return
        name = _name(key)
        self._call(lambda: self._redis.set(name, frame(name, value), ex=seconds))

    def add(self, key: str, value: bytes, *, seconds: int) -> bool:
        """See ``Cache.add``."""
        if seconds <= 0 or len(value) > MOST_VALUE_BYTES:
            return True
        name = _name(key)
        # In a list: None is what Redis says of a key that is taken.
        set_ = self._call(lambda: [self._redis.set(name, frame(name, value), ex=seconds, nx=True)])
        return set_ is None or set_[0] is not None

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
        answer: Answer | None = None
        try:
            answer = call()
        except exceptions.MaxConnectionsError:
            return None  # more threads than connections: they do not wait for one
        except exceptions.ResponseError as error:
            # It answers, but not with this: full, read-only, another type under the key.
            self._log_failure(error)
        except Exception as error:  # noqa: BLE001 - of a strange answer the library may raise anything
            self._back_off(backoff)
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
        said = error if type(error) is ValueError else type(error).__name__
        _log.warning("Redis is not used: %s (calls failed: %d)", said, count)


_HEAD = struct.Struct(">4sI16s")
"""Version, length of the value in bytes, digest."""
_VERSION = b"SLC1"


def frame(name: bytes, value: bytes) -> bytes:
    """A value as it lies in Redis under a name."""
    return _HEAD.pack(_VERSION, len(value), _digest(name, value)) + value


def unframed(name: bytes, framed: bytes) -> bytes | None:
    """The value of a frame; None if it is none, or not one of this name."""
    if len(framed) < _HEAD.size:
        return None
    version, length, digest = _HEAD.unpack_from(framed)
    value = framed[_HEAD.size :]
    if version != _VERSION or length != len(value) or digest != _digest(name, value):
        return None
    return value


def _digest(name: bytes, value: bytes) -> bytes:
    # Processors of today have instructions for SHA-256: half the time of BLAKE2.
    made = sha256(len(name).to_bytes(8, "big") + name)
    made.update(value)
    return made.digest()[:16]


# --- connections with a deadline ----------------------------------------------------------------


class _BoundedSocket:
    """A socket whose timeout is for sending a command, and for its whole answer.

    A socket's own timeout is for each read: a server that sends a byte now and then never ends.
    """

    def __init__(self, connected: Any, seconds: float) -> None:
        self._socket, self._seconds = connected, seconds
        self._until = time.monotonic() + seconds
        self._blocking = True

    def settimeout(self, seconds: float | None) -> None:
        """0 asks what has arrived; any other value is ours to choose."""
        self._blocking = seconds != 0

    def sendall(self, data: bytes) -> None:
        """Send within the time that an answer may take from here on."""
        self._until = time.monotonic() + self._seconds
        rest = memoryview(data)
        while rest:
            self._socket.settimeout(self._left())
            rest = rest[self._socket.send(rest) :]

    def recv(self, size: int) -> bytes:
        """At most so many bytes of the answer."""
        self._socket.settimeout(self._left() if self._blocking else 0)
        received: bytes = self._socket.recv(size)
        return received

    def _left(self) -> float:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer takes too long")
        return left

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


@cache
def _connection_class(url: str) -> type:
    """The library's connection for a URL, with a deadline for every command.

    Raises:
        ValueError: the URL is none.
    """
    from redis import connection

    parse: Callable[[str], dict[str, Any]] = connection.parse_url
    base = parse(url).get("connection_class", connection.Connection)

    def connect(self: Any) -> _BoundedSocket:
        return _BoundedSocket(base._connect(self), self.socket_timeout)

    return type(f"Bounded{base.__name__}", (base,), {"_connect": connect})


def _without_user(url: str) -> str:
    """The library takes a user or somebody who knows one, not both."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _name(key: str) -> bytes:
    return (PREFIX + key).encode(errors="surrogatepass")
