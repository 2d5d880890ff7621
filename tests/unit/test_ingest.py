"""One upload, one effect: whatever is repeated, reordered, missing or killed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.unit.fakes import MODIFIED, Fuse, Killed, MemoryCatalog, MemoryStore
from tests.unit.pictures import encoded, photo
from worker.domain.asset import (
    AssetRecord,
    LogEntry,
    ObjectVersion,
    PendingUpload,
    Removal,
    Status,
    UploadMethod,
    Verdict,
    asset_id_of,
)
from worker.domain.errors import MemoryPressure, RecipeError, Unreachable
from worker.domain.image import Encoding, Format, Limits, Probe, Recipe, RenditionSpec
from worker.domain.keys import quarantine_key
from worker.imaging import engine
from worker.imaging.engine import ProcessedImage
from worker.imaging.probe import probe
from worker.services.access import Access
from worker.services.ingest import Ingest, IngestOutcome, IngestResult, Policy
from worker.subprocesses import sandbox
from worker.subprocesses.sandbox import SandboxLimits

RECIPE = Recipe(
    name="test",
    version=1,
    digest="a" * 64,
    limits=Limits(bytes=300_000),
    renditions=(
        RenditionSpec(
            name="small",
            width=64,
            height=64,
            encodings=(Encoding(format=Format.JPEG), Encoding(format=Format.WEBP)),
            minimum_saving=-1.0,
        ),
        RenditionSpec(name="tiny", width=16, height=16, encodings=(Encoding(format=Format.JPEG),)),
    ),
)
POLICY = Policy(
    recipe=RECIPE,
    intake_bucket="intake",
    delivery_bucket="delivery",
    quarantine_bucket="quarantine",
    heavy_bytes=200_000,
    heavy_pixels=2_000_000,
    sandbox=SandboxLimits(cpu_seconds=20, wall_seconds=60, memory_bytes=1_000_000_000),
)
PHOTO = encoded(photo(120, 80), "JPEG")
OTHER = encoded(photo(120, 80, seed=2), "JPEG")


class World:
    """Fakes that share one fuse, and a service on them."""

    def __init__(self, fuse: Fuse | None = None, policy: Policy = POLICY) -> None:
        """Start empty."""
        self.fuse = fuse or Fuse()
        self.store = MemoryStore(self.fuse)
        self.catalog = MemoryCatalog(self.fuse)
        self.policy = policy
        self.erase: Callable[[str], object] | None = None
        self.runs = self.ticks = 0

    def now(self) -> datetime:
        """The clock of whoever works: each look at it is a millisecond later."""
        self.ticks += 1
        return datetime.fromisoformat(MODIFIED) + timedelta(milliseconds=self.ticks)

    def process(
        self, data: bytes, recipe: Recipe, found: Probe | None, sha256: str
    ) -> ProcessedImage:
        """The engine, counted; nothing is found out about a picture twice."""
        self.runs += 1
        assert found == probe(data, recipe.limits, formats=recipe.formats)
        assert sha256 == hashlib.sha256(data).hexdigest()
        return engine.process(data, recipe, found, sha256)

    def ingest(self, upload: ObjectVersion | Removal, *, receives: int = 1) -> IngestResult:
        """Handle one event with a service of its own, as a fresh process would."""
        service = Ingest(
            store=self.store,
            catalog=self.catalog,
            policy=self.policy,
            # The sandbox imports by name; a bound method of a test has none.
            process=self.process if receives == 1 else engine.process,
            erase=self.erase,
            now=self.now,
        )
        try:
            fetched = service.fetch(upload, receives=receives)
            return service.commit(service.render(fetched))
        finally:
            service.close()

    def delivered(self) -> set[str]:
        """Keys of all renditions."""
        return self.store.keys("delivery")


# --- recipes that uploads choose ----------------------------------------------------------------

SQUARE = replace(RECIPE, name="square", digest="b" * 64, renditions=RECIPE.renditions[:1])
CHOOSING = replace(POLICY, choose={"square": SQUARE}.get)


def asked(world: World, chosen: str) -> ObjectVersion:
    """An upload that the API has begun, with a recipe; its object says another one."""
    key = "a9/uploads/01890a5d-ac96-774b-bcce-b302099a8057/a.jpg"
    source = ObjectVersion(bucket="intake", key=key, etag="", sequencer="", size=len(PHOTO))
    world.catalog.commit(
        AssetRecord(
            asset=asset_id_of("intake", key),
            source=source,
            recipe="test",
            recipe_digest="",
            version="",
            status=Status.WAITING,
            owner="ann",
            chosen_recipe=chosen,
            upload=PendingUpload(
                method=UploadMethod.PUT,
                media_type="image/jpeg",
                expires_at="2030-01-01T00:00:00.000000Z",
                request="",
            ),
        ),
        LogEntry(time=MODIFIED, kind="waiting"),
    )
    return world.store.upload("intake", key, PHOTO, metadata={"recipe": "square"})


@pytest.mark.parametrize("chosen", ["square", ""])
def test_an_upload_is_made_by_the_recipe_that_the_api_took(chosen: str) -> None:
    """The record takes precedence over the object's metadata, also after a redelivery."""
    world = World(policy=CHOOSING)
    upload = asked(world, chosen)

    done = world.ingest(upload)
    again = world.ingest(upload)

    record = world.catalog.records[done.asset]
    assert (record.recipe, record.chosen_recipe) == (chosen or "test", chosen)
    assert {one.name for one in record.renditions} == ({"small"} if chosen else {"small", "tiny"})
    assert again.outcome is IngestOutcome.DUPLICATE
    assert world.runs == 1


