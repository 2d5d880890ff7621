"""Files on their way to a store: what is sent of them, how fast, and what is remembered of it."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import anyio

from worker.atomic import atomic_write
from worker.client_answers import ApiError, Json

Progress = Callable[[int, int], None]
"""Called with the bytes that were handed to the line and the size of the file. After a cut the
first number goes back by what is sent again."""
BLOCK = 65_536
"""Bytes that are read and sent at once."""
MEASURED_BYTES = 1024**2
"""Bytes of an upload that tell something of the line's rate."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file as it was when its upload began."""

    path: Path
    size: int
    modified: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """As it is now."""
        stat = path.stat()
        return cls(path, stat.st_size, stat.st_mtime_ns)

    def check(self) -> None:
        """Raise ``file_changed`` if it is another file now."""
        if self.of(self.path) != self:
            raise self.changed()

    def changed(self) -> ApiError:
        """The error of another file."""
        return ApiError(f"{self.path} changed while it was uploaded", code="file_changed")


@dataclass(frozen=True, slots=True)
class FileSpan:
    """The body of one request."""

    source: LocalFile
    offset: int
    size: int


@dataclass(slots=True)
class UploadMemory:
    """The key of an upload, and the file that remembers it for the next process."""

    path: Path | None
    request: str
    """The inputs of the key."""
    key: str
    known: bool
    """Whether it was remembered."""

    @classmethod
    def of(cls, state: str | Path | None, api: str, wanted: Json, source: LocalFile) -> Self:
        """The stored state of this upload; a new key if there is none."""
        meant = json.dumps([api, wanted, source.size, source.modified], sort_keys=True)
        memory = cls(
            Path(state) if state is not None else None,
            hashlib.sha256(meant.encode()).hexdigest(),
            str(uuid.uuid4()),
            known=False,
        )
        try:
            kept = json.loads(memory.path.read_text()) if memory.path is not None else {}
        except (FileNotFoundError, ValueError):
            return memory
        if isinstance(kept, dict) and kept.get("request") == memory.request:
            memory.key, memory.known = str(kept.get("key")), True
        return memory

    def renew(self) -> None:
        """Begin another upload."""
        self.key, self.known = str(uuid.uuid4()), False

    def write(self) -> None:
        """Remember it."""
        if self.path is not None and not self.known:
            text = json.dumps({"key": self.key, "request": self.request})
            atomic_write(self.path, text.encode())

    def forget(self) -> None:
        """It is done."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


@dataclass(slots=True)
class UploadMeter:
    """Counts what is sent, for ``progress``, and how fast it arrives."""

    total: int
    progress: Progress | None
    sent: int = 0
    arrived: int = 0
    began: float = field(default_factory=time.monotonic)

    def begin_at(self, sent: int) -> None:
        """So much has been sent before."""
        self.sent = sent
        self.add(0)

    def add(self, count: int) -> None:
        """So many bytes more were sent, or fewer."""
        self.sent += count
        if self.progress is not None:
            self.progress(self.sent, self.total)

    def attempt(self) -> SentBytes:
        """Count one request."""
        return SentBytes(self)

    def rate(self) -> int | None:
        """Bytes a second, if enough has arrived to tell."""
        seconds = time.monotonic() - self.began
        if self.arrived < MEASURED_BYTES or seconds <= 0:
            return None
        return max(1, int(self.arrived / seconds))


@dataclass(slots=True)
class SentBytes:
    """The bytes of one attempt; they do not count if it fails."""

    meter: UploadMeter
    count: int = 0
    kept: bool = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.count and not self.kept:
            self.meter.add(-self.count)

    def add(self, count: int) -> None:
        """So many bytes were handed to the line."""
        self.count += count
        self.meter.add(count)

    def arrived(self) -> None:
        """The store has them."""
        self.kept = True
        self.meter.arrived += self.count


async def file_body(
    span: FileSpan, sent: SentBytes, *, head: bytes, tail: bytes
) -> AsyncGenerator[bytes, None]:
    """The bytes of a request: of a part of a file, and what comes before and after it.

    Raises:
        ApiError: ``file_changed``: the file has become shorter.
    """
    if head:
        yield head
    async with await anyio.open_file(span.source.path, "rb") as opened:
        await opened.seek(span.offset)
        left = span.size
        while left:
            block = await opened.read(min(left, BLOCK))
            if not block:
                raise span.source.changed()
            left -= len(block)
            yield block
            sent.add(len(block))
    if tail:
        yield tail
