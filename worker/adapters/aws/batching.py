"""Cutting entries into requests that keep to a service's limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from worker.domain.errors import EngineError

Entry = TypeVar("Entry")


def batches(
    entries: Sequence[Entry], size_of: Callable[[Entry], int], *, count: int, size: int
) -> list[list[Entry]]:
    """The entries in order, cut so that no batch has more than ``count`` or ``size`` bytes.

    Raises:
        EngineError: one entry alone is larger than ``size``; nothing has been sent then.
    """
    cut: list[list[Entry]] = []
    held = 0
    for entry in entries:
        own = size_of(entry)
        if own > size:
            raise EngineError(f"a message of {own} bytes; {size} is the most")
        if not cut or len(cut[-1]) == count or held + own > size:
            cut.append([])
            held = 0
        cut[-1].append(entry)
        held += own
    return cut