def test_a_recipe_that_has_gone_since_loses_nothing() -> None:
    """The message is kept; with the recipe back the same one succeeds."""
    world = World()
    upload = asked(world, "square")
    with pytest.raises(RecipeError, match="no longer a recipe of this deployment"):
        world.ingest(upload)
    assert world.store.keys("intake") == {upload.key}
    assert not world.delivered()

    world.policy = CHOOSING

    assert world.ingest(upload).outcome is IngestOutcome.ACCEPTED


def test_an_object_may_name_its_recipe() -> None:
    """As `safelight put --recipe` does; it is made by it again after a focal point, too."""
    world = World(policy=CHOOSING)
    done = world.ingest(world.store.upload("intake", "a.jpg", PHOTO, metadata={"recipe": "square"}))
    first = world.catalog.records[done.asset]
    world.catalog.update(done.asset, again=True)
    world.ingest(first.source)

    record = world.catalog.records[done.asset]
    assert (record.recipe, record.chosen_recipe, world.runs) == ("square", "square", 2)
    newer = world.ingest(world.store.upload("intake", "a.jpg", OTHER))
    assert world.catalog.records[newer.asset].recipe == "test"


@pytest.mark.parametrize("text", ["other", "../square", "SQUARE", "square" * 20])
def test_a_recipe_that_there_is_not_is_left_out_with_a_reason(text: str) -> None:
    """Metadata is from outside: it must not keep an upload from being processed."""
    world = World(policy=CHOOSING)
    done = world.ingest(world.store.upload("intake", "a.jpg", PHOTO, metadata={"recipe": text}))

    record = world.catalog.records[done.asset]
    assert (record.recipe, record.chosen_recipe) == ("test", "")
    (line,) = world.catalog.timeline(done.asset)
    assert "recipe" in line.detail["ignored"]


def test_an_upload_becomes_renditions_a_record_and_an_event() -> None:
    """The happy path, with its few writes."""
    world = World()
    done = world.ingest(world.store.upload("intake", "a b+ü.jpg", PHOTO))
    assert sorted(world.fuse.calls) == sorted(
        [
            *("catalog.get", "store.get", "store.put", "store.put", "store.put"),
            *("catalog.commit", "store.head"),
        ]
    )
    assert done.outcome is IngestOutcome.ACCEPTED
    record = world.catalog.records[done.asset]
    assert record.status is Status.ACCEPTED
    assert record.source.key == "a b+ü.jpg"
    assert [one.name for one in record.renditions] == ["small", "small", "tiny"]
    assert {one.key for one in record.renditions} == world.delivered()
    for one in record.renditions:
        stored = world.store.head("delivery", one.key)
        assert (stored.size, stored.content_type) == (one.bytes, one.format.media_type)
    assert [event.type for event in world.catalog.told] == ["asset.accepted"]


def test_a_duplicate_changes_nothing() -> None:
    """The same event again: no encoding, no write, no second event."""
    world = World()
    upload = world.store.upload("intake", "a.jpg", PHOTO)
    first = world.ingest(upload)
    before = world.catalog.records[first.asset]
    assert world.ingest(upload).outcome is IngestOutcome.DUPLICATE
    assert world.catalog.records[first.asset] == before
    assert world.runs == 1
    assert len(world.catalog.told) == 1


