"""Each rule of the invariants: kept by what ingest leaves, and broken by one damage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.unit.cli_pipeline import ENVIRONMENT, pipeline
from tests.unit.fakes import MODIFIED
from tests.unit.memory_queue import MemoryQueue
from tests.unit.test_ingest import PHOTO, World
from worker.adapters.event_log import event_line
from worker.domain.asset import (
    CLOSED,
    SUPERSEDED,
    AssetRecord,
    JobRecord,
    Page,
    PendingUpload,
    Status,
    UploadMethod,
    asset_id_of,
    tombstone,
)
from worker.domain.events import Event, event_of
from worker.domain.keys import asset_prefix, cache_metadata, quarantine_key
from worker.services.access import Access
from worker.services.invariants import ALWAYS, Invariants, ServedFile
from worker.services.invariants import Invariant as R
from worker.settings import Settings

KEY, BAD = "a.jpg", "bad.jpg"
ASSET, BAD_ASSET = asset_id_of("intake", KEY), asset_id_of("intake", BAD)
STRANGER = "00000000-0000-4000-8000-000000000000"
DEAD = "http://127.0.0.1:9/1/dead"
QUIET = timedelta(minutes=15)


class Deployment(World):
    """An accepted and a rejected asset, made by ingest, and a distribution that serves them."""

    def __init__(self) -> None:
        """Upload both."""
        super().__init__()
        self.queue = MemoryQueue()
        self.stale: dict[str, ServedFile] = {}
        """Answers of the distribution that are in its caches."""
        metadata = {"owner": "ann", "tags": "sea"}
        self.ingest(self.store.upload("intake", KEY, PHOTO, metadata))
        self.ingest(self.store.upload("intake", BAD, b"no picture"))

    @property
    def record(self) -> AssetRecord:
        """Of the accepted one."""
        return self.catalog.records[ASSET]

    @property
    def file(self) -> str:
        """Key of its first file."""
        return self.record.renditions[0].key

    def look(self, path: str) -> ServedFile:
        """What the distribution answers."""
        if path in self.stale:
            return self.stale[path]
        (key,) = (one for one in self.store.keys("delivery") if one.endswith(path))
        stored = self.store.versions["delivery", key][-1]
        return ServedFile(status=403 if stored.tags else 200, etag=stored.etag)

    def write(self, **changes: object) -> None:
        """Change the accepted record, and nothing else."""
        self.catalog.records[ASSET] = replace(self.record, **changes)  # type: ignore[arg-type]

    def put(self, bucket: str, key: str, *, cached: bool = True) -> None:
        """Store something."""
        metadata = cache_metadata(key) if cached else {}
        self.store.put(bucket, key, b"x", content_type="x/y", metadata=metadata)

    def check(
        self,
        *,
        at: datetime | None = None,
        events: list[Event] | None = None,
        running: Callable[[AssetRecord], bool] = lambda _: False,
    ) -> set[R]:
        """The rules that are broken, an hour after everything was stored unless told."""
        hour = datetime.fromisoformat(MODIFIED) + timedelta(hours=1)
        checks = Invariants(
            catalog=self.catalog,
            store=self.store,
            settings=Settings.from_environment(ENVIRONMENT),
            queue=self.queue,
            dead_letters=(DEAD,),
            events=lambda: self.catalog.told if events is None else events,
            look=self.look,
            running=running,
            quiet=QUIET,
            now=lambda: at or hour,
        )
        self.report = checks.check()
        return {one.rule for one in self.report.violations}


def test_what_ingest_leaves_breaks_no_rule() -> None:
    """An accepted and a rejected upload, a replaced, a held, a removed and a deleted one."""
    world = Deployment()
    assert world.check() == set()
    assert world.report.statuses == {"accepted": 1, "rejected": 1}
    assert (world.report.assets, world.report.events, world.report.busy) == (2, 2, 0)

    access = Access(catalog=world.catalog, store=world.store, bucket="delivery", now=world.now)
    access.hold(ASSET)
    assert world.check() == set()
    access.publish(ASSET)
    assert world.check() == set()

    world.ingest(world.store.upload("intake", KEY, PHOTO + b"\0"))
    assert len(world.delivered()) > len(world.record.renditions)  # those before it expire
    assert world.check() == set()

    world.ingest(world.store.remove("intake", KEY))
    assert world.record.status is Status.DELETED
    assert world.check() == set()


def waiting(world: Deployment) -> None:
    """The original of an upload that was asked for is there, and nobody knows."""
    upload = PendingUpload(
        method=UploadMethod.PUT, media_type="image/jpeg", expires_at="", request=""
    )
    world.write(status=Status.WAITING, upload=upload, version="", renditions=())
    for key in world.delivered():
        world.store.delete("delivery", key)


def replaced(world: Deployment) -> None:
    """Other bytes lie under the key, and their event was lost."""
    world.store.upload("intake", KEY, b"other")


def removed(world: Deployment) -> None:
    """A rejected original of an asset that was removed."""
    record = world.catalog.records[BAD_ASSET]
    world.catalog.records[BAD_ASSET] = tombstone(record, time=MODIFIED)


def told_twice(world: Deployment) -> None:
    """The same outcome as two happenings."""
    event = world.catalog.told[0]
    world.catalog.told.append(replace(event, id=f"{event.id.rpartition('/')[0]}/7"))


UNTOLD = (R.EVENT, R.TIMELINE)
"""What a record breaks as well whose status was changed behind everybody's back."""
DAMAGES: list[tuple[Callable[[Deployment], object], set[R]]] = [
    (lambda world: world.store.delete("delivery", world.file), {R.FILE}),
    (lambda world: world.put("delivery", world.file), {R.FILE}),
    (lambda world: world.store.tag("delivery", world.file, SUPERSEDED), {R.FILE, R.SERVED}),
    (lambda world: world.store.tag("delivery", world.file, CLOSED), {R.ACCESS, R.SERVED}),
    (lambda world: world.write(status=Status.DELETED),
     {R.ACCESS, R.SERVED, R.ORIGINAL, *UNTOLD}),
    (lambda world: world.stale.update({world.file[3:]: ServedFile(status=503, etag="")}),
     {R.SERVED}),
    (lambda world: world.stale.update({world.file[3:]: ServedFile(status=200, etag="old")}),
     {R.SERVED}),
    (lambda world: setattr(world.store.versions["delivery", world.file][-1], "metadata", {}),
     {R.CACHE_TAG}),
    (lambda world: world.write(status=Status.UPLOADED), {R.STATE, *UNTOLD}),
    (lambda world: world.write(status=Status.PROCESSING), {R.STATE, *UNTOLD}),
    (waiting, {R.LOST, R.EVENT}),
    (replaced, {R.LOST}),
    (lambda world: world.store.upload("intake", "new.jpg", PHOTO), {R.LOST}),
    (lambda world: world.store.remove("intake", KEY), {R.ORIGINAL}),
    (lambda world: world.store.delete(
        "quarantine", quarantine_key(world.catalog.records[BAD_ASSET])), {R.ORIGINAL}),
    (lambda world: world.put("delivery", f"{asset_prefix(STRANGER)}v/a.jpg"), {R.ORPHAN}),
    (lambda world: world.put("delivery", f"{asset_prefix(ASSET)}{'0' * 16}/a.jpg"),
     {R.ORPHAN}),
    (lambda world: world.write(version="0" * 16), {R.ORPHAN, R.FILE, R.EVENT}),
    (removed, {R.ORPHAN}),
    (lambda world: world.catalog.entries.clear(), {R.TIMELINE}),
    (lambda world: world.catalog.told.clear(), {R.EVENT}),
    (told_twice, {R.EVENT}),
    (lambda world: world.queue.send(DEAD, [("{}", "", "")]), {R.DEAD_LETTER}),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(DAMAGES)))
