"""ObjectStore on a folder: for machines without S3, and for looking at what was stored.

``ROOT/bucket/uploads/cat.jpg/`` is the object ``uploads/cat.jpg``: a folder, because keys may be
each other's beginning (``a`` and ``a/b``). In it lie ``=object.json`` (all but the bytes; its
renaming into place is the moment of a write) and ``=ID``, the bytes, a new file for every write.
Other names are the parts of keys, with everything escaped that a file system could take for
something else, so that no key leads outside and no two keys meet. Needs a file system that tells
upper from lower case. Nothing is flushed to the disk: a crash of the machine may lose writes.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

from worker.adapters.disk_errors import disk_call
from worker.adapters.object_rules import (
    decode_metadata,
    encode_metadata,
    encoded_key,
    readable_key,
    writable_key,
)
from worker.adapters.timestamps import now_text
from worker.errors import ConfigurationError, ObjectChanged, ObjectMissing, Unreachable
from worker.ports import StoredObject

PART = 200
"""Longest name of one folder; file systems allow 255 bytes. Longer parts of keys are cut up."""
ATTEMPTS = 20
"""Reads of an object that is replaced between its description and its bytes, each time."""

_OBJECT = "=object.json"
_EMPTY = "=-"
"""Stands for the empty part of keys such as ``a//b`` and ``a/``."""
_ASIDE = "=aside"
_LOCK = "=lock"
_SAFE = " !#$&'()+,-@[]^_`{}~"
"""Kept as they are beside letters and digits. Not ``=`` and ``%``, which mean something here."""
_BUCKET = re.compile(r"[a-z0-9](?:[a-z0-9.-]{1,61})[a-z0-9]")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Description:
    """What ``=object.json`` says."""

    id: str
    size: int
    etag: str
    content_type: str
    modified: str
    cache_control: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    def stored(self, key: str) -> StoredObject:
        return StoredObject(
            key=key,
            size=self.size,
            etag=self.etag,
            version_id=self.id,
            content_type=self.content_type,
            modified=self.modified,
            metadata=decode_metadata(self.metadata),
        )


