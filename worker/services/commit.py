"""Steps around the commit of an outcome: renditions and timeline. Ingest and finalize share them.
Every step is idempotent: a retry that finds the commit repeats them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice

from worker.domain import keys, trace
from worker.domain.asset import CLOSED, SUPERSEDED, AssetRecord, LogEntry, Status
from worker.domain.errors import ObjectMissing
from worker.domain.moderation import said
from worker.imaging.engine import ProcessedImage
from worker.ports import ObjectStore, StoredObject
from worker.services.access import tags_of
from worker.services.originals import remove_original

_IGNORED = 1_000
"""Characters of the reasons for dropped metadata in a timeline entry."""
_PAGE = 1_000
CLOCKS = timedelta(minutes=1)
"""Largest assumed difference between the clocks of a process and of the store."""
_OF_JOBS = ("result.json", "rejected.json")
_CHECKPOINT = "/.checkpoint/"


class RenditionStore:
    """The delivery bucket as ingest uses it, with parallel requests. Thread-safe."""

    def __init__(self, store: ObjectStore, bucket: str, *, threads: int) -> None:
        """Use ``bucket`` of ``store`` with ``threads`` parallel requests."""
        self._store = store
        self._bucket = bucket
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="store")

    def close(self) -> None:
        """Wait for the threads."""
        self._pool.shutdown()

    def put_all(self, processed: ProcessedImage, record: AssetRecord) -> AssetRecord:
        """Store the rendered files and return the record that lists them.

        Raises:
            TransientError: the store does not answer; a retry overwrites the stored files.
        """
        renditions = tuple(keys.stored(record, one) for one in processed.renditions)

        def put(index: int) -> None:
            self._store.put(
                self._bucket,
                renditions[index].key,
                processed.renditions[index].data,
                content_type=renditions[index].format.media_type,
                cache_control=keys.IMMUTABLE,
                metadata=keys.cache_metadata(renditions[index].key, record.source.trace),
                tags=tags_of(record),
            )

        with trace.span("store", files=len(renditions)):
            self._each(put, range(len(renditions)))
        return replace(
            record,
            probe=processed.probe,
            metadata=processed.metadata,
            renditions=renditions,
            dropped=processed.dropped,
            first_view=processed.first_view,
        )

    def copy_all(self, duplicate: AssetRecord, record: AssetRecord) -> AssetRecord | None:
        """Copy the renditions of an asset with identical bytes; None if one of them has expired."""
        renditions = tuple(
            replace(one, key=keys.delivery_key(record, one.name, one.format.extension))
            for one in duplicate.renditions
        )

        def copy(index: int) -> None:
            source, target = duplicate.renditions[index].key, renditions[index].key
            # The source carries the tag and the trace of its own asset.
            own = keys.cache_metadata(target, record.source.trace)
            self._store.copy(
                (self._bucket, source),
                (self._bucket, target),
                metadata=own,
                tags=tags_of(record),
            )

        with trace.span("store", files=len(renditions), copied=True) as span:
            try:
                self._each(copy, range(len(renditions)))
            except ObjectMissing:
                span.set(outcome="expired")
                return None
        return replace(
            record,
            probe=duplicate.probe,
            metadata=duplicate.metadata,
            renditions=renditions,
            dropped=duplicate.dropped,
            first_view=duplicate.first_view,
            copied_from=duplicate.asset,
        )

    def delete_all(self, record: AssetRecord) -> None:
        """Delete renditions that will never be served."""
        self._each(
            lambda index: self._store.delete(self._bucket, record.renditions[index].key),
            range(len(record.renditions)),
        )

    def discard(self, prefix: str) -> None:
        """Delete all objects below a prefix that will never be served."""
        listed = self._store.list(self._bucket, prefix)
        while page := list(islice(listed, _PAGE)):
            self._each(
                lambda index, page=page: self._store.delete(self._bucket, page[index].key),  # type: ignore[misc]
                range(len(page)),
            )

    def expire(self, prefix: str, *, since: str, by: str = "") -> None:
        """Let all objects below a prefix expire, because their version is no longer served.

        A repeated call resumes. Checkpoints and results of jobs are deleted, because a later job
        would otherwise rely on files that expire soon.

        Args:
            prefix: of a version.
            since: when the version was replaced. Objects that were written more than a minute later
                are done already; the minute allows for the store's clock.
            by: prefix of the version that replaced it, or ``prefix`` itself if all its files
                expire. The first file below it has the store's time, which counts if the clock of
                the process that said ``since`` is behind.
        """
        until = datetime.fromisoformat(since)
        if by and (first := next(self._store.list(self._bucket, by), None)) is not None:
            until = max(until, datetime.fromisoformat(first.modified))
        until += CLOCKS

        def end(found: StoredObject) -> None:
            if found.key.endswith(_OF_JOBS) or _CHECKPOINT in found.key:
                self._store.delete(self._bucket, found.key)
            elif datetime.fromisoformat(found.modified) <= until:
                self._store.renew(self._bucket, found.key, tags={**SUPERSEDED, **CLOSED})

        listed = self._store.list(self._bucket, prefix)
        while page := list(islice(listed, _PAGE)):
            self._each(lambda index, page=page: end(page[index]), range(len(page)))  # type: ignore[misc]

    def _each(self, action: Callable[[int], None], numbers: Iterable[int]) -> None:
        """Run all tasks, wait for all, then raise the first error, so that no task is left
        running."""
        # Each task runs with the trace of the caller.
        futures = [self._pool.submit(copy_context().run, action, number) for number in numbers]
        wait(futures)
        for future in futures:
            future.result()


def timeline_entry(record: AssetRecord, *, ignored: Sequence[str] = ()) -> LogEntry:
    """The timeline entry of a commit.

    Args:
        ignored: metadata of the object that was dropped, with reasons.
    """
    return LogEntry(
        time=record.updated_at,
        kind=record.status.value,
        detail={"version": record.version}
        | ({"code": record.verdict.code} if record.verdict is not None else {})
        | (said(record.moderation) if record.moderation is not None else {})
        | ({"ignored": "; ".join(ignored)[:_IGNORED]} if ignored else {}),
        id=record.version,
    )


def after_commit(store: ObjectStore, record: AssetRecord) -> None:
    """Remove a rejected original from the intake bucket."""
    # Without a version id a delete could hit a newer upload: then expiry does it.
    if record.status is Status.REJECTED and record.source.version_id is not None:
        remove_original(store, record.source)
