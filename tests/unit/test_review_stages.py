"""Reviews while their asset changes, and the other stages of a workflow that decide about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.unit.review_world import ANN, HOUR, World, approve, prefix, reject
from tests.unit.test_access import ALL
from tests.unit.test_deliver import ASSET
from worker.domain.asset import AssetRecord, Status, Verdict
from worker.domain.errors import (
    AssetMissing,
    Conflict,
    InputError,
    MalformedMessage,
    ReviewMissing,
)
from worker.domain.keys import quarantine_key
from worker.domain.moderation import Moderation, ModerationOutcome, ModerationTier
from worker.domain.review import Choice, ReviewState
from worker.domain.workflow import StageCall

# --- the asset changes meanwhile ------------------------------------------------------------------

CHANGES: Mapping[str, Mapping[str, Any]] = {
    "replaced": {"version": "f" * 16},
    "made again by another recipe": {"version": "e" * 16, "recipe_digest": "another"},
    "deleted": {"status": Status.DELETED},
    "published": {"status": Status.PUBLISHED},
    "rejected": {"status": Status.REJECTED},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_question_about_what_is_gone_is_withdrawn(change: str) -> None:
    """People are told, and the machine ends."""
    world = World()
    asked = world.ask()
    world.change(**CHANGES[change])

    with pytest.raises(Conflict) as caught:
        world.reviews.decide(ANN, asked.id, Choice.APPROVE)
    world.reviews.follow(ASSET)

    assert caught.value.code == "review_withdrawn"
    assert world.machine.answers == [("t1", "stale")]
    assert world.catalog.review(asked.id).state is ReviewState.WITHDRAWN  # type: ignore[union-attr]


@pytest.mark.parametrize("change", ["replaced", "made again by another recipe", "deleted"])
def test_a_decision_about_what_is_gone_has_no_effect(change: str) -> None:
    """It was decided a moment before: the new version is not published by it."""
    world = World(Status.ACCEPTED)
    world.access.hold(ASSET)
    asked = world.open
    world.reviews.decide(ANN, asked.id, Choice.APPROVE)
    world.change(**CHANGES[change])
    status = world.record.status

    world.reviews.follow(ASSET)

    assert world.record.status is status
    assert world.closed == ALL


def test_a_held_asset_that_is_replaced_is_asked_about_again() -> None:
    """The new version is held too, and has a question of its own."""
    world = World(Status.ACCEPTED)
    world.access.hold(ASSET)
    first = world.open
    world.change(version="f" * 16)

    world.reviews.follow(ASSET)

    assert world.catalog.review(first.id).state is ReviewState.WITHDRAWN  # type: ignore[union-attr]
    assert (world.open.version, world.open.number) == ("f" * 16, 1)


def test_a_workflow_asks_itself() -> None:
    """An asset that waits for a workflow is not asked about by anybody else."""
    world = World()
    world.change(workflow="approve")

    assert world.reviews.follow(ASSET) == []
    assert world.catalog.reviews_of(ASSET) == []


def test_an_erased_asset_has_no_reviews() -> None:
    """An event has no effect, and a late stage is stale."""
    world = World()
    asked = world.ask()
    world.catalog.delete(ASSET)

    assert world.reviews.follow(ASSET) == []
    with pytest.raises(ReviewMissing):
        world.reviews.decide(ANN, asked.id, Choice.APPROVE)
    late = StageCall(task="approve", asset=ASSET, version=asked.version, token="t1")
    assert world.reviews.ask(late) == "stale"
    assert world.machine.answers == [("t1", "stale")]


@pytest.mark.parametrize("task", ["ask", "expire", "publish", "reject", "quarantine"])
def test_a_stage_of_another_version_is_stale(task: str) -> None:
    """It changes nothing."""
    world = World()
    before = world.record

    assert getattr(world.reviews, task)(world.call(task, version="f" * 16)) == "stale"

    assert world.record == before
    assert world.catalog.reviews_of(ASSET) == []
    assert "store.tag" not in world.fuse.calls


# --- the other stages -----------------------------------------------------------------------------


def test_the_publish_stage_publishes_once() -> None:
    """A repeated call changes nothing; what is public already stays as it is."""
    world = World()

    assert world.reviews.publish(world.call("publish")) == "done"
    revision = world.record.revision
    assert world.reviews.publish(world.call("publish")) == "done"

    assert world.record.revision == revision
    accepted = World(Status.ACCEPTED)
    assert accepted.reviews.publish(accepted.call("publish")) == "done"
    assert accepted.record.status is Status.ACCEPTED


def test_what_a_person_has_held_is_not_published_by_a_machine() -> None:
    """A machine that was asked before says that it is harmless; the person has the last word."""
    world = World()
    world.access.hold(ASSET, "by order of a court")
    asked = world.open

    assert world.reviews.publish(world.call("publish")) == "stale"

    assert world.record.held
    assert world.open == asked
    world.decide(Choice.APPROVE)
    assert world.record.status is Status.PUBLISHED


def test_a_reason_to_hold_is_as_long_as_any_other() -> None:
    """It is in the record, in the review and in events, which have a largest size on the bus."""
    world = World(Status.ACCEPTED)

    with pytest.raises(InputError, match="at most 1000 characters"):
        world.access.hold(ASSET, "x" * 1001)

    assert world.record.status is Status.ACCEPTED


def test_a_hold_that_was_cut_short_is_a_question_too() -> None:
    """The record was written, the review was not: the machine that passes by opens it."""
    world = World()
    world.catalog.update(ASSET, decision=(Status.REVIEW, Verdict(code="held", message="why")))

    assert world.reviews.publish(world.call("publish")) == "stale"

    assert world.open.reason.message == "why"


def test_who_holds_what_was_approved_a_moment_before_is_asked() -> None:
    """The answer was to another question, so the machine's next stage publishes nothing."""
    world = World()
    world.ask()
    approve(world)
    world.access.hold(ASSET, "by order of a court")

    assert world.reviews.publish(world.call("publish")) == "stale"

    assert world.record.held
    assert world.open.reason.message == "by order of a court"


