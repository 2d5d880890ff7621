"""Load: which uploads clients send and when, what became of each, and what is wrong with it.

:func:`schedule` makes a :class:`Mix` into the uploads of a run. ``worker.services.load`` sends them
and writes down an :class:`UploadOutcome` for each. A :class:`LoadReport` is the whole run, and what
``safelight load --out`` writes as JSON.

All times are seconds since the start of a run. A latency counts from the moment at which an upload
was planned, not from the moment at which the client began: a late client would hide the waiting
("coordinated omission": Gil Tene, "How NOT to Measure Latency", Strange Loop 2015).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

SCHEMA = "safelight.load/1"
ACCEPTED, REJECTED, WAITING = "accepted", "rejected", "waiting"
FINAL = frozenset({ACCEPTED, REJECTED, "review", "published", "deleted"})
"""Statuses of an asset that do not change by themselves."""


class LoadStage(StrEnum):
    """Stages of an upload, in this order."""

    UPLOADED = "uploaded"
    """The store has answered the request with the bytes."""
    ACCEPTED = "accepted"
    """The record of the asset has its final status, also if that is a rejection."""
    SERVED = "served"
    """The first rendition was read from delivery."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MixFile:
    """One kind of file that clients upload."""

    name: str
    """Of a sample of Safelight, or of a file on disk."""
    share: float
    """Of the uploads, 0 to 1."""
    expect: str = ACCEPTED
    """A status, or the code of a rejection."""
    scale: float = 1.0
    """Of a sample: its sides, as a share of the usual."""
    method: str = ""
    """put, post or multipart; empty: the API chooses."""
    recipe: str = ""
    """Empty: the deployment's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """The files that clients upload, and their connections. All shares are of the uploads, 0 to
    1."""

    files: tuple[MixFile, ...]
    """Their shares are 1 together."""
    duplicates: float = 0.0
    """Uploads that have the bytes of an earlier upload of the same file. All others differ."""
    abandoned: float = 0.0
    """Uploads whose client leaves halfway and does not come back."""
    cut: float = 0.0
    """Uploads whose connection breaks halfway, once; the client tries again."""
    slow: float = 0.0
    """Uploads over a slow connection."""
    slow_bytes_per_second: int = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedUpload:
    """One upload of a run."""

    number: int
    """From 0, in the order of time."""
    at: float
    """When the client wants to upload."""
    file: MixFile
    duplicate_of: int | None = None
    """Number of the earlier upload that has the same bytes."""
    abandoned: bool = False
    cut: bool = False
    bytes_per_second: int | None = None
    """Of a slow connection."""

    @property
    def expect(self) -> str:
        """The status, or the code of the rejection, that is right at the end."""
        return WAITING if self.abandoned else self.file.expect


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadOutcome:
    """The outcome of one upload."""

    number: int
    at: float
    """When it was planned."""
    file: str
    """Name of the file in the mix."""
    expect: str
    bytes: int
    asset: str = ""
    """Empty: the API has not begun it."""
    duplicate_of: int | None = None
    abandoned: bool = False
    cut: bool = False
    slow: bool = False
    begun: float | None = None
    """When the client began; later than ``at`` where the machine of the clients is too slow."""
    ticket: float | None = None
    """When the API had answered with the ticket."""
    uploaded: float | None = None
    accepted: float | None = None
    """When the final status was written, by the record's own time and the estimated difference of
    the clocks; a rejection counts too."""
    served: float | None = None
    status: str = ""
    """Of the asset, as seen last."""
    code: str = ""
    """Of its verdict."""
    retries: int = 0
    """Requests of the client that were sent again."""
    error: str = ""
    """Code of the error that ended the client's upload."""

    def latency(self, stage: LoadStage) -> float | None:
        """Seconds from the planned time to the end of a stage; None if it was not reached."""
        ends = {
            LoadStage.UPLOADED: self.uploaded,
            LoadStage.ACCEPTED: self.accepted,
            LoadStage.SERVED: self.served,
        }
        end = ends[stage]
        return None if end is None else end - self.at


