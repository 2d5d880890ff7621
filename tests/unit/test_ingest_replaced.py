"""What becomes of the files of a version that was replaced, and of the labels of uploads."""

from __future__ import annotations

import pytest

from tests.unit.fakes import Fuse, Killed
from tests.unit.test_ingest import OTHER, PHOTO, World
from tests.unit.test_ingest_removals import BAD, KEY, accepted, now
from worker.domain.asset import CLOSED, SUPERSEDED, Status
from worker.domain.keys import version_prefix
from worker.subprocesses import sandbox


def expired(world: World) -> World:
    """What the bucket's rule does in the end."""
    for (bucket, key), kept in list(world.store.versions.items()):
        if bucket == "delivery" and kept and SUPERSEDED.items() <= kept[-1].tags.items():
            world.store.delete(bucket, key)
    return world


def test_ten_overwrites_leave_the_files_of_one_version() -> None:
    """Each time those of the version before are tagged, once, and begin to age anew."""
    world = World()
    for number in range(10):
        accepted(world, data=(PHOTO, OTHER)[number % 2])
    record = now(world)
    assert world.fuse.calls.count("store.renew") == 9 * len(record.renditions)
    assert {one.key for one in record.renditions} < world.delivered()
    assert expired(world).delivered() == {one.key for one in record.renditions}


def test_files_of_a_replaced_version_are_closed_at_once() -> None:
    """Pages that name it are led to the new version, and no edge takes a file of it any more."""
    world = World()
    old = accepted(world)
    accepted(world, data=OTHER)

    for one in old.renditions:
        assert world.store.versions["delivery", one.key][-1].tags == SUPERSEDED | CLOSED
    new, edges = world.catalog.told[-2:]
    assert new.detail["replaces"] == old.version
    assert (edges.type, edges.detail["cause"]) == ("asset.invalidated", "replaced")


def test_copies_of_what_expires_do_not_expire() -> None:
    """Another asset with the same bytes has files of its own."""
    world = World()
    accepted(world)
    accepted(world, "uploads/b.jpg")
    accepted(world, data=OTHER)
    for record in world.catalog.records.values():
        assert {one.key for one in record.renditions} <= expired(world).delivered()


def test_what_a_replaced_job_left_for_itself_goes_at_once() -> None:
    """A later job of the same name must not take files for done that are about to go."""
    world = World()
    old = accepted(world)
    place = version_prefix(old)
    for name in ("transcode/result.json", "transcode/.checkpoint/x/notes/1.json", "hls/0.m4s"):
        world.store.put("delivery", place + name, b"x", content_type="")
    accepted(world, data=OTHER)
    names = {key.removeprefix(place) for key in world.delivered() if key.startswith(place)}
    assert "hls/0.m4s" in names
    assert not any("result" in name or "checkpoint" in name for name in names)


def test_a_killed_replacement_is_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    """At every call; a file is renewed again only if it was not yet."""
    monkeypatch.setattr(sandbox, "run", lambda function, *given, limits: function(*given))
    calm = World()
    accepted(calm)
    before = len(calm.fuse.calls)
    accepted(calm, data=OTHER)
    for step in range(before + 1, len(calm.fuse.calls) + 1):
        world = World(Fuse(burns_at=step, after=True))
        accepted(world)
        upload = world.store.upload("intake", KEY, OTHER)
        with pytest.raises(Killed):
            world.ingest(upload)
        world.fuse.burns_at = None
        world.ingest(upload, receives=2)
        assert expired(world).delivered() == {one.key for one in now(world).renditions}, step


def test_a_replacement_that_was_replaced_before_it_was_completed_is_too() -> None:
    """Its own retry finds a newer upload, and lets everything go but what is served."""
    steps = World()
    accepted(steps)
    accepted(steps, data=OTHER)
    renew = steps.fuse.calls.index("store.renew") + 1
    world = World(Fuse(burns_at=renew))
    accepted(world)
    second = world.store.upload("intake", KEY, OTHER)
    with pytest.raises(Killed):
        world.ingest(second)
    world.fuse.burns_at = None
    accepted(world)
    world.ingest(second, receives=2)
    assert expired(world).delivered() == {one.key for one in now(world).renditions}


# --- folders and labels -----------------------------------------------------------------------


def test_labels_come_from_the_metadata_of_the_object() -> None:
    """Good ones reach the record, others the timeline, and those of a newer upload join them."""
    world = World()
    metadata = {"owner": "Zo%C3%AB", "tags": "sea,%FF", "attributes": "roll=12", "else": "x"}
    first = world.ingest(world.store.upload("intake", KEY, PHOTO, metadata)).record
    assert first is not None
    assert (first.owner, first.tags, first.attributes) == (
        "Zoë",
        frozenset({"sea"}),
        {"roll": "12"},
    )
    (line,) = world.catalog.timeline(first.asset)
    assert line.detail["ignored"] == "tags: '%FF' is not percent-encoded UTF-8"

    world.ingest(world.store.upload("intake", KEY, OTHER, {"tags": "sun"}))
    assert (now(world).owner, now(world).tags) == ("Zoë", frozenset({"sea", "sun"}))


def test_labels_of_what_is_rejected_or_waits_are_kept_too() -> None:
    """They are of the upload, whatever becomes of it."""
    world = World()
    rejected = world.ingest(world.store.upload("intake", KEY, BAD, {"owner": "ada"})).record
    video = b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + b"\0" * 100
    waits = world.ingest(world.store.upload("intake", "f.mp4", video, {"tags": "sea"})).record
    assert rejected is not None
    assert waits is not None
    assert (rejected.status, rejected.owner) == (Status.REJECTED, "ada")
    assert (waits.status, waits.tags) == (Status.PROCESSING, frozenset({"sea"}))
