"""Counts views of files in logs of the edges.

A log has one JSON object per request and line, with the field names of CloudFront's standard logs
(CloudFront Developer Guide, "Standard logging reference"); the local stack's delivery server writes
the same. Lines are untrusted: a line that is not a view of a picture is skipped and counted.
"""

from __future__ import annotations

import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from worker.domain.delivery import PictureKey, read_picture_key
from worker.domain.errors import ObjectMissing
from worker.domain.image import Format
from worker.domain.keys import asset_prefix
from worker.ports import ObjectStore, StoredObject

MOST_FILES = 200_000
"""Most files that are counted at a time."""
MOST_LINE = 65_536
"""Longest line in bytes. A URL has at most 8,192 bytes, and CloudFront encodes unprintable
characters."""
MOST_LOG = 1_000_000_000
"""Most bytes that are read of a log, because a small file may unpack to any size."""
_GZIP = b"\x1f\x8b"
_CHUNK = 1 << 20
_PATH = re.compile(
    r"/(?:[0-9a-f]{2}/)?(?P<asset>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    r"/(?P<version>[0-9a-f]{16})/(?P<file>(?:w/[0-9]{1,5}|[A-Za-z0-9_-]{1,100}))(?:\.\w{1,5})?"
)
_FORMATS = {one.media_type: one for one in Format}


@dataclass(slots=True)
class Popularity:
    """Views of files.

    If there are too many files, the least viewed are dropped. A popular file loses only the views
    before it was dropped (lossy counting, Manku and Motwani, VLDB 2002).
    """

    views: Counter[PictureKey] = field(default_factory=Counter)
    lines: int = 0
    ignored: int = 0
    """Lines that are not views of a picture: errors, other files, redirects, and invalid lines."""
    most: int = MOST_FILES
    _floor: int = 0

    def add(self, lines: Iterable[bytes]) -> None:
        """Count the views of a log."""
        for line in lines:
            if not line.strip():
                continue
            self.lines += 1
            viewed = _view(line)
            if viewed is None:
                self.ignored += 1
                continue
            self.views[viewed] += 1
            if len(self.views) > self.most:
                self._forget()

    def hot(self) -> Iterator[tuple[PictureKey, int]]:
        """Files with their views, the most viewed first."""
        yield from self.views.most_common()

    def _forget(self) -> None:
        while len(self.views) > self.most // 2:
            self._floor += 1
            self.views = Counter({k: n for k, n in self.views.items() if n > self._floor})


def read_logs(
    store: ObjectStore,
    bucket: str,
    prefix: str = "",
    *,
    since: datetime,
    popularity: Popularity,
    enough: Callable[[], bool] = lambda: False,
    shuffle: Callable[[list[StoredObject]], object] = lambda _: None,
) -> float:
    """Count the views in the logs below a prefix that were written since a time.

    Args:
        enough: called before each log; True stops.
        shuffle: shuffles the logs, so that the logs that are read are a random sample.

    Returns:
        The share of the logs that was read, by bytes; 0 without logs.
    """
    from_then = since.strftime("%Y-%m-%dT%H:%M:%S")
    logs = [one for one in store.list(bucket, prefix) if one.modified[:19] >= from_then]
    shuffle(logs)
    whole = sum(one.size for one in logs)
    read = 0
    for one in logs:
        if enough():
            break
        try:
            data, _ = store.get(bucket, one.key)
        except ObjectMissing:  # it has expired meanwhile
            data = b""
        popularity.add(lines_of(data))
        read += one.size
    return read / whole if whole else 0.0


def lines_of(data: bytes) -> Iterator[bytes]:
    """The lines of a log, compressed by gzip or not. A damaged log ends at the damage."""
    if not data.startswith(_GZIP):
        yield from data.split(b"\n")
        return
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    rest, unread, size = b"", data, 0
    while not unpacker.eof and unread and size < MOST_LOG:
        try:
            chunk = unpacker.decompress(unread, _CHUNK)
        except zlib.error:
            break
        unread, size = unpacker.unconsumed_tail, size + len(chunk)
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
        rest = rest[: MOST_LINE + 1]
    yield rest


def _view(line: bytes) -> PictureKey | None:
    """The key of the file that a line reports as sent completely; None for other lines."""
    if len(line) > MOST_LINE:
        return None
    try:
        told = json.loads(line)
        method, status, stem = told["cs-method"], str(told["sc-status"]), told["cs-uri-stem"]
        kind = _FORMATS[told["sc-content-type"]]
        found = _PATH.fullmatch(stem)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if found is None or method != "GET" or status != "200":
        return None
    # The log has the format that was sent; the URL may name no format or another one.
    key = f"{asset_prefix(found['asset'])}{found['version']}/{found['file']}.{kind.extension}"
    return read_picture_key(key)
