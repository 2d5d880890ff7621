"""The ledger: work of the pipeline, counted by day, and what it follows from.

Work is counted, not money: a price that was wrong is mended in one file, and the report of last
month with it. A day is one of UTC, as on the bill of AWS, by the clock of the table that tells of
the change: no clock of a machine and no change to summer time moves work to another day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum

from worker.domain.asset import SERVED, AssetRecord, JobRecord, Status
from worker.domain.events import UPGRADED, Event
from worker.domain.moderation import ModerationTier

VCPU_SECONDS = "vcpu_seconds"
"""Detail of a job: processors times seconds of all attempts so far."""
_JUDGED = frozenset({"asset.accepted", "asset.held", "asset.rejected"})
_MADE = frozenset(one.value for one in SERVED)
_ENDED = frozenset({"SUCCEEDED", "FAILED"})


class LedgerAccount(StrEnum):
    """Accounts that work is counted for. Each piece of work is in one line of every account."""

    ALL = "all"
    OWNER = "owner"
    RECIPE = "recipe"

    @property
    def kept_days(self) -> int:
        """How long a day is kept. A month can be compared with the same one a year before; of
        owners, who may be millions, with the month before."""
        return 62 if self is LedgerAccount.OWNER else 400


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedWork:
    """Counted work. Amounts of work can be added."""

    objects: int = 0
    """Uploads that the ingest function handled."""
    bytes: int = 0
    """Bytes of the originals that it fetched whole."""
    files: int = 0
    """Stored, of all recipes."""
    stored: int = 0
    """Bytes of originals and of those files."""
    heavy: int = 0
    """Uploads that the state machine ran jobs for."""
    job_hours: float = 0.0
    """vCPU hours of jobs, and of encoding files again."""
    questions: int = 0
    """Pictures that Rekognition was asked about, once for each operation."""

    def __add__(self, other: CountedWork) -> CountedWork:
        sums = {
            one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(self)
        }
        return CountedWork(**sums)

    def __bool__(self) -> bool:
        """Whether there is any."""
        return any(getattr(self, one.name) for one in fields(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """Work that follows from one change of the catalog."""

    position: str
    """Of the change in its shard of the stream: text whose order is that of the changes."""
    time: str
    """Of the change, ISO 8601 UTC, by the table's clock."""
    asset: str
    owner: str
    """Empty for nobody."""
    recipe: str
    work: CountedWork

    @property
    def day(self) -> str:
        """ISO 8601."""
        return self.time[:10]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLine:
    """The work of a day for one name of an account."""

    day: str
    account: LedgerAccount
    name: str
    """Of the owner or the recipe; empty for all, and for what nobody owns."""
    work: CountedWork
    counted_to: str = ""
    """Time of the newest change that is in it, ISO 8601 UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """The daily limit was passed: optional work pauses until the day is over."""

    day: str
    """ISO 8601, UTC."""
    time: str
    """When it was found, ISO 8601 UTC."""
    usd: float
    """Spent by then."""
    limit: float
    """US dollars."""
    resumed: str = ""
    """When a person has let the work go on for the rest of the day; empty: nobody has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogChange:
    """An asset's record, or a job, before and after a change of the catalog."""

    position: str
    """In its shard of the stream, as of ``LedgerEntry``."""
    time: str
    """By the table's clock, ISO 8601 UTC."""
    event: Event | None = None
    """That follows for the record."""
    old: AssetRecord | None = None
    new: AssetRecord | None = None
    job: tuple[JobRecord | None, JobRecord] | None = None


def dollars(value: float) -> str:
    """US dollars for people: cents, and more digits of what is less than a dollar."""
    digits = 2 if value >= 1 or not value else 4 if value >= 0.01 else 7
    return f"${value:,.{digits}f}"


# --- what a change counts for -------------------------------------------------------------------


def work_of(event: Event) -> CountedWork:
    """The work that an event of the pipeline tells of; none of most events."""
    detail = event.detail
    size = _whole(detail.get("bytes"))
    if event.type == "asset.processing":
        return CountedWork(objects=1, heavy=1, stored=size)
    # The work was counted before; only a person decides again.
    if event.type not in _JUDGED or detail.get("was") in _MADE:
        return CountedWork()
    files = [*_list(detail.get("renditions")), *_list(detail.get("files"))]
    made = sum(_whole(one.get("bytes")) for one in files if isinstance(one, dict))
    if detail.get("was") == Status.PROCESSING.value:  # its arrival is counted already
        return CountedWork(files=len(files), stored=made)
    return CountedWork(objects=1, bytes=size, files=len(files), stored=size + made)


def work_of_record(change: CatalogChange, seconds: Mapping[str, float]) -> CountedWork:
    """The work that a change of an asset's record tells of.

    Args:
        seconds: vCPU seconds a megapixel of files that are encoded again, by format.
    """
    if change.new is None:
        return CountedWork()
    work = CountedWork(questions=asked_of(change.old, change.new))
    if change.event is not None:
        work += work_of(change.event)
        if change.old is not None and change.event.type == UPGRADED:
            work += encoded_again(change.old, change.new, seconds)
    return work


def asked_of(old: AssetRecord | None, new: AssetRecord) -> int:
    """Pictures that Rekognition was asked about for a change of a record.

    Labels that were taken over from the same bytes are counted as if they had been asked for: the
    record does not tell them apart.
    """
    found, before = new.moderation, None if old is None else old.moderation
    asked = 0
    if found is not None and found != before and found.tier is ModerationTier.REKOGNITION:
        asked += max(1, found.pictures)
    labelled = "" if old is None or old.version != new.version else old.labelled
    return asked + (new.labelled not in ("", labelled))


def encoded_again(old: AssetRecord, new: AssetRecord, seconds: Mapping[str, float]) -> CountedWork:
    """The work of files of a record that were encoded once more, at a higher effort.

    Args:
        seconds: vCPU seconds a megapixel, by format.
    """
    before = {one.key: one for one in old.renditions}
    again = [
        one for one in new.renditions if one.key in before and before[one.key].sha256 != one.sha256
    ]
    hours = sum(one.width * one.height / 1e6 * seconds.get(one.format.value, 0.0) for one in again)
    return CountedWork(files=len(again), job_hours=hours / 3600)


def work_of_job(old: JobRecord | None, new: JobRecord) -> CountedWork:
    """The work of a job that has just ended; none of any other change of it."""
    if new.state not in _ENDED or (old is not None and old.state in _ENDED):
        return CountedWork()
    try:
        seconds = float(new.detail.get(VCPU_SECONDS, ""))
    except ValueError:
        return CountedWork()
    # NaN and infinity are no times.
    return CountedWork(job_hours=seconds / 3600 if 0 <= seconds < 1e9 else 0.0)


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _whole(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
