"""Events of decisions at the workflow function: from the bus, twice, and from its dead letters."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.cli_pipeline import ENVIRONMENT
from tests.unit.memory_queue import MemoryQueue
from tests.unit.review_world import ANN, World
from tests.unit.test_deliver import ASSET
from worker.bootstrap import Application
from worker.domain.asset import Status
from worker.domain.errors import MalformedMessage
from worker.domain.review import FOLLOWED, Choice, concerns_reviews
from worker.domain.workflow import StageCall
from worker.entrypoints import lambda_workflow
from worker.services.messages import not_started
from worker.settings import Settings


def app_of(world: World) -> Application:
    """The function's services on a world's stores."""
    return Application(
        settings=Settings.from_environment(ENVIRONMENT),
        store=world.store,
        catalog=world.catalog,
        queue=MemoryQueue(),
        workflows=world.machine,  # type: ignore[arg-type]
    )


def told(world: World, kind: str, **data: object) -> dict[str, Any]:
    """An event of the bus."""
    data = {"version": world.record.version, **data}
    return {"source": "safelight", "detail-type": kind, "detail": {"asset": ASSET, "data": data}}


def test_the_event_of_a_decision_brings_its_effect() -> None:
    """Once, however often it comes."""
    world = World(Status.ACCEPTED)
    world.access.hold(ASSET)
    world.reviews.decide(ANN, world.open.id, Choice.APPROVE)
    event = told(world, "asset.approved")

    first = lambda_workflow.handle(event, app_of(world))
    again = lambda_workflow.handle(event, app_of(world))

    assert (first, again) == ({"reviews": ["approved"]}, {"reviews": []})
    assert world.record.status is Status.PUBLISHED


def test_the_event_of_a_held_asset_asks_people() -> None:
    """If whoever held it has died before it asked."""
    world = World()

    answered = lambda_workflow.handle(told(world, "asset.held"), app_of(world))

    assert answered == {"reviews": ["asked"]}
    assert world.open.deadline == ""


@pytest.mark.parametrize("data", [{"was": "review"}, {"replaced": "review"}])
def test_the_event_of_a_change_withdraws_the_question(data: dict[str, object]) -> None:
    """The machine that waits ends."""
    world = World()
    world.ask()
    world.change(version="f" * 16, status=Status.ACCEPTED)

    answered = lambda_workflow.handle(told(world, "asset.accepted", **data), app_of(world))

    assert answered == {"reviews": ["stale"]}
    assert world.machine.answers == [("t1", "stale")]


def test_an_event_that_leads_to_nothing_is_malformed() -> None:
    """No rule of ours sends it."""
    world = World()

    with pytest.raises(MalformedMessage):
        lambda_workflow.handle(told(world, "asset.accepted"), app_of(world))
    with pytest.raises(MalformedMessage):
        lambda_workflow.handle({"detail-type": "asset.approved", "detail": None}, app_of(world))


@pytest.mark.parametrize("task", ["approve", "expire", "publish", "reject", "quarantine"])
def test_the_function_knows_the_stages_of_reviews(task: str) -> None:
    """Each answers with a word by which the machine goes on."""
    call = StageCall(task=task, asset=ASSET, version="f" * 16)

    answered = lambda_workflow.STAGES[task](app_of(World()), call)

    assert answered == {"outcome": "stale"}


def test_a_letter_of_a_decision_is_followed_again() -> None:
    """The function has failed on it: sent back, it takes effect."""
    world = World(Status.ACCEPTED)
    world.access.hold(ASSET)
    world.reviews.decide(ANN, world.open.id, Choice.APPROVE)
    letter = {
        "requestPayload": told(world, "asset.approved"),
        "responsePayload": {"errorType": "Unreachable", "errorMessage": "no answer"},
    }

    found = not_started(json.dumps(letter), {})
    app_of(world).follow(found.asset, found.version)

    assert found.cause == "unreachable"
    assert world.record.status is Status.PUBLISHED


def test_ordinary_events_concern_no_review() -> None:
    """The rule sends none of them."""
    ordinary = ("asset.accepted", "asset.rejected", "asset.processing", "asset.deleted")
    for kind in ordinary:
        assert not concerns_reviews(kind, {"version": "1", "status": "accepted"})
        assert not concerns_reviews(kind, {"was": "accepted", "replaces": "f" * 16})
    for kind in FOLLOWED:
        assert concerns_reviews(kind, {})
