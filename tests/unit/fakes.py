"""Hand-written fakes of the ports: small, in memory, strict, and breakable on purpose."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from worker.adapters.succession import succeed
from worker.errors import AssetMissing, Conflict, ObjectChanged, ObjectMissing
from worker.ports import StoredObject
from worker.records import (
    AssetRecord,
    Event,
    JobRecord,
    LogEntry,
    ObjectVersion,
    Page,
    Removal,
    Similar,
    Status,
)

MODIFIED = "2026-01-02T03:04:05.678Z"
"""When every object here was last modified."""
RENEWED = "2099-01-02T03:04:05.678Z"
"""The same, once it was written again."""
VERSIONED = "intake"
"""The one bucket that keeps versions."""


class Killed(BaseException):
    """The process dies here: nothing in it may catch this."""


@dataclass
class Fuse:
    """Counts calls that touch the world and breaks the one asked for."""

    burns_at: int | None = None
    error: Callable[[], BaseException] = Killed
    after: bool = False
    """Break after the call has had its effect instead of before."""
    calls: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def around(self, name: str, effect: Callable[[], object]) -> object:
        """Make a call, or break."""
        with self.lock:
            self.calls.append(name)
            burning = self.burns_at == len(self.calls)
        if burning and not self.after:
            raise self.error()
        result = effect()
        if burning:
            raise self.error()
        return result


@dataclass
class Stored:
    """One version of one object."""

    data: bytes
    etag: str
    version_id: str
    content_type: str = ""
    cache_control: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    marker: bool = False
    """Of a deletion: below it lie versions that are not shown."""
    modified: str = MODIFIED


class MemoryStore:
    """Versioned buckets."""

    def __init__(self, fuse: Fuse | None = None) -> None:
        """Start empty."""
        self.fuse = fuse or Fuse()
        self.versions: dict[tuple[str, str], list[Stored]] = {}
        self._ids = itertools.count(1)

    def upload(
        self, bucket: str, key: str, data: bytes, metadata: Mapping[str, str] | None = None
    ) -> ObjectVersion:
        """What a user's upload does: a new version and the event that tells of it."""
        stored = self._add(bucket, key, data)
        stored.metadata = dict(metadata or {})
        number = int(stored.version_id)
        return ObjectVersion(
            bucket=bucket,
            key=key,
            etag=stored.etag,
            sequencer=f"{number:018X}",
            size=len(data),
            version_id=stored.version_id,
            time=stored.modified,
        )

    def remove(self, bucket: str, key: str, version_id: str | None = None) -> Removal:
        """What a user's deletion does, and the event that tells of it."""
        self.delete(bucket, key, version_id=version_id)
        return Removal(
            bucket=bucket,
            key=key,
            sequencer=f"{next(self._ids):018X}",
            version_id=version_id or self.versions[bucket, key][-1].version_id,
            time=MODIFIED,
        )

    def _add(self, bucket: str, key: str, data: bytes) -> Stored:
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        stored = Stored(data, etag, str(next(self._ids)))
        self.versions.setdefault((bucket, key), []).append(stored)
        return stored

    def _find(self, bucket: str, key: str, version_id: str | None) -> Stored:
        for stored in reversed(self.versions.get((bucket, key), [])):
            if version_id is None and stored.marker:
                break
            if version_id is None or stored.version_id == version_id:
                return stored
        raise ObjectMissing(f"{bucket}/{key} is not there")

    def keys(self, bucket: str) -> set[str]:
        """Keys that have an object."""
        return {
            key
            for (where, key), found in self.versions.items()
            if where == bucket and found and not found[-1].marker
        }

    def get(
        self,
        bucket: str,
        key: str,
        *,
        version_id: str | None = None,
        etag: str | None = None,
        first: int | None = None,
    ) -> tuple[bytes, StoredObject]:
        """See the port."""

        def effect() -> tuple[bytes, StoredObject]:
            stored = self._find(bucket, key, version_id)
            if etag is not None and stored.etag != etag:
                raise ObjectChanged(f"{bucket}/{key} is another one")
            return stored.data[:first], self._head(key, stored)

        result = self.fuse.around("store.get", effect)
        assert isinstance(result, tuple)
        return result

    def _head(self, key: str, stored: Stored) -> StoredObject:
        return StoredObject(
            key=key,
            size=len(stored.data),
            etag=stored.etag,
            version_id=stored.version_id,
            content_type=stored.content_type,
            modified=stored.modified,
            metadata=stored.metadata,
        )

    def head(self, bucket: str, key: str, *, version_id: str | None = None) -> StoredObject:
        """See the port."""
        effect = lambda: self._head(key, self._find(bucket, key, version_id))  # noqa: E731
        result = self.fuse.around("store.head", effect)
        assert isinstance(result, StoredObject)
        return result

    def put(
        self,
        bucket: str,
        key: str,
        data: bytes,
        *,
        content_type: str,
        cache_control: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        """See the port."""

        def effect() -> str:
            stored = self._add(bucket, key, data)
            stored.content_type, stored.cache_control = content_type, cache_control
            stored.metadata = dict(metadata or {})
            return stored.etag

        return str(self.fuse.around("store.put", effect))

    def copy(
        self,
        source: tuple[str, str],
        target: tuple[str, str],
        *,
        version_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """See the port."""

        def effect() -> None:
            found = self._find(*source, version_id)
            copied = self._add(*target, found.data)
            copied.metadata = dict(metadata if metadata is not None else found.metadata)
            copied.content_type, copied.cache_control = found.content_type, found.cache_control

        self.fuse.around("store.copy", effect)

    def renew(self, bucket: str, key: str, *, tags: Mapping[str, str]) -> None:
        """See the port."""

        def effect() -> None:
            found = self._find(bucket, key, None)
            found.tags, found.modified = dict(tags), RENEWED

        self.fuse.around("store.renew", effect)

    def delete(
        self, bucket: str, key: str, *, version_id: str | None = None, etag: str | None = None
    ) -> None:
        """See the port. Only the intake bucket keeps versions."""

        def effect() -> None:
            kept = self.versions.get((bucket, key), [])
            if etag is not None and (not kept or kept[-1].marker or kept[-1].etag != etag):
                return
            if version_id is not None:
                left = [one for one in kept if one.version_id != version_id]
            elif bucket == VERSIONED and kept:
                left = [*kept, Stored(b"", "", str(next(self._ids)), marker=True)]
            else:
                left = []
            self.versions[bucket, key] = left

        self.fuse.around("store.delete", effect)

    def all_versions(self, bucket: str, prefix: str) -> Iterator[tuple[str, str]]:
        """See the port."""
        for (where, key), found in list(self.versions.items()):
            if where == bucket and key.startswith(prefix):
                for stored in list(found):
                    yield key, stored.version_id

    def list(self, bucket: str, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        """See the port."""
        for key in sorted(self.keys(bucket)):
            if key.startswith(prefix) and key > after:
                yield self._head(key, self._find(bucket, key, None))


class MemoryCatalog:
    """The part of the catalog that ingest uses, by the port's words."""

    def __init__(self, fuse: Fuse | None = None) -> None:
        """Start empty."""
        self.fuse = fuse or Fuse()
        self.records: dict[str, AssetRecord] = {}
        self.entries: dict[tuple[str, str, str], LogEntry] = {}
        self.known_jobs: dict[tuple[str, str], JobRecord] = {}
        self._lock = threading.Lock()

    def get(self, asset: str) -> AssetRecord | None:
        """See the port."""
        result = self.fuse.around("catalog.get", lambda: self.records.get(asset))
        assert result is None or isinstance(result, AssetRecord)
        return result

    def commit(self, record: AssetRecord, entry: LogEntry) -> AssetRecord:
        """See the port."""

        def effect() -> AssetRecord:
            with self._lock:
                known = self.records.get(record.asset)
                made = succeed(known, record, now=record.updated_at)
                self.entries[record.asset, entry.time, entry.id] = entry
                self.records[record.asset] = made
                return made

        result = self.fuse.around("catalog.commit", effect)
        assert isinstance(result, AssetRecord)
        return result

    def by_content(self, sha256: str) -> Sequence[AssetRecord]:
        """See the port."""
        return [
            record
            for record in self.records.values()
            if record.metadata is not None and record.metadata.sha256 == sha256
        ]

    def update(
        self,
        asset: str,
        *,
        add_tags: Iterable[str] = (),
        remove_tags: Iterable[str] = (),
        set_attributes: Mapping[str, str] | None = None,
        remove_attributes: Iterable[str] = (),
        revision: int | None = None,
    ) -> AssetRecord:
        """See the port."""
        record = self.records.get(asset)
        if record is None:
            raise AssetMissing(f"no asset {asset}")
        if revision is not None and revision != record.revision:
            raise Conflict("changed since")
        attributes = {**record.attributes, **(set_attributes or {})}
        for name in remove_attributes:
            attributes.pop(name, None)
        tags = (record.tags | set(add_tags)) - set(remove_tags)
        changed = replace(record, tags=tags, attributes=attributes, revision=record.revision + 1)
        self.records[asset] = changed
        return changed

    def delete(self, asset: str) -> None:
        """See the port."""

        def effect() -> None:
            self.records.pop(asset, None)
            self.known_jobs = {at: job for at, job in self.known_jobs.items() if at[0] != asset}
            self.entries = {at: line for at, line in self.entries.items() if at[0] != asset}

        self.fuse.around("catalog.delete", effect)

    def list_assets(self, *, limit: int = 50, cursor: str | None = None) -> Page:
        """See the port; one page."""
        return Page(records=tuple(self.records.values())[:limit])

    def by_owner(self, owner: str, *, limit: int = 50, cursor: str | None = None) -> Page:
        """See the port; one page."""
        return Page(records=tuple(r for r in self.records.values() if r.owner == owner)[:limit])

    def by_status(self, status: Status, *, limit: int = 50, cursor: str | None = None) -> Page:
        """See the port; one page."""
        return Page(records=tuple(r for r in self.records.values() if r.status is status)[:limit])

    def by_tag(self, tag: str, *, limit: int = 50, cursor: str | None = None) -> Page:
        """See the port; one page."""
        return Page(records=tuple(r for r in self.records.values() if tag in r.tags)[:limit])

    def similar(self, phash: str, *, distance: int = 3) -> Sequence[Similar]:
        """Nothing looks alike here."""
        return []

    def timeline(self, asset: str, *, limit: int = 100) -> Sequence[LogEntry]:
        """See the port."""
        found = [entry for (owner, *_), entry in self.entries.items() if owner == asset]
        return sorted(found, key=lambda entry: entry.time, reverse=True)[:limit]

    def log(self, asset: str, entry: LogEntry) -> None:
        """See the port."""

        def effect() -> None:
            self.entries[asset, entry.time, entry.id] = entry

        self.fuse.around("catalog.log", effect)

    def jobs(self, asset: str) -> Sequence[JobRecord]:
        """See the port."""
        return [job for (owner, _), job in self.known_jobs.items() if owner == asset]

    def put_job(self, job: JobRecord) -> None:
        """See the port."""
        self.known_jobs[job.asset, job.id] = job


class MemoryEvents:
    """Remembers what was published."""

    def __init__(self, fuse: Fuse | None = None) -> None:
        """Start empty."""
        self.fuse = fuse or Fuse()
        self.published: list[Event] = []

    def publish(self, events: Sequence[Event]) -> None:
        """See the port."""
        self.fuse.around("events.publish", lambda: self.published.extend(events))

    @property
    def ids(self) -> set[str]:
        """Distinct happenings: the same event twice is one."""
        return {event.id for event in self.published}
