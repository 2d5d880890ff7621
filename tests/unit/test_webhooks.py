"""Delivery of events to endpoints: signatures, waits, dead letters, secrets."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.unit.cli_pipeline import MemorySecrets
from tests.unit.fakes import Fuse
from tests.unit.memory_queue import MemoryQueue
from worker.domain.errors import (
    ConfigurationError,
    InputError,
    MalformedMessage,
    SafelightError,
    Unreachable,
    WebhookFailed,
    WebhookGone,
)
from worker.domain.webhook import WebhookEndpoint, endpoints, secrets_in
from worker.entrypoints.lambda_webhook import handle
from worker.ports import Message, WebhookAnswer
from worker.services.webhooks import (
    ATTEMPTS,
    CODE,
    FIRST_SECONDS,
    LONGEST_SECONDS,
    REASON,
    TEST_TYPE,
    Webhooks,
    event_in,
)

PREFIX = "/safelight/test/webhooks"


def endpoint(name: str) -> WebhookEndpoint:
    """An endpoint as the Pulumi program would name it."""
    return WebhookEndpoint(
        name=name,
        url=f"https://{name}.example/hook",
        events=("asset.accepted",),
        queue=f"https://sqs.example/1/webhook-{name}",
        dead_letters=f"https://sqs.example/1/webhook-{name}-dead",
    )


def secret(letter: str) -> str:
    """A secret."""
    return "whsec_" + base64.b64encode(letter.encode() * 32).decode()


@dataclass
class Receivers:
    """Answers by URL, and remembers what was sent."""

    answers: dict[str, WebhookAnswer | SafelightError] = field(default_factory=dict)
    requests: list[tuple[str, bytes, Mapping[str, str]]] = field(default_factory=list)

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> WebhookAnswer:
        """See the port."""
        self.requests.append((url, body, headers))
        answer = self.answers.get(url, WebhookAnswer(status=204))
        if isinstance(answer, SafelightError):
            raise answer
        return answer


class World:
    """Two endpoints with their queues."""

    def __init__(self) -> None:
        self.fuse = Fuse()
        self.queue = MemoryQueue(self.fuse)
        self.receivers = Receivers()
        self.secrets = MemorySecrets()
        self.secrets.texts = {f"{PREFIX}/shop": secret("a"), f"{PREFIX}/crm": secret("b")}
        self.limits: list[float] = []
        self.shop = endpoint("shop")
        self.webhooks = Webhooks(
            endpoints={name: endpoint(name) for name in ("shop", "crm")},
            queue=self.queue,
            sender=self.receivers,
            secrets=self.secrets,
            secrets_prefix=PREFIX,
            uniform=self._most,
        )

    def _most(self, low: float, high: float) -> float:
        assert low == 0.0, "full jitter begins at nothing"
        self.limits.append(high)
        return high

    def taken(self, body: str, *, receives: int = 1) -> Message:
        """A message that was taken from the queue of the shop."""
        self.queue.send(self.shop.queue, [(body, "", "")])
        (message,) = self.queue.receive(self.shop.queue, limit=1)
        for _ in range(receives - 1):
            self.queue.hide(self.shop.queue, message, 0)
            (message,) = self.queue.receive(self.shop.queue, limit=1)
        self.queue.hidden.clear()
        return message

    def answer(self, status: int, retry_after: float | None = None) -> None:
        """Let the shop answer so."""
        self.receivers.answers[self.shop.url] = WebhookAnswer(
            status=status, retry_after=retry_after
        )


@pytest.fixture
def world() -> World:
    """A fresh world."""
    return World()


def event(identity: str = "e1") -> dict[str, object]:
    """A CloudEvent."""
    return {
        "specversion": "1.0",
        "id": identity,
        "source": "safelight",
        "type": "asset.accepted",
        "data": {"name": "größer \ud800"},
    }


def envelope(identity: str = "e1") -> str:
    """What the bus puts into a queue."""
    told = {"id": "bus", "detail-type": "asset.accepted", "source": "safelight"}
    return json.dumps({**told, "detail": event(identity)})


def verify(text: str, body: bytes, headers: Mapping[str, str]) -> None:
    """As a receiver does it, with the library of the standard itself."""
    Webhook(text).verify(body, dict(headers), json_parse=False)


def test_a_receiver_can_verify_what_it_gets(world: World) -> None:
    """The library of Standard Webhooks accepts the signature, and no other secret's."""
    (attempt,) = world.webhooks.deliver(world.shop, [world.taken(envelope())])
    assert (attempt.error, attempt.ended, attempt.event) == (None, True, "e1")
    ((url, body, headers),) = world.receivers.requests
    assert url == "https://shop.example/hook"
    assert json.loads(body) == event()
    assert headers["Content-Type"] == "application/cloudevents+json"
    assert headers["webhook-id"] == "e1"
    verify(secret("a"), body, headers)
    with pytest.raises(WebhookVerificationError):
        verify(secret("b"), body, headers)
    with pytest.raises(WebhookVerificationError):
        verify(secret("a"), body + b" ", headers)


