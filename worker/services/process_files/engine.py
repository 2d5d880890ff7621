"""What a run asks of the engine, as functions, and the real ones.

The real functions import the engine when they are called: the process that supervises a run
stays small, and libvips starts only in worker processes, after their environment is set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Protocol, TypeVar

import worker
from worker.domain.image import Dropped, Format, Limits, Metadata, Probe, Recipe, Rendition

Result = TypeVar("Result")

_ANYTHING = Limits(
    bytes=2**63,
    pixels=2**63,
    dimension=2**31,
    frames=2**31,
    animation_pixels=2**63,
    duration=1e12,
)


class Planned(Protocol):
    """The part of a plan that a manifest keeps."""

    @property
    def hash(self) -> str:
        """Part of every output key."""


class ProcessedFile(Protocol):
    """What the engine makes of one picture."""

    @property
    def probe(self) -> Probe:
        """What the header says."""

    @property
    def plan(self) -> Planned:
        """The steps that were taken."""

    @property
    def metadata(self) -> Metadata:
        """What is known about the picture."""

    @property
    def renditions(self) -> tuple[Rendition, ...]:
        """The files, by value."""

    @property
    def dropped(self) -> tuple[Dropped, ...]:
        """Formats made and not kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """How long and how large one picture may get before it is given up.

    ``wall_seconds`` also bounds the first, unconfined try; memory and CPU time are enforced in
    the second try, in the sandbox.
    """

    wall_seconds: float = 120.0
    cpu_seconds: float = 240.0
    memory_bytes: int = 4 * 2**30


class Confine(Protocol):
    """Runs a function in a child process under limits; raises what it raised, or PoisonInput."""

    def __call__(
        self, function: Callable[..., Result], *args: object, limits: Confinement
    ) -> Result:
        """Return what ``function(*args)`` returned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The functions of a run. Each is importable by its name: worker processes are sent names."""

    process: Callable[[bytes, Recipe], ProcessedFile]
    describe: Callable[[bytes], Probe]
    """Probe without limits: to say what a rejected file is. Raises Rejected."""
    confine: Confine
    version: str
    """Results of another version are made again."""
    wary: Callable[[bytes], bool]
    """Whether bytes are to be confined from the first try on."""


def process(data: bytes, recipe: Recipe) -> ProcessedFile:
    """Run the real engine. Raises what ``worker.imaging.engine.process`` raises."""
    from worker.imaging import engine

    return engine.process(data, recipe)


def wary(data: bytes) -> bool:
    """Ask the real engine."""
    from worker.imaging import engine

    return engine.needs_sandbox(data)


def describe(data: bytes) -> Probe:
    """Probe any known format without limits. Raises Rejected."""
    from worker.imaging.probe import probe

    return probe(data, _ANYTHING, formats=frozenset(Format))


def confine(function: Callable[..., Result], *args: Any, limits: Confinement) -> Result:
    """Run in the real sandbox. Raises what ``function`` raised, or PoisonInput."""
    from worker.subprocesses import sandbox

    return sandbox.run(
        function,
        *args,
        limits=sandbox.SandboxLimits(
            cpu_seconds=limits.cpu_seconds,
            wall_seconds=limits.wall_seconds,
            memory_bytes=limits.memory_bytes,
        ),
    )


def real() -> Engine:
    """Return the real engine, without loading it.

    Its version names what may change bytes: the engine's own number and libraries.
    """
    from worker.imaging.plan import ENGINE_VERSION

    parts = [f"safelight {worker.__version__}", f"engine {ENGINE_VERSION}"]
    for name in ("pyvips-binary", "pillow", "simplejpeg", "pi-heif"):
        try:
            parts.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue  # optional, or libvips comes from the system
    return Engine(
        process=process, describe=describe, confine=confine, version=", ".join(parts), wary=wary
    )
