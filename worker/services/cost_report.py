"""Cost reports from the ledger: days, owners and recipes of a month, one asset, and a forecast.

The ledger stores amounts of work. Reports apply the current prices of ``worker/prices.toml`` to
every day.
"""

from __future__ import annotations

import calendar
import math
import re
import statistics
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from worker.domain.asset import MediaType, Status, medium_of
from worker.domain.errors import AssetMissing, InputError
from worker.domain.events import event_of
from worker.domain.ledger import (
    CountedWork,
    LedgerAccount,
    LedgerLine,
    Trip,
    asked_of,
    work_of,
    work_of_job,
)
from worker.ports import Catalog, Ledger
from worker.prices import Assumptions, Prices
from worker.services.cost import CostParts, cost

HISTORY_DAYS = 28
"""Complete days that a forecast uses: four of each weekday."""
FEWEST_DAYS = 4
"""With fewer complete days there is no forecast: the spread would be too uncertain."""
WEEKDAY_DAYS = 14
"""From this number of days on, each weekday has its own mean."""
BAND = 0.8
"""Share of months whose total should lie within the band."""
THREADS = 8
"""Days that are read in parallel."""
_MONTH = re.compile(r"\d{4}-\d{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DayCost:
    """A day of the ledger."""

    day: str
    """ISO 8601, UTC."""
    usd: float
    """Without storage."""
    work: CountedWork
    recorded: bool
    """Whether the ledger has a line for the day; without one there was no work, or it was not
    counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NameCost:
    """The cost of an owner or a recipe in a month."""

    name: str
    usd: float
    share: float
    """Share of the month's cost, 0 to 1."""
    work: CountedWork


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The expected total of the month, without storage, in US dollars."""

    low: float
    expected: float
    high: float
    days: int
    """Complete days that the forecast uses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostReport:
    """A month."""

    month: str
    """``2026-11``."""
    usd: float
    """So far, without storage."""
    parts: CostParts
    days: tuple[DayCost, ...]
    """From the first of the month to its end, or to today."""
    counted_to: str
    """Time of the newest change that is counted, ISO 8601 UTC; empty if there is none."""
    forecast: Forecast | None
    """None for a past month, and with too few complete days."""
    trip: Trip | None
    """The newest trip of the month's daily limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetCost:
    """The current version of an asset."""

    asset: str
    owner: str
    recipe: str
    version: str
    work: CountedWork
    parts: CostParts


@dataclass(frozen=True, slots=True, kw_only=True)
class CostReports:
    """The use case."""

    ledger: Ledger
    catalog: Catalog
    prices: Prices
    need: Assumptions

    def month(self, month: str, *, now: datetime) -> CostReport:
        """The cost of a month, by day; the current month with a forecast.

        Args:
            month: ``2026-11``; empty for the current one.
            now: the time; days are of UTC.

        Raises:
            InputError: no month, or one that has not begun.
            TransientError: the table does not answer.
        """
        now = now.astimezone(UTC)
        first = first_day(month, now)
        last = first.replace(day=calendar.monthrange(first.year, first.month)[1])
        current = last >= now.date()
        history = HISTORY_DAYS if current else 0
        begin = first - timedelta(days=history)
        lines = self._lines(_days(begin, min(last, now.date())), LedgerAccount.ALL)
        costs = self._by_day(lines)
        days = [one for one in costs if one.day >= first.isoformat()]
        usd = math.fsum(one.usd for one in days)
        whole = sum((one.work for one in days), CountedWork())
        trip = self.ledger.tripped()
        return CostReport(
            month=first.isoformat()[:7],
            usd=usd,
            parts=cost(whole, self.prices, self.need),
            days=tuple(days),
            counted_to=max((each.counted_to for _, found in lines for each in found), default=""),
            forecast=forecast(costs, usd, last, now) if current else None,
            trip=trip if trip is not None and trip.day[:7] == first.isoformat()[:7] else None,
        )

    def names(
        self, month: str, account: LedgerAccount, *, now: datetime, name: str | None = None
    ) -> Sequence[NameCost]:
        """Owners or recipes of a month, the dearest first; or one of them alone.

        The questions to Rekognition get cheaper by their number: each name pays the month's mean.

        Raises:
            InputError: no month, or one that has not begun.
            TransientError: the table does not answer.
        """
        now = now.astimezone(UTC)
        first = first_day(month, now)
        last = first.replace(day=calendar.monthrange(first.year, first.month)[1])
        days = _days(first, min(last, now.date()))
        every = self._lines(days, LedgerAccount.ALL)
        whole = sum((each.work for _, found in every for each in found), CountedWork())
        total = cost(whole, self.prices, self.need)
        question = total.questions / whole.questions if whole.questions else 0.0
        sums: dict[str, CountedWork] = {}
        for _, found in self._lines(days, account, name):
            for each in found:
                sums[each.name] = sums.get(each.name, CountedWork()) + each.work
        return sorted(
            (self._of_name(each, work, question, total.total) for each, work in sums.items()),
            key=lambda one: (-one.usd, one.name),
        )

    def _of_name(self, name: str, work: CountedWork, question: float, total: float) -> NameCost:
        rest = cost(replace(work, questions=0), self.prices, self.need).total
        usd = rest + work.questions * question
        return NameCost(name=name, usd=usd, share=usd / total if total else 0.0, work=work)

    def asset(self, asset: str) -> AssetCost:
        """The current version of an asset, from its record and its jobs.

        Raises:
            AssetMissing: there is none.
        """
        record = self.catalog.get(asset)
        if record is None or record.status is Status.DELETED:
            raise AssetMissing(f"the catalog knows no asset {asset}")
        jobs = self.catalog.jobs(asset)
        work = CountedWork(questions=asked_of(None, record))
        work += sum((work_of_job(None, one) for one in jobs), CountedWork())
        if record.status is Status.PUBLISHED or record.status is Status.ACCEPTED:
            record = replace(record, status=Status.ACCEPTED)
        done = work_of(event_of(record))
        if medium_of(record) is MediaType.VIDEO and done:
            # The state machine has run its jobs; ingest has not fetched the original.
            done = replace(done, heavy=1, bytes=0)
        work += done
        return AssetCost(
            asset=asset,
            owner=record.owner,
            recipe=record.recipe,
            version=record.version,
            work=work,
            parts=cost(work, self.prices, self.need),
        )

    # --- days -------------------------------------------------------------------------------

    def _lines(
        self, days: Sequence[str], account: LedgerAccount, name: str | None = None
    ) -> Sequence[tuple[str, Sequence[LedgerLine]]]:
        with ThreadPoolExecutor(THREADS) as pool:
            found = pool.map(lambda day: self.ledger.lines(day, account, name), days)
            return list(zip(days, found, strict=True))

    def _by_day(self, lines: Sequence[tuple[str, Sequence[LedgerLine]]]) -> Sequence[DayCost]:
        costs = []
        asked: dict[str, int] = {}
        for day, found in lines:
            work = sum((each.work for each in found), CountedWork())
            before = asked.get(day[:7], 0)
            parts = cost(work, self.prices, self.need, asked_before=before)
            asked[day[:7]] = before + work.questions
            costs.append(DayCost(day=day, usd=parts.total, work=work, recorded=bool(found)))
        return costs


def first_day(month: str, now: datetime) -> date:
    """The first day of a month like ``2026-11``; empty for the current one.

    Raises:
        InputError: it is none, or has not begun.
    """
    if not month:
        return now.date().replace(day=1)
    try:
        if not _MONTH.fullmatch(month):
            raise ValueError("another form")
        first = date.fromisoformat(f"{month}-01")
    except ValueError:
        said = f"{ascii(month)[:40]} is no month: it has the form 2026-11"
        raise InputError(said, code="input_month") from None
    if first > now.date():
        raise InputError(f"{month} has not begun", code="input_month")
    return first


def _days(first: date, last: date) -> Sequence[str]:
    return [
        (first + timedelta(days=number)).isoformat() for number in range((last - first).days + 1)
    ]


# --- the forecast -------------------------------------------------------------------------------


def forecast(costs: Sequence[DayCost], spent: float, last: date, now: datetime) -> Forecast | None:
    """The sum at the end of a month: what is spent, and the days that are left at their mean.

    From two weeks on each day of the week has its own mean. The band is a prediction interval of
    the normal model with Student's t: spread of the days that are left, and uncertainty of the
    means (Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd edition, 5.5). A
    day without a line counts as 0, but days before the first line are no history.

    Args:
        costs: of consecutive days up to today.
        spent: in the month so far, today included.
        last: day of the month.
        now: UTC.

    Returns:
        None with fewer than ``FEWEST_DAYS`` complete days.
    """
    today = now.date().isoformat()
    complete = [one for one in costs if one.day < today]
    begun = next((at for at, one in enumerate(complete) if one.recorded), len(complete))
    known = complete[begun:][-HISTORY_DAYS:]
    if len(known) < FEWEST_DAYS:
        return None
    by_weekday = len(known) >= WEEKDAY_DAYS
    groups: dict[int, list[float]] = {}
    for one in known:
        groups.setdefault(_group(date.fromisoformat(one.day), by_weekday), []).append(one.usd)
    means = {group: statistics.fmean(values) for group, values in groups.items()}
    squares = math.fsum(
        (value - means[group]) ** 2 for group, values in groups.items() for value in values
    )
    freedom = len(known) - len(groups)
    variance = squares / freedom
    # Days that are left, today's rest as a part of one.
    gone = (now - now.replace(hour=0, minute=0, second=0, microsecond=0)) / timedelta(days=1)
    left: dict[int, float] = {_group(now.date(), by_weekday): 1 - gone}
    for number in range(1, (last - now.date()).days + 1):
        group = _group(now.date() + timedelta(days=number), by_weekday)
        left[group] = left.get(group, 0.0) + 1
    rest = math.fsum(days * means[group] for group, days in left.items())
    spread = math.fsum(days + days**2 / len(groups[group]) for group, days in left.items())
    half = student_t(freedom) * math.sqrt(variance * spread)
    return Forecast(
        low=max(spent, spent + rest - half),
        expected=spent + rest,
        high=spent + rest + half,
        days=len(known),
    )


def _group(day: date, by_weekday: bool) -> int:  # noqa: FBT001 - two kinds of groups
    return day.weekday() if by_weekday else 0


def student_t(freedom: int) -> float:
    """The quantile of Student's t that ``BAND`` lies within, by an expansion about the normal one.

    Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5; at 3 degrees of freedom it
    errs by 0.1 %.
    """
    z = statistics.NormalDist().inv_cdf((1 + BAND) / 2)
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )
