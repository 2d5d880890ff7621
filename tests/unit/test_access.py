"""Held back and published: files follow their record, whatever happens in between."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.unit.fakes import Fuse, Killed, MemoryCatalog, MemoryStore
from tests.unit.test_deliver import ASSET, MADE, PREFIX
from tests.unit.test_deliver import World as Delivered
from worker.domain.asset import (
    CLOSED,
    DECISIONS,
    SUPERSEDED,
    AssetRecord,
    LogEntry,
    Status,
    Verdict,
)
from worker.domain.errors import AssetMissing, Conflict, Throttled
from worker.domain.keys import cache_metadata
from worker.services.access import Access

OTHER = f"{PREFIX[:-2]}ff/medium.webp"
"""A file of a version that was replaced."""


class World:
    """An asset with its files, and those of a version before."""

    def __init__(self, status: Status = Status.ACCEPTED, fuse: Fuse | None = None) -> None:
        """Everything is stored."""
        self.fuse = fuse or Fuse()
        self.store = MemoryStore(self.fuse)
        self.catalog = MemoryCatalog(self.fuse)
        (record,) = Delivered().catalog.records.values()
        self.catalog.records[ASSET] = replace(record, status=status, verdict=None)
        for key in (*(one.key for one in MADE), f"{PREFIX}hls/0.m4s", OTHER):
            kept = SUPERSEDED | CLOSED if key == OTHER else {}
            self.store.put(
                "delivery",
                key,
                b"x",
                content_type="x/y",
                metadata=cache_metadata(key),
                tags=kept,
            )
        self.fuse.calls.clear()
        self.access = Access(
            catalog=self.catalog,
            store=self.store,
            bucket="delivery",
            now=lambda: datetime(2026, 1, 2, tzinfo=UTC),
        )

    @property
    def record(self) -> AssetRecord:
        """What the catalog says."""
        return self.catalog.records[ASSET]

    @property
    def closed(self) -> set[str]:
        """Files of the asset that the distribution may not read, without those of before."""
        found = {
            key: kept[-1].tags
            for (_, key), kept in self.store.versions.items()
            if kept and key != OTHER
        }
        assert set(map(str, found.values())) <= {str(CLOSED), "{}"}
        return {key for key, tags in found.items() if tags}


ALL = {*(one.key for one in MADE), f"{PREFIX}hls/0.m4s"}


@pytest.mark.parametrize("status", [Status.ACCEPTED, Status.PUBLISHED, Status.REVIEW])
def test_a_held_asset_is_closed_to_its_last_file(status: Status) -> None:
    """The record says why, and the edges are told after the files are closed."""
    world = World(status)

    held = world.access.hold(ASSET, "somebody complains")

    assert world.closed == ALL
    assert (world.record, held.status) == (held, Status.REVIEW)
    assert held.verdict == Verdict(code="held", message="somebody complains")
    event, edges = world.catalog.told
    assert (event.type, event.detail["status"]) == ("asset.held", "review")
    assert event.detail["was"] == status.value
    assert (edges.type, edges.detail["cause"]) == ("asset.invalidated", "closed")
    calls = world.fuse.calls
    last = len(calls) - calls[::-1].index("catalog.log")
    assert "store.tag" not in calls[last:]
    assert calls.count("store.tag") == len(ALL)
    reasons = {line.kind: line.detail.get("reason") for line in world.catalog.timeline(ASSET)}
    assert reasons == {"held": "somebody complains", "invalidated": None}


def test_a_published_asset_is_open_again_under_the_same_addresses() -> None:
    """No file is copied or written again, and files of an earlier version stay closed."""
    world = World()
    before = world.store.keys("delivery")
    world.access.hold(ASSET)

    published = world.access.publish(ASSET)

    assert world.closed == set()
    assert world.store.keys("delivery") == before
    assert world.store.versions["delivery", OTHER][-1].tags == SUPERSEDED | CLOSED
    assert (published.status, published.verdict) == (Status.PUBLISHED, None)
    assert world.catalog.told[-1].type == "asset.published"
    assert "store.put" not in world.fuse.calls
    assert "store.copy" not in world.fuse.calls


def test_each_decision_has_an_event_of_its_own() -> None:
    """An asset may be held and published again and again: consumers drop known ids."""
    world = World()
    for _ in range(2):
        world.access.hold(ASSET)
        world.access.publish(ASSET)

    ids = [event.id for event in world.catalog.told]
    assert len({*ids}) == len(ids) == 6


@pytest.mark.parametrize("what", ["hold", "publish"])
def test_a_decision_that_was_cut_short_is_completed_by_the_same_call(what: str) -> None:
    """Killed at every call: afterwards record, files and events are what they would have been."""
    status = Status.ACCEPTED if what == "hold" else Status.REVIEW
    calm = World(status)
    getattr(calm.access, what)(ASSET)
    for step in range(1, len(calm.fuse.calls) + 1):
        world = World(status)
        world.fuse.burns_at, world.fuse.error = step, Killed
        with pytest.raises(Killed):
            getattr(world.access, what)(ASSET)

        world.fuse.burns_at = None
        getattr(world.access, what)(ASSET)

        assert world.closed == calm.closed
        assert world.record.status is calm.record.status
        assert {one.type for one in world.catalog.told} == {one.type for one in calm.catalog.told}


def test_files_follow_who_decided_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody publishes while files are being closed: in the end all of them are open."""
    world = World()
    tagged = world.store.tag
    seen: list[str] = []

    def tag(bucket: str, key: str, tags: dict[str, str]) -> None:
        seen.append(key)
        if len(seen) == 2:
            world.catalog.update(ASSET, decision=(Status.PUBLISHED, None))
        tagged(bucket, key, tags)

    monkeypatch.setattr(world.store, "tag", tag)

    assert world.access.hold(ASSET).status is Status.PUBLISHED
    assert world.closed == set()


