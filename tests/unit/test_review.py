"""Reviews: people decide, state machines wait, and what was decided takes effect once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.unit.fakes import Fuse, Killed
from tests.unit.review_world import ANN, BOB, HOUR, World, approve, prefix, reject
from tests.unit.test_access import ALL
from tests.unit.test_deliver import ASSET
from worker.domain.asset import Status, Verdict
from worker.domain.errors import (
    Conflict,
    InputError,
    ReviewMissing,
)
from worker.domain.keys import quarantine_key
from worker.domain.review import Choice, ReviewState
from worker.services.owned_assets import Caller

# --- held by hand ---------------------------------------------------------------------------------


def test_a_held_asset_is_a_question_to_people() -> None:
    """Holding opens a review without a deadline; again it is the same one."""
    world = World(Status.PUBLISHED)

    world.access.hold(ASSET, "somebody complains")
    first = world.open
    world.access.hold(ASSET, "somebody complains")

    assert world.open == first
    assert (first.deadline, first.execution, first.token) == ("", "", "")
    assert first.reason == Verdict(code="held", message="somebody complains")
    assert world.closed == ALL


def test_an_approved_asset_is_published() -> None:
    """With nothing else waiting for the answer, the event of the decision is enough."""
    world = World(Status.ACCEPTED)
    world.access.hold(ASSET)

    done = approve(world)

    assert done.state is ReviewState.APPROVED
    assert world.record.status is Status.PUBLISHED
    assert world.closed == set()
    assert world.catalog.review(done.id).applied  # type: ignore[union-attr]


def test_a_rejected_asset_is_gone_but_for_quarantine() -> None:
    """Its files are removed, its original is in quarantine with the reason, the record says why."""
    world = World(Status.ACCEPTED)
    measured = world.record.metadata
    world.access.hold(ASSET)

    reject(world)

    record = world.record
    assert record.status is Status.REJECTED
    assert record.verdict == Verdict(code="review_rejected", message="a logo of somebody else")
    assert (record.renditions, record.media, record.first_view) == ((), (), ())
    assert record.metadata == measured
    assert not any(key.startswith(prefix(record)) for key in world.store.keys("delivery"))
    assert world.quarantined == {quarantine_key(record)}
    assert world.store.keys("intake") == set()
    _, kept = world.store.get("quarantine", quarantine_key(record))
    assert kept.metadata["reason-message"] == "a logo of somebody else"


def test_a_decision_takes_effect_once() -> None:
    """The event comes twice, and late: after the asset was held again."""
    world = World(Status.ACCEPTED)
    world.access.hold(ASSET)
    approve(world)
    world.access.hold(ASSET, "once more")
    second = world.open

    world.reviews.follow(ASSET)
    world.reviews.follow(ASSET)

    assert world.record.status is Status.REVIEW
    assert world.open == second
    assert second.number == 2


@pytest.mark.parametrize("choice", Choice)
@pytest.mark.parametrize("after", [False, True])
def test_a_decision_whose_effect_is_cut_short_is_completed(choice: Choice, after: bool) -> None:
    """The function may die before and after any call: the same event again does the rest."""
    calls = 1
    while True:
        world = World(Status.ACCEPTED, Fuse())
        world.access.hold(ASSET)
        world.reviews.decide(ANN, world.open.id, choice, "seen")
        world.fuse.calls.clear()
        world.fuse.burns_at, world.fuse.after = calls, after
        try:
            world.reviews.follow(ASSET)
        except Killed:
            world.fuse.burns_at = None
            world.reviews.follow(ASSET)
        else:
            break
        _check_effect(world, choice)
        calls += 1
    assert calls > 8


def _check_effect(world: World, choice: Choice) -> None:
    record = world.record
    if choice is Choice.APPROVE:
        assert (record.status, world.closed) == (Status.PUBLISHED, set())
        return
    assert record.status is Status.REJECTED
    assert world.quarantined == {quarantine_key(record)}
    assert not any(key.startswith(prefix(record)) for key in world.store.keys("delivery"))
    assert world.store.keys("intake") == set()


def test_an_original_without_a_version_stays_until_it_expires() -> None:
    """A deletion could hit a newer upload; the copy in quarantine is made all the same."""
    world = World(Status.ACCEPTED)
    world.change(source=replace(world.original, version_id=None))
    world.access.hold(ASSET)

    reject(world)

    assert world.store.keys("intake") == {"uploads/a.jpg"}
    assert len(world.quarantined) == 1


def test_who_publishes_without_an_answer_withdraws_the_question() -> None:
    """And whoever answers it then is told."""
    world = World(Status.ACCEPTED)
    world.access.hold(ASSET)
    asked = world.open

    world.access.publish(ASSET)

    assert world.catalog.review(asked.id).state is ReviewState.WITHDRAWN  # type: ignore[union-attr]
    with pytest.raises(Conflict) as caught:
        world.reviews.decide(ANN, asked.id, Choice.REJECT, "late")
    assert caught.value.code == "review_withdrawn"
    assert world.record.status is Status.PUBLISHED


# --- who may --------------------------------------------------------------------------------------


def test_a_reviewer_of_one_owner_sees_no_other_owners_reviews() -> None:
    """As if they were not there: in the list, alone, and when deciding."""
    world = World()
    world.change(owner="ann's shop")
    asked = world.ask()
    own = Caller(owner="ann's shop", reviewer="ann")
    other = Caller(owner="bob's shop", reviewer="bob")
    nobody = Caller(owner="", reviewer="eve")

    for caller in (other, nobody):
        assert world.reviews.find(caller, ReviewState.OPEN, limit=5, cursor=None).reviews == ()
        with pytest.raises(ReviewMissing):
            world.reviews.show(caller, asked.id)
        with pytest.raises(ReviewMissing):
            world.reviews.decide(caller, asked.id, Choice.APPROVE)
    for caller in (own, ANN, Caller(owner="root", reviewer="root", admin=True)):
        assert world.reviews.find(caller, ReviewState.OPEN, limit=5, cursor=None).reviews == (
            asked,
        )
        assert world.reviews.show(caller, asked.id).record == world.record
    assert world.catalog.review(asked.id) == asked


def test_an_asset_without_an_owner_is_nobodys_own() -> None:
    """A caller without an owner is not its owner."""
    world = World()
    world.change(owner="")
    asked = world.ask()

    with pytest.raises(ReviewMissing):
        world.reviews.show(Caller(owner="", reviewer="eve"), asked.id)


@pytest.mark.parametrize("text", ["", "x", "../../etc", f"{ASSET}.{'0' * 16}.1", f"{ASSET}.x.1"])
def test_what_is_no_review_is_missing(text: str) -> None:
    """Ids that are not ids, and those of no review."""
    world = World()

    with pytest.raises(ReviewMissing):
        world.reviews.show(ANN, text)
    with pytest.raises(ReviewMissing):
        world.reviews.decide(ANN, text, Choice.APPROVE)


@pytest.mark.parametrize(
    ("choice", "reason"),
    [(Choice.REJECT, ""), (Choice.REJECT, " \t "), (Choice.APPROVE, "x" * 1_001)],
)
def test_a_reason_has_limits(choice: Choice, reason: str) -> None:
    """A rejection needs a reason, and the length of a reason is limited."""
    world = World()
    asked = world.ask()

    with pytest.raises(InputError):
        world.reviews.decide(ANN, asked.id, choice, reason)

    assert world.open == asked


def test_a_reviewer_without_a_name_decides_nothing() -> None:
    """Else two people without names would be one, or one would be two."""
    world = World()
    asked = world.ask()

    with pytest.raises(InputError):
        world.reviews.decide(replace(ANN, reviewer=""), asked.id, Choice.APPROVE)


# --- a state machine waits ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "outcome"), [(Choice.APPROVE, "approved"), (Choice.REJECT, "rejected")]
)
def test_the_machine_gets_the_answer_and_does_the_rest(choice: Choice, outcome: str) -> None:
    """The decision changes no record and no file: later stages do."""
    world = World()
    before = world.record
    world.ask()

    done = world.decide(choice)
    world.reviews.follow(ASSET)

    assert world.machine.answers == [("t1", outcome)]
    assert world.record == before
    kept = world.catalog.review(done.id)
    assert kept is not None
    assert (kept.applied, kept.token) == (True, "")


def test_a_stage_asks_about_an_asset_that_everybody_reads() -> None:
    """It is closed first."""
    world = World(Status.ACCEPTED)

    world.ask(reason="a sample")

    assert world.record.status is Status.REVIEW
    assert world.closed == ALL
    assert world.open.reason == Verdict(code="held", message="a sample")


def test_two_people_have_to_approve_for_the_machine() -> None:
    """The same person twice is one; the machine hears of the second person only."""
    world = World()
    world.ask(needed=2)

    approve(world)
    with pytest.raises(Conflict) as caught:
        approve(world)
    assert caught.value.code == "review_same_reviewer"
    assert world.machine.answers == []
    approve(world, BOB)

    assert world.machine.answers == [("t1", "approved")]


def test_a_stage_that_asks_twice_asks_one_question() -> None:
    """A retry of the call, a later token, an escalation: people see one review."""
    world = World()
    first = world.ask("t1")
    assert world.ask("t1") == first
    world.wait(HOUR)

    escalated = world.ask("t2", escalated=True)
    approve(world)

    assert escalated.id == first.id
    assert (escalated.escalated, escalated.deadline) == (True, "2026-01-02T02:00:00.000000Z")
    assert world.machine.answers == [("t2", "approved")]


def test_a_run_that_starts_again_gets_the_answer_that_is_there() -> None:
    """The emulator was killed: the same run asks with another token, and nobody is asked again."""
    world = World()
    world.ask("t1")
    done = approve(world)
    world.machine.gone = {"t1": "task_unknown"}

    assert world.reviews.ask(world.call("approve", "t2", deadline_seconds=HOUR)) == "approved"

    assert world.machine.answers == [("t1", "approved"), ("t2", "approved")]
    assert [one.id for one in world.catalog.reviews_of(ASSET)] == [done.id]


def test_two_stages_of_one_run_ask_two_questions() -> None:
    """The second stage is not answered by the first one's people."""
    world = World()
    world.ask("t1", stage="editors")
    approve(world)

    second = world.ask("t2", stage="lawyers")

    assert (second.number, second.decisions) == (2, ())
    assert world.machine.answers == [("t1", "approved")]


