"""Output stores: a folder or a prefix in S3, behind one small protocol; results and checkpoints.

Every file is written whole or not at all: to a staging file that is renamed, in S3 by nature. The
S3 ports come from ``batch.job_services``.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import (
    AbstractContextManager,
    ExitStack,
    contextmanager,
    nullcontext,
    suppress,
)
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Protocol

from batch.work import Stop
from worker.atomic import STAGING_PREFIX, disk_full, lock_file, locked_staging, sweep
from worker.domain.errors import EngineError, InputError, ObjectMissing, SafelightError, StorageFull
from worker.domain.keys import cache_metadata
from worker.ports import ObjectStore, StoredObject

IMMUTABLE = "public, max-age=31536000, immutable"
"""For results that are never replaced by different content."""
CONTENT_TYPES = {
    ".aac": "audio/aac",
    ".avif": "image/avif",
    ".dzi": "application/xml",
    ".gif": "image/gif",
    ".html": "text/html; charset=utf-8",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".m3u8": "application/vnd.apple.mpegurl",  # RFC 8216
    ".m4a": "audio/mp4",
    ".m4s": "video/iso.segment",
    ".mp4": "video/mp4",
    ".mpd": "application/dash+xml",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".txt": "text/plain; charset=utf-8",
    ".vtt": "text/vtt; charset=utf-8",
    ".wav": "audio/wav",
    ".webm": "video/webm",
    ".webp": "image/webp",
    ".xml": "application/xml",
}


NAME_BYTES = 900
"""Longest name of a result, UTF-8: an S3 key has 1024, of which the prefix needs some."""


def checked_name(name: str) -> str:
    """The name of a result, if it stays below its output store.

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


def content_type_of(name: str) -> str:
    """The media type that a name's ending stands for."""
    return CONTENT_TYPES.get(PurePosixPath(name).suffix.lower(), "application/octet-stream")


