"""The catalog on DynamoDB: each method of the port as a few requests.

What lives here: the order of requests, and why a crash or another writer between two of them does
no harm. Rules are in ``succession``, keys in ``keys``, single requests in ``requests``. Which
query serves which question, and what it costs, is in docs/catalog.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

from worker.adapters.aws.dynamodb import keys
from worker.adapters.aws.dynamodb.cursors import Cursors, check_limit, now, stamp
from worker.adapters.aws.dynamodb.items import (
    REVISION,
    SEQUENCE,
    Stored,
    job_item,
    key,
    log_item,
    meta_item,
    meta_key,
    read_job,
    read_log,
    read_meta,
    similar_item,
    tag_item,
    text,
)
from worker.adapters.aws.dynamodb.lists import Lists
from worker.adapters.aws.dynamodb.requests import (
    ATTEMPTS,
    ConditionFailed,
    DynamoTable,
    unless_changed,
    unless_newer,
)
from worker.adapters.aws.dynamodb.schema import SORT_KEY
from worker.adapters.catalog_rules import (
    check_distance,
    check_hash,
    known_hash,
    order,
    relabel,
    succeed,
)
from worker.domain.asset import AssetRecord, JobRecord, LogEntry, Page, Similar, Status
from worker.domain.errors import AssetMissing, Throttled
from worker.domain.labels import check_id

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_ENDLESS = "\U0010ffff"
"""Above every character of a sort key."""


class DynamoCatalog:
    """``ports.Catalog`` on one table. Safe between threads.

    Args:
        client: a DynamoDB client; its configuration bounds timeouts and retries of single calls.
        table: name of a table made from ``schema``.
        cursor_key: makes cursors unforgeable; see ``listing.Cursors``.
        log_days: days a line of the timeline is kept; None keeps all. The line of the current
            outcome is part of the record and stays with it.
        clock: the time now, ISO 8601 UTC.
        sleep: waits so many seconds between attempts.
    """

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        *,
        cursor_key: bytes = b"",
        log_days: int | None = None,
        clock: Callable[[], str] = now,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._table = DynamoTable(client, table, sleep=sleep)
        self._lists = Lists(self._table, Cursors(cursor_key))
        self._log_days = log_days
        self._clock = clock

    # --- one asset --------------------------------------------------------------------------

    def get(self, asset: str) -> AssetRecord | None:
        """The current record (strongly consistent)."""
        item = self._table.get(meta_key(asset))
        return None if item is None else read_meta(item).record

    def commit(self, record: AssetRecord, entry: LogEntry) -> AssetRecord:
        """Record the outcome of processing one upload.

        A first outcome is one read and two writes: SIMILAR, then META, which is the commit point
        and carries the line of the timeline. A later one moves the line before it into an item of
        its own first: three writes. META is written on condition that its revision is the one
        that was decided on; whoever was faster is decided on anew. What is written before META
        and then left alone does no harm: a line that META still has is listed once, and a search
        compares with the record's own hash.

        Raises:
            Superseded: a newer upload is recorded.
            AlreadyRecorded: exactly this upload and recipe is recorded as final.
            Throttled: others were faster several times in a row.
        """
        at = meta_key(record.asset)
        item = self._table.get(at)
        time_now = self._clock()
        for attempt in range(ATTEMPTS):
            known = None if item is None else read_meta(item)
            made = succeed(known.record if known else None, record, now=time_now)
            mine = Stored(record=made, entry=entry)
            for tag in sorted(made.tags - (known.record.tags if known else frozenset())):
                self._table.put(tag_item(made, tag))
            if known is not None:
                self._write_line(record.asset, known.entry)
            self._list_hash(known.record if known else None, made)
            try:
                self._table.put(
                    meta_item(mine),
                    unless_changed(REVISION, known.record.revision if known else None),
                )
            except ConditionFailed as lost:
                item = self._table.get(at) if lost.item is None else lost.item
                # botocore sent it again because the answer did not arrive: we may be the faster.
                if lost.repeated and item is not None and read_meta(item) == mine:
                    return made
                self._table.pause(attempt)
            else:
                return made
        raise Throttled(f"asset {record.asset}: others wrote to it {ATTEMPTS} times in a row")

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
        """Change tags and attributes, in one transaction with the items that list the tags.

        Raises:
            AssetMissing: no such asset.
            Conflict: ``revision`` is given and is not the current one.
            InputError: a tag or attribute is too long, or there are too many.
            Throttled: others were faster several times in a row.
        """
        added, removed, unset = tuple(add_tags), tuple(remove_tags), tuple(remove_attributes)
        for attempt in range(ATTEMPTS):
            item = self._table.get(meta_key(asset))
            if item is None:
                raise AssetMissing(f"the catalog knows no asset {asset}")
            stored = read_meta(item)
            known = stored.record
            changed = relabel(
                known,
                add_tags=added,
                remove_tags=removed,
                set_attributes=set_attributes,
                remove_attributes=unset,
                revision=revision,
                now=self._clock(),
            )
            if changed is known:
                return known
            partition = keys.asset_partition(asset)
            try:
                self._table.transact(
                    put=meta_item(Stored(record=changed, entry=stored.entry)),
                    condition=unless_changed(REVISION, known.revision),
                    puts=[tag_item(changed, tag) for tag in sorted(changed.tags - known.tags)],
                    deletes=[
                        key(partition, keys.tag_key(tag))
                        for tag in sorted(known.tags - changed.tags)
                    ],
                )
            except ConditionFailed:
                self._table.pause(attempt)
            else:
                return changed
        raise Throttled(f"asset {asset}: others wrote to it {ATTEMPTS} times in a row")

    def delete(self, asset: str) -> None:
        """Forget an asset with all its items; a missing one is no error.

        META goes last: a run that was cut short leaves an asset that can still be seen, and
        deleted again.
        """
        doomed = self._table.keys(keys.asset_partition(asset))
        self._table.erase(sorted(doomed, key=lambda at: text(at, SORT_KEY) == keys.META))

    def _write_line(self, asset: str, entry: LogEntry) -> None:
        expires = None
        if self._log_days is not None:
            moment = datetime.strptime(stamp(entry.time), "%Y%m%dT%H%M%S.%f%z")
            expires = int(moment.timestamp()) + self._log_days * 86_400
        self._table.put(log_item(asset, entry, expires))

    def _list_hash(self, known: AssetRecord | None, made: AssetRecord) -> None:
        """Bring SIMILAR in line with a record that is about to be written."""
        before = known_hash(known) if known else None
        after = known_hash(made)
        sequence = order(made.source.sequencer)
        same_upload = known is not None and order(known.source.sequencer) == sequence
        if after == before and (after is None or same_upload):
            return  # it was written before the record that is known
        # A condition that fails means a newer upload, whose record is about to be written, or is.
        with suppress(ConditionFailed):
            self._table.put(similar_item(made, after), unless_newer(SEQUENCE, sequence))

    # --- lists ------------------------------------------------------------------------------

    def list_assets(self, *, limit: int = 50, cursor: str | None = None) -> Page:
        """All assets, by the time of the log entry that came with the current outcome.

        The lists of all statuses, merged. An asset that moves from one to another while they are
        read may be found in both: its newer entry comes first, and the older one is passed over.
        """
        seen: set[str] = set()

        def first(record: AssetRecord) -> bool:
            known = record.asset in seen
            seen.add(record.asset)
            return not known

        return self._lists.page(
            ("list", "assets"),
            keys.STATUS_INDEX,
            [
                keys.status_partition(status, shard)
                for status in Status
                for shard in range(keys.SHARDS)
            ],
            first,
            limit=limit,
            cursor=cursor,
        )

    def by_owner(self, owner: str, *, limit: int = 50, cursor: str | None = None) -> Page:
        """Newest first, by the time of the first record. Assets without an owner are in no list."""
        return self._lists.page(
            ("owner", owner),
            keys.OWNER_INDEX,
            [keys.owner_partition(owner)],
            lambda record: record.owner == owner,
            limit=limit,
            cursor=cursor,
        )

    def by_status(self, status: Status, *, limit: int = 50, cursor: str | None = None) -> Page:
        """Newest first, by the time of the log entry that came with the current outcome."""
        return self._lists.page(
            ("status", status.value),
            keys.STATUS_INDEX,
            [keys.status_partition(status, shard) for shard in range(keys.SHARDS)],
            lambda record: record.status is status,
            limit=limit,
            cursor=cursor,
        )

    def by_tag(self, tag: str, *, limit: int = 50, cursor: str | None = None) -> Page:
        """Newest first, by the time of the first record."""
        return self._lists.page(
            ("tag", tag),
            keys.TAG_INDEX,
            [keys.tag_partition(tag, shard) for shard in range(keys.SHARDS)],
            lambda record: tag in record.tags,
            limit=limit,
            cursor=cursor,
        )

    def by_content(self, sha256: str) -> Sequence[AssetRecord]:
        """Assets with identical bytes, oldest first, at most 25."""
        check_id(sha256, "content hash")
        return self._lists.same_content(sha256)

    def similar(self, phash: str, *, distance: int = 3) -> Sequence[Similar]:
        """Assets that look alike, nearest first, at most 50.

        Raises:
            InputError: not a hash of 16 hex digits, or a distance that is not 0 to 3.
        """
        check_distance(distance)
        return self._lists.look_alikes(check_hash(phash), distance)

    # --- timeline and jobs ------------------------------------------------------------------

    def timeline(self, asset: str, *, limit: int = 100) -> Sequence[LogEntry]:
        """Newest first."""
        check_limit(limit)
        items = self._table.items(
            keys.asset_partition(asset), sort=(keys.LOG, keys.META), ascending=False, page=limit + 2
        )
        lines: dict[str, LogEntry] = {}
        # META comes first, with a line that may be older than others: one more is read, and the
        # line may also have an item of its own.
        for item in islice(items, limit + 2):
            entry = read_log(item)
            lines.setdefault(keys.log_key(entry), entry)
        return [lines[at] for at in sorted(lines, reverse=True)[:limit]]

    def log(self, asset: str, entry: LogEntry) -> None:
        """Add a line to the timeline; the same ``id`` and time again is one line."""
        self._write_line(asset, entry)

    def jobs(self, asset: str) -> Sequence[JobRecord]:
        """Oldest first."""
        items = self._table.items(
            keys.asset_partition(asset), sort=(keys.JOB, keys.JOB + _ENDLESS), ascending=True
        )
        return sorted(map(read_job, items), key=lambda job: (job.created_at, job.id))

    def put_job(self, job: JobRecord) -> None:
        """Add or replace a job of an asset."""
        self._table.put(job_item(job))
