"""Queue: one suite on standard and FIFO queues in SQS."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest
from botocore.stub import Stubber

from tests.contract.canned import clients_for
from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.sqs import BATCH_BYTES, SqsQueue
from worker.domain.errors import (
    ConfigurationError,
    Conflict,
    EngineError,
    SafelightError,
    Throttled,
    Unreachable,
)
from worker.ports import Message, Queue

URL = "http://127.0.0.1:1/000000000000/work"


@dataclass(frozen=True)
class Line:
    """A queue and its name."""

    queue: Queue
    name: str
    fifo: bool

    def take(self, *, visibility: int = 30) -> list[Message]:
        """Receive until there is nothing more."""
        taken: list[Message] = []
        while batch := self.queue.receive(self.name, visibility=visibility):
            taken += batch
        return taken


@pytest.fixture(params=["standard", "fifo"])
def line(request: pytest.FixtureRequest, clients: AwsClients, fresh: Callable[[str], str]) -> Line:
    """Every kind of queue in turn."""
    fifo = request.param == "fifo"
    name = fresh("queue") + (".fifo" if fifo else "")
    clients.sqs.create_queue(QueueName=name, Attributes={"FifoQueue": "true"} if fifo else {})
    return Line(SqsQueue(clients), name, fifo)


@pytest.fixture
def stubbed() -> Iterator[tuple[SqsQueue, Stubber]]:
    """A queue whose answers are given."""
    with clients_for(URL) as clients, Stubber(clients.sqs) as stub:
        yield SqsQueue(clients), stub


def triples(count: int, *, group: str = "g") -> list[tuple[str, str, str]]:
    """Bodies that are numbered."""
    return [(f"body {number}", group, f"id{number}") for number in range(count)]


def bodies(messages: Sequence[Message]) -> list[str]:
    """What the messages say, in their order."""
    return [message.body for message in messages]


def test_what_is_sent_is_received(line: Line) -> None:
    """More than a batch of messages arrive, each once; a FIFO queue keeps their order."""
    line.queue.send(line.name, triples(25))

    # In FIFO one group is one batch at a time: what is taken must be done first.
    taken: list[Message] = []
    while batch := line.queue.receive(line.name):
        line.queue.delete(line.name, batch)
        taken += batch

    expected = [body for body, _, _ in triples(25)]
    assert bodies(taken) == expected if line.fifo else sorted(bodies(taken)) == sorted(expected)
    assert line.queue.depth(line.name) == 0


def test_nothing_is_sent_as_nothing(line: Line) -> None:
    """Sending no messages asks for nothing and receiving from an empty queue gives nothing."""
    line.queue.send(line.name, [])
    line.queue.delete(line.name, [])

    assert list(line.queue.receive(line.name)) == []


def test_a_message_knows_its_story(line: Line) -> None:
    """Text of any language, when it was sent, how often it was received, and its group."""
    line.queue.send(line.name, [("größer 日本 🙂", "a group", "one")])

    (message,) = line.queue.receive(line.name)

    assert message.body == "größer 日本 🙂"
    assert message.receives == 1
    assert message.sent_at.startswith("20")
    assert message.sent_at.endswith("Z")
    assert message.group == ("a group" if line.fifo else None)
    assert message.id
    assert message.receipt


def test_attributes_travel_with_every_message(line: Line) -> None:
    """The receiver of a message gets its attributes."""
    told = {"Code": "unreachable", "Reason": "kein Gerät: größer"}
    line.queue.send(line.name, triples(2), attributes=told)

    taken: list[Message] = []
    while batch := line.queue.receive(line.name):
        line.queue.delete(line.name, batch)
        taken += batch

    assert [{name: one.attributes[name] for name in told} for one in taken] == [told] * 2


def test_a_message_that_is_let_go_comes_back(line: Line) -> None:
    """Hidden for no time, a message is there again at once and counts its receives."""
    line.queue.send(line.name, triples(1))
    (message,) = line.queue.receive(line.name, visibility=600)
    assert line.take() == []

    line.queue.hide(line.name, message, 0)

    (again,) = line.queue.receive(line.name)
    assert (again.id, again.receives) == (message.id, 2)


def test_depth_counts_what_waits(line: Line) -> None:
    """Messages that can be received are counted; those in somebody's hands are not."""
    line.queue.send(line.name, triples(12))
    assert line.queue.depth(line.name) == 12

    taken = line.queue.receive(line.name, limit=4)

    assert line.queue.depth(line.name) == 12 - len(taken)
    assert line.queue.depth(line.name, taken=True) == 12


