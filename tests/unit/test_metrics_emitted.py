"""Each metric of the list is counted by the code that the list names, with true values."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from batch.work import Work
from tests.unit import test_first_view as first_view
from tests.unit import test_ingest_handler as ingest
from tests.unit import test_invalidate as invalidate
from tests.unit import test_lambda_upgrade as upgrade
from tests.unit import test_ledger as ledger
from tests.unit import test_outbox as outbox
from tests.unit import test_review_events as reviews
from tests.unit import test_upgrade
from tests.unit import test_webhooks as webhooks
from tests.unit.batch.attempts import attempt
from tests.unit.fakes import Fuse
from tests.unit.finalize import test_handler as workflow
from tests.unit.finalize.world import World as HeavyWorld
from tests.unit.pictures import encoded, photo
from tests.unit.review_world import ANN
from tests.unit.review_world import World as ReviewWorld
from tests.unit.test_deliver import event as request
from tests.unit.test_deliver import made
from tests.unit.test_outbox import ACCEPTED
from worker import prices
from worker.domain import metrics
from worker.domain.asset import Status
from worker.domain.errors import Throttled, Unreachable
from worker.domain.image import Format
from worker.domain.metrics import METRICS, Source
from worker.domain.review import Choice
from worker.entrypoints import (
    lambda_deliver,
    lambda_ingest,
    lambda_invalidate,
    lambda_ledger,
    lambda_outbox,
    lambda_upgrade,
    lambda_webhook,
    lambda_workflow,
)
from worker.ports import WebhookAnswer
from worker.services import work_metrics
from worker.services.ingest import IngestOutcome, IngestResult
from worker.services.invalidate import Invalidate
from worker.services.upload_cost import cost_per_upload

AGO = 90.0
"""Seconds for which each message has waited."""
Values = Mapping[tuple[str, ...], tuple[float, ...]]
"""By the metric's name, and the values of its dimensions."""


def values_of(service: str, text: str) -> Values:
    """What the lines of a log count; each line says whose it is."""
    found: dict[tuple[str, ...], tuple[float, ...]] = {}
    for line in text.splitlines():
        said: dict[str, Any] = json.loads(line) if '"_aws"' in line else {"_aws": {}}
        for directive in said["_aws"].get("CloudWatchMetrics", []):
            assert said["service"] == service
            for names in directive["Dimensions"]:
                for one in directive["Metrics"]:
                    key = (one["Name"], *(said[name] for name in names))
                    value = said[one["Name"]]
                    new = tuple(value) if isinstance(value, list) else (value,)
                    found[key] = found.get(key, ()) + new
    return found


def sent(records: list[dict[str, Any]]) -> dict[str, Any]:
    """An event of messages that were sent some time ago."""
    for one in records:
        one.setdefault("attributes", {})["SentTimestamp"] = str(int(1000 * (time.time() - AGO)))
    return {"Records": records}


def run_ingest(_: Path, patch: pytest.MonkeyPatch) -> None:
    """A picture, the same bytes again, a broken one, an outage and a message of a stranger."""
    world = ingest.World()
    picture = encoded(photo(64, 48), "jpeg")
    uploads = {"a.jpg": picture, "b.jpg": picture, "c.jpg": b"\xff\xd8\xff\xe0", "d.jpg": picture}
    for key, data in uploads.items():
        world.store.upload("intake", key, data)
    patch.setattr(lambda_ingest, "application", lambda: world.app)
    records = [message(key, len(data)) for key, data in uploads.items()]
    for batch in (records[:1], records[1:3]):  # a copy is made of what is recorded
        lambda_ingest.handler(sent(batch), ingest.Clock())  # type: ignore[arg-type]
    world.store.fuse.burns_at = len(world.store.fuse.calls) + 1
    world.store.fuse.error = lambda: Unreachable("not now")
    stranger = {**records[0], "messageId": "stranger", "body": "no JSON"}
    lambda_ingest.handler(sent([records[3], stranger]), ingest.Clock())  # type: ignore[arg-type]


def message(key: str, size: int) -> dict[str, Any]:
    """A message about an upload."""
    item = {"key": key, "size": size, "sequencer": "0A", "eTag": ""}
    body = {
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "intake"}, "object": item},
    }
    return {
        "messageId": key,
        "receiptHandle": key,
        "body": json.dumps({"Records": [body]}),
        "attributes": {"ApproximateReceiveCount": "1"},
    }


