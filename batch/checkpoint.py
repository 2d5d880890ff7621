"""Finished pieces of a job beside its results, each with its digest. See ``work.Checkpoint``.

A piece is two objects below ``.checkpoint/{job}/{digest}/``: the piece itself and, written after
it, a note of its size and SHA-256. Only what has a note counts, and only if it is what the note
says. A note per piece, not a list of all: pieces can be stored by several threads, and the cost
of one does not grow with their number. The digest names kind, inputs and parameters, so pieces of
another job are never seen; ``clear`` removes them too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from threading import Lock

from batch.addresses import checked_name
from batch.outputs import OutputStore
from worker.domain.errors import StorageFull

_PIECES = "pieces/"
_NOTES = "notes/"
_ENDING = ".json"


class StoredCheckpoint:
    """``work.Checkpoint`` on a place.

    Args:
        job: which job of the place, ``transcode-part-00003``.
        digest: of the kind, its inputs and its parameters.
        scratch: where ``get`` puts its copies.
    """

    def __init__(self, place: OutputStore, job: str, digest: str, scratch: Path) -> None:
        self._place = place
        self._scratch = scratch
        self._all = f".checkpoint/{job}/"
        self._root = f"{self._all}{digest[:16]}/"
        self._count = 0
        self._lock = Lock()

    def get(self, name: str) -> Path | None:
        """See ``Checkpoint.get``."""
        note = self._place.read(self._note(name))
        if note is None:
            return None
        with self._lock:
            self._count += 1
            target = self._scratch / f"{self._count:06d}" / PurePosixPath(name).name
        target.parent.mkdir(parents=True)
        if not self._place.fetch(self._piece(name), target):
            return None
        if _note_of(target) != note:
            target.unlink()
            return None
        return target

    def put(self, name: str, path: Path) -> None:
        """See ``Checkpoint.put``."""
        note = _note_of(path)
        # Without its note an older piece of the name is void while it is replaced.
        self._place.remove(self._note(name))
        self._place.store(path, self._piece(name), content_type="application/octet-stream")
        self._place.write(self._note(name), note, content_type="application/json")

    def names(self) -> Sequence[str]:
        """See ``Checkpoint.names``."""
        top = self._root + _NOTES
        found = (name.removeprefix(top) for name in self._place.names(top))
        return sorted(name.removesuffix(_ENDING) for name in found if name.endswith(_ENDING))

    def clear(self) -> None:
        """See ``Checkpoint.clear``. Pieces of earlier inputs and parameters go as well."""
        # Notes first (they sort before pieces): a half-cleared checkpoint is merely a smaller one.
        for name in tuple(self._place.names(self._all)):
            self._place.remove(name)

    def _piece(self, name: str) -> str:
        return f"{self._root}{_PIECES}{checked_name(name)}"

    def _note(self, name: str) -> str:
        return f"{self._root}{_NOTES}{checked_name(name)}{_ENDING}"


def _note_of(path: Path) -> bytes:
    try:
        with path.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        size = path.stat().st_size
    except OSError as error:
        raise StorageFull(f"a finished piece cannot be read back: {error.strerror}") from error
    return json.dumps({"bytes": size, "sha256": digest}).encode()
