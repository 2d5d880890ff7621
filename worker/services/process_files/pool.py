"""Worker processes under supervision: one that dies or hangs costs only its own picture.

``concurrent.futures`` breaks the whole pool when one process dies. This pool replaces a dead or
late process, and tries its picture once more in the sandbox, which reports the cause. Processes are
spawned and never forked, because libvips's threads do not survive a fork.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from importlib import metadata
from multiprocessing import connection
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import worker
from worker.domain.errors import (
    DamagedInput,
    EngineError,
    Reason,
    Rejected,
    SafelightError,
)
from worker.domain.image import Dropped, Metadata, Probe, Recipe, StoredRendition
from worker.imaging.malloc import keep_memory
from worker.services.process_files import output_folder
from worker.services.process_files.output_folder import Cause
from worker.subprocesses import sandbox
from worker.subprocesses.child import Child, bare_environment
from worker.subprocesses.sandbox import INTERPRETER, SandboxLimits, import_path

if TYPE_CHECKING:
    from worker.imaging.engine import ProcessedImage
    from worker.job_context import Stop

LIMITS = SandboxLimits(wall_seconds=120.0, cpu_seconds=240.0, memory_bytes=4 * 2**30)
"""Limits of one picture. The wall time also limits the first attempt, which is not in the
sandbox."""


# --- the engine -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The functions of a run. Each must be importable by name, because worker processes get
    names."""

    process: Callable[[bytes, Recipe], ProcessedImage]
    describe: Callable[[bytes], Probe]
    """Probes without limits, to describe a rejected file whose error has no probe. Raises
    Rejected."""
    needs_sandbox: Callable[[bytes], bool]
    """Whether the first attempt must run in the sandbox."""
    version: str
    """Version of the engine. Results of another version are made again."""
    run_sandboxed: Callable[..., Any] = sandbox.run


# These functions import the engine when they are called: the supervising process stays small, and
# libvips starts only in worker processes, after their environment is set.


def _process(data: bytes, recipe: Recipe) -> ProcessedImage:
    from worker.imaging import engine
    from worker.recipes import all_at_upload

    return engine.process(data, all_at_upload(recipe))


def _describe(data: bytes) -> Probe:
    from worker.imaging import probe

    return probe.describe(data)


def _needs_sandbox(data: bytes) -> bool:
    from worker.imaging import engine

    return engine.needs_sandbox(data)


def real_engine() -> Engine:
    """Return the engine of ``worker.imaging``, without loading it. Its version contains everything
    that may change bytes: the engine's own number and the versions of its libraries.
    """
    from worker.imaging.plan import ENGINE_VERSION

    parts = [f"safelight {worker.__version__}", f"engine {ENGINE_VERSION}"]
    for name in ("pyvips-binary", "pillow", "simplejpeg", "pi-heif"):
        # A missing package is optional, or libvips comes from the system.
        with contextlib.suppress(metadata.PackageNotFoundError):
            parts.append(f"{name} {metadata.version(name)}")
    return Engine(
        process=_process,
        describe=_describe,
        needs_sandbox=_needs_sandbox,
        version=", ".join(parts),
    )


# --- one file ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTask:
    """One source to process."""

    number: int
    """Identifies the task; the position of its source."""
    path: Path
    name: str
    """Name of the final folder, for the paths in the outcome."""
    staging: Path
    """Staging folder to create and write to."""
    sandboxed: bool = False
    """Run in the sandbox, because the first attempt killed or hung its process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Data shared by all tasks of a run. Sent to each worker process once."""

    engine: Engine
    recipe: Recipe
    limits: SandboxLimits = LIMITS
    write: Callable[[Path, bytes], None] = output_folder.write_file
    """Writes one new file whole; raises OSError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOutcome:
    """The outcome of a task: accepted, rejected (``cause``) or a reason to stop (``failure``)."""

    number: int
    seconds: float = 0.0
    bytes: int | None = None
    modified_ns: int | None = None
    sha256: str | None = None
    probe: Probe | None = None
    metadata: Metadata | None = None
    plan: str | None = None
    renditions: tuple[StoredRendition, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    cause: Cause | None = None
    failure: SafelightError | None = None


def too_large(size: int, limit: int) -> Cause:
    """Return the cause for a file of ``size`` bytes that is over the recipe's ``limit``."""
    return Cause(
        code=Reason.TOO_MANY_BYTES.value,
        message=f"{size:,} bytes, more than the {limit:,} allowed",
    )


def process_file(task: FileTask, setup: Setup) -> FileOutcome:
    """Process one task. SafelightError and OSError become part of the outcome.

    A defect of the engine rejects the source with the code ``engine_failed``; only MemoryError is
    raised, so that the attempt can be repeated with limited memory.
    """
    started = time.perf_counter()
    outcome = _attempt(task, setup)
    return replace(outcome, seconds=round(time.perf_counter() - started, 4))


def _attempt(task: FileTask, setup: Setup) -> FileOutcome:
    limit = setup.recipe.limits.bytes
    try:
        with task.path.open("rb") as file:
            status = os.fstat(file.fileno())
            data = file.read(limit + 1)
    except OSError as error:
        cause = Cause(code="input_unreadable", message=error.strerror or str(error))
        return FileOutcome(number=task.number, cause=cause)
    known = FileOutcome(number=task.number, bytes=status.st_size, modified_ns=status.st_mtime_ns)
    if len(data) > limit:  # the file has grown since the folder was listed
        return replace(known, cause=too_large(max(len(data), status.st_size), limit))
    known, again = replace(known, bytes=len(data)), True
    try:
        made = _call(setup.engine.process, data, setup.recipe, task=task, setup=setup)
    except Rejected as rejection:
        cause = Cause(code=rejection.code, message=rejection.message)
        if isinstance(rejection.probe, Probe):
            known = replace(known, probe=rejection.probe)
        # An unreadable file cannot be described either.
        again = known.probe is None and not isinstance(rejection, DamagedInput)
    except SafelightError as error:
        cause = Cause(code=error.code, message=error.message)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - one picture's defect must not end the run
        cause = Cause(code=EngineError.code, message=f"{type(error).__name__}: {error}")
    else:
        return _stored(made, known, task, setup)
    if again:
        with contextlib.suppress(Exception):  # the file is rejected already; this only adds details
            probe = _call(setup.engine.describe, data, task=task, setup=setup)
            known = replace(known, probe=probe)
    return replace(known, cause=cause, sha256=hashlib.sha256(data).hexdigest())


def _call(
    function: Callable[..., Any], data: bytes, *args: object, task: FileTask, setup: Setup
) -> Any:
    if task.sandboxed or setup.engine.needs_sandbox(data):
        return setup.engine.run_sandboxed(function, data, *args, limits=setup.limits)
    return function(data, *args)


def _stored(made: ProcessedImage, known: FileOutcome, task: FileTask, setup: Setup) -> FileOutcome:
    written = []
    try:
        task.staging.mkdir()
        for rendition in made.renditions:
            file_name = f"{rendition.name}.{rendition.format.extension}"
            setup.write(task.staging / file_name, rendition.data)
            written.append(rendition.stored_as(f"{task.name}/{file_name}"))
    except OSError as error:
        return replace(known, failure=output_folder.storage_error(error, task.staging))
    return replace(
        known,
        sha256=made.metadata.sha256,
        probe=made.probe,
        metadata=made.metadata,
        plan=made.plan.hash,
        renditions=tuple(written),
        dropped=tuple(made.dropped),
    )


# --- the pool ---------------------------------------------------------------------------------

_ENVIRONMENT = {
    "VIPS_CONCURRENCY": "1",  # the processes are the parallelism
    "VIPS_WARNING": "1",  # any value silences the warnings of libvips
}
"""Environment variables that libvips reads when it is loaded."""

_PASSED_ON = ("LANG", "LC_ALL", "VIPS_BLOCK_UNTRUSTED", "PYTHONDONTWRITEBYTECODE")
"""No credentials: these processes decode what a user has uploaded."""

_NOTHING: Any = object()
"""Sentinel that differs from any message."""

_SANDBOX_MARGIN = 30.0
"""Seconds beyond its two sandboxed calls before a worker counts as hung."""


@dataclass(slots=True, kw_only=True, eq=False)
class _WorkerProcess:
    """The supervisor's view of a worker process."""

    child: Child
    pipe: Connection
    ready: bool = False
    task: FileTask | None = None
    deadline: float = float("inf")

    def end(self) -> None:
        self.child.end()
        self.pipe.close()


