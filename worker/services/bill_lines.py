"""Collects the lines of a bill: an amount becomes a line for each tier of its price."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from worker.domain.bill import BillLine
from worker.domain.errors import EngineError
from worker.prices import Prices, known


@dataclass(slots=True)
class BillLines:
    """Collects lines. Several amounts of one tiered price add up through its tiers."""

    price: Prices
    found: list[BillLine] = field(default_factory=list)
    used: dict[str, float] = field(default_factory=dict)

    def add(self, group: str) -> Callable[[str, float, str, str, str], None]:
        """A function that adds lines to a group: name, amount, unit, name of the price, formula.

        It adds a line for each tier of the price that the amount reaches.
        """
        return partial(self._add, group=group)

    def plain(self, group: str) -> Callable[[str, float, str, float, str], None]:
        """The same with a price in US dollars that is derived from other prices."""
        return partial(self._plain, group=group)

    def _add(
        self, name: str, amount: float, unit: str, at: str, formula: str, *, group: str
    ) -> None:
        if not _is_some(name, amount):
            return
        known(self.price, at)
        start = self.used.get(at, 0.0)
        end = self.used[at] = start + amount
        reached = [
            (max(low, start), min(high, end), usd)
            for low, high, usd in self.price.tiers(at)
            if low < end and high > start
        ]
        for low, high, usd in reached:
            told = formula
            if len(reached) > 1:
                told += f"; from {low:,.0f} " + (f"to {high:,.0f}" if high < end else "on")
            self._plain(name, high - low, unit, usd, told, group=group)

    def _plain(
        self, name: str, amount: float, unit: str, price: float, formula: str, *, group: str
    ) -> None:
        if _is_some(name, amount) and price:
            usd = amount * price
            self.found.append(BillLine(group, name, amount, unit, price, usd, formula))


def _is_some(name: str, amount: float) -> bool:
    """Whether the amount is above zero.

    Raises:
        EngineError: the amount is negative or not a number: a bill without the line would be wrong.
    """
    if not amount >= 0:
        raise EngineError(f"the amount of {name!r} is {amount}")
    return amount > 0
