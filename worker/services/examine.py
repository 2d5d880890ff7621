"""Use cases of single files: inspect, plan, compare, and repack, which alone makes one.

All decoding happens in the sandbox: a hostile file must not take the command line down.
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
"""The least that makes the engine decode and measure."""

_REPACK_EFFORT = 3
"""More makes nothing smaller (docs/decisions/0011), less a tenth larger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """Facts about a file; those that are missing could not be found, and ``rejected`` says why."""

    bytes: int
    probe: Probe | None
    metadata: Metadata | None
    rejected: Rejected | None


def inspect(path: Path) -> Inspection:
    """Find out everything about a picture of any known format, within the usual limits.

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
    """Decide what would be made of a picture.

    Args:
        path: the picture.
        recipe: what to make of it.
        only: as for ``worker.imaging.plan.make_plan``.

    Raises:
        InputError: the file cannot be read, or the recipe lacks one of ``only``.
        Rejected: the recipe does not accept the picture.
    """
    return sandbox.run(_plan, read(path, recipe.limits.bytes), recipe, only, limits=LIMITS)


def compare(first: Path, second: Path) -> tuple[int, int, Comparison]:
    """Compare two pictures; return the bytes of each and how similar they are.

    Raises:
        InputError: one cannot be read.
        Rejected: one cannot be decoded.
    """
    limit = _LOOK.limits.bytes
    one, other = read(first, limit), read(second, limit)
    return len(one), len(other), sandbox.run(compare_bytes, one, other, limits=LIMITS)


@dataclass(frozen=True, slots=True, kw_only=True)
class RepackedFile:
    """A JPEG packed as JPEG XL, or the other way round."""

    path: Path
    format: Format
    bytes: int
    source_bytes: int
    sha256: str


def repack(path: Path, folder: Path) -> RepackedFile:
    """Pack a JPEG without loss, or unpack one, into a file of the same name beside others.

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
    """What the sandbox runs. Each limit is checked before anything is decoded."""
    found = probe(data, _LOOK.limits, formats={Format.JPEG, Format.JXL})
    if found.format is Format.JPEG:
        return Format.JXL, libjxl.repack(data, effort=_REPACK_EFFORT)
    return Format.JPEG, libjxl.unpack(data, limits=_LOOK.limits)


def _plan(data: bytes, recipe: Recipe, only: tuple[str, ...]) -> Plan:
    """Probe and plan: what the sandbox runs."""
    return make_plan(probe(data, recipe.limits, formats=recipe.formats), recipe, only=only)


def read(path: Path, limit: int) -> bytes:
    """Read a file; of one over ``limit`` bytes, just enough for the engine to refuse it.

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
