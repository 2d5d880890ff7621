"""Backfill: enqueues existing objects as if they were uploaded now.

It reads a listing or an inventory (``inventory``) and sends messages at a limited rate. It can be
resumed, and estimates the cost.

A listed object has no sequencer, the number by which S3 orders the events of a key. It gets a
sequencer that is lower than any that S3 sends: sixteen zeros, then the time it was last modified.
S3's have 16 to 18 hexadecimal digits and are compared with zeros added on the right (``records``),
so:

- a real event always wins, in any order: a backfill never overwrites an upload that arrives
  meanwhile, and skips uploads that were handled already;
- of two backfills the one that saw the newer object wins, and a repeated object is the same upload,
  so no work is done twice.

So a backfill is for objects without an event. It cannot apply a new recipe to old uploads.

The same loop adds cache tags to objects of the delivery bucket that were written without them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import quote_plus

from worker.domain.asset import is_folder
from worker.domain.errors import InputError, ObjectMissing
from worker.domain.keys import cache_metadata
from worker.domain.ledger import CountedWork
from worker.ports import ObjectStore, Queue
from worker.prices import Assumptions, Prices
from worker.services import ordering
from worker.services.cost import cost

BATCH = 10
"""Messages in one request."""
_LOWEST = "0" * 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedObject:
    """An object to enqueue, with its position in the source."""

    bucket: str
    key: str
    size: int
    modified: str
    """ISO 8601 UTC."""
    etag: str = ""
    version_id: str | None = None
    mark: str
    """The position after which a later run starts: the key in a listing, the row in an
    inventory."""


class BackfillSource(Protocol):
    """A source of objects."""

    @property
    def name(self) -> str:
        """Identifies the source: a resumed run compares it."""
        ...

    def after(self, mark: str) -> Iterator[ListedObject]:
        """Objects after a mark, in a fixed order; from the start without a mark."""
        ...


class BackfillTask(Protocol):
    """The work for each object."""

    def wants(self, found: ListedObject) -> bool:
        """Whether an object needs work. Raises ``InputError`` for an object of another bucket."""
        ...

    def do(self, batch: Sequence[ListedObject]) -> None:
        """Do the work for all objects or raise an error. It may be repeated."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The objects of a bucket, from its listing."""

    store: ObjectStore
    bucket: str
    prefix: str = ""

    @property
    def name(self) -> str:
        """``s3://bucket/prefix``."""
        return f"s3://{self.bucket}/{self.prefix}"

    def after(self, mark: str) -> Iterator[ListedObject]:
        """Objects in order of key."""
        for item in self.store.list(self.bucket, self.prefix, after=mark):
            yield ListedObject(
                bucket=self.bucket,
                key=item.key,
                size=item.size,
                modified=item.modified,
                etag=item.etag,
                mark=item.key,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillProgress:
    """The progress of a backfill, which is kept between runs."""

    source: str
    mark: str = ""
    sent: int = 0
    bytes: int = 0
    skipped: int = 0
    finished: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The size and cost of a backfill."""

    objects: int
    skipped: int
    bytes: int
    requests_usd: float
    compute_usd: float
    catalog_usd: float

    @property
    def total_usd(self) -> float:
        """All of it."""
        return self.requests_usd + self.compute_usd + self.catalog_usd


def estimate(
    source: BackfillSource,
    *,
    bucket: str,
    after: str = "",
    price: Prices,
    need: Assumptions,
) -> Estimate:
    """Count the objects to enqueue and estimate the cost of handling them. Sends nothing.

    Raises:
        InputError: an object of another bucket than the intake.
        TransientError: the store does not answer.
    """
    objects = skipped = size = 0
    for one in source.after(after):
        if _is_work(one, bucket):
            objects, size = objects + 1, size + one.size
        else:
            skipped += 1
    work = CountedWork(objects=objects, bytes=size, files=round(objects * need.renditions))
    found = cost(work, price, need)
    return Estimate(
        objects=objects,
        skipped=skipped,
        bytes=size,
        requests_usd=found.requests + (objects + skipped) / 1000 * price.list_request,
        compute_usd=found.compute,
        catalog_usd=found.catalog,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestTask:
    """Enqueues objects of the intake bucket.

    Args:
        queue: sends the messages.
        url: URL of the queue that the ingest function reads.
        bucket: the intake bucket: ingest passes over events of any other.
    """

    queue: Queue
    url: str
    bucket: str

    def wants(self, found: ListedObject) -> bool:
        """See ``BackfillTask.wants``."""
        return _is_work(found, self.bucket)

    def do(self, batch: Sequence[ListedObject]) -> None:
        """See ``BackfillTask.do``."""
        self.queue.send(self.url, [_message(found) for found in batch])


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheTagTask:
    """Adds the cache tag of their asset to objects of the delivery bucket.

    Only objects without the tag are written again, unchanged, which resets their age for lifecycle
    rules.
    """

    store: ObjectStore
    bucket: str

    def wants(self, found: ListedObject) -> bool:
        """See ``BackfillTask.wants``: an object without an asset has no tag."""
        if found.bucket != self.bucket:
            text = f"s3://{found.bucket}/{found.key}: only the delivery bucket, {self.bucket}, has"
            raise InputError(f"{text} cache tags")
        return bool(cache_metadata(found.key))

    def do(self, batch: Sequence[ListedObject]) -> None:
        """See ``BackfillTask.do``."""
        with ThreadPoolExecutor(BATCH) as pool:
            list(pool.map(self._tag, batch))

    def _tag(self, found: ListedObject) -> None:
        wanted = cache_metadata(found.key)
        with suppress(ObjectMissing):
            there = self.store.head(found.bucket, found.key).metadata
            if not wanted.items() <= there.items():
                self.store.renew(found.bucket, found.key, metadata=wanted)

    def estimate(self, source: BackfillSource, *, after: str, price: Prices) -> Estimate:
        """Count the objects, and estimate the cost if none has its tag."""
        objects = skipped = size = 0
        for found in source.after(after):
            wanted = self.wants(found)
            objects, skipped = objects + wanted, skipped + (not wanted)
            size += found.size * wanted
        each = 2 * price.get_request + price.put_request
        return Estimate(
            objects=objects,
            skipped=skipped,
            bytes=size,
            requests_usd=objects * each + (objects + skipped) / 1000 * price.list_request,
            compute_usd=0.0,
            catalog_usd=0.0,
        )


def run(
    source: BackfillSource,
    *,
    task: BackfillTask,
    rate: float,
    progress: BackfillProgress,
    save: Callable[[BackfillProgress], None],
    stopped: Callable[[], bool] = lambda: False,
    pause: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> BackfillProgress:
    """Do the task for all objects, at most ``rate`` a second, until the source ends or the run is
    stopped.

    Args:
        source: the objects.
        task: what is done for each of them.
        rate: objects a second.
        progress: where to resume; ``BackfillProgress(source=source.name)`` at the start.
        save: stores the progress; called after every batch. If a run is killed between the batch
            and the call, the next run repeats up to ten objects, which has no effect.
        stopped: called before every batch; True ends the run.
        pause: sleeps for the given seconds, or until the run is stopped.
        clock: seconds, monotonic.

    Returns: the progress, with ``finished`` if the source has ended.

    Raises:
        InputError: an object of another bucket; the objects before it are done.
        TransientError: store or queue do not answer; run again to continue.
    """
    due = clock()
    for batch in _batches(source.after(progress.mark), task):
        if stopped():
            return progress
        work = [found for found in batch if task.wants(found)]
        if work:
            if (early := due - clock()) > 0:
                pause(early)
                if stopped():
                    return progress
            due = max(due, clock()) + len(work) / rate
            task.do(work)
        progress = replace(
            progress,
            mark=batch[-1].mark,
            sent=progress.sent + len(work),
            bytes=progress.bytes + sum(found.size for found in work),
            skipped=progress.skipped + len(batch) - len(work),
        )
        save(progress)
    progress = replace(progress, finished=True)
    save(progress)
    return progress


def sequencer_of(modified: str) -> str:
    """The sequencer of a listed object: see the module. Raises ValueError for an invalid time."""
    moment = datetime.fromisoformat(modified)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return f"{_LOWEST}{max(0, round(moment.timestamp() * 1000)):012X}"


def _batches(found: Iterable[ListedObject], task: BackfillTask) -> Iterator[Sequence[ListedObject]]:
    """Batches of objects, each with at most ``BATCH`` objects that need work."""
    batch: list[ListedObject] = []
    work = 0
    for each in found:
        batch.append(each)
        work += task.wants(each)
        if work == BATCH or len(batch) == 100 * BATCH:
            yield batch
            batch, work = [], 0
    if batch:
        yield batch


def _is_work(found: ListedObject, bucket: str) -> bool:
    """False for the empty objects that consoles create as folders."""
    if found.bucket != bucket:
        text = f"s3://{found.bucket}/{found.key}: only the intake bucket, {bucket}, is ingested"
        raise InputError(f"{text}; copy the objects there")
    return not is_folder(found.key, found.size)


def _message(found: ListedObject) -> tuple[str, str, str]:
    """An S3 event notification as S3 would have sent it, with group and deduplication id."""
    item: dict[str, object] = {
        "key": quote_plus(found.key),
        "size": found.size,
        "sequencer": sequencer_of(found.modified),
    }
    if found.etag:
        item["eTag"] = found.etag
    if found.version_id:
        item["versionId"] = found.version_id
    event = {
        "eventVersion": "2.1",
        "eventSource": "safelight:backfill",
        "eventName": "ObjectCreated:Put",
        "eventTime": found.modified,
        "s3": {"bucket": {"name": found.bucket}, "object": item},
    }
    body = json.dumps({"Records": [event]}, separators=(",", ":"))
    answer = ordering.handler([{"body": body}])[0]
    return body, answer["group"], answer["deduplication"]
