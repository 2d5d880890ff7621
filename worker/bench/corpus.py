"""Which photos are measured: a folder of the user's, or pictures made here."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from worker.domain.errors import InputError

_JPEG = b"\xff\xd8\xff"
"""SOI and the beginning of the first marker: every JPEG, nothing else (ITU-T T.81, B.1)."""

SAMPLE_BYTES = 500_000
"""Generated pictures smaller than this are no stand-in for photos."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """The photos, by a short name, in a fixed order."""

    photos: dict[str, Path]
    synthetic: bool
    """Made by ``worker.samples`` because no folder was given."""
    left_out: dict[str, str]
    """Files that are not measured, and why."""


def collect(folder: Path) -> Corpus:
    """All JPEG files in a folder and the folders below it.

    JPEG only: it is what people upload, and what every implementation reads. Whether a file can
    be decoded turns out when they read it.

    Raises:
        InputError: there is no such folder (``input_missing``), it cannot be read
            (``input_unreadable``), or it has no JPEG in it (``input_invalid``).
    """
    if not folder.exists():
        raise InputError(f"--corpus {folder}: there is no such folder", code="input_missing")
    if not folder.is_dir():
        raise InputError(f"--corpus {folder}: is not a folder", code="input_missing")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise InputError(f"--corpus {folder}: cannot be read", code="input_unreadable")
    return _from(folder, synthetic=False, least=1)


def generate(folder: Path, *, write: Callable[[Path], object] | None = None) -> Corpus:
    """Photo-like pictures, made now.

    Args:
        folder: an empty one, to write them to.
        write: what fills it; ``worker.samples.write`` unless told otherwise.

    Raises:
        InputError: none of the pictures is large enough.
    """
    if write is None:
        from worker import samples  # here, because a run on real photos does not need it

        write = samples.write
    write(folder)
    return _from(folder, synthetic=True, least=SAMPLE_BYTES)


def _from(folder: Path, *, synthetic: bool, least: int) -> Corpus:
    photos: dict[str, Path] = {}
    left_out: dict[str, str] = {}
    # Samples in folders below are broken on purpose.
    for path in sorted(folder.iterdir() if synthetic else folder.rglob("*")):
        if path.is_file():
            reason = _unsuitable(path, least)
            name = path.relative_to(folder).as_posix()
            if reason is None:
                photos[name] = path
            elif not synthetic:
                left_out[name] = reason
    if not photos:
        where = "the generated samples" if synthetic else f"--corpus {folder}"
        large = f" of {least // 1000} kB or more" if synthetic else ""
        raise InputError(f"{where}: no JPEG picture{large} to measure")
    return Corpus(photos=photos, synthetic=synthetic, left_out=left_out)


def _unsuitable(path: Path, least: int) -> str | None:
    """Why a file is not measured; None if it is."""
    from PIL import Image  # here, because `bench --help` does not need it

    try:
        with path.open("rb") as file:
            beginning = file.read(len(_JPEG))
        size = path.stat().st_size
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if beginning != _JPEG or size < least:
        return "is not a JPEG" if size else "is empty"
    try:
        with Image.open(path) as image:
            if image.mode == "CMYK":
                return "is CMYK, which every tool turns into other colours"
    except (OSError, ValueError):
        pass  # damaged: the implementations tell how
    return None
