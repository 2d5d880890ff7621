"""``safelight review``: list and show what waits for people, and decide."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.domain.review import Choice, ReviewState
from worker.entrypoints.cli import output, remote
from worker.entrypoints.cli.target import (
    data_option,
    find_target,
    json_option,
    page_options,
    print_cursor,
)
from worker.services.process_files.wording import age_text

if TYPE_CHECKING:
    from worker.client import Client, Decision
    from worker.client import ReviewState as ReviewStateName
    from worker.domain.asset import AssetRecord
    from worker.domain.review import Review
    from worker.services.owned_assets import Caller

Told = dict[str, Any]
"""A review as JSON has it: from the catalog, or from the API, which says less of the asset."""
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
@remote.api_option
@remote.token_option
@data_option
@json_option
def list_command(
    *,
    state: ReviewStateName,
    limit: int,
    cursor: str | None,
    api: str | None,
    token_file: Path | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """List reviews: the open ones by deadline, others newest first.

    With --json an array is printed; if there are more, {"cursor": ...} goes to standard error. With
    --api the array is that of the API, and the cursor one of its cursors.
    """
    found: list[Told]
    if api is not None:
        _require_alone(data)
        with remote.asking(api, token_file) as client:
            found, cursor = _asked(client, state, limit, cursor)
    else:
        reviews = find_target(data).app.reviews
        page = reviews.find(_caller(None), ReviewState(state), limit=limit, cursor=cursor)
        found = [review_json(one, page.records[one.asset]) for one in page.reviews]
        cursor = page.cursor
    if as_json:
        output.print_json(found)
        print_cursor(cursor, as_json=True)
        return
    if not found:
        click.echo("no reviews")
    now = datetime.now(UTC)
    rows = [
        (
            one["state"],
            age_text(one["asked_at"], now),
            (one["deadline"] or "none")[:16].replace("T", " "),
            f"{_approvals(one)} of {one['needed']}",
            "yes" if one["escalated"] else "",
            one["id"],
            _name(one),
            f"{one['reason']['code']}: {one['reason']['message']}",
        )
        for one in found
    ]
    if rows:
        short = ("state", "age", "deadline", "approved", "escalated")
        output.print_rows(short, ("review", "key", "why"), rows)
    print_cursor(cursor, as_json=False)


def _asked(
    client: Client, state: ReviewStateName, limit: int, cursor: str | None
) -> tuple[list[Told], str | None]:
    """Reviews of the API, and the cursor behind the last of them."""
    found: list[Told] = []
    while True:
        most = min(limit - len(found), remote.PAGE)
        page = client.reviews_page(state, limit=most, cursor=cursor)
        found += page["reviews"]
        cursor = page["cursor"]
        if cursor is None or len(found) >= limit:
            return found, cursor


@group.command(name="show")
@click.argument("review")
@remote.api_option
@remote.token_option
@data_option
@json_option
def show_command(
    *, review: str, api: str | None, token_file: Path | None, data: Path | None, as_json: bool
) -> None:
    """Show a review: why people are asked, and what they have said.

    With --api and --json also the signed addresses of the closed files.
    """
    one: Told
    if api is not None:
        _require_alone(data)
        with remote.asking(api, token_file) as client:
            one = client.review(review)
    else:
        found = find_target(data).app.reviews.show(_caller(None), review)
        one = review_json(found.review, found.record)
    if as_json:
        output.print_json(one)
        return
    rows: list[tuple[str, object]] = [
        ("state", one["state"]),
        ("why", f"{one['reason']['code']}: {one['reason']['message']}"),
        ("asset", ", ".join(filter(None, (one["asset"], one.get("status"))))),
        ("key", _name(one)),
        ("owner", one["owner"]),
        ("asked", one["asked_at"]),
        ("deadline", one["deadline"] or "none"),
        ("escalated", "yes" if one["escalated"] else None),
        ("approved", f"{_approvals(one)} of {one['needed']}"),
        ("closed", one["closed_at"]),
    ]
    rows += [
        (
            said["decision"],
            f"{said['reviewer']}, {said['time']}: {said['reason'] or 'no reason given'}",
        )
        for said in one["decisions"]
    ]
    output.console().print(output.table(one["id"], rows))


@group.command(name="approve")
@click.argument("reviews", nargs=-1, required=True, metavar="REVIEW...")
@click.option("--reason", default="", metavar="TEXT", help="Kept with the decision.")
@reviewer_option
@remote.api_option
@remote.token_option
@data_option
@json_option
def approve_command(reviews: tuple[str, ...], reason: str, **how: Any) -> None:
    """Approve assets that wait for review. The same decision again changes nothing."""
    _decide(reviews, Choice.APPROVE, reason, **how)


@group.command(name="reject")
@click.argument("reviews", nargs=-1, required=True, metavar="REVIEW...")
@click.option("--reason", required=True, metavar="TEXT", help="Kept with the asset.")
@reviewer_option
@remote.api_option
@remote.token_option
@data_option
@json_option
def reject_command(reviews: tuple[str, ...], reason: str, **how: Any) -> None:
    """Reject assets that wait for review: their originals go to quarantine, their files go."""
    _decide(reviews, Choice.REJECT, reason, **how)


def _decide(
    reviews: tuple[str, ...],
    choice: Choice,
    reason: str,
    *,
    reviewer: str | None,
    api: str | None,
    token_file: Path | None,
    data: Path | None,
    as_json: bool,
) -> None:
    if api is None:
        service, caller = find_target(data).app.reviews, _caller(reviewer)
        for review in reviews:
            found = service.decide(caller, review, choice, reason)
            _print_decided(review_json(found.review, found.record), choice, as_json=as_json)
        return
    if reviewer is not None:
        raise click.UsageError("--reviewer is for decisions without --api: the token says who")
    _require_alone(data)
    decision: Decision = "approve" if choice is Choice.APPROVE else "reject"
    with remote.asking(api, token_file) as client:
        for review in reviews:
            _print_decided(client.decide(review, decision, reason), choice, as_json=as_json)


def _print_decided(one: Told, choice: Choice, *, as_json: bool) -> None:
    if as_json:
        output.print_line(one)
        return
    more = "" if one["state"] != ReviewState.OPEN.value else ", one more person has to approve"
    said = "approved" if choice is Choice.APPROVE else "rejected"
    click.echo(output.one_line(f"{said} {one['id']}  {_name(one)}{more}"))


def _require_alone(data: Path | None) -> None:
    if data is not None:
        raise click.UsageError("give --api or --data")


def _name(one: Told) -> str:
    """The key; through the API, which tells reviewers no keys, the name of the original."""
    return str(one["key"] if "key" in one else one["name"])


def _caller(reviewer: str | None) -> Caller:
    """Who works at this terminal, with the rights of AWS. The name cannot be that of a token."""
    from worker.services.owned_assets import Caller

    name = (reviewer or "").strip() or getpass.getuser()
    return Caller(owner="", admin=True, reviewer=f"cli:{name}")


def _approvals(one: Told) -> int:
    return sum(said["decision"] == Choice.APPROVE.value for said in one["decisions"])


def review_json(review: Review, record: AssetRecord) -> Told:
    """Return a review as JSON-ready values: every field that people may see, empty or not."""
    from worker.codec import plain

    told: Told = plain(review, defaults=True, without=_SECRET)
    key, status = record.source.key, record.status.value
    return {"id": review.id, **told, "key": key, "status": status}
