"""What is deleted, renamed, replaced or rejected: record and bucket tell the same in the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from tests.unit.fakes import Fuse, Killed
from tests.unit.test_ingest import OTHER, PHOTO, World
from worker.domain.asset import (
    CLOSED,
    AssetRecord,
    LogEntry,
    ObjectVersion,
    Removal,
    Status,
    asset_id_of,
    is_tombstone,
    tombstone,
)
from worker.domain.errors import ObjectMissing, Throttled
from worker.domain.keys import asset_prefix, cache_metadata
from worker.services.erase import Eraser
from worker.services.ingest import IngestOutcome
from worker.settings import Settings

KEY = "uploads/a.jpg"
BAD = b"no picture"


def erasing(world: World) -> World:
    """The same world, with the other setting."""
    settings = Settings(
        table="t",
        intake_bucket="intake",
        delivery_bucket="delivery",
        quarantine_bucket="quarantine",
        event_bus="b",
        queue_url="q",
        dlq_url="d",
    )
    world.erase = Eraser(catalog=world.catalog, store=world.store, settings=settings).erase
    return world


def accepted(world: World, key: str = KEY, data: bytes = PHOTO) -> AssetRecord:
    """An asset."""
    done = world.ingest(world.store.upload("intake", key, data))
    assert done.record is not None
    return done.record


def now(world: World, key: str = KEY) -> AssetRecord:
    """What is known of an asset."""
    return world.catalog.records[asset_id_of("intake", key)]


def agree(world: World, key: str = KEY) -> None:
    """Record and bucket tell the same: what is current is what the record is of, or neither is."""
    record = now(world, key)
    try:
        current = world.store.head("intake", key)
    except ObjectMissing:
        assert record.status in {Status.DELETED, Status.REJECTED}
    else:
        assert record.status is Status.ACCEPTED
        assert current.version_id == record.source.version_id
        assert {one.key for one in record.renditions} <= world.delivered()


# --- deletions --------------------------------------------------------------------------------


def test_a_deleted_original_is_gone_and_the_rest_stays() -> None:
    """The record says so, others are told, renditions are served on; twice is once."""
    world = World()
    before = accepted(world)
    removal = world.store.remove("intake", KEY)

    assert world.ingest(removal).outcome is IngestOutcome.DELETED
    record = now(world)
    assert (record.status, record.verdict and record.verdict.code) == (
        Status.DELETED,
        "original_gone",
    )
    assert record.renditions == before.renditions
    assert {one.key for one in record.renditions} == world.delivered()
    assert world.ingest(removal).outcome is IngestOutcome.DUPLICATE
    told = [event.type for event in world.catalog.told]
    assert told == ["asset.accepted", "asset.deleted", "asset.invalidated"]
    agree(world)


def test_files_of_a_deleted_original_are_kept_and_closed() -> None:
    """The delivery function says 410, and the bucket lets the distribution read nothing else."""
    world = World()
    record = accepted(world)

    world.ingest(world.store.remove("intake", KEY))

    assert now(world).status is Status.DELETED
    for one in record.renditions:
        assert world.store.versions["delivery", one.key][-1].tags == CLOSED
    # The edges are told after the files are closed.
    assert world.fuse.calls.index("store.tag") < world.fuse.calls.index("catalog.log")
    assert [one.type for one in world.catalog.told[-2:]] == ["asset.deleted", "asset.invalidated"]


def test_a_deleted_original_is_erased_where_that_is_asked_for() -> None:
    """With everything, the versions that a marker of the deletion hides too; twice is once."""
    world = erasing(World())
    accepted(world)
    removal = world.store.remove("intake", KEY)

    assert world.ingest(removal).outcome is IngestOutcome.ERASED
    assert world.catalog.records == {}
    assert [at for at, kept in world.store.versions.items() if kept] == []
    assert world.ingest(removal).outcome is IngestOutcome.UNCHANGED
    assert [event.type for event in world.catalog.told] == ["asset.accepted", "asset.erased"]


@pytest.mark.parametrize("erase", [False, True], ids=["keep", "erase"])
def test_events_in_any_order_end_as_the_bucket_does(*, erase: bool) -> None:
    """Upload, deletion, another upload: the last one stays; with another deletion nothing does."""
    for last_is_deleted in (False, True):
        for order in permutations(range(4 if last_is_deleted else 3)):
            world = erasing(World()) if erase else World()
            events = [
                world.store.upload("intake", KEY, PHOTO),
                world.store.remove("intake", KEY),
                world.store.upload("intake", KEY, OTHER),
                *([world.store.remove("intake", KEY)] if last_is_deleted else []),
            ]
            for number in order:
                world.ingest(events[number])  # type: ignore[arg-type]
            if last_is_deleted and erase:
                assert world.catalog.records == {}, order
            else:
                agree(world)
                assert now(world).source == events[2]


def test_a_deletion_before_the_commit_is_seen_after_it() -> None:
    """The event of the deletion was handled first and found no record."""
    world = World()
    upload = world.store.upload("intake", KEY, PHOTO)
    commit = world.catalog.commit

    def late(record: AssetRecord, entry: LogEntry, *, new: bool = False) -> AssetRecord:
        if record.status is Status.ACCEPTED:
            removal = world.store.remove("intake", KEY)
            assert world.ingest(removal).outcome is IngestOutcome.UNCHANGED
        return commit(record, entry, new=new)

    world.catalog.commit = late  # type: ignore[method-assign]
    assert world.ingest(upload).outcome is IngestOutcome.DELETED
    agree(world)


def test_a_retry_looks_again() -> None:
    """Killed between the commit and the look after it."""
    steps = World()
    steps.ingest(steps.store.upload("intake", KEY, PHOTO))
    head = steps.fuse.calls.index("store.head") + 1
    world = World(Fuse(burns_at=head))
    upload = world.store.upload("intake", KEY, PHOTO)
    with pytest.raises(Killed):
        world.ingest(upload)
    world.fuse.burns_at = None
    removal = world.store.remove("intake", KEY)
    assert world.ingest(upload, receives=2).outcome is IngestOutcome.DUPLICATE
    agree(world)
    assert world.ingest(removal).outcome is IngestOutcome.DUPLICATE


def test_a_deleted_earlier_version_changes_nothing() -> None:
    """As the bucket's rules do with what was replaced."""
    world = World()
    old = world.store.upload("intake", KEY, PHOTO)
    record = accepted(world, data=OTHER)
    removal = world.store.remove("intake", KEY, old.version_id)
    assert world.ingest(removal).outcome is IngestOutcome.UNCHANGED
    assert now(world) == record


