"""One run: find sources, skip unchanged ones, process, publish, and leave a valid folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from worker.domain.errors import EngineError, InputError, SafelightError, TransientError
from worker.domain.image import Recipe
from worker.job_context import Stop
from worker.services.process_files import gallery, inputs, output_folder
from worker.services.process_files.inputs import SourceFile
from worker.services.process_files.output_folder import (
    Cause,
    Entry,
    FileStatus,
    InputFile,
    OutputFolder,
    RecipeUsed,
)
from worker.services.process_files.pool import (
    LIMITS,
    Engine,
    FileOutcome,
    FileTask,
    Pool,
    Setup,
    too_large,
)
from worker.subprocesses.sandbox import SandboxLimits

_WORTH_ANOTHER_TRY = frozenset({"input_unreadable", EngineError.code, TransientError.code})


class ProgressReporter(Protocol):
    """Receives the progress of a run."""

    def begin(self, *, total: int, unchanged: int) -> None:
        """Report the number of sources, and of those that need no work."""

    def done(self, entry: Entry) -> None:
        """Report that one source is finished and stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """The inputs, the output and the choices of one run."""

    inputs: tuple[Path, ...]
    out: Path
    recipe: Recipe
    jobs: int = 1
    force: bool = False
    """Process unchanged sources again."""
    limits: SandboxLimits = LIMITS
    write: Callable[[Path, bytes], None] = output_folder.write_file
    """Writes one rendition; importable by its name; raises OSError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """The result of a run."""

    entries: tuple[Entry, ...]
    """All entries of the manifest, including earlier runs' results."""
    total: int
    """Sources of this run. The next four fields count them, unchanged ones included."""
    accepted: int
    rejected: int
    bytes_in: int
    """Bytes of the accepted sources."""
    bytes_out: int
    """Bytes of their renditions."""
    unchanged: int
    seconds: float
    """Duration of the run."""
    interrupted: bool
    failure: SafelightError | None
    """Why the run stopped early."""
    left_out: tuple[str, ...] = ()
    """Skipped symbolic links that lead out of their folders."""


def process_files(
    options: RunOptions, *, engine: Engine, reporter: ProgressReporter, stop: Stop
) -> RunReport:
    """Process files and folders into an output folder.

    Afterwards the folder holds a folder of renditions for each accepted source, a manifest and a
    gallery, complete and consistent however the run ended: finished, stopped, or out of space.
    Results of other sources from earlier runs stay and stay listed; results of these sources are
    replaced if the source, the recipe or the engine has changed.

    Raises:
        InputError: an input is missing, or the folder cannot be used (``output_*``). Later errors
            are in the report instead.
    """
    with OutputFolder.opened(options.out) as folder:
        run = _FolderRun(options, engine, folder)
        run.prepare(reporter)
        failure: SafelightError | None = None
        try:
            run.work(reporter, stop)
        except SafelightError as error:
            failure = error
        try:
            folder.clean()  # also frees space for the manifest on a full disk
            entries = run.listed()
            folder.commit(entries, gallery.page(entries))
        except SafelightError as error:
            failure = failure or error
        return run.report(interrupted=stop.requested, failure=failure)