@pytest.mark.parametrize(
    ("default", "outcome", "state"),
    [
        ("approve", "approved", ReviewState.EXPIRED),
        ("reject", "rejected", ReviewState.EXPIRED),
        ("hold", "held", ReviewState.OPEN),
    ],
)
def test_at_the_deadline_the_default_counts(default: str, outcome: str, state: ReviewState) -> None:
    """Hold leaves the question to people, without a deadline, and without the machine."""
    world = World()
    asked = world.ask()
    world.wait(HOUR)
    call = world.call("expire", default=default)

    assert world.reviews.expire(call) == outcome
    assert world.reviews.expire(call) == outcome  # the call may come twice

    kept = world.catalog.review(asked.id)
    assert kept is not None
    assert (kept.state, kept.token) == (state, "")
    assert world.record.status is Status.REVIEW


def test_what_people_say_after_the_machine_has_left_takes_effect() -> None:
    """The default was hold: the review outlives the run."""
    world = World()
    world.ask()
    world.wait(HOUR)
    world.reviews.expire(world.call("expire", default="hold"))
    world.wait(100 * HOUR)

    approve(world)

    assert world.record.status is Status.PUBLISHED
    assert world.machine.answers == []


def test_after_the_deadline_nobody_decides() -> None:
    """Neither before the machine has noticed nor after."""
    world = World()
    asked = world.ask()
    world.wait(HOUR)

    for _ in range(2):
        with pytest.raises(Conflict) as caught:
            world.reviews.decide(ANN, asked.id, Choice.APPROVE)
        assert caught.value.code == "review_expired"
        world.reviews.expire(world.call("expire", default="reject"))