@pytest.mark.parametrize("erase", [False, True], ids=["keep", "erase"])
def test_an_earlier_version_that_comes_to_light_is_an_upload(*, erase: bool) -> None:
    """The current version is deleted for good: what lies below it is what the bucket shows."""
    world = erasing(World()) if erase else World()
    first = accepted(world)
    second = accepted(world, data=OTHER)
    removal = world.store.remove("intake", KEY, second.source.version_id)
    assert world.ingest(removal).outcome is IngestOutcome.ACCEPTED
    assert now(world).source.version_id == first.source.version_id
    agree(world)


def test_an_original_that_is_brought_back_is_an_upload() -> None:
    """Somebody deletes the marker of the deletion."""
    world = World()
    accepted(world)
    removal = world.store.remove("intake", KEY)
    world.ingest(removal)
    again = world.store.remove("intake", KEY, removal.version_id)
    assert world.ingest(again).outcome is IngestOutcome.ACCEPTED
    agree(world)
    assert world.ingest(removal).outcome is IngestOutcome.UNCHANGED
    agree(world)


def test_an_expired_original_says_that_it_expired() -> None:
    """Such events may come without a sequencer."""
    world = World()
    accepted(world)
    removal = replace(world.store.remove("intake", KEY), sequencer="", expired=True)
    assert world.ingest(removal).outcome is IngestOutcome.DELETED
    record = now(world)
    assert record.verdict is not None
    assert "expired by a rule" in record.verdict.message


@pytest.mark.parametrize("bucket", ["delivery", "quarantine", "elsewhere"])
def test_deletions_in_other_buckets_are_not_looked_at(bucket: str) -> None:
    """Only originals have records."""
    world = World()
    removal = Removal(bucket=bucket, key=KEY, sequencer="01")
    assert world.ingest(removal).outcome is IngestOutcome.IGNORED
    assert world.fuse.calls == []


# --- renames ----------------------------------------------------------------------------------


