"""Entries of DynamoDB's indexes in their order, so that a page reads a page and not the partition.

ministack reads, sorts and compares every item of an index's partition for each query: at 10,000
items 1.5 seconds. Here each partition keeps its keys in order, and a query with a limit whose
condition we understand is given the keys that can be on its page. ministack does the rest with them
as before; a query of another form is given all.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Place: TypeAlias = "tuple[str, str, str]"
"""Sort key in the index, then partition key and sort key of the item, as DynamoDB orders them."""

_CONDITION = re.compile(r"\s*(#\w+)\s*=\s*(:\w+)\s*(?:AND\s+(#\w+)\s*([<>])\s*(:\w+)\s*)?")
_TOP = "\U0010ffff"
"""Above every character of a key."""


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a partition that a query can see: places above ``low`` and below ``high``."""

    low: Place | None
    high: Place | None
    forward: bool
    most: int


class IndexPartition:
    """Keys of the items in one partition of an index, in the order of the index."""

    __slots__ = ("_order", "_places")

    window: Window | None = None
    """Of the query that is answered at this moment; ministack answers one after the other."""

    def __init__(self) -> None:
        self._order: list[Place] = []
        self._places: dict[tuple[str, str], Place] = {}

    def add(self, key: tuple[str, str], sort: str) -> None:
        """An item has come, or has changed."""
        self.remove(key)
        place = (sort, *key)
        self._places[key] = place
        insort(self._order, place)

    def remove(self, key: tuple[str, str]) -> None:
        """An item has gone."""
        place = self._places.pop(key, None)
        if place is not None:
            del self._order[bisect_left(self._order, place)]

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """The keys that the query can see."""
        window = IndexPartition.window
        start, end = 0, len(self._order)
        if window is not None:
            if window.low is not None:
                start = bisect_right(self._order, window.low)
            if window.high is not None:
                end = bisect_left(self._order, window.high)
            if window.forward:
                end = min(end, start + window.most)
            else:
                start = max(start, end - window.most)
        for at in range(start, end):
            yield self._order[at][1:]


def window_of(query: Mapping[str, Any], keys: tuple[str, str, str]) -> Window | None:
    """The items that a query of an index can return; None if unknown, which means all.

    Args:
        query: as DynamoDB gets it.
        keys: names of the index's sort key and of the table's two keys, all texts.
    """
    found = _CONDITION.fullmatch(query.get("KeyConditionExpression", ""))
    limit = query.get("Limit")
    if found is None or limit is None or "FilterExpression" in query or "QueryFilter" in query:
        return None
    names = query.get("ExpressionAttributeNames", {})
    values = query.get("ExpressionAttributeValues", {})
    low: Place | None = None
    high: Place | None = None
    if found[3] is not None:
        bound = values.get(found[5], {}).get("S")
        if names.get(found[3]) != keys[0] or bound is None:
            return None
        if found[4] == "<":
            high = (bound, "", "")
        else:
            low = (bound, _TOP, _TOP)
    forward = query.get("ScanIndexForward", True)
    start = query.get("ExclusiveStartKey")
    if start is not None:
        sort, pk, sk = (str(start.get(name, {}).get("S", "")) for name in keys)
        place = (sort, pk, sk)
        if forward:
            low = max(low or place, place)
        else:
            high = min(high or place, place)
    # One more, so that ministack sees whether there is another page.
    return Window(low, high, bool(forward), int(limit) + 1)


def keep_order(dynamodb: Any) -> None:
    """Keep the entries of ministack's indexes in order."""
    answer, resolve = dynamodb._query, dynamodb._resolve_index_keys
    name_of_members = dynamodb._INDEX_MEMBERS

    def places(table: Any, item: Any) -> Iterator[tuple[str, Any, str]]:
        """Index, partition and sort key of each entry of an item."""
        for name, hashes, ranges in dynamodb._index_key_schemas(table):
            partition = dynamodb._index_partition(item, hashes, ranges)
            if partition is not None:
                sort = str(dynamodb._extract_key_val(item[ranges[0]])) if ranges else ""
                yield name, partition, sort

    def index(table: Any, pk: str, sk: str, item: Any, add: bool) -> None:  # noqa: FBT001 - theirs
        members = table.get(name_of_members)
        if members is None:
            return
        for name, partition, sort in places(table, item):
            partitions = members.get(name)
            if partitions is None:  # an index was added: all is read again
                table.pop(name_of_members, None)
                return
            if add:
                partitions.setdefault(partition, IndexPartition()).add((pk, sk), sort)
            elif partition in partitions:
                partitions[partition].remove((pk, sk))
                if not partitions[partition]:
                    del partitions[partition]

    def members_of(table: Any) -> Any:
        if table.get(name_of_members) is None:
            table[name_of_members] = {n: {} for n, _, _ in dynamodb._index_key_schemas(table)}
            for pk, below in table["items"].items():
                for sk, item in below.items():
                    index(table, pk, sk, item, True)
        return table[name_of_members]

    def query(data: Any) -> Any:
        table = dynamodb._tables.get(dynamodb._normalize_table_name(data.get("TableName")))
        known = {one["IndexName"] for one in (table or {}).get("GlobalSecondaryIndexes", ())}
        if data.get("IndexName") in known:
            _, sort, _ = resolve(table, data["IndexName"])
            keys = (sort, table["pk_name"], table.get("sk_name"))
            texts = all(name and dynamodb._get_attr_type(table, name) == "S" for name in keys)
            IndexPartition.window = window_of(data, keys) if texts else None
        try:
            return answer(data)
        finally:
            IndexPartition.window = None

    dynamodb._index_item, dynamodb._index_members, dynamodb._query = index, members_of, query
