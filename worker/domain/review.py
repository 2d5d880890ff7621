"""Reviews: the question to people whether one version of an asset may be shown. Frozen values.

The rules at the end say what may follow what. A catalog reads a review, asks here what should
follow, and writes it on condition that the review is still the one it read: of two people who
decide at the same moment, the second is told what the first has decided.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from worker.domain.asset import AssetRecord, Verdict
from worker.domain.errors import Conflict, ReviewMissing

REJECTED = "review_rejected"
"""Verdict of an asset that people have rejected."""
FOLLOWED = ("asset.approved", "asset.disapproved", "asset.held")
"""Types of events after which reviews, record and state machines are brought in line."""
MOST_REASON = 1_000
"""Characters of a reviewer's reason."""
MOST_PEOPLE = 2
_ID = re.compile(
    r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.([0-9a-f]{16})\.([1-9][0-9]{0,3})"
)


class ReviewState(StrEnum):
    """Where a review stands."""

    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    """No decision by the deadline; the workflow's default applies."""
    WITHDRAWN = "withdrawn"
    """The question is void: the asset was deleted, replaced or published without an answer."""


class Choice(StrEnum):
    """The choices of a person."""

    APPROVE = "approve"
    REJECT = "reject"


_ANSWERS = {Choice.APPROVE: ReviewState.APPROVED, Choice.REJECT: ReviewState.REJECTED}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewDecision:
    """The decision of one person."""

    reviewer: str
    """The subject of the person's token."""
    decision: Choice
    reason: str = ""
    time: str
    """ISO 8601 UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One question to people about one version of an asset."""

    asset: str
    version: str
    number: int = 0
    """Of the reviews of this version, from 1; 0 before it is opened."""
    owner: str = ""
    """Of the asset."""
    state: ReviewState = ReviewState.OPEN
    reason: Verdict
    """Why people are asked."""
    asked_at: str
    """ISO 8601 UTC."""
    deadline: str = ""
    """ISO 8601 UTC; empty: people may take as long as they like."""
    default: Choice | None = None
    """The decision that applies if there was none by the deadline."""
    escalated: bool = False
    """A first deadline has passed."""
    needed: int = 1
    """People who must approve, 1 or 2. One is enough to reject."""
    decisions: tuple[ReviewDecision, ...] = ()
    """Oldest first, one a person."""
    closed_at: str = ""
    """ISO 8601 UTC; empty while it is open."""
    execution: str = ""
    """The run of a workflow that waits for the answer; empty if nothing waits."""
    stage: str = ""
    """Of the workflow, that asks."""
    token: str = field(default="", repr=False)
    """With which Step Functions takes the answer. Never shown, and in no event or log."""
    traceparent: str = ""
    """Of the upload that people are asked about."""
    applied: bool = False
    """Whether the waiting workflow has got the answer, or the effect is done."""
    revision: int = 0
    """Goes up with every write."""

    @property
    def id(self) -> str:
        """Names the review everywhere; the asset's part says where it is stored."""
        return review_id(self.asset, self.version, self.number)

    def passed(self, time: str) -> bool:
        """Whether the deadline has passed by ``time`` (ISO 8601 UTC)."""
        if not self.deadline:
            return False
        return datetime.fromisoformat(time) >= datetime.fromisoformat(self.deadline)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewPage:
    """Some reviews and the way to the next ones."""

    reviews: tuple[Review, ...]
    records: Mapping[str, AssetRecord] = field(default_factory=dict)
    """Records of the reviewed assets, by asset; removed assets are missing."""
    cursor: str | None = None
    """Opaque; None on the last page."""


def concerns_reviews(kind: str, data: Mapping[str, object]) -> bool:
    """Whether an event tells of a decision, or of a change that ends a question to people.

    Args:
        kind: the event's type.
        data: of the event. ``was`` is the status before, ``replaced`` that of a version before.
    """
    in_review = "review"
    return kind in FOLLOWED or in_review in (data.get("was"), data.get("replaced"))


def review_id(asset: str, version: str, number: int) -> str:
    """The id of a review."""
    return f"{asset}.{version}.{number}"


def parse_id(text: str) -> tuple[str, str, int]:
    """Asset, version and number of a review by its id.

    Raises:
        ReviewMissing: it is no id, so there is no such review.
    """
    found = _ID.fullmatch(text)
    if found is None or str(UUID(found[1])) != found[1]:
        raise ReviewMissing(f"there is no review {text[:80]!a}")
    return found[1], found[2], int(found[3])