def test_each_damage_breaks_its_rule(number: int) -> None:
    """A deployment with one damage breaks the rules about it, and no others."""
    damage, wanted = DAMAGES[number]
    world = Deployment()

    damage(world)

    assert world.check() == wanted, world.report.violations


def test_what_has_just_changed_is_judged_by_few_rules() -> None:
    """A stack at work is between two states: only what must hold at every moment is judged."""
    world = Deployment()
    just_now = datetime.fromisoformat(MODIFIED) + timedelta(minutes=1)
    world.store.upload("intake", "new.jpg", PHOTO)
    world.store.tag("delivery", world.file, CLOSED)
    assert world.check(at=just_now) == set()
    assert world.report.busy == 2

    world.store.delete("delivery", world.file)
    assert world.check(at=just_now) == {R.FILE} <= ALWAYS


def test_a_record_that_changes_meanwhile_is_not_judged() -> None:
    """A violation counts only if the record has not changed during the check."""
    world = Deployment()
    key, real = world.file, world.store.list
    world.store.delete("delivery", key)

    def busy(*where: str, **more: str) -> object:
        world.write(revision=world.record.revision + 1)
        return real(*where, **more)

    world.store.list = busy  # type: ignore[method-assign,assignment]
    assert R.FILE not in world.check()


