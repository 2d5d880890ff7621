"""Compares ``prices.toml`` with AWS's price list, and writes changed prices into its text.

The list has a file for each offer and region (AWS Price List Bulk API). A price names its offer and
usage type; usage types of most regions have a prefix there, ``EUC1-Requests-Tier1``. A first tier
at no cost is a free tier, which the bills ignore.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from worker.domain.errors import InputError
from worker.prices import HOME, Figure

Steps = tuple[tuple[float, float], ...]
"""Price tiers: lower bound of the amount, and US dollars for one unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceChange:
    """A price of the list."""

    name: str
    old: float | None
    """The old price; None if it was unknown."""
    steps: Steps
    changed: bool
    published: str
    """Date of the list, ISO 8601."""

    @property
    def new(self) -> float:
        """The first tier of the new price."""
        return self.steps[0][1]


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceComparison:
    """The result of a comparison."""

    changes: tuple[PriceChange, ...]
    """All compared prices, changed or not."""
    missing: tuple[str, ...]
    """Prices whose usage type is missing in the list, or ambiguous."""
    by_hand: tuple[str, ...]
    """Prices without a usage type, to be compared by hand."""


def compare(
    known: Iterable[Figure],
    lines: Sequence[Figure],
    offer: Callable[[str, bool], Mapping[str, Any]],
) -> PriceComparison:
    """Compare all prices.

    Args:
        known: the known prices of the region.
        lines: all prices of :data:`HOME`, with their offers and usage types.
        offer: reads the file of an offer, for the region or worldwide.

    Raises:
        InputError: a file is not a price list.
    """
    old = {one.name: one for one in known}
    found, missing, by_hand = [], [], []
    for line in lines:
        if not line.usd:
            continue
        if not line.offer:
            by_hand.append(line.name)
            continue
        listed = offer(line.offer, line.everywhere)
        steps = steps_of(listed, line.usage)
        if not steps:
            missing.append(line.name)
            continue
        mine = old.get(line.name)
        found.append(
            PriceChange(
                name=line.name,
                old=mine.value if mine else None,
                steps=steps,
                changed=mine is None or not _same(((0.0, mine.value), *mine.above), steps),
                published=str(listed.get("publicationDate", ""))[:10],
            )
        )
    return PriceComparison(changes=tuple(found), missing=tuple(missing), by_hand=tuple(by_hand))


def _same(mine: Steps, listed: Steps) -> bool:
    return len(mine) == len(listed) and all(
        math.isclose(one, other, rel_tol=1e-9)
        for pair in zip(mine, listed, strict=True)
        for one, other in zip(*pair, strict=True)
    )


def steps_of(offer: Mapping[str, Any], usage: str) -> Steps:
    """The price tiers of a usage type; empty if it is missing, or if its products differ.

    Raises:
        InputError: ``input_invalid``: this is not an offer of the price list.
    """
    pattern = re.compile(rf"(?:[A-Z0-9]+-)?{re.escape(usage)}")
    try:
        found = {
            _steps(term)
            for sku, product in offer["products"].items()
            if pattern.fullmatch(str(product.get("attributes", {}).get("usagetype", "")))
            for term in offer["terms"]["OnDemand"].get(sku, {}).values()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"this is no file of AWS's price list: {error!r}") from error
    found.discard(())
    return found.pop() if len(found) == 1 else ()


def _steps(term: Mapping[str, Any]) -> Steps:
    rows = sorted(
        (float(row["beginRange"]), float(row["pricePerUnit"]["USD"]))
        for row in term["priceDimensions"].values()
    )
    if any(not math.isfinite(usd) or usd < 0 for _, usd in rows):
        raise ValueError("a price is negative or no number")
    while rows and rows[0][1] == 0:
        rows.pop(0)
    return ((0.0, rows[0][1]), *rows[1:]) if rows else ()


def parse_offer(text: bytes) -> Mapping[str, Any]:
    """Parse a file of the list.

    Raises:
        InputError: ``input_invalid``: it is not a JSON object.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InputError(f"this is no file of AWS's price list: {error}") from error
    if not isinstance(found, dict):
        raise InputError("this is no file of AWS's price list: it is no object")
    return found


# --- the text of prices.toml ---------------------------------------------------------------------


def rewritten(text: str, region: str, changes: Iterable[PriceChange], today: date) -> str:
    """The text with a region's prices from the list, with today's date.

    Every compared line gets today's date; comments stay.
    """
    for one in changes:
        text = _home_line(text, one, today) if region == HOME else _line(text, region, one, today)
    return text


def _home_line(text: str, change: PriceChange, today: date) -> str:
    begin = text.index(f"\n{change.name} = {{") + 1
    end = text.index("\n", begin)
    line = re.sub(r"(?:, )?above = \[\[.*?\]\]", "", text[begin:end])
    line = re.sub(r"value = [^,}]+", _value(change), line, count=1)
    line = re.sub(r"noted = [\d-]+", f"noted = {today}", line)
    seen = f'seen = "{_seen(change)}"'
    if "seen = " in line:
        line = re.sub(r'seen = "[^"]*"', seen, line)
    else:
        line = line.replace(f"noted = {today}", f"noted = {today}, {seen}")
    return text[:begin] + line + text[end:]


def _line(text: str, region: str, change: PriceChange, today: date) -> str:
    """Replace a line in the table of a region, which is added if missing."""
    header = f"[regions.{region}]\n"
    if header not in text:
        text = text.replace("\n# Measured on", f"\n{header}\n# Measured on", 1)
    begin = text.index(header) + len(header)
    end = text.find("\n\n", begin - 1)
    lines = [
        one for one in text[begin:end].split("\n") if one and not one.startswith(f"{change.name} =")
    ]
    lines.append(
        f'{change.name} = {{ {_value(change)}, noted = {today}, seen = "{_seen(change)}" }}'
    )
    return text[:begin] + "\n".join(sorted(lines)) + text[end:]


def _value(change: PriceChange) -> str:
    above = ", ".join(f"[{low:.12g}, {_plain(usd)}]" for low, usd in change.steps[1:])
    return f"value = {_plain(change.new)}" + (f", above = [{above}]" if above else "")


def _plain(usd: float) -> str:
    """A number with all digits, without an exponent."""
    text = f"{usd:.15f}".rstrip("0")
    return f"{text}0" if text.endswith(".") else text


def _seen(change: PriceChange) -> str:
    return f"price list of {change.published or 'no day'}, read by safelight cost prices update"
