"""Files that are written beside their final names, then renamed: none is ever half there.

Each is locked while it is written: what a killed process has left is told from it by its free
lock. The same way a whole place is held by one job. What may not be here: what is written, and
under which final name.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = ".partial-"
"""What the names of such files begin with."""


@contextmanager
def aside(folder: Path) -> Iterator[Path]:
    """A new file in a folder, which is made if it is not there; gone afterwards unless renamed.

    Raises:
        OSError: there can be none.
    """
    opened, path = _locked(folder)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
        os.close(opened)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a lock that is this file, which is gone afterwards. A killed process holds nothing.

    Raises:
        BlockingIOError: somebody else holds it.
        OSError: there can be no such file.
    """
    opened = _taken(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(opened)


def _taken(path: Path) -> int:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except FileNotFoundError:
            continue  # whoever held it has just removed the folder too
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(opened)
            raise
        except OSError:  # a disk that knows no locks
            return opened
        if os.fstat(opened).st_nlink:
            return opened
        os.close(opened)  # whoever held it has just let it go


def sweep(folder: Path) -> None:
    """Remove what killed processes have left in a folder; what cannot be removed stays.

    Raises:
        OSError: the folder cannot be listed.
    """
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        left = [entry.path for entry in entries if entry.name.startswith(PREFIX)]
    for path in left:
        with suppress(OSError):
            _remove_if_dead(path)


def _remove_if_dead(path: str) -> None:
    opened = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        Path(path).unlink()
    finally:
        os.close(opened)


def _locked(folder: Path) -> tuple[int, Path]:
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            opened, name = tempfile.mkstemp(dir=folder, prefix=PREFIX)
        except FileNotFoundError:
            continue  # another job of this place has just removed the folder, which was empty
        with suppress(OSError):  # a disk that knows no locks: then nobody can take it for dead
            fcntl.flock(opened, fcntl.LOCK_EX)
        if os.fstat(opened).st_nlink:
            return opened, Path(name)
        os.close(opened)  # taken for a dead one's before it was locked
