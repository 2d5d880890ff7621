"""One run: find, skip what is unchanged, process, publish, and leave a valid folder behind.

What lives here: the order of things and the rules of skipping and keeping. What may not:
processes, walking, writing: each has its own module.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from worker.domain.errors import EngineError, InputError, SafelightError, TransientError
from worker.domain.image import Recipe
from worker.job_context import Stop
from worker.services.process_files import gallery, inputs, names, storage
from worker.services.process_files.engine import Confinement, Engine
from worker.services.process_files.inputs import SourceFile
from worker.services.process_files.journal import Journal
from worker.services.process_files.manifest import Cause, Entry, FileStatus, InputFile, RecipeUsed
from worker.services.process_files.one_file import FileOutcome, FileTask, Setup, too_large
from worker.services.process_files.pool import Pool


class ProgressReporter(Protocol):
    """Is told how a run gets on."""

    def begin(self, *, total: int, unchanged: int) -> None:
        """Say how many sources there are, and how many of them need no work."""

    def done(self, entry: Entry) -> None:
        """Say that one source is finished and stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What is to be done."""

    inputs: tuple[Path, ...]
    out: Path
    recipe: Recipe
    jobs: int = 1
    force: bool = False
    """Do unchanged sources again."""
    confinement: Confinement = field(default_factory=Confinement)
    write: Callable[[Path, bytes], None] = storage.write_file
    """Writes one rendition; importable by its name; raises OSError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """How a run ended."""

    entries: tuple[Entry, ...]
    """Everything the manifest lists, earlier runs' results too."""
    total: int
    """Sources of this run; the next four are about them, the unchanged ones included."""
    accepted: int
    rejected: int
    bytes_in: int
    """Of the accepted sources."""
    bytes_out: int
    """Of their renditions."""
    unchanged: int
    seconds: float
    """From start to end."""
    interrupted: bool
    failure: SafelightError | None
    """Why the run stopped before its end."""
    left_out: tuple[str, ...] = ()
    """Symbolic links that lead out of the folders they were found in."""


def process_files(
    order: RunOptions, *, engine: Engine, reporter: ProgressReporter, stop: Stop
) -> RunReport:
    """Process files and folders into an output folder.

    Afterwards the folder holds a folder of renditions for each accepted source, a manifest and a
    gallery, whole and consistent however the run ended: finished, stopped, or out of space. What
    earlier runs made of other sources stays and stays listed; what they made of these is
    replaced when the source, the recipe or the engine has changed.

    Raises:
        InputError: an input is missing, or the folder cannot be used (``output_*``). Trouble
            that comes up after work has begun is in the report instead.
    """
    with storage.opened(order.out):
        run = _FolderRun(order, engine)
        run.prepare(reporter)
        failure: SafelightError | None = None
        try:
            run.work(reporter, stop)
        except SafelightError as error:
            failure = error
        try:
            storage.clean(order.out)  # also frees what the manifest may need on a full disk
            run.finish()
        except SafelightError as error:
            failure = failure or error
        return run.report(interrupted=stop.requested, failure=failure)


