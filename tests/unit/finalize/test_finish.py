"""One record of what many jobs have left: exactly once, and never of the wrong upload."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.fakes import Fuse, Killed
from tests.unit.finalize.world import CHOSEN, ENCODED, FACTS, FILES, MOVES, POLICY, World
from worker.codec import build, plain
from worker.domain.asset import LogEntry, MediaType, Status, VideoInfo, medium_of
from worker.domain.errors import EngineError, Unreachable
from worker.domain.image import Format, MediaFormat
from worker.domain.keys import quarantine_key, version_prefix
from worker.recipes import DeploymentRecipes
from worker.recipes.files import locate
from worker.services.finalize import FinalizeOutcome, Finished, JobReport


def finish(world: World) -> Finished:
    """The last task of the state machine."""
    return world.heavy.finish(world.record.asset, world.record.version)


def test_a_video_whose_jobs_are_done_is_accepted_with_everything_named() -> None:
    """The record lists playable files, pictures and metadata, and one event is sent as for a
    picture."""
    world = World()
    world.leave_all()
    done = finish(world)
    assert done.outcome is FinalizeOutcome.ACCEPTED
    record = world.now()
    assert record == done.record
    assert (record.status, record.verdict) == (Status.ACCEPTED, None)
    assert medium_of(record) is MediaType.VIDEO
    assert record.film is not None
    assert (record.film.duration_ms, record.film.width, record.film.codec) == (2000, 320, "h264")
    assert [(one.name, one.format, one.width, one.duration_ms) for one in record.media] == [
        ("stream", MediaFormat.HLS, 320, 2000),
        ("stream", MediaFormat.DASH, 320, 2000),
        ("film", MediaFormat.MP4, 320, 2000),
        ("storyboard", MediaFormat.VTT, 0, 2000),
        ("preview", MediaFormat.MP4, 32, 1500),
    ]
    assert [
        (one.name, one.format, one.width, one.height, one.frames, one.duration_ms)
        for one in record.renditions
    ] == [
        ("poster", Format.JPEG, 32, 18, 1, None),
        ("poster", Format.WEBP, 32, 18, 1, None),
        ("preview", Format.WEBP, 32, 18, 15, 1500),
    ]
    named = {one.key for one in record.media} | {one.key for one in record.renditions}
    assert named <= world.store.keys("delivery")
    assert record.metadata is not None
    assert record.metadata.sha256 == "c" * 64
    assert plain(record.metadata.measures) == CHOSEN["image_measures"]
    assert not [call for call in world.fuse.calls if call == "store.get"][len(FILES) :]
    assert record.metadata.tags.taken_at == "2026-05-09T10:11:12.000000Z"
    (event,) = world.catalog.told
    assert (event.type, event.detail["media"]) == ("asset.accepted", "video")
    assert event.detail["duration_ms"] == 2000
    assert world.store.keys("intake") == {"film.mov"}


def test_what_jobs_found_odd_is_in_record_and_event() -> None:
    """Warnings of reading and decoding appear once each; a good video has none."""
    world = World()
    world.leave_all()
    finish(world)
    assert world.catalog.told[0].detail["warnings"] == []
    world = World()
    world.leave_all()
    odd = ["rotation_ignored", "damaged"]
    world.leave("video-metadata", {**FACTS, "warnings": odd[:1]})
    world.leave("transcode", {**ENCODED, "warnings": odd})
    finish(world)
    film = world.now().film
    assert film is not None
    assert film.warnings == tuple(odd)
    assert world.catalog.told[0].detail["warnings"] == odd
    assert build(VideoInfo, plain(film)) == film
    assert build(VideoInfo, {**plain(film), "warnings": []}).warnings == ()


@pytest.mark.parametrize("warnings", ["damaged", ["a b"], [1], ["damaged"] * 17])
def test_warnings_that_are_no_codes_are_a_defect(warnings: Any) -> None:
    """A job has decoded hostile bytes: what it says is checked."""
    world = World()
    world.leave_all()
    world.leave("transcode", {**ENCODED, "warnings": warnings})
    with pytest.raises(EngineError, match="warning"):
        finish(world)


def test_the_parts_of_a_divided_transcode_do_not_stay() -> None:
    """They are joined, and would be paid for as long as the film."""
    world = World()
    world.leave_all()
    parts = {f"{version_prefix(world.record)}transcode/parts/{name}" for name in ("0.mp4", "1.mp4")}
    for key in parts:
        world.store.put("delivery", key, b"part", content_type="")
    finish(world)
    assert not parts & world.store.keys("delivery")
    assert {one.key for one in world.now().media} <= world.store.keys("delivery")


def test_what_is_not_needed_may_be_missing() -> None:
    """A film without storyboard and preview is a film."""
    world = World()
    for kind in ("transcode", "poster", "video-metadata"):
        world.leave(kind)
    world.reject("preview")
    done = finish(world)
    assert done.outcome is FinalizeOutcome.ACCEPTED
    assert [one.name for one in world.now().media] == ["stream", "stream", "film"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("transcode", "rejected.json"),
        ("transcode", "plan.rejected.json"),
        ("transcode", "results/00003.part.rejected.json"),
        ("poster", "rejected.json"),
    ],
)
def test_a_job_that_refuses_its_input_rejects_the_upload(kind: str, name: str) -> None:
    """With its code: in the record, at the copy in quarantine, in the event; nothing else stays."""
    world = World()
    world.leave("video-metadata")
    world.reject(kind, name=name)
    assert finish(world).outcome is FinalizeOutcome.REJECTED
    record = world.now()
    assert record.verdict is not None
    assert record.verdict.code == "corrupt"
    kept = world.store.head("quarantine", quarantine_key(record))
    assert kept.metadata["reason-code"] == "corrupt"
    assert world.store.keys("intake") == set()
    assert world.delivered() == set()
    (event,) = world.catalog.told
    assert event.type == "asset.rejected"


def test_a_rejected_upload_that_is_gone_is_rejected_all_the_same() -> None:
    """There is nothing to keep, and nothing to wait for."""
    world = World()
    world.reject("transcode", "object_missing")
    world.store.versions.pop(("intake", "film.mov"))
    assert finish(world).outcome is FinalizeOutcome.REJECTED
    assert world.store.keys("quarantine") == set()


def test_a_job_that_failed_leaves_the_upload_waiting() -> None:
    """It is no fault of the upload: timeline and event say which job, and a person has to look."""
    world = World()
    world.leave("poster")
    jobs = [
        JobReport(kind="transcode", failed=True, error="States.TaskFailed", cause="x" * 5000),
        JobReport(kind="poster", failed=False),
    ]
    done = world.heavy.finish(world.record.asset, world.record.version, jobs)
    assert done.outcome is FinalizeOutcome.FAILED
    assert world.now().status is Status.PROCESSING
    (told,) = world.catalog.told
    assert (told.type, told.detail["job"]) == ("asset.failed", "transcode")
    (line,) = [
        one for one in world.catalog.timeline(world.record.asset) if one.kind == "job_failed"
    ]
    assert line.detail["job"] == "transcode"
    world.leave_all()
    assert finish(world).outcome is FinalizeOutcome.ACCEPTED


def test_a_result_stands_over_an_earlier_refusal() -> None:
    """A result takes precedence over an earlier attempt's rejection."""
    world = World()
    world.reject("transcode")
    world.leave_all()
    assert finish(world).outcome is FinalizeOutcome.ACCEPTED


