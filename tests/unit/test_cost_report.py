"""The report: sums that can be checked by hand, odd months, and a forecast that keeps its band."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from tests.contract.catalogs import entry, record
from tests.unit.fakes import MemoryCatalog
from tests.unit.memory_ledger import WORK, MemoryLedger, counted
from worker import prices
from worker.domain.asset import JobRecord
from worker.domain.errors import AssetMissing, InputError
from worker.domain.ledger import VCPU_SECONDS, CountedWork, LedgerAccount, Trip
from worker.services.cost import cost
from worker.services.cost_report import (
    CostReports,
    DayCost,
    forecast,
    student_t,
)

PRICE, NEED = prices.load()
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


def reports(ledger: MemoryLedger, catalog: MemoryCatalog | None = None) -> CostReports:
    """The use case."""
    return CostReports(ledger=ledger, catalog=catalog or MemoryCatalog(), prices=PRICE, need=NEED)


def usd(work: CountedWork) -> float:
    """The cost of some work."""
    return cost(work, PRICE, NEED).total


def day(number: int, usd: float, *, recorded: bool = True, month: int = 11) -> DayCost:
    """A day that costs so much."""
    return DayCost(
        day=f"2026-{month:02}-{number:02}", usd=usd, work=CountedWork(), recorded=recorded
    )


def test_a_month_is_the_sum_of_its_days() -> None:
    """Each day is there, also one without work, which says that nothing is recorded."""
    ledger = MemoryLedger()
    ledger.add("s", [counted(1, time="2026-11-02T00:00:00Z"), counted(2), counted(3)])
    found = reports(ledger).month("2026-11", now=NOON)

    assert len(found.days) == 30
    assert {one.day: one.recorded for one in found.days if one.usd} == {
        "2026-11-02": True,
        "2026-11-30": True,
    }
    assert not found.days[0].recorded
    assert found.usd == pytest.approx(usd(WORK + WORK + WORK)) == pytest.approx(found.parts.total)
    assert found.counted_to == counted(1).time


def test_a_month_without_data_costs_nothing() -> None:
    """It is no error: every day is there, and there is no forecast."""
    found = reports(MemoryLedger()).month("", now=NOON)
    assert (found.month, found.usd, found.counted_to, found.forecast) == ("2026-11", 0.0, "", None)
    assert len(found.days) == 30


@pytest.mark.parametrize(
    "month", ["2026-13", "2026-1", "26-11", "november", "2026-12", "9999-12", "0000-01", "2026-11 "]
)
def test_what_is_no_month_is_refused(month: str) -> None:
    """Also one that has not begun."""
    with pytest.raises(InputError) as caught:
        reports(MemoryLedger()).month(month, now=NOON)
    assert caught.value.code == "input_month"


def test_a_month_is_of_utc() -> None:
    """On the first morning in Auckland it is still the month before, as on the bill."""
    auckland = datetime(2026, 12, 1, 9, tzinfo=timezone(timedelta(hours=13)))
    assert reports(MemoryLedger()).month("", now=auckland).month == "2026-11"


def test_names_add_up_to_the_month() -> None:
    """Owners and recipes each, with questions at the month's mean price; the dearest first."""
    ledger = MemoryLedger()
    asked = CountedWork(objects=1, bytes=10**6, files=6, questions=2_000_000)
    ledger.add(
        "s",
        [
            counted(1, owner="anna", recipe="a", time="2026-11-03T00:00:00Z"),
            counted(2, owner="ben", recipe="a", work=asked),
            counted(3, owner="", recipe="b", work=asked),
        ],
    )
    service = reports(ledger)
    whole = service.month("2026-11", now=NOON).usd
    for account in (LedgerAccount.OWNER, LedgerAccount.RECIPE):
        found = service.names("2026-11", account, now=NOON)
        assert sum(one.usd for one in found) == pytest.approx(whole)
        assert sum(one.share for one in found) == pytest.approx(1.0)
        assert [one.usd for one in found] == sorted((one.usd for one in found), reverse=True)
    (anna,) = service.names("2026-11", LedgerAccount.OWNER, now=NOON, name="anna")
    assert anna.usd == pytest.approx(usd(WORK))
    assert not service.names("2026-11", LedgerAccount.OWNER, now=NOON, name="nobody")


def test_an_asset_costs_its_upload_and_its_jobs() -> None:
    """Of its current version; what is gone has no cost to tell."""
    catalog = MemoryCatalog()
    made = catalog.commit(record(1), entry(record(1)))
    catalog.put_job(
        JobRecord(
            asset=made.asset,
            id="j",
            kind="denoise",
            state="SUCCEEDED",
            created_at="a",
            updated_at="b",
            detail={VCPU_SECONDS: "1800"},
        )
    )
    found = reports(MemoryLedger(), catalog).asset(made.asset)
    assert (found.work.objects, found.work.files, found.work.job_hours) == (1, 6, 0.5)
    assert found.parts.jobs == pytest.approx(0.5 * PRICE.vcpu_hour)
    with pytest.raises(AssetMissing):
        reports(MemoryLedger(), catalog).asset(record(2).asset)


