"""``python -m batch run KIND ...``: one attempt at one job, from its inputs to its exit code.

The order: check all arguments, see whether the job is done already, check the room on the scratch
disk, fetch the inputs, run the operation, write the record. The exit code follows from the error
that ended the attempt alone.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from batch import result
from batch.arguments import JobArguments, read_arguments
from batch.catalogue import EXIT_AGAIN, EXIT_BAD_INPUT, EXIT_DONE, EXIT_FAILED, EXIT_USAGE
from batch.inputs import InputCopy, Inputs, Library, required_bytes
from batch.job_services import JobServices
from batch.operations import find
from batch.outputs import JobOutputs, OutputStore, StoredCheckpoint
from batch.reporting import Identity, JobReporter
from batch.work import ListedFile, Operation, Work
from worker import __version__
from worker.atomic import disk_full
from worker.domain import metrics, trace
from worker.domain.errors import (
    EngineError,
    InputError,
    ObjectChanged,
    ObjectMissing,
    PoisonInput,
    ProblemsError,
    Reason,
    Rejected,
    SafelightError,
    ScratchFull,
    Stopped,
)
from worker.domain.trace import Span
from worker.job_context import SignalWatch, Stop, processors
from worker.services import work_metrics

FETCH_SHARE = 0.05
"""Share of the progress bar that fetching the inputs takes."""
SCRATCH_PREFIX = "safelight-job-"
_LOCK = "lock"
_UNLOCKED_SECONDS = 3600
"""A folder without a lock is being made right now, or was left in that state an hour ago."""
SMALLEST_ROOM = 64 * 1024**2
"""Bytes of scratch that must be free whatever the input."""


class BadInput(Exception):
    """An input cannot be used: a verdict on the input, not a failure of the job."""

    def __init__(self, error: SafelightError) -> None:
        super().__init__(error.message)
        self.error = error


@contextmanager
def _bad_input() -> Iterator[None]:
    """Errors about inputs are verdicts on them while this context is open."""
    try:
        yield
    except (InputError, ObjectMissing, ObjectChanged) as error:
        raise BadInput(error) from error


def main(arguments: Sequence[str]) -> int:
    """Run one attempt in this process, with its signals, and return the exit code."""
    stop = Stop()
    # Before anything slow: a signal during the imports of an operation must not be missed.
    with SignalWatch(stop) as watch:
        try:
            request = read_arguments(arguments, os.environ)
            services = JobServices()
            services.start_tracing()
        except ProblemsError as error:
            print(f"safelight: {error.message}", file=sys.stderr)  # noqa: T201 - the command line
            return EXIT_USAGE
        return perform(
            request,
            services=services,
            stop=stop,
            log=sys.stdout,
            before_forced_end=watch.before_forced_end,
        )


def perform(
    request: JobArguments,
    *,
    services: JobServices,
    stop: Stop,
    log: TextIO,
    operation: Operation | None = None,
    before_forced_end: Callable[[Callable[[], None]], None] = lambda _: None,
) -> int:
    """Run one attempt and return its exit code. Raises nothing.

    Args:
        operation: None takes that of the kind.
        before_forced_end: is called with what must happen before an end by force.
    """
    table = os.environ.get("SAFELIGHT_TABLE")
    identity = Identity(
        kind=request.kind.name,
        job=request.job,
        attempt=request.attempt,
        asset=request.asset,
        output=request.output,
        traceparent=request.traceparent,
    )
    catalog = (lambda: services.catalog(table)) if table and request.asset else None
    began = time.monotonic()
    if request.attempt == 1:
        _count_wait(request.submitted)
    with _traced(request) as span, JobReporter(identity, log, catalog=catalog) as reporter:
        attempt = _Attempt(request, services, stop, reporter)
        try:
            outcome, written = attempt.run(operation, before_forced_end), EXIT_DONE
        except BaseException as error:  # noqa: BLE001 - whatever it is, it has an exit code
            outcome, written = attempt.failed(error)
        span.set(outcome=outcome, bytes=attempt.bytes_in, written=attempt.bytes_out)
        if outcome == "failed":
            span.fail(attempt.code)
        reporter.metrics(
            outcome,
            seconds=round(time.monotonic() - began, 3),
            bytes_in=attempt.bytes_in,
            bytes_out=attempt.bytes_out,
        )
    return written


def _count_wait(submitted: str) -> None:
    """Count how long a job has waited, if it was said when it was submitted."""
    age = work_metrics.age_of(trace.moment(submitted) / 1e9 or None, time.time())
    if age is not None:
        metrics.add(metrics.JOB_WAIT_SECONDS, age)


@contextmanager
def _traced(request: JobArguments) -> Iterator[Span]:
    """An attempt as a span, with the wait before it."""
    parent = request.traceparent
    with trace.flushing("batch"):
        if request.attempt == 1:
            trace.finished("wait job", start=trace.moment(request.submitted), parent=parent)
        with trace.span(f"job {request.kind.name}", parent=parent, attempt=request.attempt) as span:
            if request.asset is not None:
                span.set(asset=request.asset)
            if request.index is not None:
                span.set(index=request.index)
            yield span


@dataclass(frozen=True, slots=True, kw_only=True)
class _PreparedInputs:
    """The inputs of an operation, and their description in the result."""

    fetched: tuple[InputCopy, ...] = ()
    inventory: Library | None = None
    inputs: tuple[result.JobInput, ...]
    digest: str


class _Attempt:
    """One attempt and its state."""

    def __init__(
        self, request: JobArguments, services: JobServices, stop: Stop, reporter: JobReporter
    ) -> None:
        self._request = request
        self._services = services
        self._stop = stop
        self._reporter = reporter
        self._store: OutputStore | None = None
        self._checkpoint: StoredCheckpoint | None = None
        self._outputs: JobOutputs | None = None
        self._began = time.monotonic()
        self.bytes_in = 0
        self.bytes_out = 0
        self.code = ""
        """Of the error that it ended with."""

    def run(
        self, operation: Operation | None, before_forced_end: Callable[[Callable[[], None]], None]
    ) -> str:
        """Do everything up to the record of success; return ``done`` or ``unchanged``."""
        request = self._request
        store = self._services.output_store(
            request.output,
            immutable=request.asset is not None,
            stop=self._stop,
            closed=request.closed,
            traceparent=request.traceparent,
        )
        self._store = store
        with Scratch(request.scratch) as scratch:
            before_forced_end(scratch.remove)
            before = None if request.force else result.read(store, self._result)
            listed = self._list(scratch)
            if before and before.answers(
                request.kind,
                array=(request.index, request.size),
                parameters=request.parameters,
                found=listed,
            ):
                return self._unchanged(before)
            # A library may be larger than a disk: its largest file must fit at least.
            together = [(item,) for item in listed] if request.kind.lazy else [listed]
            factor = request.kind.scratch_factor
            scratch.check_room(max((required_bytes(some, factor) for some in together), default=0))
            prepared = self._prepare(listed)
            if before and before.job == prepared.digest:
                return self._unchanged(before)
            with store.lock(self._result):
                made = self._work(operation, store, scratch, prepared)
        self._reporter.event("done", seconds=self._seconds, outputs=len(made.outputs))
        self._reporter.record("SUCCEEDED", **result.noted(made))
        return "done"

    def _work(
        self,
        operation: Operation | None,
        store: OutputStore,
        scratch: Scratch,
        prepared: _PreparedInputs,
    ) -> result.ResultRecord:
        """Run the operation, and write the record of its success."""
        request = self._request
        checkpoint = StoredCheckpoint(
            store, result.job_name(request.kind, request.index), prepared.digest, scratch.fetched
        )
        self._checkpoint = checkpoint
        outputs = self._outputs = JobOutputs(store, scratch.fetched, stop=self._stop)
        # Records of an earlier, different job must not stand beside half of this one.
        store.remove(self._result)
        store.remove(self._rejected)
        work = Work(
            inputs=tuple(item.path for item in prepared.fetched),
            sources=request.sources,
            digests=tuple(item.sha256 for item in prepared.fetched),
            parameters=request.parameters,
            scratch=scratch.work,
            outputs=outputs,
            checkpoint=checkpoint,
            stop=self._stop,
            progress=self._progress,
            threads=request.threads or processors(),
            index=request.index,
            size=request.size,
            inventory=prepared.inventory,
        )
        try:
            details = (operation or find(request.kind.name))(work)
        except (Rejected, EngineError):
            # A file that is being written to looks damaged, or like a defect of ours.
            self._recheck(prepared)
            raise
        self._recheck(prepared)
        self.bytes_out = sum(output.bytes for output in outputs.stored)
        record = result.ResultRecord(
            kind=request.kind.name,
            version=__version__,
            job=prepared.digest,
            array=(request.index, request.size),
            parameters=request.parameters,
            inputs=prepared.inputs,
            outputs=outputs.stored,
            details=details,
            seconds=self._seconds,
        )
        result.write(store, self._result, record)
        self._reporter.progress(1.0, "done")
        checkpoint.clear()
        return record

    def failed(self, error: BaseException) -> tuple[str, int]:
        """Report how the attempt failed; return the outcome's name and the exit code."""
        if isinstance(error, BadInput):
            return self._reject(error.error)
        known = known_as(error)
        if self._stop.requested and not isinstance(known, Rejected | Stopped):
            # After a stop, errors from child processes and transfers are expected.
            known = Stopped("the job was asked to stop")
        if isinstance(known, Rejected):
            return self._reject(known)
        self.code = known.code
        code = exit_code(known)
        name = "stopped" if isinstance(known, Stopped) else "failed"
        self._reporter.event(
            name, code=known.code, message=known.message, exit_code=code, **origin(error, known)
        )
        # Batch decides whether to retry; until then this is what the record says.
        again = code == EXIT_AGAIN and self._request.attempt < self._request.kind.attempts
        self._reporter.record(
            "RUNNABLE" if again else "FAILED", code=known.code, reason=known.message
        )
        return name, code

    def _reject(self, error: SafelightError) -> tuple[str, int]:
        content = result.rejection(self._request.kind, error, self._request.sources)
        try:
            if self._store is not None:
                result.write(self._store, self._rejected, content)
                self._store.remove(self._result)
                # Results that were stored before the verdict belong to no record.
                for output in self._outputs.stored if self._outputs is not None else ():
                    self._store.remove(output.name)
            if self._checkpoint is not None:
                self._checkpoint.clear()
        except SafelightError as trouble:
            # Without its record the rejection is lost: retry if that can help.
            self.code = trouble.code
            self._reporter.event("failed", code=trouble.code, message=trouble.message)
            return "failed", exit_code(trouble)
        self._reporter.event(
            "rejected", code=error.code, message=error.message, exit_code=EXIT_BAD_INPUT
        )
        self._reporter.record("FAILED", code=error.code, reason=error.message)
        return "rejected", EXIT_BAD_INPUT

    def _unchanged(self, before: result.ResultRecord) -> str:
        self._reporter.event("unchanged", seconds=self._seconds)
        self._reporter.record("SUCCEEDED", **result.noted(before))
        return "unchanged"

    def _list(self, scratch: Scratch) -> Sequence[ListedFile]:
        request, folder = self._request, scratch.inputs
        with _bad_input():
            if request.kind.lazy:
                self._library = Library(
                    request.sources,
                    output=request.output,
                    folder=folder,
                    services=self._services,
                    stop=self._stop,
                )
                return self._library.list()
            self._inputs = Inputs(
                request.sources, folder=folder, services=self._services, stop=self._stop
            )
            return self._inputs.describe()

    def _prepare(self, listed: Sequence[ListedFile]) -> _PreparedInputs:
        total = sum(item.bytes for item in listed)
        if self._request.kind.lazy:
            self.bytes_in = total
            if all(item.alone for item in listed):
                inputs = [
                    result.JobInput(uri=item.uri, bytes=item.bytes, etag=item.etag)
                    for item in listed
                ]
            else:  # the operation's manifest lists the files of folders and prefixes
                inputs = [result.JobInput(uri=source) for source in self._request.sources]
            return _PreparedInputs(
                inventory=self._library,
                inputs=tuple(inputs),
                digest=self._digest([f"{item.uri} {item.etag}" for item in listed]),
            )
        arrived = 0

        def progress(count: int) -> None:
            nonlocal arrived
            arrived += count
            self._reporter.progress(FETCH_SHARE * arrived / (total or 1), "fetching")

        with _bad_input():
            fetched = self._inputs.fetch(listed, progress)
        self.bytes_in = sum(item.bytes for item in fetched)
        return _PreparedInputs(
            fetched=fetched,
            inputs=tuple(result.JobInput.of(item) for item in fetched),
            digest=self._digest([item.sha256 for item in fetched]),
        )

    def _recheck(self, prepared: _PreparedInputs) -> None:
        """Re-hash the inputs: fail if a file changed while the job read it."""
        with _bad_input():
            if prepared.fetched:
                self._inputs.recheck(prepared.fetched)

    def _digest(self, identities: Sequence[str]) -> str:
        request = self._request
        return result.digest(
            request.kind, request.parameters, identities, index=request.index, size=request.size
        )

    def _progress(self, share: float, doing: str) -> None:
        self._reporter.progress(FETCH_SHARE + (1 - FETCH_SHARE) * 0.999 * share, doing)

    @property
    def _result(self) -> str:
        return result.result_name(self._request.kind, self._request.index)

    @property
    def _rejected(self) -> str:
        return result.rejected_name(self._request.kind, self._request.index)

    @property
    def _seconds(self) -> float:
        return round(time.monotonic() - self._began, 3)


