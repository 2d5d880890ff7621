"""Inputs of a job: what they are, copies on the scratch disk, digests, and whole libraries.

Files on this machine are read where they are, through a link; only objects in S3 are copied.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from batch.arguments import S3Address, read_address
from batch.job_services import JobServices
from batch.work import ListedFile, Stop
from worker.domain.errors import EngineError, InputError, ObjectChanged

_CHUNK = 8 * 1024**2


@dataclass(frozen=True, slots=True, kw_only=True)
class InputCopy:
    """One input on disk."""

    uri: str
    path: Path
    bytes: int
    sha256: str
    etag: str


class Inputs:
    """The inputs of one attempt.

    Args:
        sources: as given; ``read_address`` has checked them.
        folder: where copies go.
    """

    def __init__(
        self, sources: Sequence[str], *, folder: Path, services: JobServices, stop: Stop
    ) -> None:
        self._sources = sources
        self._folder = folder
        self._services = services
        self._stop = stop

    def describe(self) -> tuple[ListedFile, ...]:
        """Size and etag of every input, without reading it.

        Raises:
            InputError, ObjectMissing: an input does not exist, or is a folder.
        """
        return tuple(self._single(source, read_address(source)) for source in self._sources)

    def fetch(
        self, found: Sequence[ListedFile], progress: Callable[[int], None] | None = None
    ) -> tuple[InputCopy, ...]:
        """Copy the inputs that are in S3, and compute every digest.

        Args:
            progress: called with the bytes that have just arrived, from any thread.
        """
        return tuple(
            self._fetched(number, item, progress) for number, item in enumerate(found, start=1)
        )

    def recheck(self, fetched: Sequence[InputCopy]) -> None:
        """Re-hash the inputs that are files: fail if one changed while the job read it.

        Raises:
            ObjectChanged: one was written to. A new time alone is not a change.
            InputError: one is gone.
        """
        for item in fetched:
            address = read_address(item.uri)
            if (
                isinstance(address, Path)
                and found_file(address, item.uri).etag != item.etag
                and digest_of(address, self._stop) != item.sha256
            ):
                raise ObjectChanged(f"{item.uri} was written to while the job read it")

    def _fetched(
        self, number: int, found: ListedFile, progress: Callable[[int], None] | None
    ) -> InputCopy:
        folder = self._folder / f"{number:04d}"
        path = fetch(found, folder, self._services, self._stop, progress)
        if not path.is_relative_to(self._folder):
            path = _link(path, folder, found.name)
        digest = digest_of(path, self._stop)
        return InputCopy(
            uri=found.uri, path=path, bytes=path.stat().st_size, sha256=digest, etag=found.etag
        )

    def _single(self, source: str, address: Path | S3Address) -> ListedFile:
        if isinstance(address, Path):
            return found_file(address, source)
        if address.is_prefix:
            raise InputError(f"{source} names a prefix, not an object", code="input_invalid")
        stored = self._services.store.head(address.bucket, address.key)
        return ListedFile(
            uri=str(address),
            name=PurePosixPath(address.key).name,
            bytes=stored.size,
            etag=stored.etag,
            alone=True,
        )


class Library:
    """``work.Inventory``: everything in inputs that may be folders or prefixes.

    Args:
        output: where results go; files below it are not inputs.
    """

    def __init__(
        self,
        sources: Sequence[str],
        *,
        output: str,
        folder: Path,
        services: JobServices,
        stop: Stop,
    ) -> None:
        self._sources = sources
        self._output = f"{str(_resolved(output)).rstrip('/')}/"
        self._folder = folder
        self._services = services
        self._stop = stop
        self._count = 0
        # Listed once an attempt: files that arrive later belong to the next job.
        self.list = cache(self._list)

    def fetch(self, found: ListedFile) -> Path:
        """See ``Inventory.fetch``."""
        self._count += 1
        return fetch(found, self._folder / f"{self._count:06d}", self._services, self._stop, None)

    def release(self, path: Path) -> None:
        """See ``Inventory.release``. A file that is not a copy stays."""
        if path.is_relative_to(self._folder):
            path.unlink(missing_ok=True)
            path.parent.rmdir()

    def _list(self) -> Sequence[ListedFile]:
        return tuple(
            item
            for source in self._sources
            for item in self._below(source)
            if item.alone or not item.uri.startswith(self._output)
        )

    def _below(self, source: str) -> Iterator[ListedFile]:
        address = read_address(source)
        if isinstance(address, Path):
            if address.is_dir():
                yield from _files(address)
            else:
                yield found_file(address, source)
        elif address.is_prefix:
            for stored in self._services.store.list(address.bucket, address.key):
                self._stop.check()
                if not stored.key.endswith("/"):  # a console's "folder"
                    yield ListedFile(
                        uri=f"s3://{address.bucket}/{stored.key}",
                        name=stored.key.removeprefix(address.key),
                        bytes=stored.size,
                        etag=stored.etag,
                    )
        else:
            inputs = Inputs(
                (source,), folder=self._folder, services=self._services, stop=self._stop
            )
            yield from inputs.describe()


def fetch(
    found: ListedFile,
    folder: Path,
    services: JobServices,
    stop: Stop,
    progress: Callable[[int], None] | None,
) -> Path:
    """The path of a file; of an object, that of a copy in a new folder.

    Raises:
        ObjectMissing, ObjectChanged, ScratchFull, Stopped, TransientError: see ``S3Transfers``.
        InputError: the file is gone.
    """
    stop.check()
    address = read_address(found.uri)
    if isinstance(address, Path):
        found_file(address, found.uri)
        return address
    folder.mkdir(parents=True)
    target = folder / _file_name(found.name)
    services.transfers.download(
        address.bucket,
        address.key,
        target,
        etag=found.etag,
        size=found.bytes,
        stop=stop,
        progress=progress,
    )
    return target


def found_file(path: Path, source: str) -> ListedFile:
    """A regular file that can be read. Raises ``InputError``."""
    try:
        path = path.resolve(strict=True)
        status = path.stat()
        readable = path.is_file() and os.access(path, os.R_OK)
    except (OSError, RuntimeError) as error:  # RuntimeError: circular links
        raise InputError(f"{source} does not exist", code="input_missing") from error
    if not readable:
        raise InputError(f"{source} is not a file that can be read", code="input_unreadable")
    return ListedFile(
        uri=str(path),
        name=path.name,
        bytes=status.st_size,
        etag=f"{status.st_size}-{status.st_mtime_ns}",
        alone=True,
    )


def digest_of(path: Path, stop: Stop) -> str:
    """SHA-256 of a file, 64 hex digits; checks for a stop between two chunks."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as opened:
            while chunk := opened.read(_CHUNK):
                stop.check()
                digest.update(chunk)
    except OSError as error:
        text = f"{path.name} cannot be read: {error.strerror or error}"
        raise InputError(text, code="input_unreadable") from error
    return digest.hexdigest()


