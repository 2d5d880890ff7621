"""Which uploads start a workflow, with what input, and how often."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.finalize.world import POLICY, World
from worker.domain.asset import Status
from worker.domain.errors import ConfigurationError


def test_a_waiting_video_starts_its_workflow_once() -> None:
    """The same upload is the same run, however often its event comes."""
    world = World()
    record = world.record
    first = world.heavy.start(record.asset, record.version)
    assert first == world.heavy.start(record.asset, record.version)
    ((name, payload),) = world.workflows.runs.items()
    assert name == f"{record.asset}-{record.version}"
    assert payload["media"] == "video"
    assert payload["source"] == "s3://intake/film.mov"
    assert str(payload["output"]).startswith("s3://delivery/")
    assert str(payload["output"]).endswith(f"/{record.asset}/{record.version}")
    assert (payload["max_seconds"], payload["recipe"]) == (600, "default")
    assert payload["access"] == "open"


def test_a_new_attempt_is_a_new_run_of_the_same_jobs() -> None:
    """Jobs go by the upload: what is done is not done again."""
    world = World()
    world.heavy.start(world.record.asset, world.record.version)
    world.heavy.start(world.record.asset, world.record.version, attempt=2)
    assert len(world.workflows.runs) == 2
    assert len({str(payload["name"]) for payload in world.workflows.runs.values()}) == 1


def test_what_does_not_wait_starts_nothing() -> None:
    """An event that comes late, of an upload that is finished, replaced or erased."""
    world = World()
    asset, version = world.record.asset, world.record.version
    assert world.heavy.start(asset, "0" * 16) is None
    assert world.heavy.start("nobody", version) is None
    world.catalog.records[asset] = replace(world.record, status=Status.ACCEPTED)
    assert world.heavy.start(asset, version) is None
    assert world.workflows.runs == {}


def test_without_a_state_machine_nothing_can_be_started() -> None:
    """The message names the variable."""
    world = World()
    world.wired = False
    with pytest.raises(ConfigurationError, match="SAFELIGHT_HEAVY_WORKFLOW"):
        world.heavy.start(world.record.asset, world.record.version)


def test_an_oversize_picture_is_an_image() -> None:
    """Whatever it is too much of."""
    world = World(code="too_many_pixels")
    world.heavy.start(world.record.asset, world.record.version)
    (payload,) = world.workflows.runs.values()
    assert payload["media"] == "image"


@pytest.mark.parametrize(
    ("size", "divided", "groups"),
    [(99, False, 2), (100, True, 2), (101, True, 3), (1600, True, 32), (5000, True, 32)],
)
def test_large_videos_are_divided(size: int, divided: bool, groups: int) -> None:
    """From exactly the setting on, into parts of half of it, to a limit."""
    world = World(policy=replace(POLICY, video_array_bytes=100), data=bytes(size))
    world.heavy.start(world.record.asset, world.record.version)
    (payload,) = world.workflows.runs.values()
    assert (payload["divided"], payload["groups"]) == (divided, groups)
