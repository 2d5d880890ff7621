"""Lists of assets: an index is asked for keys, the table for the records behind them.

What lives here: merging shards, paging, and passing over what the index no longer says rightly.
Indexes follow the table after a moment, and a crash may leave an entry without a reason: what is
returned is always decided by the record itself.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from worker.adapters.aws.dynamodb import keys
from worker.adapters.aws.dynamodb.cursors import Cursors, check_limit
from worker.adapters.aws.dynamodb.items import key, read_meta, text
from worker.adapters.aws.dynamodb.requests import DynamoTable
from worker.adapters.aws.dynamodb.schema import INDEXES, PARTITION_KEY, index_keys
from worker.adapters.catalog_rules import MAX_SAME_CONTENT, MAX_SIMILAR, bits_apart, known_hash
from worker.domain.asset import AssetRecord, Page, Similar
from worker.domain.labels import check_id

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
        two assets share a place, so one place says where to go on in every partition.

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
                index, partition, ascending=False, before=before, page=share + share // 2 + 2
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
                for entry, record in self._behind(chunk)
                if matches(record)
            ]
        more = len(found) > limit
        return Page(
            records=tuple(record for _, record in found[:limit]),
            cursor=self._cursors.seal(f"{kind} {name}", found[limit - 1][0]) if more else None,
        )

    def same_content(self, sha256: str) -> list[AssetRecord]:
        """Assets with identical bytes, oldest first."""
        entries = self._table.entries(
            keys.CONTENT_INDEX,
            keys.content_partition(sha256),
            ascending=True,
            before=None,
            page=MAX_SAME_CONTENT,
        )
        found: list[AssetRecord] = []
        while chunk := list(islice(entries, MAX_SAME_CONTENT - len(found))):
            found += [
                record
                for _, record in self._behind(chunk)
                if record.metadata is not None and record.metadata.sha256.lower() == sha256.lower()
            ]
        return found

    def look_alikes(self, phash: str, distance: int) -> list[Similar]:
        """Assets whose hash differs in at most so many bits, nearest first."""
        near: dict[str, tuple[int, Entry]] = {}
        for index, partition in zip(INDEXES, keys.band_partitions(phash), strict=True):
            _, sort_key = index_keys(index)
            entries = self._table.entries(index, partition, ascending=True, before=None, page=0)
            for entry in islice(entries, MAX_BAND):
                apart = bits_apart(text(entry, sort_key), phash)
                if apart <= distance:
                    near[text(entry, PARTITION_KEY)] = (apart, entry)
        ranked = iter(sorted(near, key=lambda partition: (near[partition][0], partition)))
        found: list[Similar] = []
        while chunk := list(islice(ranked, MAX_SIMILAR - len(found))):
            for _, record in self._behind(near[partition][1] for partition in chunk):
                held = known_hash(record)
                if held is not None and (apart := bits_apart(held, phash)) <= distance:
                    found.append(Similar(record=record, distance=apart))
        return sorted(found, key=lambda one: (one.distance, one.record.asset))

    def _behind(self, entries: Iterable[Entry]) -> Iterator[tuple[Entry, AssetRecord]]:
        """Entries with their records, in the same order; those without a record left out."""
        listed = list(entries)
        partitions = dict.fromkeys(text(entry, PARTITION_KEY) for entry in listed)
        loaded = self._table.load([key(partition, keys.META) for partition in partitions])
        records = {text(item, PARTITION_KEY): read_meta(item).record for item in loaded}
        for entry in listed:
            record = records.get(text(entry, PARTITION_KEY))
            if record is not None:
                yield entry, record
