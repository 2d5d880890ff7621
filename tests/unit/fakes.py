"""Hand-written fakes of the ports: small, in memory, strict, and breakable on purpose."""

from __future__ import annotations

import hashlib
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import EllipsisType

from worker.adapters.aws.dynamodb.catalog import Cursors, check_limit
from worker.adapters.aws.dynamodb.schema import NEVER, now, position, stamp
from worker.adapters.aws.s3 import encode_metadata, readable_key, writable_key
from worker.adapters.catalog_rules import (
    MAX_SAME_CONTENT,
    MAX_SIMILAR,
    amended,
    check_distance,
    check_hash,
    entry_id,
    hamming_distance,
    known_hash,
    next_record,
)
from worker.domain.asset import (
    AssetRecord,
    JobRecord,
    LogEntry,
    ObjectVersion,
    Page,
    Removal,
    Similar,
    Status,
    Verdict,
)
from worker.domain.errors import AssetMissing, ObjectChanged, ObjectMissing, ReviewMissing
from worker.domain.events import Event, of_job, of_line, of_record, of_review
from worker.domain.image import StoredRendition
from worker.domain.keys import cache_metadata
from worker.domain.label import Label
from worker.domain.moderation import Moderation
from worker.domain.review import (
    Choice,
    Review,
    ReviewDecision,
    ReviewPage,
    ReviewState,
    closed,
    decided,
    opened,
    parse_id,
    released,
)
from worker.domain.user_metadata import check_id
from worker.ports import StoredObject

MODIFIED = "2026-01-02T03:04:05.678Z"
"""When every object here was last modified."""
RENEWED = "2099-01-02T03:04:05.678Z"
"""The same, once it was written again."""


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