class Flaw(StrEnum):
    """Kinds of findings about an upload or the whole run."""

    LOST = "lost"
    """The store has the bytes, and no final status was reached."""
    DOUBLED = "doubled"
    """More than one record, set of renditions, outcome or event of one upload."""
    VERDICT = "verdict"
    """Another status or code than the mix expects."""
    FILES = "files"
    """A rendition is missing, or has another size than its record says, or other than others of the
    same bytes."""
    REFUSED = "refused"
    """The client has given up: the API or the store refused, or did not answer."""
    UNCHECKED = "unchecked"
    """The outcome could not be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFinding:
    """One thing that is wrong."""

    flaw: Flaw
    text: str
    number: int | None = None
    """Of the upload."""
    asset: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFigures:
    """A stage over a whole run."""

    count: int
    """Uploads that reached it."""
    per_second: float
    """Of the time from the first planned upload to the last end of the stage."""
    p50: float
    """Seconds of latency that half of them took at most, by the nearest rank; ``p90`` and so on
    alike. 0 if there are none."""
    p90: float
    p95: float
    p99: float
    longest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """One run."""

    mix: Mix
    rate: float
    """Planned uploads a second."""
    seconds: float
    """Planned length."""
    seed: int
    tag: str
    """Of all its assets."""
    started: str
    """ISO 8601 UTC."""
    elapsed: float
    """Seconds to the end of the check."""
    outcomes: tuple[UploadOutcome, ...]
    """Of all uploads that have begun, in the order of their numbers."""
    findings: tuple[LoadFinding, ...] = ()
    stopped: bool = False
    """Somebody has ended it early."""
    clock_difference: float = 0.0
    """Seconds that the clock of the deployment is ahead of the clients', as far as can be told."""
    renditions: int = 0
    """Files that were read in the check."""
    events: int | None = None
    """Events that were compared; None where the clients see none."""
    schema: str = SCHEMA

    @property
    def stages(self) -> dict[LoadStage, StageFigures]:
        """Figures of each stage. Uploads that are meant to be abandoned are left out."""
        return {stage: figures(self.outcomes, stage) for stage in LoadStage}

    @property
    def lag(self) -> float:
        """Seconds that 99 % of the clients began late at most: above 0.1, the machine of the
        clients is the bottleneck, and the latencies are partly its own."""
        late = [one.begun - one.at for one in self.outcomes if one.begun is not None]
        return percentile(sorted(late), 0.99)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that so large a share of the values do not exceed, by the nearest rank.

    Args:
        ordered: values, the least first; 0 is the answer for none.
        share: above 0, at most 1.
    """
    if not ordered:
        return 0.0
    return ordered[max(math.ceil(len(ordered) * share), 1) - 1]


def figures(outcomes: Iterable[UploadOutcome], stage: LoadStage) -> StageFigures:
    """The figures of a stage."""
    ended = [
        (one.at + latency, latency)
        for one in outcomes
        if not one.abandoned and (latency := one.latency(stage)) is not None
    ]
    ordered = sorted(latency for _, latency in ended)
    span = max((end for end, _ in ended), default=0.0) - min(
        (end - latency for end, latency in ended), default=0.0
    )
    return StageFigures(
        count=len(ended),
        per_second=len(ended) / span if span > 0 else 0.0,
        p50=percentile(ordered, 0.5),
        p90=percentile(ordered, 0.9),
        p95=percentile(ordered, 0.95),
        p99=percentile(ordered, 0.99),
        longest=ordered[-1] if ordered else 0.0,
    )


def schedule(mix: Mix, *, rate: float, seconds: float, seed: int) -> Iterator[PlannedUpload]:
    """The uploads of a run, in the order of time: a Poisson process.

    The times between uploads are exponential: clients know nothing of each other. The same
    arguments give the same uploads.

    Args:
        mix: of which each upload takes a file by its share.
        rate: uploads a second, on average; above 0.
        seconds: length of the run.
        seed: of the random numbers.
    """
    times, traits = random.Random(f"{seed} times"), random.Random(f"{seed} traits")
    weights = [file.share for file in mix.files]
    sent: dict[str, list[int]] = {}
    at, number = times.expovariate(rate), 0
    while at < seconds:
        file = traits.choices(mix.files, weights)[0]
        # One draw for each trait, whether it applies or not: a share that is changed leaves the
        # other uploads as they were.
        draws = [traits.random() for _ in range(5)]
        earlier = sent.setdefault(file.name, [])
        abandoned = draws[1] < mix.abandoned
        first = None
        if draws[0] < mix.duplicates and earlier and not abandoned:
            first = earlier[int(draws[4] * len(earlier))]
        if not abandoned and first is None:
            earlier.append(number)
        yield PlannedUpload(
            number=number,
            at=at,
            file=file,
            duplicate_of=first,
            abandoned=abandoned,
            cut=not abandoned and draws[2] < mix.cut,
            bytes_per_second=mix.slow_bytes_per_second if draws[3] < mix.slow else None,
        )
        number += 1
        at += times.expovariate(rate)
