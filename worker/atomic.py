"""Atomic writes of files, locks on folders, and errors of a full disk.

A file is written under another name in the same folder, then renamed. Standard library only.
"""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

STAGING_PREFIX = ".partial-"
"""Prefix of the names of files that :func:`locked_staging` makes."""

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def disk_full(error: OSError) -> bool:
    """Whether the disk is full, a quota is used up, or the process reached its file size limit."""
    return error.errno in _DISK_FULL


# --- write beside, then rename -----------------------------------------------------------------


@contextmanager
def staging(final: Path, *, name: str | None = None) -> Iterator[Path]:
    """A path beside ``final``, renamed to it at the end of the block, or removed after an error.

    Args:
        final: the file that is replaced, in one step.
        name: of the staging file; without one it is hidden and of this process alone.

    Raises:
        OSError: it cannot be renamed.
    """
    path = final.with_name(name or f".{final.name}.{os.getpid()}.tmp")
    try:
        yield path
        path.replace(final)
    except BaseException:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        raise


def atomic_write(
    final: Path,
    data: bytes | str,
    *,
    mode: int = 0o666,
    durable: bool = False,
    name: str | None = None,
) -> None:
    """Replace a whole file: a reader sees either the old or the new content.

    Args:
        final: the file. Its folder must exist.
        data: bytes, or text that becomes UTF-8.
        mode: of the new file, before the umask.
        durable: flush the bytes to the disk before the rename, so that a power cut leaves no
            empty file.
        name: see :func:`staging`.

    Raises:
        OSError: it cannot be written.
    """
    with staging(final, name=name) as path:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, mode), "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            if durable:
                file.flush()
                os.fsync(file.fileno())


@contextmanager
def locked_staging(folder: Path) -> Iterator[Path]:
    """A new file in a folder, which is created if missing. The file is removed at the end unless it
    was renamed.

    The file is locked meanwhile: :func:`sweep` recognises a file of a killed process by its free
    lock.

    Raises:
        OSError: the file cannot be created.
    """
    opened, path = _locked_file(folder)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
        os.close(opened)


def _locked_file(folder: Path) -> tuple[int, Path]:
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            opened, name = tempfile.mkstemp(dir=folder, prefix=STAGING_PREFIX)
        except FileNotFoundError:
            continue  # another process has just removed the empty folder
        with suppress(OSError):  # on a file system without locks no other process removes it
            fcntl.flock(opened, fcntl.LOCK_EX)
        if os.fstat(opened).st_nlink:
            return opened, Path(name)
        os.close(opened)  # another process swept it before it was locked


def sweep(folder: Path) -> None:
    """Remove the files that killed processes have left in a folder. A file that cannot be removed
    stays.

    Raises:
        OSError: the folder cannot be listed.
    """
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        left = [entry.path for entry in entries if entry.name.startswith(STAGING_PREFIX)]
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


# --- locks -------------------------------------------------------------------------------------


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Create a folder and lock the folder itself.

    So no lock file stays, and a killed process frees the lock. On a file system without locks
    there is no lock.

    Raises:
        BlockingIOError: another process holds it.
        OSError: the folder cannot be created.
    """
    folder.mkdir(parents=True, exist_ok=True)
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _try_lock(opened)
        yield
    finally:
        os.close(opened)


@contextmanager
def lock_file(path: Path) -> Iterator[None]:
    """Hold a lock on this file, which is removed afterwards. A killed process holds no lock.

    Raises:
        BlockingIOError: another process holds it.
        OSError: the file cannot be created.
    """
    opened = _lock_file(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(opened)


def _lock_file(path: Path) -> int:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except FileNotFoundError:
            continue  # its holder has just removed the folder too
        try:
            locked = _try_lock(opened)
        except BlockingIOError:
            os.close(opened)
            raise
        if not locked or os.fstat(opened).st_nlink:
            return opened
        os.close(opened)  # its holder has just released it


def _try_lock(opened: int) -> bool:
    """Lock without waiting; False on a file system without locks. Raises BlockingIOError."""
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True
