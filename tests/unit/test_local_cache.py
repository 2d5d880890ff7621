"""The cache server of the local stack, and what its delivery server remembers."""

from __future__ import annotations

import stat
import time
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError
from redis.retry import Retry

from worker.adapters.cache import RedisCache
from worker.infra.edge import EdgeFunction, request_event, source
from worker.local import cache
from worker.local.cache import ANSWER_SECONDS, CacheServer
from worker.local.delivery import MOST_CHOSEN, DeliveryServer

ONCE = Retry(NoBackoff(), 0)
needs_server = pytest.mark.skipif(
    cache.program() is None, reason="neither redis-server nor valkey-server is installed"
)


@needs_server
@pytest.mark.parametrize("name", ["run", "with space", 'quote"back\\slash', "Größe"])
def test_it_forgets_by_popularity_and_keeps_nothing(tmp_path: Path, name: str) -> None:
    """A bounded server with a password, on loopback, without files, wherever its folder is."""
    folder = tmp_path / name
    folder.mkdir()
    server = CacheServer(program=cache.program() or "", folder=folder, log=tmp_path / "cache.log")
    process = server.start()
    try:
        redis = Redis.from_url(server.url, retry=ONCE)
        while not answers(redis):
            assert not process.ended(), server.log.read_text()
            time.sleep(0.01)
        wanted = {
            "maxmemory": str(64 * 1024**2),
            "maxmemory-policy": "allkeys-lfu",
            "save": "",
            "appendonly": "no",
            "bind": "127.0.0.1",
            "dir": str(folder),
        }
        cache_ = RedisCache(server.url)
        assert cache_._redis.get_connection_kwargs()["socket_timeout"] == ANSWER_SECONDS
        cache_.put("key", b"x", seconds=60)
        cache_.close()
        assert {key: redis.config_get(key)[key] for key in wanted} == wanted
        with pytest.raises(AuthenticationError):
            Redis(port=server.port, retry=ONCE).ping()
        redis.close()
    finally:
        process.end()
    file = folder / "cache.conf"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one.name for one in folder.iterdir()] == [file.name]
    assert server.password not in repr(server)


def answers(redis: Redis) -> bool:
    """Whether it is up."""
    try:
        return bool(redis.ping())
    except RedisError:
        return False


def test_without_a_server_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Valkey is preferred; without either the processes cache in their own memory."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cache.program() is None
    for name in ("redis-server", "valkey-server"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
        assert cache.program() == str(tmp_path / name)


def test_the_delivery_server_remembers_what_the_function_chose() -> None:
    """The same event gets the function's own result, and thousands of others do not fill memory."""
    edge = EdgeFunction(source())
    server = DeliveryServer(edge=edge, clients=Any, bucket="", deliver=Any)  # type: ignore[arg-type]
    asset = "/01890f6e-0000-7000-8000-000000000001/0123456789abcdef/w/640"

    for accept in ("image/webp", "image/avif,image/webp", "*/*", "image/webp"):
        event = request_event(asset, [("Accept", accept)])
        assert server._choose(event) == server._choose(event) == edge.handle(event)
    for number in range(2 * MOST_CHOSEN):
        server._choose(request_event("/", [("X", str(number))]))
    assert 0 < len(server._chosen) <= MOST_CHOSEN
