"""Each role of the program allows what the code calls, and nothing else.

Every process of the stack works with its own role and writes down what it calls
(``SAFELIGHT_CALLS``). Everything is gone through that a role is there for; what a whole run reaches
only by bad luck or with gigabytes is done here with the same code and the same role.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any
from urllib.request import urlopen

import pytest
from botocore.exceptions import ClientError

from tests.integration.api_client import ApiClient
from tests.integration.job_uploads import (
    SECONDS,
    check_oversize,
    check_video,
    clip,
    divided,
    final,
    jobs_of,
    oversize,
    wait_for,
    waiting,
)
from tests.integration.rights.calls import missing, recorded, unused
from tests.integration.rights.justified import JUSTIFIED
from tests.integration.rights.policy import Grant
from tests.integration.rights.world import World, short, unannounced
from tests.integration.running import Running, acting, picture, until
from worker.adapters.aws.clients import VARIABLE, AwsClients
from worker.adapters.aws.dynamodb.catalog import DynamoCatalog
from worker.adapters.aws.s3 import S3ObjectStore, S3Transfers
from worker.adapters.aws.stepfunctions import StepFunctionsWorkflows
from worker.bootstrap import assemble
from worker.domain.asset import CLOSED, AssetRecord, JobRecord, Status, Verdict
from worker.domain.errors import Reason, SafelightError
from worker.domain.job import JobState
from worker.domain.keys import quarantine_key, version_prefix
from worker.domain.moderation import CategoryRule, ModerationRules
from worker.domain.workflow import RunState, StageCall
from worker.local import address, rekognition
from worker.local.batch.jobs import LocalJobs
from worker.services.commit import RenditionStore
from worker.services.moderate import FirstLook, UploadedContent, undecided
from worker.services.originals import quarantine

pytestmark = [
    pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed"),
    pytest.mark.timeout(300),
]
NOON = "2026-05-09T12:00:00.000000Z"
PART = 5 * 1024**2
"""Smallest part of an upload in parts."""


def test_each_role_allows_exactly_what_is_called(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call is allowed, and every grant is used or says why it is there."""
    images(world, tmp_path)
    requests(world, tmp_path)
    videos(world, tmp_path)
    with monkeypatch.context() as patch:
        patch.setenv(VARIABLE, str(world.calls))
        workflows(world, tmp_path)
        rarities(world, tmp_path)

    roles = dict(world.policies())
    needs = recorded(world.calls, roles)
    assert missing(needs, roles) == []
    found = {(short(role), grant) for role, grant in unused(needs, roles)}
    assert {role for role in roles if not any(need.identity == role for need in needs)} == {
        world.order.profile  # which calls nothing: it only hashes
    }
    assert sorted(one for one in found if not justification(*one)) == []
    assert {reason for one in found for reason in justification(*one)} == {*JUSTIFIED}


def justification(role: str, grant: Grant) -> list[tuple[str, str, str]]:
    """The entries that justify a grant which nobody uses."""
    return [
        entry
        for entry in JUSTIFIED
        if entry[:2] == (role, grant.action) and entry[2] in grant.resource
    ]


def images(world: World, folder: Path) -> None:
    """Accepted, replaced, copied, rejected, backfilled, malformed, too large for the function."""
    running = world.running
    first = picture(folder, "a.jpg")
    assert running.json("put", first, "--wait")["status"] == "accepted"
    duplicate = folder / "b.jpg"
    duplicate.write_bytes(first.read_bytes())
    copied = running.json("put", duplicate, "--wait")
    assert running.app.catalog.get(copied["asset"]).copied_from  # type: ignore[union-attr]
    picture(folder, "a.jpg", "red")
    assert running.json("put", first, "--wait")["status"] == "accepted"
    broken = folder / "broken.jpg"
    broken.write_bytes(first.read_bytes()[:900])
    assert running.json("put", broken, "--wait", code=1)["reason"]["code"] == "truncated"

    with unannounced(world):
        silent = running.json("put", picture(folder, "c.jpg", "navy"))
    place = f"s3://{running.app.settings.intake_bucket}/uploads/c"
    running.json("backfill", place, "--state", folder / "state.json")
    until(lambda: running.app.catalog.get(silent["asset"]) is not None)

    running.app.queue.send(str(world.outputs["uploadsQueue"]), [("no JSON", "", "")])
    until(lambda: running.app.queue.depth(running.app.settings.dlq_url) == 1)

    put = running.json("put", oversize(folder), "--wait")
    assert (put["status"], len(put["renditions"])) == ("accepted", 6)
    check_oversize(running, wait_for(running, put["asset"], final))


