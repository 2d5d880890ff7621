"""The cache of hot files: what it keeps, for how long, and that it decides nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256

import pytest

from tests.unit.fakes import Fuse, MemoryStore
from tests.unit.test_deliver import PREFIX, World, made
from tests.unit.test_deliver import deliver as deliver_of
from worker.adapters.cache import MemoryCache
from worker.domain import metrics
from worker.domain.asset import LogEntry, Status
from worker.domain.errors import ObjectMissing, Unreachable
from worker.domain.image import Format, StoredRendition
from worker.domain.keys import cache_metadata
from worker.ports import StoredObject
from worker.services.deliver import CACHE_HEADER, Deliver
from worker.services.hot_files import (
    ADMISSION_SECONDS,
    FRESH_SECONDS,
    JITTER,
    KEPT_SECONDS,
    MOST_BYTES,
    REFRESH_SECONDS,
    CacheOutcome,
    HotFiles,
)

HIT, STALE = CacheOutcome.HIT, CacheOutcome.STALE
MISS, BYPASS = CacheOutcome.MISS, CacheOutcome.BYPASS


class Rig:
    """A store with files, a cache of one process, a clock that goes when told."""

    def __init__(self, *, spread: float = 0.5, most: int = 1 << 20) -> None:
        """Start empty."""
        self.fuse = Fuse()
        self.store = MemoryStore(self.fuse)
        self.now = 1_000_000.0
        self.cache = MemoryCache(most, clock=self.clock)
        self.files = HotFiles(
            store=self.store,
            bucket="delivery",
            cache=self.cache,
            clock=self.clock,
            spread=lambda: spread,
        )

    def clock(self) -> float:
        """The time."""
        return self.now

    def counted(self) -> dict[str, float]:
        """Outcomes since the last call."""
        return {dict(one.labels)["outcome"]: one.values[0] for one in metrics.take()}

    @property
    def reads(self) -> int:
        """Of the store."""
        return self.fuse.calls.count("store.get")

    def file(self, name: str = "medium", data: bytes = b"picture") -> StoredRendition:
        """Store a rendition."""
        one = replace(made(name, Format.WEBP, 1024, size=len(data)), sha256=digest(data))
        self.store.put(
            "delivery", one.key, data, content_type="image/webp", metadata=cache_metadata(one.key)
        )
        return one

    def ask(self, rendition: StoredRendition, times: int = 1) -> CacheOutcome:
        """The outcome of the last of so many requests."""
        return [self.files.get(rendition).outcome for _ in range(times)][-1]


def digest(data: bytes) -> str:
    """As records have it."""
    return sha256(data).hexdigest()


def test_what_is_asked_for_twice_is_kept() -> None:
    """One request puts nothing into the cache, the second does, the third reads no store."""
    rig = Rig()
    one = rig.file()

    assert [rig.ask(one) for _ in range(4)] == [MISS, MISS, HIT, HIT]
    assert (rig.reads, rig.counted()) == (2, {MISS: 2, HIT: 2})
    found = rig.files.get(one)
    assert (found.data, found.etag) == (b"picture", digest(b"picture")[:32])


def test_two_requests_far_apart_make_nothing_popular() -> None:
    """A rarely requested file is read from the store each time."""
    rig = Rig()
    one = rig.file()

    for _ in range(5):
        assert rig.ask(one) is MISS
        rig.now += ADMISSION_SECONDS
    assert rig.reads == 5


def test_a_scan_displaces_nothing() -> None:
    """A thousand files asked for once each leave the popular ones in a cache that holds ten, also
    one that forgets what was used longest ago, as ElastiCache Serverless does."""
    rig = Rig(most=10 * 11_000 + 1_000 * 400)
    hot = [rig.file(f"hot{number}", bytes([number]) * 10_000) for number in range(10)]
    for one in hot:
        assert rig.ask(one, 3) is HIT

    for number in range(1_000):
        rig.ask(rig.file(f"cold{number}", number.to_bytes(2, "big") * 5_000))

    assert [rig.ask(one) for one in hot] == [HIT] * 10


def test_large_files_pass_by() -> None:
    """A file above the cap is read from the store and nothing of it is kept."""
    rig = Rig(most=10 * MOST_BYTES)
    one = rig.file(data=bytes(MOST_BYTES + 1))
    most = rig.file("large", data=bytes(MOST_BYTES))

    assert (rig.ask(one, 3), rig.reads) == (BYPASS, 3)
    assert rig.ask(most, 3) is HIT


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_freshness_differs_by_the_jitter(spread: float) -> None:
    """Files are fresh for an hour, a tenth more or less."""
    rig = Rig(spread=spread)
    one = rig.file()
    rig.ask(one, 2)

    rig.now += FRESH_SECONDS * (1 + JITTER * (2 * spread - 1)) - 1
    assert rig.ask(one) is HIT
    rig.now += 2
    assert [rig.ask(one), rig.ask(one)] == [MISS, HIT]
    assert rig.reads == 3


def test_files_leave_the_cache() -> None:
    """A file without requests leaves the cache after its time."""
    rig = Rig()
    one = rig.file()
    rig.ask(one, 2)
    rig.now += KEPT_SECONDS

    assert (rig.ask(one), rig.cache.held_bytes < 1_000) == (MISS, True)


class Gate:
    """A store whose reads wait."""

    def __init__(self, store: MemoryStore) -> None:
        """Stand before a store, open."""
        self.store = store
        self.reached, self.open = threading.Event(), threading.Event()
        self.open.set()

    def get(self, bucket: str, key: str) -> tuple[bytes, StoredObject]:
        """See the port."""
        self.reached.set()
        assert self.open.wait(30)
        return self.store.get(bucket, key)


def test_a_hundred_at_an_expired_file_make_one_read() -> None:
    """While one reads the file again, the others get it from the cache without waiting."""
    rig = Rig()
    one = rig.file()
    rig.ask(one, 2)
    rig.now += FRESH_SECONDS * (1 + JITTER) + 1
    gate = Gate(rig.store)
    rig.files._store = gate  # type: ignore[assignment]
    gate.open.clear()

    with ThreadPoolExecutor(101) as threads:
        refreshing = threads.submit(rig.ask, one)
        assert gate.reached.wait(30)
        others = list(threads.map(lambda _: rig.ask(one), range(100)))
        assert not refreshing.done()
        gate.open.set()
        assert refreshing.result(30) is MISS

    assert set(others) == {STALE}
    assert rig.reads == 3
    assert rig.ask(one) is HIT


def test_a_hundred_at_an_unknown_file_share_a_read() -> None:
    """They wait for the first one. Who comes when it is over finds the file in the cache."""
    rig = Rig()
    one = rig.file()
    gate = Gate(rig.store)
    rig.files._store = gate  # type: ignore[assignment]
    gate.open.clear()
    barrier = threading.Barrier(101)

    def ask(_: int) -> bytes:
        barrier.wait(30)
        return rig.files.get(one).data

    with ThreadPoolExecutor(100) as threads:
        answers = threads.map(ask, range(100))
        barrier.wait(30)
        assert gate.reached.wait(30)
        gate.open.set()
        assert set(answers) == {b"picture"}

    # Two if the first one was alone until its end: then it was not popular yet.
    assert rig.reads <= 2


def test_a_shared_failure_is_everybodys() -> None:
    """A store that does not respond is not asked once more by each that waits."""
    rig = Rig()
    one = rig.file()
    gate = Gate(rig.store)
    rig.files._store = gate  # type: ignore[assignment]
    gate.open.clear()
    rig.fuse.burns_at, rig.fuse.error = len(rig.fuse.calls) + 1, lambda: Unreachable("S3")
    joined = threading.Event()
    lookups = rig.files._lookups

    def second() -> bytes:
        joined.set()
        return rig.files.get(one).data

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(rig.files.get, one)
        assert gate.reached.wait(30)
        (lookup,) = lookups.values()
        other = threads.submit(second)
        while not lookup.shared:
            joined.wait(0.01)
        gate.open.set()
        assert isinstance(first.exception(30), Unreachable)
        assert isinstance(other.exception(30), Unreachable)
    assert rig.reads == 1


def test_the_refresh_is_left_to_one_for_seconds() -> None:
    """If it never ends, the next one tries after its time."""
    rig = Rig()
    one = rig.file()
    rig.ask(one, 2)
    rig.now += FRESH_SECONDS * (1 + JITTER) + 1
    rig.cache.add(f"file:{one.sha256}:refresh", b"", seconds=REFRESH_SECONDS)

    assert rig.ask(one, 5) is STALE
    rig.now += REFRESH_SECONDS
    assert rig.ask(one) is MISS


def test_a_store_that_is_down_costs_no_hot_file() -> None:
    """A file that is no longer fresh is served while the store does not respond."""
    rig = Rig()
    one = rig.file()
    rig.ask(one, 2)
    rig.now += FRESH_SECONDS * (1 + JITTER) + 1
    rig.fuse.burns_at, rig.fuse.error = len(rig.fuse.calls) + 1, lambda: Unreachable("S3")

    assert rig.files.get(one).data == b"picture"
    assert rig.counted()[STALE] == 1


def test_a_file_that_is_gone_leaves_the_cache() -> None:
    """The first look at the store after it was deleted takes it out of the cache, too."""
    rig = Rig()
    one = rig.file()
    rig.ask(one, 2)
    rig.store.delete("delivery", one.key)
    rig.now += FRESH_SECONDS * (1 + JITTER) + 1

    for _ in range(2):
        with pytest.raises(ObjectMissing):
            rig.files.get(one)


def age(until: float) -> bytes:
    """What stands before a file in the cache."""
    return int(until * 1000).to_bytes(8, "big")


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"x",
        b"picture",
        age(1_000_100) + b"pictura",
        age(1_000_100) + b"picture!",
        age(1_000_100) + b"<script>alert(1)</script>",
        bytes(100_000),
    ],
)
def test_a_wrong_value_is_a_miss(value: bytes) -> None:
    """Bytes without the digest of the record are not served, whoever put them there."""
    rig = Rig()
    one = rig.file()
    rig.ask(one, 2)
    rig.cache.put(f"file:{one.sha256}", value, seconds=60)

    assert (rig.ask(one), rig.files.get(one).data) == (MISS, b"picture")


@pytest.mark.parametrize("until", [0.0, 1_000_000.0 + 2 * FRESH_SECONDS, 2.0**54])
def test_nobody_else_keeps_a_file_fresh(until: float) -> None:
    """A time beyond what we would write counts as passed: the file is read again."""
    rig = Rig()
    one = rig.file()
    rig.ask(one, 2)
    rig.cache.put(f"file:{one.sha256}", age(until) + b"picture", seconds=60)

    assert rig.ask(one) is MISS


def test_a_file_that_was_replaced_is_not_kept() -> None:
    """The stored file is served, but not cached under the digest of the record."""
    rig = Rig()
    one = rig.file()
    rig.store.put(
        "delivery", one.key, b"new", content_type="image/webp", metadata=cache_metadata(one.key)
    )

    assert rig.ask(one, 3) is MISS
    found = rig.files.get(one)
    assert (found.data, found.etag) == (b"new", digest(b"new")[:32])


def test_without_a_cache_the_store_is_read() -> None:
    """No cache is an outcome of its own, so that it does not lower the rate of hits."""
    rig = Rig()
    files = HotFiles(store=rig.store, bucket="delivery")

    assert files.get(rig.file()).outcome is BYPASS


# --- behind the delivery function ------------------------------------------------------------


def delivered() -> tuple[World, Deliver, Callable[[], tuple[int, str]]]:
    """An asset whose file is hot, and a request for it: status and Cache-Status."""
    data = f"{PREFIX}medium.webp".encode()
    world = World(
        renditions=[replace(made("medium", Format.WEBP, 1024), sha256=digest(data))],
    )
    files = HotFiles(store=world.store, bucket="delivery", cache=MemoryCache())
    deliver = deliver_of(world.store, world.catalog, files=files)

    def ask() -> tuple[int, str]:
        answer = deliver.answer(f"{PREFIX}w/640.avif")
        return answer.status, answer.headers.get(CACHE_HEADER, "")

    assert [ask() for _ in range(3)] == [
        (200, "safelight; fwd=miss"),
        (200, "safelight; fwd=miss"),
        (200, "safelight; hit"),
    ]
    return world, deliver, ask


@pytest.mark.parametrize(
    ("status", "answered"), [(Status.DELETED, 410), (Status.REVIEW, 403), (Status.REJECTED, 404)]
)
def test_a_hot_file_is_unreachable_as_soon_as_its_record_says_so(
    status: Status, answered: int
) -> None:
    """The next request after a deletion or a hold is refused, although the cache has the file."""
    world, _, ask = delivered()
    world.catalog.records[world.record.asset] = replace(world.record, status=status)

    assert ask() == (answered, "")


def test_an_erased_asset_is_unreachable_at_once() -> None:
    """Without a record nothing is served, whatever is cached, and whether or not S3 has it."""
    world, _, ask = delivered()
    world.catalog.delete(world.record.asset)

    assert ask() == (404, "")


def test_a_catalog_that_is_down_is_no_yes() -> None:
    """If the catalog cannot say who may see a file, nobody does: the cache is not asked."""
    world, _, ask = delivered()
    world.fuse.burns_at, world.fuse.error = len(world.fuse.calls) + 1, lambda: Unreachable("table")

    with pytest.raises(Unreachable):
        ask()


def test_a_hit_reads_the_catalog_and_nothing_else() -> None:
    """A warm request is one consistent read of the record, and no request of the bucket."""
    world, _, ask = delivered()
    before = len(world.fuse.calls)
    ask()

    assert world.fuse.calls[before:] == ["catalog.get"]


def test_the_record_is_never_cached() -> None:
    """A tag that somebody sets, or any other change, is seen by the next request."""
    world, deliver, _ = delivered()
    changed = replace(world.record, renditions=())
    world.catalog.records[world.record.asset] = changed
    world.catalog.log(world.record.asset, LogEntry(time="2026-01-02T03:04:06Z", kind="test"))

    assert deliver.answer(f"{PREFIX}medium.webp").status == 404