@pytest.mark.parametrize("chosen", ["", "careful"])
def test_a_recipe_may_ask_for_a_person(tmp_path: Path, chosen: str) -> None:
    """The deployment's, or the one that the upload has chosen; then all that was made waits."""
    text = locate("default").read_text().replace("version =", "approval = true\nversion =", 1)
    (tmp_path / "careful.toml").write_text(text)
    careful = str(tmp_path / "careful.toml")
    recipes = DeploymentRecipes("default", [careful]) if chosen else DeploymentRecipes(careful)
    world = World(policy=replace(POLICY, recipes=recipes))
    world.catalog.records[world.record.asset] = replace(world.record, chosen_recipe=chosen)
    world.leave_all()
    assert finish(world).outcome is FinalizeOutcome.REVIEW
    assert world.now().status is Status.REVIEW
    assert world.now().media


def test_a_newer_upload_wins() -> None:
    """Files of its jobs are removed; the newer record is unchanged."""
    world = World()
    world.leave_all()
    newer = world.upload(b"another film")
    world.catalog.told.clear()
    assert finish(world).outcome is FinalizeOutcome.STALE
    assert world.now() == newer
    assert world.store.keys("delivery") == set()
    assert world.catalog.told == []


def test_a_newer_upload_that_comes_at_the_last_moment_wins() -> None:
    """The commit is conditional on the sequencer."""
    world = World()
    world.leave_all()
    commit = world.catalog.commit
    newer = []

    def late(record: Any, entry: LogEntry, *, new: bool = False) -> Any:
        world.catalog.commit = commit  # type: ignore[method-assign]
        newer.append(world.upload(b"another film"))
        return commit(record, entry, new=new)

    world.catalog.commit = late  # type: ignore[method-assign]
    assert finish(world).outcome is FinalizeOutcome.STALE
    assert [world.now()] == newer
    assert world.store.keys("delivery") == set()


