"""What an operation gets and gives: inputs on disk, parameters, places, and a way to be stopped.

What lives here: the contract between the job runner and the operations, as frozen values and
protocols. What may not: how any of it is done (``batch.runner``, ``batch.outputs``,
``batch.checkpoint``), AWS, or a library beyond the standard one.
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
"""A parameter, read and checked. A ``list`` is a tuple of text; an optional one left out is not
in the mapping at all."""


class Outputs(Protocol):
    """Where a job's results go: a folder or a prefix in S3."""

    def file(self, path: Path, name: str, *, content_type: str | None = None) -> None:
        """Store a finished file under a final name, whole or not at all. Overwrites.

        Args:
            path: a file in the scratch folder; it is left there.
            name: may have folders in it, ``video/720p/init.mp4``.
            content_type: None takes that of the name's ending.

        Raises:
            EngineError: the name leaves the output place.
            TransientError: the place is full or does not answer.
        """
        ...

    def tree(self, folder: Path, prefix: str = "") -> None:
        """Store every file below a folder, under its path from there behind ``prefix``."""
        ...

    def earlier(self, name: str, *, size: int, sha256: str) -> None:
        """Say that an earlier attempt has stored this, so that ``result.json`` lists it too.

        For operations that do not store again what their checkpoint says is there.
        """
        ...

    def fetch(self, name: str) -> Path | None:
        """A copy on disk of something that lies in the output place; None if it does not.

        For jobs that go on from what an earlier one of the same output place has stored: the
        parts and the assembly of a divided transcode. The copy is in the scratch folder.
        """
        ...


class Checkpoint(Protocol):
    """Finished pieces that a later attempt of the same job needs not make again.

    It belongs to one kind, its inputs and its parameters: with any of them changed it is empty.
    """

    def get(self, name: str) -> Path | None:
        """A copy on disk of a stored piece; None if there is none or its digest is not right."""
        ...

    def put(self, name: str, path: Path) -> None:
        """Store a finished piece. It counts only once this has returned."""
        ...

    def names(self) -> Sequence[str]:
        """Of all stored pieces, sorted."""
        ...

    def clear(self) -> None:
        """Forget everything. The runner does so after success."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedFile:
    """One file of an input that is a folder or a prefix."""

    uri: str
    """Where it lies: an absolute path or an ``s3://`` address."""
    name: str
    """Its path below the input it was found in; of an input that is one file, its name."""
    bytes: int
    etag: str = ""
    """Changes with the content: S3's, or size and time of a file."""
    alone: bool = False
    """Given as itself, not found in a folder or below a prefix."""


class InputListing(Protocol):
    """What lies in inputs that the runner does not fetch (``Kind.lazy``)."""

    def list(self) -> Sequence[ListedFile]:
        """Every file of every input, in the order given; within one input in order of name."""
        ...

    def fetch(self, found: ListedFile) -> Path:
        """A copy on disk. Give it to ``release`` when done: a library is larger than a disk.

        Raises:
            InputError, ObjectMissing, ObjectChanged: it is not what was listed any more.
            TransientError: the store does not answer, or scratch is full.
        """
        ...

    def release(self, path: Path) -> None:
        """Forget a copy that ``fetch`` made."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One attempt at one job."""

    inputs: tuple[Path, ...]
    """Local copies, fetched already, or links to files on this machine, in the order they were
    given. They have names of the runner's, and keep their endings."""
    sources: tuple[str, ...]
    """The same as given: paths or ``s3://`` addresses."""
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
    """Share done (0 to 1) and what is being done. Cheap: call it as often as there is news."""
    threads: int
    """How many threads to use: the processors this job may have, at least 1."""
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


Operation: TypeAlias = Callable[[Work], Mapping[str, object]]
"""Does the work and returns details for ``result.json``: text, numbers, lists and mappings only.

Raises ``Rejected`` if the input can never succeed, ``Stopped`` after a stop, and any other
``SafelightError`` as it is."""
