"""Output of ``safelight cost``: the bill, goals, levers, plans, and uncertainties."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, date, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from worker import prices
from worker.domain.bill import Bill, BillLine, Design, Traffic
from worker.domain.errors import CheckoutMissing, InputError, ParameterError, Problem
from worker.entrypoints.cli import output
from worker.services import tuning_curve
from worker.services.bill_levers import (
    LeverEffect,
    Model,
    commitments,
    effects,
    provisioned_break_even,
    reach,
    sensitivity,
    views_for_avif,
    waterfall,
)
from worker.services.bill_month import MEGABYTE
from worker.services.tuning_curve import DurationCurve

MONTHS = (1, 12, 36)
"""Storage adds up: the bill is also told of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BillRequest:
    """The parsed options of the command line."""

    traffic: Traffic
    preset: str = "prod"
    region: str = prices.HOME
    fill: bool = False
    settings: tuple[str, ...] = ()
    own_prices: Path | None = None
    durations: Path | None = None
    levers: bool = False
    svg: Path | None = None


def show(asked: BillRequest, *, as_json: bool) -> None:
    """Print a bill.

    Raises:
        InputError: a region, a price, a preset or a file that there is not.
        ConfigurationError: a setting, own prices or the preset have mistakes.
    """
    price, need = prices.load(asked.region)
    if asked.own_prices is not None:
        price = prices.own_prices(price, _text(asked.own_prices), str(asked.own_prices))
    guessed = prices.unknown(price) if asked.fill else ()
    if guessed:
        price = prices.filled(price)
    design, notes = _design(asked)
    model = Model(
        design=design,
        traffic=asked.traffic,
        price=price,
        need=need,
        durations=None if asked.durations is None else tuning_curve.read(asked.durations),
    )
    if asked.svg is not None:
        from worker.bench.bill_chart import draw

        draw(model, asked.svg)
    if model.durations is not None:
        notes = (*notes, *_unlike(model, model.durations))
    if guessed:
        said = f"prices of {asked.region} that are not known are those of {prices.HOME}"
        notes = (*notes, f"{said}: {', '.join(guessed)}")
    for note in (*notes, *_warnings(asked.region)):
        click.echo(f"note: {note}", err=True)
    if as_json:
        output.print_json(_plain(model))
        return
    found = model.bill()
    _print_bill(asked, model, found)
    _print_reach(model)
    if asked.levers:
        _print_levers(model)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file", code="input_missing") from error
    except (OSError, UnicodeDecodeError) as error:
        said = getattr(error, "strerror", None) or "is no text"
        raise InputError(f"{path}: {said}", code="input_unreadable") from error


def _design(asked: BillRequest) -> tuple[Design, tuple[str, ...]]:
    try:
        from worker.infra.bill_design import of_preset

        preset = of_preset(asked.preset)
    except (CheckoutMissing, ModuleNotFoundError) as error:
        # A package has no Pulumi program: it knows the one preset that designs start from.
        if asked.preset != "prod" or getattr(error, "name", "worker.infra") != "worker.infra":
            raise
        return _changed(Design(), asked.settings), ("the preset prod as Safelight was built",)
    notes = preset.notes
    if preset.region and preset.region != asked.region:
        notes = (*notes, _elsewhere(asked.preset, preset.region))
    return _changed(preset.design, asked.settings), notes


def _elsewhere(preset: str, region: str) -> str:
    """A note if the preset is deployed in another region."""
    said = f"the preset {preset} is deployed in {region}"
    if region not in prices.regions():
        return f"{said}, whose prices are not known here"
    missing = len(prices.unknown(prices.load(region)[0]))
    if not missing:
        return f"{said}: --region {region}"
    return f"{said}, of which {missing} prices are not known: --region {region} --fill"


