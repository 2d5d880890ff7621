"""Use cases of single files: inspect, plan, compare and repack. Only repack writes a file.

All decoding happens in the sandbox, because a hostile file must not crash the command line.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from worker.atomic import atomic_write
from worker.domain.errors import InputError, Rejected
from worker.domain.image import Encoding, Format, Metadata, Probe, Recipe, RenditionSpec
from worker.imaging import engine, libjxl
from worker.imaging.compare import Comparison
from worker.imaging.compare import compare as compare_bytes
from worker.imaging.plan import Plan, make_plan
from worker.imaging.probe import describe, probe
from worker.subprocesses import sandbox
from worker.subprocesses.sandbox import SandboxLimits

LIMITS = SandboxLimits(cpu_seconds=120, wall_seconds=120, memory_bytes=4 * 2**30)

_LOOK = Recipe(
    name="inspect",
    version=1,
    formats=frozenset(Format),
    renditions=(
        RenditionSpec(name="look", width=64, frames=1, encodings=(Encoding(format=Format.PNG),)),
    ),
)
"""The smallest recipe that makes the engine decode and measure."""

_REPACK_EFFORT = 3
"""A higher effort makes no smaller files (docs/decisions/0011), a lower one makes them a tenth
larger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """Facts about a file. If some are missing, ``rejected`` gives the reason."""

    bytes: int
    probe: Probe | None
    metadata: Metadata | None
    rejected: Rejected | None


def inspect(path: Path) -> Inspection:
    """Inspect a picture of any known format, within the usual limits.

    Raises:
        InputError: the file cannot be read.
    """
    data = read(path, _LOOK.limits.bytes)
    try:
        found = sandbox.run(engine.process, data, _LOOK, limits=LIMITS)
    except Rejected as error:
        header = error.probe if isinstance(error.probe, Probe) else None
        if header is None:
            with suppress(Rejected):
                header = sandbox.run(describe, data, limits=LIMITS)
        return Inspection(bytes=len(data), probe=header, metadata=None, rejected=error)
    return Inspection(bytes=len(data), probe=found.probe, metadata=found.metadata, rejected=None)


def plan(path: Path, recipe: Recipe, only: tuple[str, ...] = ()) -> Plan:
    """Make the plan for a picture.

    Args:
        path: the picture.
        recipe: the recipe.
        only: as for ``worker.imaging.plan.make_plan``.

    Raises:
        InputError: the file cannot be read, or the recipe lacks one of ``only``.
        Rejected: the recipe does not accept the picture.
    """
    return sandbox.run(_plan, read(path, recipe.limits.bytes), recipe, only, limits=LIMITS)


def compare(first: Path, second: Path) -> tuple[int, int, Comparison]:
    """Compare two pictures; return the bytes of each and their similarity.

    Raises:
        InputError: one cannot be read.
        Rejected: one cannot be decoded.
    """
    limit = _LOOK.limits.bytes
    one, other = read(first, limit), read(second, limit)
    return len(one), len(other), sandbox.run(compare_bytes, one, other, limits=LIMITS)


@dataclass(frozen=True, slots=True, kw_only=True)
class RepackedFile:
    """A JPEG recompressed as JPEG XL, or the reverse."""

    path: Path
    format: Format
    bytes: int
    source_bytes: int
    sha256: str


def repack(path: Path, folder: Path) -> RepackedFile:
    """Recompress a JPEG without loss as JPEG XL, or restore the JPEG, into a file of the same name.

    Raises:
        InputError: the file cannot be read, or the folder not written to.
        Rejected: it is neither a JPEG that can be packed nor a JPEG XL with one in it.
    """
    data = read(path, _LOOK.limits.bytes)
    kind, made = sandbox.run(_repacked, data, limits=LIMITS)
    target = folder / f"{path.stem}.{kind.extension}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        atomic_write(target, made)
    except OSError as error:
        raise InputError(f"{target}: {error.strerror}", code="output_unwritable") from error
    return RepackedFile(
        path=target,
        format=kind,
        bytes=len(made),
        source_bytes=len(data),
        sha256=hashlib.sha256(made).hexdigest(),
    )


def _repacked(data: bytes) -> tuple[Format, bytes]:
    """Runs in the sandbox. Each limit is checked before anything is decoded."""
    found = probe(data, _LOOK.limits, formats={Format.JPEG, Format.JXL})
    if found.format is Format.JPEG:
        return Format.JXL, libjxl.repack(data, effort=_REPACK_EFFORT)
    return Format.JPEG, libjxl.unpack(data, limits=_LOOK.limits)


def _plan(data: bytes, recipe: Recipe, only: tuple[str, ...]) -> Plan:
    """Probe and plan; runs in the sandbox."""
    return make_plan(probe(data, recipe.limits, formats=recipe.formats), recipe, only=only)


def read(path: Path, limit: int) -> bytes:
    """Read a file. Of a file over ``limit`` bytes, read just enough for the engine to refuse it.

    Raises:
        InputError: ``input_missing`` or ``input_unreadable``.
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is not a regular file", code="input_unreadable")
        with path.open("rb") as file:
            return file.read(limit + 1)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file", code="input_missing") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", code="input_unreadable") from error
