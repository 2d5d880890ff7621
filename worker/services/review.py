"""Reviews: opening them, deciding them, and applying the decisions.

A decision only writes the catalog. The workflow function does the rest when the event of the
decision arrives (:meth:`Reviews.follow`): a waiting state machine gets its answer; if none waits,
the asset is published or rejected at once. So the API needs no permission that a reviewer could
misuse, and a repeated or late event changes nothing.

The record is authoritative, not the task token. If the token of a decision is invalid, the state
machine reads the decision itself: when it asks again, and at its deadline.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from worker.domain import trace
from worker.domain.asset import HELD, PUBLIC, AssetRecord, Status, Verdict
from worker.domain.errors import (
    AssetMissing,
    Conflict,
    InputError,
    MalformedMessage,
    ReviewMissing,
    Superseded,
    TaskRefused,
)
from worker.domain.moderation import (
    MODERATION_REJECTED,
    Moderation,
    ModerationOutcome,
    by_person,
    wording,
)
from worker.domain.review import (
    MOST_PEOPLE,
    MOST_REASON,
    REJECTED,
    Choice,
    Review,
    ReviewDecision,
    ReviewPage,
    ReviewState,
)
from worker.domain.user_metadata import check_id
from worker.domain.workflow import STALE, StageCall
from worker.ports import Catalog, Workflows
from worker.services.access import MUST_LOOK, Access
from worker.services.owned_assets import Caller

APPROVED, HELD_ON, DONE = "approved", "held", "done"
"""Outcomes of stages, beside ``rejected`` and ``stale``."""
QUARANTINED = "quarantined"
"""Verdict of an asset that a workflow has closed because a stage failed."""
_OUTCOMES = {ReviewState.APPROVED: APPROVED, ReviewState.REJECTED: "rejected"}
_DEFAULTS = {"approve": Choice.APPROVE, "reject": Choice.REJECT, "hold": None}
_COUNTS = {Choice.APPROVE: APPROVED, Choice.REJECT: "rejected", None: HELD_ON}
_EMPTY_PAGES = 10
"""Pages of only other owners' reviews that one call skips; then the caller must ask again."""
_LONGEST = timedelta(days=365)
"""Of a deadline: an execution lasts a year at most (Step Functions, "Service quotas")."""
logger = logging.getLogger("safelight.review")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundReview:
    """A review, and the asset that it is about."""

    review: Review
    record: AssetRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviews:
    """The use cases of people (first part) and of state machines (second part).

    Args:
        workflows: None where no answer is given to a state machine.
    """

    catalog: Catalog
    access: Access
    workflows: Workflows | None = None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    # --- people -----------------------------------------------------------------------------

    def find(
        self, caller: Caller, state: ReviewState, *, limit: int, cursor: str | None
    ) -> ReviewPage:
        """One page of the reviews that the caller may decide. It may have fewer than asked for and
        still not be the last.

        Raises:
            InputError: ``input_cursor``: not a cursor of this list.
        """
        for _ in range(_EMPTY_PAGES):
            page = self.catalog.reviews(state, limit=limit, cursor=cursor)
            shown = tuple(
                one
                for one in page.reviews
                if one.asset in page.records and caller.judges(one.owner)
            )
            cursor = page.cursor
            if shown or cursor is None:
                break
        return ReviewPage(reviews=shown, records=page.records, cursor=cursor)

    def show(self, caller: Caller, review: str) -> FoundReview:
        """One review.

        Raises:
            ReviewMissing: there is none that the caller may decide.
        """
        found = self.catalog.review(review)
        record = self.catalog.get(found.asset) if found is not None else None
        if found is None or record is None or not caller.judges(found.owner):
            raise ReviewMissing(f"there is no review {review}")
        return FoundReview(review=found, record=record)

    def decide(self, caller: Caller, review: str, choice: Choice, reason: str = "") -> FoundReview:
        """Write down what the caller decides. The same decision again changes nothing.

        Raises:
            ReviewMissing: there is none that the caller may decide.
            Conflict: ``review_expired``: too late; ``review_decided``: somebody else was faster;
                ``review_withdrawn``: the asset was replaced, deleted or decided otherwise;
                ``review_same_reviewer``: a second person has to approve.
            InputError: the reason is too long, or to reject there is none.
        """
        if len(reason) > MOST_REASON:
            raise InputError(f"a reason has at most {MOST_REASON} characters, not {len(reason)}")
        if choice is Choice.REJECT and not reason.strip():
            raise InputError("say why it is rejected: the reason is kept with the asset")
        check_id(caller.reviewer, "reviewer")
        found = self.show(caller, review)
        if found.review.state is ReviewState.OPEN and not _asked_about(found.review, found.record):
            self._withdraw(found.review)
        decision = ReviewDecision(
            reviewer=caller.reviewer, decision=choice, reason=reason.strip(), time=self._time()
        )
        decided = self.catalog.decide_review(review, decision)
        return FoundReview(review=decided, record=found.record)

    # --- state machines ---------------------------------------------------------------------

    def ask(self, call: StageCall) -> str:
        """Ask people, for a stage that waits: what it returns is not its answer, the token is.

        Asked again, the stage gets the answer that is there. Escalation asks again.

        Raises:
            MalformedMessage: a parameter is no number, or out of range.
            Conflict: ``undecidable``: the asset cannot be held.
        """
        record = self._current(call)
        if record is None:
            self._send(call.token, STALE)
            return STALE
        wanted = self._question(call, record)
        review = self.catalog.open_review(wanted)
        if review.state is ReviewState.OPEN:
            if record.status is not Status.REVIEW:
                self.access.close(record.asset, wanted.reason)
            return "asked"
        return self._apply(review, record)

    def expire(self, call: StageCall) -> str:
        """Settle a review whose deadline has passed: by the decisions so far, else by the stage's
        default.

        ``hold`` leaves the question to people, without a deadline.
        """
        given = call.parameters.get("default", "hold")
        if not isinstance(given, str) or given not in _DEFAULTS:
            raise MalformedMessage("the default of a review is approve, reject or hold")
        default = _DEFAULTS[given]
        record = self._current(call)
        review = self._review_of(call)
        if record is None or review is None:
            return STALE
        if review.state is ReviewState.OPEN and default is None:
            self.catalog.release_review(review.id)
            return HELD_ON
        ended = self.catalog.close_review(
            review.id, ReviewState.EXPIRED, time=self._time(), default=default
        )
        self.catalog.release_review(ended.id)
        return _outcome(ended)

    def publish(self, call: StageCall) -> str:
        """Let everybody read the version, unless a person has held it and nobody has answered yet.

        A state machine that was started before does not know that a person has held it.
        """
        record = self._current(call)
        if record is None:
            return STALE
        if record.held and not self._answered(record):
            self.access.ask(record)  # who held it may have died before that
            return STALE
        if record.status not in PUBLIC:
            try:
                self.access.publish(record.asset, call.version)
            except Superseded:  # replaced since we looked
                return STALE
        return DONE

    def reject(self, call: StageCall) -> str:
        """Reject the version; the reason is that of the review, if people have said one."""
        record = self.catalog.get(call.asset)
        if record is None or record.version != call.version:
            return STALE
        if record.status is Status.REJECTED:
            verdict = record.verdict
            if verdict is not None and verdict.code in (REJECTED, MODERATION_REJECTED):
                self.access.reject(record.asset, verdict)  # it may have been cut short
            return DONE
        if record.status not in (Status.REVIEW, Status.ACCEPTED):
            return STALE  # it is deleted, or a person has published it
        reviews = self.catalog.reviews_of(record.asset)
        mine = [one for one in reviews if one.version == call.version]
        verdict = _rejection(mine[-1] if mine else None, record.moderation)
        if record.status is Status.ACCEPTED:  # a sample, which was public meanwhile
            self.access.close(record.asset, verdict)
        try:
            self.access.reject(record.asset, verdict, call.version)
        except Superseded:  # replaced since we looked
            return STALE
        return DONE

    def quarantine(self, call: StageCall) -> str:
        """Secure the asset after a failed stage: close the files and open a review."""
        record = self._current(call)
        if record is None:
            return STALE
        said = str(call.parameters.get("reason") or f"a stage of workflow {call.workflow} failed")
        verdict = Verdict(code=QUARANTINED, message=said[:MOST_REASON])
        if record.status is Status.PROCESSING:
            return DONE  # its files are closed until it is finished
        self.access.isolate(record.asset, verdict)
        return DONE

    def follow(self, asset: str) -> list[str]:
        """Bring reviews, record and state machines in line, after any change of an asset.

        A decision takes effect, a question that became void is withdrawn, and a held asset that
        nobody asks about is asked about.

        Returns:
            A description of the actions, for the log.
        """
        done: list[str] = []
        record = self.catalog.get(asset)
        last: Review | None = None
        """Of the current version."""
        for known in self.catalog.reviews_of(asset):
            review, open_ = known, known.state is ReviewState.OPEN
            if open_ and (record is None or not _asked_about(known, record)):
                review, open_ = self._withdraw(known), False
            if not open_ and not review.applied:
                done.append(self._apply(review, record))
            if record is not None and review.version == record.version:
                last = review
        record = self.catalog.get(asset)
        if record is not None and _unasked(record, last):
            self.access.ask(record)
            done.append("asked")
        return done

    # --- parts ------------------------------------------------------------------------------

    def _question(self, call: StageCall, record: AssetRecord) -> Review:
        reason = record.verdict if record.status is Status.REVIEW else None
        if reason is None:
            said = call.parameters.get("reason")
            reason = Verdict(code=HELD, message=str(said or MUST_LOOK)[:MOST_REASON])
        people = _number(call, "needed", 1)
        seconds = _number(call, "deadline_seconds", 0)
        if people not in range(1, MOST_PEOPLE + 1):
            raise MalformedMessage(f"{people} people have to approve: 1 or {MOST_PEOPLE}")
        if not 0 <= seconds <= _LONGEST.total_seconds():
            raise MalformedMessage(f"a deadline of {seconds} seconds")
        now = self.now()
        deadline = _text_of(now + timedelta(seconds=seconds)) if seconds else ""
        return Review(
            asset=record.asset,
            version=record.version,
            owner=record.owner,
            reason=reason,
            asked_at=_text_of(now),
            deadline=deadline,
            escalated=bool(call.parameters.get("escalated", False)),
            needed=int(people),
            execution=call.execution,
            stage=call.stage,
            token=call.token,
            traceparent=record.source.trace,
        )

    def _current(self, call: StageCall) -> AssetRecord | None:
        """The record, if the stage's version is the current one and can still be decided."""
        record = self.catalog.get(call.asset)
        if record is None or record.version != call.version:
            return None
        return None if record.status in (Status.DELETED, Status.REJECTED) else record

    def _answered(self, record: AssetRecord) -> bool:
        """Whether the last question about this version has an answer, or its deadline had one."""
        mine = [r for r in self.catalog.reviews_of(record.asset) if r.version == record.version]
        return bool(mine) and _outcome(mine[-1]) == APPROVED

    def _review_of(self, call: StageCall) -> Review | None:
        """The newest review that the stage has asked for."""
        for review in reversed(self.catalog.reviews_of(call.asset)):
            mine = (review.execution, review.stage) == (call.execution, call.stage)
            if review.version == call.version and (mine or review.state is ReviewState.OPEN):
                return review
        return None

    def _withdraw(self, review: Review) -> Review:
        return self.catalog.close_review(review.id, ReviewState.WITHDRAWN, time=self._time())

    def _apply(self, review: Review, record: AssetRecord | None) -> str:
        """Let a closed review take effect, once."""
        current = record is not None and record.version == review.version
        outcome = _outcome(review) if current else STALE
        trace.finished(
            "wait person",
            start=trace.moment(review.asked_at),
            end=trace.moment(review.closed_at),
            parent=review.traceparent,
            outcome=outcome,
        )
        if record is not None and current:
            self._remember(review, record)
        if review.token:
            try:
                self._send(review.token, outcome)
            except TaskRefused as refused:
                code = self._why_refused(review, refused)
                logger.warning("an answer was refused", extra={"review": review.id, "code": code})
                if code != "task_used":
                    # The machine finds the answer itself: at its deadline, or when it asks again.
                    return code
                outcome = code
        elif not review.execution and outcome in _OUTCOMES.values():
            self._take_effect(review)
        self.catalog.release_review(review.id)
        return outcome

    def _remember(self, review: Review, record: AssetRecord) -> None:
        """Store the decision with the moderation verdict, because it also applies to identical
        bytes elsewhere. A deadline that has passed decides nothing of that kind."""
        chosen = {
            ReviewState.APPROVED: ModerationOutcome.PASS,
            ReviewState.REJECTED: ModerationOutcome.REJECT,
        }.get(review.state)
        if chosen is None:
            return
        decided = by_person(record.moderation, chosen, self._time())
        if decided is not None and decided != record.moderation:
            self.catalog.update(record.asset, moderation=decided)

    def _why_refused(self, review: Review, refused: TaskRefused) -> str:
        """Timed out, used and unknown are three answers; AWS gives one for the first two, and the
        emulator one for all."""
        if review.passed(self._time()):
            return "task_timed_out"
        return "task_used" if refused.code == "task_timed_out" else "task_unknown"

    def _take_effect(self, review: Review) -> None:
        """Publish or reject, because no workflow waits for the answer."""
        try:
            if review.state is ReviewState.APPROVED:
                self.access.publish(review.asset, review.version)
            else:
                self.access.reject(review.asset, _rejection(review), review.version)
        except (AssetMissing, Conflict) as error:
            # Replaced or decided otherwise between our look and now: its own event follows.
            logger.warning("no effect", extra={"review": review.id, "code": error.code})

    def _send(self, token: str, outcome: str) -> None:
        if not token:
            return
        if self.workflows is None:
            raise Conflict("no state machine can be answered here", code="task_unanswerable")
        self.workflows.answer(token, {"outcome": outcome})

    def _time(self) -> str:
        return _text_of(self.now())


