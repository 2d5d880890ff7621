"""What is stored and sent on AWS, exactly as it is: items, objects, events, runs, jobs.

Uploads go through the handlers of both functions and jobs through the command line, with an AWS of
their own; what they leave there is compared with files in ``golden/``. What depends on an encoder
or a clock is replaced before that.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient

from batch.catalogue import KINDS
from batch.runner import main as run_job
from tests.contract.catalogs import at, bare, entry, everything, everything_in, make_table, record
from tests.golden import Golden, png
from tests.unit.finalize.world import DETAILS, FILES, TYPES
from worker.adapters.aws.dynamodb.catalog import DynamoCatalog
from worker.adapters.aws.dynamodb.items import unpack
from worker.adapters.aws.dynamodb.stream import FILTERS
from worker.domain.asset import (
    AssetRecord,
    JobRecord,
    LogEntry,
    Status,
    StoredMedia,
    Verdict,
    VideoInfo,
)
from worker.domain.image import Format, MediaFormat, StoredRendition
from worker.entrypoints import lambda_ingest, lambda_outbox, lambda_workflow
from worker.entrypoints.cli import run
from worker.local.emulator import ACCOUNT, REGION, Emulator
from worker.local.stream_source import StreamClients, StreamSource

ARN = f"arn:aws:batch:{REGION}:{ACCOUNT}"
MACHINE = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:heavy"
FILM = b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + b"\0\0\0\x08free"
FILM_KINDS = ("poster", "storyboard", "preview", "audio-waveform", "subtitles", "video-metadata")
YOUNGER: dict[str, Any] = {"labels": (), "labelled": "", "moderation": None}
"""Fields of a record that ``stored_bytes`` is too old for, with their defaults."""
MOMENT = "2026-05-09T07:00:00.000000Z"


@dataclass
class Account:
    """An AWS account with Safelight's resources, and what was asked of what is no real service."""

    prefix: str
    clients: Mapping[str, Any]
    folder: Path
    started: list[Mapping[str, Any]] = field(default_factory=list)
    submitted: list[Mapping[str, Any]] = field(default_factory=list)

    def named(self, what: str) -> str:
        """A name in this account."""
        return f"{self.prefix}-{what}"

    @cached_property
    def outbox(self) -> StreamSource:
        """What hands changes of the catalog to the outbox function."""
        table = self.clients["dynamodb"].describe_table(TableName=self.named("catalog"))["Table"]
        return StreamSource(
            clients=StreamClients(),
            stream=table["LatestStreamArn"],
            handler=lambda event: lambda_outbox.handler(event, None),
            place=self.folder / "outbox.json",
            filters=FILTERS,
            batch_size=100,
        )

    @property
    def queue(self) -> str:
        """The URL of the queue that the bus fills."""
        return str(self.clients["sqs"].get_queue_url(QueueName=self.named("told"))["QueueUrl"])

    def environment(self) -> dict[str, str]:
        """What the functions are given."""
        return {
            "SAFELIGHT_TABLE": self.named("catalog"),
            "SAFELIGHT_INTAKE_BUCKET": self.named("intake"),
            "SAFELIGHT_DELIVERY_BUCKET": self.named("delivery"),
            "SAFELIGHT_QUARANTINE_BUCKET": self.named("quarantine"),
            "SAFELIGHT_EVENT_BUS": self.named("bus"),
            "SAFELIGHT_QUEUE_URL": self.queue,
            "SAFELIGHT_DLQ_URL": self.queue,
            "SAFELIGHT_OUTBOX_DLQ_URL": self.queue,
            "SAFELIGHT_WORKFLOWS": f"video={MACHINE}",
            "SAFELIGHT_HEAVY_PIXELS": "50000",
            "SAFELIGHT_BATCH_PREFIX": "sl",
            "SAFELIGHT_UPLOAD_THREADS": "1",
        }

    def events(self) -> list[Any]:
        """What the bus has told since last asked, in order of time."""
        while self.outbox.once():
            pass
        found = []
        while (
            got := self.clients["sqs"]
            .receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10)
            .get("Messages")
        ):
            for message in got:
                told = json.loads(message["Body"])
                found.append({name: told[name] for name in ("source", "detail-type", "detail")})
                self.clients["sqs"].delete_message(
                    QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"]
                )
        return sorted(found, key=lambda one: str(one["detail"]["time"]))

    def objects(self, assets: Collection[str], *buckets: str) -> dict[str, Any]:
        """Every object of some assets: how it is served, and what is noted with it."""
        s3, found = self.clients["s3"], {}
        for bucket in buckets:
            name = self.named(bucket)
            for one in s3.list_objects_v2(Bucket=name).get("Contents", []):
                if one["Key"].split("/")[1] not in assets:
                    continue
                head = s3.head_object(Bucket=name, Key=one["Key"])
                tags = s3.get_object_tagging(Bucket=name, Key=one["Key"])["TagSet"]
                found[f"{bucket}/{one['Key']}"] = {
                    "type": head["ContentType"],
                    "cache": head.get("CacheControl", ""),
                    "metadata": head["Metadata"],
                    "tags": {tag["Key"]: tag["Value"] for tag in tags},
                }
        return found

    def items(self, assets: Collection[str], table: str = "catalog") -> dict[str, Any]:
        """Every item of some assets by its key; a record's body as the JSON packed in it."""
        found = {}
        for (partition, sort), item in everything_in(
            self.clients["dynamodb"], self.named(table)
        ).items():
            if partition.partition("#")[2] not in assets:
                continue
            if "body" in item:
                item["body"] = {"B": unpack(bytes(item["body"]["B"]))}
            found[f"{partition} {sort}"] = item
        return found

    def answer(self, operation: str, asked: Mapping[str, Any]) -> Any:
        """What Batch and Step Functions would say."""
        match operation:
            case "StartExecution":
                self.started.append({**asked, "input": json.loads(asked["input"])})
                return {"executionArn": f"{MACHINE.replace('stateMachine', 'execution')}:1"}
            case "SubmitJob":
                self.submitted.append(asked)
                return {"jobId": "j1", "jobName": asked["jobName"]}
            case "DescribeJobQueues":
                names = ("urgent", "standard", "bulk")
                return {"jobQueues": [{"jobQueueName": f"sl-{name}-0a1b2c3"} for name in names]}
            case "DescribeJobDefinitions":
                kinds = [f"sl-{name}-0a1b2c3" for name in KINDS]
                return {"jobDefinitions": [{"jobDefinitionName": name} for name in kinds]}
            case "ListJobs":
                return {"jobSummaryList": []}
            case "DescribeJobs":
                job = self.submitted[-1]
                detail = {"jobId": "j1", "status": "SUBMITTED", "createdAt": 1_700_000_000_000}
                said = {name: job[name] for name in ("jobName", "jobQueue", "jobDefinition")}
                return {"jobs": [{**detail, **said}]}
        raise AssertionError(f"nobody answers {operation}")

    def stable(self, value: Any) -> Any:
        """Without this run's names and times, and without what an encoder makes otherwise."""
        if isinstance(value, Mapping):
            found = {self.stable(key): self.stable(item) for key, item in value.items()}
            if {"name", "format", "bytes"} <= value.keys():
                found |= {name: "made" for name in ("bytes", "sha256") if name in value}
            if "thumbhash" in value:
                found = dict.fromkeys(value, "measured")
            if value.get("SK") == {"S": "SIMILAR"}:
                found |= {key: "measured" for key in value if key.startswith("GSI")}
            return found
        if isinstance(value, list):
            return [self.stable(item) for item in value]
        if not isinstance(value, str):
            return value
        text = value.replace(self.prefix, "PREFIX")
        text = re.sub(r"\b20(?!26-05-09)\d\d-\d\d-\d\dT[\d:.]+Z", "TIME", text)
        return re.sub(r"\b20(?!260509)\d{6}T[\d.]+Z", "TIME", text)


