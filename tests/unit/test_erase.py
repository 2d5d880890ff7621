"""Taking an asset back: nothing that was ever made of it stays, and nothing comes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.unit.fakes import Fuse, Killed
from tests.unit.finalize.test_handler import application
from tests.unit.finalize.world import World
from worker.domain.asset import JobRecord, LogEntry, Status, is_tombstone
from worker.domain.errors import AssetMissing, ConfigurationError, JobMissing, TransientError
from worker.domain.job import JobState, JobStatus
from worker.domain.keys import asset_prefix
from worker.services.erase import Erased, Eraser
from worker.services.finalize import FinalizeOutcome, JobReport


@dataclass
class FakeJobs:
    """Jobs that end some looks after they were stopped."""

    states: dict[str, JobState] = field(default_factory=dict)
    looks: int = 2
    stopped: list[str] = field(default_factory=list)

    def named(self, prefix: str) -> Sequence[JobStatus]:
        """See the port; each call is one look."""
        if self.stopped:
            self.looks -= 1
            if self.looks <= 0:
                self.states.update(dict.fromkeys(self.stopped, JobState.FAILED))
        return [self._status(name) for name in self.states if name.startswith(prefix)]

    def describe(self, job: str) -> JobStatus:
        """See the port."""
        if job not in self.states:
            raise JobMissing(job)
        return self._status(job)

    def stop(self, job: str, reason: str) -> None:
        """See the port."""
        assert reason
        self.stopped.append(job)

    def _status(self, name: str) -> JobStatus:
        return JobStatus(id=name, name=name, kind="poster", state=self.states[name])


def eraser(world: World, jobs: Any = None, **more: Any) -> Eraser:
    """The use case on a world's fakes, without real waits."""
    return Eraser(
        catalog=world.catalog,
        store=world.store,
        settings=application(world).settings,
        jobs=jobs,
        pause=lambda _: None,
        **more,
    )


def erased(world: World, jobs: Any = None, **more: Any) -> Erased:
    """Erase the world's one asset."""
    return eraser(world, jobs, **more).erase(world.record.asset)


def left(world: World) -> set[tuple[str, str]]:
    """Every object version that is still anywhere."""
    return {place for place, kept in world.store.versions.items() if kept}


@pytest.mark.parametrize("finished", [True, False], ids=["accepted", "still waiting"])
def test_everything_made_of_a_video_goes(finished: bool) -> None:
    """Segments too, which no record names; and what jobs have left before they were all done."""
    world = World()
    world.leave_all()
    if finished:
        world.heavy.finish(world.record.asset, world.record.version)
    files = len(world.store.keys("delivery"))
    done = erased(world)
    assert left(world) == set()
    assert world.catalog.get(world.record.asset) is None
    assert (done.files, done.originals, done.quarantined, done.jobs) == (files, 1, 0, 0)
    assert world.catalog.told[-1].type == "asset.erased"


def test_earlier_versions_go_with_it() -> None:
    """Renditions, quarantined originals and versions of the original, hidden ones too."""
    world = World()
    world.leave_all()
    world.heavy.finish(world.record.asset, world.record.version)
    world.store.put(
        "quarantine", f"{asset_prefix(world.record.asset)}old/original", b"x", content_type=""
    )
    world.record = world.upload(b"another")
    world.leave("poster")
    world.store.upload("intake", "film.mov.txt", b"of somebody else")
    world.store.remove("intake", "film.mov")
    done = erased(world)
    assert left(world) == {("intake", "film.mov.txt")}
    assert (done.originals, done.quarantined) == (3, 1)


def test_an_upload_of_the_api_goes_with_its_folder() -> None:
    """The same asset under another name in its folder is the same asset."""
    world = World()
    asset = "0190d9a2-7d7c-7aaa-8aaa-0123456789ab"
    names = [f"ab/uploads/{asset}/{name}" for name in ("a.jpg", "b.jpg")]
    old, new = (world.store.upload("intake", name, b"x") for name in names)
    world.catalog.records[asset] = replace(world.record, asset=asset, source=new)
    assert eraser(world).erase(asset).originals == 2
    assert not world.store.versions["intake", old.key]


