"""Updates the ledger: counts work from changes of the catalog, and trips the breaker.

The work of each change is counted once (``ports.Ledger``). ``services.cost`` converts it to money
when a report is made.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.domain import metrics
from worker.domain.errors import ConfigurationError, EngineError
from worker.domain.image import Format
from worker.domain.ledger import (
    CatalogChange,
    CountedWork,
    LedgerAccount,
    LedgerEntry,
    Trip,
    work_of_job,
    work_of_record,
)
from worker.ports import Catalog, Ledger
from worker.prices import Assumptions, Prices
from worker.services.breaker import wording
from worker.services.cost import cost

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCount:
    """The result of a batch of changes."""

    work: CountedWork
    """The newly counted work."""
    usd: float
    """Its cost."""
    unreadable: int = 0
    """Number of invalid changes. The outbox keeps them as dead letters."""
    tripped: Trip | None = None
    """Whether this batch has passed the daily limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bookkeeper:
    """The use case.

    Args:
        read: parses a record of the stream.
        catalog: gives the owner of a job's asset.
        limit: US dollars a day beyond which optional work pauses; 0 for none.
    """

    read: Callable[[Mapping[str, Any]], CatalogChange | None]
    ledger: Ledger
    catalog: Catalog
    prices: Prices
    need: Assumptions
    limit: float = 0.0
    _asked: dict[str, int] = field(default_factory=dict)
    """Questions to Rekognition on past days."""

    def count(self, shard: str, records: Sequence[Mapping[str, Any]]) -> BatchCount:
        """Count the work of changes of one shard of the stream.

        Args:
            shard: id of the shard. Positions are compared within a shard: without its id work would
                be lost.

        Raises:
            ConfigurationError: the shard has no id.
            TransientError: the table does not answer; the same batch again completes it.
        """
        if not shard:
            raise ConfigurationError(
                "the event names no shard: the event source needs a tumbling window"
            )
        entries: dict[str, LedgerEntry] = {}
        unreadable = 0
        for record in records:
            try:
                change = self.read(record)
            except EngineError as error:
                _log.error("a change is not counted: %s: %s", error.code, error.message)
                unreadable += 1
                continue
            entry = None if change is None else self._entry(change)
            if entry is not None:
                entries[entry.position] = entry
        new = self.ledger.add(shard, [entries[at] for at in sorted(entries)])
        usd, tripped = 0.0, None
        for day in sorted(new):
            spent, whole = self._spent(day, new[day])
            usd += spent
            if self.limit and whole > self.limit and day == max(new):
                tripped = self._trip(day, max(one.time for one in entries.values()), whole)
        if new:
            metrics.add(metrics.SPEND, usd)
        work = sum(new.values(), CountedWork())
        return BatchCount(work=work, usd=usd, unreadable=unreadable, tripped=tripped)

    def _entry(self, change: CatalogChange) -> LedgerEntry | None:
        """The ledger entry of a change; None if it contains no work."""
        record = change.new
        if change.job is not None:
            work = work_of_job(*change.job)
            # Few uploads have jobs. If the asset is gone meanwhile, the job has no owner.
            record = self.catalog.get(change.job[1].asset) if work else None
            asset = change.job[1].asset
        else:
            work = work_of_record(change, encoding_seconds(self.need))
            asset = "" if record is None else record.asset
        if not work:
            return None
        return LedgerEntry(
            position=change.position,
            time=change.time,
            asset=asset,
            owner="" if record is None else record.owner,
            recipe="" if record is None else record.recipe,
            work=work,
        )

    def _spent(self, day: str, new: CountedWork) -> tuple[float, float]:
        """The cost of new work of a day, and of the whole day including it, in US dollars."""
        whole = sum(
            (line.work for line in self.ledger.lines(day, LedgerAccount.ALL)), CountedWork()
        )
        before = self._asked_before(day) if whole.questions else 0
        earlier = before + max(0, whole.questions - new.questions)
        return (
            cost(new, self.prices, self.need, asked_before=earlier).total,
            cost(whole, self.prices, self.need, asked_before=before).total,
        )

    def _asked_before(self, day: str) -> int:
        """Questions to Rekognition on earlier days of the month. Each day is read once."""
        earlier = [f"{day[:8]}{number:02}" for number in range(1, int(day[8:]))]
        for one in earlier:
            if one not in self._asked:
                lines = self.ledger.lines(one, LedgerAccount.ALL)
                self._asked[one] = sum(line.work.questions for line in lines)
        return sum(self._asked[one] for one in earlier)

    def _trip(self, day: str, time: str, usd: float) -> Trip | None:
        found = Trip(day=day, time=time, usd=usd, limit=self.limit)
        if not self.ledger.trip(found):
            return None
        _log.error("optional work pauses: %s", wording(found))
        return found


def encoding_seconds(need: Assumptions) -> Mapping[str, float]:
    """vCPU seconds a megapixel of files that are encoded again, by format."""
    return {
        Format.JXL.value: need.jxl_upgrade_seconds,
        Format.AVIF.value: need.avif_upgrade_seconds,
    }