@pytest.fixture(scope="module")
def account(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Account:
    """Made once; nothing here depends on what another test leaves."""
    environment = emulator.environment
    session = boto3.Session(
        aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION
    )
    clients: dict[str, Any] = {
        name: session.client(name, endpoint_url=environment["AWS_ENDPOINT_URL"])
        for name in ("s3", "dynamodb", "events", "sqs")
    }
    made = Account("wire", clients, tmp_path_factory.mktemp("wire"))
    for bucket in ("intake", "delivery", "quarantine"):
        clients["s3"].create_bucket(
            Bucket=made.named(bucket), CreateBucketConfiguration={"LocationConstraint": REGION}
        )
    make_table(clients["dynamodb"], made.named("catalog"))
    make_table(clients["dynamodb"], made.named("fixed"))
    bus, queue = made.named("bus"), made.named("told")
    clients["events"].create_event_bus(Name=bus)
    clients["sqs"].create_queue(QueueName=queue)
    clients["events"].put_rule(
        Name=queue, EventBusName=bus, EventPattern=json.dumps({"source": ["safelight"]})
    )
    clients["events"].put_targets(
        Rule=queue,
        EventBusName=bus,
        Targets=[{"Id": "queue", "Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"}],
    )
    return made


@pytest.fixture
def told(
    account: Account, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Account]:
    """The account, and an environment that leads to it; Batch and Step Functions only note."""
    for name, text in {**emulator.environment, **account.environment()}.items():
        monkeypatch.setenv(name, text)
    # Making a client reads a model of its service: a second for each command, unless it is kept.
    monkeypatch.setattr(boto3, "Session", cache(boto3.Session))
    call = BaseClient._make_api_call  # type: ignore[attr-defined]

    def noted(client: BaseClient, operation: str, asked: Mapping[str, Any]) -> Any:
        if client.meta.service_model.service_name in {"batch", "stepfunctions"}:
            return account.answer(operation, asked)
        return call(client, operation, asked)

    monkeypatch.setattr(BaseClient, "_make_api_call", noted)
    account.started.clear()
    account.submitted.clear()
    lambda_outbox.service.cache_clear()
    account.__dict__.pop("outbox", None)
    account.events()
    for module in (lambda_ingest, lambda_workflow):
        module.application.cache_clear()
    yield account
    for module in (lambda_ingest, lambda_workflow):
        module.application.cache_clear()


# --- uploads ----------------------------------------------------------------------------------

CONTEXT: Any = SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000, memory_limit_in_mb=1769)
LABELS = {"owner": "anna", "tags": "sea,north%20sea", "attributes": "camera=X100&roll=12"}