def test_what_was_held_before_people_approved_is_published() -> None:
    """They have answered, so the stage that follows publishes."""
    world = World(Status.ACCEPTED)
    world.ask()
    assert world.record.held
    approve(world)

    assert world.reviews.publish(world.call("publish")) == "done"


def test_the_reject_stage_says_who_rejected() -> None:
    """People in their words."""
    world = World()
    world.ask()
    reject(world)

    assert world.reviews.reject(world.call("reject")) == "done"
    assert world.reviews.reject(world.call("reject")) == "done"

    assert world.record.verdict == Verdict(
        code="review_rejected", message="a logo of somebody else"
    )
    assert len(world.quarantined) == 1


def test_the_reject_stage_says_that_nobody_has_answered() -> None:
    """At the deadline, with reject as the default."""
    world = World()
    world.ask()
    world.wait(HOUR)
    world.reviews.expire(world.call("expire", default="reject"))

    world.reviews.reject(world.call("reject"))

    verdict = world.record.verdict
    assert verdict is not None
    assert (verdict.code, verdict.message) == (
        "review_rejected",
        "people have not approved it in time",
    )


def test_the_reject_stage_says_what_a_moderator_saw() -> None:
    """Also of a sample, which everybody could read meanwhile."""
    world = World(Status.ACCEPTED)
    seen = Moderation(outcome=ModerationOutcome.REJECT, tier=ModerationTier.REKOGNITION)
    world.change(moderation=seen)

    assert world.reviews.reject(world.call("reject")) == "done"

    record = world.record
    assert (record.status, record.verdict.code) == (  # type: ignore[union-attr]
        Status.REJECTED,
        "moderation_rejected",
    )
    assert not any(key.startswith(prefix(record)) for key in world.store.keys("delivery"))


def test_what_a_person_has_published_is_not_rejected_by_a_machine() -> None:
    """It comes too late."""
    world = World(Status.PUBLISHED)

    assert world.reviews.reject(world.call("reject")) == "stale"

    assert world.record.status is Status.PUBLISHED


def test_quarantine_closes_copies_and_asks() -> None:
    """After a failed stage the files are closed, the original is copied to quarantine, and a review
    is open."""
    world = World(Status.ACCEPTED)

    for _ in range(2):
        assert world.reviews.quarantine(world.call("quarantine")) == "done"

    assert world.record.status is Status.REVIEW
    assert world.closed == ALL
    assert world.quarantined == {quarantine_key(world.record)}
    assert world.store.keys("intake") == {"uploads/a.jpg"}
    assert world.open.reason.code == "quarantined"