def test_the_id_of_an_upload_of_the_api_stays_taken() -> None:
    """Until its owner is erased: a tombstone keeps the name of the owner."""
    world = World()
    asset = "0190d9a2-7d7c-7aaa-8aaa-0123456789ab"
    place = world.store.upload("intake", f"ab/uploads/{asset}/a.jpg", b"x")
    world.catalog.records[asset] = replace(world.record, asset=asset, source=place, owner="anna")
    eraser(world).erase(asset)

    kept = world.catalog.get(asset)
    assert kept is not None
    assert is_tombstone(kept)
    with pytest.raises(AssetMissing) as gone:
        eraser(world).erase(asset)
    assert gone.value.code == "asset_erased"
    assert [one.record.asset for one in eraser(world).erase_owner("anna")] == [asset]
    assert world.catalog.get(asset) is None


def test_results_of_jobs_elsewhere_go_too() -> None:
    """A place of the job's own goes as a whole; in another one what the result names."""
    world = World()
    asset = world.record.asset
    for name, output in {
        "j1": "s3://delivery/01/poster-film-0001/",
        "j2": "s3://delivery/chosen/by/me",
        "j3": "s3://elsewhere/01/poster-film-0001/",
        "j4": "s3://delivery/",
    }.items():
        job = JobRecord(
            asset=asset,
            id=name,
            kind="poster",
            state="SUCCEEDED",
            created_at="2026-01-01T00:00:00Z",
            updated_at="2026-01-01T00:00:00Z",
            detail={"output": output},
        )
        world.catalog.put_job(job)
    result = (
        b'{"inputs": [], "details": {}, "outputs": [{"name": "p.jpg", "bytes": 1, "sha256": "'
        + b"0" * 64
        + b'", "content_type": "image/jpeg"}]}'
    )
    for key in ("01/poster-film-0001/any", "chosen/by/me/p.jpg", "chosen/by/me/mine", "top"):
        world.store.put("delivery", key, b"x", content_type="")
    world.store.put("delivery", "chosen/by/me/result.json", result, content_type="")
    erased(world)
    assert world.store.keys("delivery") == {"chosen/by/me/mine", "top"}


def test_jobs_at_work_are_stopped_and_waited_for() -> None:
    """By the name of the asset's workflow, or by its record; ended and foreign ones are let be."""
    world, said = World(), list[str]()
    asset = world.record.asset
    jobs = FakeJobs(
        {
            f"{asset}-v-transcode": JobState.RUNNING,
            f"{asset}-v-poster": JobState.RUNNABLE,
            f"{asset}-v-preview": JobState.SUCCEEDED,
            "by-hand": JobState.RUNNING,
            "foreign": JobState.RUNNING,
        }
    )
    for name in ("by-hand", "forgotten", "by-hand:3"):
        world.catalog.put_job(
            JobRecord(
                asset=asset,
                id=name,
                kind="poster",
                state="RUNNING",
                created_at="2026-01-01T00:00:00Z",
                updated_at="2026-01-01T00:00:00Z",
            )
        )
    done = erased(world, jobs, say=said.append)
    assert sorted(jobs.stopped) == sorted([f"{asset}-v-transcode", f"{asset}-v-poster", "by-hand"])
    assert done.jobs == 3
    assert said == ["film.mov is at work: 3 jobs are stopped first"]
    assert left(world) == set()


def test_a_job_that_does_not_end_keeps_the_asset() -> None:
    """No file is removed while a job may still write; a repeated call continues."""
    world, seconds = World(), iter(range(0, 10_000, 30))
    world.leave_all()
    jobs = FakeJobs({f"{world.record.asset}-v-poster": JobState.RUNNING}, looks=10_000)
    before = left(world)
    with pytest.raises(TransientError) as caught:
        erased(world, jobs, clock=lambda: float(next(seconds)))
    assert caught.value.code == "jobs_end"
    assert left(world) == before
    jobs.looks = 0
    erased(world, jobs)
    assert left(world) == set()