def test_an_asset_that_waits_for_a_running_job_is_in_order() -> None:
    """Heavy work takes hours; it is wrong only if nothing works on it any more."""
    world = Deployment()
    world.write(status=Status.PROCESSING)
    for state, wrong in (("RUNNING", False), ("FAILED", True)):
        job = JobRecord(
            asset=ASSET, id="j", kind="k", state=state, created_at=MODIFIED, updated_at=MODIFIED
        )
        world.catalog.put_job(job)
        assert (R.STATE in world.check()) is wrong


def test_an_asset_that_waits_for_a_machine_is_in_order() -> None:
    """Its job is in no catalog before it starts; the run of its workflow has not ended."""
    world = Deployment()
    world.write(status=Status.PROCESSING)
    assert R.STATE in world.check()
    assert R.STATE not in world.check(running=lambda record: record.asset == ASSET)


def test_a_tombstone_is_listed_by_its_owner_and_its_status() -> None:
    """A deleted upload of the API keeps its key and its owner; others of the owner are there."""
    world = Deployment()
    world.write(owner="me")
    record = world.catalog.records[BAD_ASSET]
    world.catalog.records[BAD_ASSET] = tombstone(replace(record, owner="me"), time=MODIFIED)
    assert R.LIST not in world.check()


def test_an_asset_that_no_list_has_is_found_by_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lists are compared with the records, and the records with the buckets."""
    world = Deployment()
    assert world.check() == set()
    monkeypatch.setattr(world.catalog, "by_tag", world.catalog.by_owner)
    assert world.check() == {R.LIST}
    monkeypatch.undo()

    monkeypatch.setattr(world.catalog, "list_assets", lambda **_: Page(records=()))
    assert world.check() == {R.LIST}


# --- the command --------------------------------------------------------------------------------


def test_the_command_says_what_is_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rule, a subject and a sentence for each; the exit code says whether there is any."""
    with pipeline(tmp_path, capsys, monkeypatch) as world:
        said, _ = world.run("check")
        assert said.splitlines()[-1] == "everything agrees"

        record = world.record("a.jpg", Status.ACCEPTED)
        (tmp_path / "events.jsonl").write_text(event_line(event_of(record)) + "\n")
        file = record.renditions[0].key
        said, _ = world.run("check", code=1)
        assert f"file  {record.asset}: {file} is missing" in said.splitlines()
        assert said.splitlines()[:3:2] == ["1 assets (1 accepted)", "1 events of outcomes"]

        answer = world.json("check", "--newest", 1, code=1)
        assert answer["violations"] == [
            {"rule": "file", "subject": record.asset, "message": f"{file} is missing"}
        ]
