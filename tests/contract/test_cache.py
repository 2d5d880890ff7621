"""Cache: one suite in memory and on Redis; then what is special to each."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis import Redis

from tests.contract.redis_server import PROGRAM, callers, hanging, redis_running
from worker.adapters.cache import (
    ENTRY_BYTES,
    FIRST_BACKOFF_SECONDS,
    LOG_INTERVAL_SECONDS,
    LONGEST_BACKOFF_SECONDS,
    PREFIX,
    MemoryCache,
    RedisCache,
)
from worker.domain.errors import ConfigurationError
from worker.local.emulator import free_port
from worker.ports import Cache

needs_redis = pytest.mark.skipif(
    PROGRAM is None, reason="the program redis-server is not installed"
)


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
    """Nothing there is None, and dropping it is no error."""
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
    """Whatever is put, the cache never holds more bytes than it may."""
    cache = MemoryCache(10_000)
    rng = random.Random(1)
    for number in range(2000):
        cache.put(f"key{number % 300}", bytes(rng.randrange(3000)), seconds=60)
        assert 0 <= cache.held_bytes <= 10_000
    for number in range(300):
        cache.drop(f"key{number}")
    assert cache.held_bytes == 0


def test_memory_forgets_what_was_used_longest_ago() -> None:
    """What is read stays; what nobody has asked for goes first."""
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
    """Nobody listening: every call is a miss and none raises; the log has one line a minute."""
    clock = Clock()
    cache = RedisCache(f"redis://:secret@127.0.0.1:{free_port()}/0", clock=clock)
    with caplog.at_level(logging.WARNING):
        for _ in range(int(LOG_INTERVAL_SECONDS)):
            cache.put("key", b"x", seconds=60)
            assert cache.get("key") is None
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
    """What somebody else has put under our key is a miss and keeps nobody away from the rest."""
    cache = RedisCache(redis_url, timeout=10)
    with Redis.from_url(redis_url) as redis:
        redis.rpush(f"{PREFIX}list", "x")
    cache.put("key", b"x", seconds=60)

    assert cache.get("list") is None
    assert cache.get("key") == b"x"
    cache.close()


@pytest.mark.parametrize("url", ["", "http://secret@host", "redis://host:port/", "secret"])
def test_a_url_that_is_none_is_said(url: str) -> None:
    """A mistake in the setting is named, without the password that may be in it."""
    with pytest.raises(ConfigurationError, match="SAFELIGHT_REDIS_URL") as caught:
        RedisCache(url)
    assert "secret" not in str(caught.value)
