"""What a worker leaves that dies at a bad moment, while people and other workers go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.unit.cli_pipeline import ENVIRONMENT
from tests.unit.fakes import MODIFIED, Killed
from tests.unit.test_ingest import OTHER, PHOTO, POLICY, World
from worker.domain.asset import CLOSED, SUPERSEDED, ObjectVersion, Verdict, asset_id_of
from worker.domain.errors import AssetMissing
from worker.domain.keys import asset_prefix, cache_metadata
from worker.imaging import engine
from worker.services.access import Access
from worker.services.erase import ORPHANED, Eraser
from worker.services.ingest import Ingest, IngestOutcome
from worker.settings import Settings

KEY = "a.jpg"
ASSET = asset_id_of("intake", KEY)


def access(world: World) -> Access:
    """What people do."""
    return Access(catalog=world.catalog, store=world.store, bucket="delivery", now=world.now)


def upload(world: World, data: bytes = PHOTO) -> ObjectVersion:
    """An upload under the one key."""
    return world.store.upload("intake", KEY, data)


def killed(world: World, change: ObjectVersion, at: str) -> None:
    """Let a worker die at its first call of this name, before it has an effect."""
    real = world.fuse.around

    def around(name: str, effect: Callable[[], object]) -> object:
        if name == at:
            raise Killed
        return real(name, effect)

    world.fuse.around = around  # type: ignore[method-assign]
    with pytest.raises(Killed):
        world.ingest(change)
    world.fuse.around = real  # type: ignore[method-assign]


def tags(world: World) -> dict[str, dict[str, str]]:
    """Of every file, by its key."""
    return {key: dict(world.store.tags("delivery", key)) for key in world.delivered()}


def test_the_message_of_a_published_asset_comes_again() -> None:
    """People were faster than the second delivery: there is nothing to do, and no defect."""
    world = World()
    first = upload(world)
    world.ingest(first)
    access(world).hold(ASSET)
    access(world).publish(ASSET)

    assert world.ingest(first, receives=2).outcome is IngestOutcome.DUPLICATE
    assert set(map(str, tags(world).values())) == {"{}"}


def test_a_new_version_of_what_is_held_is_closed_whoever_dies() -> None:
    """Its files are stored open, and closed after the commit: the second delivery closes them."""
    world = World()
    world.ingest(upload(world))
    access(world).hold(ASSET)
    second = upload(world, OTHER)
    killed(world, second, "store.tag")
    version = world.catalog.records[ASSET].version
    mine = {key for key in world.delivered() if version in key}
    assert {str(tags(world)[key]) for key in mine} == {"{}"}

    world.ingest(second, receives=2)

    assert [tags(world)[key] for key in mine] == [CLOSED] * len(mine)


@pytest.mark.parametrize("decision", ["held", "published", "isolated"])
def test_a_duplicate_changes_nothing_that_was_decided(decision: str) -> None:
    """Two workers have one upload; before the second stores its files, the asset is decided on."""
    world = World()
    first = upload(world)
    service = Ingest(
        store=world.store, catalog=world.catalog, policy=POLICY, process=engine.process
    )
    late = service.render(service.fetch(first))
    world.ingest(first)
    if decision == "isolated":
        access(world).close(ASSET, Verdict(code="nudity", message="a model has seen it"))
    else:
        access(world).hold(ASSET)
    if decision == "published":
        access(world).publish(ASSET)
    before = world.catalog.records[ASSET]

    assert service.commit(late).outcome is IngestOutcome.DUPLICATE
    service.close()

    assert world.catalog.records[ASSET] == before
    closed = {} if decision == "published" else CLOSED
    assert list(tags(world).values()) == [closed] * 3


@pytest.mark.parametrize("behind", [timedelta(), timedelta(minutes=14)])
def test_files_of_an_upload_that_was_never_recorded_expire(behind: timedelta) -> None:
    """Its worker has died, a newer upload was recorded, and one more is just being made. A worker
    whose clock is behind the store's lets the files expire too."""
    world = World()
    stored = datetime.fromisoformat(MODIFIED)
    world.now = lambda: stored - behind  # type: ignore[method-assign]
    stale, second, third = upload(world), upload(world, OTHER), upload(world, PHOTO + b"\0")
    killed(world, stale, "catalog.commit")
    left = world.delivered()
    world.ingest(second)
    before = world.delivered()
    killed(world, third, "catalog.commit")
    young = world.delivered() - before

    assert world.ingest(stale, receives=2).outcome is IngestOutcome.STALE

    assert left
    assert young
    found = tags(world)
    assert {key for key, given in found.items() if given == SUPERSEDED | CLOSED} == left
    assert {str(found[key]) for key in young} == {"{}"}


def test_files_of_an_upload_that_is_gone_are_removed() -> None:
    """Its worker has died before the commit, and its original was removed for good."""
    world = World()
    first = upload(world)
    killed(world, first, "catalog.commit")
    assert world.delivered()
    world.store.delete("intake", KEY, version_id=first.version_id)

    assert world.ingest(first, receives=2).outcome is IngestOutcome.DELETED

    assert world.delivered() == set()


def test_files_that_are_closed_while_they_are_replaced_expire_all_the_same() -> None:
    """Closing writes all tags of a file: those by which it expires must not be lost."""
    world = World()
    world.ingest(upload(world))
    old = world.delivered()
    real = world.store.tag

    def tag(bucket: str, key: str, given: dict[str, str]) -> None:
        world.store.tag = real  # type: ignore[method-assign]
        world.ingest(upload(world, OTHER))
        real(bucket, key, given)

    world.store.tag = tag  # type: ignore[method-assign,assignment]
    access(world).hold(ASSET)

    assert [tags(world)[key] for key in old] == [SUPERSEDED | CLOSED] * len(old)


@pytest.mark.parametrize("behind", [timedelta(), timedelta(minutes=2), timedelta(minutes=14)])
def test_a_replaced_version_expires_whatever_the_clock_of_the_worker_says(
    behind: timedelta,
) -> None:
    """S3 takes requests of a clock that is a quarter of an hour wrong."""
    world = World()
    stored = datetime.fromisoformat(MODIFIED)
    world.now = lambda: stored - behind  # type: ignore[method-assign]
    world.ingest(upload(world))
    old = world.delivered()

    world.ingest(upload(world, OTHER))

    assert [tags(world)[key] for key in old] == [SUPERSEDED | CLOSED] * len(old)
    assert all(tags(world)[key] == {} for key in world.delivered() - old)


def test_who_removes_an_asset_again_removes_what_was_left() -> None:
    """A removal that dies after the record has gone is completed by the same call, an hour later:
    files that are younger may be about to get a record."""
    world = World()
    key = f"{asset_prefix(ASSET)}{'0' * 16}/a.jpg"
    world.store.put("delivery", key, b"x", content_type="x/y", metadata=cache_metadata(key))
    stored = datetime.fromisoformat(MODIFIED)
    eraser = Eraser(
        catalog=world.catalog,
        store=world.store,
        settings=Settings.from_environment(ENVIRONMENT),
        now=lambda: stored + ORPHANED - timedelta(seconds=1),
    )
    with pytest.raises(AssetMissing):
        eraser.erase(ASSET)
    assert world.delivered() == {key}

    with pytest.raises(AssetMissing):
        replace(eraser, now=lambda: stored + ORPHANED + timedelta(seconds=2)).erase(ASSET)
    assert world.delivered() == set()
