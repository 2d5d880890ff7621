"""Output places: a folder or a prefix in S3, behind one small protocol; and a job's results in it.

Written whole or not at all: in a folder beside the final name and renamed, in S3 by nature.
What may not be here: what is stored (``batch.result``, ``batch.checkpoint``) and boto3: the S3
ports come in from the composition (``batch.job_services``).
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
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

from batch.addresses import checked_name
from batch.work import Stop
from worker.atomic import STAGING_PREFIX, disk_full, lock_file, locked_staging, sweep
from worker.domain.errors import EngineError, InputError, ObjectMissing, SafelightError, StorageFull
from worker.ports import ObjectStore, StoredObject

IMMUTABLE = "public, max-age=31536000, immutable"
"""For results in a place that is never written twice with different content."""
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
        """What ``write`` wrote; None if there is nothing."""
        ...

    def fetch(self, name: str, target: Path) -> bool:
        """Copy to a new file; False if there is nothing of that name."""
        ...

    def names(self, prefix: str) -> Iterator[str]:
        """Of everything below a prefix that ends in ``/``, sorted."""
        ...

    def remove(self, name: str) -> None:
        """Nothing there is no error."""
        ...

    def held(self, record: str) -> AbstractContextManager[None]:
        """For as long as a job works that will leave this record. Only one job at a time can, where
        that can be known; and something can be written, which is better known before the work.
        """
        ...


class LocalOutputStore:
    """A folder, made when it is first written to.

    What is being written lies aside; what a killed process has left so is removed by the next that
    writes to the same folder.
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
    def held(self, record: str) -> Iterator[None]:
        """See ``OutputStore.held``.

        Raises:
            InputError: ``output_busy``, or ``output_unwritable``.
            StorageFull: not even that has room.
        """
        lock = self._path(f".checkpoint/{record.replace('/', '-')}.lock")
        stack = ExitStack()
        try:
            stack.enter_context(lock_file(lock))
        except BlockingIOError as error:
            text = f"{self._root}: another job works there"
            raise InputError(text, code="output_busy") from error
        except OSError as error:
            raise self._unwritten(error, "a lock") from error
        try:
            yield
        finally:
            stack.close()
            with suppress(OSError):  # pieces are left in it
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
    """

    def __init__(
        self,
        bucket: str,
        prefix: str,
        *,
        store: ObjectStore,
        transfers: Transfers,
        cache_control: str = "",
        stop: Stop | None = None,
    ) -> None:
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
            # A stop lets uploads end: what is finished now needs not be made again.
        )

    def write(self, name: str, data: bytes, *, content_type: str) -> None:
        """See ``OutputStore.write``."""
        self._store.put(
            self._bucket, self._key(name), data, content_type=content_type, cache_control="no-cache"
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

    def held(self, record: str) -> AbstractContextManager[None]:  # noqa: ARG002
        """Nothing: a prefix knows nobody. Two jobs are kept apart by what they are called."""
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
    """``work.Outputs`` on a place; remembers what was stored. Safe between threads.

    Args:
        scratch: where ``fetch`` puts its copies.
        stop: asked before each file, so that a stopped job stores no more of a long list.
    """

    def __init__(self, place: OutputStore, scratch: Path, *, stop: Stop | None = None) -> None:
        self._place = place
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
        self._place.store(path, name, content_type=kind)
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
        return target if self._place.fetch(checked_name(name), target) else None