def workflows(world: World, folder: Path) -> None:
    """The function starts a run of each machine without jobs, for a version that was replaced."""
    running = world.running
    put = running.json("put", picture(folder, "escalated.jpg", "plum"), "--wait")
    runs = running.root_app.runs
    record = running.root_app.catalog.get(put["asset"])
    assert record is not None
    machines = world.outputs["workflows"]
    starting = StepFunctionsWorkflows(world.acting(world.workflow), machines)
    names = sorted(set(machines) - {"video"})
    for name in names:
        payload = {**runs.payload(record, name), "version": "0" * 16}
        starting.start(name, "rights", payload)
    for name in names:
        until(lambda name=name: runs.run(name, "rights").state is not RunState.RUNNING)  # type: ignore[misc]


def requests(world: World, folder: Path) -> None:
    """Everything that a client of the API asks for."""
    api = ApiClient(world.running.ready["api"], world.running.ready["token"])
    photo = picture(folder, "api.jpg", "olive", (900, 600)).read_bytes()
    asset = api.upload("api.jpg", photo, tags=["a"])["asset"]
    until(lambda: api.get(f"/assets/{asset}")["status"] == "accepted")
    parted = api.upload("parts.jpg", photo, method="multipart")["asset"]
    given_up = api.post("/uploads", {"name": "b", "size": 9, "method": "multipart"})["asset"]
    api.post(f"/uploads/{given_up}/abort")
    for query in ("", "?tag=a", "?status=accepted", "?owner=me"):
        api.get(f"/assets{query}")
    api.get(f"/assets/{asset}/similar")
    version = api.get(f"/assets/{asset}")["version"]
    # A file of the bucket, one of no recipe, and two that are made: of a file, of the original.
    for file in ("medium", "medium.avif", "w/320.jpg", "w/640.jpg"):
        with urlopen(f"{world.running.ready['delivery']}/{asset}/{version}/{file}") as answer:
            assert answer.status == 200
    api.patch(f"/assets/{asset}", {"add_tags": ["b"], "remove_tags": ["a"]})
    api.patch(f"/assets/{asset}", {"focal_point": {"x": 0.5, "y": 0.5}})
    job = api.post("/jobs", {"kind": "denoise", "assets": [asset]})["id"]
    api.delete(f"/jobs/{job}")
    broken = api.upload("broken.jpg", photo[:900])["asset"]
    until(lambda: api.get(f"/assets/{broken}")["status"] == "rejected")
    until(lambda: api.get(f"/assets/{parted}")["status"] == "accepted")
    for one in (asset, parted, broken):
        until(lambda one=one: api.deleted(one))  # type: ignore[misc]


def videos(world: World, folder: Path) -> None:
    """Whole, with a job that loses its machine; divided; and one that cannot be played."""
    running = world.running
    video = clip(folder)
    whole = running.json("put", video, "--wait", "--no-jobs")["asset"]
    reclaim_one(running, whole)
    parted = divided(running, video).asset
    short_ = folder / "short.mp4"
    short_.write_bytes(video.read_bytes()[:3000])
    put = running.json("put", short_, "--wait", code=1)

    assert wait_for(running, whole, final).status is Status.ACCEPTED, jobs_of(running)
    check_divided(running, wait_for(running, parted, final), folder)
    check_rejected(running, wait_for(running, put["asset"], final), put["reason"]["code"])


def check_divided(running: Running, record: AssetRecord, folder: Path) -> None:
    """Plan, array, assembly: the same files and the same record as from one machine."""
    assert record.status is Status.ACCEPTED, (record.verdict, jobs_of(running))
    check_video(running, record, folder)
    listed = LocalJobs(running.data / address.JOBS).list()
    mine = {one.kind: one for one in listed if one.name.startswith(record.asset)}
    assert mine["transcode-part"].array_size == 2
    assert "transcode" not in mine


def check_rejected(running: Running, record: AssetRecord, told: str) -> None:
    """A container of a video by its first bytes, and nothing that plays: the job's own reason."""
    assert record.status is Status.REJECTED
    assert record.verdict is not None
    assert record.verdict.code == told
    assert told in {code.value for code in Reason}
    app = running.app
    assert app.store.head(app.settings.quarantine_bucket, quarantine_key(record)).size == 3000
    prefix = version_prefix(record)
    assert list(app.store.list(app.settings.delivery_bucket, prefix)) == []


def reclaim_one(running: Running, asset: str) -> None:
    """Take the machine from the first job of an asset that runs."""
    jobs, end = LocalJobs(running.data / address.JOBS), time.monotonic() + SECONDS
    while True:
        mine = [one for one in jobs.list(JobState.RUNNING) if one.name.startswith(asset)]
        if mine and jobs.reclaim(1.0, chance=Random(1), notice_seconds=5.0):
            return
        assert time.monotonic() < end, jobs_of(running)
        time.sleep(0.02)


