"""Heavy uploads on the real local stack: from `put` to a record, while jobs lose their machines.

Everything is real: the embedded AWS, ingest, the state machine's file, the jobs as processes.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from random import Random

import pytest

from tests.integration.job_uploads import (
    SECONDS,
    check_oversize,
    check_video,
    clip,
    final,
    jobs_of,
    oversize,
    wait_for,
)
from tests.integration.running import Running, until
from worker.adapters.aws.clients import AwsClients
from worker.domain.asset import Status
from worker.domain.job import JobState
from worker.local import address
from worker.local.batch.jobs import LocalJobs

pytestmark = [
    pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed"),
    pytest.mark.timeout(300),
]


def test_work_that_failed_is_tried_again_when_somebody_asks(
    running: Running, tmp_path: Path
) -> None:
    """A job that fails for no fault of the upload leaves it waiting; nobody is told of an end.

    More pixels than the ingest function takes: same record, same keys, made by a job.
    """
    path = oversize(tmp_path)
    events = running.data / address.EVENTS
    earlier = len(events.read_text().splitlines()) if events.exists() else 0
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

    record = wait_for(running, asset, final)
    assert running.run("assets", "retry", asset, code=2) == ""
    check_oversize(running, record)

    def types() -> list[str]:
        """By the revision of the record: a queue may bring a later event first."""
        told = map(json.loads, events.read_text().splitlines()[earlier:])
        mine = {one["id"]: one["type"] for one in told if one["asset"] == asset}
        ended = [(id_, kind) for id_, kind in mine.items() if kind in ends]
        return [kind for _, kind in sorted(ended, key=lambda one: int(one[0].rpartition("/")[2]))]

    ends = ["asset.processing", "asset.accepted"]
    until(lambda: set(ends) <= set(types()))
    assert types() == ends


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


def executions(running: Running, asset: str) -> list[str]:
    """How the executions of an asset stand."""
    sfn, arn = (
        AwsClients(running.root).stepfunctions,
        running.ready["outputs"]["workflows"]["video"],
    )
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
