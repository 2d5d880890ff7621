"""Which uploads start a workflow, with what input, and how often; how a failed run is resumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from batch.workflows import compiler
from tests.unit.finalize.world import RUNS, World
from worker.domain.asset import Status
from worker.domain.errors import ConfigurationError, Conflict, RunMissing
from worker.domain.workflow import RunState
from worker.recipes.workflow import load


def test_a_waiting_video_starts_its_workflow_once() -> None:
    """The same upload is the same run, however often its event comes."""
    world = World()
    record = world.record
    first = world.runs.start(record.asset, record.version)
    assert first == world.runs.start(record.asset, record.version)
    ((name, (workflow, payload)),) = world.workflows.started.items()
    assert name == f"{record.asset}-{record.version}"
    assert workflow == payload["workflow"] == "video"
    assert payload["media"] == "video"
    assert payload["source"] == "s3://intake/film.mov"
    assert str(payload["output"]).startswith("s3://delivery/")
    assert str(payload["output"]).endswith(f"/{record.asset}/{record.version}")
    assert (payload["max_seconds"], payload["recipe"]) == (600, "default")
    assert payload["access"] == "open"


def test_a_new_attempt_is_a_new_run_of_the_same_jobs() -> None:
    """Jobs go by the upload: what is done is not done again."""
    world = World()
    world.runs.start(world.record.asset, world.record.version)
    world.runs.start(world.record.asset, world.record.version, attempt=2)
    assert len(world.workflows.started) == 2
    assert len({str(payload["name"]) for _, payload in world.workflows.started.values()}) == 1


def test_what_does_not_wait_starts_nothing() -> None:
    """An event that comes late, of an upload that is finished, replaced or erased."""
    world = World()
    asset, version = world.record.asset, world.record.version
    assert world.runs.start(asset, "0" * 16) is None
    assert world.runs.start("nobody", version) is None
    world.catalog.records[asset] = replace(world.record, status=Status.ACCEPTED, workflow="")
    assert world.runs.start(asset, version) is None
    assert world.workflows.started == {}


def test_without_a_state_machine_nothing_can_be_started() -> None:
    """The message names the variable."""
    world = World()
    world.wired = False
    with pytest.raises(ConfigurationError, match="SAFELIGHT_WORKFLOWS"):
        world.runs.start(world.record.asset, world.record.version)


def test_an_oversize_picture_is_an_image() -> None:
    """A picture with too many pixels starts the workflow with the media type image."""
    world = World(code="too_many_pixels")
    world.runs.start(world.record.asset, world.record.version)
    ((_, payload),) = world.workflows.started.values()
    assert payload["media"] == "image"


@pytest.mark.parametrize(
    ("size", "divided", "groups"),
    [(99, False, 2), (100, True, 2), (101, True, 3), (1600, True, 32), (5000, True, 32)],
)
def test_large_videos_are_divided(size: int, divided: bool, groups: int) -> None:
    """From exactly the setting on, into parts of half of it, to a limit."""
    world = World(run_policy=replace(RUNS, video_array_bytes=100), data=bytes(size))
    world.runs.start(world.record.asset, world.record.version)
    ((_, payload),) = world.workflows.started.values()
    assert (payload["divided"], payload["groups"]) == (divided, groups)


# --- approvals --------------------------------------------------------------------------------


def approving(world: World, **changes: Any) -> World:
    """The upload waits for a person."""
    waits: dict[str, Any] = {"status": Status.REVIEW, "workflow": "approve", "verdict": None}
    waiting = replace(world.record, **(waits | changes))
    world.catalog.records[waiting.asset] = waiting
    return world


def test_what_waits_for_a_person_starts_its_workflow() -> None:
    """Closed, with the same input as any other."""
    world = approving(World())
    world.runs.start(world.record.asset, world.record.version)
    ((workflow, payload),) = world.workflows.started.values()
    assert workflow == payload["workflow"] == "approve"
    assert payload["access"] == "closed"
    assert payload["jobs"] == []


def test_only_jobs_are_started_again() -> None:
    """A second question to people would be one too many; what never began is started."""
    world = approving(World())
    asset, version = world.record.asset, world.record.version
    assert world.runs.restart(asset, version) is None
    assert world.runs.redrive(asset, version) == f"run:{asset}-{version}"
    world = World()
    assert world.runs.restart(asset, version) != world.runs.start(asset, version)


# --- resume -----------------------------------------------------------------------------------


def failed_stage(states: Sequence[str]) -> str:
    """By the workflow that ships."""
    return compiler.failed_stage(load("approve"), states)


def failed(world: World, *states: str, state: RunState = RunState.FAILED) -> str:
    """A run that has ended in a state; its name."""
    world.runs.start(world.record.asset, world.record.version)
    name = f"{world.record.asset}-{world.record.version}"
    world.workflows.ended[name] = (state, states)
    return name


def test_a_failed_run_is_resumed_from_the_stage_that_failed() -> None:
    """Not from the end that its failure path has led to; each time under a name of its own."""
    world = approving(World())
    name = failed(world, "Begin", "People", "People outcome", "Publish", "Secure", "Broken")
    first = world.runs.resume("approve", name, failed_stage)
    assert (first.name, first.input["resume"]) == (f"{name}-2", "publish")
    world.workflows.ended[first.name] = (RunState.FAILED, ("Begin", "Publish", "Secure"))
    second = world.runs.resume("approve", first.name, failed_stage, stage="people")
    assert (second.name, second.input["resume"]) == (f"{name}-3", "people")
    assert {**second.input, "resume": ""} == {**first.input, "resume": ""}


@pytest.mark.parametrize("state", [RunState.RUNNING, RunState.SUCCEEDED])
def test_only_what_has_failed_is_resumed(state: RunState) -> None:
    """Two runs of one version at once would ask people twice."""
    world = approving(World())
    name = failed(world, "People", state=state)
    with pytest.raises(Conflict) as caught:
        world.runs.resume("approve", name, failed_stage)
    assert caught.value.code == "run_not_failed"


@pytest.mark.parametrize(
    "changes",
    [{"version": "0" * 16}, {"workflow": "", "status": Status.PUBLISHED}, {"workflow": "other"}],
    ids=str,
)
def test_a_version_that_does_not_wait_any_more_is_not_resumed(changes: dict[str, Any]) -> None:
    """It was replaced, or somebody has decided meanwhile."""
    world = approving(World())
    name = failed(world, "People")
    approving(world, **changes)
    with pytest.raises(Conflict) as caught:
        world.runs.resume("approve", name, failed_stage)
    assert caught.value.code == "run_superseded"


def test_a_run_that_is_not_there_is_an_error_of_its_own() -> None:
    """With its name."""
    with pytest.raises(RunMissing, match="nobody"):
        World().runs.run("approve", "nobody")
