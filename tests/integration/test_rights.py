"""Each role of the program allows what the code calls, and nothing else.

One stack with enforced IAM, in which every process works with its own role and writes down what it
calls (``SAFELIGHT_CALLS``). Everything is gone through that a role is there for; what a whole run
reaches only by bad luck or with gigabytes is done here with the same code and the same role.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError
from PIL import Image

from tests.integration.acting import acting
from tests.integration.rights.calls import missing, recorded, unused
from tests.integration.rights.justified import JUSTIFIED, NOBODY
from tests.integration.rights.policy import Grant, allowed, grants
from tests.integration.test_heavy import clip, final, jobs_of, wait_for, waiting
from tests.integration.test_local_stack import Running, picture, stack, until
from worker.adapters.aws_calls import VARIABLE
from worker.adapters.aws_clients import AwsClients
from worker.adapters.local_workflows import LocalWorkflows
from worker.adapters.s3 import S3ObjectStore
from worker.adapters.transfers import S3Transfers
from worker.errors import AccessDenied, SafelightError
from worker.jobs import JobState
from worker.local import address
from worker.local.actors import Actor, Actors
from worker.local.batch.jobs import LocalJobs
from worker.local.deploy.kinds.adapted import BATCHES
from worker.local.permits import Permits
from worker.local.stack import HANDLER, WORKFLOW_HANDLER
from worker.records import LogEntry, Status, Verdict
from worker.services.heavy import Heavy, HeavyPolicy
from worker.services.ingest.closing import quarantine
from worker.services.ingest.shelf import Shelf

pytestmark = [
    pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed"),
    pytest.mark.timeout(300),
]
SECONDS = 120.0
PART = 5 * 1024**2
"""Smallest part of an upload in parts."""


class World:
    """A stack that writes down what is called, and who is in it."""

    def __init__(self, running: Running, calls: Path) -> None:
        """It runs."""
        self.running, self.calls = running, calls
        self.outputs: Mapping[str, Any] = running.ready["outputs"]
        self.actors = Actors.of(self.outputs)
        self.ingest = self.actors.function(HANDLER)
        self.workflow = self.actors.function(WORKFLOW_HANDLER)
        self.pipe, self.order = self.actors.pipe()
        self.job, self.machine = self.actors.jobs(), self.actors.machine()

    def acting(self, actor: Actor) -> AwsClients:
        """Clients with the rights of a role, by whose name their calls are written down."""
        return AwsClients({**acting(self.running.root, actor), "AWS_PROFILE": actor.profile})

    def policies(self) -> Iterator[tuple[str, list[Grant]]]:
        """What each role allows that somebody has here, without what only the emulator asks for."""
        iam = AwsClients(self.running.root).iam
        for role in iam.list_roles()["Roles"]:
            name = role["RoleName"]
            if short(name) in NOBODY:
                continue
            found: list[Grant] = []
            for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
                text = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
                found += grants(text)  # type: ignore[arg-type]
            if found:
                yield name, [one for one in found if one.action not in BATCHES.values()]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One stack for all tests here."""
    folder = tmp_path_factory.mktemp("rights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(folder / "calls.jsonl"))
        with stack(folder / "data") as running:
            patch.delenv(VARIABLE)  # what this process calls is nobody's
            yield World(running, folder / "calls.jsonl")


# --- none missing, none unused ----------------------------------------------------------------


def test_each_role_allows_exactly_what_is_called(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call is allowed, and every grant is used or says why it is there."""
    images(world, tmp_path)
    films(world, tmp_path)
    with monkeypatch.context() as patch:
        patch.setenv(VARIABLE, str(world.calls))
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


def short(role: str) -> str:
    """A role's name without project and stack."""
    return role.removeprefix("safelight-local-")


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
    twin = folder / "b.jpg"
    twin.write_bytes(first.read_bytes())
    copied = running.json("put", twin, "--wait")
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

    path = folder / "large.jpg"
    Image.new("RGB", (8001, 8000), "teal").save(path, "JPEG")
    asset = running.json("put", path, "--wait")["asset"]
    assert wait_for(running, asset, final).status is Status.ACCEPTED


def films(world: World, folder: Path) -> None:
    """Whole, with a job that loses its machine; divided; and one that cannot be played."""
    running = world.running
    film = clip(folder)
    whole = running.json("put", film, "--wait")["asset"]
    reclaim_one(running, whole)
    divided = start_divided(running, film)
    short_ = folder / "short.mp4"
    short_.write_bytes(film.read_bytes()[:3000])
    rejected = running.json("put", short_, "--wait")["asset"]

    assert wait_for(running, whole, final).status is Status.ACCEPTED, jobs_of(running)
    assert wait_for(running, divided, final).status is Status.ACCEPTED, jobs_of(running)
    assert wait_for(running, rejected, final).status is Status.REJECTED


def reclaim_one(running: Running, asset: str) -> None:
    """Take the machine from the first job of an asset that runs."""
    jobs, end = LocalJobs(running.data / address.JOBS), time.monotonic() + SECONDS
    while True:
        mine = [one for one in jobs.list(JobState.RUNNING) if one.name.startswith(asset)]
        if mine and jobs.reclaim(1.0, chance=Random(1), notice_seconds=5.0):
            return
        assert time.monotonic() < end, jobs_of(running)
        time.sleep(0.02)


def start_divided(running: Running, film: Path) -> str:
    """Let several machines encode a film, small as it is; its asset."""
    app, bucket = running.root_app, running.app.settings.delivery_bucket
    # A bucket that announces nothing: only this test starts the workflow, with its own policy.
    app.store.put(bucket, "aside/film.mov", film.read_bytes(), content_type="video/quicktime")
    stored = app.store.head(bucket, "aside/film.mov")
    record = waiting(bucket, "aside/film.mov", stored.etag, stored.size)
    app.catalog.commit(record, LogEntry(time=record.updated_at, kind="heavy"))
    policy = HeavyPolicy(
        delivery_bucket=bucket,
        quarantine_bucket=app.settings.quarantine_bucket,
        video_seconds=60,
        video_array_bytes=stored.size,
        recipe="default",
    )
    Heavy(
        store=app.store,
        catalog=app.catalog,
        events=app.events,
        policy=policy,
        workflows=LocalWorkflows(running.data / address.WORKFLOWS),
    ).start(record.asset, record.version)
    return record.asset


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
    transfers.upload(large, delivery, "aside/parts.bin", content_type="video/mp4")
    transfers.download(delivery, "aside/parts.bin", folder / "parts.bin")
    with failing(clients, "UploadPart"), pytest.raises(SafelightError):
        transfers.upload(large, delivery, "aside/failed.bin", content_type="video/mp4")
    transfers.close()

    # An original of more than 5 GB, backfilled and then rejected, by ingest or by a job.
    with unannounced(world):
        data = large.read_bytes()
        running.root_app.store.put(intake, "aside/large.bin", data, content_type="x/y")
    record = replace(
        waiting(intake, "aside/large.bin", "e" * 32, 2 * PART + 1),
        verdict=Verdict(code="too_long_duration", message="a test wants it"),
    )
    for actor in (world.ingest, world.workflow):
        clients = world.acting(actor)
        store = S3ObjectStore(clients, copy_bytes=PART, part_bytes=PART)
        assert quarantine(store, settings.quarantine_bucket, record)
        with failing(clients, "UploadPartCopy"), pytest.raises(SafelightError):
            quarantine(store, settings.quarantine_bucket, record)

    # Renditions of an upload that was replaced while they were made.
    store = S3ObjectStore(world.acting(world.ingest))
    made = running.app.catalog.by_status(Status.ACCEPTED, limit=50).records
    shelf = Shelf(store, delivery, threads=1)
    shelf.discard(next(one for one in made if one.source.key.endswith("b.jpg")))
    shelf.close()


# --- what is refused --------------------------------------------------------------------------


def test_a_role_gets_nothing_that_is_another_ones(world: World) -> None:
    """Enforced by the embedded AWS: each of these is a call of one role with another's rights."""
    outputs = world.outputs
    uploads, work = str(outputs["uploadsQueue"]), str(outputs["workQueue"])
    intake, delivery = str(outputs["intakeBucket"]), str(outputs["deliveryBucket"])
    table = str(outputs["table"])
    ingest, pipe = world.acting(world.ingest), world.acting(world.pipe)
    job, workflow, order = (world.acting(one) for one in (world.job, world.workflow, world.order))
    key = {"PK": {"S": "ASSET#x"}, "SK": {"S": "META"}}
    message = {"MessageBody": "{}", "MessageGroupId": "g", "MessageDeduplicationId": "d"}

    refused(lambda: pipe.s3.get_object(Bucket=delivery, Key="x"))
    refused(lambda: pipe.s3.list_objects_v2(Bucket=intake))
    refused(lambda: pipe.sqs.receive_message(QueueUrl=work))
    refused(lambda: pipe.dynamodb.get_item(TableName=table, Key=key))
    # Only S3 puts anything into the queue of uploads.
    refused(lambda: pipe.sqs.send_message(QueueUrl=uploads, MessageBody="{}"))
    refused(lambda: ingest.sqs.send_message(QueueUrl=uploads, MessageBody="{}"))
    refused(lambda: ingest.sqs.send_message(QueueUrl=work, **message))  # type: ignore[arg-type]
    # A version that was rejected goes; never what lies under the key by now.
    refused(lambda: ingest.s3.delete_object(Bucket=intake, Key="x"))
    refused(lambda: ingest.s3.put_object(Bucket=intake, Key="x", Body=b""))
    refused(lambda: ingest.dynamodb.delete_item(TableName=table, Key=key))
    refused(lambda: ingest.dynamodb.scan(TableName=table))
    refused(lambda: ingest.dynamodb.query(**by_owner(table)))
    refused(lambda: job.s3.put_object(Bucket=intake, Key="x", Body=b""))
    refused(lambda: job.sqs.receive_message(QueueUrl=work))
    refused(lambda: job.dynamodb.get_item(TableName=table, Key=key))
    refused(lambda: job.events.put_events(Entries=[event("default")]))
    refused(lambda: workflow.s3.put_object(Bucket=delivery, Key="x", Body=b""))
    refused(lambda: workflow.events.put_events(Entries=[event("default")]))
    refused(lambda: order.s3.list_objects_v2(Bucket=intake))
    refused(lambda: ingest.stepfunctions.start_execution(stateMachineArn=world.machine.arn))
    refused(lambda: ingest.batch.describe_jobs(jobs=["x"]))
    refused(ingest.logs.describe_log_groups)
    refused(lambda: acting(acting(world.running.root, world.workflow), world.ingest))
    with pytest.raises(AccessDenied):
        asking(world, world.machine)("batch:SubmitJob", outputs["jobDefinitions"]["stitch"])
    with pytest.raises(AccessDenied):
        asking(world, world.pipe)("lambda:InvokeFunction", world.ingest.arn)
    with pytest.raises(AccessDenied):
        asking(world, world.ingest)("states:StartExecution", world.machine.arn)


def test_who_is_nobody_gets_nothing(world: World) -> None:
    """A key that is not known, a secret that is not the key's, an operator who would make users."""
    intake = str(world.outputs["intakeBucket"])

    def clients(key: str, secret: str) -> AwsClients:
        return AwsClients(
            {**world.running.root, "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
        )

    refused(lambda: clients("AKIAIOSFODNN7EXAMPLE", "x").s3.list_objects_v2(Bucket=intake))
    mine = world.running.ready["environment"]
    refused(lambda: clients(mine["AWS_ACCESS_KEY_ID"], "x").s3.list_objects_v2(Bucket=intake))
    operator = AwsClients(mine)
    assert operator.s3.list_objects_v2(Bucket=intake)["Name"] == intake
    refused(operator.iam.list_users)
    refused(lambda: operator.s3.put_bucket_policy(Bucket=intake, Policy="{}"))


@pytest.mark.parametrize(
    ("profile", "answer"), [("operator", "200"), ("safelight-local-order-pipe", "AccessDenied")]
)
def test_any_client_works_by_the_configuration(world: World, profile: str, answer: str) -> None:
    """A profile leads it to the embedded AWS and gives it a user's or a role's rights."""
    file = world.running.data / address.CONFIGURATION
    assert file.stat().st_mode & 0o777 == 0o600
    program = (
        "import boto3, botocore, sys\n"
        "try: answer = boto3.client('s3').list_objects_v2(Bucket=sys.argv[1])\n"
        "except botocore.exceptions.ClientError as error: print(error.response['Error']['Code'])\n"
        "else: print(answer['ResponseMetadata']['HTTPStatusCode'])"
    )
    kept = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        [sys.executable, "-c", program, str(world.outputs["intakeBucket"])],
        env={**kept, "AWS_CONFIG_FILE": str(file), "AWS_PROFILE": profile},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == answer


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one loopback address")
def test_a_bucket_refuses_who_does_not_come_over_tls(world: World) -> None:
    """The declared policy holds; only this machine's own address is let in without TLS."""
    operator = AwsClients(world.running.ready["environment"])
    wanted = {"Bucket": str(world.outputs["intakeBucket"])}
    url = urlsplit(operator.s3.generate_presigned_url("list_objects_v2", Params=wanted))
    assert (url.hostname, url.scheme) == ("127.0.0.1", "http")

    def status(source: str) -> int:
        connection = HTTPConnection(url.netloc, source_address=(source, 0), timeout=30)
        with closing(connection):
            connection.request("GET", f"{url.path}?{url.query}")
            return connection.getresponse().status

    assert (status("127.0.0.1"), status("127.0.0.2")) == (200, 403)


def test_only_s3_may_fill_the_queue_of_uploads(world: World) -> None:
    """The queue's own policy, for one bucket of one account."""
    root = AwsClients(world.running.root)
    url = str(world.outputs["uploadsQueue"])
    found = root.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy", "QueueArn"])
    policy, arn = json.loads(found["Attributes"]["Policy"]), found["Attributes"]["QueueArn"]
    mine = {
        "Service": "s3.amazonaws.com",
        "aws:SourceArn": f"arn:aws:s3:::{world.outputs['intakeBucket']}",
        "aws:SourceAccount": "000000000000",
    }

    assert allowed(policy, "sqs:SendMessage", arn, mine)
    assert not allowed(policy, "sqs:ReceiveMessage", arn, mine)
    assert not allowed(policy, "sqs:SendMessage", arn, {**mine, "Service": "sns.amazonaws.com"})
    assert not allowed(policy, "sqs:SendMessage", arn, {**mine, "aws:SourceArn": "arn:aws:s3:::x"})
    assert not allowed(policy, "sqs:SendMessage", arn, {**mine, "aws:SourceAccount": "1" * 12})


# --- how --------------------------------------------------------------------------------------


def refused(call: Callable[[], Any]) -> None:
    """It is refused for want of rights or of a valid signature, not for anything else."""
    with pytest.raises(ClientError) as caught:
        call()
    answer = caught.value.response["ResponseMetadata"]
    codes = {"AccessDenied", "AccessDeniedException", "SignatureDoesNotMatch", "InvalidAccessKeyId"}
    assert answer["HTTPStatusCode"] in {400, 403}
    assert caught.value.response["Error"]["Code"] in codes


def asking(world: World, actor: Actor) -> Callable[[str, str], None]:
    """What the local stack asks where it acts in a service's place."""
    return Permits(AwsClients(world.running.root), actor.role).require


def by_owner(table: str) -> dict[str, Any]:
    """A query of an index that ingest has no business in."""
    return {
        "TableName": table,
        "IndexName": "GSI1",
        "KeyConditionExpression": "GSI1PK = :p",
        "ExpressionAttributeValues": {":p": {"S": "x"}},
    }


def event(bus: str) -> Any:
    """Any event."""
    return {"EventBusName": bus, "Source": "safelight", "DetailType": "x", "Detail": "{}"}


@contextmanager
def unannounced(world: World) -> Iterator[None]:
    """A block in which the intake bucket tells nobody of uploads."""
    s3, bucket = AwsClients(world.running.root).s3, str(world.outputs["intakeBucket"])
    told: Any = s3.get_bucket_notification_configuration(Bucket=bucket)
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    try:
        yield
    finally:
        queues: Any = {"QueueConfigurations": told["QueueConfigurations"]}
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=queues)


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