def test_a_decision_of_the_last_second_stands_over_the_default() -> None:
    """The answer came too late for the token: the machine asks what people have said."""
    world = World()
    asked = world.ask()
    world.wait(HOUR - 1)
    world.reviews.decide(ANN, asked.id, Choice.APPROVE)
    world.wait(2)
    world.machine.waiting.clear()
    world.machine.gone["t1"] = "task_timed_out"

    assert world.reviews.follow(ASSET) == ["task_timed_out"]
    assert world.reviews.expire(world.call("expire", default="reject")) == "approved"

    assert world.reviews.follow(ASSET) == []
    assert world.machine.answers == []


# --- three answers about tokens -------------------------------------------------------------------

TOKENS: Mapping[str, tuple[str, str, float, str]] = {
    # why: AWS's answer (API reference of SendTaskSuccess), the emulator's, seconds, our answer
    "never issued": ("task_unknown", "task_unknown", 0, "task_unknown"),
    "of a run that is gone": ("task_unknown", "task_unknown", 0, "task_unknown"),
    "timed out": ("task_timed_out", "task_unknown", HOUR, "task_timed_out"),
}
"""InvalidToken and TaskDoesNotExist are ``task_unknown`` here, TaskTimedOut is ``task_timed_out``:
tests/contract/test_workflows.py holds the adapter to that. The emulator has one for all."""