def run_workflow(_: Path, patch: pytest.MonkeyPatch) -> None:
    """A workflow starts, one video is made, another refused, and a person decides."""
    made, refused = HeavyWorld(), HeavyWorld()
    made.leave_all()
    refused.reject("transcode", "corrupt")
    for world in (made, refused):
        app = workflow.application(world)
        patch.setattr(lambda_workflow, "application", lambda app=app: app)
        lambda_workflow.handler(workflow.heavy_event(world), None)
        version = {"asset": world.record.asset, "version": world.record.version}
        jobs = [{"kind": "transcode", "state": "done"}]
        lambda_workflow.handler({"task": "finish", **version, "jobs": jobs}, None)
    judged = ReviewWorld(Status.ACCEPTED)
    judged.access.hold(judged.record.asset)
    judged.reviews.decide(ANN, judged.open.id, Choice.APPROVE)
    patch.setattr(lambda_workflow, "application", lambda: reviews.app_of(judged))
    lambda_workflow.handler(reviews.told(judged, "asset.approved"), None)


def run_outbox(_: Path, patch: pytest.MonkeyPatch) -> None:
    """Changes are told, one cannot be read, and the bus does not take the last."""
    world = outbox.World(Fuse(burns_at=2, error=lambda: Throttled("no")))
    batch = outbox.records(30)
    for one in batch:
        one["dynamodb"]["ApproximateCreationDateTime"] = time.time() - AGO
    batch[3] = {"eventName": "MODIFY", "dynamodb": {"SequenceNumber": "003", "Keys": 7}}
    lambda_outbox.handle({"Records": batch}, world.outbox)


def run_invalidate(_: Path, patch: pytest.MonkeyPatch) -> None:
    """Two assets are forgotten, and a message is none."""
    bodies = (invalidate.body(invalidate.FIRST), invalidate.body(invalidate.SECOND), "{}")
    records = [{"messageId": f"m-{n}", "body": text} for n, text in enumerate(bodies)]
    lambda_invalidate.handle(sent(records), Invalidate(edges=invalidate.Edges()))


def run_webhook(_: Path, patch: pytest.MonkeyPatch) -> None:
    """One is delivered, one comes again, and one is no event."""
    world = webhooks.World()
    world.receivers.answers["https://crm.example/hook"] = WebhookAnswer(status=500)
    taken = [world.taken(webhooks.envelope("one")), world.taken(webhooks.envelope("two"))]
    records = [webhooks.record(one, name) for one, name in zip(taken, ("shop", "crm"), strict=True)]
    records.append(webhooks.record(world.taken("no JSON"), "shop"))
    lambda_webhook.handle(sent(records), world.webhooks)


def run_deliver(_: Path, patch: pytest.MonkeyPatch) -> None:
    """A file of the record is read, one is made at its first view, and one is not there."""
    world = first_view.World()
    patch.setattr(lambda_deliver, "service", lambda: world.deliver)
    for file in ("medium.jpg", "w/320.jpg", "nothing.jpg"):
        lambda_deliver.handler(request(f"/{first_view.PREFIX}{file}"), None)


def run_upgrade(_: Path, patch: pytest.MonkeyPatch) -> None:
    """A file that is viewed often is encoded again."""
    world = test_upgrade.World()
    upgrade.add_log(world, "AWSLogs/new.gz", upgrade.lines(world, 20_000))
    patch.setattr(lambda_upgrade, "application", lambda: upgrade.application(world))
    lambda_upgrade.handler({"time": "now"}, ingest.Clock([900_000]))  # type: ignore[arg-type]


def run_ledger(_: Path, patch: pytest.MonkeyPatch) -> None:
    """Two uploads are entered."""
    changes = ledger.numbered([ledger.arrival(1), ledger.arrival(2)])
    lambda_ledger.handle({"shardId": "shard", "Records": changes}, ledger.books())


RUNS: Mapping[str, Callable[[Path, pytest.MonkeyPatch], None]] = {
    "ingest": run_ingest,
    "workflow": run_workflow,
    "outbox": run_outbox,
    "invalidate": run_invalidate,
    "webhook": run_webhook,
    "deliver": run_deliver,
    "upgrade": run_upgrade,
    "ledger": run_ledger,
}