@pytest.mark.parametrize(
    "parameters",
    [
        {"needed": 0},
        {"needed": 3},
        {"needed": "two"},
        {"needed": True},
        {"deadline_seconds": -1},
        {"deadline_seconds": 10**12},
        {"deadline_seconds": "soon"},
    ],
)
def test_wrong_parameters_of_a_stage_are_refused(parameters: dict[str, object]) -> None:
    """A workflow that nobody has compiled asks nothing."""
    world = World()

    with pytest.raises(MalformedMessage):
        world.reviews.ask(world.call("approve", "t1", **parameters))

    assert world.catalog.reviews_of(ASSET) == []


@pytest.mark.parametrize("default", ["maybe", 1, None])
def test_a_wrong_default_is_refused(default: object) -> None:
    """The review stays open."""
    world = World()
    asked = world.ask()

    with pytest.raises(MalformedMessage):
        world.reviews.expire(world.call("expire", default=default))

    assert world.open == asked


def test_a_run_that_starts_again_after_the_deadline_gets_the_default() -> None:
    """No second review is opened."""
    world = World()
    world.ask("t1")
    world.wait(HOUR)
    world.reviews.expire(world.call("expire", default="approve"))

    world.reviews.ask(world.call("approve", "t2", deadline_seconds=HOUR))

    assert world.machine.answers == [("t2", "approved")]
    assert len(world.catalog.reviews_of(ASSET)) == 1


def test_an_asset_that_is_still_made_is_not_asked_about() -> None:
    """A workflow that asks before its jobs are done is told."""
    world = World()
    world.change(status=Status.PROCESSING, verdict=None)

    with pytest.raises(Conflict) as caught:
        world.reviews.ask(world.call("approve", "t1"))

    assert caught.value.code == "undecidable"


def test_only_what_is_held_is_rejected() -> None:
    """A published asset cannot be rejected by a stage."""
    world = World(Status.ACCEPTED)

    with pytest.raises(Conflict) as caught:
        world.access.reject(ASSET, Verdict(code="review_rejected", message="x"))
    assert caught.value.code == "undecidable"
    world.catalog.delete(ASSET)
    with pytest.raises(AssetMissing):
        world.access.reject(ASSET, Verdict(code="review_rejected", message="x"))


def replaced_meanwhile(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a newer version arrive between a look at the record and its change."""
    update = world.catalog.update

    def late(asset: str, **change: Any) -> AssetRecord:
        monkeypatch.undo()
        world.change(version="f" * 16, revision=world.record.revision + 1)
        return update(asset, **change)

    monkeypatch.setattr(world.catalog, "update", late)


@pytest.mark.parametrize("task", ["publish", "reject"])
def test_a_stage_never_decides_about_a_version_that_came_meanwhile(
    task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new version stays held."""
    world = World()
    call = world.call(task)
    replaced_meanwhile(world, monkeypatch)

    assert getattr(world.reviews, task)(call) == "stale"

    assert (world.record.version, world.record.status) == ("f" * 16, Status.REVIEW)
    assert world.quarantined == set()


@pytest.mark.parametrize("choice", Choice)
def test_a_decision_never_hits_a_version_that_came_meanwhile(
    choice: Choice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its effect is nothing, and people are asked about the new version."""
    world = World(Status.ACCEPTED)
    world.access.hold(ASSET)
    world.reviews.decide(ANN, world.open.id, choice, "seen")
    replaced_meanwhile(world, monkeypatch)

    world.reviews.follow(ASSET)

    assert (world.record.version, world.record.status) == ("f" * 16, Status.REVIEW)
    assert world.open.version == "f" * 16


def test_a_decision_takes_effect_whatever_else_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tag that is added at the same moment loses no decision."""
    world = World(Status.ACCEPTED)
    world.access.hold(ASSET)
    world.reviews.decide(ANN, world.open.id, Choice.APPROVE)
    update = world.catalog.update

    def late(asset: str, **change: Any) -> AssetRecord:
        monkeypatch.undo()
        update(asset, add_tags=["sea"])
        return update(asset, **change)

    monkeypatch.setattr(world.catalog, "update", late)
    world.reviews.follow(ASSET)

    assert (world.record.status, world.record.tags) == (Status.PUBLISHED, frozenset({"sea"}))