def test_an_id_with_full_stops_is_signed_without_them(world: World) -> None:
    """The body has the event's own id; the header has a hyphen for each full stop."""
    world.webhooks.deliver(world.shop, [world.taken(envelope("a/2026.1/b.c"))])
    ((_, body, headers),) = world.receivers.requests
    assert headers["webhook-id"] == "a/2026-1/b-c"
    assert json.loads(body)["id"] == "a/2026.1/b.c"
    verify(secret("a"), body, headers)


def test_during_a_rotation_both_secrets_verify(world: World) -> None:
    """A new secret signs beside the old one, until the old one is retired."""
    new = world.webhooks.rotate("shop")
    world.webhooks.deliver(world.shop, [world.taken(envelope())])
    _, body, headers = world.receivers.requests[-1]
    verify(secret("a"), body, headers)
    verify(new, body, headers)
    assert world.webhooks.retire("shop") == 1
    world.webhooks.deliver(world.shop, [world.taken(envelope())])
    _, body, headers = world.receivers.requests[-1]
    verify(new, body, headers)
    with pytest.raises(WebhookVerificationError):
        verify(secret("a"), body, headers)


def test_a_first_secret_is_made_by_a_rotation(world: World) -> None:
    """An endpoint without a secret gets one; retiring none is an error."""
    world.secrets.texts.clear()
    with pytest.raises(InputError):
        world.webhooks.retire("shop")
    made = world.webhooks.rotate("shop")
    assert world.secrets.texts == {f"{PREFIX}/shop": made}
    assert len(secrets_in(made)[0]) == 32
    assert world.webhooks.retire("shop") == 0


def test_many_rotations_keep_few_secrets(world: World) -> None:
    """Only so many old secrets stay that the text can still be read."""
    for _ in range(9):
        newest = world.webhooks.rotate("shop")
    kept = world.secrets.texts[f"{PREFIX}/shop"]
    assert kept.split()[0] == newest
    assert len(secrets_in(kept)) == 4


@pytest.mark.parametrize("status", [199, 300, 301, 400, 401, 404, 429, 500, 502, 504])
def test_anything_but_success_is_tried_again(world: World, status: int) -> None:
    """The message is hidden for the wait and stays in its queue."""
    world.answer(status)
    message = world.taken(envelope())
    (attempt,) = world.webhooks.deliver(world.shop, [message])
    assert attempt.error is not None
    assert attempt.error.code == "webhook_refused"
    assert not attempt.ended
    assert world.queue.hidden == [(message.id, FIRST_SECONDS)]
    assert world.queue.bodies(world.shop.dead_letters) == []


def test_waits_grow_and_have_a_limit(world: World) -> None:
    """Each wait is random up to a limit that is four times the one before, six hours at most."""
    waits = [world.webhooks.wait(receives) for receives in range(1, ATTEMPTS)]
    assert waits == world.limits
    assert waits[:5] == [30, 120, 480, 1920, 7680]
    assert set(waits[5:]) == {LONGEST_SECONDS}
    assert 30 * 3600 < sum(waits) < 4 * 24 * 3600, "hours, and within the queue's retention"
    assert world.webhooks.wait(10**9) == LONGEST_SECONDS


