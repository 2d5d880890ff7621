"""An oversize picture: the record that ingest would have made, of what the job has left."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from tests.unit.finalize.world import World
from tests.unit.pictures import encoded, photo
from tests.unit.specimens import animation
from tests.unit.test_ingest import RECIPE
from worker.codec import plain
from worker.domain.asset import MediaType, Status, medium_of
from worker.domain.errors import EngineError
from worker.domain.image import Recipe
from worker.domain.keys import stored, version_prefix
from worker.imaging import engine
from worker.services.finalize import FinalizeOutcome

PHOTO = encoded(photo(120, 80), "JPEG")
LIKE_SMALL = replace(RECIPE.renditions[0], name="large")


def oversize(data: bytes = PHOTO, wanted: Recipe = RECIPE, **changes: Any) -> World:
    """A large picture whose job is done; ``changes`` go into the manifest."""
    world = World(code="too_many_pixels", data=data)
    made = engine.process(data, wanted)
    files, renditions = [], []
    prefix = version_prefix(world.record)

    def store(name: str, data: bytes, media_type: str) -> None:
        world.store.put("delivery", prefix + name, data, content_type="", cache_control="")
        digest = hashlib.sha256(data).hexdigest()
        files.append(
            {"name": name, "bytes": len(data), "sha256": digest, "content_type": media_type}
        )

    for one in made.renditions:
        path = f"{one.name}.{one.format.extension}"
        store(path, one.data, one.format.media_type)
        said = plain(one.stored_as(path), defaults=True)
        said["path"] = said.pop("key")
        renditions.append(said)
    entry = {
        "probe": asdict(made.probe),
        "metadata": asdict(made.metadata),
        "renditions": renditions,
        "dropped": [asdict(one) for one in made.dropped],
    }
    manifest = {"recipe": {"digest": world.record.recipe_digest}, "pictures": [entry], **changes}
    store("manifest.json", json.dumps(manifest).encode(), "application/json")
    result = {
        "inputs": [{"uri": "u", "bytes": len(data), "etag": world.record.source.etag}],
        "outputs": files,
        "details": {"manifest": "manifest.json"},
    }
    store("result.json", json.dumps(result).encode(), "application/json")
    return world


def test_the_record_is_the_one_that_ingest_would_have_made() -> None:
    """Probe, metadata, renditions, and keys that nobody can tell from those of other pictures."""
    world = oversize()
    done = world.heavy.finish(world.record.asset, world.record.version)
    assert done.outcome is FinalizeOutcome.ACCEPTED
    record = world.now()
    expected = engine.process(PHOTO, RECIPE)
    assert (record.status, medium_of(record)) == (Status.ACCEPTED, MediaType.IMAGE)
    assert (record.probe, record.metadata) == (expected.probe, expected.metadata)
    assert [(one.name, one.format, one.sha256) for one in record.renditions] == [
        (one.name, one.format, one.sha256) for one in expected.renditions
    ]
    names = {f"{one.name}.{one.format.extension}" for one in expected.renditions}
    assert {one.key for one in record.renditions} == {
        version_prefix(record) + name for name in names
    }
    (event,) = world.catalog.told
    assert (event.type, event.detail["media"]) == ("asset.accepted", "image")


def test_an_animation_keeps_what_is_said_of_its_files() -> None:
    """Frames, duration and which files are equal reach the record as ingest would write them."""
    data = animation("GIF")
    recipe = replace(RECIPE, renditions=(*RECIPE.renditions, LIKE_SMALL))
    world = oversize(data, recipe)
    world.heavy.finish(world.record.asset, world.record.version)
    record = world.now()
    expected = engine.process(data, recipe).renditions
    assert record.renditions == tuple(stored(record, one) for one in expected)
    assert {one.duration_ms for one in expected} == {None, 280}
    assert {one.same_as for one in expected} == {None, "small"}


def test_a_picture_that_its_job_refuses_is_rejected() -> None:
    """With the job's code, like any other."""
    world = World(code="too_large", data=PHOTO)
    value = {"code": "too_many_frames", "message": "too many"}
    key = version_prefix(world.record) + "rejected.json"
    world.store.put("delivery", key, json.dumps(value).encode(), content_type="")
    done = world.heavy.finish(world.record.asset, world.record.version)
    assert done.outcome is FinalizeOutcome.REJECTED
    assert done.record is not None
    assert done.record.verdict is not None
    assert done.record.verdict.code == "too_many_frames"


@pytest.mark.parametrize(
    "changes",
    [
        {"recipe": {"digest": "f" * 64}},
        {"pictures": []},
        {"pictures": [{"probe": None}]},
        {"pictures": 4},
    ],
    ids=["other recipe", "no picture", "no probe", "no list"],
)
def test_a_manifest_that_makes_no_sense_is_a_defect(changes: dict[str, Any]) -> None:
    """The upload is neither committed nor rejected."""
    world = oversize(**changes)
    with pytest.raises(EngineError):
        world.heavy.finish(world.record.asset, world.record.version)
    assert world.now().status is Status.PROCESSING
