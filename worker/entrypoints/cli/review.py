"""``safelight review``: list and show what waits for people, and decide."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.domain.review import Choice, ReviewState
from worker.entrypoints.cli import output
from worker.entrypoints.cli.target import (
    data_option,
    find_target,
    json_option,
    page_options,
    print_cursor,
)
from worker.services.process_files.wording import age_text

if TYPE_CHECKING:
    from worker.domain.asset import AssetRecord
    from worker.domain.review import Review
    from worker.services.owned_assets import Caller

_SECRET = frozenset({"token", "execution", "stage", "applied", "revision", "number"})
"""Fields of a review that are between Safelight and its state machines."""

reviewer_option = click.option(
    "--reviewer",
    metavar="NAME",
    help="Who decides, as the record names it.  [default: the user of this machine]",
)


@click.group(name="review")
def group() -> None:
    """List, show and decide what waits for people."""


@group.command(name="list")
@click.option(
    "--state",
    type=click.Choice([each.value for each in ReviewState]),
    default=ReviewState.OPEN.value,
    show_default=True,
    help="Which reviews.",
)
@page_options("reviews")
@data_option
@json_option
def list_command(
    *, state: str, limit: int, cursor: str | None, data: Path | None, as_json: bool
) -> None:
    """List reviews: the open ones by deadline, others newest first.

    With --json an array is printed; if there are more, {"cursor": ...} goes to standard error.
    """
    reviews = find_target(data).app.reviews
    page = reviews.find(_caller(None), ReviewState(state), limit=limit, cursor=cursor)
    if as_json:
        output.print_json([review_json(one, page.records[one.asset]) for one in page.reviews])
        print_cursor(page.cursor, as_json=True)
        return
    if not page.reviews:
        click.echo("no reviews")
    now = datetime.now(UTC)
    rows = [
        (
            one.state.value,
            age_text(one.asked_at, now),
            one.deadline[:16].replace("T", " ") or "none",
            f"{_approvals(one)} of {one.needed}",
            "yes" if one.escalated else "",
            one.id,
            page.records[one.asset].source.key,
            f"{one.reason.code}: {one.reason.message}",
        )
        for one in page.reviews
    ]
    if rows:
        short = ("state", "age", "deadline", "approved", "escalated")
        output.print_rows(short, ("review", "key", "why"), rows)
    print_cursor(page.cursor, as_json=False)


@group.command(name="show")
@click.argument("review")
@data_option
@json_option
def show_command(*, review: str, data: Path | None, as_json: bool) -> None:
    """Show a review: why people are asked, and what they have said."""
    app = find_target(data).app
    found = app.reviews.show(_caller(None), review)
    one, record = found.review, found.record
    if as_json:
        output.print_json(review_json(one, record))
        return
    rows: list[tuple[str, object]] = [
        ("state", one.state.value),
        ("why", f"{one.reason.code}: {one.reason.message}"),
        ("asset", f"{one.asset}, {record.status.value}"),
        ("key", record.source.key),
        ("owner", one.owner),
        ("asked", one.asked_at),
        ("deadline", one.deadline or "none"),
        ("escalated", "yes" if one.escalated else None),
        ("approved", f"{_approvals(one)} of {one.needed}"),
        ("closed", one.closed_at),
    ]
    rows += [
        (said.decision.value, f"{said.reviewer}, {said.time}: {said.reason or 'no reason given'}")
        for said in one.decisions
    ]
    output.console().print(output.table(one.id, rows))


@group.command(name="approve")
@click.argument("reviews", nargs=-1, required=True, metavar="REVIEW...")
@click.option("--reason", default="", metavar="TEXT", help="Kept with the decision.")
@reviewer_option
@data_option
@json_option
def approve_command(
    *, reviews: tuple[str, ...], reason: str, reviewer: str | None, data: Path | None, as_json: bool
) -> None:
    """Approve assets that wait for review. The same decision again changes nothing."""
    _decide(reviews, Choice.APPROVE, reason, reviewer, data, as_json=as_json)


@group.command(name="reject")
@click.argument("reviews", nargs=-1, required=True, metavar="REVIEW...")
@click.option("--reason", required=True, metavar="TEXT", help="Kept with the asset.")
@reviewer_option
@data_option
@json_option
def reject_command(
    *, reviews: tuple[str, ...], reason: str, reviewer: str | None, data: Path | None, as_json: bool
) -> None:
    """Reject assets that wait for review: their originals go to quarantine, their files go."""
    _decide(reviews, Choice.REJECT, reason, reviewer, data, as_json=as_json)


def _decide(
    reviews: tuple[str, ...],
    choice: Choice,
    reason: str,
    reviewer: str | None,
    data: Path | None,
    *,
    as_json: bool,
) -> None:
    service, caller = find_target(data).app.reviews, _caller(reviewer)
    for review in reviews:
        found = service.decide(caller, review, choice, reason)
        one = found.review
        if as_json:
            output.print_line(review_json(one, found.record))
            continue
        more = "" if one.state is not ReviewState.OPEN else ", one more person has to approve"
        said = "approved" if choice is Choice.APPROVE else "rejected"
        click.echo(output.one_line(f"{said} {one.id}  {found.record.source.key}{more}"))


def _caller(reviewer: str | None) -> Caller:
    """Who works at this terminal, with the rights of AWS. The name cannot be that of a token."""
    from worker.services.owned_assets import Caller

    name = (reviewer or "").strip() or getpass.getuser()
    return Caller(owner="", admin=True, reviewer=f"cli:{name}")


def _approvals(review: Review) -> int:
    return sum(one.decision is Choice.APPROVE for one in review.decisions)


def review_json(review: Review, record: AssetRecord) -> dict[str, Any]:
    """Return a review as JSON-ready values: every field that people may see, empty or not."""
    from worker.codec import plain

    told: dict[str, Any] = plain(review, defaults=True, without=_SECRET)
    key, status = record.source.key, record.status.value
    return {"id": review.id, **told, "key": key, "status": status}
