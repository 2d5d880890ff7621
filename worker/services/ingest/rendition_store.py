"""Renditions in the delivery bucket: stored, copied and discarded several at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from itertools import islice

from worker.domain import keys
from worker.domain.asset import SUPERSEDED, AssetRecord
from worker.domain.errors import ObjectMissing
from worker.imaging.engine import ProcessedImage
from worker.ports import ObjectStore, StoredObject

IMMUTABLE = "public, max-age=31536000, immutable"
"""A rendition never changes under its key: the key names upload and recipe."""


_CHUNK = 1_000
_SECOND = len("2026-01-02T03:04:05")
_OF_JOBS = ("result.json", "rejected.json")
_CHECKPOINT = "/.checkpoint/"


class RenditionStore:
    """The delivery bucket as ingest uses it. For several threads."""

    def __init__(self, store: ObjectStore, bucket: str, *, threads: int) -> None:
        """Work on ``bucket`` of ``store`` with so many requests at a time."""
        self._store = store
        self._bucket = bucket
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="store")

    def close(self) -> None:
        """Wait for the threads."""
        self._pool.shutdown()

    def keep(self, processed: ProcessedImage, record: AssetRecord) -> AssetRecord:
        """Store what the engine made; the record with all of it named.

        Raises:
            TransientError: the store does not answer; what is stored is overwritten by a retry.
        """
        renditions = tuple(keys.stored(record, one) for one in processed.renditions)

        def put(index: int) -> None:
            self._store.put(
                self._bucket,
                renditions[index].key,
                processed.renditions[index].data,
                content_type=renditions[index].format.media_type,
                cache_control=IMMUTABLE,
            )

        self._each(put, range(len(renditions)))
        return replace(
            record,
            probe=processed.probe,
            metadata=processed.metadata,
            renditions=renditions,
            dropped=processed.dropped,
        )

    def copy(self, twin: AssetRecord, record: AssetRecord) -> AssetRecord | None:
        """Copy the renditions of identical bytes; None if one of them has expired since."""
        renditions = tuple(
            replace(one, key=keys.delivery_key(record, one.name, one.format.extension))
            for one in twin.renditions
        )

        def copy(index: int) -> None:
            source, target = twin.renditions[index].key, renditions[index].key
            self._store.copy((self._bucket, source), (self._bucket, target))

        try:
            self._each(copy, range(len(renditions)))
        except ObjectMissing:
            return None
        return replace(
            record,
            probe=twin.probe,
            metadata=twin.metadata,
            renditions=renditions,
            dropped=twin.dropped,
            copied_from=twin.asset,
        )

    def discard(self, record: AssetRecord) -> None:
        """Remove renditions that will never be served."""
        self._each(
            lambda index: self._store.delete(self._bucket, record.renditions[index].key),
            range(len(record.renditions)),
        )

    def expire(self, prefix: str, *, since: str, but: str = "") -> None:
        """Let what lies below a prefix expire, as a version that is served no more.

        Repeated, it goes on where it was. What a job has left for itself is removed: a job that
        found it would take files for done that are about to go.

        Args:
            prefix: of a version, or of an asset.
            since: when the version was replaced; what was written again later is done already.
            but: prefix of what stays.
        """

        def end(found: StoredObject) -> None:
            if found.key.endswith(_OF_JOBS) or _CHECKPOINT in found.key:
                self._store.delete(self._bucket, found.key)
            elif found.modified[:_SECOND] <= since[:_SECOND]:
                self._store.renew(self._bucket, found.key, tags=SUPERSEDED)

        listed = self._store.list(self._bucket, prefix)
        while chunk := list(islice(listed, _CHUNK)):
            old = [one for one in chunk if not (but and one.key.startswith(but))]
            self._each(lambda index, old=old: end(old[index]), range(len(old)))  # type: ignore[misc]

    def _each(self, action: Callable[[int], None], numbers: Iterable[int]) -> None:
        """Do all, wait for all, then raise the first error: nothing runs on behind our back."""
        futures = [self._pool.submit(action, number) for number in numbers]
        wait(futures)
        for future in futures:
            future.result()
