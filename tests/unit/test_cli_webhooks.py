"""``webhooks``: endpoints listed, tried, filled, emptied of dead letters, and their secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

from tests.servers import serving
from tests.unit import cli_pipeline
from tests.unit.cli_pipeline import ENDPOINT, Pipeline, pipeline
from worker.entrypoints.cli import run
from worker.services.webhooks import ATTEMPTS, CODE, REASON, TEST_TYPE

QUEUE = f"{ENDPOINT}/1/webhook-shop"
DEAD = f"{ENDPOINT}/1/webhook-shop-dead"
EVENT = {"specversion": "1.0", "id": "e1", "type": "asset.accepted", "source": "safelight"}
BODY = json.dumps({"source": "safelight", "detail-type": "asset.accepted", "detail": EVENT})
SECRET = "whsec_" + "YWJj" * 11


class Receiver(BaseHTTPRequestHandler):
    """Answers with a status; remembers requests."""

    status = 204
    got: list[tuple[bytes, dict[str, str]]]

    def do_POST(self) -> None:
        """Take a webhook."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append((body, {name.lower(): text for name, text in self.headers.items()}))
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[tuple[type[Receiver], str]]:
    """A receiver and its address."""
    made = type("Receiver", (Receiver,), {"got": []})
    with serving(made) as url:
        yield made, url


@pytest.fixture
def world(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    receiver: tuple[type[Receiver], str],
) -> Iterator[Pipeline]:
    """A pipeline with one endpoint, which is the receiver."""
    endpoint = {"url": f"{receiver[1]}/hook", "events": ["asset.*"]}
    queues = {"queue": QUEUE, "dead_letters": DEAD}
    setting = json.dumps({"shop": {**endpoint, **queues}})
    monkeypatch.setitem(cli_pipeline.ENVIRONMENT, "SAFELIGHT_WEBHOOKS", setting)
    with pipeline(tmp_path / "data", capsys, monkeypatch) as made:
        yield made


def dead_letter(world: Pipeline, code: str, reason: str, body: str = BODY) -> None:
    """A dead letter as the function leaves it."""
    world.queue.send(DEAD, [(body, "", "")], attributes={CODE: code, REASON: reason})


def test_endpoints_are_listed_with_what_waits(world: Pipeline) -> None:
    """Messages in somebody's hands count as well."""
    world.queue.send(QUEUE, [(BODY, "", "")] * 3)
    world.queue.receive(QUEUE, limit=1)
    dead_letter(world, "webhook_gone", "answers 410")
    (found,) = world.json("webhooks", "list")
    assert found["name"] == "shop"
    assert found["url"].startswith("http://127.0.0.1:")
    assert (found["events"], found["waiting"], found["dead"]) == (["asset.*"], 3, 1)
    assert "asset.*" in world.run("webhooks", "list")[0]