def _changed(design: Design, settings: Sequence[str]) -> Design:
    """Apply ``NAME=VALUE``.

    Raises:
        ParameterError: with every mistake.
        ProblemsError: a value that no design has.
    """
    known = {one.name: one for one in fields(Design)}
    changes: dict[str, Any] = {}
    problems = []
    for setting in settings:
        name, equals, text = setting.partition("=")
        if name in known and not equals:
            problems.append(Problem(name, f"has no value: {name}=VALUE"))
            continue
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            problems.append(Problem(name or setting, f"is no choice of a design{hint}"))
            continue
        try:
            changes[name] = _value(text, getattr(design, name))
        except ValueError:
            kind = type(getattr(design, name)).__name__
            problems.append(Problem(name, f"must be a value like {kind}, not {text!r}"))
    if problems:
        raise ParameterError("--set", tuple(problems))
    return replace(design, **changes)


def _value(text: str, now: object) -> object:
    if isinstance(now, bool):
        if text not in ("true", "false"):
            raise ValueError(text)
        return text == "true"
    if isinstance(now, int):
        return int(text)
    return float(text) if isinstance(now, float) else text


def _warnings(region: str) -> Iterator[str]:
    stale = prices.warning(datetime.now(UTC).date(), region)
    if stale:
        yield stale
    guessed = [one.name for one in prices.figures(region) if one.usd and not one.seen]
    if guessed:
        yield (
            f"{len(guessed)} prices are from memory, not from a copy of AWS's list: "
            f"`safelight cost prices show` names them"
        )


def _unlike(model: Model, curve: DurationCurve) -> Iterator[str]:
    """Notes about differences between the measured and the priced configuration."""
    design, today = model.design, datetime.now(UTC).date()
    days = (today - date.fromisoformat(curve.measured)).days
    if days < 0:
        yield f"the durations are of {curve.measured}, and the clock says {today}: is it right?"
    elif days > prices.STALE_DAYS:
        yield f"the durations are {days} days old: `safelight tune` measures them anew"
    priced = "modern" if design.second_format == "jxl" else "default"
    if curve.recipe != priced:
        recipe = output.one_line(curve.recipe)
        yield f"the durations are of the recipe {recipe}, the bill is of {priced}"
    if curve.architecture != design.architecture:
        yield (
            f"the durations are of {curve.architecture}, and the bill takes {design.architecture} "
            f"to be as fast"
        )
    if curve.batch != design.batch and not design.managed:
        yield (
            f"the durations are of batches of {curve.batch}, the design has batches of "
            f"{design.batch}: a fuller batch waits less"
        )
    megabytes = curve.photos.bytes / MEGABYTE
    if not 0.5 <= megabytes / (model.traffic.megabytes or math.inf) <= 2:
        yield (
            f"the durations are of photos of {megabytes:.3g} MB, the bill is of "
            f"{model.traffic.megabytes:g} MB: they are scaled"
        )


# --- for people ----------------------------------------------------------------------------------


def _usd(value: float) -> str:
    return f"-${-value:,.2f}" if value < 0 else f"${value:,.2f}"


def _price(value: float) -> str:
    """A price with all its digits, without an exponent."""
    text = f"{abs(value):.12f}".rstrip("0").rstrip(".")
    return f"{'-' if value < 0 else ''}${text}"


def _print_bill(asked: BillRequest, model: Model, found: Bill) -> None:
    traffic = asked.traffic
    videos = f", {traffic.videos_per_day:,.0f} videos" if traffic.videos_per_day else ""
    noted = max(one.noted for one in prices.figures(asked.region) if one.usd)
    click.echo(
        f"{traffic.images_per_day:,.0f} pictures of {traffic.megabytes:g} MB a day{videos}, "
        f"{traffic.views:g} views each; month {traffic.month}, of {model.need.month_days:g} days\n"
        f"preset {asked.preset}; list prices of {asked.region} as of {noted}, no free tier; "
        f"GB are 2^30 bytes"
    )
    for group, lines in found.groups():
        click.echo(f"\n{click.style(group, bold=True):36}{_usd(found.of(group)):>58}")
        for line in lines:
            click.echo(text_of_line(line))
    each = found.total / found.images * 1e6 if found.images else 0.0
    click.echo(f"\n{'together':36}{_usd(found.total):>58}")
    click.echo(f"{'of a million pictures':36}{_usd(each):>58}")
    later = {
        month: replace(model, traffic=replace(traffic, month=month)).bill().total
        for month in _months(traffic)
    }
    told = ", ".join(f"month {month}: {_usd(usd)}" for month, usd in later.items())
    click.echo(f"storage adds up; {told}")