class FileObjectStore:
    """Objects below a folder. Any number of processes may use it at the same time.

    An object's version id names its bytes; older versions are gone once they are replaced.

    Args:
        root: the folder; it and the buckets in it are made when something is written.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def get(
        self,
        bucket: str,
        key: str,
        *,
        version_id: str | None = None,
        etag: str | None = None,
        first: int | None = None,
    ) -> tuple[bytes, StoredObject]:
        """See ``ObjectStore.get``."""
        data, found = self._load(bucket, key, version_id, etag)
        return data if first is None else data[: max(first, 0)], found.stored(key)

    def head(self, bucket: str, key: str, *, version_id: str | None = None) -> StoredObject:
        """See ``ObjectStore.head``."""
        folder = self._folder(bucket, readable_key(bucket, key))
        return self._described(folder, bucket, key, version_id).stored(key)

    def put(
        self,
        bucket: str,
        key: str,
        data: bytes,
        *,
        content_type: str,
        cache_control: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        """See ``ObjectStore.put``. The etag is the MD5 of the bytes, as in S3."""
        folder = self._folder(bucket, writable_key(key))
        description = _Description(
            id=uuid.uuid4().hex,
            size=len(data),
            etag=hashlib.md5(data, usedforsecurity=False).hexdigest(),
            content_type=content_type,
            modified=now_text(),
            cache_control=cache_control,
            metadata=encode_metadata(metadata or {}),
        )
        self._place(bucket, folder, description, data)
        return description.etag

    def copy(
        self,
        source: tuple[str, str],
        target: tuple[str, str],
        *,
        version_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """See ``ObjectStore.copy``."""
        writable_key(target[1])
        data, found = self._load(*source, version_id, None)
        self.put(
            *target,
            data,
            content_type=found.content_type,
            cache_control=found.cache_control,
            metadata=decode_metadata(found.metadata) if metadata is None else metadata,
        )

    def renew(self, bucket: str, key: str, *, tags: Mapping[str, str]) -> None:  # noqa: ARG002
        """See ``ObjectStore.renew``. Nothing expires here, so the tags are not kept."""
        with suppress(ObjectMissing):
            self.copy((bucket, key), (bucket, key))

    def delete(
        self, bucket: str, key: str, *, version_id: str | None = None, etag: str | None = None
    ) -> None:
        """See ``ObjectStore.delete``."""
        encoded = encoded_key(key)
        top = self._bucket(bucket)
        if encoded is None or not top.is_dir():
            return
        folder = self._folder(bucket, encoded)
        with disk_call(folder), self._locked(bucket):
            found = _read(folder)
            if found is None or version_id not in {None, found.id}:
                return
            if etag not in {None, found.etag}:
                return
            (folder / _OBJECT).unlink(missing_ok=True)
            (folder / f"={found.id}").unlink(missing_ok=True)
            while folder != top and not any(folder.iterdir()):
                folder.rmdir()
                folder = folder.parent

    def list(self, bucket: str, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        """See ``ObjectStore.list``. Keys are gathered at once, the objects read one by one."""
        top = self._bucket(bucket)
        with disk_call(top):
            keys = [key for key in _keys(top, prefix) if key.startswith(prefix) and key > after]
        # By code points, which is the order of the UTF-8 bytes that S3 sorts by.
        for key in sorted(keys):
            folder = self._folder(bucket, key.encode())
            with disk_call(folder):
                found = _read(folder)
            if found is not None:
                yield found.stored(key)

    def all_versions(self, bucket: str, prefix: str) -> Iterator[tuple[str, str]]:
        """See ``ObjectStore.all_versions``: there is one of each object."""
        for found in self.list(bucket, prefix):
            assert found.version_id is not None
            yield found.key, found.version_id

    def _bucket(self, bucket: str) -> Path:
        if not _BUCKET.fullmatch(bucket) or ".." in bucket:
            raise ConfigurationError(f"no bucket can be called {bucket!r}")
        return self._root / bucket

    def _folder(self, bucket: str, key: bytes) -> Path:
        return self._bucket(bucket).joinpath(*_names(key))

    def _load(
        self, bucket: str, key: str, version_id: str | None, etag: str | None
    ) -> tuple[bytes, _Description]:
        folder = self._folder(bucket, readable_key(bucket, key))
        for _ in range(ATTEMPTS):
            found = self._described(folder, bucket, key, version_id)
            if etag is not None and found.etag != etag:
                raise ObjectChanged(f"{bucket}/{key} is another object: {found.etag}, not {etag}")
            with disk_call(folder):
                try:
                    data = (folder / f"={found.id}").read_bytes()
                except FileNotFoundError:
                    continue  # replaced or deleted since it was described
            if len(data) != found.size:
                raise Unreachable(f"{bucket}/{key}: {len(data)} of {found.size} bytes are there")
            return data, found
        raise Unreachable(f"{bucket}/{key} is replaced faster than it can be read")

    def _described(
        self, folder: Path, bucket: str, key: str, version_id: str | None
    ) -> _Description:
        with disk_call(folder):
            found = _read(folder)
        if found is None or version_id not in {None, found.id}:
            raise ObjectMissing(f"there is no {bucket}/{key}")
        return found

    def _place(self, bucket: str, folder: Path, description: _Description, data: bytes) -> None:
        """Write aside, then rename: bytes first, then what makes them the object."""
        aside = self._bucket(bucket) / _ASIDE
        bytes_aside = aside / description.id
        text_aside = aside / f"{description.id}.json"
        with disk_call(folder):
            aside.mkdir(parents=True, exist_ok=True)
            try:
                bytes_aside.write_bytes(data)
                text_aside.write_text(json.dumps(asdict(description)))
                with self._locked(bucket):
                    before = _read(folder)
                    _make(folder)
                    bytes_aside.replace(folder / f"={description.id}")
                    text_aside.replace(folder / _OBJECT)
                    if before is not None:
                        (folder / f"={before.id}").unlink(missing_ok=True)
            finally:
                bytes_aside.unlink(missing_ok=True)
                text_aside.unlink(missing_ok=True)

    @contextmanager
    def _locked(self, bucket: str) -> Iterator[None]:
        """One writer at a time: a delete may remove folders that a write is about to use."""
        file = os.open(self._bucket(bucket) / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)  # let go by close
            yield
        finally:
            os.close(file)


def _names(key: bytes) -> list[str]:
    """The folders of a key. Parts longer than one name may be go on in the next folder."""
    names: list[str] = []
    for part in key.split(b"/"):
        name = quote(part, safe=_SAFE) or _EMPTY
        while len(name) > PART:
            names.append(f"{name[:PART]}=")
            name = name[PART:]
        names.append(name)
    # quote leaves dots alone, and no folder may be "." or "..", or be hidden.
    return [f"%2E{name[1:]}" if name.startswith(".") else name for name in names]


def _key(names: tuple[str, ...]) -> str:
    """The key of an object, from its folders."""
    text = "/".join("" if name == _EMPTY else name for name in names)
    return unquote(text.replace("=/", ""), errors="strict")


def _keys(top: Path, prefix: str) -> Iterator[str]:
    """Keys of the objects in the deepest folder that holds every key with the prefix."""
    start = top
    if "/" in prefix:
        start = top.joinpath(*_names(prefix.rpartition("/")[0].encode(errors="replace")))
    # Not os.walk: it recurses in Python 3.11, and keys can be a thousand folders deep.
    waiting = [start]
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here) as inside:
                names = {entry.name: entry.is_dir(follow_symlinks=False) for entry in inside}
        except (FileNotFoundError, NotADirectoryError):
            continue  # deleted since it was seen
        if _OBJECT in names:
            yield _key(here.relative_to(top).parts)
        aside = {_ASIDE} if here == top else set()
        waiting += [here / name for name, folder in names.items() if folder and name not in aside]


def _make(folder: Path) -> None:
    """Make a folder and those above it. Path.mkdir recurses, and keys can be a thousand deep."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True)


def _read(folder: Path) -> _Description | None:
    try:
        return _Description(**json.loads((folder / _OBJECT).read_text()))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{folder / _OBJECT} was changed by hand: {error}") from error
