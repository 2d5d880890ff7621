"""What a kind of job is: the words of the catalogue. Standard library and ``domain.errors`` only.

What may not be here: a kind itself (``batch.kinds``), or anything that runs one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from worker.domain.errors import Problem

ParameterType: TypeAlias = Literal["int", "float", "bool", "text", "choice", "list"]
Media: TypeAlias = Literal["video", "tracks", "image"]
"""What a kind reads: moving pictures; any tracks, of sound or text alone too; still pictures."""
Queue: TypeAlias = Literal["standard", "urgent", "bulk"]
Agreement: TypeAlias = Callable[[Mapping[str, Any]], Sequence[Problem]]
"""Of parameters whose values are right each by itself: what is wrong with them together."""

ARRAY_CHILDREN = 10_000
"""Most children of an array job in Batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One thing a job can be told."""

    name: str
    """Lower-case letters, digits and ``_``."""
    type: ParameterType
    """``list`` is text parts with commas between them."""
    help: str
    """One sentence, with the unit."""
    default: int | float | bool | str | tuple[str, ...] | None = None
    """None: the parameter is missing unless given."""
    minimum: float | None = None
    """Of a number, inclusive; of the count of a list's parts."""
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    """Of a ``choice``, or of each part of a ``list``; empty allows any text in a list."""
    part: Literal["text", "int", "float"] = "text"
    """What each part of a ``list`` is; its value is text all the same."""
    part_minimum: float | None = None
    """Of each part of a list of numbers, inclusive."""
    part_maximum: float | None = None
    pattern: str | None = None
    """A regular expression that a ``text`` fits as a whole."""
    shape: str = ""
    """What the pattern asks for, behind "must be"."""
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobKind:
    """One kind of job: what it takes and what it needs to run."""

    name: str
    summary: str
    """One line for lists of commands."""
    parameters: tuple[Parameter, ...]
    media: Media
    inputs: tuple[int, int] = (1, 1)
    """Fewest and most inputs."""
    vcpus: float = 2
    memory_mib: int = 3584
    """Below a power of two: an instance keeps some of its memory for itself, and two such jobs
    should fit where the maker's figures say four gigabytes a processor."""
    scratch_gib: int = 20
    """Disk a machine should have for it."""
    scratch_factor: float = 2.0
    """Most bytes it writes to scratch for each byte of input; checked before it starts."""
    timeout_seconds: int = 3600
    """Of one attempt."""
    attempts: int = 5
    """All together: a Spot reclaim uses one."""
    queue: Queue = "standard"
    array: bool = False
    """May run as an array job: which part of the work is whose follows from the child's index."""
    step: bool = False
    """One step of divided work: run by the state machine, by hand as docs/jobs.md has it, and not
    offered in lists."""
    lazy: bool = False
    """Inputs may be folders or prefixes; the operation lists and fetches what it needs."""
    result: str = "result.json"
    """Name of the record of success, for kinds that share their output place with another."""
    agreement: Agreement | None = None
    """What must hold between several parameters (``batch.kinds.checks``)."""

    @property
    def command(self) -> tuple[str, ...]:
        """Arguments of the Batch image, before inputs, output and parameters."""
        return ("run", self.name)

    def parameter(self, name: str) -> Parameter | None:
        """The parameter of that name."""
        return next((item for item in self.parameters if item.name == name), None)
