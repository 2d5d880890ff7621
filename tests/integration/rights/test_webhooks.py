"""The roles that send webhooks allow what the code calls, and nothing else.

A stack of its own: endpoints are of the configuration, and the stack of the other tests has none.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.integration.rights.calls import missing, recorded, unused
from tests.integration.rights.world import World, short
from tests.integration.running import picture, stack, until
from tests.servers import serving
from worker.adapters.aws.clients import VARIABLE
from worker.bootstrap import assemble
from worker.entrypoints import lambda_workflow
from worker.settings import Settings

UNUSED = {
    "logs:CreateLogStream": "Lambda writes the function's log; here it is a file",
    "logs:PutLogEvents": "the same",
    "xray:PutSpans": "spans, which go to files here",
    "xray:PutSpansForIndexing": "the same",
    "sqs:GetQueueAttributes": "Lambda asks how many messages wait, to scale",
}
"""What the function's role allows and no call of our code uses, each with why."""


class Receiver(BaseHTTPRequestHandler):
    """Answers what it is told to next, then 204."""

    answers: list[int]
    answered: list[int]

    def do_POST(self) -> None:
        """Take a webhook."""
        self.rfile.read(int(self.headers["Content-Length"]))
        status = self.answers.pop(0) if self.answers else 204
        self.answered.append(status)
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_the_roles_that_send_allow_exactly_what_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A delivery, a wait, a dead letter, and a stage of a workflow that sends."""
    kind: type[Receiver] = type("Receiver", (Receiver,), {"answers": [503, 410], "answered": []})
    calls = tmp_path / "calls.jsonl"
    event = tmp_path / "event.json"
    with ExitStack() as held:
        url = held.enter_context(serving(kind))
        with monkeypatch.context() as patch:
            patch.setenv(VARIABLE, str(calls))
            running = held.enter_context(stack(tmp_path / "data", f"--webhook=shop={url}"))
        world = World(running, calls)
        running.run("webhooks", "rotate", "shop")
        for number in range(3):
            told = {"specversion": "1.0", "id": f"e{number}", "type": "asset.accepted"}
            event.write_text(json.dumps(told))
            running.run("webhooks", "send", "shop", event)
        running.run("put", picture(tmp_path, "1.jpg"), "--wait")
        (asset,) = running.json("assets", "list")
        with monkeypatch.context() as patch:
            patch.setenv(VARIABLE, str(calls))
            settings = Settings.from_environment(running.ready["environment"])
            app = assemble(settings, world.acting(world.workflow))
            call = {"asset": asset["asset"], "version": asset["version"], "endpoint": "shop"}
            sent = lambda_workflow.handle({"task": "webhook", **call}, app)
        assert sent == {"outcome": "sent"}
        until(lambda: {204, 410, 503} <= {*kind.answered})
        until(lambda: bool(running.json("webhooks", "list")[0]["dead"] == 1))

        roles = dict(world.policies())
        needs = recorded(calls, roles)
        assert missing(needs, roles) == []
        found = unused(needs, {name: roles[name] for name in roles if short(name) == "webhook"})
        assert {grant.action for _, grant in found} == {*UNUSED}
        queue = "arn:aws:sqs:eu-central-1:000000000000:safelight-local-webhook-shop"
        assert ("workflow", "sqs:SendMessage", queue) in {
            (short(need.identity), need.action, need.resource) for need in needs
        }
