"""Putting files of this machine into the intake bucket, and waiting for what becomes of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.errors import InputError, TransientError
from worker.media.sniff import identify
from worker.model import Format
from worker.ports import Catalog, ObjectStore
from worker.records import AssetRecord, asset_id_of

POLL_SECONDS = 0.1
LONGEST_KEY = 1024
"""Bytes (Amazon S3 User Guide, "Naming Amazon S3 objects")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A file that is in the bucket."""

    path: Path
    bucket: str
    key: str
    asset: str
    etag: str
    version_id: str | None

    def is_source_of(self, record: AssetRecord) -> bool:
        """Whether the record is about this upload, not about one before or after it."""
        if self.version_id is not None and record.source.version_id is not None:
            return record.source.version_id == self.version_id
        return record.source.etag == self.etag


def place(
    paths: Sequence[Path],
    *,
    store: ObjectStore,
    bucket: str,
    prefix: str = "",
    metadata: Mapping[str, str] | None = None,
) -> Iterator[Placed]:
    """Upload files as ``prefix`` + name, one after the other, each with this metadata.

    The same name again is a new version of the same asset. Everything that can be checked is
    checked before the first upload.

    Raises:
        InputError: a file is missing, cannot be read, or two have one name.
    """
    keys: dict[str, Path] = {}
    for path in paths:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "no such file"
            raise InputError(f"{path}: {what}", code="input_missing")
        key = prefix + path.name
        try:
            size = len(key.encode())
        except UnicodeEncodeError as error:
            raise InputError(f"{path}: the name is not Unicode") from error
        if size > LONGEST_KEY:
            raise InputError(f"{path}: a key of {size} bytes; {LONGEST_KEY} is the most")
        if key in keys:
            raise InputError(f"{path} and {keys[key]} would both be {key}")
        keys[key] = path
    for key, path in keys.items():
        try:
            data = path.read_bytes()
        except OSError as error:
            text = f"{path}: {error.strerror}"
            raise InputError(text, code="input_unreadable") from error
        kind = identify(data)
        media_type = kind.media_type if isinstance(kind, Format) else "application/octet-stream"
        etag = store.put(bucket, key, data, content_type=media_type, metadata=metadata)
        yield Placed(
            path=path,
            bucket=bucket,
            key=key,
            asset=asset_id_of(bucket, key),
            etag=etag,
            version_id=store.head(bucket, key).version_id,
        )


def await_records(
    placed: Iterable[Placed],
    *,
    catalog: Catalog,
    seconds: float,
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[tuple[Placed, AssetRecord]]:
    """Yield each upload with its record, as they are recorded.

    Raises:
        TransientError: ``not_recorded``: some are not after so many seconds.
    """
    deadline = clock() + seconds
    waiting = list(placed)
    while waiting:
        left = []
        for one in waiting:
            record = catalog.get(one.asset)
            if record is not None and one.is_source_of(record):
                yield one, record
            else:
                left.append(one)
        waiting = left
        if waiting:
            if clock() > deadline:
                names = ", ".join(one.key for one in waiting[:3])
                more = f" and {len(waiting) - 3} more" if len(waiting) > 3 else ""
                raise TransientError(
                    f"not recorded after {seconds:g} s: {names}{more}", code="not_recorded"
                )
            pause(POLL_SECONDS)
