"""Collects the lines of a bill: an amount becomes a line for each step of its price."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from worker.domain.bill import BillLine
from worker.domain.errors import EngineError
from worker.prices import Prices, known


@dataclass(slots=True)
class BillLines:
    """Collects lines. Amounts of one tiered price go on where the line before has ended."""

    price: Prices
    found: list[BillLine] = field(default_factory=list)
    used: dict[str, float] = field(default_factory=dict)

    def add(self, group: str) -> Callable[[str, float, str, str, str], None]:
        """What adds lines to a group: name, amount, unit, name of the price, formula.

        There is a line for each step of the price that the amount reaches.
        """
        return partial(self._add, group=group)

    def plain(self, group: str) -> Callable[[str, float, str, float, str], None]:
        """The same at a price in US dollars, which is derived from others."""
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
    """Whether there is anything to pay for.

    Raises:
        EngineError: the amount is negative or no number: a bill without the line would be wrong.
    """
    if not amount >= 0:
        raise EngineError(f"the amount of {name!r} is {amount}")
    return amount > 0
