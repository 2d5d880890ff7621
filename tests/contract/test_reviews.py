"""Reviews in the catalog: the same answers from the tests' fake and from the table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest

from tests.contract.catalogs import asset_id, at, entry, put, record, together
from worker.domain.asset import Verdict
from worker.domain.errors import Conflict, InputError, ReviewMissing
from worker.domain.review import Choice, Review, ReviewDecision, ReviewState
from worker.ports import Catalog

WHY = Verdict(code="held", message="somebody has to look at it")


def question(number: int = 1, **changes: object) -> Review:
    """What a workflow asks about an asset."""
    one = record(number)
    asked = Review(
        asset=one.asset,
        version=one.version,
        owner=one.owner,
        reason=WHY,
        asked_at=at(1),
        deadline=at(100 + number),
        execution=f"arn:run-{number}",
        stage="approve",
        token=f"token-{number}",
    )
    return replace(asked, **changes)  # type: ignore[arg-type]


def said(reviewer: str, choice: Choice = Choice.APPROVE, second: int = 10) -> ReviewDecision:
    """What a person decides."""
    return ReviewDecision(reviewer=reviewer, decision=choice, reason="seen", time=at(second))


def test_an_opened_review_is_read_as_it_was_written(catalog: Catalog) -> None:
    """Every field comes back, and a review that is not there is None."""
    made = catalog.open_review(question(needed=2, escalated=True))

    assert made.id == f"{asset_id(1)}.{record(1).version}.1"
    assert catalog.review(made.id) == made
    assert catalog.reviews_of(made.asset) == [made]
    assert catalog.review(made.id[:-1] + "2") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "..",
        asset_id(1),
        f"{asset_id(1)}.{'0' * 16}",
        f"{asset_id(1)}.{'0' * 16}.0",
        f"{asset_id(1)}.{'0' * 16}.01",
        f"{asset_id(1)}.{'0' * 16}.99999",
        f"{asset_id(1).upper()}.{'0' * 16}.1",
        f"{asset_id(1)}.{'0' * 16}.1\n",
        f"ASSET#{asset_id(1)}.{'0' * 16}.1",
        f"{asset_id(1)}.{'g' * 16}.1",
        "\ud800" * 3,
        "9" * 5000,
    ],
)
def test_what_is_no_id_is_no_review(catalog: Catalog, text: str) -> None:
    """Every operation on an invalid id raises ReviewMissing."""
    with pytest.raises(ReviewMissing):
        catalog.review(text)
    with pytest.raises(ReviewMissing):
        catalog.decide_review(text, said("ann"))


def test_a_question_is_asked_once(catalog: Catalog) -> None:
    """The same question again is the same review, without a write."""
    first = catalog.open_review(question())

    assert catalog.open_review(question()) == first
    assert catalog.open_review(question(execution="", token="", deadline="")) == first
    assert catalog.reviews_of(first.asset) == [first]


def test_a_run_that_asks_again_takes_the_review_over(catalog: Catalog) -> None:
    """Token, deadline and escalation are the new ones; what a person has said stays."""
    first = catalog.open_review(question(needed=2))
    catalog.decide_review(first.id, said("ann"))

    again = catalog.open_review(question(token="other", deadline=at(500), escalated=True))

    assert (again.id, again.token, again.deadline) == (first.id, "other", at(500))
    assert again.escalated
    assert again.needed == 2
    assert [one.reviewer for one in again.decisions] == ["ann"]
    assert catalog.reviews(ReviewState.OPEN).reviews == (again,)


def test_a_run_that_asks_what_was_answered_gets_the_answer(catalog: Catalog) -> None:
    """After a restart with another token the answer is due again; another run asks anew."""
    first = catalog.open_review(question())
    catalog.decide_review(first.id, said("ann"))
    catalog.release_review(first.id)

    again = catalog.open_review(question(token="other"))
    other_stage = catalog.open_review(question(stage="second"))

    assert (again.id, again.state, again.token) == (first.id, ReviewState.APPROVED, "other")
    assert not again.applied
    assert other_stage.number == 2
    assert other_stage.state is ReviewState.OPEN
    assert other_stage.decisions == ()


def test_one_person_approves(catalog: Catalog) -> None:
    """The review is closed with who, what, why and when; the same again changes nothing."""
    made = catalog.open_review(question())

    done = catalog.decide_review(made.id, said("ann"))

    assert (done.state, done.closed_at) == (ReviewState.APPROVED, at(10))
    assert done.decisions == (said("ann"),)
    assert catalog.decide_review(made.id, said("ann", second=20)) == done
    assert catalog.review(made.id) == done


@pytest.mark.parametrize("choice", Choice)
def test_a_second_answer_is_told_of_the_first(catalog: Catalog, choice: Choice) -> None:
    """Another person, or another answer, finds the review decided."""
    made = catalog.open_review(question())
    catalog.decide_review(made.id, said("ann", choice))
    other = next(one for one in Choice if one is not choice)

    for late in (said("bob", choice), said("bob", other), said("ann", other)):
        with pytest.raises(Conflict) as caught:
            catalog.decide_review(made.id, late)
        assert caught.value.code == "review_decided"


def test_two_people_have_to_approve(catalog: Catalog) -> None:
    """The first approval leaves it open, the same person is no second one, the second closes it."""
    made = catalog.open_review(question(needed=2))

    assert catalog.decide_review(made.id, said("ann")).state is ReviewState.OPEN
    with pytest.raises(Conflict) as caught:
        catalog.decide_review(made.id, said("ann", second=11))
    assert caught.value.code == "review_same_reviewer"
    done = catalog.decide_review(made.id, said("bob", second=12))

    assert done.state is ReviewState.APPROVED
    assert [one.reviewer for one in done.decisions] == ["ann", "bob"]


@pytest.mark.parametrize("reviewer", ["ann", "bob"])
def test_one_person_is_enough_to_reject(catalog: Catalog, reviewer: str) -> None:
    """Also after an approval, and also if it is the same person's."""
    made = catalog.open_review(question(needed=2))
    catalog.decide_review(made.id, said("ann"))

    done = catalog.decide_review(made.id, said(reviewer, Choice.REJECT, 12))

    assert done.state is ReviewState.REJECTED
    assert done.decisions[-1] == said(reviewer, Choice.REJECT, 12)
    assert len({one.reviewer for one in done.decisions}) == len(done.decisions)