def test_results_of_other_bytes_are_not_taken() -> None:
    """The key was overwritten before the job fetched it: the newer upload's own event follows."""
    world = World()
    world.leave_all()
    world.leave("transcode", inputs=[{"uri": "u", "bytes": 1, "sha256": "d" * 64, "etag": "other"}])
    assert finish(world).outcome is FinalizeOutcome.STALE
    assert world.now().status is Status.PROCESSING


def test_an_erased_asset_stays_erased() -> None:
    """Files that were made meanwhile are removed."""
    world = World()
    world.leave_all()
    world.catalog.delete(world.record.asset)
    assert finish(world).outcome is FinalizeOutcome.STALE
    assert world.store.keys("delivery") == set()
    assert world.record.asset not in world.catalog.records


def test_finishing_twice_is_finishing_once() -> None:
    """The second time changes nothing; the event has the same id."""
    world = World()
    world.leave_all()
    first, second = finish(world), finish(world)
    assert first == second
    assert len({event.id for event in world.catalog.told}) == 1
    assert world.now().revision == world.record.revision + 1


@pytest.mark.parametrize("end", ["accepted", "rejected"])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("error", [Killed, lambda: Unreachable("down")], ids=["killed", "down"])
def test_a_retry_completes_whatever_was_left(end: str, error: Any, *, after: bool) -> None:
    """Broken at each call that touches the world, in turn: the end is the same."""

    def ready(fuse: Fuse) -> World:
        world = World(fuse)
        if end == "accepted":
            world.leave_all()
        else:
            world.leave("poster")
            world.reject("transcode")
        fuse.calls.clear()
        return world

    whole = ready(Fuse())
    finish(whole)
    for number in range(1, len(whole.fuse.calls) + 1):
        fuse = Fuse(error=error, after=after)
        world = ready(fuse)
        fuse.burns_at = number
        # What is not there is not there after a break either: such a call ends as it always does.
        with suppress(Killed, Unreachable):
            finish(world)
        fuse.burns_at = None
        assert finish(world).outcome.value == end
        assert replace(world.now(), updated_at="") == replace(whole.now(), updated_at="")
        assert {event.id for event in world.catalog.told} == {
            event.id for event in whole.catalog.told
        }
        assert world.delivered() == whole.delivered()
        assert world.store.keys("quarantine") == whole.store.keys("quarantine")


STORED = {"name": "a.jpg", "bytes": 1, "sha256": "c" * 64, "content_type": "image/jpeg"}
UNUSABLE: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "no mp4 that it names": ("transcode", {**ENCODED} | {"mp4": "x.mp4"}, {}),
    "nothing that plays": (
        "transcode",
        {**ENCODED} | {"mp4": None, "master": None, "dash": None},
        {},
    ),
    "no rungs": ("transcode", {"master": "hls/master.m3u8"}, {}),
    "no width": ("video-metadata", {**FACTS} | {"video": {"codec": "h264"}}, {}),
    "endless": ("video-metadata", {**FACTS} | {"duration": -1}, {}),
    "not a number": ("video-metadata", {**FACTS} | {"duration": "long"}, {}),
    "outside": ("poster", {"x": 1}, {"outputs": [STORED | {"name": "../a.jpg"}]}),
    "no digest": ("poster", {"x": 1}, {"outputs": [STORED | {"sha256": "c"}]}),
    "no picture": ("poster", {**CHOSEN}, {"outputs": []}),
    "nothing measured": ("poster", {**CHOSEN} | {"image_measures": {"phash": "0"}}, {}),
    "a preview it does not know": ("preview", {**MOVES} | {"files": []}, {}),
    "no outputs": ("poster", {"x": 1}, {"outputs": 4}),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_result_that_makes_no_sense_is_a_defect(name: str) -> None:
    """The upload is neither committed nor rejected."""
    kind, details, more = UNUSABLE[name]
    world = World()
    world.leave_all()
    world.leave(kind, details, **more)
    with pytest.raises(EngineError):
        finish(world)
    assert world.now().status is Status.PROCESSING


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_result_that_is_no_json_is_a_defect(text: bytes) -> None:
    """However it is broken."""
    world = World()
    world.leave_all()
    world.put("transcode", "result.json", text)
    with pytest.raises(EngineError):
        finish(world)
