"""The result of a run as one value, ready for JSON.

What lives here: the shape of the report. How its figures are computed is in ``summary``, what
they should be in ``goals``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from worker.bench.lineup import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What it was measured on."""

    cpu: str
    cores: int
    system: str
    python: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Photos:
    """What it was measured with."""

    count: int
    synthetic: bool
    mean_bytes: float
    left_out: dict[str, str]
    """Files that were not measured, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One contender: means over all photos."""

    key: Key
    label: str
    cpu_ms: float
    """CPU milliseconds a photo, user and system, all threads."""
    bytes: float | None
    """Of all files of a photo together; None if no file was written by every contender."""
    ssim: float | None
    peak_memory: int | None
    """Most bytes resident at once; None where the system does not say."""
    idle_memory: int | None
    """The same before the first photo."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """The engine (renditions only) against one contender. Below 1 is in the engine's favour."""

    key: Key
    cpu: float
    bytes: float | None
    ssim_difference: float | None
    """Engine minus contender: above 0 is in the engine's favour."""
    peak_memory: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One library at one step of the floor."""

    name: str
    cpu_ms: float
    bytes: float | None
    """Mean size of what it wrote; None for decoders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorStep:
    """One step of the floor and everybody who can do it, fastest first."""

    name: str
    candidates: tuple[Candidate, ...]
    winner: str
    winner_shipped: str
    """The fastest among the libraries that Safelight ships with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """The least that any tool must spend."""

    steps: tuple[FloorStep, ...]
    cpu_ms: float
    cpu_ms_shipped: float
    """With the libraries that Safelight ships with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One goal and whether it is reached."""

    name: str
    goal: str
    found: str
    met: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything one run found out."""

    date: str
    """UTC, ISO 8601."""
    command: str
    rounds: int
    webp_effort: int
    """Of the recipe, and so of every contender at the same settings."""
    machine: Machine
    photos: Photos
    figures: tuple[Figures, ...]
    ratios: tuple[Ratio, ...]
    floor: Floor | None
    metadata_share: float
    """CPU of metadata and hashes over CPU of the renditions."""
    help_seconds: float | None
    """Wall time of ``safelight --help``, the least of several."""
    checks: tuple[Check, ...]
    absent: tuple[str, ...]
    """Who is not measured, and why."""
    notes: tuple[str, ...]
    versions: dict[str, dict[str, str]]
    """By contender."""

    def of(self, key: Key) -> Figures | None:
        """The figures of one contender, if it took part."""
        return next((one for one in self.figures if one.key is key), None)

    def ratio(self, key: Key) -> Ratio | None:
        """The engine against one contender, if that took part."""
        return next((one for one in self.ratios if one.key is key), None)

    def as_dict(self) -> dict[str, object]:
        """As JSON-ready values."""
        return asdict(self)