def _asked_about(review: Review, record: AssetRecord) -> bool:
    """Whether the asset still waits for the answer."""
    return record.version == review.version and record.status is Status.REVIEW


def _unasked(record: AssetRecord, last: Review | None) -> bool:
    """Whether a held asset waits for an answer that nobody is asked for. A workflow asks itself,
    and one that has its answer has more to do."""
    if record.status is not Status.REVIEW or record.workflow:
        return False
    if last is None or last.state is ReviewState.WITHDRAWN:
        return True
    return last.state is not ReviewState.OPEN and not last.execution


def _outcome(review: Review) -> str:
    """The answer to a state machine about a closed review."""
    if review.state is ReviewState.EXPIRED:
        return _COUNTS[review.default]
    return _OUTCOMES.get(review.state, STALE)


def _rejection(review: Review | None, moderation: Moderation | None = None) -> Verdict:
    """The verdict of a rejected asset: the reason of the reviewer, or the finding of the
    moderation."""
    if review is not None and review.state is ReviewState.REJECTED:
        return Verdict(code=REJECTED, message=review.decisions[-1].reason)
    if moderation is not None and moderation.outcome is ModerationOutcome.REJECT:
        return Verdict(code=MODERATION_REJECTED, message=wording(moderation))
    return Verdict(code=REJECTED, message="people have not approved it in time")


def _number(call: StageCall, name: str, default: int) -> float:
    value = call.parameters.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MalformedMessage(f"{name} of stage {call.stage} is no number")
    return value


def _text_of(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
