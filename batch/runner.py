"""``python -m batch run KIND ...``: one attempt at one job, from its inputs to its exit code.

What lives here: the order of things. Check everything that was said, see whether it is done
already, check the room, fetch, work, record. What may not: media, S3, the rules of a kind.
The exit code follows from the error that ended the attempt alone: see ``batch.exit_codes``.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TextIO

from batch import result
from batch.arguments import JobArguments, read_order
from batch.catalogue import EXIT_AGAIN, EXIT_BAD_INPUT, EXIT_DONE, EXIT_USAGE
from batch.checkpoint import StoredCheckpoint
from batch.exit_codes import exit_code, known_as, origin
from batch.inputs import InputCopy, Inputs, Library, required_bytes
from batch.operations import find
from batch.outputs import JobOutputs, OutputStore, Transfers
from batch.reporting import Identity, JobReporter
from batch.scratch import Scratch
from batch.work import ListedFile, Operation, Work
from worker.domain.errors import (
    EngineError,
    InputError,
    ObjectChanged,
    ObjectMissing,
    ProblemsError,
    Rejected,
    SafelightError,
    Stopped,
)
from worker.job_context import SignalWatch, Stop

if TYPE_CHECKING:
    from worker.ports import Catalog, ObjectStore

FETCH_SHARE = 0.05
"""Of the whole way: how far the bar has come when the inputs are here."""
_UNUSABLE = (InputError, ObjectMissing, ObjectChanged)


class JobServices(Protocol):
    """What a job needs from outside; ``batch.job_services`` is the real one."""

    @property
    def store(self) -> ObjectStore:
        """See ``inputs.Cloud``."""
        ...

    @property
    def transfers(self) -> Transfers:
        """See ``inputs.Cloud``."""
        ...

    def catalog(self, table: str) -> Catalog:
        """The catalog in a table."""
        ...

    def place(self, output: str, *, immutable: bool, stop: Stop) -> OutputStore:
        """The output place of an address."""
        ...


class BadInput(Exception):
    """An input cannot be used: the verdict is about the input, not about us."""

    def __init__(self, error: SafelightError) -> None:
        super().__init__(error.message)
        self.error = error


def main(arguments: Sequence[str], *, log: TextIO | None = None) -> int:
    """Run one attempt in this process, with its signals, and return the exit code."""
    stop = Stop()
    # Before anything slow: a signal during the imports of an operation must be heard.
    with SignalWatch(stop) as watch:
        try:
            order = read_order(arguments, os.environ)
        except ProblemsError as error:
            print(f"safelight: {error.message}", file=sys.stderr)  # noqa: T201 - the command line
            return EXIT_USAGE
        from batch.job_services import AwsCloud

        return perform(
            order,
            world=AwsCloud(),
            stop=stop,
            log=log or sys.stdout,
            before_forced_end=watch.before_forced_end,
        )


def perform(
    order: JobArguments,
    *,
    world: JobServices,
    stop: Stop,
    log: TextIO,
    operation: Operation | None = None,
    before_forced_end: Callable[[Callable[[], None]], None] = lambda _: None,
) -> int:
    """Do what an order says and return the exit code. Raises nothing.

    Args:
        operation: None takes that of the kind.
        before_forced_end: is given what to do before an end by force.
    """
    table = os.environ.get("SAFELIGHT_TABLE")
    identity = Identity(
        kind=order.kind.name,
        job=order.job,
        attempt=order.attempt,
        asset=order.asset,
        output=order.output,
        traceparent=order.traceparent,
    )
    catalog = (lambda: world.catalog(table)) if table and order.asset else None
    began = time.monotonic()
    with JobReporter(identity, log, catalog=catalog) as reporter:
        attempt = _Attempt(order, world, stop, reporter)
        try:
            outcome, written = attempt.run(operation, before_forced_end), EXIT_DONE
        except BaseException as error:  # noqa: BLE001 - whatever it is, it has an exit code
            outcome, written = attempt.failed(error)
        reporter.metrics(
            outcome,
            Seconds=round(time.monotonic() - began, 3),
            InputBytes=attempt.bytes_in,
            OutputBytes=attempt.bytes_out,
        )
    return written


@dataclass(slots=True)
class _Prepared:
    """What an operation gets, and what the result says about its inputs."""

    fetched: tuple[InputCopy, ...]
    inventory: Library | None
    inputs: list[dict[str, object]]
    digest: str


class _Attempt:
    """One attempt and how far it has come."""

    def __init__(
        self, order: JobArguments, world: JobServices, stop: Stop, reporter: JobReporter
    ) -> None:
        self._order = order
        self._world = world
        self._stop = stop
        self._reporter = reporter
        self._place: OutputStore | None = None
        self._checkpoint: StoredCheckpoint | None = None
        self._outputs: JobOutputs | None = None
        self._began = time.monotonic()
        self.bytes_in = 0
        self.bytes_out = 0

    def run(
        self, operation: Operation | None, before_forced_end: Callable[[Callable[[], None]], None]
    ) -> str:
        """Everything up to the record of success: ``done`` or ``unchanged``."""
        order = self._order
        place = self._world.place(order.output, immutable=order.asset is not None, stop=self._stop)
        self._place = place
        with Scratch(order.scratch) as scratch:
            before_forced_end(scratch.remove)
            before = None if order.force else result.read(place, self._result)
            found = self._look(scratch)
            if before and result.same_request(
                before,
                order.kind,
                array=(order.index, order.size),
                parameters=order.parameters,
                found=found,
            ):
                return self._unchanged()
            # A library is larger than a disk: of that, room for the largest file at least.
            together = [(item,) for item in found] if order.kind.lazy else [found]
            factor = order.kind.scratch_factor
            scratch.check_room(max((required_bytes(some, factor) for some in together), default=0))
            prepared = self._prepare(found)
            if before and before.get("job") == prepared.digest:
                return self._unchanged()
            with place.held(self._result):
                stored = self._work(operation, place, scratch, prepared)
        self._reporter.event("done", seconds=self._seconds, outputs=stored)
        self._reporter.record("SUCCEEDED")
        return "done"

    def _work(
        self, operation: Operation | None, place: OutputStore, scratch: Scratch, prepared: _Prepared
    ) -> int:
        """The operation and the record of its success; how many results it has stored."""
        order = self._order
        checkpoint = StoredCheckpoint(
            place, result.job_name(order.kind, order.index), prepared.digest, scratch.fetched
        )
        self._checkpoint = checkpoint
        outputs = self._outputs = JobOutputs(place, scratch.fetched, stop=self._stop)
        # Records of an earlier, different job must not vouch for half of this one.
        place.remove(self._result)
        place.remove(self._rejected)
        work = Work(
            inputs=tuple(item.path for item in prepared.fetched),
            sources=order.sources,
            digests=tuple(item.sha256 for item in prepared.fetched),
            parameters=order.parameters,
            scratch=scratch.work,
            outputs=outputs,
            checkpoint=checkpoint,
            stop=self._stop,
            progress=self._progress,
            threads=order.threads or _processors(),
            index=order.index,
            size=order.size,
            inventory=prepared.inventory,
        )
        try:
            details = (operation or find(order.kind.name))(work)
        except (Rejected, EngineError):
            # Half a file looks damaged, or like a defect of ours.
            self._recheck(prepared)
            raise
        self._recheck(prepared)
        self.bytes_out = sum(output.bytes for output in outputs.stored)
        self._finish(place, prepared, outputs, details)
        checkpoint.clear()
        return len(outputs.stored)

    def failed(self, error: BaseException) -> tuple[str, int]:
        """Say how the attempt failed; the outcome's name and the exit code."""
        if isinstance(error, BadInput):
            return self._reject(error.error)
        known = known_as(error)
        if self._stop.requested and not isinstance(known, Rejected):
            # What a stopped child program or transfer says about its end is no news.
            known = (
                Stopped("the job was asked to stop") if not isinstance(known, Stopped) else known
            )
        if isinstance(known, Rejected):
            return self._reject(known)
        code = exit_code(known)
        name = "stopped" if isinstance(known, Stopped) else "failed"
        self._reporter.event(
            name, code=known.code, message=known.message, exit_code=code, **origin(error, known)
        )
        # Whoever runs the job decides; this is what it says until then.
        again = code == EXIT_AGAIN and self._order.attempt < self._order.kind.attempts
        self._reporter.record(
            "RUNNABLE" if again else "FAILED", code=known.code, reason=known.message
        )
        return name, code

    def _reject(self, error: SafelightError) -> tuple[str, int]:
        content = result.rejected(self._order.kind, error, self._order.sources)
        try:
            if self._place is not None:
                result.write(self._place, self._rejected, content)
                self._place.remove(self._result)
                # What was stored before the verdict is nobody's.
                for output in self._outputs.stored if self._outputs is not None else ():
                    self._place.remove(output.name)
            if self._checkpoint is not None:
                self._checkpoint.clear()
        except SafelightError as trouble:
            # Without its record a rejection would be lost: try again if that can help.
            self._reporter.event("failed", code=trouble.code, message=trouble.message)
            return "failed", exit_code(trouble)
        self._reporter.event(
            "rejected", code=error.code, message=error.message, exit_code=EXIT_BAD_INPUT
        )
        self._reporter.record("FAILED", code=error.code, reason=error.message)
        return "rejected", EXIT_BAD_INPUT

    def _unchanged(self) -> str:
        self._reporter.event("unchanged", seconds=self._seconds)
        self._reporter.record("SUCCEEDED")
        return "unchanged"

    def _look(self, scratch: Scratch) -> Sequence[ListedFile]:
        order = self._order
        try:
            if order.kind.lazy:
                self._library = Library(
                    order.sources,
                    output=order.output,
                    folder=scratch.inputs,
                    cloud=self._world,
                    stop=self._stop,
                )
                return self._library.list()
            self._inputs = Inputs(
                order.sources, folder=scratch.inputs, cloud=self._world, stop=self._stop
            )
            return self._inputs.describe()
        except _UNUSABLE as error:
            raise BadInput(error) from error

    def _prepare(self, found: Sequence[ListedFile]) -> _Prepared:
        order = self._order
        if order.kind.lazy:
            self.bytes_in = sum(item.bytes for item in found)
            given = [
                {"uri": item.uri, "bytes": item.bytes, "etag": item.etag}
                for item in found
                if item.alone
            ]
            return _Prepared(
                fetched=(),
                inventory=self._library,
                # What lies in folders and prefixes is in the operation's manifest.
                inputs=given
                if len(given) == len(found)
                else [{"uri": source} for source in order.sources],
                digest=self._digest([f"{item.uri} {item.etag}" for item in found]),
            )
        total = sum(item.bytes for item in found) or 1
        arrived = [0]

        def told(count: int) -> None:
            arrived[0] += count
            self._reporter.progress(FETCH_SHARE * arrived[0] / total, "fetching")

        try:
            fetched = self._inputs.fetch(found, told)
        except _UNUSABLE as error:
            raise BadInput(error) from error
        self.bytes_in = sum(item.bytes for item in fetched)
        return _Prepared(
            fetched=fetched,
            inventory=None,
            inputs=result.inputs_of(fetched),
            digest=self._digest([item.sha256 for item in fetched]),
        )

    def _recheck(self, prepared: _Prepared) -> None:
        """A record must not vouch for results of something that its digests are not of."""
        try:
            if prepared.fetched:
                self._inputs.recheck(prepared.fetched)
        except _UNUSABLE as error:
            raise BadInput(error) from error

    def _digest(self, identities: Sequence[str]) -> str:
        order = self._order
        return result.digest(
            order.kind, order.parameters, identities, index=order.index, size=order.size
        )

    def _finish(
        self,
        place: OutputStore,
        prepared: _Prepared,
        outputs: JobOutputs,
        details: Mapping[str, object],
    ) -> None:
        order = self._order
        content = result.done(
            order.kind,
            job=prepared.digest,
            array=(order.index, order.size),
            parameters=order.parameters,
            inputs=prepared.inputs,
            outputs=outputs.stored,
            details=details,
            seconds=self._seconds,
        )
        result.write(place, self._result, content)
        self._reporter.progress(1.0, "done")

    def _progress(self, share: float, doing: str) -> None:
        self._reporter.progress(FETCH_SHARE + (1 - FETCH_SHARE) * 0.999 * share, doing)

    @property
    def _result(self) -> str:
        return result.result_name(self._order.kind, self._order.index)

    @property
    def _rejected(self) -> str:
        return result.rejected_name(self._order.kind, self._order.index)

    @property
    def _seconds(self) -> float:
        return round(time.monotonic() - self._began, 3)


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
