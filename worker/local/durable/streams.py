"""The streams of tables as rows: a change and its record of the stream are one transaction."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, MutableSequence
from typing import Any

from worker.local.durable.store import Store

STREAM_RECORDS = 20_000
"""Changes that a stream shows at most. ministack shows those of 24 hours, as AWS does."""
TRIMMED_TOGETHER = 1_000
"""Oldest changes that are removed at a time."""
NEWEST = 1_000
"""Number of changes that are held in memory, as text. It is more than one request can make, so
changes that are not written yet are among them."""
REAPER = "dynamodb-ttl-reaper"
"""Name of ministack's thread that removes items whose time to live is over."""
EXPIRED = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
"""The identity that removes an expired item (Amazon DynamoDB Developer Guide, "DynamoDB Streams and
Time to Live"). ministack does not write such removals to its stream."""

_ADD = "INSERT INTO changes VALUES (?, ?, ?)"
_TRIM = "DELETE FROM changes WHERE stream = ? AND place < ?"


class StreamRecords(MutableSequence[Any]):
    """The changes of one stream, oldest first, in place of ministack's list.

    Args:
        stream: its ARN.
        first: place of the first one; places are never given twice.
        end: place of the next one.
    """

    def __init__(
        self, store: Store, stream: str, *, first: int = 0, end: int | None = None
    ) -> None:
        self._store, self._stream = store, stream
        self._first = first
        self._end = first if end is None else end
        self._newest: dict[int, str] = {}
        self._oldest: tuple[int, Any] | None = None

    def __len__(self) -> int:
        return self._end - self._first

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            assert step == 1
            return list(self._read(self._first + start, self._first + stop))
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        place = self._first + index % len(self)
        if place == self._first:  # asked for at each change: is it too old?
            if self._oldest is None or self._oldest[0] != place:
                self._oldest = (place, next(self._read(place, place + 1)))
            return self._oldest[1]
        return next(self._read(place, place + 1))

    def __iter__(self) -> Iterator[Any]:
        return self._read(self._first, self._end)

    def _read(self, start: int, stop: int) -> Iterator[Any]:
        place = start
        if place < stop and place not in self._newest:
            query = "SELECT record FROM changes WHERE stream = ? AND place >= ? AND place < ?"
            rows = self._store.rows(f"{query} ORDER BY place", self._stream, start, stop)
            for row in rows:
                yield json.loads(row[0])
            place += len(rows)
        for rest in range(place, stop):
            yield json.loads(self._newest[rest])

    def insert(self, index: int, value: Any) -> None:
        """Only at the end: see ``list``."""
        assert index == len(self)
        text = json.dumps(value, separators=(",", ":"))
        self._store.add(_ADD, self._stream, self._end, text)
        self._newest[self._end] = text
        self._newest.pop(self._end - NEWEST, None)
        self._end += 1

    def __delitem__(self, index: Any) -> None:
        """Only the oldest ones."""
        start, stop, _ = index.indices(len(self))
        assert start == 0
        self._first += stop
        self._store.add(_TRIM, self._stream, self._first)

    def __setitem__(self, index: Any, value: Any) -> None:
        """A change stays as it is."""
        raise TypeError("a record of a stream does not change")


def keep_streams(dynamodb: Any, responses: Any, store: Store) -> None:
    """Write each change of a table that has a stream, also the end of an item by its time to live,
    and read them when the tables are loaded."""
    emit, trim, build = (
        dynamodb._emit_stream_event,
        dynamodb._trim_stream_records,
        dynamodb._build_change_record,
    )
    remove, restore = dynamodb._remove_item, dynamodb.load_persisted_state

    def stream_of(table: Any) -> str:
        """The ARN; empty without a stream."""
        enabled = (table.get("StreamSpecification") or {}).get("StreamEnabled")
        return str(table.get("LatestStreamArn") or "") if enabled else ""

    def emitted(name: str, *change: Any, **named: Any) -> None:
        stream = stream_of(dynamodb._tables.get(name) or {})
        if stream and name not in dynamodb._stream_records:
            first = dynamodb._trimmed_count(name)
            dynamodb._stream_records[name] = StreamRecords(store, stream, first=first)
        emit(name, *change, **named)

    def trimmed(name: str, **scope: Any) -> None:
        trim(name, **scope)
        records = dynamodb._live_stream_records(name)
        if not scope and len(records) > STREAM_RECORDS + TRIMMED_TOGETHER:  # a change, no read
            gone = len(records) - STREAM_RECORDS
            del records[:gone]
            dynamodb._stream_trimmed[name] = dynamodb._trimmed_count(name) + gone

    def built(*values: Any, **named: Any) -> Any:
        record = build(*values, **named)
        if threading.current_thread().name == REAPER:
            record["userIdentity"] = EXPIRED
        return record

    def removed(table: Any, pk: str, sk: str) -> Any:
        old = remove(table, pk, sk)
        if old is not None and threading.current_thread().name == REAPER:
            region, account = table["TableArn"].split(":")[3:5]
            with responses.request_scope(account, region):
                emitted(table["TableName"], "REMOVE", old, None)
        return old

    def load(data: Any) -> None:
        restore(data)
        query = "SELECT min(place), max(place) FROM changes WHERE stream = ?"
        kept = []
        for (account, region, name), table in dynamodb._tables._data.items():
            stream = stream_of(table)
            [[first, last]] = store.rows(query, stream)
            if stream and first is not None:
                records = StreamRecords(store, stream, first=first, end=last + 1)
                dynamodb._stream_records.set_scoped(account, region, name, records)
                dynamodb._stream_trimmed.set_scoped(account, region, name, first)
            kept.append(stream)
        for [stream] in store.rows("SELECT DISTINCT stream FROM changes"):
            if stream not in kept:  # switched off, or its table is gone
                store.add("DELETE FROM changes WHERE stream = ?", stream)

    dynamodb._emit_stream_event, dynamodb._trim_stream_records = emitted, trimmed
    dynamodb._build_change_record, dynamodb._remove_item = built, removed
    dynamodb.load_persisted_state = load