def _resolved(text: str) -> Path | S3Address:
    address = read_address(text)
    return address.resolve() if isinstance(address, Path) else address


def _files(folder: Path) -> Iterator[ListedFile]:
    root = folder.resolve()
    for path in sorted(root.rglob("*")):
        # Links are not followed: one could lead anywhere, or form a loop.
        if (
            path.is_symlink()
            or not path.is_file()
            or any(part.startswith(".") for part in path.relative_to(root).parts)
        ):
            continue
        status = path.stat()
        yield ListedFile(
            uri=str(path),
            name=path.relative_to(root).as_posix(),
            bytes=status.st_size,
            etag=f"{status.st_size}-{status.st_mtime_ns}",
        )


def _link(path: Path, folder: Path, name: str) -> Path:
    """Link to a file under a harmless name: programs never see the names people give files."""
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / _file_name(name)
    link.symlink_to(path)
    return link


def _file_name(name: str) -> str:
    """A harmless name with the same ending: an object can be called anything."""
    ending = PurePosixPath(name).suffix
    return f"input{ending.lower()}" if re.fullmatch(r"\.[A-Za-z0-9]{1,8}", ending) else "input"


def required_bytes(found: Sequence[ListedFile], factor: float) -> int:
    """Scratch space a job needs: copies of objects, and ``factor`` times the size of all inputs."""
    copied = sum(item.bytes for item in found if item.uri.startswith("s3://"))
    total = sum(item.bytes for item in found)
    if total < 0:
        raise EngineError("an object has a negative size")
    return copied + int(total * factor)
