"""The real pipeline under abuse: nothing lost, nothing twice, nothing half.

Sixty uploads through the embedded AWS, deployed by the Pulumi program; a fifth of their
events duplicated, all of them shuffled; one in twelve DynamoDB and S3 requests of the workers
throttled; workers killed with SIGKILL at random moments; each process with its own role alone.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.running import acting, copy_deployed
from tests.unit.pictures import encoded, photo
from worker.adapters.aws.clients import AwsClients
from worker.bootstrap import Application, assemble
from worker.domain.asset import AssetRecord, Status, asset_id_of
from worker.local import emulator as emulators
from worker.local.address import OUTPUTS
from worker.local.deploy import read_outputs
from worker.local.emulator import free_port
from worker.local.faults.plan import FaultKind, PlannedFault
from worker.local.faults.proxy import FaultProxy
from worker.local.roles import Roles
from worker.local.stack import HANDLER
from worker.ports import Message
from worker.settings import Settings
from worker.subprocesses.launch import tied_command

UPLOADS = 60
KEYS = 50
"""Ten keys are uploaded twice: the second upload must win."""
DISTINCT = 40
"""Fewer pictures than keys: some uploads have identical bytes."""
THROTTLED = 0.08
KILLS = 4
SECONDS = 300


WORKER = f"""
from worker.local.event_source import *
function = FunctionConfig(name="ingest", timeout=120, memory=1769)
mapping = EventSourceMapping(queue_url=sys.argv[1], function=function, batch_size=5)
run_worker({HANDLER!r}, mapping, ready)
"""
PIPE = """
from worker.local.services import *
with working(ready) as stop:
    run_pipe(SqsQueue(AwsClients()), source=sys.argv[1], target=sys.argv[2], stop=stop)
"""


def start(
    program: str, environment: Mapping[str, str], log: Path, *urls: str
) -> subprocess.Popen[bytes]:
    """A part of the local stack in a process of its own."""
    begin = "import os, sys\nfrom pathlib import Path\nready = Path(os.devnull)\n"
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-c", begin + program, *urls],
            env={**inherited, **environment, "VIPS_CONCURRENCY": "1", "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


class Workers:
    """Two event sources that are started again whenever one is found dead."""

    def __init__(
        self, environment: Mapping[str, str], outputs: Mapping[str, Any], log: Path
    ) -> None:
        """Start them."""
        self._environment, self._outputs, self._log = environment, outputs, log
        self._children = [self._start(), self._start()]
        self.kills = 0

    def _start(self) -> subprocess.Popen[bytes]:
        return start(WORKER, self._environment, self._log, str(self._outputs["workQueue"]))

    def kill_one(self, dice: random.Random) -> None:
        """SIGKILL, whatever it is doing."""
        dice.choice(self._children).send_signal(signal.SIGKILL)
        self.kills += 1

    def tend(self) -> None:
        """Replace the dead."""
        for index, child in enumerate(self._children):
            if child.poll() is not None:
                self._children[index] = self._start()

    def stop(self) -> None:
        """End them and wait."""
        for child in self._children:
            child.kill()
        for child in self._children:
            child.wait()


@contextmanager
def process(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Kill a child at the end."""
    try:
        yield
    finally:
        child.kill()
        child.wait()


