"""An embedded AWS with the project deployed into it, and events as SQS would hand them over."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.adapters.aws.clients import AwsClients
from worker.bootstrap import Application, assemble
from worker.domain.asset import AssetRecord, Status, asset_id_of
from worker.local.deploy import deploy
from worker.local.emulator import client_environment, running
from worker.ports import Message
from worker.settings import Settings

NOTIFICATION_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """What was deployed."""

    app: Application
    environment: Mapping[str, str]
    """Of a function that belongs to it."""

    def upload(self, objects: Mapping[str, bytes]) -> list[Message]:
        """Put objects and take the messages that say so off the queue."""
        for key, data in objects.items():
            self.app.store.put(
                self.app.settings.intake_bucket, key, data, content_type="application/octet-stream"
            )
        taken: list[Message] = []
        deadline = time.monotonic() + NOTIFICATION_SECONDS
        while len(taken) < len(objects):
            assert time.monotonic() < deadline, f"{len(taken)} of {len(objects)} messages came"
            messages = self.app.queue.receive(
                self.app.settings.queue_url, limit=10, wait=1, visibility=600
            )
            taken += [message for message in messages if "s3:TestEvent" not in message.body]
        return taken

    def record(self, key: str) -> AssetRecord | None:
        """What the catalog knows of an upload."""
        return self.app.catalog.get(asset_id_of(self.app.settings.intake_bucket, key))

    def check_stored(self, key: str) -> None:
        """The upload is accepted; every rendition has the content that the record promises."""
        record = self.record(key)
        assert record is not None
        assert record.status is Status.ACCEPTED
        assert {one.name for one in record.renditions} == {"thumbnail", "medium", "large"}
        for one in record.renditions:
            data, _ = self.app.store.get(self.app.settings.delivery_bucket, one.key)
            assert hashlib.sha256(data).hexdigest() == one.sha256


@contextmanager
def cloud(folder: Path) -> Iterator[Cloud]:
    """Start and deploy, with a standard queue: its messages are the uploads' own."""
    with running(folder) as emulator:
        outputs = deploy(
            emulator.endpoint,
            folder / "outputs.json",
            config={"intake": {"ordering": "standard"}},
        )
        function = {str(name): str(value) for name, value in outputs["ingestEnvironment"].items()}
        environment = {**function, **client_environment(emulator.endpoint)}
        clients = AwsClients(environment)
        yield Cloud(
            app=assemble(Settings.from_environment(function), clients), environment=environment
        )
        clients.close()


def event(messages: list[Message], *, receives: int = 1) -> dict[str, Any]:
    """What Lambda makes of messages (its Developer Guide, "Using Lambda with Amazon SQS")."""
    return {
        "Records": [
            {
                "messageId": message.id,
                "receiptHandle": message.receipt,
                "body": message.body,
                "attributes": {
                    "ApproximateReceiveCount": str(receives),
                    "SentTimestamp": "1795162530200",
                    "SenderId": "AIDAEXAMPLE",
                    "ApproximateFirstReceiveTimestamp": "1795162530210",
                },
                "messageAttributes": {},
                "md5OfBody": "",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-central-1:000000000000:uploads",
                "awsRegion": "eu-central-1",
            }
            for message in messages
        ]
    }