# --- the scratch disk -------------------------------------------------------------------------


class Scratch:
    """One attempt's folder on the scratch disk, removed when the attempt ends, stopped or not.

    ``work`` is empty and belongs to the operation, the rest to the runner. A killed attempt leaves
    its folder; the next one on the same disk removes it: the lock of a dead process is free.

    Raises:
        InputError: no folder can be made there.
    """

    def __init__(self, parent: Path) -> None:
        self._parent = parent

    def __enter__(self) -> Scratch:
        _sweep_scratch(self._parent)
        try:
            self._parent.mkdir(parents=True, exist_ok=True)
            self.root = Path(tempfile.mkdtemp(prefix=SCRATCH_PREFIX, dir=self._parent)).resolve()
            # Renamed once it is held: another attempt takes a free lock for that of a dead one.
            unheld = self.root / f"{_LOCK}.new"
            self._lock = os.open(unheld, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unheld.rename(self.root / _LOCK)
            self.work = self.root / "work"
            self.inputs = self.root / "inputs"
            self.fetched = self.root / "fetched"
            for folder in (self.work, self.inputs, self.fetched):
                folder.mkdir()
        except OSError as error:
            text = f"no scratch folder can be made in {self._parent}: {error.strerror or error}"
            raise InputError(text, code="output_unwritable") from error
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()
        os.close(self._lock)

    def remove(self) -> None:
        """Remove everything, as far as possible; for the end by force too."""
        shutil.rmtree(self.root, ignore_errors=True)

    def check_room(self, needed: int) -> None:
        """Raises ``ScratchFull`` with both figures if there is less room than ``needed`` bytes."""
        needed = max(needed, SMALLEST_ROOM)
        free = shutil.disk_usage(self.root).free
        if free < needed:
            text = f"the job needs {_megabytes(needed)} of scratch; {_megabytes(free)} are free"
            raise ScratchFull(text)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"


def _sweep_scratch(parent: Path) -> None:
    """Remove the folders that killed attempts left."""
    for folder in parent.glob(f"{SCRATCH_PREFIX}*"):
        with suppress(OSError):
            if _abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _abandoned(folder: Path) -> bool:
    if folder.is_symlink() or not folder.is_dir():
        return False
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return time.time() - folder.stat().st_mtime > _UNLOCKED_SECONDS
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held: it lives
        return False
    finally:
        os.close(lock)
    return True


# --- how an attempt ends ----------------------------------------------------------------------


def exit_code(error: SafelightError) -> int:
    """The exit code of an error, from what the tree says about it."""
    if isinstance(error, Rejected):
        return EXIT_BAD_INPUT
    if error.retryable:
        return EXIT_AGAIN
    return EXIT_USAGE if isinstance(error, ProblemsError) else EXIT_FAILED


def known_as(error: BaseException) -> SafelightError:
    """Any exception as an error of the tree."""
    match error:
        case SafelightError():
            return error
        case MemoryError():
            return PoisonInput(Reason.OUT_OF_MEMORY, "the job needs more memory than it has")
        case OSError() if disk_full(error):
            return ScratchFull("the scratch disk is full")
        case KeyboardInterrupt():
            return Stopped("the job was interrupted")
    return EngineError(f"{type(error).__name__}: {error}")


def origin(error: BaseException, known: SafelightError) -> Mapping[str, object]:
    """Where a defect was raised: file and line, or the trace with SAFELIGHT_DEBUG."""
    if type(known) is not EngineError:
        return {}
    if os.environ.get("SAFELIGHT_DEBUG"):
        return {"trace": "".join(traceback.format_exception(error))}
    frames = traceback.extract_tb(error.__traceback__)
    return {"at": f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"} if frames else {}
