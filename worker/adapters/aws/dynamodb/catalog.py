"""The catalog on DynamoDB: each method of the port as a few requests.

Every method says in which order it writes, and why a crash or another writer between two requests
does no harm. Rules are in ``catalog_rules``, keys in ``schema``, single requests in ``requests``.
docs/catalog.md says which query serves which question, and what it costs.
"""

from __future__ import annotations

import base64
import binascii
import heapq
import hmac
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from hashlib import blake2b
from itertools import islice
from types import EllipsisType
from typing import TYPE_CHECKING, Any

from worker.adapters.aws.dynamodb import schema
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
    read_review,
    review_item,
    similar_item,
    tag_item,
    text,
)
from worker.adapters.aws.dynamodb.requests import (
    ATTEMPTS,
    ConditionFailed,
    DynamoTable,
    unless_changed,
    unless_newer,
)
from worker.adapters.aws.dynamodb.schema import (
    INDEXES,
    PARTITION_KEY,
    SORT_KEY,
    index_keys,
    now,
    stamp,
)
from worker.adapters.catalog_rules import (
    MAX_SAME_CONTENT,
    MAX_SIMILAR,
    amended,
    check_distance,
    check_hash,
    hamming_distance,
    known_hash,
    next_record,
    order,
)
from worker.domain.asset import (
    AssetRecord,
    JobRecord,
    LogEntry,
    Page,
    Similar,
    Status,
    Verdict,
)
from worker.domain.errors import AssetMissing, InputError, ReviewMissing, Throttled
from worker.domain.image import StoredRendition
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

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

KEPT_SECONDS = 3_600
"""How long an ended claim is kept, to tell who claims anew that somebody has tried before."""
MAX_LIMIT = 1000
"""Records of one page."""
_SEAL_BYTES = 12
_MAX_CURSOR = 2048
_ENDLESS = "\U0010ffff"
"""Above every character of a sort key."""


