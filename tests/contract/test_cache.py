"""Cache: one suite in memory and on Redis; then what is special to each."""

from __future__ import annotations

import logging
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis import Redis

from tests.contract.redis_server import (
    PROGRAM,
    answering,
    callers,
    hanging,
    redis_process,
    redis_running,
)
from worker.adapters.cache import (
    CONNECTIONS,
    ENTRY_BYTES,
    FIRST_BACKOFF_SECONDS,
    LOG_INTERVAL_SECONDS,
    LONGEST_BACKOFF_SECONDS,
    MOST_VALUE_BYTES,
    PREFIX,
    MemoryCache,
    RedisCache,
    frame,
)
from worker.domain.errors import ConfigurationError
from worker.local.emulator import free_port
from worker.ports import Cache

needs_redis = pytest.mark.skipif(
    PROGRAM is None, reason="the program redis-server is not installed"
)


GARBAGE: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda _: b"",
    "a byte": lambda _: b"x",
    "text": lambda _: b"<html>" * 100,
    "zeros": lambda _: bytes(1000),
    "another key's": lambda name: frame(name + b"!", b"value"),
    "cut off": lambda name: frame(name, b"value")[:-1],
    "longer": lambda name: frame(name, b"value") + b"!",
    "a bit changed": lambda name: frame(name, b"value")[:-1] + b"d",
    "another version": lambda name: b"SLC2" + frame(name, b"value")[4:],
    "no head": lambda name: frame(name, b"value")[:10],
}


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running Redis."""
    with redis_running(free_port(), tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(params=["memory", pytest.param("redis", marks=needs_redis)])
def cache(request: pytest.FixtureRequest) -> Iterator[Cache]:
    """Every adapter in turn, empty."""
    if request.param == "memory":
        yield MemoryCache()
        return
    url = request.getfixturevalue("redis_url")
    with Redis.from_url(url) as redis:
        redis.flushall()
    # A machine busy with other tests may take longer than a cache should.
    shared = RedisCache(url, timeout=10)
    yield shared
    shared.close()


@pytest.mark.parametrize("value", [b"", b"x", bytes(range(256)) * 1000])
@pytest.mark.parametrize("key", ["key", "", "with space\r\n", "日本語", "\ud800", "k" * 10_000])
def test_what_is_put_is_got(cache: Cache, key: str, value: bytes) -> None:
    """Any bytes under any key come back; other keys stay empty."""
    cache.put(key, value, seconds=60)

    assert cache.get(key) == value
    assert cache.get(key + "!") is None


def test_a_key_that_was_never_put_is_a_miss(cache: Cache) -> None:
    """Reading a missing key returns None, and dropping it is no error."""
    assert cache.get("key") is None
    cache.drop("key")


def test_putting_again_replaces(cache: Cache) -> None:
    """The last value counts."""
    cache.put("key", b"first", seconds=60)
    cache.put("key", b"second", seconds=60)

    assert cache.get("key") == b"second"


def test_a_dropped_value_is_gone(cache: Cache) -> None:
    """Dropping forgets one key and no other."""
    cache.put("key", b"x", seconds=60)
    cache.put("other", b"y", seconds=60)

    cache.drop("key")

    assert (cache.get("key"), cache.get("other")) == (None, b"y")


def test_one_of_many_adds(cache: Cache) -> None:
    """Of a hundred that add at once one does, and its value stays until it is dropped."""
    with ThreadPoolExecutor(20) as threads:
        added = list(threads.map(lambda n: cache.add("key", b"%d" % n, seconds=60), range(100)))
    assert added.count(True) == 1
    assert cache.get("key") == b"%d" % added.index(True)

    cache.drop("key")
    assert cache.add("key", b"x", seconds=60)
    assert not cache.add("key", b"y", seconds=60)
    assert cache.get("key") == b"x"


@pytest.mark.parametrize("seconds", [0, -5])
def test_no_time_is_not_kept(cache: Cache, seconds: int) -> None:
    """A value for no time is not there, nor is the one that it replaces."""
    cache.put("key", b"old", seconds=60)
    cache.put("key", b"x", seconds=seconds)

    assert cache.get("key") is None


def test_threads_share_it(cache: Cache) -> None:
    """Threads that put, get and drop the same keys see whole values or none."""

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(100):
            key = f"key{rng.randrange(5)}"
            cache.put(key, key.encode() * 100, seconds=60)
            assert cache.get(key) in {None, key.encode() * 100}
            cache.drop(f"key{rng.randrange(5)}")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))


def test_memory_expires() -> None:
    """A value is there until its time is over and not any longer."""
    clock = Clock()
    cache = MemoryCache(clock=clock)
    cache.put("key", b"x", seconds=10)

    clock.now += 9.999
    assert cache.get("key") == b"x"
    clock.now += 0.001
    assert cache.get("key") is None
    assert cache.held_bytes == 0


def test_memory_is_bounded() -> None:
    """The cache never holds more bytes than its limit, for any values."""
    cache = MemoryCache(10_000)
    rng = random.Random(1)
    for number in range(2000):
        cache.put(f"key{number % 300}", bytes(rng.randrange(3000)), seconds=60)
        assert 0 <= cache.held_bytes <= 10_000
    for number in range(300):
        cache.drop(f"key{number}")
    assert cache.held_bytes == 0


def test_memory_forgets_what_was_used_longest_ago() -> None:
    """The least recently used entry is evicted first."""
    cache = MemoryCache(3 * (ENTRY_BYTES + 101))
    for key in "abc":
        cache.put(key, bytes(100), seconds=60)
    cache.get("a")

    cache.put("d", bytes(100), seconds=60)

    assert [key for key in "abcd" if cache.get(key) is not None] == ["a", "c", "d"]


def test_memory_refuses_what_would_fill_it() -> None:
    """A value larger than the whole cache empties nothing."""
    cache = MemoryCache(1000)
    cache.put("key", b"x", seconds=60)
    cache.put("large", bytes(1000), seconds=60)

    assert (cache.get("key"), cache.get("large")) == (b"x", None)


@needs_redis
def test_redis_expires(redis_url: str) -> None:
    """Redis is told the seconds and keeps our keys apart from others'."""
    cache = RedisCache(redis_url, timeout=10)
    cache.put("expires", b"x", seconds=60)
    cache.close()
    with Redis.from_url(redis_url) as redis:
        assert 0 < int(redis.ttl(f"{PREFIX}expires")) <= 60


