"""The scratch disk: room checked, a folder for one attempt, nothing left behind.

An attempt's folder is removed when it ends, stopped or not. One that was killed leaves its folder;
the next attempt on the same disk removes it: the lock of a dead process is free.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from worker.domain.errors import InputError, ScratchFull

PREFIX = "safelight-job-"
_LOCK = "lock"
_UNLOCKED_SECONDS = 3600
"""A folder without a lock is being made this moment, or was left in that moment an hour ago."""
SMALLEST_ROOM = 64 * 1024**2
"""Bytes that must be free whatever the input."""


class Scratch:
    """One attempt's folder. ``work`` is empty and the operation's; the rest is the runner's.

    Raises:
        InputError: no folder can be made there.
    """

    def __init__(self, parent: Path) -> None:
        self._parent = parent

    def __enter__(self) -> Scratch:
        _sweep(self._parent)
        try:
            self._parent.mkdir(parents=True, exist_ok=True)
            self.root = Path(tempfile.mkdtemp(prefix=PREFIX, dir=self._parent)).resolve()
            # Under its name only once it is held: to another attempt a free lock is a dead one's.
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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


def _sweep(parent: Path) -> None:
    """Remove what killed attempts have left."""
    for folder in parent.glob(f"{PREFIX}*"):
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