class _FolderRun:
    """The state of one run."""

    def __init__(self, order: RunOptions, engine: Engine) -> None:
        self._started = time.perf_counter()
        self._order = order
        self._engine = engine
        self._journal = Journal(order.out)
        self._sources: list[SourceFile] = []
        self._left_out: tuple[str, ...] = ()
        self._unchanged: set[str] = set()
        self._finished: set[str] = set()
        self._used = RecipeUsed(
            name=order.recipe.name, version=order.recipe.version, digest=order.recipe.digest
        )

    def prepare(self, reporter: ProgressReporter) -> None:
        """Find the sources, name them, and see which need no work."""
        found = inputs.find(self._order.inputs, out=self._order.out)
        self._left_out = tuple(source.label for source in found if source.leads_out)
        self._sources = [source for source in found if not source.leads_out]
        if not self._sources:
            few = ", ".join(self._left_out[:3])
            said = f"no files but links that lead out of their folder: {few}"
            raise InputError(said, code="input_missing")
        known = self._journal.names
        given = names.assign(
            [(source.identity, source.below) for source in self._sources],
            known=known,
            occupied=lambda name: os.path.lexists(self._order.out / name),
        )
        self._journal.claim({key: name for key, name in given.items() if known.get(key) != name})
        if not self._order.force:
            self._unchanged = {
                source.identity for source in self._sources if self._is_unchanged(source)
            }
        reporter.begin(total=len(self._sources), unchanged=len(self._unchanged))

    def work(self, reporter: ProgressReporter, stop: Stop) -> None:
        """Process what has changed. Raises SafelightError if nothing more can be stored."""
        jobs: list[FileTask] = []
        for number, source in enumerate(self._sources):
            if source.identity in self._unchanged:
                continue
            cause = self._refusal(source)
            if cause is not None:
                outcome = FileOutcome(number=number, cause=cause)
                reporter.done(self._settle(source, outcome, aside=None))
                continue
            name = self._journal.names[source.identity]
            aside = self._order.out / f"{storage.ASIDE}{name}"
            jobs.append(FileTask(number=number, path=source.path, name=name, aside=aside))
        setup = Setup(
            engine=self._engine,
            recipe=self._order.recipe,
            confinement=self._order.confinement,
            write=self._order.write,
        )
        asides = {job.number: job.aside for job in jobs}
        pool = Pool(setup, size=max(1, self._order.jobs))
        with contextlib.closing(pool.run(jobs, stop=stop)) as outcomes:
            for outcome in outcomes:
                if outcome.failure is not None:
                    raise outcome.failure
                source = self._sources[outcome.number]
                reporter.done(self._settle(source, outcome, aside=asides[outcome.number]))

    def finish(self) -> None:
        """Write the gallery and the manifest."""
        entries = self._listed()
        storage.replace_file(self._order.out / storage.GALLERY, gallery.page(entries))
        self._journal.settle(entries)

    def report(self, *, interrupted: bool, failure: SafelightError | None) -> RunReport:
        """Sum up."""
        entries = self._journal.entries
        ours = [entries[identity] for identity in self._unchanged | self._finished]
        accepted = [entry for entry in ours if entry.status is FileStatus.ACCEPTED]
        return RunReport(
            entries=self._listed(),
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

    def _listed(self) -> tuple[Entry, ...]:
        """What is valid now: this run's sources, and earlier ones whose files are all there."""
        present = {source.identity for source in self._sources}
        return tuple(
            entry
            for identity, entry in self._journal.entries.items()
            if (entry.status is FileStatus.REJECTED and identity in present)
            or (entry.status is FileStatus.ACCEPTED and self._stored(entry))
        )

    def _refusal(self, source: SourceFile) -> Cause | None:
        """Return why a source is not even given to the engine."""
        if source.problem is not None:
            return Cause(code=source.problem.code, message=source.problem.message)
        limit = self._order.recipe.limits.bytes
        return too_large(source.bytes, limit) if source.bytes > limit else None

    def _is_unchanged(self, source: SourceFile) -> bool:
        entry = self._journal.entries.get(source.identity)
        return (
            entry is not None
            and source.problem is None
            and entry.recipe == self._used
            and entry.engine == self._engine.version
            and _same_file(source, entry.input)
            and (
                self._stored(entry)
                if entry.status is FileStatus.ACCEPTED
                # A file that could not be read or a defect of ours may have been mended.
                else entry.reason is not None and entry.reason.code not in _WORTH_ANOTHER_TRY
            )
        )

    def _stored(self, entry: Entry) -> bool:
        return bool(entry.renditions) and all(
            # Only what is where this run would put it: a path is never followed elsewhere.
            rendition.path.startswith(f"{entry.name}/")
            and _size(self._order.out / entry.name / Path(rendition.path).name) == rendition.bytes
            for rendition in entry.renditions
        )

    def _settle(self, source: SourceFile, outcome: FileOutcome, *, aside: Path | None) -> Entry:
        """Make an outcome final: the folder first, then its record."""
        name = self._journal.names[source.identity]
        entry = Entry(
            source=source.label,
            status=FileStatus.ACCEPTED if outcome.cause is None else FileStatus.REJECTED,
            reason=outcome.cause,
            name=name,
            input=InputFile(
                path=source.identity,
                bytes=source.bytes if outcome.bytes is None else outcome.bytes,
                modified_ns=(
                    source.modified_ns if outcome.modified_ns is None else outcome.modified_ns
                ),
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
        final = self._order.out / name
        if outcome.cause is None and aside is not None:
            storage.publish_folder(aside, final)
        else:
            # Renditions of what the source was before must not outlive its rejection.
            for stale in (aside, final):
                if stale is not None:
                    storage.remove(stale)
        self._journal.add(entry)
        self._finished.add(source.identity)
        return entry


_WORTH_ANOTHER_TRY = frozenset({"input_unreadable", EngineError.code, TransientError.code})


def _same_file(source: SourceFile, before: InputFile) -> bool:
    """Whether the content is what it was: by size and time, else by size and digest."""
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


def _size(path: Path) -> int | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size