def test_ended_anywhere_the_same_call_completes_the_work() -> None:
    """Killed before or after each single call, of which there are many."""

    def world_with(fuse: Fuse | None) -> World:
        world = World()
        world.leave("poster")
        world.record = world.upload(b"another")
        world.leave("poster")
        if fuse is not None:
            world.store.fuse = world.catalog.fuse = fuse
        return world

    counter = Fuse()
    erased(world_with(counter))
    assert len(counter.calls) > 8
    for after in (False, True):
        for number in range(1, len(counter.calls) + 1):
            world = world_with(Fuse(burns_at=number, after=after))
            with pytest.raises(Killed):
                erased(world)
            world.store.fuse = world.catalog.fuse = Fuse()
            if world.catalog.get(world.record.asset) is not None:
                erased(world)
            assert left(world) == set()
            assert world.catalog.get(world.record.asset) is None


def test_thousands_of_files_go_page_by_page() -> None:
    """As a long video has."""
    world = World()
    for number in range(2_500):
        world.put("transcode", f"hls/{number}.m4s", b"x")
    assert erased(world).files == 2_500
    assert left(world) == set()


@pytest.mark.parametrize("step", ["between jobs", "while it commits", "while it fails"])
def test_a_workflow_that_finishes_meanwhile_brings_nothing_back(step: str) -> None:
    """Its record is refused, its files are removed, and so is what its jobs have recorded."""
    world = World()
    world.leave_all()
    heavy, catalog = world.heavy, world.catalog
    real: Callable[..., Any] = catalog.commit

    def commit(*arguments: Any) -> Any:
        erased(world)
        return real(*arguments)

    reports: list[JobReport] = []
    if step == "between jobs":
        erased(world)
        world.leave("poster")
    elif step == "while it commits":
        catalog.commit = commit  # type: ignore[method-assign,assignment]
    else:
        world.store.delete(
            "delivery", next(iter(k for k in world.store.keys("delivery") if "poster/result" in k))
        )
        reports = [JobReport(kind="poster", failed=True)]
        log = catalog.log

        def logged(asset: str, entry: Any) -> None:
            erased(world)
            log(asset, entry)

        catalog.log = logged  # type: ignore[method-assign]
    done = heavy.finish(world.record.asset, world.record.version, reports)
    assert done.outcome is FinalizeOutcome.STALE
    assert left(world) == set()
    assert world.catalog.records == {}
    assert world.catalog.timeline(world.record.asset) == []


def test_what_is_not_there_cannot_be_erased() -> None:
    """It says so."""
    world = World()
    erased(world)
    with pytest.raises(AssetMissing):
        erased(world)


def test_an_asset_whose_original_is_gone_can_be_erased() -> None:
    """Its remaining files and record are removed."""
    world = World()
    world.store.remove("intake", "film.mov")
    world.catalog.records[world.record.asset] = replace(world.record, status=Status.DELETED)
    assert erased(world).originals == 2
    assert left(world) == set()


def test_an_original_that_goes_while_jobs_are_at_work_leaves_nothing_made() -> None:
    """The record says gone, and what the jobs have left is removed when they have ended."""
    world = World()
    world.leave_all()
    gone = replace(world.record, status=Status.DELETED)
    world.catalog.commit(gone, LogEntry(time=gone.updated_at, kind="deleted"))
    done = world.heavy.finish(world.record.asset, world.record.version)
    assert done.outcome is FinalizeOutcome.DELETED
    assert world.store.keys("delivery") == set()
    assert world.now().status is Status.DELETED


def test_without_heavy_work_there_are_no_jobs_to_stop() -> None:
    """A deployment may have no queues: that keeps nobody from removing a picture."""

    class NoQueues(FakeJobs):
        def named(self, prefix: str) -> Sequence[JobStatus]:
            raise ConfigurationError("there is no queue")

    world, said = World(), list[str]()
    assert erased(world, NoQueues(), say=said.append).jobs == 0
    assert said == ["no jobs are looked for: there is no queue"]
    assert left(world) == set()