class _FolderRun:
    """The state of one run."""

    def __init__(self, options: RunOptions, engine: Engine, folder: OutputFolder) -> None:
        self._started = time.perf_counter()
        self._options = options
        self._engine = engine
        self._folder = folder
        self._sources: list[SourceFile] = []
        self._left_out: tuple[str, ...] = ()
        self._unchanged: set[str] = set()
        self._finished: set[str] = set()
        recipe = options.recipe
        self._used = RecipeUsed(name=recipe.name, version=recipe.version, digest=recipe.digest)

    def prepare(self, reporter: ProgressReporter) -> None:
        """Find and name the sources, and determine which need no work."""
        found = inputs.find(self._options.inputs, out=self._folder.path)
        self._left_out = tuple(source.label for source in found if source.leads_out)
        self._sources = [source for source in found if not source.leads_out]
        if not self._sources:
            few = ", ".join(self._left_out[:3])
            said = f"no files but links that lead out of their folder: {few}"
            raise InputError(said, code="input_missing")
        known = self._folder.names
        names = inputs.folder_names(
            [(source.identity, source.below) for source in self._sources],
            known=known,
            occupied=lambda name: os.path.lexists(self._folder.path / name),
        )
        self._folder.claim({key: name for key, name in names.items() if known.get(key) != name})
        if not self._options.force:
            self._unchanged = {
                source.identity for source in self._sources if self._is_unchanged(source)
            }
        reporter.begin(total=len(self._sources), unchanged=len(self._unchanged))

    def work(self, reporter: ProgressReporter, stop: Stop) -> None:
        """Process changed sources. Raises SafelightError if no more files can be stored."""
        tasks: dict[int, FileTask] = {}
        for number, source in enumerate(self._sources):
            if source.identity in self._unchanged:
                continue
            cause = self._rejection(source)
            if cause is not None:
                outcome = FileOutcome(number=number, cause=cause)
                reporter.done(self._commit(source, outcome, staging=None))
                continue
            name = self._folder.names[source.identity]
            staging = self._folder.staging(name)
            tasks[number] = FileTask(number=number, path=source.path, name=name, staging=staging)
        options = self._options
        setup = Setup(
            engine=self._engine, recipe=options.recipe, limits=options.limits, write=options.write
        )
        pool = Pool(setup, size=max(1, options.jobs))
        with contextlib.closing(pool.run(tasks.values(), stop=stop)) as outcomes:
            for outcome in outcomes:
                if outcome.failure is not None:
                    raise outcome.failure
                source, staging = self._sources[outcome.number], tasks[outcome.number].staging
                reporter.done(self._commit(source, outcome, staging=staging))

    def report(self, *, interrupted: bool, failure: SafelightError | None) -> RunReport:
        """The report of the run."""
        entries = self._folder.entries
        ours = [entries[identity] for identity in self._unchanged | self._finished]
        accepted = [entry for entry in ours if entry.status is FileStatus.ACCEPTED]
        return RunReport(
            entries=self.listed(),
            total=len(self._sources),
            accepted=len(accepted),
            rejected=len(ours) - len(accepted),
            bytes_in=sum(entry.input.bytes for entry in accepted),
            bytes_out=sum(made.bytes for entry in accepted for made in entry.renditions),
            unchanged=len(self._unchanged),
            seconds=time.perf_counter() - self._started,
            interrupted=interrupted,
            failure=failure,
            left_out=self._left_out,
        )

    def listed(self) -> tuple[Entry, ...]:
        """The valid entries: this run's sources, and earlier sources whose files all exist."""
        present = {source.identity for source in self._sources}
        return tuple(
            entry
            for identity, entry in self._folder.entries.items()
            if (entry.status is FileStatus.REJECTED and identity in present)
            or (entry.status is FileStatus.ACCEPTED and self._folder.holds(entry))
        )

    def _rejection(self, source: SourceFile) -> Cause | None:
        """Return why a source is rejected without the engine."""
        if source.problem is not None:
            return Cause(code=source.problem.code, message=source.problem.message)
        limit = self._options.recipe.limits.bytes
        return too_large(source.bytes, limit) if source.bytes > limit else None

    def _is_unchanged(self, source: SourceFile) -> bool:
        entry = self._folder.entries.get(source.identity)
        return (
            entry is not None
            and source.problem is None
            and entry.recipe == self._used
            and entry.engine == self._engine.version
            and _same_file(source, entry.input)
            and (
                self._folder.holds(entry)
                if entry.status is FileStatus.ACCEPTED
                # An unreadable file or a defect of Safelight may have been fixed since.
                else entry.reason is not None and entry.reason.code not in _WORTH_ANOTHER_TRY
            )
        )

    def _commit(self, source: SourceFile, outcome: FileOutcome, *, staging: Path | None) -> Entry:
        modified_ns = outcome.modified_ns
        entry = Entry(
            source=source.label,
            status=FileStatus.ACCEPTED if outcome.cause is None else FileStatus.REJECTED,
            reason=outcome.cause,
            name=self._folder.names[source.identity],
            input=InputFile(
                path=source.identity,
                bytes=source.bytes if outcome.bytes is None else outcome.bytes,
                modified_ns=source.modified_ns if modified_ns is None else modified_ns,
                sha256=outcome.sha256,
            ),
            recipe=self._used,
            engine=self._engine.version,
            plan=outcome.plan,
            probe=outcome.probe,
            metadata=outcome.metadata,
            renditions=outcome.renditions,
            dropped=outcome.dropped,
            seconds=outcome.seconds,
        )
        self._folder.add(entry, staging)
        self._finished.add(source.identity)
        return entry


def _same_file(source: SourceFile, before: InputFile) -> bool:
    """Whether the content is unchanged: by size and time, else by size and digest."""
    if source.bytes != before.bytes:
        return False
    if source.modified_ns == before.modified_ns:
        return True
    if before.sha256 is None:
        return False
    try:
        with source.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == before.sha256
    except OSError:
        return False