def rarities(world: World, folder: Path) -> None:
    """What a run reaches only with gigabytes, or when two are at it in the same moment."""
    running = world.running
    settings = running.app.settings
    intake, delivery = settings.intake_bucket, settings.delivery_bucket
    large = folder / "large.bin"
    large.write_bytes(b"\0" * (2 * PART + 1))

    # Results of more than 64 MB go in parts, and those of a failed upload are removed.
    clients = world.acting(world.job)
    transfers = S3Transfers(clients, part=PART, threshold=PART)
    transfers.upload(large, delivery, "elsewhere/parts.bin", content_type="video/mp4")
    transfers.download(delivery, "elsewhere/parts.bin", folder / "parts.bin")
    with failing(clients, "UploadPart"), pytest.raises(SafelightError):
        transfers.upload(large, delivery, "elsewhere/failed.bin", content_type="video/mp4")
    transfers.close()

    # An original of more than 5 GB, backfilled and then rejected, by ingest or by a job.
    with unannounced(world):
        data = large.read_bytes()
        running.root_app.store.put(intake, "elsewhere/large.bin", data, content_type="x/y")
    record = replace(
        waiting(intake, "elsewhere/large.bin", "e" * 32, 2 * PART + 1),
        verdict=Verdict(code="too_long_duration", message="a test wants it"),
    )
    for holder in (world.ingest, world.workflow):
        clients = world.acting(holder)
        store = S3ObjectStore(clients, copy_bytes=PART, part_bytes=PART)
        assert quarantine(store, settings.quarantine_bucket, record)
        with failing(clients, "UploadPartCopy"), pytest.raises(SafelightError):
            quarantine(store, settings.quarantine_bucket, record)

    # Files of what waits for a person are closed, and opened by who finds it published.
    transfers = S3Transfers(world.acting(world.job))
    transfers.upload(large, delivery, "elsewhere/closed.bin", content_type="x/y", tags=CLOSED)
    transfers.close()
    for holder in (world.ingest, world.workflow):
        for tags in (CLOSED, {}):
            S3ObjectStore(world.acting(holder)).tag(delivery, "elsewhere/closed.bin", tags)

    # What jobs have recorded of an asset that was erased while they were at work.
    lost = JobRecord(
        asset="erased", id="j", kind="k", state="FAILED", created_at=NOON, updated_at=NOON
    )
    running.root_app.catalog.put_job(lost)
    DynamoCatalog(world.acting(world.workflow).dynamodb, settings.table).delete("erased")
    assert running.app.catalog.jobs("erased") == []

    # Renditions of an upload that was replaced while they were made.
    store = S3ObjectStore(world.acting(world.ingest))
    made = running.app.catalog.by_status(Status.ACCEPTED, limit=50).records
    renditions = RenditionStore(store, delivery, threads=1)
    renditions.delete_all(next(one for one in made if one.source.key.endswith("b.jpg")))
    renditions.close()
    # And the versions before it, which may still have to expire.
    assert DynamoCatalog(world.acting(world.ingest).dynamodb, settings.table).timeline(
        next(one.asset for one in made)
    )

    moderation(world, folder)


def moderation(world: World, folder: Path) -> None:
    """What a recipe with [moderation] adds: look-alikes at upload, and the stage that asks."""
    running = world.running
    settings = running.app.settings
    rules = ModerationRules(categories=(CategoryRule(name="explicit", blur=50),))
    record = next(
        one
        for one in running.app.catalog.by_status(Status.ACCEPTED, limit=50).records
        if one.source.key.endswith("a.jpg") and one.metadata is not None
    )
    assert record.metadata is not None
    for holder in (world.ingest, world.workflow):
        catalog = assemble(settings, world.acting(holder)).catalog
        content = UploadedContent(
            version=record.version,
            phash=record.metadata.measures.phash,
            same=catalog.by_content(record.metadata.sha256),
        )
        FirstLook(catalog=catalog).earlier(rules, content)

    running.root_app.catalog.update(record.asset, moderation=undecided(NOON))
    (folder / "logs").mkdir(exist_ok=True)
    (folder / rekognition.TABLE).write_text(
        f'[[pictures]]\nfile = "{folder / "a.jpg"}"\n'
        'moderation = [{ name = "Explicit", confidence = 60 }]\n'
    )
    with rekognition.serving(0, folder) as port:
        environment = {
            **acting(running.root, world.workflow),
            "AWS_PROFILE": world.workflow.profile,
            rekognition.VARIABLE: f"http://127.0.0.1:{port}",
        }
        app = assemble(settings, AwsClients(environment))
        recipe = replace(app.recipes.load(""), moderation=rules)
        stage = replace(app.moderate, recipe=lambda _: recipe)
        call = StageCall(task="moderate", asset=record.asset, version=record.version)
        assert stage.run(call) == {"outcome": "blur"}


@contextmanager
def failing(clients: AwsClients, operation: str) -> Iterator[None]:
    """A block in which one operation of these clients' S3 never succeeds."""
    events, name = clients.s3.meta.events, f"before-call.s3.{operation}"

    def fail(**_: Any) -> None:
        answer: Any = {"Error": {"Code": "InternalError", "Message": "a test wants it"}}
        raise ClientError(answer, operation)

    events.register(name, fail)
    try:
        yield
    finally:
        events.unregister(name, fail)
