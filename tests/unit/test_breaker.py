"""The breaker: optional work pauses for a day, whatever the clocks and the table do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

import pytest

from tests.unit.memory_ledger import MemoryLedger
from worker.domain import metrics
from worker.domain.errors import Paused, Unreachable
from worker.domain.ledger import Trip
from worker.services.breaker import SECONDS, Breaker, OptionalWork

TRIP = Trip(day="2026-11-30", time="2026-11-30T12:00:00Z", usd=101.5, limit=100.0)


class Silent(MemoryLedger):
    """May not answer."""

    silent = False
    asked = 0

    def tripped(self) -> Trip | None:
        """See the port."""
        self.asked += 1
        if self.silent:
            raise Unreachable("told so by a test")
        return super().tripped()


@dataclass
class Times:
    """Both clocks."""

    now: datetime = datetime(2026, 11, 30, 12, 30, tzinfo=UTC)
    seconds: float = 0.0

    def later(self, **by: float) -> None:
        """Let time pass on both."""
        self.now += timedelta(**by)
        self.seconds += timedelta(**by).total_seconds()


@pytest.fixture
def times() -> Times:
    """Half past noon."""
    return Times()


@pytest.fixture
def ledger() -> Silent:
    """An empty ledger."""
    return Silent()


@pytest.fixture
def breaker(ledger: Silent, times: Times) -> Breaker:
    """A breaker with a limit."""
    return Breaker(ledger=ledger, limit=100.0, now=lambda: times.now, clock=lambda: times.seconds)


def test_work_pauses_until_midnight(breaker: Breaker, ledger: Silent, times: Times) -> None:
    """UTC, whatever the zone of the clock; no summer time moves it."""
    ledger.trip(TRIP)
    assert breaker.paused() == TRIP
    times.now = datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC).astimezone(
        timezone(timedelta(hours=14))
    )
    assert breaker.paused() == TRIP
    times.now += timedelta(seconds=2)
    assert breaker.paused() is None


def test_a_person_lets_it_go_on(breaker: Breaker, ledger: Silent, times: Times) -> None:
    """Within the minute for which an answer is believed."""
    ledger.trip(TRIP)
    assert breaker.stops(OptionalWork.JOB)
    ledger.resume(TRIP.day, time="now")
    times.later(seconds=SECONDS)
    assert not breaker.stops(OptionalWork.JOB)


def test_the_table_is_asked_once_a_minute(breaker: Breaker, ledger: Silent, times: Times) -> None:
    """Each upload may ask; a begin and an end come a minute late at most."""
    for _ in range(1_000):
        assert breaker.paused() is None
    assert ledger.asked == 1
    ledger.trip(TRIP)
    assert breaker.paused() is None
    times.later(seconds=SECONDS)
    assert breaker.paused() == TRIP
    assert ledger.asked == 2


def test_without_a_limit_nobody_is_asked(ledger: Silent) -> None:
    """A trip of a limit that was removed does not pause either."""
    ledger.trip(TRIP)
    now = datetime(2026, 11, 30, 13, tzinfo=UTC)
    assert Breaker(ledger=ledger, limit=0.0, now=lambda: now).paused() is None
    assert Breaker(ledger=None, limit=5.0, now=lambda: now).paused() is None
    assert ledger.asked == 0


@pytest.mark.parametrize("tripped", [True, False])
def test_a_table_that_does_not_answer_changes_nothing(
    breaker: Breaker, ledger: Silent, times: Times, *, tripped: bool
) -> None:
    """The last known state stays in force: an outage neither pauses nor resumes work."""
    if tripped:
        ledger.trip(TRIP)
    before = breaker.paused()
    ledger.silent = True
    times.later(seconds=SECONDS)
    assert breaker.paused() == before


def test_what_is_put_off_is_counted_and_says_why(breaker: Breaker, ledger: Silent) -> None:
    """The sum, the limit, and when it goes on; an error that may be tried again."""
    ledger.trip(TRIP)
    metrics.take()
    with pytest.raises(Paused, match=r"remake is put off: \$101\.50 .* \$100\.00; .* midnight UTC"):
        breaker.require(OptionalWork.REMAKE)
    (found,) = metrics.take()
    assert (found.metric, found.labels, found.values) == (
        metrics.PAUSED,
        (("work", "remake"),),
        (1,),
    )
    assert Paused.retryable


def test_every_kind_of_work_is_a_value_of_the_metric() -> None:
    """Else it would be counted as other."""
    assert metrics.PAUSED.dimensions["work"] == tuple(one.value for one in OptionalWork)