def run_batch(folder: Path, patch: pytest.MonkeyPatch) -> str:
    """A job is done; what it writes to its log."""
    video = folder / "video.mp4"
    video.write_bytes(b"data" * 1000)
    then = (datetime.now(UTC) - timedelta(seconds=AGO)).isoformat()
    words = ("poster", "--input", str(video), "--output", str(folder / "out"), "--submitted", then)
    ended = attempt(*words, "--scratch", str(folder), operation=stores)
    assert ended.code == 0
    return "\n".join(json.dumps(one) for one in ended.lines)


def stores(work: Work) -> dict[str, Any]:
    """An operation that leaves a file."""
    path = work.scratch / "poster.jpg"
    path.write_bytes(b"x" * 123)
    work.outputs.file(path, "poster.jpg", content_type="image/jpeg")
    return {}


@pytest.fixture(name="counted")
def _counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], Values]:
    """What a service counts in its run."""

    def run(service: str) -> Values:
        if service == "batch":
            return values_of(service, run_batch(tmp_path, monkeypatch))
        RUNS[service](tmp_path, monkeypatch)
        assert metrics.take() == (), "a handler writes all before it ends"
        return values_of(service, capsys.readouterr().out)

    return run


@pytest.mark.parametrize("service", [*RUNS, "batch"])
def test_a_service_counts_what_the_list_says(service: str, counted: Callable[..., Values]) -> None:
    """All of it, and nothing that the list says of other services alone.

    What pauses is in test_breaker.py: here no limit is passed.
    """
    wanted = {
        one.name
        for one in METRICS
        if service in one.services and one.source is Source.CODE and one is not metrics.PAUSED
    }

    assert {name for name, *_ in counted(service)} == wanted


def test_every_metric_is_of_a_service_that_is_run_here() -> None:
    """So none is listed that nobody counts."""
    here = {*RUNS, "batch"}
    counted = [one for one in METRICS if one.source is Source.CODE]
    elsewhere = {one.name for one in counted if not here & {*one.services}}

    assert elsewhere == set()


def total(found: Values, *key: str) -> float:
    """The sum of what was counted of a metric under some dimensions."""
    return sum(found[key])


def test_uploads_are_counted_with_their_bytes(counted: Callable[..., Values]) -> None:
    """Two accepted, of which one was copied; one rejected with its reason; two come again."""
    found = counted("ingest")
    size = len(encoded(photo(64, 48), "jpeg"))

    assert total(found, "Uploads", "accepted") == 2
    assert total(found, "Uploads", "rejected") == 1
    assert total(found, "Rejections", "truncated") == 1
    assert total(found, "BytesIn") == 2 * size
    assert total(found, "BytesOut") == total(found, "BytesSaved", "copy") > 0
    assert total(found, "Retries", "ingest") == 2
    assert total(found, "Poison", "message_malformed") == 1


def test_times_are_in_seconds(counted: Callable[..., Values]) -> None:
    """Messages have waited for a minute and a half, and pictures are ready a little later."""
    found = counted("ingest")

    assert len(found["QueueSeconds", "ingest"]) == 5
    assert len(found["ReadySeconds",]) == 2
    for age in (*found["QueueSeconds", "ingest"], *found["ReadySeconds",]):
        assert AGO <= age < AGO + 600
    for stage in ("fetch", "render", "commit"):
        assert all(0 < seconds < 60 for seconds in found["StageSeconds", stage])


def test_an_image_costs_what_its_requests_and_seconds_cost(counted: Callable[..., Values]) -> None:
    """More than its requests alone, and less than a cent."""
    costs = counted("ingest")["CostPerImage",]

    assert len(costs) == 3
    assert all(5e-6 < each < 1e-2 for each in costs)


def test_what_comes_again_is_counted_with_all_that_follows(counted: Callable[..., Values]) -> None:
    """Of 30 changes the bus took the first 25; one of them could not be read."""
    found = counted("outbox")

    assert total(found, "Events") == 24
    assert total(found, "Retries", "outbox") == 5
    assert total(found, "Poison", "engine_failed") == 1
    assert len(found["QueueSeconds", "outbox"]) == 29


