"""What a worker process does with one source: read it, run the engine, write its files aside.

What lives here: the job, its outcome and the step between them. What may not: processes,
retries, final names.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from worker.domain.errors import EngineError, Reason, SafelightError
from worker.domain.image import Dropped, Metadata, Probe, Recipe
from worker.services.process_files import storage
from worker.services.process_files.engine import Confinement, Engine, ProcessedFile, Result
from worker.services.process_files.manifest import Cause, WrittenRendition


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTask:
    """One source to process."""

    number: int
    """Tells outcomes apart; the order of sources."""
    path: Path
    name: str
    """The final folder's name, for the paths in the outcome."""
    aside: Path
    """Folder to make and write to."""
    confined: bool = False
    """The first try killed or hung its process: do it in the sandbox."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What every job of a run shares. Sent to each worker process once."""

    engine: Engine
    recipe: Recipe
    confinement: Confinement
    write: Callable[[Path, bytes], None] = storage.write_file
    """Writes one new file whole; raises OSError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOutcome:
    """What became of a job: accepted, rejected (``cause``) or a reason to stop (``failure``)."""

    number: int
    seconds: float = 0.0
    bytes: int | None = None
    modified_ns: int | None = None
    sha256: str | None = None
    probe: Probe | None = None
    metadata: Metadata | None = None
    plan: str | None = None
    renditions: tuple[WrittenRendition, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    cause: Cause | None = None
    failure: SafelightError | None = None


def too_large(size: int, limit: int) -> Cause:
    """Return the cause for a file of ``size`` bytes that is over the recipe's ``limit``."""
    return Cause(
        code=Reason.TOO_MANY_BYTES.value,
        message=f"{size:,} bytes, more than the {limit:,} allowed",
    )


def handle(job: FileTask, setup: Setup) -> FileOutcome:
    """Do one job. Never raises a SafelightError or OSError: they are part of the outcome.

    A defect of the engine rejects the source with the code ``engine_failed``; only MemoryError
    passes through, so that the try can be repeated where memory is bounded.
    """
    started = time.perf_counter()
    outcome = _attempt(job, setup)
    return replace(outcome, seconds=round(time.perf_counter() - started, 4))


def _attempt(job: FileTask, setup: Setup) -> FileOutcome:
    limit = setup.recipe.limits.bytes
    try:
        data, status = _read(job.path, limit)
    except OSError as error:
        message = error.strerror or str(error)
        return FileOutcome(number=job.number, cause=Cause(code="input_unreadable", message=message))
    known = FileOutcome(number=job.number, bytes=status.st_size, modified_ns=status.st_mtime_ns)
    if len(data) > limit:  # it has grown since the folder was listed
        return replace(known, cause=too_large(max(len(data), status.st_size), limit))
    known = replace(known, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    try:
        processed = _call(setup.engine.process, data, setup.recipe, job=job, setup=setup)
    except SafelightError as error:
        cause = Cause(code=error.code, message=error.message)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - one picture's defect must not end the run
        cause = Cause(code=EngineError.code, message=f"{type(error).__name__}: {error}")
    else:
        return _stored(processed, known, job, setup)
    return replace(known, cause=cause, probe=_describe(data, job, setup))


def _call(
    function: Callable[..., Result], data: bytes, *args: object, job: FileTask, setup: Setup
) -> Result:
    if job.confined or setup.engine.wary(data):
        return setup.engine.confine(function, data, *args, limits=setup.confinement)
    return function(data, *args)


def _describe(data: bytes, job: FileTask, setup: Setup) -> Probe | None:
    """What the header says of a file that was rejected, where that can be known."""
    try:
        return _call(setup.engine.describe, data, job=job, setup=setup)
    except Exception:  # noqa: BLE001 - it was rejected already; this only adds to it
        return None


def _stored(
    processed: ProcessedFile, known: FileOutcome, job: FileTask, setup: Setup
) -> FileOutcome:
    try:
        renditions = _write(processed, job, setup.write)
    except OSError as error:
        return replace(known, failure=storage.storage_error(error, job.aside))
    return replace(
        known,
        probe=processed.probe,
        metadata=processed.metadata,
        plan=processed.plan.hash,
        renditions=renditions,
        dropped=tuple(processed.dropped),
    )


def _read(path: Path, limit: int) -> tuple[bytes, os.stat_result]:
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        return file.read(limit + 1), status


def _write(
    processed: ProcessedFile, job: FileTask, write: Callable[[Path, bytes], None]
) -> tuple[WrittenRendition, ...]:
    job.aside.mkdir()
    written = []
    for rendition in processed.renditions:
        file_name = f"{rendition.name}.{rendition.format.extension}"
        write(job.aside / file_name, rendition.data)
        written.append(
            WrittenRendition(
                name=rendition.name,
                format=rendition.format,
                width=rendition.width,
                height=rendition.height,
                frames=rendition.frames,
                bytes=len(rendition.data),
                path=f"{job.name}/{file_name}",
                sha256=rendition.sha256,
                quality=rendition.quality,
                ssim=rendition.ssim,
                duration_ms=rendition.duration_ms,
                same_as=rendition.same_as,
            )
        )
    return tuple(written)
