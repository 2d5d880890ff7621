"""`safelight up` as a real process, and the commands that work on it.

Everything is real: the embedded AWS, the resources of the Pulumi program, pipe, workers. Tests that
stop a stack or count what is in it have their own, in a folder of its own.
"""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.integration.job_uploads import check_tags
from tests.integration.running import (
    COMMAND,
    DEADLINE,
    Running,
    alive,
    environment,
    failure,
    picture,
    stack,
    until,
)
from worker.adapters.aws.clients import AwsClients
from worker.local import address
from worker.local.emulator import free_port

TAKEN, BUSY, STOPPED = 2, 3, 130


@pytest.mark.timeout(300)
def test_pictures_go_through_and_everything_survives_a_restart(tmp_path: Path) -> None:
    """Put, reject, look up, tag, kill a worker, stop: no process is left, and nothing is lost."""
    data, good = tmp_path / "data", picture(tmp_path, "Grün +1 & more.jpg")
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(good.read_bytes()[:900])
    with stack(data, workers=2) as running:
        app, settings = running.app, running.app.settings

        accepted = running.json("put", good, "--wait")
        assert accepted["status"] == "accepted"
        assert accepted["key"] == "uploads/Grün +1 & more.jpg"
        assert len(accepted["renditions"]) == 6
        for rendition in accepted["renditions"]:
            stored, _ = app.store.get(settings.delivery_bucket, rendition["key"])
            with Image.open(io.BytesIO(stored)) as image:
                assert image.size == (rendition["width"], rendition["height"])
            assert len(stored) == rendition["bytes"]

        rejected = running.json("put", broken, "--wait", code=1)
        assert rejected["reason"]["code"] == "truncated"
        (kept,) = app.store.list(settings.quarantine_bucket)
        quarantined, head = app.store.get(settings.quarantine_bucket, kept.key)
        assert quarantined == broken.read_bytes()
        assert head.metadata["reason-code"] == "truncated"
        assert [one.key for one in app.store.list(settings.intake_bucket)] == [accepted["key"]]

        running.run("assets", "tag", accepted["asset"], "summer", "sea")
        running.run("assets", "tag", accepted["asset"], "sea", "--remove")
        (tagged,) = running.json("assets", "list", "--tag", "summer")
        assert (tagged["asset"], tagged["tags"]) == (accepted["asset"], ["summer"])
        assert len(running.json("assets", "list")) == 2
        lines = running.run("events", "tail", "--all", "--count", "2", "--json").splitlines()
        assert {json.loads(line)["type"] for line in lines} == {"asset.accepted", "asset.rejected"}

        os.kill(running.pids["worker-1"], signal.SIGKILL)
        assert "worker-1 was ended by SIGKILL" in running.line("note")["message"]
        assert "worker-1 runs again" in running.line("note")["message"]
        assert running.json("put", picture(tmp_path, "b.jpg", "red"), "--wait")["status"]

        deployed = (data / address.OUTPUTS).stat().st_mtime_ns
        running.stop()
        assert running.process.returncode == STOPPED
        until(lambda: not any(alive(pid) for pid in running.pids.values()))
        assert "not running" in failure(data, "assets", "list", code=75)["message"]

    with stack(data, port=running.port) as running:
        # Nothing has changed: everything is as the embedded AWS has kept it.
        assert (data / address.OUTPUTS).stat().st_mtime_ns == deployed
        shown = running.json("assets", "show", accepted["asset"])
        assert (shown["status"], shown["tags"]) == ("accepted", ["summer"])
        assert [line["kind"] for line in shown["timeline"]] == ["accepted"]
        again = running.json("put", good, "--wait")
        assert (again["asset"], again["status"]) == (accepted["asset"], "accepted")
        assert again["renditions"] != accepted["renditions"]

        running.run("assets", "rm", accepted["asset"])
        gone = failure(data, "assets", "show", accepted["asset"], code=2)
        assert gone["code"] == "asset_missing"
        keys = {one.key for one in running.app.store.list(running.app.settings.delivery_bucket)}
        assert not keys & {one["key"] for one in again["renditions"]}


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    """Somebody listens on the port: said in one line, and nothing is started or left."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = subprocess.run(
            [*COMMAND, "up", "--data", str(tmp_path), "--port", str(taken.getsockname()[1])],
            capture_output=True,
            text=True,
            check=False,
            env=environment(),
        )

    assert done.returncode == TAKEN
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error[port_taken]: port")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(300)  # two deployments, which a busy machine takes minutes for
@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_a_killed_stack_leaves_no_process(tmp_path: Path) -> None:
    """SIGKILL of `safelight up` itself: the kernel ends what it started; a new one can begin."""
    data = tmp_path / "data"
    with stack(data) as running:
        for port in (free_port(), running.port):
            busy = failure(data, "up", "--port", str(port), code=BUSY)
            assert busy["code"] == "output_busy"
        key = running.ready["environment"]["AWS_ACCESS_KEY_ID"]
        running.process.kill()
        running.process.wait()
        until(lambda: not any(alive(pid) for pid in running.pids.values()))

    with stack(data) as running:
        good = picture(tmp_path, "a.jpg")
        assert running.json("put", good, "--wait")["status"] == "accepted"
        # On another port everything is deployed again, and the operator is the same.
        assert running.ready["environment"]["AWS_ACCESS_KEY_ID"] == key


def test_what_is_no_event_becomes_a_dead_letter(running: Running) -> None:
    """It passes the pipe, runs out of receives, is listed, sent back in vain, and dropped."""
    uploads = running.ready["outputs"]["uploadsQueue"]
    running.app.queue.send(uploads, [("this is no JSON", "", "")])
    app = running.app
    until(lambda: app.queue.depth(app.settings.dlq_url) == 1)

    (cause,) = running.json("dlq", "list")
    assert (cause["cause"], cause["count"]) == ("message_malformed", 1)
    (dead_letter,) = running.json("dlq", "show")
    assert dead_letter["body"] == "this is no JSON"

    assert running.json("dlq", "redrive") == {"messages": 0, "causes": {}, "left": 1}
    assert running.json("dlq", "redrive", "--id", dead_letter["id"])["messages"] == 1
    until(lambda: app.queue.depth(app.settings.dlq_url) == 1)

    running.failure("dlq", "drop", code=2)
    assert running.json("dlq", "drop", "--all")["causes"] == {"message_malformed": 1}
    assert running.json("dlq", "list") == []


def test_what_is_done_is_counted(running: Running, tmp_path: Path) -> None:
    """The processes write lines of metrics to their logs, as CloudWatch reads them."""
    text = tmp_path / "text.jpg"
    text.write_text("this is no picture")
    before = counted(running)
    running.run("put", picture(tmp_path, "counted.jpg"), text, "--wait", "--json", code=1)

    def more(name: str, *dimensions: str) -> float:
        key = (name, *dimensions)
        return counted(running).get(key, 0) - before.get(key, 0)

    until(lambda: more("Events") >= 2)
    assert more("Uploads", "accepted") == 1
    assert more("Uploads", "rejected") == more("Rejections", "unknown_format") == 1
    assert more("BytesIn") == (tmp_path / "counted.jpg").stat().st_size
    assert more("BytesOut") > 0
    now = counted(running)
    for stage in ("fetch", "render", "commit", "tell"):
        assert 0 < now["StageSeconds", stage] < DEADLINE
    for service in ("ingest", "outbox"):
        assert 0 <= now["QueueSeconds", service] < DEADLINE
    assert 0 < now["CostPerImage",] < 0.01


def counted(running: Running) -> dict[tuple[str, ...], float]:
    """What the stack has counted, by name and dimension values."""
    found = running.json("metrics")
    return {(one["metric"], *one["dimensions"].values()): one["value"] for one in found}


def test_objects_from_before_are_backfilled(running: Running, tmp_path: Path) -> None:
    """Objects no event told of are listed, priced, enqueued once, and yield to real uploads."""
    app = running.app
    bucket, delivery = app.settings.intake_bucket, app.settings.delivery_bucket
    real = running.json("put", picture(tmp_path, "before a.jpg"), "--wait")
    clients = AwsClients(running.root)
    told = clients.s3.get_bucket_notification_configuration(Bucket=bucket)
    clients.s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    old = picture(tmp_path, "before b +ü.jpg", "navy")
    silent = running.json("put", old)
    assert told["QueueConfigurations"]

    place, state = f"s3://{bucket}/uploads/before", tmp_path / "state.json"
    sizes = [one.size for one in app.store.list(bucket, "uploads/before")]
    counted = running.json("backfill", place, "--dry-run", "--state", state)
    assert (counted["objects"], counted["bytes"]) == (len(sizes), sum(sizes))
    assert 0 < counted["total_usd"] < 0.01
    done = running.json("backfill", place, "--state", state)
    assert (done["sent"], done["finished"]) == (len(sizes), True)
    until(lambda: app.catalog.get(silent["asset"]) is not None)

    record = app.catalog.get(silent["asset"])
    assert record is not None
    assert record.status.value == "accepted"
    assert app.store.head(delivery, record.renditions[0].key).size
    before = app.catalog.get(real["asset"])
    assert before is not None
    assert before.source.version_id == real["version_id"]
    clients.s3.put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration={"QueueConfigurations": told["QueueConfigurations"]},
    )
    assert running.failure("backfill", "s3://elsewhere/", code=2)["code"]


def test_cache_tags_are_given_to_what_lacks_them(running: Running, tmp_path: Path) -> None:
    """Files of ingest have the tags; older files get them, once."""
    app, bucket = running.app, running.app.settings.delivery_bucket
    first = running.json("put", picture(tmp_path, "tagged.jpg", "teal"), "--wait")
    same = (tmp_path / "tagged.jpg").rename(tmp_path / "tagged again.jpg")
    again = running.json("put", same, "--wait")
    made, record = (app.catalog.get(one["asset"]) for one in (first, again))
    assert made is not None
    assert record is not None
    check_tags(running, made)
    check_tags(running, record)
    assert record.copied_from is not None
    key = record.renditions[0].key
    root = AwsClients(running.root).s3
    data = app.store.get(bucket, key)[0]
    root.put_object(
        Bucket=bucket, Key=key, Body=data, ContentType="image/jpeg", Tagging="superseded=true"
    )

    place, state = f"s3://{bucket}/{key.partition('/')[0]}", tmp_path / "tags.json"
    counted = running.json("backfill", place, "--cache-tags", "--dry-run", "--state", state)
    done = running.json("backfill", place, "--cache-tags", "--state", state)

    assert counted["objects"] == done["sent"] >= len(record.renditions)
    check_tags(running, record)
    assert app.store.get(bucket, key)[0] == data
    assert root.get_object_tagging(Bucket=bucket, Key=key)["TagSet"][0]["Key"] == "superseded"
    refused = running.failure(
        "backfill", f"s3://{app.settings.intake_bucket}/", "--cache-tags", code=2
    )
    assert "only the delivery bucket" in refused["message"]


def test_when_the_embedded_aws_dies_everything_goes_on(running: Running, tmp_path: Path) -> None:
    """It comes back with all it had answered for; nobody else is started again."""
    before = running.json("put", picture(tmp_path, "a.jpg"), "--wait")
    assert before["status"] == "accepted"

    running.kill_emulator()

    assert running.json("assets", "show", before["asset"])["status"] == "accepted"
    assert running.json("put", picture(tmp_path, "b.jpg"), "--wait")["status"] == "accepted"
    assert all(alive(pid) for name, pid in running.pids.items() if name != "emulator")


def test_the_pipeline_is_measured_beside_the_engine(tmp_path: Path) -> None:
    """`bench pipeline` brings every upload to its end, in a stack of its own."""
    (tmp_path / "photos").mkdir()
    picture(tmp_path / "photos", "a.jpg")
    command = (*COMMAND, "bench", "pipeline", "--images", "10", "--json", "--corpus")

    done = subprocess.run(
        [*command, tmp_path / "photos"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["images"] == 10
    assert 0 < figures["pipeline_per_second"] < figures["engine_per_second"]
    assert len(figures["worker_mebibytes"]) == 10
