"""Popular renditions, from a cache in front of the store.

The cache stores only bytes, by SHA-256, and never decides about access: the caller reads the
asset's record from the catalog for every request, and asks for a rendition of that record. So a
deleted or held asset is unreachable as soon as its record changes, even if the deleting process
cannot reach the cache. Bytes from the cache are served only if they have the digest that the record
names, whoever wrote them. docs/delivery.md, "Hot files".
"""

from __future__ import annotations

import random
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256

from worker.domain import metrics
from worker.domain.errors import ObjectMissing, SafelightError, TransientError
from worker.domain.image import StoredRendition
from worker.ports import Cache, ObjectStore

MOST_BYTES = 1_000_000
"""Larger files are read from the store each time: one of them would evict a dozen others."""
FRESH_SECONDS = 3_600
"""After this time one request reads the file from the store again, to check that it still exists;
the others get it from the cache meanwhile."""
KEPT_SECONDS = 7_200
"""After this time without a request a file leaves the cache, also if it was erased."""
JITTER = 0.1
"""Random share added to ``FRESH_SECONDS``, so that files made together do not expire together."""
REFRESH_SECONDS = 10
"""Time for which the other requests wait for the one that reads the file again."""
ADMISSION_SECONDS = 600
"""A file is cached when it is requested twice within this time."""
_AGE = struct.Struct(">Q")
"""Unix time in milliseconds until which the file is fresh."""


class CacheOutcome(StrEnum):
    """Where a file came from. A closed set, because these are values of a metric's dimension."""

    HIT = "hit"
    STALE = "stale"
    """From the cache, while it is read again, or because the store does not respond."""
    MISS = "miss"
    BYPASS = "bypass"
    """Too large for the cache, or there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HotFile:
    """The bytes of a rendition."""

    data: bytes = field(repr=False)
    etag: str
    """Hex digits derived from the bytes, the same for the cache and the store."""
    outcome: CacheOutcome


class _Lookup:
    """A lookup in the cache, and a read of the store on a miss, that concurrent requests share."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.shared = False
        self.result: _Found | SafelightError | None = None
        """None while it runs, and after a defect."""


@dataclass(frozen=True, slots=True)
class _Found:
    data: bytes
    fresh_until: float
    outcome: CacheOutcome


class HotFiles:
    """Reads renditions. Safe to share between threads.

    Args:
        store: has them all.
        bucket: where they lie.
        cache: None for none.
        clock: Unix time, seconds.
        spread: a number from 0 to 1, evenly distributed.
    """

    def __init__(
        self,
        *,
        store: ObjectStore,
        bucket: str,
        cache: Cache | None = None,
        clock: Callable[[], float] = time.time,
        spread: Callable[[], float] = random.random,
    ) -> None:
        self._store, self._bucket, self._cache = store, bucket, cache
        self._clock, self._spread = clock, spread
        self._lookups: dict[str, _Lookup] = {}
        self._lock = threading.Lock()

    def get(self, rendition: StoredRendition) -> HotFile:
        """The file of a rendition whose record was read for this request.

        Raises:
            ObjectMissing: it has expired, or was erased since the record was read.
            TransientError: the store does not respond, and the cache has no such file.
        """
        cache = self._cache
        if cache is None or rendition.bytes > MOST_BYTES:
            data, outcome = self._read(rendition), CacheOutcome.BYPASS
        else:
            data, outcome = self._cached(rendition, cache)
        metrics.add(metrics.CACHE_READS, outcome=outcome.value)
        return HotFile(data=data, etag=_etag(data, rendition, outcome), outcome=outcome)

    def _cached(self, rendition: StoredRendition, cache: Cache) -> tuple[bytes, CacheOutcome]:
        found, now = self._shared(rendition, cache), self._clock()
        # A forged time cannot keep a file fresh for longer than FRESH_SECONDS.
        if found.outcome is CacheOutcome.MISS or (
            now < found.fresh_until <= now + FRESH_SECONDS * (1 + JITTER)
        ):
            return found.data, found.outcome
        if not cache.add(f"{_key(rendition)}:refresh", b"", seconds=REFRESH_SECONDS):
            return found.data, CacheOutcome.STALE
        # Within this request: Lambda freezes a function between two requests.
        try:
            data = self._read(rendition)
        except ObjectMissing:
            cache.drop(_key(rendition))
            raise
        except TransientError:
            return found.data, CacheOutcome.STALE
        self._put(rendition, cache, data)
        return data, CacheOutcome.MISS

    def _shared(self, rendition: StoredRendition, cache: Cache) -> _Found:
        """Look a file up, once for all concurrent requests in this process."""
        key = _key(rendition)
        with self._lock:
            lookup = self._lookups.get(key)
            first = lookup is None
            if lookup is None:
                lookup = self._lookups[key] = _Lookup()
            else:
                lookup.shared = True  # two concurrent requests: popular
        if not first:
            lookup.done.wait()
            if isinstance(lookup.result, SafelightError):
                raise lookup.result
            return lookup.result or self._look(rendition, cache, lookup)
        try:
            lookup.result = found = self._look(rendition, cache, lookup)
        except SafelightError as error:
            lookup.result = error
            raise
        finally:
            with self._lock:
                del self._lookups[key]
            lookup.done.set()
        return found

    def _look(self, rendition: StoredRendition, cache: Cache, lookup: _Lookup) -> _Found:
        key = _key(rendition)
        value = cache.get(key)
        if value is not None and len(value) > _AGE.size:
            data = value[_AGE.size :]
            if sha256(data).hexdigest() == rendition.sha256:
                return _Found(data, _AGE.unpack_from(value)[0] / 1000, CacheOutcome.HIT)
        data = self._read(rendition)
        asked_before = not cache.add(f"{key}:asked", b"", seconds=ADMISSION_SECONDS)
        if asked_before or lookup.shared:
            self._put(rendition, cache, data)
        return _Found(data, 0, CacheOutcome.MISS)

    def _read(self, rendition: StoredRendition) -> bytes:
        return self._store.get(self._bucket, rendition.key)[0]

    def _put(self, rendition: StoredRendition, cache: Cache, data: bytes) -> None:
        if sha256(data).hexdigest() != rendition.sha256:
            return  # it was replaced since the record was read
        fresh = FRESH_SECONDS * (1 + JITTER * (2 * self._spread() - 1))
        until = int(1000 * (self._clock() + fresh))
        cache.put(_key(rendition), _AGE.pack(until) + data, seconds=KEPT_SECONDS)


def _key(rendition: StoredRendition) -> str:
    return f"file:{rendition.sha256}"


def _etag(data: bytes, rendition: StoredRendition, outcome: CacheOutcome) -> str:
    from_cache = outcome in (CacheOutcome.HIT, CacheOutcome.STALE)
    return (rendition.sha256 if from_cache else sha256(data).hexdigest())[:32]
