"""The contract between the job runner and the operations: what an operation gets and gives.

Frozen values and protocols on the standard library; ``batch.runner`` and ``batch.outputs`` fulfil
them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from worker.domain.errors import Stopped
from worker.job_context import JobContext, Stop

__all__ = [
    "Checkpoint",
    "InputListing",
    "ListedFile",
    "Operation",
    "Outputs",
    "Stop",
    "Stopped",
    "Value",
    "Work",
]

Value: TypeAlias = int | float | bool | str | tuple[str, ...]
"""A parameter, read and checked. A ``list`` is a tuple of text."""


class Outputs(Protocol):
    """Where a job's results go: a folder or a prefix in S3."""

    def file(self, path: Path, name: str, *, content_type: str | None = None) -> None:
        """Store a finished file under a final name, whole or not at all. Overwrites.

        Args:
            path: a file in the scratch folder; it is left there.
            name: may have folders in it, ``video/720p/init.mp4``.
            content_type: None takes that of the name's ending.

        Raises:
            EngineError: the name leaves the output store.
            TransientError: the store is full or does not answer.
        """
        ...

    def tree(self, folder: Path, prefix: str = "") -> None:
        """Store every file below a folder, under its path from there behind ``prefix``."""
        ...

    def earlier(self, name: str, *, size: int, sha256: str) -> None:
        """List a file in ``result.json`` that an earlier attempt stored.

        For operations that skip files which their checkpoint says are stored.
        """
        ...

    def fetch(self, name: str) -> Path | None:
        """A copy, in the scratch folder, of a file in the output store; None if there is none.

        For jobs that continue from what an earlier one stored in the same place: the parts and the
        assembly of a divided transcode.
        """
        ...


class Checkpoint(Protocol):
    """Finished chunks that a later attempt of the same job need not make again.

    It belongs to one kind, its inputs and its parameters: if any of them changes, it is empty.
    """

    def get(self, name: str) -> Path | None:
        """A copy on disk of a stored chunk; None if there is none or its digest is wrong."""
        ...

    def put(self, name: str, path: Path) -> None:
        """Store a finished chunk. It counts only once this has returned."""
        ...

    def names(self) -> Sequence[str]:
        """Names of all stored chunks, sorted."""
        ...

    def clear(self) -> None:
        """Remove all chunks. The runner does so after success."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedFile:
    """One file of an input that is a folder or a prefix."""

    uri: str
    """An absolute path or an ``s3://`` address."""
    name: str
    """Its path below the input it was found in; of an input that is one file, its name."""
    bytes: int
    etag: str = ""
    """Changes with the content: S3's, or size and time of a file."""
    alone: bool = False
    """Given by itself, not found in a folder or below a prefix."""


class InputListing(Protocol):
    """The files of inputs that the runner does not fetch (``JobKind.lazy``)."""

    def list(self) -> Sequence[ListedFile]:
        """Every file of every input, in the order given; within one input in order of name."""
        ...

    def fetch(self, found: ListedFile) -> Path:
        """A copy on disk. Give it to ``release`` when done: a library is larger than a disk.

        Raises:
            InputError, ObjectMissing, ObjectChanged: it changed since it was listed.
            TransientError: the store does not answer, or scratch is full.
        """
        ...

    def release(self, path: Path) -> None:
        """Remove a copy that ``fetch`` made."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One attempt at one job."""

    inputs: tuple[Path, ...]
    """Local copies, or links to files on this machine, in the order given. The runner chooses their
    names and keeps their endings."""
    sources: tuple[str, ...]
    """The inputs as given: paths or ``s3://`` addresses."""
    digests: tuple[str, ...]
    """SHA-256 of each, 64 hex digits; none for kinds that are ``lazy``."""
    parameters: Mapping[str, Value]
    """Every parameter of the kind that was given or has a default."""
    scratch: Path
    """A folder of this attempt's own, empty at first, removed afterwards."""
    outputs: Outputs
    checkpoint: Checkpoint
    stop: Stop
    progress: Callable[[float, str], None]
    """Takes the share done (0 to 1) and what is being done. Cheap: call it at every change."""
    threads: int
    """Threads to use: the processors this job may have, at least 1."""
    index: int | None = None
    """Which child of an array job this is, from 0; None outside of array jobs."""
    size: int = 1
    """How many children the array has."""
    inventory: InputListing | None = None
    """For kinds that are ``lazy``; their ``inputs`` are empty."""

    @property
    def context(self) -> JobContext:
        """Scratch folder, stop, progress and threads, for the code that does the work."""
        return JobContext(
            scratch=self.scratch, stop=self.stop, progress=self.progress, threads=self.threads
        )

    # The catalogue declares the type of each parameter, and the runner has read the text by it.

    def integer(self, name: str) -> int:
        """A parameter of type ``int``."""
        value = self.parameters[name]
        assert isinstance(value, int), name
        return value

    def number(self, name: str) -> float:
        """A parameter of type ``float``."""
        value = self.parameters[name]
        assert isinstance(value, int | float), name
        return float(value)

    def optional(self, name: str) -> float | None:
        """A parameter of type ``float`` without a default."""
        return self.number(name) if name in self.parameters else None

    def flag(self, name: str) -> bool:
        """A parameter of type ``bool``."""
        value = self.parameters[name]
        assert isinstance(value, bool), name
        return value

    def text(self, name: str) -> str:
        """A parameter of type ``text`` or ``choice``."""
        value = self.parameters[name]
        assert isinstance(value, str), name
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A parameter of type ``list``; empty if it has no default and is not given."""
        value = self.parameters.get(name, ())
        assert isinstance(value, tuple), name
        return value


Operation: TypeAlias = Callable[[Work], Mapping[str, object]]
"""Does the work and returns details for ``result.json``: text, numbers, lists and mappings only.

Raises ``Rejected`` if the input can never succeed, ``Stopped`` after a stop, and any other
``SafelightError`` as it is."""
