"""What DynamoDB would bill: sizes of items, write units of a call. For tests of docs/catalog.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.adapters.aws.dynamodb.schema import INDEXES, PARTITION_KEY, SORT_KEY, index_keys

KILOBYTE = 1024


def write_units(item: Mapping[str, Any]) -> int:
    """Write units of a new item with its index entries (KEYS_ONLY), each rounded up to 1 kB.

    Source: Amazon DynamoDB Developer Guide, "Provisioned throughput considerations for global
    secondary indexes".
    """
    units = -(-item_size(item) // KILOBYTE)
    for index in INDEXES:
        partition, sort = index_keys(index)
        if partition in item:
            entry = {name: item[name] for name in (PARTITION_KEY, SORT_KEY, partition, sort)}
            units += -(-item_size(entry) // KILOBYTE)
    return units


def item_size(item: Mapping[str, Any]) -> int:
    """Bytes DynamoDB bills an item with: names and values in UTF-8, numbers packed.

    Source: Amazon DynamoDB Developer Guide, "DynamoDB item sizes and formats".
    """
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def _value_size(value: Mapping[str, Any]) -> int:
    [(kind, held)] = value.items()
    if kind == "S":
        return len(held.encode())
    if kind == "N":
        return (len(held.lstrip("-")) + 1) // 2 + 1
    if kind == "B":
        return len(held)
    if kind == "SS":
        return sum(len(one.encode()) for one in held)
    if kind == "M":
        return 3 + sum(1 + len(name.encode()) + _value_size(one) for name, one in held.items())
    raise TypeError(f"items here have no {kind}")
