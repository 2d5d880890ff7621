"""Uploads that jobs work on: videos to put, what becomes of them, and how to wait for it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.integration.running import Running
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
from worker.local import address
from worker.local.batch.jobs import LocalJobs
from worker.recipes import load
from worker.services.finalize import FinalizePolicy, Finalizer

SECONDS = 120.0
CLIP_SECONDS, WIDTH, HEIGHT = 3, 320, 180


def clip(folder: Path) -> Path:
    """A few seconds of moving pictures with sound."""
    path = folder / "holiday & film.mov"
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
    app.catalog.commit(record, LogEntry(time=record.updated_at, kind="processing"))
    policy = FinalizePolicy(
        delivery_bucket=bucket,
        quarantine_bucket=app.settings.quarantine_bucket,
        video_seconds=60,
        video_array_bytes=stored.size,
        recipe="default",
    )
    Finalizer(
        store=app.store,
        catalog=app.catalog,
        events=app.events,
        policy=policy,
        workflows=app.workflows,
    ).start(record.asset, record.version)
    return record
