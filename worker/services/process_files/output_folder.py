"""The output folder: its lock, its files, its manifest, and the journal of an unfinished run.

Files are written under staging names, then renamed, so no final name is ever partial. The manifest
has one record for each source. Its shape is public and only grows; the docs describe it. Numbers
are in bytes, pixels and seconds.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from worker import codec
from worker.atomic import atomic_write, disk_full, lock_folder
from worker.domain.errors import EngineError, InputError, SafelightError, StorageFull
from worker.domain.image import Dropped, Metadata, Probe, StoredRendition
from worker.services.process_files.inputs import NAME

STAGING = ".tmp-safelight-"
"""Prefix of every staging name. The next run removes the staging files of a killed run."""
JOURNAL = ".safelight-journal"
MANIFEST = "manifest.json"
GALLERY = "index.html"
GENERATOR = b'<meta name="generator" content="Safelight'
"""Marker near the top of every gallery, which distinguishes it from a user's own page."""

# --- the manifest -----------------------------------------------------------------------------


class FileStatus(StrEnum):
    """The verdict on a source."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why a source was rejected."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFile:
    """The source file as it was when it was processed."""

    path: str
    """Path from the output folder to the source, which identifies it in later runs."""
    bytes: int
    modified_ns: int
    """Modification time, nanoseconds since 1970."""
    sha256: str | None
    """None if it was not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeUsed:
    """The recipe of the renditions."""

    name: str
    version: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """The manifest's entry of one source."""

    source: str
    r"""As it was named on the command line; bytes that are not UTF-8 are written ``\xNN``."""
    status: FileStatus
    reason: Cause | None
    name: str
    """Folder of its renditions."""
    input: InputFile
    recipe: RecipeUsed
    engine: str
    plan: str | None
    """Hash of the plan; None for a rejected source."""
    probe: Probe | None
    metadata: Metadata | None
    renditions: tuple[StoredRendition, ...]
    dropped: tuple[Dropped, ...]
    seconds: float
    """Time from reading the source to writing its last rendition."""


def plain(entry: Entry) -> dict[str, Any]:
    """Return an entry as dicts, lists, strings and numbers, ready for JSON."""
    value: dict[str, Any] = codec.plain(entry, defaults=True)
    value["renditions"] = [plain_rendition(one) for one in entry.renditions]
    return value


def plain_rendition(made: StoredRendition) -> dict[str, Any]:
    """The same for a rendition: a manifest calls its key ``path``."""
    value = codec.plain(made, defaults=True)
    return {"path" if name == "key" else name: held for name, held in value.items()}


def entry_from(value: Any) -> Entry | None:
    """Parse one record; None if it was not written by this version."""
    try:
        renditions = [{**one, "key": one["path"]} for one in value["renditions"]]
        return codec.build(Entry, {**value, "renditions": renditions})
    except (EngineError, KeyError, TypeError):
        return None


def manifest_text(entries: Iterable[Entry]) -> str:
    """Return the text of a manifest, in the order of sources."""
    ordered = sorted(entries, key=lambda entry: (entry.source, entry.name))
    return json.dumps([plain(entry) for entry in ordered], indent=2) + "\n"


# --- the folder -------------------------------------------------------------------------------


