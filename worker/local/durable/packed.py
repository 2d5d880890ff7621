"""Items and object records of the embedded AWS as JSON text, which takes a fourth of the memory."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from typing import Any

RECENT_OBJECTS = 64
"""Records of a bucket that stay Python values. Only a list reads more of them in one request."""
_RECORD = frozenset(
    {
        *("body", "content_type", "content_encoding", "etag", "last_modified", "size", "metadata"),
        *("preserved_headers", "storage_class", "checksums", "version_id"),
    }
)
"""Keys of the record of an object, as its file has them."""


class PackedItems(dict[str, Any]):
    """Values that are held as JSON text; each read makes a new value."""

    __slots__ = ()  # there is one for each partition key

    def __init__(self, held: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        for key, value in (held or {}).items():
            self[key] = value

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, json.dumps(value, separators=(",", ":")))

    def __getitem__(self, key: str) -> Any:
        return _value(super().__getitem__(key))

    def get(self, key: str, default: Any = None) -> Any:
        """See ``dict``."""
        try:
            return self[key]
        except KeyError:
            return default

    def pop(self, key: str, *default: Any) -> Any:
        """See ``dict``."""
        return _value(super().pop(key, *default))

    def values(self) -> Any:
        """See ``dict``; a list."""
        return [value for _, value in self.items()]

    def items(self) -> Any:
        """See ``dict``; a list."""
        return [(key, _value(held)) for key, held in super().items()]


class Partitions(dict[str, PackedItems]):
    """The items of a table: by partition key, then by sort key.

    Code that changes an item must set it again. ``_set_item`` does, so that the item is written.
    """

    def __init__(self, held: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__({pk: PackedItems(below) for pk, below in held.items()})

    def setdefault(self, pk: str, default: Any = None) -> PackedItems:
        """See ``dict``."""
        return super().setdefault(pk, PackedItems(default))


class PackedRecords(PackedItems):
    """The records of a bucket's objects by key.

    ministack changes some in place. Therefore the records that were last set or read stay values.
    So do those whose file lacks a part: bytes that are not yet written, or an object that is
    restored from an archive.
    """

    __slots__ = ("_recent",)

    def __init__(self, held: Mapping[str, Any]) -> None:
        self._recent: deque[str] = deque()
        super().__init__(held)

    def __setitem__(self, key: str, value: Any) -> None:
        dict.__setitem__(self, key, value)
        recent = self._recent
        if recent and recent[-1] == key:
            return
        recent.append(key)
        if len(recent) > RECENT_OBJECTS and (old := recent.popleft()) not in recent:
            record = dict.get(self, old)
            if isinstance(record, dict) and record.keys() <= _RECORD and record["body"] is None:
                super().__setitem__(old, record)

    def __getitem__(self, key: str) -> Any:
        record = super().__getitem__(key)
        self[key] = record
        return record


def _value(held: Any) -> Any:
    return json.loads(held) if isinstance(held, str) else held