def test_a_newer_upload_wins_in_any_order() -> None:
    """Events in order or reversed: the record is the newer one's."""
    for reverse in (False, True):
        world = World()
        uploads = [world.store.upload("intake", "a.jpg", data) for data in (PHOTO, OTHER)]
        outcomes = [
            world.ingest(upload).outcome for upload in (uploads[::-1] if reverse else uploads)
        ]
        assert outcomes == [
            IngestOutcome.ACCEPTED,
            IngestOutcome.STALE if reverse else IngestOutcome.ACCEPTED,
        ]
        (record,) = world.catalog.records.values()
        assert record.source == uploads[1]
        assert {one.key for one in record.renditions} <= world.delivered()


def test_losing_the_race_leaves_no_orphans() -> None:
    """A worker that finds itself superseded at the commit removes what it stored."""
    world = World()
    old = world.store.upload("intake", "a.jpg", PHOTO)
    new = world.store.upload("intake", "a.jpg", OTHER)
    service = Ingest(store=world.store, catalog=world.catalog, policy=POLICY)
    prepared = service.render(service.fetch(old))
    world.ingest(new)
    assert service.commit(prepared).outcome is IngestOutcome.STALE
    (record,) = world.catalog.records.values()
    assert world.delivered() == {one.key for one in record.renditions}


def test_sequencers_of_different_length_are_ordered_as_padded_hex() -> None:
    """A shorter sequencer is padded on the right, not compared as a number."""
    world = World()
    upload = world.store.upload("intake", "a.jpg", PHOTO)
    newer = replace(upload, sequencer="0055AED6DCD90281E6")
    older = replace(upload, sequencer="0055AED6DCD90281E5FF")
    world.ingest(newer)
    assert world.ingest(older).outcome is IngestOutcome.STALE


def test_identical_bytes_are_copied_not_encoded() -> None:
    """A second key with the same content gets copies under its own keys."""
    world = World()
    first = world.ingest(world.store.upload("intake", "a.jpg", PHOTO))
    second = world.ingest(world.store.upload("intake", "b.jpg", PHOTO))
    assert second.copied
    assert world.runs == 1
    record = world.catalog.records[second.asset]
    assert record.copied_from == first.asset
    assert len(world.delivered()) == 6
    for one in record.renditions:
        assert world.store.head("delivery", one.key).size == one.bytes


def test_a_warning_is_in_record_and_event() -> None:
    """A JPEG that lacks its end marker is accepted, and both say so; of a whole one neither."""
    world = World()
    for key, data, warnings in (("a.jpg", PHOTO[:-2], ["no_end_marker"]), ("b.jpg", PHOTO, [])):
        done = world.ingest(world.store.upload("intake", key, data))
        assert done.outcome is IngestOutcome.ACCEPTED
        assert list(world.catalog.records[done.asset].warnings) == warnings
        assert world.catalog.told[-1].detail.get("warnings", []) == warnings


def test_copies_that_have_expired_are_made_again() -> None:
    """If a rendition to copy is gone, the picture is encoded."""
    world = World()
    first = world.ingest(world.store.upload("intake", "a.jpg", PHOTO))
    assert first.record is not None
    world.store.versions["delivery", first.record.renditions[1].key] = []
    second = world.ingest(world.store.upload("intake", "b.jpg", PHOTO))
    assert (second.copied, world.runs) == (False, 2)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (b"hello", "unknown_format"),
        (PHOTO[: len(PHOTO) // 2], "truncated"),
        (PHOTO + bytes(400_000), "too_many_bytes"),
    ],
    ids=["empty", "text", "truncated", "large"],
)
def test_what_can_never_succeed_goes_to_quarantine(data: bytes, code: str) -> None:
    """The reason is with the copy, in the record and in the event; the original is gone."""
    world = World()
    upload = world.store.upload("intake", "bad.jpg", data)
    done = world.ingest(upload)
    assert done.outcome is IngestOutcome.REJECTED
    record = world.catalog.records[done.asset]
    assert record.verdict is not None
    assert record.verdict.code == code
    kept = world.store.head("quarantine", quarantine_key(record))
    assert kept.metadata["reason-code"] == code
    assert kept.size == len(data)
    assert world.store.keys("intake") == set()
    assert world.delivered() == set()
    (event,) = world.catalog.told
    assert event.type == "asset.rejected"


def test_a_rejected_version_does_not_take_its_successor_along() -> None:
    """Only the rejected version is removed; a good newer one under the key stays."""
    world = World()
    bad = world.store.upload("intake", "a.jpg", b"nonsense")
    good = world.store.upload("intake", "a.jpg", PHOTO)
    world.ingest(bad)
    assert world.ingest(good).outcome is IngestOutcome.ACCEPTED
    assert world.store.head("intake", "a.jpg").version_id == good.version_id


