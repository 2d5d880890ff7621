"""One record for each source, and its JSON form: ``manifest.json``.

The shape is public and only grows; docs describe it. Numbers are in bytes, pixels and seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from worker import codec
from worker.domain.errors import EngineError
from worker.domain.image import Dropped, Format, Metadata, Probe


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
    """From the output folder to the source: what the source is known by in later runs."""
    bytes: int
    modified_ns: int
    """Modification time, nanoseconds since 1970."""
    sha256: str | None
    """None if it was not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeUsed:
    """Which recipe made the renditions."""

    name: str
    version: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenRendition:
    """One file of the output folder."""

    name: str
    format: Format
    width: int
    height: int
    frames: int
    bytes: int
    path: str
    """Relative to the manifest, with ``/``."""
    sha256: str
    quality: int | None = None
    ssim: float | None = None
    duration_ms: int | None = None
    """Of one run of an animation; None for stills."""
    same_as: str | None = None
    """Name of an earlier rendition whose file is equal: of a small original, sizes are the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Everything a manifest says about one source."""

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
    renditions: tuple[WrittenRendition, ...]
    dropped: tuple[Dropped, ...]
    seconds: float
    """Time from reading the source to writing its last rendition."""


def plain(value: object) -> Any:
    """Return a dataclass as dicts, lists, strings and numbers, ready for JSON."""
    return codec.plain(value, defaults=True)


def entry_from(value: object) -> Entry | None:
    """Read one record back; None if it is not one of this version's."""
    try:
        return codec.build(Entry, value)
    except EngineError:
        return None


def encode(entries: Iterable[Entry]) -> str:
    """Return the text of a manifest, in the order of sources."""
    ordered = sorted(entries, key=lambda entry: (entry.source, entry.name))
    return json.dumps([plain(entry) for entry in ordered], indent=2) + "\n"
