"""The catalog's table as data: keys, indexes, time to live. Pure data, no library.

The Pulumi program declares the table from this, and tests create it in the emulator from the same
lines. What the keys mean is in ``keys``; docs/catalog.md says why the indexes are as they are.
"""

from __future__ import annotations

from typing import Literal

PARTITION_KEY = "PK"
SORT_KEY = "SK"

INDEXES = ("GSI1", "GSI2", "GSI3", "GSI4")
"""Each has the string keys ``{index}PK`` and ``{index}SK``."""

INDEX_PROJECTION: Literal["KEYS_ONLY"] = "KEYS_ONLY"
"""A list is an index query and a batch read of the records. ALL would copy each record into three
indexes: 13 write units for a first outcome instead of 10, and more than twice the storage."""

ATTRIBUTES = (
    PARTITION_KEY,
    SORT_KEY,
    *(f"{index}{part}" for index in INDEXES for part in (PARTITION_KEY, SORT_KEY)),
)
"""Every attribute that is part of a key. All are strings (type ``S``)."""

TTL_ATTRIBUTE = "expires"
"""Seconds since 1970, on lines of the timeline that are not kept for ever."""

BILLING_MODE: Literal["PAY_PER_REQUEST"] = "PAY_PER_REQUEST"
"""What the figures in docs/catalog.md are for; steady load is cheaper with provisioned capacity."""


def index_keys(index: str) -> tuple[str, str]:
    """Names of the partition and sort key of an index."""
    return f"{index}{PARTITION_KEY}", f"{index}{SORT_KEY}"