def delivered(account: Account, number: int, name: str, key: str, **more: Any) -> Any:
    """Let the ingest function have one event of S3; its answer."""
    event = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": name,
        "eventTime": MOMENT,
        "s3": {
            "bucket": {"name": account.named("intake")},
            "object": {"key": key, "sequencer": f"00{number:016X}", **more},
        },
    }
    message = {
        "messageId": f"m{number}",
        "receiptHandle": "r",
        "body": json.dumps({"Records": [event]}),
        "attributes": {"ApproximateReceiveCount": "1", "MessageGroupId": "g"},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:uploads.fifo",
        "awsRegion": REGION,
    }
    return lambda_ingest.handler({"Records": [message]}, CONTEXT)


def uploaded(
    account: Account, number: int, key: str, data: bytes, labels: Mapping[str, str] | None = None
) -> Any:
    """Put an object and deliver its event."""
    put = account.clients["s3"].put_object(
        Bucket=account.named("intake"), Key=key, Body=data, Metadata=dict(labels or {})
    )
    etag = put["ETag"].strip('"')
    return delivered(account, number, "ObjectCreated:Put", key, size=len(data), eTag=etag)


def removed(account: Account, number: int, key: str) -> Any:
    """Delete an object and deliver its event."""
    account.clients["s3"].delete_object(Bucket=account.named("intake"), Key=key)
    return delivered(account, number, "ObjectRemoved:Delete", key)