def _check_tag(bucket: str, key: str, metadata: Mapping[str, str] | None) -> None:
    """Whoever writes for an asset into the delivery bucket says so: else no cache forgets it."""
    wanted = cache_metadata(key) if bucket == "delivery" else {}
    assert wanted.items() <= (metadata or {}).items(), f"{key} is written without its cache tag"


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
    """``ports.ObjectStore``: the contract suite runs on it.

    Args:
        versioned: the bucket whose deletions leave the versions below them.
    """

    def __init__(self, fuse: Fuse | None = None, *, versioned: str = "intake") -> None:
        """Start empty."""
        self.fuse = fuse or Fuse()
        self._versioned = versioned
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
        readable_key(bucket, key)
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
        tags: Mapping[str, str] | None = None,
        once: bool = False,
    ) -> str:
        """See the port."""

        writable_key(key)
        encode_metadata(metadata or {})

        def effect() -> str:
            if content_type:  # what a test prepares itself has none
                _check_tag(bucket, key, metadata)
            if once and key in self.keys(bucket):
                return ""
            stored = self._add(bucket, key, data)
            stored.content_type, stored.cache_control = content_type, cache_control
            stored.metadata, stored.tags = dict(metadata or {}), dict(tags or {})
            return stored.etag

        return str(self.fuse.around("store.put", effect))

    def copy(
        self,
        source: tuple[str, str],
        target: tuple[str, str],
        *,
        version_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """See the port."""

        writable_key(target[1])
        encode_metadata(metadata or {})

        def effect() -> None:
            _check_tag(*target, metadata)
            found = self._find(*source, version_id)
            copied = self._add(*target, found.data)
            copied.metadata = dict(metadata if metadata is not None else found.metadata)
            copied.tags = dict(tags or {})
            copied.content_type, copied.cache_control = found.content_type, found.cache_control

        self.fuse.around("store.copy", effect)

    def tag(self, bucket: str, key: str, tags: Mapping[str, str]) -> None:
        """See the port."""

        def effect() -> None:
            with suppress(ObjectMissing):
                self._find(bucket, key, None).tags = dict(tags)

        self.fuse.around("store.tag", effect)

    def tags(self, bucket: str, key: str) -> Mapping[str, str]:
        """See the port."""
        return dict(self._find(bucket, key, None).tags)

    def renew(
        self,
        bucket: str,
        key: str,
        *,
        tags: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """See the port."""

        def effect() -> None:
            with suppress(ObjectMissing):
                found = self._find(bucket, key, None)
                found.modified = RENEWED
                found.metadata = {**found.metadata, **(metadata or {})}
                if tags is not None:
                    found.tags = dict(tags)

        self.fuse.around("store.renew", effect)

    def delete(
        self, bucket: str, key: str, *, version_id: str | None = None, etag: str | None = None
    ) -> None:
        """See the port."""

        def effect() -> None:
            kept = self.versions.get((bucket, key), [])
            if etag is not None and (not kept or kept[-1].marker or kept[-1].etag != etag):
                return
            if version_id is not None:
                left = [one for one in kept if one.version_id != version_id]
            elif bucket == self._versioned and kept:
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
                with suppress(ObjectMissing):  # deleted since
                    yield self._head(key, self._find(bucket, key, None))


class MemoryCatalog:
    """``ports.Catalog``: the contract suite runs on it."""

    def __init__(self, fuse: Fuse | None = None) -> None:
        """Start empty."""
        self.fuse = fuse or Fuse()
        self.records: dict[str, AssetRecord] = {}
        self.entries: dict[tuple[str, str, str], LogEntry] = {}
        self.known_jobs: dict[tuple[str, str], JobRecord] = {}
        self.known_reviews: dict[tuple[str, str, int], Review] = {}
        self.told: list[Event] = []
        """The events that follow from the writes, in their order: what the outbox sends."""
        self._committed: dict[str, str] = {}
        """When the newest outcome of each asset came."""
        self._claims: dict[tuple[str, str], tuple[str, float, int]] = {}
        """Holder, end and number of each claim."""
        self._cursors = Cursors()
        self._lock = threading.Lock()

    def get(self, asset: str) -> AssetRecord | None:
        """See the port."""
        check_id(asset, "asset id")
        result = self.fuse.around("catalog.get", lambda: self.records.get(asset))
        assert result is None or isinstance(result, AssetRecord)
        return result

    def commit(self, record: AssetRecord, entry: LogEntry, *, new: bool = False) -> AssetRecord:
        """See the port."""

        def effect() -> AssetRecord:
            with self._lock:
                made = next_record(self.records.get(record.asset), record, now=record.updated_at)
                known_hash(made)
                self._write_line(record.asset, entry)
                self._committed[record.asset] = entry.time
                self._tell(of_record(self.records.get(record.asset), made))
                self.records[record.asset] = made
                return made

        result = self.fuse.around("catalog.commit", effect)
        assert isinstance(result, AssetRecord)
        return result

    def _tell(self, event: Event | None) -> None:
        if event is not None:
            self.told.append(event)

    def _write_line(self, asset: str, entry: LogEntry) -> None:
        self.entries[asset, stamp(entry.time), entry_id(entry)] = entry

    def update(
        self,
        asset: str,
        *,
        add_tags: Iterable[str] = (),
        remove_tags: Iterable[str] = (),
        set_attributes: Mapping[str, str] | None = None,
        remove_attributes: Iterable[str] = (),
        focal_point: tuple[float, float] | EllipsisType | None = ...,
        labels: tuple[Label, ...] | None = None,
        labelled: str | None = None,
        again: bool = False,
        decision: tuple[Status, Verdict | None] | None = None,
        rendition: StoredRendition | None = None,
        moderation: Moderation | None = None,
        revision: int | None = None,
    ) -> AssetRecord:
        """See the port."""
        check_id(asset, "asset id")
        with self._lock:
            known = self.records.get(asset)
            if known is None:
                raise AssetMissing(f"no asset {asset}")
            changed = amended(
                known,
                add_tags=add_tags,
                remove_tags=remove_tags,
                set_attributes=set_attributes,
                remove_attributes=remove_attributes,
                focal_point=focal_point,
                labels=labels,
                labelled=labelled,
                again=again,
                decision=decision,
                rendition=rendition,
                moderation=moderation,
                revision=revision,
                now=now(),
            )
            self._tell(of_record(known, changed))
            self.records[asset] = changed
            return self.records[asset]

    def delete(self, asset: str) -> None:
        """See the port."""
        check_id(asset, "asset id")

        def effect() -> None:
            self._tell(of_record(self.records.pop(asset, None), None, time=now()))
            self.known_jobs = {at: job for at, job in self.known_jobs.items() if at[0] != asset}
            self.entries = {at: line for at, line in self.entries.items() if at[0] != asset}
            self.known_reviews = {
                at: one for at, one in self.known_reviews.items() if at[0] != asset
            }
            self._claims = {at: one for at, one in self._claims.items() if at[0] != asset}

        self.fuse.around("catalog.delete", effect)

    def list_assets(self, *, limit: int = 50, cursor: str | None = None) -> Page:
        """See the port."""
        return self._page(("list", "assets"), lambda _: True, self._outcome, limit, cursor)

    def by_owner(self, owner: str, *, limit: int = 50, cursor: str | None = None) -> Page:
        """See the port."""
        if owner:
            check_id(owner, "owner")
        wanted = lambda one: bool(owner) and one.owner == owner  # noqa: E731
        return self._page(("owner", owner), wanted, _created, limit, cursor)

    def by_status(self, status: Status, *, limit: int = 50, cursor: str | None = None) -> Page:
        """See the port."""
        wanted = lambda one: one.status is status  # noqa: E731
        return self._page(("status", status.value), wanted, self._outcome, limit, cursor)

    def by_tag(self, tag: str, *, limit: int = 50, cursor: str | None = None) -> Page:
        """See the port."""
        if tag:
            check_id(tag, "tag")
        return self._page(("tag", tag), lambda one: tag in one.tags, _created, limit, cursor)

    def _outcome(self, record: AssetRecord) -> str:
        return position(self._committed[record.asset], record.asset)

    def _page(
        self,
        listing: tuple[str, str],
        wanted: Callable[[AssetRecord], bool],
        position: Callable[[AssetRecord], str],
        limit: int,
        cursor: str | None,
    ) -> Page:
        check_limit(limit)
        name = " ".join(listing)
        before = self._cursors.open(name, cursor)
        found = {position(one): one for one in self.records.values() if wanted(one)}
        there = sorted((at for at in found if before is None or at < before), reverse=True)
        more = len(there) > limit
        return Page(
            records=tuple(found[at] for at in there[:limit]),
            cursor=self._cursors.seal(name, there[limit - 1]) if more else None,
        )

    def by_content(self, sha256: str) -> Sequence[AssetRecord]:
        """See the port."""
        check_id(sha256, "content hash")
        same = [
            one
            for one in self.records.values()
            if one.metadata is not None and one.metadata.sha256.lower() == sha256.lower()
        ]
        return sorted(same, key=_created)[:MAX_SAME_CONTENT]

    def similar(self, phash: str, *, distance: int = 3) -> Sequence[Similar]:
        """See the port."""
        check_distance(distance)
        wanted = check_hash(phash)
        near = [
            Similar(record=one, distance=hamming_distance(held, wanted))
            for one in self.records.values()
            if (held := known_hash(one)) is not None and hamming_distance(held, wanted) <= distance
        ]
        return sorted(near, key=lambda one: (one.distance, one.record.asset))[:MAX_SIMILAR]

    def timeline(self, asset: str, *, limit: int = 100) -> Sequence[LogEntry]:
        """See the port."""
        check_id(asset, "asset id")
        check_limit(limit)
        there = sorted((at for at in self.entries if at[0] == asset), reverse=True)
        return [self.entries[at] for at in there[:limit]]

    def log(self, asset: str, entry: LogEntry) -> None:
        """See the port."""
        check_id(asset, "asset id")

        def effect() -> None:
            known = (asset, stamp(entry.time), entry_id(entry)) in self.entries
            self._write_line(asset, entry)
            self._tell(None if known else of_line(asset, entry))

        self.fuse.around("catalog.log", effect)

    def jobs(self, asset: str) -> Sequence[JobRecord]:
        """See the port."""
        check_id(asset, "asset id")
        found = [job for (owner, _), job in self.known_jobs.items() if owner == asset]
        return sorted(found, key=lambda job: (job.created_at, job.id))

    def put_job(self, job: JobRecord) -> None:
        """See the port."""
        check_id(job.asset, "asset id")
        check_id(job.id, "job id")
        self._tell(of_job(self.known_jobs.get((job.asset, job.id)), job))
        self.known_jobs[job.asset, job.id] = job

    def open_review(self, wanted: Review) -> Review:
        """See the port."""
        check_id(wanted.asset, "asset id")
        check_id(wanted.version, "version")

        def effect() -> Review:
            with self._lock:
                known = [
                    one for one in self._reviews(wanted.asset) if one.version == wanted.version
                ]
                return self._keep(opened(known, wanted))

        result = self.fuse.around("catalog.open_review", effect)
        assert isinstance(result, Review)
        return result

    def review(self, review: str) -> Review | None:
        """See the port."""
        return self.known_reviews.get(parse_id(review))

    def reviews_of(self, asset: str) -> Sequence[Review]:
        """See the port."""
        check_id(asset, "asset id")
        return sorted(self._reviews(asset), key=lambda one: (one.asked_at, one.number))

    def reviews(
        self, state: ReviewState, *, limit: int = 50, cursor: str | None = None
    ) -> ReviewPage:
        """See the port."""
        check_limit(limit)
        name, ascending = f"reviews {state.value}", state is ReviewState.OPEN
        beyond = self._cursors.open(name, cursor)

        def turn(one: Review) -> str:
            return position((one.deadline or NEVER) if ascending else one.closed_at, one.id)

        found = {turn(one): one for one in self.known_reviews.values() if one.state is state}
        there = [
            at
            for at in sorted(found, reverse=not ascending)
            if beyond is None or (at > beyond if ascending else at < beyond)
        ]
        shown = [found[at] for at in there[:limit]]
        return ReviewPage(
            reviews=tuple(shown),
            records={
                one.asset: self.records[one.asset] for one in shown if one.asset in self.records
            },
            cursor=self._cursors.seal(name, there[limit - 1]) if len(there) > limit else None,
        )

    def decide_review(self, review: str, decision: ReviewDecision) -> Review:
        """See the port."""
        return self._change(review, "decide_review", lambda known: decided(known, decision))

    def close_review(
        self, review: str, state: ReviewState, *, time: str, default: Choice | None = None
    ) -> Review:
        """See the port."""
        return self._change(
            review, "close_review", lambda known: closed(known, state, time=time, default=default)
        )

    def release_review(self, review: str) -> Review:
        """See the port."""
        return self._change(review, "release_review", released)

    def _reviews(self, asset: str) -> Sequence[Review]:
        found = sorted((at, one) for at, one in self.known_reviews.items() if at[0] == asset)
        return [one for _, one in found]

    def _keep(self, review: Review) -> Review:
        at = (review.asset, review.version, review.number)
        self._tell(of_review(self.known_reviews.get(at), review))
        self.known_reviews[at] = review
        return review

    def _change(self, review: str, name: str, change: Callable[[Review], Review]) -> Review:
        def effect() -> Review:
            with self._lock:
                known = self.review(review)
                if known is None:
                    raise ReviewMissing(f"there is no review {review}")
                return self._keep(change(known))

        result = self.fuse.around(f"catalog.{name}", effect)
        assert isinstance(result, Review)
        return result

    def claim(self, asset: str, work: str, *, holder: str, seconds: float) -> int:
        """See the port."""
        check_id(asset, "asset id")
        check_id(work, "work")

        def effect() -> int:
            with self._lock:
                known, until, count = self._claims.get((asset, work), ("", 0.0, 0))
                if known != holder and time.monotonic() < until:
                    return 0
                until = time.monotonic() + seconds
                self._claims[asset, work] = (holder, until, count + 1)
                return count + 1

        return int(str(self.fuse.around("catalog.claim", effect)))


def _created(record: AssetRecord) -> str:
    return position(record.created_at, record.asset)


class MemoryEvents:
    """``ports.Events``: remembers what was sent."""

    def __init__(self, fuse: Fuse | None = None) -> None:
        """Start empty."""
        self.fuse = fuse or Fuse()
        self.published: list[Event] = []

    def publish(self, events: Sequence[Event]) -> None:
        """See the port."""
        self.fuse.around("events.publish", lambda: self.published.extend(events))
