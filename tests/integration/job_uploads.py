"""Uploads that jobs work on: videos to put, what becomes of them, and how to wait for it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from tests.integration.running import Running
from tests.unit.fakes import MemoryCatalog
from worker.domain.asset import (
    VIDEO_CODE,
    AssetRecord,
    LogEntry,
    ObjectVersion,
    Status,
    Verdict,
    asset_id_of,
    version_of,
)
from worker.domain.image import Format, MediaFormat
from worker.domain.keys import version_prefix
from worker.local import address
from worker.local.batch.jobs import LocalJobs
from worker.recipes import DeploymentRecipes, load
from worker.services.workflow_runs import RunPolicy, WorkflowRuns

SECONDS = 120.0
CLIP_SECONDS, WIDTH, HEIGHT = 3, 320, 180


def clip(folder: Path) -> Path:
    """A few seconds of moving pictures with audio."""
    path = folder / "holiday & video.mov"
    subprocess.run(
        [
            *("ffmpeg", "-v", "error", "-f", "lavfi"),
            *("-i", f"testsrc2=size={WIDTH}x{HEIGHT}:rate=25:duration={CLIP_SECONDS}"),
            *("-f", "lavfi", "-i", f"sine=frequency=440:duration={CLIP_SECONDS}"),
            *("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"),
            *("-c:a", "aac", "-y", str(path)),
        ],
        check=True,
    )
    return path


def wait_for(running: Running, asset: str, condition: Callable[[AssetRecord], bool]) -> AssetRecord:
    """The record, once something is true of it."""
    catalog, end = running.app.catalog, time.monotonic() + SECONDS
    while True:
        record = catalog.get(asset)
        if record is not None and condition(record):
            return record
        assert time.monotonic() < end, f"still {record}; {jobs_of(running)}"
        time.sleep(0.2)


def jobs_of(running: Running) -> Any:
    """How the jobs stand, for a failing test to say."""
    listed = LocalJobs(running.data / address.JOBS).list()
    return [(one.kind, one.state, one.exit_code, one.reason) for one in listed]


def final(record: AssetRecord) -> bool:
    """It waits for nothing any more."""
    return record.status is not Status.PROCESSING


def waiting(bucket: str, key: str, etag: str, size: int) -> AssetRecord:
    """What ingest would record of a video."""
    source = ObjectVersion(bucket=bucket, key=key, etag=etag, sequencer="0A", size=size)
    digest = load("default").digest
    return AssetRecord(
        asset=asset_id_of(bucket, key),
        source=source,
        recipe="default",
        recipe_digest=digest,
        version=version_of(etag, "0A", digest),
        status=Status.PROCESSING,
        verdict=Verdict(code=VIDEO_CODE, message="video (QuickTime MOV)"),
        updated_at="2026-01-02T03:04:05.000000Z",
    )


def divided(running: Running, video: Path) -> AssetRecord:
    """Let several machines encode a video, small as it is; its record as that begins."""
    app, bucket = running.root_app, running.app.settings.delivery_bucket
    # A bucket that announces nothing: only this test starts the workflow, with its own policy.
    app.store.put(bucket, "elsewhere/film.mov", video.read_bytes(), content_type="video/quicktime")
    stored = app.store.head(bucket, "elsewhere/film.mov")
    record = waiting(bucket, "elsewhere/film.mov", stored.etag, stored.size)
    entry = LogEntry(time=record.updated_at, kind="processing")
    # The workflow is started by this policy before the record's own event can start it by another.
    beforehand = MemoryCatalog()
    beforehand.commit(record, entry)
    policy = RunPolicy(
        delivery_bucket=bucket,
        video_seconds=60,
        video_array_bytes=stored.size,
        recipes=DeploymentRecipes("default"),
    )
    runs = WorkflowRuns(catalog=beforehand, policy=policy, workflows=app.workflows)
    runs.start(record.asset, record.version)
    app.catalog.commit(record, entry)
    return record


def oversize(folder: Path) -> Path:
    """A JPEG of more pixels than the ingest function takes, in grey: those are decoded soonest."""
    path = folder / "large.jpg"
    Image.new("L", (8001, 8000), 128).save(path, "JPEG")
    return path


def check_oversize(running: Running, record: AssetRecord) -> None:
    """What was made of it is as of any picture."""
    assert record.status is Status.ACCEPTED
    assert record.probe is not None
    assert record.probe.pixels == 8001 * 8000
    assert record.metadata is not None
    bucket = running.app.settings.delivery_bucket
    assert len(record.renditions) == 6
    for one in record.renditions:
        stored = running.app.store.head(bucket, one.key)
        assert (stored.size, stored.content_type) == (one.bytes, one.format.media_type)
    check_tags(running, record)


def check_tags(running: Running, record: AssetRecord) -> None:
    """Everything that was made of an asset, whoever wrote it, has its cache tag."""
    store, bucket = running.app.store, running.app.settings.delivery_bucket
    made = [one.key for one in store.list(bucket, version_prefix(record))]
    assert made
    for key in made:
        assert store.head(bucket, key).metadata["cache-tag"] == f"a:{record.asset}", key


# --- what a record promises, checked with the programs that players are made of ----------------


def check_video(running: Running, record: AssetRecord, folder: Path) -> None:
    """Everything named is there; what plays decodes to its end, with every frame and its audio."""
    assert record.film is not None
    assert (record.film.width, record.film.height) == (WIDTH, HEIGHT)
    assert record.film.audio_tracks == 1
    assert abs(record.film.duration_ms - 1000 * CLIP_SECONDS) < 100
    assert record.metadata is not None
    below = fetched(running, record, folder / "made")
    media = {(one.name, one.format): one for one in record.media}
    assert {format_ for _, format_ in media} == {*MediaFormat}
    for one in record.media:
        assert (below / one.key).stat().st_size == one.bytes
    for name in (
        ("stream", MediaFormat.HLS),
        ("stream", MediaFormat.DASH),
        ("film", MediaFormat.MP4),
    ):
        check_plays(below / media[name].key)
    assert (below / media["storyboard", MediaFormat.VTT].key).read_text().startswith("WEBVTT")
    pictures = {(one.name, one.format): one for one in record.renditions}
    assert {("poster", Format.JPEG), ("preview", Format.WEBP)} <= set(pictures)
    for picture in record.renditions:
        with Image.open(below / picture.key) as opened:
            opened.load()
            assert opened.size == (picture.width, picture.height)
    assert pictures["preview", Format.WEBP].frames > 1
    check_tags(running, record)


def check_plays(path: Path) -> None:
    """Decode everything: frames as many as the source had, and audio as long."""
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