@pytest.mark.parametrize("stack", ["aws", "emulator"])
@pytest.mark.parametrize("why", TOKENS)
def test_tokens_that_are_refused_are_told_apart(why: str, stack: str) -> None:
    """By our own record, so that both clouds lead to the same; the decision is kept."""
    aws, emulator, seconds, ours = TOKENS[why]
    world = World()
    asked = world.ask()
    world.reviews.decide(ANN, asked.id, Choice.APPROVE)
    world.wait(seconds)
    world.machine.waiting.clear()
    world.machine.gone["t1"] = aws if stack == "aws" else emulator

    assert world.reviews.follow(ASSET) == [ours]
    assert world.reviews.follow(ASSET) == [ours]

    kept = world.catalog.review(asked.id)
    assert kept is not None
    assert (kept.state, kept.applied) == (ReviewState.APPROVED, False)


def test_a_used_token_is_used_once() -> None:
    """The function dies between the answer and its note of it: AWS refuses the second answer, and
    that is no error."""
    world = World(fuse=Fuse())
    asked = world.ask()
    world.reviews.decide(ANN, asked.id, Choice.APPROVE)
    world.fuse.calls.clear()
    world.fuse.burns_at = 1 + len(_calls_before(world, "catalog.release_review"))
    with pytest.raises(Killed):
        world.reviews.follow(ASSET)
    world.fuse.burns_at = None

    assert world.reviews.follow(ASSET) == ["task_used"]
    assert world.reviews.follow(ASSET) == []

    assert world.machine.answers == [("t1", "approved")]


def _calls_before(world: World, name: str) -> list[str]:
    """Calls of a whole run before the one of this name, on a copy of nothing but the count."""
    probe = World(fuse=Fuse())
    asked = probe.ask()
    probe.reviews.decide(ANN, asked.id, Choice.APPROVE)
    probe.fuse.calls.clear()
    probe.reviews.follow(ASSET)
    return probe.fuse.calls[: probe.fuse.calls.index(name)]


def test_a_process_without_state_machines_says_so() -> None:
    """It answers none, and loses nothing."""
    world = World()
    asked = world.ask()
    world.reviews.decide(ANN, asked.id, Choice.APPROVE)

    with pytest.raises(Conflict) as caught:
        replace(world.reviews, workflows=None).follow(ASSET)

    assert caught.value.code == "task_unanswerable"
    assert world.reviews.follow(ASSET) == ["approved"]
