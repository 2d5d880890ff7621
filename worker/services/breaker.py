"""The breaker: beyond the daily limit of cost, optional work pauses for the rest of the day.

Intake never stops: uploads are processed, moderated and announced whatever the cost. Only work that
can also be done tomorrow pauses.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from worker.domain import metrics
from worker.domain.errors import Paused, SafelightError
from worker.domain.ledger import Trip, dollars
from worker.ports import Ledger

SECONDS = 60.0
"""How long an answer of the ledger is cached, and so the delay at the beginning and end of a
pause."""

_log = logging.getLogger(__name__)


class OptionalWork(StrEnum):
    """Kinds of optional work."""

    UPGRADE = "upgrade"
    """Encoding popular files again."""
    MODERATION = "moderation"
    """Asking Rekognition about a sample of the pictures that the classifier passes."""
    REMAKE = "remake"
    """Making an asset again from its original."""
    BACKFILL = "backfill"
    """Enqueueing existing objects."""
    JOB = "job"
    """Jobs that people start, unless they are urgent."""


def never(_: OptionalWork) -> bool:
    """Never pauses work; the default."""
    return False


def _utc() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True, kw_only=True)
class Breaker:
    """Tells whether optional work is paused. Thread-safe; without a limit it does not read the
    ledger.

    Args:
        ledger: None without a ledger.
        limit: US dollars a day; 0 for none.
        now: the time; days are of UTC.
        clock: seconds, monotonic.
    """

    ledger: Ledger | None = None
    limit: float = 0.0
    now: Callable[[], datetime] = field(default=_utc)
    clock: Callable[[], float] = field(default=time.monotonic)
    _known: Trip | None = field(default=None, init=False)
    _until: float = field(default=float("-inf"), init=False)

    def paused(self) -> Trip | None:
        """The trip that pauses optional work now; None if work is not paused.

        If the ledger does not answer, the last known state stays in force.
        """
        if self.ledger is None or not self.limit:
            return None
        if self.clock() >= self._until:
            self._until = self.clock() + SECONDS
            try:
                self._known = self.ledger.tripped()
            except SafelightError as error:
                _log.warning("the ledger does not answer: %s: %s", error.code, error.message)
        trip = self._known
        today = self.now().astimezone(UTC).strftime("%Y-%m-%d")
        return trip if trip is not None and trip.day == today and not trip.resumed else None

    def stops(self, work: OptionalWork) -> bool:
        """Whether a kind of work is paused; a pause is counted and logged."""
        try:
            self.require(work)
        except Paused as error:
            _log.warning("%s", error.message)
            return True
        return False

    def require(self, work: OptionalWork) -> None:
        """Raise ``Paused`` if a kind of work is paused, and count it."""
        trip = self.paused()
        if trip is not None:
            metrics.add(metrics.PAUSED, 1, work=work.value)
            raise Paused(f"{work.value} is put off: {wording(trip)}")


def wording(trip: Trip) -> str:
    """Why work is paused, and until when, for a person."""
    return (
        f"{dollars(trip.usd)} were spent on {trip.day}, more than the daily limit of"
        f" {dollars(trip.limit)}; it goes on at midnight UTC, or after safelight cost resume"
    )