@pytest.mark.parametrize("second", [101, 102, 5000])
def test_nobody_decides_after_the_deadline(catalog: Catalog, second: int) -> None:
    """At the deadline and after it, whether the workflow has noticed by then or not."""
    made = catalog.open_review(question())

    with pytest.raises(Conflict) as open_still:
        catalog.decide_review(made.id, said("ann", second=second))
    catalog.close_review(made.id, ReviewState.EXPIRED, time=at(101))
    with pytest.raises(Conflict) as expired:
        catalog.decide_review(made.id, said("ann", second=second))

    assert open_still.value.code == expired.value.code == "review_expired"


def test_a_review_without_a_deadline_never_expires(catalog: Catalog) -> None:
    """Somebody holds an asset by hand: people take as long as they like."""
    made = catalog.open_review(question(deadline="", execution="", token=""))

    done = catalog.decide_review(made.id, replace(said("ann"), time="2099-01-01T00:00:00Z"))

    assert done.state is ReviewState.APPROVED


def test_a_closed_review_stays_as_it_is(catalog: Catalog) -> None:
    """A decided review does not expire, and a withdrawn review accepts no decision."""
    made = catalog.open_review(question())
    done = catalog.decide_review(made.id, said("ann"))
    other = catalog.open_review(question(2))
    gone = catalog.close_review(other.id, ReviewState.WITHDRAWN, time=at(30))

    assert catalog.close_review(made.id, ReviewState.EXPIRED, time=at(200)) == done
    assert (gone.state, gone.closed_at) == (ReviewState.WITHDRAWN, at(30))
    with pytest.raises(Conflict) as caught:
        catalog.decide_review(gone.id, said("ann"))
    assert caught.value.code == "review_withdrawn"


def test_a_review_that_took_effect_has_no_token(catalog: Catalog) -> None:
    """The answer was given: the token is forgotten, once."""
    made = catalog.open_review(question())
    catalog.decide_review(made.id, said("ann"))
    done = catalog.release_review(made.id)

    assert (done.applied, done.token, done.revision) == (True, "", 3)
    assert done.state is ReviewState.APPROVED
    assert catalog.release_review(made.id) == done


def test_an_open_review_outlives_the_run_that_asked(catalog: Catalog) -> None:
    """When nothing waits for it any more it has no deadline, and is still a question."""
    made = catalog.open_review(question())
    left = catalog.release_review(made.id)

    assert (left.state, left.deadline, left.execution, left.token) == (ReviewState.OPEN, "", "", "")
    assert catalog.release_review(made.id) == left
    assert catalog.decide_review(made.id, said("ann", second=5000)).state is ReviewState.APPROVED


def test_missing_reviews_are_reported(catalog: Catalog) -> None:
    """Each change of a review that is not there says so."""
    missing = f"{asset_id(9)}.{'0' * 16}.1"

    with pytest.raises(ReviewMissing):
        catalog.decide_review(missing, said("ann"))
    with pytest.raises(ReviewMissing):
        catalog.close_review(missing, ReviewState.EXPIRED, time=at(1))
    with pytest.raises(ReviewMissing):
        catalog.release_review(missing)