class Transfers(Protocol):
    """Large objects to and from files."""

    def download(
        self,
        bucket: str,
        key: str,
        path: Path,
        *,
        etag: str | None = None,
        size: int | None = None,
        stop: Stop | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Write an object to a new file, whole or not at all."""
        ...

    def upload(
        self,
        path: Path,
        bucket: str,
        key: str,
        *,
        content_type: str,
        cache_control: str = "",
        metadata: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        stop: Stop | None = None,
    ) -> None:
        """Write a file to an object, whole or not at all."""
        ...


class OutputStore(Protocol):
    """A folder or a prefix. Names have ``/`` between their parts and are checked."""

    def store(self, path: Path, name: str, *, content_type: str) -> None:
        """A file under a name, whole or not at all. Overwrites."""
        ...

    def write(self, name: str, data: bytes, *, content_type: str) -> None:
        """The same for a few bytes."""
        ...

    def read(self, name: str) -> bytes | None:
        """The content that ``write`` wrote; None if there is none."""
        ...

    def fetch(self, name: str, target: Path) -> bool:
        """Copy to a new file; False if there is nothing of that name."""
        ...

    def names(self, prefix: str) -> Iterator[str]:
        """Of everything below a prefix that ends in ``/``, sorted."""
        ...

    def remove(self, name: str) -> None:
        """A missing file is no error."""
        ...

    def lock(self, record: str) -> AbstractContextManager[None]:
        """Hold the store for one job that will leave this record.

        A folder can be held by one job at a time, and must be writable: the job fails before its
        work otherwise. A prefix in S3 cannot be locked.
        """
        ...


class LocalOutputStore:
    """A folder, made when it is first written to.

    Staging files that a killed process left are removed by the next one that writes there.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._swept: set[Path] = set()

    def store(self, path: Path, name: str, *, content_type: str) -> None:  # noqa: ARG002
        """See ``OutputStore.store``; a folder has no content types."""
        self._replace(name, lambda half: shutil.copyfile(path, half))

    def write(self, name: str, data: bytes, *, content_type: str) -> None:  # noqa: ARG002
        """See ``OutputStore.write``."""
        self._replace(name, lambda half: half.write_bytes(data))

    def read(self, name: str) -> bytes | None:
        """See ``OutputStore.read``."""
        try:
            return self._path(name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._unusable(error) from error

    def fetch(self, name: str, target: Path) -> bool:
        """See ``OutputStore.fetch``."""
        path = self._path(name)
        if not path.is_file():
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        return True

    def names(self, prefix: str) -> Iterator[str]:
        """See ``OutputStore.names``."""
        top = self._root / prefix
        found = (
            path
            for path in top.rglob("*")
            if path.is_file() and not path.name.startswith(STAGING_PREFIX)
        )
        yield from sorted(path.relative_to(self._root).as_posix() for path in found)

    def remove(self, name: str) -> None:
        """See ``OutputStore.remove``. Folders that are empty afterwards go too."""
        path = self._path(name)
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            raise self._unusable(error) from error
        for folder in path.parents:
            if folder == self._root:
                break
            try:
                folder.rmdir()
            except OSError:  # something is left in it
                break

    @contextmanager
    def lock(self, record: str) -> Iterator[None]:
        """See ``OutputStore.lock``.

        Raises:
            InputError: ``output_busy``, or ``output_unwritable``.
            StorageFull: not even that has room.
        """
        lock = self._path(f".checkpoint/{record.replace('/', '-')}.lock")
        stack = ExitStack()
        try:
            stack.enter_context(lock_file(lock))
        except BlockingIOError as error:
            text = f"{self._root}: another job uses this folder"
            raise InputError(text, code="output_busy") from error
        except OSError as error:
            raise self._unwritten(error, "a lock") from error
        try:
            yield
        finally:
            stack.close()
            with suppress(OSError):  # chunks are left in it
                lock.parent.rmdir()

    def _path(self, name: str) -> Path:
        return self._root / checked_name(name)

    def _replace(self, name: str, write: Callable[[Path], object]) -> None:
        final = self._path(name)
        try:
            if final.parent not in self._swept:
                sweep(final.parent)
                self._swept.add(final.parent)
            with locked_staging(final.parent) as half:
                write(half)
                half.chmod(0o644)
                half.replace(final)
        except OSError as error:
            raise self._unwritten(error, name) from error

    def _unwritten(self, error: OSError, name: str) -> SafelightError:
        if disk_full(error):
            return StorageFull(f"no room for {name} in the output folder")
        return self._unusable(error)

    def _unusable(self, error: OSError) -> InputError:
        return InputError(f"{self._root}: {error.strerror or error}", code="output_unwritable")


class S3OutputStore:
    """A prefix in a bucket.

    Args:
        prefix: empty, or ending in ``/``.
        cache_control: of what ``store`` writes; what ``write`` writes is never cached.
        tags: of everything that is written, from the first moment.
        traceparent: of the upload that it is made of; empty for none.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str,
        *,
        store: ObjectStore,
        transfers: Transfers,
        cache_control: str = "",
        tags: Mapping[str, str] | None = None,
        traceparent: str = "",
        stop: Stop | None = None,
    ) -> None:
        self._tags, self._traceparent = tags, traceparent
        self._bucket = bucket
        self._prefix = prefix
        self._store = store
        self._transfers = transfers
        self._cache_control = cache_control
        self._stop = stop

    def store(self, path: Path, name: str, *, content_type: str) -> None:
        """See ``OutputStore.store``."""
        self._transfers.upload(
            path,
            self._bucket,
            self._key(name),
            content_type=content_type,
            cache_control=self._cache_control,
            metadata=cache_metadata(self._key(name), self._traceparent),
            tags=self._tags,
            # A stop lets uploads end: a finished file need not be made again.
        )

    def write(self, name: str, data: bytes, *, content_type: str) -> None:
        """See ``OutputStore.write``."""
        self._store.put(
            self._bucket,
            self._key(name),
            data,
            content_type=content_type,
            cache_control="no-cache",
            metadata=cache_metadata(self._key(name), self._traceparent),
            tags=self._tags,
        )

    def read(self, name: str) -> bytes | None:
        """See ``OutputStore.read``."""
        try:
            return self._store.get(self._bucket, self._key(name))[0]
        except ObjectMissing:
            return None

    def fetch(self, name: str, target: Path) -> bool:
        """See ``OutputStore.fetch``."""
        try:
            found: StoredObject = self._store.head(self._bucket, self._key(name))
            target.parent.mkdir(parents=True, exist_ok=True)
            self._transfers.download(
                self._bucket,
                self._key(name),
                target,
                etag=found.etag,
                size=found.size,
                stop=self._stop,
            )
        except ObjectMissing:
            return False
        return True

    def names(self, prefix: str) -> Iterator[str]:
        """See ``OutputStore.names``."""
        for found in self._store.list(self._bucket, self._prefix + prefix):
            yield found.key.removeprefix(self._prefix)

    def lock(self, record: str) -> AbstractContextManager[None]:  # noqa: ARG002
        """Does nothing: S3 has no locks. Two jobs are kept apart by their names."""
        return nullcontext()

    def remove(self, name: str) -> None:
        """See ``OutputStore.remove``."""
        self._store.delete(self._bucket, self._key(name))

    def _key(self, name: str) -> str:
        return self._prefix + checked_name(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOutput:
    """One stored result."""

    name: str
    bytes: int
    sha256: str
    content_type: str


RESERVED = (".checkpoint/",)


class JobOutputs:
    """``work.Outputs`` on a store; remembers what was stored. Safe between threads.

    Args:
        scratch: where ``fetch`` puts its copies.
        stop: asked before each file, so that a stopped job stores no more of a long list.
    """

    def __init__(self, store: OutputStore, scratch: Path, *, stop: Stop | None = None) -> None:
        self._store = store
        self._scratch = scratch
        self._stop = stop
        self._stored: dict[str, JobOutput] = {}
        self._lock = Lock()
        self._count = 0

    @property
    def stored(self) -> tuple[JobOutput, ...]:
        """Everything this attempt has stored, by name."""
        with self._lock:
            return tuple(self._stored[name] for name in sorted(self._stored))

    def file(self, path: Path, name: str, *, content_type: str | None = None) -> None:
        """See ``Outputs.file``."""
        checked_name(name)
        if name.startswith(RESERVED):
            raise EngineError(f"a result cannot be called {name}: the runner keeps its own there")
        if self._stop is not None:
            self._stop.check()
        kind = content_type or content_type_of(name)
        with path.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        output = JobOutput(name=name, bytes=path.stat().st_size, sha256=digest, content_type=kind)
        self._store.store(path, name, content_type=kind)
        with self._lock:
            self._stored[name] = output

    def tree(self, folder: Path, prefix: str = "") -> None:
        """See ``Outputs.tree``. In order of name; links are not followed."""
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                below = path.relative_to(folder).as_posix()
                self.file(path, f"{prefix.rstrip('/')}/{below}" if prefix else below)

    def earlier(self, name: str, *, size: int, sha256: str) -> None:
        """See ``Outputs.earlier``."""
        output = JobOutput(
            name=checked_name(name), bytes=size, sha256=sha256, content_type=content_type_of(name)
        )
        with self._lock:
            self._stored.setdefault(name, output)

    def fetch(self, name: str) -> Path | None:
        """See ``Outputs.fetch``."""
        with self._lock:
            self._count += 1
            target = self._scratch / f"{self._count:06d}" / PurePosixPath(name).name
        target.parent.mkdir(parents=True)
        return target if self._store.fetch(checked_name(name), target) else None


_CHUNKS = "pieces/"
_NOTES = "notes/"
_ENDING = ".json"


class StoredCheckpoint:
    """``work.Checkpoint`` on an output store: finished chunks, each with its digest.

    A chunk is two objects below ``.checkpoint/{job}/{digest}/``: the chunk itself and, written
    after it, a note of its size and SHA-256. Only a chunk that matches its note counts. There is a
    note per chunk, not one list: several threads can store chunks, and the cost of one does not
    grow with their number. The digest names kind, inputs and parameters, so chunks of another job
    are never seen; ``clear`` removes them too.

    Args:
        job: name within the store, ``transcode-part-00003``.
        digest: of the kind, its inputs and its parameters.
        scratch: where ``get`` puts its copies.
    """

    def __init__(self, store: OutputStore, job: str, digest: str, scratch: Path) -> None:
        self._store = store
        self._scratch = scratch
        self._all = f".checkpoint/{job}/"
        self._root = f"{self._all}{digest[:16]}/"
        self._count = 0
        self._lock = Lock()

    def get(self, name: str) -> Path | None:
        """See ``Checkpoint.get``."""
        note = self._store.read(self._note(name))
        if note is None:
            return None
        with self._lock:
            self._count += 1
            target = self._scratch / f"{self._count:06d}" / PurePosixPath(name).name
        target.parent.mkdir(parents=True)
        if not self._store.fetch(self._chunk(name), target):
            return None
        if _note_of(target) != note:
            target.unlink()
            return None
        return target

    def put(self, name: str, path: Path) -> None:
        """See ``Checkpoint.put``."""
        note = _note_of(path)
        # Without its note an older chunk of this name is void while it is replaced.
        self._store.remove(self._note(name))
        self._store.store(path, self._chunk(name), content_type="application/octet-stream")
        self._store.write(self._note(name), note, content_type="application/json")

    def names(self) -> Sequence[str]:
        """See ``Checkpoint.names``."""
        top = self._root + _NOTES
        found = (name.removeprefix(top) for name in self._store.names(top))
        return sorted(name.removesuffix(_ENDING) for name in found if name.endswith(_ENDING))

    def clear(self) -> None:
        """See ``Checkpoint.clear``. Removes chunks of earlier inputs and parameters too."""
        # Notes first (they sort before chunks): a half-cleared checkpoint is merely a smaller one.
        for name in tuple(self._store.names(self._all)):
            self._store.remove(name)

    def _chunk(self, name: str) -> str:
        return f"{self._root}{_CHUNKS}{checked_name(name)}"

    def _note(self, name: str) -> str:
        return f"{self._root}{_NOTES}{checked_name(name)}{_ENDING}"


def _note_of(path: Path) -> bytes:
    try:
        with path.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        size = path.stat().st_size
    except OSError as error:
        raise StorageFull(f"a finished chunk cannot be read back: {error.strerror}") from error
    return json.dumps({"bytes": size, "sha256": digest}).encode()