def test_a_trip_is_told_in_its_month_alone() -> None:
    """That of another month says nothing about this one."""
    ledger = MemoryLedger()
    trip = Trip(day="2026-11-29", time="t", usd=2.0, limit=1.0)
    ledger.trip(trip)
    assert reports(ledger).month("2026-11", now=NOON).trip == trip
    assert reports(ledger).month("2026-10", now=NOON).trip is None


# --- the forecast -------------------------------------------------------------------------------


def test_a_forecast_by_hand() -> None:
    """Four days of 8, 10, 12 and 10, noon of the fifth with 4 spent, two days after it.

    Mean 10, so 2.5 days cost 25 and the month 40 + 4 + 25. The variance is (4 + 0 + 4 + 0) / 3, the
    spread 2.5 + 2.5^2 / 4, and t of 3 degrees of freedom 1.638 for 80 %.
    """
    costs = [day(1, 8.0), day(2, 10.0), day(3, 12.0), day(4, 10.0), day(5, 4.0)]
    found = forecast(costs, 44.0, date(2026, 11, 7), datetime(2026, 11, 5, 12, tzinfo=UTC))
    assert found is not None
    half = 1.638 * (8 / 3 * (2.5 + 2.5**2 / 4)) ** 0.5
    assert found.expected == pytest.approx(69.0)
    assert found.high == pytest.approx(69.0 + half, rel=1e-3)
    assert found.low == pytest.approx(69.0 - half, rel=1e-3)
    assert found.days == 4


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(3, 1.638), (4, 1.533), (10, 1.372), (27, 1.314), (1_000, 1.282)]
)
def test_quantiles_are_those_of_the_tables(freedom: int, quantile: float) -> None:
    """Two-sided 80 %, to the digits that tables of Student's t have."""
    assert student_t(freedom) == pytest.approx(quantile, abs=0.002)


def test_too_few_days_give_no_forecast() -> None:
    """Three days, and any number of days before the ledger began."""
    costs = [day(number, 0.0, recorded=False) for number in range(1, 20)]
    costs += [day(number, 5.0) for number in (20, 21, 22, 23)]
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert forecast(costs, 20.0, date(2026, 11, 30), now) is None
    later = forecast([*costs, day(24, 1.0)], 21.0, date(2026, 11, 30), now + timedelta(days=1))
    assert later is not None
    assert later.expected == pytest.approx(21.0 + 6.5 * 5.0)


def test_days_without_work_count_as_nothing() -> None:
    """Once the ledger has begun, a day without a line is a quiet day."""
    costs = [day(1, 6.0), day(2, 0.0, recorded=False), day(3, 6.0), day(4, 0.0, recorded=False)]
    now = datetime(2026, 11, 5, tzinfo=UTC)
    found = forecast([*costs, day(5, 0.0)], 12.0, date(2026, 11, 5), now)
    assert found is not None
    assert found.expected == pytest.approx(15.0)


def test_each_day_of_the_week_has_its_own_mean_after_two_weeks() -> None:
    """Quiet weekends are foreseen: no spread is left, and the band closes."""
    quiet = {5, 6}
    costs = [
        day(number, 1.0 if date(2026, 11, number).weekday() in quiet else 10.0)
        for number in range(1, 22)
    ]
    now = datetime(2026, 11, 22, tzinfo=UTC)  # a Sunday
    found = forecast([*costs, day(22, 0.0)], 0.0, date(2026, 11, 30), now)
    assert found is not None
    # Sundays 22 and 29, Saturday 28, and six working days.
    assert found.expected == pytest.approx(3 * 1.0 + 6 * 10.0)
    assert found.high == pytest.approx(found.low)


def test_the_band_never_lies_below_what_is_spent() -> None:
    """Money that is gone does not come back."""
    costs = [day(number, value) for number, value in enumerate((0.0, 100.0, 0.0, 90.0), start=1)]
    now = datetime(2026, 11, 5, tzinfo=UTC)
    found = forecast([*costs, day(5, 0.0)], 190.0, date(2026, 11, 30), now)
    assert found is not None
    assert found.low == 190.0


def test_the_band_holds_what_it_promises() -> None:
    """Of 2,000 made months, whose days vary by a third, about 80 % end within the band."""
    chance = random.Random(17)
    inside = 0
    for _ in range(2_000):
        days = [max(0.0, chance.gauss(30.0, 10.0)) for _ in range(30)]
        known = 10
        costs = [day(number + 1, usd) for number, usd in enumerate(days[:known])]
        now = datetime(2026, 11, known + 1, tzinfo=UTC)
        found = forecast([*costs, day(known + 1, 0.0)], sum(days[:known]), date(2026, 11, 30), now)
        assert found is not None
        inside += found.low <= sum(days) <= found.high
    assert 0.77 <= inside / 2_000 <= 0.83
