"""The workflow function's handler: events in, one service call, JSON out."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.cli_pipeline import MemorySecrets
from tests.unit.finalize.world import World
from tests.unit.memory_queue import MemoryQueue
from tests.unit.test_settings import COMPLETE
from worker.bootstrap import Application
from worker.domain.asset import Status
from worker.domain.errors import (
    InputError,
    MalformedMessage,
    Throttled,
    TransientError,
    Unreachable,
)
from worker.domain.events import cloud_event, event_of
from worker.domain.workflow import StageCall
from worker.entrypoints import lambda_workflow
from worker.settings import Settings


def application(world: World) -> Application:
    """The services on a world of fakes."""
    return Application(
        settings=Settings.from_environment(COMPLETE),
        store=world.store,
        catalog=world.catalog,
        queue=MemoryQueue(),
        workflows=world.workflows,
    )


def heavy_event(world: World) -> dict[str, Any]:
    """What EventBridge delivers, through JSON."""
    event = event_of(world.record)
    whole = {"source": "safelight", "detail-type": event.type, "detail": cloud_event(event)}
    found: dict[str, Any] = json.loads(json.dumps(whole))
    return found


def test_the_event_of_a_heavy_upload_starts_its_workflow() -> None:
    """The event that ingest publishes is the one that is understood here."""
    world = World()
    name = f"{world.record.asset}-{world.record.version}"
    assert lambda_workflow.handle(heavy_event(world), application(world)) == {
        "execution": f"run:{name}"
    }
    assert set(world.workflows.started) == {name}


def test_whoever_wakes_the_function_up_publishes_no_metrics(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty event leaves no line of metrics, and no warning that there are none."""
    app = application(World())
    monkeypatch.setattr(lambda_workflow, "application", lambda: app)

    assert lambda_workflow.handler({}, None) == {}

    assert capsys.readouterr().out == ""


def test_a_workflow_can_be_started_again_by_hand() -> None:
    """After a failure whose cause is gone."""
    world = World()
    task = {"task": "start", "asset": world.record.asset, "version": world.record.version}
    lambda_workflow.handle({**task, "attempt": 2}, application(world))
    (run,) = world.workflows.started
    assert run.endswith("-2")


def test_the_last_task_commits_the_record() -> None:
    """Its answer is what the state machine's last choice looks at."""
    world = World()
    world.leave_all()
    task = {"task": "finish", "asset": world.record.asset, "version": world.record.version}
    jobs = [{"kind": "transcode", "state": "done"}]
    answer = lambda_workflow.handle({**task, "jobs": jobs, "media": "video"}, application(world))
    assert answer == {"outcome": "accepted", "code": None}
    assert world.now().status is Status.ACCEPTED


def test_a_failed_job_is_reported_in_the_answer() -> None:
    """The execution ends as failed, which an alarm sees."""
    world = World()
    task = {"task": "finish", "asset": world.record.asset, "version": world.record.version}
    jobs = [{"kind": "transcode", "state": "failed", "error": "E", "cause": "C"}]
    answer = lambda_workflow.handle({**task, "jobs": jobs}, application(world))
    assert answer["outcome"] == "failed"


def test_warming_up_wires_everything_and_does_nothing() -> None:
    """A mistake in the settings shows at the start of a process."""
    world = World()
    assert lambda_workflow.answer({}, application(world)) == {}
    assert world.workflows.started == {}


@pytest.mark.parametrize(
    "event",
    [
        {"task": "dance", "asset": "a", "version": "v"},
        {"task": "finish"},
        {"detail-type": "asset.processing", "detail": {"asset": "a"}},
        {"detail-type": "asset.processing", "detail": None},
        {"detail-type": "asset.accepted"},
        {"task": "finish", "asset": "a", "version": "v", "jobs": [4]},
        {"task": "finish", "asset": 7, "version": "v"},
        {"task": ["finish"], "asset": "a", "version": "v"},
    ],
    ids=str,
)
def test_other_events_are_refused(event: dict[str, Any]) -> None:
    """By one error that says so."""
    with pytest.raises(MalformedMessage):
        lambda_workflow.handle(event, application(World()))


@pytest.mark.parametrize(
    ("raised", "wanted"), [(Unreachable, TransientError), (Throttled, Throttled)]
)
def test_what_may_work_later_has_one_of_two_classes_for_the_state_machine(
    monkeypatch: pytest.MonkeyPatch,
    raised: type[TransientError],
    wanted: type[TransientError],
) -> None:
    """A retry rule matches the name of a class, and knows no tree."""
    world = World()
    app = application(world)

    def down(_asset: str) -> None:
        raise raised("no answer")

    monkeypatch.setattr(world.catalog, "get", down)
    with pytest.raises(TransientError) as caught:
        lambda_workflow.answer(heavy_event(world), app)
    assert type(caught.value) is wanted
    assert caught.value.code == raised.code


def test_what_a_state_machine_says_of_a_stage() -> None:
    """All that is not a name of ours is a parameter of the stage."""
    call = lambda_workflow.stage_call(
        {
            "task": "approve",
            "stage": "people",
            "asset": "a",
            "version": "v",
            "workflow": "approve",
            "execution": "e",
            "token": "t",
            "traceparent": "p",
            "hours": 4,
        }
    )
    assert call == StageCall(
        task="approve",
        stage="people",
        asset="a",
        version="v",
        workflow="approve",
        execution="e",
        token="t",
        parameters={"hours": 4},
    )


def test_a_stage_sends_the_event_of_the_record() -> None:
    """It goes into the endpoint's queue; a version that was replaced meanwhile sends nothing."""
    world = World()
    queue = {"queue": "hooks", "dead_letters": "dead"}
    shop = {"url": "https://shop.example/", "events": ["job.*"], **queue}
    settings = {**COMPLETE, "SAFELIGHT_WEBHOOKS": json.dumps({"shop": shop})}
    app = replace(
        application(world),
        settings=Settings.from_environment(settings),
        secrets=MemorySecrets(),
    )
    call = {"task": "webhook", "asset": world.record.asset, "version": world.record.version}

    assert lambda_workflow.handle({**call, "endpoint": "shop"}, app) == {"outcome": "sent"}
    stale = {**call, "version": "another", "endpoint": "shop"}
    assert lambda_workflow.handle(stale, app) == {"outcome": "stale"}

    assert isinstance(app.queue, MemoryQueue)
    (body,) = app.queue.bodies("hooks")
    assert json.loads(body)["detail"] == cloud_event(event_of(world.record))
    with pytest.raises(InputError):
        lambda_workflow.handle({**call, "endpoint": "nobody"}, app)
