"""Which uploads ingest leaves to Batch, exactly at the edges of its settings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.pictures import encoded, photo
from tests.unit.test_ingest import POLICY, RECIPE, VIDEO, World
from worker.domain.image import Limits
from worker.services.ingest import IngestOutcome

EDGES = [
    (4000, 100, IngestOutcome.ACCEPTED),
    (4001, 100, IngestOutcome.PROCESSING),
    (3000, 101, IngestOutcome.PROCESSING),
]


@pytest.mark.parametrize(("size", "wide", "outcome"), EDGES)
def test_routing_is_exact_at_its_edges(size: int, wide: int, outcome: IngestOutcome) -> None:
    """A byte or a pixel row more than the setting is another way; the setting itself is not."""
    rows = photo(2, 2)[:1, :1].repeat(100, 0).repeat(wide, 1)
    world = World(policy=replace(POLICY, heavy_bytes=4000, heavy_pixels=100 * 100))
    data = encoded(rows, "JPEG")
    done = world.ingest(world.store.upload("intake", "x", data + bytes(size - len(data))))
    assert done.outcome is outcome


def test_a_video_of_the_largest_size_is_accepted_and_one_byte_more_is_not() -> None:
    """The limit of videos is a setting of its own; the recipe's limit is for pictures."""
    world = World(policy=replace(POLICY, video_bytes=len(VIDEO)))
    assert (
        world.ingest(world.store.upload("intake", "x", VIDEO)).outcome is IngestOutcome.PROCESSING
    )
    done = world.ingest(world.store.upload("intake", "y", VIDEO + b"\0"))
    assert done.outcome is IngestOutcome.REJECTED
    assert done.record is not None
    assert done.record.verdict is not None
    assert done.record.verdict.code == "too_many_bytes"


@pytest.mark.parametrize("data", [VIDEO, VIDEO[:1000]], ids=["large", "small"])
def test_videos_can_be_refused(data: bytes) -> None:
    """With routing off a video is a format that is not allowed, whatever its size."""
    world = World(policy=replace(POLICY, video=False, recipe=replace(RECIPE, limits=Limits())))
    done = world.ingest(world.store.upload("intake", "x", data))
    assert done.outcome is IngestOutcome.REJECTED
    assert done.record is not None
    assert done.record.verdict is not None
    assert done.record.verdict.code == "format_not_allowed"


@pytest.mark.parametrize("start", [b"PK\x03\x04", b"FLV\x01", b"OggS", b"nothing known"])
def test_no_job_is_asked_for_what_none_accepts(start: bytes) -> None:
    """Too large to fetch, and by its first bytes neither a picture nor an accepted video."""
    world = World()
    data = start + bytes(POLICY.heavy_bytes + 1 - len(start))
    assert world.ingest(world.store.upload("intake", "x", data)).outcome is IngestOutcome.REJECTED
