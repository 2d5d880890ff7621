"""The input files of a run, in a fixed order, and the folder name of each.

A person names files and folders. This module opens no file.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from worker.domain.errors import InputError

OUTSIDE = "input_outside"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """One file to process, or an unusable path with the reason."""

    path: Path
    """Path for opening the file."""
    label: str
    """Name for people: as given, with the path below a named folder; valid Unicode."""
    identity: str
    """Path from the output folder to the file, which is independent of the working directory."""
    below: str
    """Path from the parent of the named folder to the file, from which its folder name derives."""
    bytes: int = 0
    modified_ns: int = 0
    problem: InputError | None = None

    @property
    def leads_out(self) -> bool:
        """Whether it is a symbolic link out of its folder, which is skipped."""
        return self.problem is not None and self.problem.code == OUTSIDE


def find(named: Iterable[Path], *, out: Path) -> list[SourceFile]:
    """List the files under ``named``, each once, in the order of names.

    A file that is named directly is always included, also through a symbolic link. In folders,
    regular files at any depth are included. Hidden files and folders, the output folder and links
    into it are skipped. A link to a file inside the folder is included; a link to a folder inside
    it is not followed, because its files are found anyway. An unreadable file or folder and
    anything other than a regular file are returned with ``problem`` set. So is a link out of the
    folder, which is not a source (see ``SourceFile.leads_out``).

    Args:
        named: files and folders.
        out: the output folder; it must exist.

    Raises:
        InputError: ``input_missing`` if a named path does not exist, or all of them together
            hold no file.
    """
    found: dict[str, SourceFile] = {}
    paths = list(named)
    for path in paths:
        try:
            kind = path.stat().st_mode
        except OSError as error:
            if path.is_symlink() or not isinstance(error, FileNotFoundError | NotADirectoryError):
                raise InputError(
                    f"{unicode(path)}: {error.strerror}", code="input_unreadable"
                ) from error
            raise InputError(
                f"{unicode(path)}: no such file or folder", code="input_missing"
            ) from error
        walk = _Walk(root=path, out=out)
        for source in walk.folder(path) if stat.S_ISDIR(kind) else [walk.file(path)]:
            found.setdefault(source.identity, source)
    if not found:
        names = ", ".join(unicode(path) for path in paths)
        raise InputError(f"no files in {names}", code="input_missing")
    return list(found.values())


def unicode(path: Path) -> str:
    r"""Return a path as text that any reader of UTF-8 takes; other bytes become ``\xNN``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _kind(path: Path) -> int:
    try:
        return stat.S_IFMT(path.lstat().st_mode)
    except OSError:
        return 0  # removed meanwhile, or its name is too long: reported as unreadable