def test_a_dead_redis_is_a_miss(caplog: pytest.LogCaptureFixture) -> None:
    """If no server listens, every call is a miss without an exception, and the log has one line a
    minute."""
    clock = Clock()
    cache = RedisCache(f"redis://:secret@127.0.0.1:{free_port()}/0", clock=clock)
    with caplog.at_level(logging.WARNING):
        for _ in range(int(LOG_INTERVAL_SECONDS)):
            cache.put("key", b"x", seconds=60)
            assert cache.get("key") is None
            assert cache.add("key", b"x", seconds=60)
            cache.drop("key")
            clock.now += 1.01
        assert len(caplog.records) == 1
        clock.now += LONGEST_BACKOFF_SECONDS
        cache.get("key")

    assert len(caplog.records) == 2
    assert "secret" not in caplog.text


def test_a_hanging_redis_costs_one_timeout() -> None:
    """A Redis that never answers is left alone, longer each time; one call tries again."""
    clock = Clock()
    with hanging() as (listener, url):
        cache = RedisCache(url, timeout=0.05, clock=clock)
        cache.get("key")
        assert callers(listener) == 1
        for rest in (
            FIRST_BACKOFF_SECONDS,
            2,
            4,
            8,
            16,
            LONGEST_BACKOFF_SECONDS,
            LONGEST_BACKOFF_SECONDS,
        ):
            clock.now += rest - 0.01
            for _ in range(20):
                assert cache.get("key") is None
            assert callers(listener) == 0
            clock.now += 0.02
            for _ in range(20):
                assert cache.get("key") is None
            assert callers(listener) == 1
        cache.close()


