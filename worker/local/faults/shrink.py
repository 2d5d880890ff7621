"""Makes a list that fails smaller, until nothing can be left out of it any more.

Delta debugging, ``ddmin``: A. Zeller, R. Hildebrandt, "Simplifying and Isolating Failure-Inducing
Input", IEEE Transactions on Software Engineering 28(2), 2002, figure 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

Item = TypeVar("Item")


def smallest(items: Sequence[Item], fails: Callable[[Sequence[Item]], bool]) -> Sequence[Item]:
    """Return a part of the items that fails, and of which no item can be left out.

    Args:
        items: fail together. None at all may fail as well.
        fails: whether some of the items, in their order, still fail. Of the same items it is asked
            once.
    """
    known: dict[tuple[int, ...], bool] = {}

    def failing(chosen: Sequence[int]) -> bool:
        name = tuple(chosen)
        if name not in known:
            known[name] = fails([items[number] for number in chosen])
        return known[name]

    left = list(range(len(items)))
    if not left or failing([]):
        return []
    parts = 2
    while len(left) > 1:
        size = len(left) / parts
        cuts = [round(number * size) for number in range(parts + 1)]
        pieces = [left[a:b] for a, b in pairwise(cuts) if a < b]
        rests = [[one for one in left if one not in piece] for piece in pieces]
        found = next(
            (one for one in (*pieces, *rests) if len(one) < len(left) and failing(one)), None
        )
        if found is None:
            if parts >= len(left):
                break
            parts = min(2 * parts, len(left))
        else:
            parts = 2 if found in pieces else max(parts - 1, 2)
            left = found
    return [items[number] for number in left]