def test_without_endpoints_the_list_says_so(
    world: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty setting is no mistake."""
    monkeypatch.setitem(cli_pipeline.ENVIRONMENT, "SAFELIGHT_WEBHOOKS", "{}")
    address = world.data / "stack.json"
    text = address.read_text()
    address.write_text(
        json.dumps(
            {
                **json.loads(text),
                "environment": {**json.loads(text)["environment"], "SAFELIGHT_WEBHOOKS": "{}"},
            }
        )
    )
    assert world.run("webhooks", "list")[0] == "no endpoints\n"


def test_a_test_event_reaches_the_receiver(
    world: Pipeline, receiver: tuple[type[Receiver], str]
) -> None:
    """The receiver gets one signed event, over a real connection."""
    secret = world.json("webhooks", "rotate", "shop")["secret"]
    sent = world.json("webhooks", "test", "shop")
    ((body, headers),) = receiver[0].got
    Webhook(secret).verify(body, headers, json_parse=False)
    told = json.loads(body)
    assert (told["id"], told["type"]) == (sent["event"], TEST_TYPE)
    assert "has taken" in world.run("webhooks", "test", "shop")[0]


@pytest.mark.parametrize(("status", "exit_code"), [(500, 75), (302, 75), (410, 2)])
def test_a_receiver_that_refuses_is_an_error(
    world: Pipeline, receiver: tuple[type[Receiver], str], status: int, exit_code: int
) -> None:
    """The exit code says whether trying again can help."""
    receiver[0].status = status
    world.run("webhooks", "rotate", "shop")
    assert str(status) in world.run("webhooks", "test", "shop", code=exit_code)[1]


def test_a_test_without_a_secret_says_what_to_do(world: Pipeline) -> None:
    """No unsigned request is sent."""
    assert world.error("webhooks", "test", "shop")["code"] == "secret_missing"


def test_a_line_of_the_events_can_be_sent(world: Pipeline, tmp_path: Path) -> None:
    """A line of ``events tail`` can be put into the queue of the endpoint."""
    file = tmp_path / "event.json"
    file.write_text(json.dumps(EVENT))
    assert world.json("webhooks", "send", "shop", file) == {"endpoint": "shop", "event": "e1"}
    (body,) = world.queue.bodies(QUEUE)
    assert json.loads(body)["detail"] == EVENT


@pytest.mark.parametrize("text", ["", "[]", "no JSON", "[" * 5000, '{"a": 1', "x" * 300_000])
def test_what_is_no_event_is_not_sent(world: Pipeline, tmp_path: Path, text: str) -> None:
    """A file without an event is an error, and the queue stays empty."""
    file = tmp_path / "event.json"
    file.write_text(text)
    assert world.error("webhooks", "send", "shop", file)["code"] == "input_unreadable"
    assert world.queue.bodies(QUEUE) == []


@pytest.mark.parametrize("command", ["test", "redrive", "rotate", "retire"])
def test_an_unknown_endpoint_is_named(world: Pipeline, command: str) -> None:
    """The message names those there are."""
    error = world.error("webhooks", command, "nobody")
    assert error["code"] == "input_missing"
    assert "shop" in error["message"]


def test_dead_letters_of_an_endpoint_have_their_cause(world: Pipeline) -> None:
    """dlq shows what the function, the bus or nobody has said about a message."""
    dead_letter(world, "webhook_refused", "the receiver of shop answers 500")
    world.queue.send(DEAD, [(BODY, "", "")], attributes={"ERROR_CODE": "NO_PERMISSIONS"})
    world.queue.send(DEAD, [(BODY, "", ""), ("no JSON", "", "")])
    causes = {one["cause"]: one for one in world.json("dlq", "list") if "webhook" in one["queue"]}
    assert set(causes) == {"webhook_refused", "undelivered", "unknown", "message_malformed"}
    assert causes["webhook_refused"]["queue"] == "webhook-shop"


def test_dead_letters_of_one_endpoint_are_sent_back(world: Pipeline) -> None:
    """Those that are no events stay; other queues are not looked at."""
    other = f"{ENDPOINT}/1/dead.fifo"
    world.queue.send(other, [("no JSON", "g", "1")])
    dead_letter(world, "webhook_gone", f"after {ATTEMPTS} tries")
    dead_letter(world, "message_malformed", "it is none", "no JSON")
    found = world.json("webhooks", "redrive", "shop")
    assert found == {"messages": 1, "causes": {"webhook_gone": 1}, "left": 1}
    assert world.queue.bodies(QUEUE) == [BODY]
    assert world.queue.bodies(DEAD) == ["no JSON"]
    assert len(world.queue.bodies(other)) == 1


def test_secrets_are_rotated_and_retired(world: Pipeline) -> None:
    """The new secret is printed alone, for a pipe; the old one stays until it is retired."""
    world.secrets.texts["/safelight/webhooks/shop"] = SECRET
    new = world.run("webhooks", "rotate", "shop")[0].strip()
    assert world.secrets.texts["/safelight/webhooks/shop"] == f"{new} {SECRET}"
    assert world.json("webhooks", "retire", "shop") == {"endpoint": "shop", "retired": 1}
    assert world.secrets.texts["/safelight/webhooks/shop"] == new


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["shop"], "must be NAME=URL"),
        (["Shop=https://a.example/"], "1 to 16 small letters"),
        (["shop=ftp://a.example/"], "must begin with https://"),
        (["shop=https://a.example/", "shop=https://b.example/"], "two of this name"),
    ],
)
def test_a_local_stack_refuses_endpoints_that_are_none(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, options: list[str], said: str
) -> None:
    """Before anything is started."""
    words = [word for one in options for word in ("--webhook", one)]
    assert run(["up", "--data", str(tmp_path / "data"), *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