@needs_redis
def test_redis_comes_back(tmp_path: Path) -> None:
    """After a restart the cache is used again once it has rested, and rests anew from the start."""
    clock, port = Clock(), free_port()
    cache = RedisCache(f"redis://127.0.0.1:{port}/0", timeout=10, clock=clock)
    with redis_running(port, tmp_path):
        cache.put("key", b"x", seconds=60)
        assert cache.get("key") == b"x"
    assert cache.get("key") is None
    with redis_running(port, tmp_path):
        assert cache.get("key") is None  # still resting
        clock.now += FIRST_BACKOFF_SECONDS
        cache.put("key", b"y", seconds=60)
        assert cache.get("key") == b"y"
    cache.close()


@needs_redis
def test_a_value_of_another_kind_is_a_miss(redis_url: str) -> None:
    """A foreign value under Safelight's key is a miss, and other keys stay usable."""
    cache = RedisCache(redis_url, timeout=10)
    with Redis.from_url(redis_url) as redis:
        redis.rpush(f"{PREFIX}list", "x")
    cache.put("key", b"x", seconds=60)

    assert cache.get("list") is None
    assert cache.get("key") == b"x"
    cache.close()


@needs_redis
@pytest.mark.parametrize("kind", sorted(GARBAGE))
def test_garbage_is_a_miss(redis_url: str, kind: str) -> None:
    """A value without a valid frame, or with a frame of another key or version, is a miss; a put
    repairs it."""
    name = f"{PREFIX}key".encode()
    cache = RedisCache(redis_url, timeout=10)
    with Redis.from_url(redis_url) as redis:
        redis.set(name, GARBAGE[kind](name))

    assert cache.get("key") is None
    cache.put("key", b"value", seconds=60)
    assert cache.get("key") == b"value"
    cache.close()


@needs_redis
def test_a_huge_value_is_not_read(redis_url: str) -> None:
    """Of 64 MB under one of our keys no more comes over than a value of ours may have."""
    cache = RedisCache(redis_url, timeout=10)
    with Redis.from_url(redis_url) as redis:
        redis.set(f"{PREFIX}key", bytes(64_000_000))
        before = redis.info("stats")["total_net_output_bytes"]
        assert cache.get("key") is None
        sent = redis.info("stats")["total_net_output_bytes"] - before
        redis.delete(f"{PREFIX}key")
    cache.close()

    assert sent < MOST_VALUE_BYTES + 100_000


@needs_redis
def test_a_value_that_is_too_large_is_not_kept(redis_url: str) -> None:
    """Nor is the one that it would have replaced."""
    cache = RedisCache(redis_url, timeout=10)
    cache.put("key", b"x", seconds=60)
    cache.put("key", bytes(MOST_VALUE_BYTES + 1), seconds=60)
    assert cache.get("key") is None
    cache.put("key", bytes(MOST_VALUE_BYTES), seconds=60)
    assert cache.get("key") == bytes(MOST_VALUE_BYTES)
    cache.close()


@needs_redis
def test_a_paused_redis_costs_one_timeout(tmp_path: Path) -> None:
    """A server that is stopped and continued: misses until the rest is over, then as before."""
    clock, port = Clock(), free_port()
    with redis_process(port, tmp_path) as server:
        steady = RedisCache(f"redis://127.0.0.1:{port}/0", timeout=10)
        cache = RedisCache(f"redis://127.0.0.1:{port}/0", clock=clock)
        steady.put("key", b"x", seconds=600)
        server.send_signal(signal.SIGSTOP)
        assert cache.get("key") is None  # its timeout
        server.send_signal(signal.SIGCONT)
        assert steady.get("key") == b"x"
        assert cache.get("key") is None  # not asked
        clock.now += FIRST_BACKOFF_SECONDS
        cache._redis.close()
        again = RedisCache(f"redis://127.0.0.1:{port}/0", timeout=10, clock=clock)
        assert again.get("key") == b"x"
        for one in (steady, cache, again):
            one.close()


@needs_redis
def test_more_threads_than_connections(redis_url: str) -> None:
    """A thread without a connection has a miss; other threads continue, and the circuit breaker
    stays closed."""
    clock = Clock()
    cache = RedisCache(redis_url, timeout=10, clock=clock)
    cache.put("key", b"x", seconds=60)
    taken = [cache._redis.connection_pool.get_connection() for _ in range(CONNECTIONS)]
    assert cache.get("key") is None
    cache._redis.connection_pool.release(taken.pop())
    assert cache.get("key") == b"x"
    for one in taken:
        cache._redis.connection_pool.release(one)
    cache.close()


