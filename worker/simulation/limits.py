"""Rates that AWS allows: requests of a prefix in S3, write units of a table, calls of an API.

A limit counts in whole seconds, because AWS states its limits by the second. Work is reserved for
the second in which it will be done, which may be some seconds ahead: a batch plans all of its
pictures at its start.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from worker.simulation.rules import Rules

NEAR = 0.98
"""Share of a second's limit from which the second counts as full."""


@dataclass(slots=True, kw_only=True)
class RateLimit:
    """A rate, in units a second, which may grow while it is used."""

    name: str
    units: float
    """Of an upload."""
    capacity: float
    """Units a second, as it is now."""
    first: float = 0.0
    """Units a second at the beginning."""
    grow: Callable[[RateLimit, float], None] = lambda _limit, _minute: None
    """Called after each minute with the mean units a second of that minute."""
    lifted: bool = False
    """As if there were no limit."""
    share: float = 1.0
    """Of the capacity that a fault leaves."""
    used: dict[int, float] = field(default_factory=dict)
    """Units by second."""
    full_seconds: int = 0
    first_full: float = math.nan
    waited: float = 0.0
    """Seconds that uploads have waited for it inside of the function."""
    refused: int = 0
    """Uploads that gave up and came back later."""
    recently: float = 0.0
    """Share of the last ten seconds or so that were full."""
    peak: float = 0.0
    """Most that a second has used, as a share of the capacity then."""

    def __post_init__(self) -> None:
        """Keep what it begins with."""
        self.first = self.capacity

    def reserve(self, at: float, longest_wait: float) -> float | None:
        """Take an upload's units at a time.

        Returns:
            Seconds to wait; None if it takes longer than that, and then nothing is taken.
        """
        second, units, used = int(at), self.units, self.used
        capacity = max(self.capacity * self.share, units)
        taken = used.get(second, 0.0) + units
        if taken <= capacity:
            used[second] = taken
            return 0.0
        for later in range(second + 1, int(at + longest_wait) + 1):
            taken = used.get(later, 0.0) + units
            if taken <= capacity:
                used[later] = taken
                self.waited += later - at
                return later - at
        self.refused += 1
        self.waited += longest_wait
        return None

    def close(self, second: int) -> float:
        """Look at a second that is over; returns its units."""
        used = self.used.pop(second, 0.0)
        share = used / self.capacity
        self.peak = max(self.peak, share)
        room = max(self.capacity * self.share, self.units)
        full = used > 0 and used + self.units > room * NEAR and not self.lifted
        self.recently = 0.9 * self.recently + 0.1 * full
        if full:
            self.full_seconds += 1
            if math.isnan(self.first_full):
                self.first_full = float(second)
        return used


def splitting(rules: Rules) -> Callable[[RateLimit, float], None]:
    """A prefix of S3: after long use near its limit S3 makes two partitions of each one."""
    near = 0.0

    def grow(limit: RateLimit, mean: float) -> None:
        nonlocal near
        near = near + 60 if mean > rules.split_use * limit.capacity else 0.0
        if near >= rules.split_seconds:
            near = 0.0
            limit.capacity *= 2

    return grow


def on_demand(rules: Rules, warm: float) -> Callable[[RateLimit, float], None]:
    """A table on demand: twice the peak of more than half an hour ago, at least what is warm."""
    minutes: list[float] = []

    def grow(limit: RateLimit, mean: float) -> None:
        minutes.append(mean)
        # The peak so far is the table's for good: warm throughput does not fall.
        earlier = minutes[: -int(rules.warm_seconds // 60)]
        peak = max(earlier, default=0.0)
        limit.capacity = min(
            rules.table_writes, max(warm, limit.capacity, rules.warm_growth * peak)
        )

    return grow


def provisioned(rules: Rules, most: float, target: float) -> Callable[[RateLimit, float], None]:
    """Provisioned capacity that follows the load up to a bound."""
    above = 0.0

    def grow(limit: RateLimit, mean: float) -> None:
        nonlocal above
        above = above + 60 if mean > target * limit.capacity else 0.0
        if above >= rules.follow_seconds:
            limit.capacity = min(most, mean / target)

    return grow