class OutputFolder:
    """One output folder, locked by one run. Open it with :meth:`opened`.

    During a run, each finished source is one line of the journal. At the end the manifest is
    written once and the journal is removed. A killed run leaves its journal, and the next run reads
    both. Names are recorded in the journal before their folders are created, so that a folder
    without a finished line is still recognised as Safelight's.

    Attributes:
        path: the folder.
        entries: the newest record of each source, by identity.
        names: the folder name of every source that ever got one, by identity.
    """

    def __init__(self, path: Path) -> None:
        """Read the results of earlier runs. Raises InputError if the manifest is not
        Safelight's."""
        self.path = path
        self.entries: dict[str, Entry] = {}
        self.names: dict[str, str] = {}
        self._journal = path / JOURNAL
        for record in _manifest_records(path / MANIFEST):
            self._take(record)
        for line in _journal_lines(self._journal):
            claims = line.get("claims")
            if isinstance(claims, dict):
                for identity, name in claims.items():
                    self._claim(identity, name)
            else:
                self._take(line)

    @classmethod
    @contextlib.contextmanager
    def opened(cls, path: Path) -> Iterator[OutputFolder]:
        """Create the folder, lock it for this run and remove the staging files of a killed run.

        Raises:
            InputError: ``output_unwritable`` if it cannot be made or written, or contains a
                ``manifest.json`` or ``index.html`` that Safelight did not write; ``output_busy``
                if another run has it.
            StorageFull: no space.
        """
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(lock_folder(path))
            except BlockingIOError as error:
                said = f"{path}: another run is writing there"
                raise InputError(said, code="output_busy") from error
            except OSError as error:
                raise storage_error(error, path) from error
            _check_gallery(path / GALLERY)
            folder = cls(path)
            folder.clean()
            probe = folder.staging("probe")
            try:  # fail before an hour of work, not after it
                probe.mkdir()
                probe.rmdir()
            except OSError as error:
                raise storage_error(error, path) from error
            yield folder

    def staging(self, name: str) -> Path:
        """The staging folder of a source, before it gets its final name."""
        return self.path / f"{STAGING}{name}"

    def clean(self) -> None:
        """Remove everything under a staging name."""
        for path in sorted(self.path.glob(f"{STAGING}*")):
            remove(path)

    def claim(self, names: Mapping[str, str]) -> None:
        """Record the folder name of each source before the folders are created."""
        self._append({"claims": dict(names)})
        self.names.update(names)

    def add(self, entry: Entry, staging: Path | None) -> None:
        """Publish a finished source: first its folder, then its record.

        Args:
            entry: the record.
            staging: the folder with its renditions, if one was made.
        """
        final = self.path / entry.name
        if entry.status is FileStatus.ACCEPTED and staging is not None:
            _publish(staging, final)
        else:
            # Renditions of an earlier content must not remain after a rejection.
            for stale in (staging, final):
                if stale is not None:
                    remove(stale)
        self._append(plain(entry))
        self.entries[entry.input.path] = entry
        self.names[entry.input.path] = entry.name

    def holds(self, entry: Entry) -> bool:
        """Whether all files of a record exist with the recorded sizes."""
        return bool(entry.renditions) and all(
            # Only files at the paths that this run would use; other paths are not trusted.
            rendition.key.startswith(f"{entry.name}/")
            and _size(self.path / entry.name / Path(rendition.key).name) == rendition.bytes
            for rendition in entry.renditions
        )

    def commit(self, entries: Iterable[Entry], page: str) -> None:
        """Write the gallery and the manifest, then remove the journal, which the manifest
        replaces."""
        for name, text in ((GALLERY, page), (MANIFEST, manifest_text(entries))):
            path = self.path / name
            try:
                atomic_write(path, text, durable=True, name=f"{STAGING}{name}")
            except OSError as error:
                raise storage_error(error, path) from error
        remove(self._journal)

    def _append(self, record: Mapping[str, Any]) -> None:
        try:
            # Opened for each line: a run adds only a few a second, and no open file must be closed
            # later.
            with self._journal.open("a", encoding="utf-8") as file:
                # The line break comes first, so that it ends a line that a kill has truncated.
                file.write("\n" + json.dumps(record))
        except OSError as error:
            raise storage_error(error, self._journal) from error

    def _take(self, record: Mapping[str, Any]) -> None:
        source = record.get("input")
        if isinstance(source, dict):
            self._claim(source.get("path"), record.get("name"))
        entry = entry_from(record)
        if entry is not None and self.names.get(entry.input.path) == entry.name:
            self.entries[entry.input.path] = entry

    def _claim(self, identity: object, name: object) -> None:
        # The folder of a name may be replaced, so only a plain name is accepted.
        if isinstance(identity, str) and isinstance(name, str) and NAME.fullmatch(name):
            self.names[identity] = name


def storage_error(error: OSError, path: Path) -> SafelightError:
    """Map an ``OSError`` of a write, rename or removal of ``path``."""
    if disk_full(error):
        return StorageFull(f"no space left to write {path}: {error.strerror}")
    said = "not a folder" if isinstance(error, FileExistsError) else error.strerror
    return InputError(f"cannot write {path}: {said}", code="output_unwritable")


def write_file(path: Path, data: bytes) -> None:
    """Write a file that no process reads yet. Raises OSError."""
    with path.open("xb") as file:
        file.write(data)


def remove(path: Path) -> None:
    """Remove a file or a folder with its content, if it exists."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(error, path) from error


def _publish(staging: Path, final: Path) -> None:
    """Rename a finished folder to its final name, replacing an existing folder.

    A folder is not replaced in one system call: between two renames the name is absent for a
    moment, never partial.
    """
    old = final.with_name(f"{STAGING}old-{final.name}")
    try:
        if final.is_symlink() or final.exists():
            final.rename(old)
        staging.rename(final)
    except OSError as error:
        raise storage_error(error, final) from error
    remove(old)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _check_gallery(page: Path) -> None:
    try:
        with page.open("rb") as file:
            head = file.read(1024)
    except FileNotFoundError:
        return
    except OSError as error:
        raise storage_error(error, page) from error
    if GENERATOR not in head:
        raise _foreign(page)


def _manifest_records(path: Path) -> list[dict[str, Any]]:
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise _foreign(path) from error
    if not isinstance(records, list) or not all(
        isinstance(record, dict) and "source" in record and "renditions" in record
        for record in records
    ):
        raise _foreign(path)
    return records


def _foreign(path: Path) -> InputError:
    return InputError(
        f"{path} was not written by Safelight and would be replaced: choose another folder",
        code="output_unwritable",
    )


def _journal_lines(path: Path) -> Iterable[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    except OSError as error:
        raise storage_error(error, path) from error
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue  # a truncated line of a killed run
        if isinstance(record, dict):
            yield record
