"""Where inputs lie and outputs go, as text: a path, ``file://`` or ``s3://bucket/key``.

What lives here: reading and joining such text, and what a result may be called. What may not:
files and S3 themselves (``batch.outputs``, ``batch.inputs``).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

from worker.domain.errors import EngineError

NAME_BYTES = 900
"""Longest name of a result, UTF-8: an S3 key has 1024, of which the place needs some."""
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Address:
    """An object, or a prefix if ``key`` is empty or ends in ``/``."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @property
    def is_prefix(self) -> bool:
        """Whether it names many objects."""
        return not self.key or self.key.endswith("/")


def read_address(text: str) -> Path | S3Address:
    """A path or an S3 address.

    Any character may be in it. Names of uploads are what people's machines call their files:
    macOS puts a narrow no-break space into those of screen recordings, and emoji have joiners.

    Raises:
        ValueError: it is neither; the message goes on behind the parameter's name.
    """
    if not text or "\0" in text:
        raise ValueError("must be a path or s3://bucket/key")
    if text.startswith("s3://"):
        bucket, _, key = text.removeprefix("s3://").partition("/")
        if not _BUCKET.fullmatch(bucket):
            raise ValueError("must name a bucket: s3://bucket/key")
        return S3Address(bucket=bucket, key=key)
    if text.startswith("file://"):
        # Through bytes: a name on disk need not be UTF-8.
        path = os.fsdecode(unquote_to_bytes(text.removeprefix("file://").removeprefix("localhost")))
        if not path.startswith("/") or "\0" in path:
            raise ValueError("must be file:///absolute/path")
        return Path(path)
    if _SCHEME.match(text):
        raise ValueError("must be a path or s3://bucket/key; other addresses are not opened")
    return Path(text)


def checked_name(name: str) -> str:
    """The name of a result, if it stays below its place.

    Raises:
        EngineError: it is empty, too long, absolute, or climbs out with ``..``.
    """
    parts = name.split("/")
    fine = (
        name.isprintable()
        and "\\" not in name
        and len(name.encode(errors="replace")) <= NAME_BYTES
        and all(part not in {"", ".", ".."} and len(part.encode()) <= 255 for part in parts)
    )
    if not fine:
        raise EngineError(f"a result cannot be called {ascii(name)[:80]}")
    return name