def test_uploads(
    told: Account, golden: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upload for every verdict: answers, items, objects and events."""
    fine = png(64, 48)
    steps: dict[str, Callable[[], Any]] = {
        "accepted": lambda: uploaded(told, 1, "a.png", fine, LABELS),
        "the same again": lambda: uploaded(told, 1, "a.png", fine, LABELS),
        "identical bytes": lambda: uploaded(told, 2, "b.png", fine),
        "replaced": lambda: uploaded(told, 3, "b.png", png(32, 24)),
        "rejected": lambda: uploaded(told, 4, "c.png", fine[:1000]),
        "unknown": lambda: uploaded(told, 5, "d.png", b"not a picture"),
        "heavy picture": lambda: uploaded(told, 6, "e.png", png(640, 480)),
        "heavy video": lambda: uploaded(told, 7, "f.mp4", FILM),
        "gone": lambda: removed(told, 8, "a.png"),
    }
    found: dict[str, Any] = {}
    for name, step in steps.items():
        answer = step()
        found[name] = {"answer": answer, "events": told.events()}
    ask_people(tmp_path / "people.toml", monkeypatch)
    answer = uploaded(told, 9, "g.png", png(16, 16))
    found["review"] = {"answer": answer, "events": told.events()}
    assets = {event["detail"]["asset"] for step in found.values() for event in step["events"]}
    objects = told.objects(assets, "delivery", "quarantine")
    monkeypatch.setenv("SAFELIGHT_DELETED_ORIGINALS", "erase")
    lambda_ingest.application.cache_clear()
    found["erased"] = {"answer": removed(told, 10, "b.png"), "events": told.events()}

    golden.check("uploads", told.stable(found))
    golden.check("items", told.stable(told.items(assets)))
    golden.check("objects", told.stable(objects))


def ask_people(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a person approve what is made from now on."""
    recipe.write_text(
        'name = "people"\nversion = 1\napproval = true\n'
        '[[renditions]]\nname = "one"\nwidth = 8\nformats = [{ format = "png" }]\n'
    )
    monkeypatch.setenv("SAFELIGHT_RECIPE", str(recipe))
    lambda_ingest.application.cache_clear()


# --- heavy uploads ----------------------------------------------------------------------------


def waiting(account: Account, number: int, key: str, data: bytes) -> tuple[Any, dict[str, str]]:
    """Upload what is too much for ingest; its event, and what a task of its workflow names."""
    uploaded(account, number, key, data)
    (event,) = account.events()
    detail = event["detail"]
    return event, {"asset": detail["asset"], "version": detail["data"]["version"]}


def finished(account: Account, named: Mapping[str, str], *jobs: Mapping[str, str]) -> Any:
    """Run the last task of the workflow; all that it says and leaves."""
    answer = lambda_workflow.handler({"task": "finish", **named, "jobs": list(jobs)}, None)
    items = account.items([named["asset"]])
    return {"answer": answer, "events": account.events(), "items": items}


def leave(account: Account, named: Mapping[str, str], kind: str, etag: str) -> None:
    """Let a job on a film have ended well."""
    spread = hashlib.sha256(named["asset"].encode()).hexdigest()[:2]
    outputs = []
    for name in FILES[kind]:
        ending = name.rpartition(".")[2]
        data = png(32, 18) if ending in {"jpg", "webp"} else name.encode()
        digest = hashlib.sha256(data).hexdigest()
        outputs.append(
            {"name": name, "bytes": len(data), "sha256": digest, "content_type": TYPES[ending]}
        )
        put(account, f"{spread}/{named['asset']}/{named['version']}/{kind}/{name}", data)
    source = {"uri": "s3://b/film", "bytes": 6, "sha256": "c" * 64, "etag": etag}
    result = {
        "kind": kind,
        "inputs": [source],
        "outputs": outputs,
        "details": DETAILS.get(kind, {}),
    }
    name = f"{spread}/{named['asset']}/{named['version']}/{kind}/result.json"
    put(account, name, json.dumps(result).encode())


def put(account: Account, key: str, data: bytes) -> None:
    """Store a file where it is delivered from."""
    account.clients["s3"].put_object(Bucket=account.named("delivery"), Key=key, Body=data)


def test_a_heavy_picture(told: Account, golden: Golden) -> None:
    """Its run is started with everything its job is told; the job and the last task do the rest."""
    event, named = waiting(told, 21, "large.png", png(400, 300))
    answer = lambda_workflow.handler(event, None)
    (started,) = told.started
    order = started["input"]
    words = ["--input", order["source"], "--output", order["output"]]
    parameters = ["--param", f"recipe={order['recipe']}", "--param", "max_bytes=1000000"]

    with redirect_stdout(io.StringIO()):
        assert run_job(["batch-process", *words, *parameters]) == 0

    done = finished(told, named, {"kind": "batch-process", "state": "done"})
    found = {"event": event, "answer": answer, "run": started, "finish": done}
    golden.check_part("heavy", "picture", told.stable(found))


def test_a_film(told: Account, golden: Golden) -> None:
    """The same of a video: one record of what five jobs have left."""
    event, named = waiting(told, 22, "film.mp4", FILM)
    answer = lambda_workflow.handler(event, None)
    (started,) = told.started
    for kind in FILES:
        leave(told, named, kind, hashlib.md5(FILM, usedforsecurity=False).hexdigest())
    done = finished(told, named, *({"kind": kind, "state": "done"} for kind in FILES))
    found = {"event": event, "answer": answer, "run": started, "finish": done}
    golden.check_part("heavy", "film", told.stable(found))


def test_a_film_whose_jobs_fail(told: Account, golden: Golden) -> None:
    """The upload stays undecided, the timeline gives the reason, and another attempt is a new
    run."""
    _, named = waiting(told, 23, "fails.mp4", FILM)
    failed = {"kind": "transcode", "state": "failed", "error": "E", "cause": "C"}
    done = finished(told, named, failed)
    lambda_workflow.handler({"task": "start", **named, "attempt": 2}, None)
    golden.check_part("heavy", "failed", told.stable({"finish": done, "run": told.started[0]}))


# --- items of every status --------------------------------------------------------------------


def records() -> Sequence[AssetRecord]:
    """Every status, and every field set in one of them."""
    film = VideoInfo(
        container="mov,mp4",
        duration_ms=2000,
        width=320,
        height=180,
        frame_rate="30000/1001",
        codec="hevc",
        bit_depth=10,
        hdr=True,
        audio_tracks=2,
        subtitle_tracks=1,
        warnings=("damaged",),
    )
    hls = StoredMedia(
        name="stream",
        format=MediaFormat.HLS,
        bytes=9,
        key="00/stream/master.m3u8",
        sha256="a" * 64,
        width=320,
        height=180,
        duration_ms=2000,
    )
    moving = StoredRendition(
        name="one",
        format=Format.WEBP,
        width=8,
        height=6,
        frames=3,
        bytes=9,
        key="00/one.webp",
        sha256="b" * 64,
        duration_ms=300,
        same_as="two",
    )
    waits = Verdict(code="video", message="video (MP4)")
    return (
        record(1),
        bare(2),
        bare(3, status=Status.PROCESSING, verdict=waits, owner=""),
        replace(everything(4), **YOUNGER),
        replace(
            record(5), status=Status.DELETED, verdict=Verdict(code="original_gone", message="m")
        ),
        record(6, film=film, media=(hls,), renditions=(moving,), replaces="0" * 16),
        everything(7),
    )


def test_items(
    told: Account,
    golden: Golden,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every attribute of every kind of item, and what the command line reads out of the same.

    Packed bodies are compared by what is in them: their bytes depend on the build of zlib.
    """
    table = told.named("fixed")
    catalog = DynamoCatalog(
        told.clients["dynamodb"], table, log_days=30, clock=lambda: MOMENT, sleep=lambda _: None
    )
    for one in records():
        catalog.commit(one, entry(one))
    again = record(1, 2)
    catalog.commit(again, entry(again))
    catalog.log(again.asset, LogEntry(time=at(9), kind="seen", detail={"by": "anna"}, id="x"))
    catalog.put_job(
        JobRecord(
            asset=again.asset,
            id="j1:3",
            kind="poster",
            state="running",
            created_at=at(3),
            updated_at=at(4),
            detail={"percent": "12.5", "doing": "decoding"},
        )
    )

    golden.check("fixed_items", told.items([one.asset for one in records()], "fixed"))

    monkeypatch.setenv("SAFELIGHT_TABLE", table)
    golden.check("fixed_shown", shown(capsys, [one.asset for one in records()]))


def shown(capsys: pytest.CaptureFixture[str], assets: Collection[str]) -> dict[str, Any]:
    """What ``assets show`` prints of each."""
    found = {}
    for asset in assets:
        capsys.readouterr()
        assert run(["assets", "show", asset, "--json"]) == 0
        found[asset] = json.loads(capsys.readouterr().out)
    return found


def test_what_was_stored_is_read(
    told: Account,
    golden: Golden,
    emulator: Emulator,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bytes that an earlier version has packed say the same for ever.

    The file is not written anew: remove it first if a stored form was changed on purpose.
    """
    dynamodb = told.clients["dynamodb"]
    path = golden.path("stored_bytes")
    if not path.exists():
        golden.check("stored_bytes", encoded(everything_in(dynamodb, told.named("fixed"))))
    make_table(dynamodb, told.named("earlier"))
    assets = []
    for item in golden.read("stored_bytes"):
        if "body" in item:
            item["body"] = {"B": base64.b64decode(item["body"]["B"])}
            assets.append(item["PK"]["S"].partition("#")[2])
        dynamodb.put_item(TableName=told.named("earlier"), Item=item)

    monkeypatch.setenv("SAFELIGHT_TABLE", told.named("earlier"))
    now = golden.read("fixed_shown")
    assert shown(capsys, assets) == {asset: now[asset] for asset in assets}


def encoded(items: Mapping[Any, Any]) -> list[Any]:
    """Items as JSON, bytes as base64."""
    found = [dict(item) for _, item in sorted(items.items())]
    for item in found:
        if "body" in item:
            item["body"] = {"B": base64.b64encode(bytes(item["body"]["B"])).decode()}
    return found


# --- jobs -------------------------------------------------------------------------------------


def test_submitted_jobs(told: Account, golden: Golden, capsys: pytest.CaptureFixture[str]) -> None:
    """The requests to Batch for each kind, with defaults and with all parameters."""
    intake = told.named("intake")
    for name in ("a.png", "b.png", "f.mp4"):
        data = FILM if name == "f.mp4" else png(64, 48)
        told.clients["s3"].put_object(Bucket=intake, Key=f"jobs/{name}", Body=data)
    picture, other, film = (f"s3://{intake}/jobs/{name}" for name in ("a.png", "b.png", "f.mp4"))
    more = {"stitch": [picture, other], "hdr-merge": [picture, other]}
    found = {}
    for kind in KINDS:
        takes_film = kind.startswith(("transcode", *FILM_KINDS))
        inputs = more.get(kind, [film if takes_film else picture])
        found[kind] = submitted(told, capsys, kind, *inputs)
    words = ["--out", f"s3://{told.named('delivery')}/out", "--priority", "--param", "strength=3"]
    found["with options"] = submitted(told, capsys, "denoise", picture, *words)
    words = ["--array", "3"]
    found["an array"] = submitted(told, capsys, "batch-process", picture, other, *words)
    golden.check("submitted", told.stable(found))


def submitted(account: Account, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """Submit a job by the command; the request, and what is printed."""
    account.submitted.clear()
    capsys.readouterr()
    assert run(["submit", *words, "--json"]) == 0, capsys.readouterr().err
    (request,) = account.submitted
    return {"request": request, "printed": json.loads(capsys.readouterr().out)}