VIDEO = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(400_000)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (VIDEO, "video"),
        (VIDEO[:100_000], "video"),
        (encoded(photo(120, 80), "JPEG") + bytes(210_000), "too_large"),
        (encoded(photo(2, 2)[:1].repeat(2001, 0).repeat(500, 1)), "too_many_pixels"),
    ],
    ids=["large video", "video", "bytes", "pixels"],
)
def test_what_is_too_much_here_is_left_to_jobs(data: bytes, code: str) -> None:
    """Videos and what exceeds this function's share wait as heavy, originals untouched."""
    world = World()
    done = world.ingest(world.store.upload("intake", "x", data))
    assert done.outcome is IngestOutcome.PROCESSING
    assert world.catalog.records[done.asset].verdict is not None
    assert world.catalog.records[done.asset].verdict.code == code  # type: ignore[union-attr]
    assert world.store.keys("intake") == {"x"}
    assert world.runs == 0
    (event,) = world.catalog.told
    assert event.type == "asset.processing"
    assert event.detail["media"] == ("video" if code == "video" else "image")


def test_an_object_deleted_before_its_turn_is_gone() -> None:
    """No record is written for it."""
    world = World()
    upload = world.store.upload("intake", "a.jpg", PHOTO)
    world.store.versions.clear()
    assert world.ingest(upload).outcome is IngestOutcome.DELETED
    assert world.catalog.records == {}


def test_an_object_replaced_before_its_turn_is_left_to_its_own_event() -> None:
    """Without versioning the etag tells."""
    world = World()
    upload = world.store.upload("intake", "a.jpg", PHOTO)
    newer = world.store.upload("intake", "a.jpg", OTHER)
    assert world.ingest(replace(upload, version_id=None)).outcome is IngestOutcome.REPLACED
    assert world.ingest(newer).outcome is IngestOutcome.ACCEPTED


def test_other_buckets_are_ignored() -> None:
    """Renditions in the delivery bucket start no loop."""
    world = World()
    upload = world.store.upload("delivery", "00/a/b/small.jpg", PHOTO)
    assert world.ingest(upload).outcome is IngestOutcome.IGNORED
    assert world.fuse.calls == []


def test_a_new_recipe_does_the_work_again() -> None:
    """The same upload under another recipe is another version."""
    world = World()
    upload = world.store.upload("intake", "a.jpg", PHOTO)
    first = world.ingest(upload)
    world.policy = replace(POLICY, recipe=replace(RECIPE, digest="b" * 64))
    second = world.ingest(upload)
    assert second.outcome is IngestOutcome.ACCEPTED
    assert first.record is not None
    assert second.record is not None
    assert first.record.version != second.record.version


def test_approval_waits_for_a_person() -> None:
    """A recipe that asks for approval leaves the asset in review."""
    world = World(policy=replace(POLICY, recipe=replace(RECIPE, workflow="approve")))
    done = world.ingest(world.store.upload("intake", "a.jpg", PHOTO))
    assert done.outcome is IngestOutcome.REVIEW
    assert world.catalog.told[0].type == "asset.held"


def closed(world: World) -> set[str]:
    """Keys of files that the distribution may not read."""
    return {key for key in world.delivered() if world.store.versions["delivery", key][-1].tags}


@pytest.mark.parametrize("made", ["encoded", "copied"])
def test_what_waits_for_a_person_is_closed_from_its_first_write(made: str) -> None:
    """Whether it is encoded or copied from an asset with the same bytes."""
    world = World()
    if made == "copied":
        assert world.ingest(world.store.upload("intake", "a.jpg", PHOTO)).record
        before = world.delivered()
    else:
        before = set()
    recipe = replace(RECIPE, workflow="approve")
    world.policy = replace(POLICY, recipe=recipe)
    world.fuse.calls.clear()

    done = world.ingest(world.store.upload("intake", "b.jpg", PHOTO))

    assert done.outcome is IngestOutcome.REVIEW
    assert done.copied is (made == "copied")
    assert closed(world) == world.delivered() - before != set()
    assert "store.tag" not in world.fuse.calls