def _months(traffic: Traffic) -> list[int]:
    """Those that the bill is told of."""
    return sorted({*MONTHS, traffic.month})


def text_of_line(line: BillLine) -> str:
    """A line: name, amount x price, US dollars, and where the amount comes from."""
    amount = f"{line.amount:,.0f}" if line.amount >= 100 else f"{line.amount:,.2f}"
    what = f"{amount} {line.unit} x {_price(line.price)}"
    return f"  {line.name:34}{what:>46}{_usd(line.usd):>12}  {line.formula}"


def _print_reach(model: Model) -> None:
    found = reach(model)
    click.echo("\nGoals" if found else "\nGoals are of pictures, and there are none")
    for one in found:
        said = "met" if one.met else "MISSED"
        note = f"  ({one.note})" if one.note else ""
        click.echo(f"  {one.name:58}{one.found:>8.3f}  <= {one.goal:g}  {said}{note}")


def _print_levers(model: Model) -> None:
    year = replace(model, traffic=replace(model.traffic, month=12))
    later = {one.name: one for one in effects(year)}
    click.echo(
        f"\nLevers: what the other position adds a month, in month {model.traffic.month} "
        f"and in month 12"
    )
    rows = [_lever_row(one, later[one.name]) for one in effects(model)]
    output.print_rows(
        ["lever", "now", "instead", "adds", "of the bill", "month 12"], ["why not"], rows
    )
    found = waterfall(model)
    click.echo(
        "\nFrom the naive design, one choice after the other (pictures are moderated in both)"
    )
    click.echo(f"  {'naive design':44}{_usd(found.naive):>14}")
    for step in found.steps:
        click.echo(f"  {step.name:44}{_usd(step.change):>14}{step.share:>9.1%}")
    click.echo(f"  {'this design':44}{_usd(found.ours):>14}{found.ratio:>9.1%} of it")
    _print_plans(model)
    click.echo("\nWhat is uncertain: the bill at the least and the greatest value")
    for swing in sensitivity(model):
        click.echo(
            f"  {swing.name:44}{swing.low:>8}{_usd(swing.usd_low):>14}"
            f"{swing.high:>8}{_usd(swing.usd_high):>14}"
        )


def _lever_row(now: LeverEffect, later: LeverEffect) -> list[str]:
    def usd(one: LeverEffect) -> str:
        return "" if one.change is None else _usd(one.change)

    share = "" if now.change is None else f"{now.share:+.1%}"
    return [now.name, now.now, now.other, usd(now), share, usd(later), now.why_not]


def _print_plans(model: Model) -> None:
    click.echo("\nPlans, sized by the quietest hour")
    for one in commitments(model):
        click.echo(
            f"  {one.name:44}commit {_usd(one.hourly)} an hour, saves {_usd(one.saves)} a month; "
            f"pays from {one.break_even:.0%} of it in use ({one.note})"
        )
    share = provisioned_break_even(model.price)
    click.echo(f"  {'provisioned capacity of the table':44}pays from {share:.0%} of it in use")
    views = views_for_avif(model)
    click.echo(f"  {'a file as AVIF at its first view':44}pays from {views:.0f} views of it")


# --- for programs --------------------------------------------------------------------------------


def _plain(model: Model) -> dict[str, Any]:
    found = model.bill()
    way = waterfall(model)
    return {
        "region": found.region,
        "traffic": asdict(model.traffic),
        "design": asdict(model.design),
        "measured": model.durations.measured if model.durations else None,
        "lines": [asdict(one) for one in found.lines],
        "total": found.total,
        "compute_of_a_million": found.compute_of_a_million,
        "tracing": found.tracing,
        "months": [
            {
                "month": month,
                "total": replace(model, traffic=replace(model.traffic, month=month)).bill().total,
            }
            for month in _months(model.traffic)
        ],
        "levers": [asdict(one) for one in effects(model)],
        "waterfall": asdict(way) | {"ratio": way.ratio},
        "goals": [asdict(one) | {"met": one.met} for one in reach(model)],
        "commitments": [asdict(one) for one in commitments(model)],
        "sensitivity": [asdict(one) for one in sensitivity(model)],
    }
