"""Draws the way from the naive design's bill to this one: docs/bill.svg."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from worker.bench.page import write
from worker.domain.errors import CheckoutMissing, InputError
from worker.services.bill_levers import BillWaterfall, Model, waterfall

FALL, RISE, WHOLE = "#2a7f62", "#b4532a", "#4a5568"
"""Colours: what a choice saves, what it adds, and the two bills. They differ in brightness too."""


def draw(model: Model, path: Path) -> None:
    """Write the picture.

    Raises:
        InputError: the name ends in neither ``.svg`` nor ``.png``, or the folder cannot be written.
        CheckoutMissing: matplotlib is not installed; it comes with a checkout.
    """
    form = path.suffix.lower().removeprefix(".")
    if form not in ("svg", "png"):
        raise InputError(f"--svg {path}: the name must end in .svg or .png")
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise CheckoutMissing(
            "pictures need matplotlib: `make setup` in a checkout installs it"
        ) from error
    found = waterfall(model)
    made = BytesIO()
    # Text stays text, and the same bill draws the same bytes.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "safelight", "font.size": 9}):
        figure = Figure(figsize=(8.5, 4.2), layout="constrained")
        axes = figure.add_subplot()
        _bars(axes, found)
        traffic = model.traffic
        axes.set_title(
            f"Bill of month {traffic.month} at {traffic.images_per_day:,.0f} pictures a day of "
            f"{traffic.megabytes:g} MB, {traffic.views:g} views each",
            loc="left",
        )
        figure.supxlabel(
            f"thousand US dollars a month; list prices of {model.price.region}; pictures are "
            "moderated in both designs",
            size=8,
            x=0.02,
            ha="left",
        )
        figure.savefig(made, format=form, dpi=200, metadata={"Date": None} if form == "svg" else {})
    write(path, made.getvalue())


def _bars(axes: object, found: BillWaterfall) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)
    rows = [("naive design", 0.0, found.naive, WHOLE)]
    at = found.naive
    for step in found.steps:
        low, size = min(at, at + step.change), abs(step.change)
        rows.append((step.name, low, size, FALL if step.change < 0 else RISE))
        at += step.change
    rows.append((f"this design: {found.ratio:.0%} of it", 0.0, found.ours, WHOLE))
    names = [row[0] for row in rows]
    places = range(len(rows))
    axes.barh(
        places,
        [row[2] / 1000 for row in rows],
        left=[row[1] / 1000 for row in rows],
        color=[row[3] for row in rows],
    )
    changes = [found.naive, *(step.change for step in found.steps), found.ours]
    for place, (row, change) in enumerate(zip(rows, changes, strict=True)):
        sign = "" if row[3] == WHOLE else "+" if change > 0 else "\N{MINUS SIGN}"
        axes.text(
            (row[1] + row[2]) / 1000 + found.naive / 1e5,
            place,
            f"{sign}{abs(change) / 1000:,.1f}",
            va="center",
        )
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_xlim(0, found.naive / 1000 * 1.1)
    axes.spines[["top", "right"]].set_visible(False)
