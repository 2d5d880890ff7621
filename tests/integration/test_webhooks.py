"""Webhooks of a whole local stack: the same function, fed by the queues of the Pulumi program."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.integration.running import Running, picture, stack, until
from tests.servers import serving


class Receiver(BaseHTTPRequestHandler):
    """Takes what is signed with its secret, and answers as it is told to."""

    secret = ""
    status = 204
    got: list[dict[str, Any]]
    lock: threading.Lock

    def do_POST(self) -> None:
        """Take a webhook."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.lock:
            self.send_response(self._answer(body))
        self.end_headers()

    def _answer(self, body: bytes) -> int:
        headers = {name.lower(): text for name, text in self.headers.items()}
        try:
            Webhook(self.secret).verify(body, headers, json_parse=False)
        except WebhookVerificationError:
            return 401
        event = json.loads(body)
        assert headers["webhook-id"] == event["id"].replace(".", "-")
        if self.status == 204:
            self.got.append(event)
        return self.status

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def receiver(**values: Any) -> type[Receiver]:
    """A receiver of its own."""
    return type("Receiver", (Receiver,), {"got": [], "lock": threading.Lock(), **values})


@pytest.fixture
def receivers() -> Iterator[dict[str, tuple[type[Receiver], str]]]:
    """One that takes everything, one that is gone, and one that takes connections and never says
    a word."""
    shop, gone, slow = receiver(), receiver(status=410), receiver()
    with (
        serving(shop) as first,
        serving(gone) as second,
        socket.create_server(("127.0.0.1", 0)) as silent,
    ):
        third = f"http://127.0.0.1:{silent.getsockname()[1]}"
        yield {"shop": (shop, first), "gone": (gone, second), "slow": (slow, third)}


def rotate(running: Running, kind: type[Receiver], name: str) -> None:
    """Give both sides a secret."""
    kind.secret = running.json("webhooks", "rotate", name)["secret"]


def dead(running: Running, name: str) -> int:
    """How many dead letters an endpoint has."""
    (found,) = (one for one in running.json("webhooks", "list") if one["name"] == name)
    return int(found["dead"])


def test_events_of_an_upload_reach_those_who_listen(
    tmp_path: Path, receivers: dict[str, tuple[type[Receiver], str]]
) -> None:
    """Signed, with secrets that outlive the emulator. An endpoint that is gone and one that never
    answers cost the third nothing, and dead letters can be sent again."""
    options = [f"--webhook={name}={url}/hook" for name, (_, url) in receivers.items()]
    (shop, _), (gone, _) = receivers["shop"], receivers["gone"]
    with stack(tmp_path / "data", *options) as running:
        for name, (kind, _) in receivers.items():
            rotate(running, kind, name)
        assert running.json("webhooks", "test", "shop")["endpoint"] == "shop"
        shop.got.clear()

        running.run("put", picture(tmp_path, "1.jpg", "teal"), "--wait")
        until(lambda: any(one["type"] == "asset.accepted" for one in shop.got))
        (accepted,) = (one for one in shop.got if one["type"] == "asset.accepted")
        assert accepted["specversion"] == "1.0"
        until(lambda: dead(running, "gone") >= 1)
        assert dead(running, "shop") == 0
        waiting = {one["name"]: one["waiting"] for one in running.json("webhooks", "list")}
        assert waiting["slow"] >= 1
        causes = {one["cause"] for one in running.json("dlq", "list")}
        assert causes == {"webhook_gone"}

        gone.status = 204
        running.kill_emulator()
        assert running.json("webhooks", "redrive", "gone")["messages"] >= 1
        until(lambda: any(one["id"] == accepted["id"] for one in gone.got))
        until(lambda: dead(running, "gone") == 0)