def test_a_webhook_is_delivered_or_comes_again_or_is_dead(counted: Callable[..., Values]) -> None:
    """And only what comes again is a retry."""
    found = counted("webhook")

    assert {name[1]: count for name, count in found.items() if name[0] == "Webhooks"} == {
        "delivered": (1,),
        "failed": (1,),
        "dead": (1,),
    }
    assert total(found, "Retries", "webhook") == 1


def test_a_job_has_its_kind_and_outcome(counted: Callable[..., Values]) -> None:
    """With its bytes in and out."""
    found = counted("batch")

    assert total(found, "Jobs", "poster", "done") == 1
    assert total(found, "JobBytesIn", "poster") == 4000
    assert total(found, "JobBytesOut", "poster") == 123
    assert AGO <= total(found, "JobWaitSeconds") < AGO + 600


@pytest.mark.parametrize("submitted", ["", "soon", "2026-01-01", "2999-01-01T00:00:00Z"])
def test_a_job_of_no_known_age_is_counted_without(submitted: str, tmp_path: Path) -> None:
    """By hand nobody says when it was submitted; a clock may be wrong."""
    video = tmp_path / "video.mp4"
    video.write_bytes(b"data")
    words = ["poster", "--input", str(video), "--output", str(tmp_path / "out")]

    ended = attempt(*words, "--submitted", submitted, "--scratch", str(tmp_path), operation=stores)

    (line,) = [one for one in ended.lines if "_aws" in one]
    assert line["Jobs"] == 1
    assert "JobWaitSeconds" not in line


# --- times from outside -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "age"),
    [
        (1_000.0, 100.0),
        ("1000", 100.0),
        (1_130.0, 0.0),  # the sender's clock is half a minute ahead
        (1_200.0, None),  # a clock was set back by more
        (1_100.0 - 15 * 86_400, None),  # no queue keeps a message for so long
        (None, None),
        ("", None),
        ("soon", None),
        ("nan", None),
        (float("inf"), None),
        (True, None),
        ({"a": 1}, None),
        (10**400, None),
    ],
)
def test_an_age_that_cannot_be_is_none(sent: object, age: float | None) -> None:
    """Clocks change, and a message may have no time at all."""
    assert work_metrics.age_of(sent, 1_100.0) == age


@pytest.mark.parametrize("attributes", [{}, {"SentTimestamp": "0"}, {"SentTimestamp": "x"}])
def test_a_message_without_a_time_is_of_no_age(attributes: dict[str, str]) -> None:
    """Its upload is counted all the same."""
    assert work_metrics.sent_of({"attributes": attributes}) is None
    assert work_metrics.sent_of({}) is None


def test_what_smaller_files_save_is_of_each_size() -> None:
    """The largest file of a size less its smallest; a size with one file saves nothing."""
    files = [
        made("large", Format.JPEG, 2048, size=300),
        made("large", Format.WEBP, 2048, size=200),
        made("large", Format.AVIF, 2048, size=180),
        made("thumb", Format.JPEG, 256, size=50),
    ]

    assert work_metrics.saved_by_format(files) == 120
    assert work_metrics.saved_by_format([]) == 0


def test_a_call_costs_its_seconds_at_the_price_of_its_machine() -> None:
    """By hand: two uploads, two seconds at 2,048 MB, one file of each; x86 costs a quarter more."""
    price, need = prices.load()
    done = [
        IngestResult(
            outcome=IngestOutcome.ACCEPTED,
            asset="a",
            upload=ACCEPTED.source,
            record=replace(ACCEPTED, renditions=ACCEPTED.renditions[:1]),
        )
    ] * 2

    def each(machine: str, seconds: float) -> float:
        one, two = cost_per_upload(
            done, seconds=seconds, memory=2048, machine=machine, price=price, need=need
        )
        assert one == two
        return one

    requests = each("aarch64", 0)
    queue = 3 * price.queue_request / 2 + price.invocation / 2
    store = 2 * price.get_request + price.put_request + price.event
    table = need.write_units * price.write_unit + need.read_units * price.read_unit
    assert requests == pytest.approx(queue + store + table)
    assert each("aarch64", 2.0) - requests == pytest.approx(2.0 * 0.0000133334)
    assert each("x86_64", 2.0) - requests == pytest.approx(2.0 * 0.0000166667)
    assert each("x86_64", -1.0) == pytest.approx(requests)
    assert cost_per_upload([], seconds=9, memory=1, machine="", price=price, need=need) == ()