class _Walk:
    """The walk below one named path."""

    def __init__(self, *, root: Path, out: Path) -> None:
        self._root = root
        self._real_root = os.path.realpath(root)
        self._out = out
        self._out_absolute = os.path.abspath(out)  # noqa: PTH100 - keeps symbolic links as named
        self._base = Path(os.path.abspath(root)).parent  # noqa: PTH100 - the same

    def file(self, path: Path) -> SourceFile:
        """Describe one file, following a link."""
        try:
            status = path.stat()
            kind = status.st_mode
        except OSError as error:
            return self._problem(path, "input_unreadable", error.strerror or str(error))
        if not stat.S_ISREG(kind):
            return self._problem(path, "input_unreadable", "not a regular file")
        if not os.access(path, os.R_OK):
            return self._problem(path, "input_unreadable", "no permission to read it")
        return self._source(path, bytes=status.st_size, modified_ns=status.st_mtime_ns)

    def folder(self, folder: Path) -> Iterator[SourceFile]:
        """Yield everything below a folder, names in order of code points."""
        # A stack instead of recursion: folders may be nested deeper than Python's call stack
        # allows.
        waiting = [folder]
        while waiting:
            path = waiting.pop()
            kind = _kind(path) if path != folder else stat.S_IFDIR
            if kind == stat.S_IFLNK:
                yield from self._link(path)
            elif kind != stat.S_IFDIR:
                yield self.file(path)
            elif not self._is_out(path):
                try:
                    items = sorted(path.iterdir(), key=lambda item: item.name, reverse=True)
                except OSError as error:
                    yield self._problem(path, "input_unreadable", error.strerror or str(error))
                else:
                    waiting.extend(item for item in items if not item.name.startswith("."))

    def _is_out(self, path: Path) -> bool:
        try:
            return path.samefile(self._out)
        except OSError:
            return False

    def _link(self, path: Path) -> Iterator[SourceFile]:
        target = os.path.realpath(path)
        if Path(target).is_relative_to(os.path.realpath(self._out)):
            return
        if os.path.commonpath([target, self._real_root]) != self._real_root:
            message = "a symbolic link that leaves the folder it was found in"
            yield self._source(path, problem=InputError(message, code=OUTSIDE))
        elif not Path(target).is_dir():
            yield self.file(path)

    def _problem(self, path: Path, code: str, message: str) -> SourceFile:
        return self._source(path, problem=InputError(message, code=code))

    def _source(
        self,
        path: Path,
        *,
        bytes: int = 0,  # noqa: A002 - the field's word
        modified_ns: int = 0,
        problem: InputError | None = None,
    ) -> SourceFile:
        absolute = Path(os.path.abspath(path))  # noqa: PTH100 - keeps symbolic links as named
        return SourceFile(
            path=path,
            label=unicode(path),
            identity=unicode(Path(os.path.relpath(absolute, self._out_absolute))),
            below=unicode(absolute.relative_to(self._base)),
            bytes=bytes,
            modified_ns=modified_ns,
            problem=problem,
        )


# --- names ------------------------------------------------------------------------------------

_LONGEST = 80
"""Characters of a name before its hash; file systems allow 255 bytes."""

_DEVICES = frozenset(
    {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(10)}
)
"""Windows reserves these names for devices, with any extension."""

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,127}")


def slug(stem: str) -> str:
    """Return ``stem`` in ASCII letters, digits, ``-`` and ``_``, at most 80 characters.

    Accents are removed; all other characters become ``-``. An empty stem becomes ``image``.
    """
    letters = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    kept = re.sub(r"[^A-Za-z0-9_]+", "-", letters).strip("-")[:_LONGEST].rstrip("-")
    if not kept:
        return "image"
    return f"{kept}-file" if kept.lower() in _DEVICES else kept


def folder_names(
    sources: Iterable[tuple[str, str]],
    *,
    known: Mapping[str, str],
    occupied: Callable[[str], bool],
) -> dict[str, str]:
    """Give each source a unique folder name.

    A source with a name keeps it. A new source gets its slug if the slug is free and no other
    source of this run has the same slug; otherwise every new source with that slug gets a hash of
    its path appended. Names that differ only in case count as equal, because some file systems
    cannot hold both.

    Args:
        sources: pairs of identity (unique) and the path to name and hash it by.
        known: names given in earlier runs, by identity.
        occupied: whether the output folder contains a foreign file or folder of that name.

    Returns: the name of each identity.
    """
    pairs = list(sources)
    names = {identity: known[identity] for identity, _ in pairs if identity in known}
    fresh = sorted({identity: path for identity, path in pairs if identity not in known}.items())
    taken = {name.lower() for name in known.values()}
    wanted = {identity: slug(PurePath(path).stem) for identity, path in fresh}
    times = Counter(name.lower() for name in wanted.values())
    for identity, path in fresh:
        plain = wanted[identity]
        clash = times[plain.lower()] > 1
        candidates = (
            *(() if clash else (plain,)),
            f"{plain}-{_hash(path, 8)}",
            f"{plain}-{_hash(identity, 16)}",
        )
        for name in candidates:
            if name.lower() not in taken and not occupied(name):
                break
        else:
            name = f"{plain}-{_hash(identity, 40)}"  # a person created folders with these names
        names[identity] = name
        taken.add(name.lower())
    return names


def _hash(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:digits]
