"""Files of the output folder: written aside, then renamed, so no final name is ever partial.

What lives here: every write, rename and removal below the output folder, and the mapping of
their failures. What may not: what the files mean.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from worker.atomic import atomic_write, disk_full, lock_folder
from worker.domain.errors import InputError, SafelightError, StorageFull

ASIDE = ".tmp-safelight-"
"""Begins every name that is not final. Whatever has it at the start of a run is a leftover."""

MANIFEST = "manifest.json"
GALLERY = "index.html"
GENERATOR = b'<meta name="generator" content="Safelight'
"""Near the top of every gallery: how ours is told from somebody's own page."""


def storage_error(error: OSError, path: Path) -> SafelightError:
    """Return what a failed write, rename or removal of ``path`` is called here."""
    if disk_full(error):
        return StorageFull(f"no space left to write {path}: {error.strerror}")
    said = "not a folder" if isinstance(error, FileExistsError) else error.strerror
    return InputError(f"cannot write {path}: {said}", code="output_unwritable")


def write_file(path: Path, data: bytes) -> None:
    """Write a file that nobody reads yet. Raises OSError."""
    with path.open("xb") as file:
        file.write(data)


@contextlib.contextmanager
def opened(out: Path) -> Iterator[None]:
    """Make the output folder this run's own: created, locked, without leftovers.

    Raises:
        InputError: ``output_unwritable`` if it cannot be made or written, or holds a
            ``manifest.json`` or ``index.html`` of somebody else's; ``output_busy`` if another
            run has it.
        StorageFull: no space.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock_folder(out))
        except BlockingIOError as error:
            raise InputError(f"{out}: another run is writing there", code="output_busy") from error
        except OSError as error:
            raise storage_error(error, out) from error
        _refuse_foreign(out)
        clean(out)
        _prove_writable(out)
        yield


def clean(out: Path) -> None:
    """Remove everything that was written aside and never renamed."""
    for path in sorted(out.glob(f"{ASIDE}*")):
        remove(path)


def remove(path: Path) -> None:
    """Remove a file or a folder with what is in it, if it exists."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(error, path) from error


def publish_folder(aside: Path, final: Path) -> None:
    """Give a finished folder its final name, in place of what had it.

    A folder is not replaced in one system call: between two renames the name is absent for a
    moment, never partial.
    """
    old = final.with_name(f"{ASIDE}old-{final.name}")
    try:
        if final.is_symlink() or final.exists():
            final.rename(old)
        aside.rename(final)
    except OSError as error:
        raise storage_error(error, final) from error
    remove(old)


def replace_file(path: Path, text: str) -> None:
    """Write a whole file under a final name, in place of what had it, in one step."""
    try:
        atomic_write(path, text, durable=True, name=f"{ASIDE}{path.name}")
    except OSError as error:
        raise storage_error(error, path) from error


def _refuse_foreign(out: Path) -> None:
    page = out / GALLERY
    try:
        with page.open("rb") as file:
            head = file.read(1024)
    except FileNotFoundError:
        return
    except OSError as error:
        raise storage_error(error, page) from error
    if GENERATOR not in head:
        raise InputError(
            f"{page} was not written by Safelight and would be replaced: choose another folder",
            code="output_unwritable",
        )


def _prove_writable(out: Path) -> None:
    # Found before an hour of work, not after it.
    probe = out / f"{ASIDE}probe"
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        raise storage_error(error, out) from error
