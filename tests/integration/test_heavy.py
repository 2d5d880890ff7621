"""Heavy uploads on the real local stack: from `put` to a record, while jobs lose their machines.

Everything is real: the embedded AWS, ingest, the state machine's file, the jobs as processes.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from random import Random

import pytest
from PIL import Image

from tests.integration.job_uploads import (
    CLIP_SECONDS,
    HEIGHT,
    SECONDS,
    WIDTH,
    clip,
    divided,
    final,
    jobs_of,
    wait_for,
)
from tests.integration.running import Running
from worker.adapters.aws.clients import AwsClients
from worker.domain.asset import AssetRecord, Status
from worker.domain.errors import Reason
from worker.domain.image import Format, MediaFormat
from worker.domain.job import JobState
from worker.domain.keys import quarantine_key, version_prefix
from worker.local import address
from worker.local.batch.jobs import LocalJobs

pytestmark = [
    pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed"),
    pytest.mark.timeout(300),
]


def test_an_oversize_picture_becomes_an_accepted_asset(running: Running, tmp_path: Path) -> None:
    """More pixels than the ingest function takes: same record, same keys, made by a job."""
    path = tmp_path / "large.jpg"
    Image.new("RGB", (8001, 8000), "teal").save(path, "JPEG")
    put = running.json("put", path, "--wait")
    assert (put["status"], len(put["renditions"])) == ("accepted", 6)
    record = wait_for(running, put["asset"], final)
    assert record.status is Status.ACCEPTED
    assert record.probe is not None
    assert record.probe.pixels == 8001 * 8000
    assert record.metadata is not None
    bucket = running.app.settings.delivery_bucket
    assert len(record.renditions) == 6
    for one in record.renditions:
        stored = running.app.store.head(bucket, one.key)
        assert (stored.size, stored.content_type) == (one.bytes, one.format.media_type)
    events = (running.data / address.EVENTS).read_text().splitlines()
    types = [one["type"] for one in map(json.loads, events) if one["asset"] == record.asset]
    assert types[0] == "asset.processing"
    assert "asset.accepted" in types


def test_work_that_failed_is_tried_again_when_somebody_asks(
    running: Running, tmp_path: Path
) -> None:
    """A job that fails for no fault of the upload leaves it waiting; nobody is told of an end."""
    path = tmp_path / "stopped.jpg"
    Image.new("RGB", (8002, 8000), "navy").save(path, "JPEG")
    asset = running.json("put", path)["asset"]
    jobs, catalog = LocalJobs(running.data / address.JOBS), running.app.catalog
    end = time.monotonic() + SECONDS
    # From here to its end the job takes as long as Python and 64 megapixels do.
    while not (mine := jobs.named(asset)):
        assert time.monotonic() < end
    jobs.stop(mine[0].id, "a test wants it")
    while all(line.kind != "job_failed" for line in catalog.timeline(asset)):
        assert time.monotonic() < end, jobs_of(running)
        time.sleep(0.1)
    assert wait_for(running, asset, lambda _: True).status is Status.PROCESSING

    running.run("assets", "retry", asset)

    assert wait_for(running, asset, final).status is Status.ACCEPTED
    assert running.run("assets", "retry", asset, code=2) == ""


def test_a_video_becomes_what_a_player_needs_while_jobs_lose_their_machines(
    running: Running, tmp_path: Path
) -> None:
    """Jobs are reclaimed at random; the embedded AWS, which runs the state machine, is killed."""
    put = running.json("put", clip(tmp_path), "--wait", "--no-jobs")
    assert put["status"] == "processing"
    struck = strike(running, put["asset"], Random(5))
    record = wait_for(running, put["asset"], final)
    assert record.status is Status.ACCEPTED, (record.verdict, jobs_of(running))
    check_video(running, record, tmp_path)
    jobs = LocalJobs(running.data / address.JOBS)
    # One that ended in the moment it was struck needs no second attempt.
    assert any(jobs.describe(job).attempts > 1 for job in struck)
    assert executions(running, record.asset) == ["SUCCEEDED"]


def test_a_large_video_is_divided_and_joined(running: Running, tmp_path: Path) -> None:
    """Plan, array, assembly: the same files and the same record as from one machine."""
    path = clip(tmp_path)
    record = divided(running, path)
    done = wait_for(running, record.asset, final)
    assert done.status is Status.ACCEPTED, (done.verdict, jobs_of(running))
    check_video(running, done, tmp_path)
    listed = LocalJobs(running.data / address.JOBS).list()
    mine = {one.kind: one for one in listed if one.name.startswith(record.asset)}
    assert mine["transcode-part"].array_size == 2
    assert "transcode" not in mine


def test_a_video_without_a_picture_is_rejected_with_the_jobs_reason(
    running: Running, tmp_path: Path
) -> None:
    """Cut short: a container of a video by its first bytes, and nothing that plays."""
    path = tmp_path / "short.mp4"
    path.write_bytes(clip(tmp_path).read_bytes()[:3000])
    put = running.json("put", path, "--wait", code=1)
    record = wait_for(running, put["asset"], final)
    assert record.status is Status.REJECTED
    assert put["reason"]["code"] == (record.verdict.code if record.verdict else None)
    assert record.verdict is not None
    assert record.verdict.code in {code.value for code in Reason}
    app = running.app
    assert app.store.head(app.settings.quarantine_bucket, quarantine_key(record)).size == 3000
    prefix = version_prefix(record)
    assert list(app.store.list(app.settings.delivery_bucket, prefix)) == []


def executions(running: Running, asset: str) -> list[str]:
    """How the executions of an asset stand."""
    sfn, arn = AwsClients(running.root).stepfunctions, running.ready["outputs"]["heavyWorkflow"]
    listed = sfn.list_executions(stateMachineArn=arn)["executions"]
    return [one["status"] for one in listed if one["name"].startswith(asset)]


def strike(running: Running, asset: str, chance: Random) -> set[str]:
    """Take the machine from each job of an asset once, at a random moment; their ids."""
    jobs, struck = LocalJobs(running.data / address.JOBS), set[str]()
    end = time.monotonic() + SECONDS
    killed = False
    while time.monotonic() < end:
        mine = [one for one in jobs.list() if one.name.startswith(asset)]
        fresh = [one for one in mine if one.state is JobState.RUNNING and one.id not in struck]
        if fresh and chance.random() < 0.04:
            struck |= set(jobs.reclaim(1.0, chance=chance, notice_seconds=5.0))
        if struck and not killed:
            running.kill_emulator()
            killed = True
        if mine and all(one.state.ended for one in mine):
            break
        time.sleep(0.05)
    return struck


# --- what a record promises, checked with the programs that players are made of ----------------


def check_video(running: Running, record: AssetRecord, folder: Path) -> None:
    """Everything named is there; what plays decodes to its end, with every frame and its sound."""
    assert record.film is not None
    assert (record.film.width, record.film.height) == (WIDTH, HEIGHT)
    assert record.film.audio_tracks == 1
    assert abs(record.film.duration_ms - 1000 * CLIP_SECONDS) < 100
    assert record.metadata is not None
    below = fetched(running, record, folder / "made")
    media = {(one.name, one.format): one for one in record.media}
    assert {format_ for _, format_ in media} == {MediaFormat.HLS, MediaFormat.MP4, MediaFormat.VTT}
    for one in record.media:
        assert (below / one.key).stat().st_size == one.bytes
    for name in (("stream", MediaFormat.HLS), ("film", MediaFormat.MP4)):
        check_plays(below / media[name].key)
    assert (below / media["storyboard", MediaFormat.VTT].key).read_text().startswith("WEBVTT")
    pictures = {(one.name, one.format): one for one in record.renditions}
    assert {("poster", Format.JPEG), ("preview", Format.WEBP)} <= set(pictures)
    for picture in record.renditions:
        with Image.open(below / picture.key) as opened:
            opened.load()
            assert opened.size == (picture.width, picture.height)
    assert pictures["preview", Format.WEBP].frames > 1


def check_plays(path: Path) -> None:
    """Decode everything: frames as many as the source had, and sound as long."""
    counted = subprocess.run(
        [
            *("ffprobe", "-v", "error", "-count_frames", "-show_entries"),
            *("stream=codec_type,nb_read_frames,width,height", "-of", "json", str(path)),
        ],
        check=True,
        capture_output=True,
    )
    streams = json.loads(counted.stdout)["streams"]
    frames = {int(one["nb_read_frames"]) for one in streams if one["codec_type"] == "video"}
    assert frames == {25 * CLIP_SECONDS}
    decoded = subprocess.run(
        [
            *("ffmpeg", "-v", "error", "-xerror", "-i", str(path)),
            *("-map", "0:a:0", "-f", "s16le", "-ac", "1", "-ar", "48000", "pipe:1"),
        ],
        check=True,
        capture_output=True,
    )
    assert decoded.stderr == b""
    assert abs(len(decoded.stdout) / 2 / 48_000 - CLIP_SECONDS) < 0.06


def fetched(running: Running, record: AssetRecord, folder: Path) -> Path:
    """Everything that was made of an upload, under its keys."""
    app = running.app
    bucket = app.settings.delivery_bucket
    for found in app.store.list(bucket, version_prefix(record)):
        path = folder / found.key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(app.store.get(bucket, found.key)[0])
    return folder
