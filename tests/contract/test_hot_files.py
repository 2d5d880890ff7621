"""Hot files of several processes on one real Redis, and what a broken one costs."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis import Redis

from tests.contract.redis_server import PROGRAM, redis_process
from tests.unit.test_hot_files import MISS, STALE, Gate, Rig
from worker.adapters.cache import RedisCache
from worker.local.emulator import free_port
from worker.services.hot_files import FRESH_SECONDS, JITTER, CacheOutcome, HotFiles

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="the program redis-server is not installed")


def test_a_hundred_of_four_processes_make_one_read(tmp_path: Path) -> None:
    """At one expired file one reads the store; all others get the file from Redis meanwhile."""
    port, rig = free_port(), Rig()
    one = rig.file(data=b"picture" * 10_000)
    with redis_process(port, tmp_path):
        gate = Gate(rig.store)
        caches = [RedisCache(f"redis://127.0.0.1:{port}/0", timeout=10) for _ in range(4)]
        processes = [
            HotFiles(store=gate, bucket="delivery", cache=cache, clock=rig.clock)  # type: ignore[arg-type]
            for cache in caches
        ]
        for files in processes[:2]:
            files.get(one)
        assert rig.reads == 2
        rig.now += FRESH_SECONDS * (1 + JITTER) + 1
        gate.reached.clear()
        gate.open.clear()

        def ask(number: int) -> CacheOutcome:
            found = processes[number % 4].get(one)
            assert found.data == b"picture" * 10_000
            return found.outcome

        with ThreadPoolExecutor(101) as threads:
            refreshing = threads.submit(ask, 0)
            assert gate.reached.wait(30)
            others = list(threads.map(ask, range(100)))
            gate.open.set()
            assert refreshing.result(30) is MISS
        assert set(others) == {STALE}
        assert rig.reads == 3
        for cache in caches:
            cache.close()


@pytest.mark.parametrize("what", ["paused", "killed", "emptied", "garbage"])
def test_whatever_happens_to_redis_files_are_served(tmp_path: Path, what: str) -> None:
    """Threads get every file whole while the server is paused, killed, emptied or overwritten."""
    port, rig = free_port(), Rig()
    hot = [rig.file(f"file{number}", bytes([number]) * 100_000) for number in range(5)]
    with redis_process(port, tmp_path) as server:
        cache = RedisCache(f"redis://127.0.0.1:{port}/0")
        files = HotFiles(store=rig.store, bucket="delivery", cache=cache)
        begun = threading.Event()

        def work(_: int) -> None:
            for _ in range(40):
                for number, one in enumerate(hot):
                    assert files.get(one).data == bytes([number]) * 100_000
                begun.set()

        with ThreadPoolExecutor(4) as threads:
            done = threads.map(work, range(4))
            assert begun.wait(30)
            if what == "paused":
                server.send_signal(signal.SIGSTOP)
            elif what == "killed":
                server.kill()
            else:
                with Redis.from_url(f"redis://127.0.0.1:{port}/0") as redis:
                    for key in redis.scan_iter():
                        redis.delete(key) if what == "emptied" else redis.set(key, b"\0" * 90_000)
            list(done)
        cache.close()
