"""Bills that tests look at: of the preset ``prod``, of a design, and what of it has a name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from worker import prices
from worker.domain.bill import Bill, BillLine, Design, Traffic
from worker.services.bill import bill
from worker.services.bill_levers import (
    Model,
)
from worker.services.tuning_curve import DurationCurve, PhotoSet, Point, Where

PRICE, NEED = prices.load()
ROOT = Path(__file__).parents[2]
PAGE, README = ROOT / "docs" / "cost.md", ROOT / "README.md"


def priced(design: Design | None = None, **load: Any) -> Bill:
    """The bill of a design, by default that of ``prod``."""
    return bill(design or Design(), Traffic(**load), PRICE, NEED)


def model(**load: Any) -> Model:
    """The preset ``prod`` under a load."""
    return Model(design=Design(), traffic=Traffic(**load), price=PRICE, need=NEED)


def line(found: Bill, name: str) -> BillLine:
    """The only line of a name."""
    (one,) = [each for each in found.lines if each.name == name]
    return one


def curve(**points: float) -> DurationCurve:
    """Seconds of an upload of a megabyte by memory."""
    return DurationCurve(
        measured="2026-11-30",
        where=Where.CONTAINER,
        architecture="x86_64",
        recipe="default",
        photos=PhotoSet(count=9, bytes=1e6, pixels=3e6),
        batch=1,
        points=tuple(
            Point(memory=int(name[1:]), uploads=9, seconds=seconds, init_seconds=2.0)
            for name, seconds in points.items()
        ),
    )