def test_who_never_comes_to_an_end_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others decide again and again: the caller tries later."""
    world = World()

    def change(*_: object) -> None:
        status = Status.REVIEW if world.record.status is Status.PUBLISHED else Status.PUBLISHED
        world.catalog.update(ASSET, decision=(status, None))

    monkeypatch.setattr(world.store, "list", lambda *_: iter(change(*_) or ()))  # type: ignore[func-returns-value]

    with pytest.raises(Throttled):
        world.access.follow(ASSET)


@pytest.mark.parametrize(
    "status",
    [one for one in Status if one not in DECISIONS[Status.PUBLISHED]],
)
@pytest.mark.parametrize("what", ["hold", "publish"])
def test_nothing_is_decided_of_what_has_nothing_to_show(what: str, status: Status) -> None:
    """It is rejected, deleted or not made yet: nothing changes."""
    world = World(status)

    with pytest.raises(Conflict) as raised:
        getattr(world.access, what)(ASSET)

    assert raised.value.code == "undecidable"
    assert world.record.status is status
    assert world.closed == set()
    assert world.catalog.told == []


@pytest.mark.parametrize("what", ["hold", "publish"])
def test_an_asset_that_is_gone_is_missing(what: str) -> None:
    """And no file of it is looked for."""
    world = World()
    assert world.access.follow("22222222-2222-4222-8222-222222222222") is None

    with pytest.raises(AssetMissing):
        getattr(world.access, what)("22222222-2222-4222-8222-222222222222")

    assert "store.list" not in world.fuse.calls


def test_a_held_asset_is_not_let_out_by_another_recipe_or_upload() -> None:
    """An outcome that would be accepted waits for a person, with the same verdict."""
    world = World()
    held = world.access.hold(ASSET, "why")
    again = replace(
        held, status=Status.ACCEPTED, verdict=None, recipe_digest="other", version="f" * 16
    )

    done = world.catalog.commit(again, LogEntry(time="2026-01-02T00:00:00Z", kind="accepted"))

    assert (done.status, done.verdict, done.version) == (Status.REVIEW, held.verdict, "f" * 16)