@needs_redis
def test_a_full_redis_keeps_what_it_has(tmp_path: Path) -> None:
    """Without a rule to forget by a full server refuses to write. Reading goes on."""
    port = free_port()
    with redis_running(port, tmp_path, "--maxmemory", "8mb") as url:
        cache = RedisCache(url, timeout=10)
        for number in range(30):
            cache.put(f"key{number}", bytes(500_000), seconds=600)
        kept = [number for number in range(30) if cache.get(f"key{number}") is not None]
        assert kept == list(range(len(kept)))
        assert 1 <= len(kept) < 20
        assert cache.add("another", bytes(500_000), seconds=60)
        cache.close()


@needs_redis
def test_a_full_redis_forgets_what_is_seldom_used(tmp_path: Path) -> None:
    """With ``allkeys-lfu``, as the local stack sets it, popular values survive others."""
    port = free_port()
    options = ("--maxmemory", "8mb", "--maxmemory-policy", "allkeys-lfu")
    with redis_running(port, tmp_path, *options) as url:
        cache = RedisCache(url, timeout=10)
        hot = [f"hot{number}" for number in range(10)]
        for key in hot:
            cache.put(key, bytes(100_000), seconds=600)
        for _ in range(30):
            for key in hot:
                cache.get(key)
        for number in range(300):
            cache.put(f"cold{number}", bytes(100_000), seconds=600)
        assert sum(cache.get(key) is not None for key in hot) >= 9
        cache.close()


@needs_redis
def test_a_redis_that_dies_while_it_answers(tmp_path: Path) -> None:
    """Threads that read and write while the server is killed see values or misses, no error."""
    port = free_port()
    with redis_process(port, tmp_path) as server:
        cache = RedisCache(f"redis://127.0.0.1:{port}/0", timeout=10)
        cache.put("key", bytes(1_000_000), seconds=600)
        running = threading.Event()

        def work(_: int) -> None:
            for number in range(100):
                assert cache.get("key") in {None, bytes(1_000_000)}
                cache.put(f"other{number}", bytes(1_000), seconds=600)
                running.set()

        with ThreadPoolExecutor(4) as threads:
            done = threads.map(work, range(4))
            assert running.wait(30)
            server.kill()
            list(done)
        assert cache.get("key") is None
        cache.close()


def test_an_answer_that_trickles_is_cut_off() -> None:
    """The timeout is for a whole answer: a byte now and then does not begin it anew."""
    cut = threading.Event()

    def trickle(connection: socket.socket) -> None:
        connection.recv(1000)
        try:
            while True:
                connection.sendall(b"$")
                time.sleep(0.01)
        except OSError:
            cut.set()
            raise

    with answering(trickle) as url:
        cache = RedisCache(url, timeout=0.2)
        assert cache.get("key") is None
        assert cut.wait(30)
        cache.close()


@pytest.mark.parametrize(
    "said",
    [
        b"\0" * 100,
        b"$-5\r\n",
        b"$99999999999\r\n",
        b"*1000000\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"-ERR unknown command\r\n",
        b"+OK\r\n" * 10,
        b":5\r\n" * 10,
        b"*1\r\n:1\r\n" * 10,
        b"",
    ],
)
def test_another_protocol_is_a_miss(said: bytes) -> None:
    """Something else that listens there, and says what it likes, costs a miss."""

    def say(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(said)

    with answering(say) as url:
        clock = Clock()
        cache = RedisCache(url, timeout=0.2, clock=clock)
        for _ in range(3):
            assert cache.get("key") is None
            cache.put("key", b"x", seconds=60)
            assert cache.add("key", b"x", seconds=60)
            clock.now += LONGEST_BACKOFF_SECONDS
        cache.close()


@pytest.mark.parametrize("url", ["", "http://secret@host", "redis://host:port/", "secret"])
def test_a_url_that_is_none_is_said(url: str) -> None:
    """A mistake in the setting is named, without the password that may be in it."""
    with pytest.raises(ConfigurationError, match="SAFELIGHT_REDIS_URL") as caught:
        RedisCache(url)
    assert "secret" not in str(caught.value)