class DynamoCatalog:
    """``ports.Catalog`` on one table. Safe between threads.

    Args:
        client: a DynamoDB client; its configuration bounds timeouts and retries of single calls.
        table: name of a table made from ``schema``.
        cursor_key: makes cursors unforgeable; see :class:`Cursors`.
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

    def commit(self, record: AssetRecord, entry: LogEntry, *, new: bool = False) -> AssetRecord:
        """Record the outcome of processing one upload.

        A first outcome is one read and two writes: SIMILAR, then META, which is the commit point
        and carries the line of the timeline. A later one moves the line before it into an item of
        its own first: three writes. META is written on condition that its revision is the one that
        was decided on; a faster writer is decided on again. Items written before META do no harm if
        the call is then interrupted: an entry that META still has is listed once, and a search
        compares with the record's own hash. The read is spared for a ``new`` asset without tags.

        Raises:
            Superseded: a newer upload is recorded.
            AlreadyRecorded: exactly this upload and recipe is recorded as final.
            Throttled: others were faster several times in a row.
        """
        at = meta_key(record.asset)
        # META's condition finds out whether there is a record after all. Items that list tags have
        # the time of the first record in their keys, so that what precedes META must be right.
        item = None if new and not record.tags else self._table.get(at)
        time_now = self._clock()
        for attempt in range(ATTEMPTS):
            known = None if item is None else read_meta(item)
            made = next_record(known.record if known else None, record, now=time_now)
            mine = Stored(record=made, entry=entry)
            # Items that list an announced upload expire, so they are written again without an
            # expiry.
            listed: frozenset[str] = frozenset()
            if known is not None and known.record.status is not Status.WAITING:
                listed = known.record.tags
            for tag in sorted(made.tags - listed):
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
        focal_point: tuple[float, float] | EllipsisType | None = ...,
        labels: tuple[Label, ...] | None = None,
        labelled: str | None = None,
        again: bool = False,
        decision: tuple[Status, Verdict | None] | None = None,
        rendition: StoredRendition | None = None,
        moderation: Moderation | None = None,
        revision: int | None = None,
    ) -> AssetRecord:
        """Change what people say of an asset, in one transaction with the items that list the tags.

        Raises:
            AssetMissing: no such asset.
            Conflict: ``revision`` is given and is not the current one; ``undecidable``.
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
            changed = amended(
                known,
                add_tags=added,
                remove_tags=removed,
                set_attributes=set_attributes,
                remove_attributes=unset,
                focal_point=focal_point,
                labels=labels,
                labelled=labelled,
                again=again,
                decision=decision,
                rendition=rendition,
                moderation=moderation,
                revision=revision,
                now=self._clock(),
            )
            if changed is known:
                return known
            partition = schema.asset_partition(asset)
            try:
                self._table.transact(
                    put=meta_item(Stored(record=changed, entry=stored.entry)),
                    condition=unless_changed(REVISION, known.revision),
                    puts=[tag_item(changed, tag) for tag in sorted(changed.tags - known.tags)],
                    deletes=[
                        key(partition, schema.tag_key(tag))
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
        keys = self._table.keys(schema.asset_partition(asset))
        self._table.delete_all(sorted(keys, key=lambda at: text(at, SORT_KEY) == schema.META))

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
            schema.STATUS_INDEX,
            [
                schema.status_partition(status, shard)
                for status in Status
                for shard in range(schema.SHARDS)
            ],
            first,
            limit=limit,
            cursor=cursor,
        )

    def by_owner(self, owner: str, *, limit: int = 50, cursor: str | None = None) -> Page:
        """Newest first, by the time of the first record. Assets without an owner are in no list."""
        return self._lists.page(
            ("owner", owner),
            schema.OWNER_INDEX,
            [schema.owner_partition(owner)],
            lambda record: record.owner == owner,
            limit=limit,
            cursor=cursor,
        )

    def by_status(self, status: Status, *, limit: int = 50, cursor: str | None = None) -> Page:
        """Newest first, by the time of the log entry that came with the current outcome."""
        return self._lists.page(
            ("status", status.value),
            schema.STATUS_INDEX,
            [schema.status_partition(status, shard) for shard in range(schema.SHARDS)],
            lambda record: record.status is status,
            limit=limit,
            cursor=cursor,
        )

    def by_tag(self, tag: str, *, limit: int = 50, cursor: str | None = None) -> Page:
        """Newest first, by the time of the first record."""
        return self._lists.page(
            ("tag", tag),
            schema.TAG_INDEX,
            [schema.tag_partition(tag, shard) for shard in range(schema.SHARDS)],
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
        return self._lists.similar(check_hash(phash), distance)

    # --- timeline and jobs ------------------------------------------------------------------

    def timeline(self, asset: str, *, limit: int = 100) -> Sequence[LogEntry]:
        """Newest first."""
        check_limit(limit)
        items = self._table.items(
            schema.asset_partition(asset),
            sort=(schema.LOG, schema.META),
            ascending=False,
            page=limit + 2,
        )
        lines: dict[str, LogEntry] = {}
        # META comes first, with a line that may be older than others: one more is read, and the
        # line may also have an item of its own.
        for item in islice(items, limit + 2):
            entry = read_log(item)
            lines.setdefault(schema.log_key(entry), entry)
        return [lines[at] for at in sorted(lines, reverse=True)[:limit]]

    def log(self, asset: str, entry: LogEntry) -> None:
        """Add a line to the timeline; the same ``id`` and time again is one line."""
        self._write_line(asset, entry)

    def jobs(self, asset: str) -> Sequence[JobRecord]:
        """Oldest first."""
        items = self._table.items(
            schema.asset_partition(asset), sort=(schema.JOB, schema.JOB + _ENDLESS), ascending=True
        )
        return sorted(map(read_job, items), key=lambda job: (job.created_at, job.id))

    def put_job(self, job: JobRecord) -> None:
        """Add or replace a job of an asset."""
        self._table.put(job_item(job))

    def claim(self, asset: str, work: str, *, holder: str, seconds: float) -> int:
        """Claim a piece of work of an asset, in one conditional write.

        The table forgets a claim some time after its end, and an asset's deletion removes it.
        """
        at = key(schema.asset_partition(asset), schema.claim_key(work))
        begin = datetime.fromisoformat(self._clock())
        end = begin + timedelta(seconds=seconds)
        try:
            return self._table.claim(
                at,
                holder=holder,
                now=stamp(begin.isoformat()),
                until=stamp(end.isoformat()),
                expires=int(end.timestamp()) + KEPT_SECONDS,
            )
        except ConditionFailed:
            return 0

    # --- reviews ----------------------------------------------------------------------------

    def open_review(self, wanted: Review) -> Review:
        """Ask people about a version of an asset; see ``domain.review.opened``.

        One read of the reviews of the version, and one write on condition that they are the same.
        """
        partition = schema.asset_partition(wanted.asset)
        first = schema.review_key(wanted.version, 0)
        for attempt in range(ATTEMPTS):
            items = self._table.items(
                partition, sort=(first, first.rpartition("#")[0] + _ENDLESS), ascending=True
            )
            known = list(map(read_review, items))
            made = opened(known, wanted)
            there = {one.number: one for one in known}.get(made.number)
            if self._write_review(there, made, attempt):
                return made
        raise Throttled(f"reviews of {wanted.asset}: others wrote {ATTEMPTS} times in a row")

    def review(self, review: str) -> Review | None:
        """One review (strongly consistent). Raises ``ReviewMissing`` for what is no id."""
        asset, version, number = parse_id(review)
        at = key(schema.asset_partition(asset), schema.review_key(version, number))
        item = self._table.get(at)
        return None if item is None else read_review(item)

    def reviews_of(self, asset: str) -> Sequence[Review]:
        """All reviews of an asset, oldest first."""
        items = self._table.items(
            schema.asset_partition(asset),
            sort=(schema.REVIEW, schema.REVIEW + _ENDLESS),
            ascending=True,
        )
        return sorted(map(read_review, items), key=lambda one: (one.asked_at, one.number))

    def reviews(
        self, state: ReviewState, *, limit: int = 50, cursor: str | None = None
    ) -> ReviewPage:
        """Open reviews by deadline, others by their end, newest first."""
        return self._lists.reviews(state, limit=limit, cursor=cursor)

    def decide_review(self, review: str, decision: ReviewDecision) -> Review:
        """Write down what a person has decided; see ``domain.review.decided``."""
        return self._change_review(review, lambda known: decided(known, decision))

    def close_review(
        self, review: str, state: ReviewState, *, time: str, default: Choice | None = None
    ) -> Review:
        """End a review without a decision; one that is closed stays as it is."""
        return self._change_review(
            review, lambda known: closed(known, state, time=time, default=default)
        )

    def release_review(self, review: str) -> Review:
        """Write down that nobody waits for the answer any more, and forget the token."""
        return self._change_review(review, released)

    def _change_review(self, review: str, change: Callable[[Review], Review]) -> Review:
        """Read, change and write a review; the faster of two writers is asked about again."""
        for attempt in range(ATTEMPTS):
            known = self.review(review)
            if known is None:
                raise ReviewMissing(f"there is no review {review}")
            made = change(known)
            if self._write_review(known, made, attempt):
                return made
        raise Throttled(f"review {review}: others wrote to it {ATTEMPTS} times in a row")

    def _write_review(self, known: Review | None, made: Review, attempt: int) -> bool:
        """Whether what is stored is ``made`` now; False: another writer was faster."""
        if made == known:
            return True
        condition = unless_changed(REVISION, known.revision if known else None)
        try:
            self._table.put(review_item(made), condition)
        except ConditionFailed as lost:
            # botocore sent it again because the answer did not arrive: we may be the faster.
            if lost.repeated and lost.item is not None and read_review(lost.item) == made:
                return True
            self._table.pause(attempt)
            return False
        return True


# --- lists ------------------------------------------------------------------------------------

MAX_BAND = 50_000
"""Hashes compared in each band in a search for near duplicates, about 5 MB read. A band has a
65,536th of all pictures, but pictures without detail (a white page) crowd in a few of them."""

Entry = Mapping[str, Any]


class Lists:
    """The lists of one table."""

    def __init__(self, table: DynamoTable, cursors: Cursors) -> None:
        self._table = table
        self._cursors = cursors

    def page(
        self,
        what: tuple[str, str],
        index: str,
        partitions: Sequence[str],
        matches: Callable[[AssetRecord], bool],
        *,
        limit: int,
        cursor: str | None,
    ) -> Page:
        """One page of a list that is spread over partitions, newest first.

        Each partition is read backwards, a few entries at a time, and the streams are merged. No
        two assets share a position, so one position says where to go on in every partition.

        Args:
            what: kind and value of the list, for its cursors.
            index: name of the index.
            partitions: of the index.
            matches: whether a record is of the list.
            limit: records at most.
            cursor: of the page before.
        """
        kind, name = what
        check_limit(limit)
        before = self._cursors.open(f"{kind} {name}", cursor)
        if not name:
            return Page(records=())
        check_id(name, kind)
        # A page that is spread more or less evenly over the shards is read in one call of each.
        share = -(-limit // len(partitions))
        streams = [
            self._table.entries(
                index, partition, ascending=False, beyond=before, page=share + share // 2 + 2
            )
            for partition in partitions
        ]
        _, sort_key = index_keys(index)
        merged = heapq.merge(*streams, key=lambda entry: text(entry, sort_key), reverse=True)
        found: list[tuple[str, AssetRecord]] = []
        # One more than asked for tells whether there is a next page.
        while chunk := list(islice(merged, limit + 1 - len(found))):
            found += [
                (text(entry, sort_key), record)
                for entry, record in self._records_of(chunk)
                if matches(record)
            ]
        more = len(found) > limit
        return Page(
            records=tuple(record for _, record in found[:limit]),
            cursor=self._cursors.seal(f"{kind} {name}", found[limit - 1][0]) if more else None,
        )

    def reviews(self, state: ReviewState, *, limit: int, cursor: str | None) -> ReviewPage:
        """One page of the reviews in a state: a query and a read of items, records included.

        An index follows the table after a moment: a review that has left the state is passed over.
        """
        check_limit(limit)
        name = f"reviews {state.value}"
        entries = self._table.entries(
            schema.STATUS_INDEX,
            schema.review_partition(state),
            ascending=state is ReviewState.OPEN,
            beyond=self._cursors.open(name, cursor),
            page=limit + 1,
        )
        _, sort_key = index_keys(schema.STATUS_INDEX)
        found: list[tuple[str, Review]] = []
        records: dict[str, AssetRecord] = {}
        while chunk := list(islice(entries, limit - len(found))):
            loaded = self._reviews_of(chunk, records)
            found += [
                (text(entry, sort_key), review)
                for entry in chunk
                if (review := loaded.get(_primary(entry))) is not None and review.state is state
            ]
        # Known from the query, and not read: 50 reviews with their records are 100 items, which
        # one request reads.
        more = len(found) == limit and next(entries, None) is not None
        return ReviewPage(
            reviews=tuple(review for _, review in found),
            records=records,
            cursor=self._cursors.seal(name, found[-1][0]) if more else None,
        )

    def _reviews_of(
        self, entries: Sequence[Entry], records: dict[str, AssetRecord]
    ) -> dict[tuple[str, str], Review]:
        """Reviews by their keys; the records that they are of are added to ``records``."""
        keys = [key(*_primary(entry)) for entry in entries]
        partitions = dict.fromkeys(text(entry, PARTITION_KEY) for entry in entries)
        keys += [key(partition, schema.META) for partition in partitions]
        reviews: dict[tuple[str, str], Review] = {}
        for item in self._table.load(keys):
            if text(item, SORT_KEY) == schema.META:
                record = read_meta(item).record
                records[record.asset] = record
            else:
                reviews[_primary(item)] = read_review(item)
        return reviews

    def same_content(self, sha256: str) -> list[AssetRecord]:
        """Assets with identical bytes, oldest first."""
        entries = self._table.entries(
            schema.CONTENT_INDEX,
            schema.content_partition(sha256),
            ascending=True,
            beyond=None,
            page=MAX_SAME_CONTENT,
        )
        found: list[AssetRecord] = []
        while chunk := list(islice(entries, MAX_SAME_CONTENT - len(found))):
            found += [
                record
                for _, record in self._records_of(chunk)
                if record.metadata is not None and record.metadata.sha256.lower() == sha256.lower()
            ]
        return found

    def similar(self, phash: str, distance: int) -> list[Similar]:
        """Assets whose hash differs in at most so many bits, nearest first."""
        near: dict[str, tuple[int, Entry]] = {}
        for index, partition in zip(INDEXES, schema.band_partitions(phash), strict=True):
            _, sort_key = index_keys(index)
            entries = self._table.entries(index, partition, ascending=True, beyond=None, page=0)
            for entry in islice(entries, MAX_BAND):
                apart = hamming_distance(text(entry, sort_key), phash)
                if apart <= distance:
                    near[text(entry, PARTITION_KEY)] = (apart, entry)
        ranked = iter(sorted(near, key=lambda partition: (near[partition][0], partition)))
        found: list[Similar] = []
        while chunk := list(islice(ranked, MAX_SIMILAR - len(found))):
            for _, record in self._records_of(near[partition][1] for partition in chunk):
                held = known_hash(record)
                if held is not None and (apart := hamming_distance(held, phash)) <= distance:
                    found.append(Similar(record=record, distance=apart))
        return sorted(found, key=lambda one: (one.distance, one.record.asset))

    def _records_of(self, entries: Iterable[Entry]) -> Iterator[tuple[Entry, AssetRecord]]:
        """Entries with their records, in the same order; those without a record left out."""
        listed = list(entries)
        partitions = dict.fromkeys(text(entry, PARTITION_KEY) for entry in listed)
        loaded = self._table.load([key(partition, schema.META) for partition in partitions])
        records = {text(item, PARTITION_KEY): read_meta(item).record for item in loaded}
        for entry in listed:
            record = records.get(text(entry, PARTITION_KEY))
            if record is not None:
                yield entry, record


def _primary(item: Entry) -> tuple[str, str]:
    return text(item, PARTITION_KEY), text(item, SORT_KEY)


# --- cursors ----------------------------------------------------------------------------------


def check_limit(limit: int) -> None:
    """Raise InputError unless a page may have so many records."""
    if not 1 <= limit <= MAX_LIMIT:
        raise InputError(f"a page has 1 to {MAX_LIMIT} records, not {limit}")


class Cursors:
    """Seals places into opaque text for one list, and opens them again.

    A cursor is ``base64url(seal + position)``; the seal is a keyed BLAKE2b (RFC 7693) over the
    list's name and the position. A damaged or edited cursor, and one of another list, is refused.
    A reader of this can forge a cursor where there is no key, and gains nothing: a cursor says
    from where to go on in the list that was asked for, and can name no other list. With a key
    forgeries are refused too.
    """

    def __init__(self, key: bytes = b"") -> None:
        self._key = blake2b(key).digest() if key else b""

    def seal(self, listing: str, position: str) -> str:
        """The cursor for what comes after ``position`` in the list of that name."""
        inside = position.encode()
        return base64.urlsafe_b64encode(self._seal(listing, inside) + inside).decode().rstrip("=")

    def open(self, listing: str, cursor: str | None) -> str | None:
        """The position that a cursor names; None for no cursor.

        Raises:
            InputError: code ``input_cursor``: not a cursor of this list.
        """
        if cursor is None:
            return None
        try:
            if len(cursor) > _MAX_CURSOR:
                raise ValueError("too long")
            padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
            raw = base64.b64decode(padded, altchars=b"-_", validate=True)
            seal, inside = raw[:_SEAL_BYTES], raw[_SEAL_BYTES:]
            # Base64 has several spellings of one value where bits are left over.
            genuine = hmac.compare_digest(seal, self._seal(listing, inside))
            if not genuine or self.seal(listing, inside.decode()) != cursor:
                raise ValueError("the seal does not fit")
        except (ValueError, binascii.Error) as error:
            message = "this cursor does not belong to this list; start without one"
            raise InputError(message, code="input_cursor") from error
        return inside.decode()

    def _seal(self, listing: str, inside: bytes) -> bytes:
        text = listing.encode("utf-8", "surrogatepass")
        framed = len(text).to_bytes(4, "big") + text + inside
        return blake2b(framed, digest_size=_SEAL_BYTES, key=self._key, person=b"cursor").digest()