@pytest.mark.parametrize("reverse", [False, True], ids=["in order", "reversed"])
@pytest.mark.parametrize("erase", [False, True], ids=["keep", "erase"])
def test_a_rename_ends_in_one_asset_that_is_right(*, erase: bool, reverse: bool) -> None:
    """A copy, then a deletion: the new one is whole, with its labels; the old one is gone."""
    world = erasing(World()) if erase else World()
    labels = {"owner": "ada", "tags": "sea"}
    asset = world.ingest(world.store.upload("intake", KEY, PHOTO, labels)).asset
    world.catalog.update(asset, add_tags=["best"], set_attributes={"roll": "12"})
    metadata = world.store.head("intake", KEY).metadata
    events = [
        world.store.upload("intake", "uploads/b.jpg", PHOTO, metadata),
        world.store.remove("intake", KEY),
    ]
    for event in events[::-1] if reverse else events:
        world.ingest(event)  # type: ignore[arg-type]

    agree(world, "uploads/b.jpg")
    new = now(world, "uploads/b.jpg")
    assert new.owner == "ada"
    renamed = [line for line in world.catalog.timeline(new.asset) if line.kind == "renamed"]
    if erase and reverse:  # nobody knows any more what people have said of it
        assert (new.tags, len(renamed)) == (frozenset({"sea"}), 0)
    else:
        assert new.tags == {"sea", "best"}
        assert new.attributes == {"roll": "12"}
        assert [line.detail["from"] for line in renamed] == [KEY]
    live = [one for one in world.catalog.records.values() if one.status is not Status.DELETED]
    assert live == [new]
    if erase:
        assert {one.key for one in new.renditions} == world.delivered()
    else:
        agree(world)


def test_a_copy_of_somebody_else_gets_no_labels() -> None:
    """Nor one that came long before the deletion: two uploads of the same bytes are two."""
    world = World()
    asset = accepted(world).asset
    world.catalog.update(asset, add_tags=["best"])
    theirs = {"owner": "ben"}
    other = world.ingest(world.store.upload("intake", "uploads/b.jpg", PHOTO, theirs)).record
    old = world.ingest(world.store.upload("intake", "uploads/c.jpg", PHOTO)).record
    assert other is not None
    assert old is not None
    removal = replace(world.store.remove("intake", KEY), time="2026-01-02T04:04:05.678Z")
    world.ingest(removal)
    assert now(world, "uploads/b.jpg").tags == now(world, "uploads/c.jpg").tags == frozenset()


def test_a_rename_in_the_folder_of_an_asset_is_the_same_asset() -> None:
    """Uploads of the API carry the id in their key; the old key is nobody's then."""
    world = World()
    folder = "ab/uploads/0190d9a2-7d7c-7aaa-8aaa-0123456789ab"
    accepted(world, f"{folder}/a.jpg")
    new = world.store.upload("intake", f"{folder}/b.jpg", PHOTO)
    removal = world.store.remove("intake", f"{folder}/a.jpg")
    world.ingest(new)
    assert world.ingest(removal).outcome is IngestOutcome.UNCHANGED
    (record,) = world.catalog.records.values()
    assert (record.status, record.source) == (Status.ACCEPTED, new)


# --- rejected overwrites ----------------------------------------------------------------------


@pytest.mark.parametrize("erase", [False, True], ids=["keep", "erase"])
def test_a_rejected_overwrite_hides_what_it_replaced(*, erase: bool) -> None:
    """The record is of the newest upload, and the bucket shows nothing under its key."""
    world = erasing(World()) if erase else World()
    good = accepted(world)
    bad = world.store.upload("intake", KEY, BAD)
    assert world.ingest(bad).outcome is IngestOutcome.REJECTED
    agree(world)
    assert len(world.store.keys("quarantine")) == 1
    kept = [one for one in world.store.versions["intake", KEY] if not one.marker]
    assert [one.version_id for one in kept] == [good.source.version_id]
    # What S3 says of both deletions changes nothing.
    for version_id in (world.store.versions["intake", KEY][-1].version_id, bad.version_id):
        told = Removal(bucket="intake", key=KEY, sequencer="F" * 16, version_id=version_id)
        assert world.ingest(told).outcome is IngestOutcome.UNCHANGED
    agree(world)
    assert world.ingest(world.store.upload("intake", KEY, OTHER)).outcome is IngestOutcome.ACCEPTED
    agree(world)