def test_an_upload_that_is_made_twice_does_not_close_what_was_published() -> None:
    """The slower of two workers writes closed files over open ones, and then opens them."""
    world = World(policy=replace(POLICY, recipe=replace(RECIPE, workflow="approve")))
    upload = world.store.upload("intake", "a.jpg", PHOTO)
    service = Ingest(
        store=world.store,
        catalog=world.catalog,
        policy=world.policy,
        process=world.process,
        now=world.now,
    )
    slow = service.render(service.fetch(upload))
    done = world.ingest(upload)
    assert done.record is not None
    access = Access(catalog=world.catalog, store=world.store, bucket="delivery")
    access.publish(done.asset)
    assert closed(world) == set()

    assert service.commit(slow).outcome is IngestOutcome.DUPLICATE

    service.close()
    assert closed(world) == set()
    assert world.catalog.records[done.asset].status is Status.PUBLISHED


def test_what_is_made_of_a_held_asset_waits_for_a_person_too() -> None:
    """By another recipe, or of another upload of its owner: its files are closed as well."""
    world = World()
    first = world.ingest(world.store.upload("intake", "a.jpg", PHOTO))
    access = Access(catalog=world.catalog, store=world.store, bucket="delivery")
    access.hold(first.asset, "why")

    second = world.ingest(world.store.upload("intake", "a.jpg", OTHER))

    assert second.outcome is IngestOutcome.REVIEW
    assert closed(world) == world.delivered()
    assert second.record is not None
    assert second.record.verdict == Verdict(code="held", message="why")


def test_tags_outlive_a_new_version() -> None:
    """Tags of people stay when the picture is replaced."""
    world = World()
    done = world.ingest(world.store.upload("intake", "a.jpg", PHOTO))
    world.catalog.update(done.asset, add_tags=["holiday"])
    world.ingest(world.store.upload("intake", "a.jpg", OTHER))
    assert world.catalog.records[done.asset].tags == {"holiday"}


def hungry(data: bytes, recipe: Recipe, found: Probe, sha256: str) -> ProcessedImage:
    """An engine for which memory never suffices."""
    raise MemoryError


def test_memory_that_runs_out_is_tried_again_elsewhere() -> None:
    """The first time may be the neighbours' fault; the sandbox decides the second time."""
    world = World()
    upload = world.store.upload("intake", "a.jpg", PHOTO)
    service = Ingest(
        store=world.store,
        catalog=world.catalog,
        policy=POLICY,
        process=hungry,
    )
    with pytest.raises(MemoryPressure):
        service.render(service.fetch(upload))
    done = service.commit(service.render(service.fetch(upload, receives=2)))
    assert done.outcome is IngestOutcome.REJECTED
    assert world.catalog.records[done.asset].verdict.code == "out_of_memory"  # type: ignore[union-attr]


def test_the_second_receive_gives_the_same_bytes() -> None:
    """The sandboxed engine makes what the other one makes."""
    results = []
    for receives in (1, 2):
        world = World()
        done = world.ingest(world.store.upload("intake", "a.jpg", PHOTO), receives=receives)
        assert done.record is not None
        results.append([(one.key, one.sha256) for one in done.record.renditions])
    assert results[0] == results[1]


def calls_of(data: bytes) -> int:
    """How many calls the happy (or rejecting) path makes."""
    world = World()
    world.ingest(world.store.upload("intake", "a.jpg", data))
    return len(world.fuse.calls)


@pytest.mark.parametrize("data", [PHOTO, b"nonsense"], ids=["accepted", "rejected"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", [Killed, lambda: Unreachable("no answer")], ids=["kill", "fail"])
def test_a_retry_completes_whatever_was_left(
    data: bytes, error: object, monkeypatch: pytest.MonkeyPatch, *, after: bool
) -> None:
    """Broken at every single call, before or after its effect: the retry ends as if nothing had
    happened, with one record, all renditions and one distinct event."""
    # Forty processes less: the test before this one shows that the sandbox makes the same.
    monkeypatch.setattr(sandbox, "run", lambda function, *given, limits: function(*given))
    calm = World()
    calm.ingest(calm.store.upload("intake", "a.jpg", data))
    (wanted,) = calm.catalog.records.values()
    for step in range(1, calls_of(data) + 1):
        world = World(Fuse(burns_at=step, error=error, after=after))  # type: ignore[arg-type]
        upload = world.store.upload("intake", "a.jpg", data)
        with pytest.raises((Killed, Unreachable)):
            world.ingest(upload)
        world.ingest(upload, receives=2)
        (record,) = world.catalog.records.values()
        record, expected = (replace(one, updated_at="", created_at="") for one in (record, wanted))
        assert record == expected, step
        assert world.delivered() == calm.delivered()
        assert world.store.keys("quarantine") == calm.store.keys("quarantine")
        assert world.store.keys("intake") == calm.store.keys("intake")
        assert {one.id for one in world.catalog.told} == {one.id for one in calm.catalog.told}