@pytest.mark.parametrize(
    ("asked", "wait"), [(None, 30), (5.0, 30), (600.0, 600), (1e12, LONGEST_SECONDS)]
)
def test_a_receiver_can_ask_for_a_longer_wait(
    world: World, asked: float | None, wait: float
) -> None:
    """Retry-After lengthens a wait within the limit, and shortens none."""
    world.answer(503, asked)
    (attempt,) = world.webhooks.deliver(world.shop, [world.taken(envelope())])
    assert attempt.wait == wait


def test_the_last_try_makes_a_dead_letter(world: World) -> None:
    """It has the whole message, and says what happened last."""
    world.receivers.answers[world.shop.url] = WebhookFailed("no answer", code="webhook_timed_out")
    (attempt,) = world.webhooks.deliver(world.shop, [world.taken(envelope(), receives=ATTEMPTS)])
    assert attempt.ended
    (dead,) = world.queue.receive(world.shop.dead_letters)
    assert dead.body == envelope()
    assert dead.attributes == {CODE: "webhook_timed_out", REASON: "no answer"}


def test_a_receiver_that_is_gone_gets_no_further_try(world: World) -> None:
    """410 makes a dead letter at the first try."""
    world.answer(410)
    (attempt,) = world.webhooks.deliver(world.shop, [world.taken(envelope())])
    assert attempt.ended
    assert isinstance(attempt.error, WebhookGone)
    assert len(world.queue.bodies(world.shop.dead_letters)) == 1


@pytest.mark.parametrize(
    "body",
    [
        *("no JSON", "[]", "3", "{}", '{"detail": []}', '{"detail": {}}', '{"detail": {"id": 3}}'),
        '{"detail": {"id": "a b"}}',
        '{"detail": {"id": "a\\nb"}}',
        '{"detail": {"id": ""}}',
        "[" * 100_000,
    ],
)
def test_a_message_without_an_event_is_a_dead_letter(world: World, body: str) -> None:
    """No request is sent, because a retry would not help."""
    (attempt,) = world.webhooks.deliver(world.shop, [world.taken(body)])
    assert isinstance(attempt.error, MalformedMessage)
    assert attempt.ended
    assert world.receivers.requests == []
    assert world.queue.bodies(world.shop.dead_letters) == [body]


def test_a_dead_letter_that_is_not_taken_stays(world: World) -> None:
    """If the dead-letter queue does not answer, the message is kept."""
    world.answer(410)
    message = world.taken(envelope())

    class Refusing(MemoryQueue):
        def send(self, *_: object, **__: object) -> None:
            raise Unreachable("no answer")

    refusing = Refusing()
    webhooks = Webhooks(
        endpoints=world.webhooks.endpoints,
        queue=refusing,
        sender=world.receivers,
        secrets=world.secrets,
        secrets_prefix=PREFIX,
    )
    (attempt,) = webhooks.deliver(world.shop, [message])
    assert not attempt.ended
    assert isinstance(attempt.error, Unreachable)


def test_without_a_secret_nothing_is_sent(world: World) -> None:
    """An event is never sent unsigned: it waits until there is a secret."""
    world.secrets.texts.clear()
    (attempt,) = world.webhooks.deliver(world.shop, [world.taken(envelope())])
    assert attempt.error is not None
    assert attempt.error.code == "secret_missing"
    assert not attempt.ended
    assert world.receivers.requests == []


@pytest.mark.parametrize(
    "text",
    ["", "abc", "whsec_", "whsec_!!!", "whsec_YWJj", " ".join([secret("a")] * 5), secret("a")[6:]],
)
def test_what_is_no_secret_is_refused_without_repeating_it(text: str) -> None:
    """A message about a bad secret does not hold it."""
    with pytest.raises(ConfigurationError) as caught:
        secrets_in(text)
    assert text in ("", "whsec_") or text not in caught.value.message