@pytest.mark.parametrize("choices", [(Choice.APPROVE, Choice.REJECT), (Choice.APPROVE,) * 2])
def test_of_two_people_at_once_one_decides(
    catalog: Catalog, choices: tuple[Choice, Choice]
) -> None:
    """Exactly one answer counts; the other person is told, and the record has one decision."""
    made = catalog.open_review(question())

    answers = together(
        lambda: catalog.decide_review(made.id, said("ann", choices[0])),
        lambda: catalog.decide_review(made.id, said("bob", choices[1])),
    )

    [won] = [one for one in answers if isinstance(one, Review)]
    [lost] = [one for one in answers if isinstance(one, Conflict)]
    assert lost.code == "review_decided"
    assert catalog.review(made.id) == won
    assert len(won.decisions) == 1


def test_two_people_at_once_are_the_two_that_are_needed(catalog: Catalog) -> None:
    """Neither approval is lost."""
    made = catalog.open_review(question(needed=2))

    together(
        lambda: catalog.decide_review(made.id, said("ann")),
        lambda: catalog.decide_review(made.id, said("bob")),
    )

    done = catalog.review(made.id)
    assert done is not None
    assert done.state is ReviewState.APPROVED
    assert {one.reviewer for one in done.decisions} == {"ann", "bob"}


def test_open_reviews_are_listed_by_deadline(catalog: Catalog) -> None:
    """The nearest first and those without one last, page by page, each with its record."""
    stored = {number: put(catalog, record(number)) for number in range(1, 8)}
    deadlines = {1: at(70), 2: at(20), 3: "", 4: at(50), 5: at(20), 6: at(10)}
    for number, deadline in deadlines.items():
        catalog.open_review(question(number, deadline=deadline))

    found = list(_pages(catalog, ReviewState.OPEN, 2))

    expected = [asset_id(6), *sorted([asset_id(2), asset_id(5)]), asset_id(4), asset_id(1)]
    assert [one.asset for one, _ in found] == [*expected, asset_id(3)]
    assert all(known == stored[_number(one)] for one, known in found)


def test_closed_reviews_are_listed_newest_first(catalog: Catalog) -> None:
    """By when they ended; those of other states are in other lists."""
    for number in range(1, 5):
        made = catalog.open_review(question(number))
        choice = Choice.REJECT if number == 4 else Choice.APPROVE
        catalog.decide_review(made.id, said("ann", choice, second=10 + number % 3))

    found = [_number(one) for one, _ in _pages(catalog, ReviewState.APPROVED, 1)]

    assert found == [2, 1, 3]
    assert [_number(one) for one, _ in _pages(catalog, ReviewState.REJECTED, 1)] == [4]
    assert catalog.reviews(ReviewState.OPEN).reviews == ()


def test_a_review_of_an_asset_that_is_gone_is_gone(catalog: Catalog) -> None:
    """The items of an asset go together."""
    put(catalog, record(1))
    made = catalog.open_review(question())

    catalog.delete(made.asset)

    assert catalog.review(made.id) is None
    assert catalog.reviews_of(made.asset) == []
    assert catalog.reviews(ReviewState.OPEN).reviews == ()


def test_reviews_are_no_lines_of_the_timeline(catalog: Catalog) -> None:
    """The timeline of an asset has what it had."""
    made = put(catalog, record(1))
    catalog.open_review(question())

    assert catalog.timeline(made.asset) == [entry(made)]


@pytest.mark.parametrize("limit", [0, 1001, -1])
def test_a_page_has_limits(catalog: Catalog, limit: int) -> None:
    """No page is empty on purpose or endless."""
    with pytest.raises(InputError):
        catalog.reviews(ReviewState.OPEN, limit=limit)


def test_a_cursor_belongs_to_its_list(catalog: Catalog) -> None:
    """One of another state, or a damaged one, is refused."""
    for number in range(1, 4):
        catalog.open_review(question(number))
    cursor = catalog.reviews(ReviewState.OPEN, limit=1).cursor
    assert cursor is not None

    for state, text in ((ReviewState.EXPIRED, cursor), (ReviewState.OPEN, cursor[:-2])):
        with pytest.raises(InputError) as caught:
            catalog.reviews(state, cursor=text)
        assert caught.value.code == "input_cursor"


def test_a_token_is_in_no_text(catalog: Catalog) -> None:
    """Printing or logging a review does not reveal its token."""
    made = catalog.open_review(question(token="secret-token"))

    assert made.token == "secret-token"
    assert "secret-token" not in f"{made!r} {made}"


def _pages(catalog: Catalog, state: ReviewState, limit: int) -> Iterator[tuple[Review, object]]:
    cursor, sizes = None, []
    while True:
        page = catalog.reviews(state, limit=limit, cursor=cursor)
        sizes.append(len(page.reviews))
        yield from ((one, page.records.get(one.asset)) for one in page.reviews)
        cursor = page.cursor
        if cursor is None:
            break
    assert all(a >= b for a, b in pairwise(sizes))


def _number(review: Review) -> int:
    return next(n for n in range(1, 10) if asset_id(n) == review.asset)