def test_a_rejection_hides_no_newer_upload() -> None:
    """Another upload comes while the rejected one is looked at."""
    world = World()
    bad = world.store.upload("intake", KEY, BAD)
    new = world.store.upload("intake", KEY, PHOTO)
    assert world.ingest(bad).outcome is IngestOutcome.REJECTED
    assert world.ingest(new).outcome is IngestOutcome.ACCEPTED
    agree(world)


def test_a_good_version_below_a_rejected_one_can_be_brought_back() -> None:
    """By deleting the marker, as with any object of a bucket with versions."""
    world = World()
    good = accepted(world)
    world.ingest(world.store.upload("intake", KEY, BAD))
    marker = world.store.versions["intake", KEY][-1]
    assert marker.marker
    assert world.ingest(world.store.remove("intake", KEY, marker.version_id)).outcome is (
        IngestOutcome.ACCEPTED
    )
    assert now(world).source.version_id == good.source.version_id
    agree(world)


# --- deleted by its owner -----------------------------------------------------------------------


def awaited(world: World) -> AssetRecord:
    """An asset that waits for its original, as the API makes it."""
    asset = "0190d9a2-7d7c-7aaa-8aaa-0123456789ab"
    key = f"ab/uploads/{asset}/a.jpg"
    record = AssetRecord(
        asset=asset,
        source=ObjectVersion(bucket="intake", key=key, etag="", sequencer="", size=len(PHOTO)),
        recipe="default",
        recipe_digest="",
        version="",
        status=Status.WAITING,
        owner="ann",
        updated_at="2026-01-01T00:00:00.000000Z",
    )
    return world.catalog.commit(record, LogEntry(time=record.updated_at, kind="waiting"), new=True)


def meanwhile(world: World, method: str, act: Callable[[], object]) -> None:
    """Do something just before the next call of a method of the catalog, once."""
    usual = getattr(world.catalog, method)

    def first(*arguments: Any, **more: Any) -> Any:
        setattr(world.catalog, method, usual)
        act()
        return usual(*arguments, **more)

    setattr(world.catalog, method, first)


def test_what_is_made_while_the_asset_is_erased_is_removed() -> None:
    """The commit is refused, though it would be the first one without a record."""
    world = World()
    erase = erasing(world).erase
    assert erase is not None
    record = awaited(world)
    upload = world.store.upload("intake", record.source.key, PHOTO)
    meanwhile(world, "commit", lambda: erase(record.asset))

    done = world.ingest(upload)

    assert done.outcome is IngestOutcome.STALE
    assert [is_tombstone(one) for one in world.catalog.records.values()] == [True]
    assert world.store.keys("delivery") == set()


def test_what_is_recorded_while_the_asset_is_erased_is_removed() -> None:
    """Its files came after the first look, and before the end of the record."""
    world = erasing(World())
    assert world.erase is not None
    record = awaited(world)
    upload = world.store.upload("intake", record.source.key, PHOTO)
    world.ingest(upload)
    late = f"{asset_prefix(record.asset)}0123456789abcdef/late.webp"
    tag = cache_metadata(late)
    meanwhile(
        *(world, "delete"),
        lambda: world.store.put("delivery", late, b"x", content_type="image/webp", metadata=tag),
    )

    world.erase(record.asset)

    assert world.store.keys("delivery") == set()


def test_an_upload_whose_record_has_expired_meanwhile_is_recorded_anew() -> None:
    """The original is there: nobody has erased it, and it is not lost."""
    world = World()
    record = awaited(world)
    upload = world.store.upload("intake", record.source.key, PHOTO)
    meanwhile(world, "commit", lambda: world.catalog.records.pop(record.asset))

    with pytest.raises(Throttled):
        world.ingest(upload)
    done = world.ingest(upload)

    assert done.outcome is IngestOutcome.ACCEPTED
    assert world.catalog.records[record.asset].renditions


def test_an_original_that_arrives_after_the_end_is_removed() -> None:
    """A ticket from before is still valid, and nobody would ever see what it brings."""
    world = World()
    record = awaited(world)
    world.catalog.delete(record.asset)
    grave = tombstone(record, time="2026-01-02T00:00:00.000000Z")
    world.catalog.commit(grave, LogEntry(time=grave.updated_at, kind="erased"))

    done = world.ingest(world.store.upload("intake", record.source.key, PHOTO))

    assert done.outcome is IngestOutcome.STALE
    assert world.store.keys("intake") == set()
    kept = world.store.versions["intake", record.source.key]
    assert all(one.marker for one in kept)
    assert is_tombstone(world.catalog.records[record.asset])