def test_a_batch_is_tried_at_the_same_time_and_fails_alone(world: World) -> None:
    """One bad message of a batch holds back no other."""
    messages = [world.taken(envelope(f"e{number}")) for number in range(9)]
    messages.append(world.taken("no JSON"))
    attempts = world.webhooks.deliver(world.shop, messages)
    assert [attempt.message for attempt in attempts] == messages
    assert [attempt.error is None for attempt in attempts] == [True] * 9 + [False]
    assert len(world.receivers.requests) == 9
    assert world.webhooks.deliver(world.shop, []) == ()


def test_a_stage_can_send_to_an_endpoint(world: World) -> None:
    """The message in the queue of the endpoint has the form of the bus's messages."""
    world.webhooks.send("shop", event("sent"))
    (message,) = world.queue.receive(world.shop.queue)
    assert event_in(message.body).id == "sent"
    with pytest.raises(InputError):
        world.webhooks.send("nobody", event())
    for wrong in ({"type": "asset.accepted", "id": "e"}, {**event(), "id": ""}):
        with pytest.raises(MalformedMessage):
            world.webhooks.send("shop", wrong)
    assert len(world.queue.bodies(world.shop.queue)) == 1


def test_a_test_event_is_sent_at_once(world: World) -> None:
    """It is signed like any other, and an answer that is no success is an error."""
    identity = world.webhooks.test("shop")
    ((_, body, headers),) = world.receivers.requests
    verify(secret("a"), body, headers)
    sent = json.loads(body)
    assert (sent["id"], sent["type"]) == (identity, TEST_TYPE)
    world.answer(500)
    with pytest.raises(WebhookFailed):
        world.webhooks.test("shop")


# --- the function -----------------------------------------------------------------------------


def record(message: Message, name: str) -> dict[str, object]:
    """A record of Lambda's event."""
    return {
        "messageId": message.id,
        "receiptHandle": message.receipt,
        "body": message.body,
        "attributes": {"ApproximateReceiveCount": str(message.receives)},
        "eventSourceARN": f"arn:aws:sqs:eu-central-1:1:webhook-{name}",
    }


def test_the_function_keeps_what_failed(world: World) -> None:
    """Batches are told apart by their queue; what is delivered or dead is not kept."""
    world.receivers.answers["https://crm.example/hook"] = WebhookAnswer(status=500)
    one, two = world.taken(envelope("one")), world.taken(envelope("two"))
    answer = handle({"Records": [record(one, "shop"), record(two, "crm")]}, world.webhooks)
    assert answer == {"batchItemFailures": [{"itemIdentifier": two.id}]}
    assert [url for url, *_ in world.receivers.requests] == [
        "https://shop.example/hook",
        "https://crm.example/hook",
    ]
    assert handle({}, world.webhooks) == {"batchItemFailures": []}


def test_a_queue_of_nobody_fails_the_batch(world: World) -> None:
    """A mapping to a queue that the setting does not name loses nothing."""
    with pytest.raises(ConfigurationError):
        handle({"Records": [record(world.taken(envelope()), "other")]}, world.webhooks)


# --- the setting ------------------------------------------------------------------------------


def test_the_setting_names_endpoints() -> None:
    """The setting written by the Pulumi program is parsed."""
    one = endpoint("shop")
    value = {"url": one.url, "queue": one.queue, "dead_letters": one.dead_letters}
    text = json.dumps({"shop": {**value, "events": ["asset.accepted"]}})
    assert endpoints(text) == (one,)


@pytest.mark.parametrize(
    "text",
    [
        *("", "no JSON", "[]", "3", '{"shop": {}}', '{"shop": 3}'),
        '{"shop": {"url": 3, "queue": "q", "dead_letters": "d", "events": []}}',
        '{"Shop": {"url": "https://a.example/", "queue": "q", "dead_letters": "d", "events": []}}',
        '{"shop": {"url": "ftp://a.example/", "queue": "q", "dead_letters": "d", "events": []}}',
        '{"shop": {"url": "https://a.example/", "queue": "q", "dead_letters": "d", "events": [1]}}',
    ],
)
def test_a_setting_that_is_none_is_refused(text: str) -> None:
    """A mistake shows when the process starts."""
    with pytest.raises(ValueError, match="must"):
        endpoints(text)