# --- what may follow what -----------------------------------------------------------------------


def opened(known: Sequence[Review], wanted: Review) -> Review:
    """The review that answers a question, of those of the same version of the asset.

    A version has one open review at most. A workflow that asks again (a later stage, an escalation,
    or a run that was started again with another token) takes it over: what people have decided
    stays. One that the same run has asked about before, and that is closed, is the answer.

    Args:
        known: the reviews of this version, oldest first.
        wanted: the question, without a number.

    Returns:
        One of ``known`` as it is, or what to write: its ``revision`` is one higher than what is
        stored, and 1 if it is new.
    """
    last = known[-1] if known else None
    if last is not None and last.state is ReviewState.OPEN:
        if not wanted.execution:
            return last  # somebody holds it by hand: it is asked about already
        taken = replace(
            last,
            deadline=wanted.deadline,
            escalated=last.escalated or wanted.escalated,
            needed=max(last.needed, wanted.needed),
            execution=wanted.execution,
            stage=wanted.stage,
            token=wanted.token,
        )
        return last if taken == last else replace(taken, revision=last.revision + 1)
    if last is not None and wanted.execution and _same_question(last, wanted):
        taken = replace(last, token=wanted.token, applied=last.applied and not wanted.token)
        return last if taken == last else replace(taken, revision=last.revision + 1)
    number = last.number + 1 if last is not None else 1
    return replace(wanted, number=number, revision=1)


def _same_question(last: Review, wanted: Review) -> bool:
    same = (last.execution, last.stage) == (wanted.execution, wanted.stage)
    return same and last.state is not ReviewState.WITHDRAWN


def decided(known: Review, decision: ReviewDecision) -> Review:
    """The review after a person's decision; ``known`` itself if it has that decision already.

    Raises:
        Conflict: ``review_expired``: the deadline has passed; ``review_decided``: others have;
            ``review_withdrawn``: the question is void; ``review_same_reviewer``: the
            person has approved, and a second one has to.
    """
    mine = next((one for one in known.decisions if one.reviewer == decision.reviewer), None)
    same = mine is not None and mine.decision is decision.decision
    if same and known.state is _ANSWERS[decision.decision]:
        return known
    if known.state is ReviewState.EXPIRED:
        raise Conflict(f"review {known.id} has expired", code="review_expired")
    if known.state is ReviewState.WITHDRAWN:
        said = f"review {known.id} is void: its asset has changed, or was decided otherwise"
        raise Conflict(said, code="review_withdrawn")
    if known.state is not ReviewState.OPEN:
        said = f"review {known.id} is {known.state.value} already"
        raise Conflict(said, code="review_decided")
    if same:
        said = f"you have approved {known.id} already: a second person has to"
        raise Conflict(said, code="review_same_reviewer")
    if known.passed(decision.time):
        said = f"the deadline of review {known.id} has passed"
        raise Conflict(said, code="review_expired")
    # A person who has approved may still reject; a rejection is final.
    others = tuple(one for one in known.decisions if one.reviewer != decision.reviewer)
    decisions = (*others, decision)
    state = ReviewState.OPEN
    if decision.decision is Choice.REJECT:
        state = ReviewState.REJECTED
    elif len(decisions) >= known.needed:
        state = ReviewState.APPROVED
    return replace(
        known,
        decisions=decisions,
        state=state,
        closed_at="" if state is ReviewState.OPEN else decision.time,
        revision=known.revision + 1,
    )


def closed(
    known: Review, state: ReviewState, *, time: str, default: Choice | None = None
) -> Review:
    """The review after it ended without a decision; ``known`` itself if it is closed already.

    Args:
        state: expired or withdrawn.
        time: ISO 8601 UTC.
        default: what counts then, of an expired one.
    """
    if known.state is not ReviewState.OPEN:
        return known
    revision = known.revision + 1
    return replace(known, state=state, closed_at=time, default=default, revision=revision)


def released(known: Review) -> Review:
    """The review once nobody waits for its answer any more; ``known`` itself if nobody does.

    A closed one has had its effect. An open one stays a question to people, without a deadline:
    what they say takes effect by itself.
    """
    open_ = known.state is ReviewState.OPEN
    done = replace(known, token="", applied=not open_)
    if open_:
        done = replace(done, deadline="", execution="", stage="")
    return known if done == known else replace(done, revision=known.revision + 1)