def pictures(dice: random.Random) -> list[bytes]:
    """What is uploaded: small photos, some of them broken."""
    made = []
    for number in range(DISTINCT):
        data = encoded(photo(90 + number % 30, 70, seed=number), "JPEG", quality=85)
        made.append(data[: len(data) // 2] if number % 20 == 19 else data)
    return [dice.choice(made) for _ in range(UPLOADS)]


def upload(app: Application, dice: random.Random) -> dict[str, bytes]:
    """Put everything; the last content of each key."""
    names = [f"album {number % 7}/ü+{number}.jpg" for number in range(KEYS)]
    keys = names + dice.sample(names, UPLOADS - KEYS)
    expected: dict[str, bytes] = {}
    for key, data in zip(keys, pictures(dice), strict=True):
        app.store.put(app.settings.intake_bucket, key, data, content_type="image/jpeg")
        expected[key] = data
    return expected


def disturbed(app: Application, outputs: Mapping[str, Any], dice: random.Random) -> None:
    """Take the real events, shuffle them, double a fifth, and put them back.

    Duplicates go straight to the workers' queue in groups of their own: what FIFO order and
    deduplication would otherwise hide, the catalog must withstand.
    """
    source = str(outputs["uploadsQueue"])
    taken: list[Message] = []
    deadline = time.monotonic() + 60
    while len(taken) < UPLOADS and time.monotonic() < deadline:
        messages = app.queue.receive(source, limit=10, wait=1, visibility=600)
        taken += [message for message in messages if "Records" in message.body]
        if messages:
            app.queue.delete(source, messages)
    assert len(taken) == UPLOADS
    dice.shuffle(taken)
    app.queue.send(source, [(message.body, "", "") for message in taken])
    doubled = [
        (message.body, f"group-{number}", f"again-{number}")
        for number, message in enumerate(dice.sample(taken, UPLOADS // 5))
    ]
    app.queue.send(str(outputs["workQueue"]), doubled)


def settled(app: Application, expected: Mapping[str, bytes], outputs: Mapping[str, Any]) -> bool:
    """Whether every key has a record of its last content and no message is left."""
    if app.queue.depth(str(outputs["workQueue"])) or app.queue.depth(str(outputs["uploadsQueue"])):
        return False
    return all(recorded(app, key, data) is not None for key, data in expected.items())


def recorded(app: Application, key: str, data: bytes) -> AssetRecord | None:
    """The record of a key, if it is of this content."""
    record = app.catalog.get(asset_id_of(app.settings.intake_bucket, key))
    etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return record if record is not None and record.source.etag == etag else None


@pytest.mark.timeout(SECONDS + 120)
def test_every_upload_ends_with_exactly_one_correct_record(tmp_path: Path) -> None:
    """This holds under duplicated and shuffled messages, throttling and kills."""
    dice = random.Random(20261122)
    with ExitStack() as stack:
        copy_deployed(tmp_path / "data", port := free_port())
        emulator = emulators.start(
            port=port,
            log=tmp_path / "emulator.log",
            state=tmp_path / "data" / "state",
            enforce_iam=True,
            launcher=tied_command((), parent_death_signal=signal.SIGTERM),
        )
        stack.callback(emulator.stop)
        outputs = read_outputs(tmp_path / "data" / OUTPUTS)
        function = {str(k): str(v) for k, v in outputs["ingestEnvironment"].items()}
        function["SAFELIGHT_RETRY_SECONDS"] = "1"
        roles, straight = Roles.of(outputs), {**function, **emulator.environment}
        app = assemble(Settings.from_environment(function), AwsClients(straight))

        expected = upload(app, dice)
        disturbed(app, outputs, dice)

        proxy = FaultProxy(emulator.endpoint, seed=7)
        for service in ("s3", "dynamodb"):
            proxy.begin(
                PlannedFault(at=0, kind=FaultKind.THROTTLE, target=service, share=THROTTLED)
            )
        ingest = acting(emulator.environment, roles.function(HANDLER))
        faulty = {**function, **ingest, "AWS_ENDPOINT_URL": stack.enter_context(proxy.serving())}
        pipe = start(
            PIPE,
            acting(emulator.environment, roles.pipe()[0]),
            tmp_path / "pipe.log",
            str(outputs["uploadsQueue"]),
            str(outputs["workQueue"]),
        )
        stack.enter_context(process(pipe))
        workers = Workers(faulty, outputs, tmp_path / "workers.log")
        stack.callback(workers.stop)

        deadline = time.monotonic() + SECONDS
        next_kill = time.monotonic() + 3
        while not (workers.kills >= KILLS and settled(app, expected, outputs)):
            assert time.monotonic() < deadline, (tmp_path / "workers.log").read_text()[-4000:]
            if workers.kills < KILLS and time.monotonic() > next_kill:
                workers.kill_one(dice)
                next_kill = time.monotonic() + dice.uniform(1.0, 3.0)
            workers.tend()
            time.sleep(0.2)

        assert proxy.hits["throttle dynamodb"] > 10
        assert proxy.hits["throttle s3"] > 10
        for key, data in expected.items():
            check(app, key, data)
        check_table(straight, app, expected)
        for queue in ("uploadsDeadLetters", "workDeadLetters"):
            assert app.queue.depth(str(outputs[queue])) == 0


def check(app: Application, key: str, data: bytes) -> None:
    """One asset: its verdict, and every rendition whole and in place."""
    record = recorded(app, key, data)
    assert record is not None
    broken = b"\xff\xd9" not in data[-2:]
    assert record.status is (Status.REJECTED if broken else Status.ACCEPTED), key
    if broken:
        kept = list(app.store.list(app.settings.quarantine_bucket))
        assert any(record.version in one.key for one in kept)
        return
    assert record.metadata is not None
    assert record.metadata.sha256 == hashlib.sha256(data).hexdigest()
    assert {one.name for one in record.renditions} == {"thumbnail", "medium", "large"}
    for one in record.renditions:
        stored, _ = app.store.get(app.settings.delivery_bucket, one.key)
        assert hashlib.sha256(stored).hexdigest() == one.sha256, one.key


def check_table(
    environment: Mapping[str, str], app: Application, expected: Mapping[str, bytes]
) -> None:
    """The table has one record an asset, and no other."""
    client = AwsClients(environment).dynamodb
    pages = client.get_paginator("scan").paginate(TableName=app.settings.table)
    found = [
        item["PK"]["S"] for page in pages for item in page["Items"] if item["SK"]["S"] == "META"
    ]
    wanted = {f"ASSET#{asset_id_of(app.settings.intake_bucket, key)}" for key in expected}
    assert sorted(found) == sorted(wanted)