class Pool:
    """Runs tasks on up to ``size`` worker processes."""

    def __init__(self, setup: Setup, *, size: int) -> None:
        self._setup = setup
        self._size = size

    def run(self, tasks: Iterable[FileTask], *, stop: Stop) -> Generator[FileOutcome]:
        """Yield the outcomes of tasks as they finish, until ``stop`` is set.

        Leaving the iteration early, or an error in it, ends every process at once. The caller
        removes the staging folders of unfinished tasks.

        Raises:
            EngineError: worker processes do not start.
        """
        waiting = deque(tasks)
        workers: list[_WorkerProcess] = []
        try:
            while not stop.requested:
                busy = sum(one.task is not None for one in workers)
                while len(workers) < min(self._size, busy + len(waiting)):
                    workers.append(self._start())
                for one in workers:
                    if one.ready and one.task is None and waiting:
                        self._assign(one, waiting.popleft())
                if not waiting and all(one.task is None for one in workers):
                    return
                for one in self._wait(workers, stop):
                    yield from self._receive(one, workers, waiting)
        finally:
            for one in workers:
                one.end()

    def _start(self) -> _WorkerProcess:
        ours, theirs = socket.socketpair()
        pipe = Connection(os.dup(ours.fileno()))
        # Decoders print to both streams; standard output must contain only the command's own
        # output.
        output = None if "SAFELIGHT_DEBUG" in os.environ else subprocess.DEVNULL
        child = Child(
            [*INTERPRETER, "-c", f"import {__name__} as pool; pool.work({theirs.fileno()})"],
            environment=bare_environment(*_PASSED_ON)
            | {**_ENVIRONMENT, "PYTHONPATH": import_path()},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            pipes=[(ours.detach(), theirs.detach())],
        )
        # Sent after the start, so that the engine is not imported before it is needed.
        with contextlib.suppress(OSError):  # it has died: the next round finds out
            pipe.send(self._setup)
        return _WorkerProcess(child=child, pipe=pipe)

    def _assign(self, to: _WorkerProcess, task: FileTask) -> None:
        seconds = self._setup.limits.wall_seconds
        if task.sandboxed:
            seconds = 2 * seconds + _SANDBOX_MARGIN
        to.task = task
        to.deadline = time.monotonic() + seconds
        with contextlib.suppress(OSError):  # it has died: the next round finds out
            to.pipe.send(task)

    def _wait(self, workers: list[_WorkerProcess], stop: Stop) -> list[_WorkerProcess]:
        """Wait until a worker answers, dies or is late, or for a stop; return those workers."""
        left = min(one.deadline for one in workers) - time.monotonic()
        timeout = None if left == float("inf") else max(0.0, left)
        readable = connection.wait([stop.fileno(), *(one.pipe for one in workers)], timeout)
        now = time.monotonic()
        return [one for one in workers if one.pipe in readable or one.deadline <= now]

    def _receive(
        self, one: _WorkerProcess, workers: list[_WorkerProcess], waiting: deque[FileTask]
    ) -> Iterator[FileOutcome]:
        task, answer = one.task, _NOTHING
        late = not one.pipe.poll()
        if not late:
            # The pipe closes when its process ends, so one wait covers both answers and deaths.
            with contextlib.suppress(EOFError, OSError):
                answer = one.pipe.recv()
        if answer is not _NOTHING:
            one.ready, one.task, one.deadline = True, None, float("inf")
            if task is not None:
                yield answer
            return
        if not one.ready:
            raise EngineError("a worker process ended before it could work")
        workers.remove(one)
        one.end()
        if task is None:
            return
        output_folder.remove(task.staging)
        if not task.sandboxed:
            waiting.appendleft(replace(task, sandboxed=True))
        elif late:
            cause = Cause(code=Reason.TIMED_OUT.value, message="it took longer than allowed, twice")
            yield FileOutcome(number=task.number, cause=cause)
        else:
            cause = Cause(code=Reason.CRASHED.value, message="it ended its worker process, twice")
            yield FileOutcome(number=task.number, cause=cause)


def work(descriptor: int) -> None:
    """Main function of a worker process: receive tasks from a socket and send outcomes, until it
    closes."""
    keep_memory()
    threading.Thread(target=_end_with_supervisor, daemon=True).start()
    pipe = Connection(descriptor)
    try:
        setup: Setup = pipe.recv()
        pipe.send(None)
        while True:
            pipe.send(process_file(pipe.recv(), setup))
    except (EOFError, OSError):
        pass  # the supervisor is gone
    except MemoryError:
        os._exit(1)  # retried in the sandbox, with limited memory


def _end_with_supervisor() -> None:
    """End when the supervisor ends, so that even a killed supervisor leaves no process that writes
    to the output folder: its end closes the pipe on standard input."""
    os.read(0, 1)
    os._exit(1)