def test_a_url_names_a_queue_too(line: Line, clients: AwsClients) -> None:
    """Settings give URLs and people names; both reach the same queue."""
    url = clients.sqs.get_queue_url(QueueName=line.name)["QueueUrl"]
    line.queue.send(url, triples(1))

    assert bodies(line.queue.receive(line.name)) == ["body 0"]


def test_fifo_takes_a_message_once(clients: AwsClients, fresh: Callable[[str], str]) -> None:
    """The same deduplication id again is not a second message."""
    name = f"{fresh('queue')}.fifo"
    clients.sqs.create_queue(QueueName=name, Attributes={"FifoQueue": "true"})
    queue = SqsQueue(clients)
    queue.send(name, [("first", "g", "same")])
    queue.send(name, [("first", "g", "same"), ("second", "g", "other")])

    assert bodies(queue.receive(name)) == ["first", "second"]


def test_a_missing_queue_is_a_mistake_of_the_deployment(clients: AwsClients) -> None:
    """No queue of that name: somebody must edit something."""
    with pytest.raises(ConfigurationError):
        SqsQueue(clients).receive("no-such-queue")


def test_batches_keep_to_the_size_of_a_request(line: Line) -> None:
    """Bodies that are too large together go in several requests and all arrive."""
    large = "x" * (BATCH_BYTES // 2 - 1000)
    line.queue.send(line.name, [(large + str(n), f"g{n}", f"id{n}") for n in range(5)])

    assert line.queue.depth(line.name) == 5


def test_a_body_that_is_too_large_stops_all(line: Line) -> None:
    """No message is sent if one body is too large."""
    with pytest.raises(EngineError):
        line.queue.send(line.name, [*triples(12), ("é" * (BATCH_BYTES // 2 + 1), "g", "large")])
    assert line.queue.depth(line.name) == 0


@pytest.mark.parametrize(
    ("code", "fault", "kind"),
    [
        ("InternalError", False, Unreachable),
        ("SomethingNew", False, Throttled),
        ("InvalidMessageContents", True, EngineError),
        ("RequestThrottled", True, Throttled),
    ],
)
def test_a_partly_failed_send_is_an_error(
    stubbed: tuple[SqsQueue, Stubber], code: str, fault: bool, kind: type[SafelightError]
) -> None:
    """If SQS takes only some messages of a batch, the sender is told which way to go on."""
    queue, stub = stubbed
    failed = {"Id": "1", "Code": code, "SenderFault": fault, "Message": "no"}
    sent = {"Id": "0", "MessageId": "m", "MD5OfMessageBody": "5"}
    stub.add_response("send_message_batch", {"Successful": [sent], "Failed": [failed]})

    with pytest.raises(kind, match="1 of 2 failed") as caught:
        queue.send(URL, triples(2))

    assert caught.value.retryable is (kind is not EngineError)


def test_a_partly_failed_delete_is_an_error(stubbed: tuple[SqsQueue, Stubber]) -> None:
    """A receipt that is no longer good means that the message will be seen again: Conflict."""
    queue, stub = stubbed
    failed = {"Id": "0", "Code": "ReceiptHandleIsInvalid", "SenderFault": True}
    stub.add_response("delete_message_batch", {"Successful": [], "Failed": [failed]})

    with pytest.raises(Conflict):
        queue.delete(URL, [Message(id="m", body="", receipt="r", receives=1)])


@pytest.mark.parametrize("code", ["InvalidParameterValue", "MessageNotInflight"])
def test_a_message_that_is_back_cannot_be_hidden(
    stubbed: tuple[SqsQueue, Stubber], code: str
) -> None:
    """Hiding a message whose time is over is a Conflict, however SQS calls it."""
    queue, stub = stubbed
    stub.add_client_error("change_message_visibility", code, http_status_code=400)

    with pytest.raises(Conflict):
        queue.hide(URL, Message(id="m", body="", receipt="r", receives=1), 10)


def test_requests_are_kept_in_range(stubbed: tuple[SqsQueue, Stubber]) -> None:
    """More messages or longer waits than SQS allows are cut to what it does."""
    queue, stub = stubbed
    stub.add_response(
        "receive_message",
        {},
        {
            "QueueUrl": URL,
            "MaxNumberOfMessages": 10,
            "WaitTimeSeconds": 20,
            "VisibilityTimeout": 60,
            "MessageSystemAttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        },
    )
    hidden = {"QueueUrl": URL, "ReceiptHandle": "r", "VisibilityTimeout": 43200}
    stub.add_response("change_message_visibility", {}, hidden)

    queue.receive(URL, limit=100, wait=3600, visibility=60)
    queue.hide(URL, Message(id="m", body="", receipt="r", receives=1), 10**6)

    stub.assert_no_pending_responses()
