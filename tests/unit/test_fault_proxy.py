"""What stands before the embedded AWS under faults: each fault does what its name says."""

from __future__ import annotations

import json
import random
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from tests.servers import serving
from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.s3 import S3ObjectStore
from worker.adapters.aws.sqs import SqsQueue
from worker.domain.errors import Throttled, Unreachable
from worker.local.emulator import client_environment, free_port
from worker.local.faults.plan import FaultKind, PlannedFault
from worker.local.faults.proxy import AwsRequest, FaultProxy, HttpAnswer

FIFO, STANDARD = "http://x/0/q.fifo", "http://x/0/q"


def request(service: str, operation: str, **value: object) -> AwsRequest:
    """A request of a service."""
    return AwsRequest(service=service, operation=operation, body=json.dumps(value).encode())


class Behind:
    """What the proxy stands before; counts what comes through."""

    def __init__(self, answer: object = None) -> None:
        """Answer everything with this."""
        self.count = 0
        self.answer = json.dumps(answer or {}).encode()

    def __call__(self) -> HttpAnswer:
        """One request."""
        self.count += 1
        return HttpAnswer(status=200, body=self.answer)


def proxy(kind: FaultKind, target: str = "*", **more: Any) -> FaultProxy:
    """A proxy with one fault that always strikes."""
    made = FaultProxy("http://127.0.0.1:9", seed=1, **more)
    made.begin(PlannedFault(at=0, kind=kind, target=target, seconds=9))
    return made


@pytest.mark.parametrize(
    ("kind", "through", "status"),
    [
        (FaultKind.THROTTLE, 0, {400, 503}),
        (FaultKind.ERROR_BEFORE, 0, {500}),
        (FaultKind.ERROR_AFTER, 1, {500, None}),
        (FaultKind.SLOW, 1, {200}),
    ],
)
@pytest.mark.parametrize("service", ["s3", "dynamodb", "sqs", "events"])
def test_a_write_is_done_or_not_as_the_fault_says(
    kind: FaultKind, through: int, status: set[int | None], service: str
) -> None:
    """Throttled and failed before: nothing is done. After: it is done, and nobody knows."""
    behind = Behind()
    operation = "PUT" if service == "s3" else "PutItem"

    answer = proxy(kind).handle(request(service, operation), behind)

    assert behind.count == through
    assert (None if answer is None else answer.status) in status


def test_an_answer_of_a_read_is_not_lost() -> None:
    """A read that fails afterwards is one that failed before: there is a fault for it."""
    behind = Behind()
    for one in (request("s3", "GET"), request("dynamodb", "GetItem"), request("sqs", "ListQueues")):
        found = proxy(FaultKind.ERROR_AFTER).handle(one, behind)
        assert found is not None
        assert found.status == 200
    assert behind.count == 3


def test_a_fault_strikes_its_service_alone_until_it_ends() -> None:
    """Others pass, and so do unsigned requests: no service is asked by those."""
    made = proxy(FaultKind.THROTTLE, "s3")
    struck = Counter(
        service for service in ("s3", "sqs", "") if made.struck(request(service, "GET"))
    )
    assert struck == {"s3": 1}
    assert made.hits == {"throttle s3": 1}

    made.end(PlannedFault(at=0, kind=FaultKind.THROTTLE, target="s3", seconds=9))
    assert made.struck(request("s3", "GET")) == ()


def test_messages_come_late_and_shuffled() -> None:
    """Of a standard queue some come later, in any order; of a FIFO queue all of an answer."""
    messages = [{"MessageId": str(number)} for number in range(10)]
    behind = Behind({"Messages": messages})
    received = request("sqs", "ReceiveMessage", QueueUrl=STANDARD)

    late = proxy(FaultKind.LATE, "sqs").handle(received, behind)
    assert late is not None
    assert (json.loads(late.body), behind.count) == ({}, 0)

    shuffling = FaultProxy("http://127.0.0.1:9", seed=1)
    shuffling.begin(PlannedFault(at=0, kind=FaultKind.SHUFFLE, target="sqs", share=0.5))
    answers = [shuffling.handle(received, behind) for _ in range(20)]
    found = [json.loads(one.body)["Messages"] for one in answers if one is not None]
    assert {0 < len(one) < 10 for one in found} >= {True}
    assert any(one != sorted(one, key=messages.index) for one in found)

    ordered = request("sqs", "ReceiveMessage", QueueUrl=FIFO)
    lost = proxy(FaultKind.SHUFFLE, "sqs").handle(ordered, behind)
    assert lost is not None
    assert json.loads(lost.body) == {"Messages": []}


def test_messages_come_twice() -> None:
    """A deletion in a standard queue is lost; what goes into a FIFO queue is sent again."""
    again: list[tuple[str, Sequence[Mapping[str, Any]], float]] = []
    made = proxy(FaultKind.TWICE, "sqs", send_again=lambda *one: again.append(one))
    behind = Behind()

    batch = request("sqs", "DeleteMessageBatch", QueueUrl=STANDARD, Entries=[{"Id": "a"}])
    found = made.handle(batch, behind)
    assert found is not None
    assert json.loads(found.body) == {"Successful": [{"Id": "a"}], "Failed": []}
    made.handle(request("sqs", "DeleteMessage", QueueUrl=STANDARD), behind)
    assert behind.count == 0

    made.handle(request("sqs", "DeleteMessage", QueueUrl=FIFO), behind)
    sent = [{"Id": "1", "MessageBody": "b"}]
    made.handle(request("sqs", "SendMessageBatch", QueueUrl=FIFO, Entries=sent), behind)
    made.handle(request("sqs", "SendMessage", QueueUrl=FIFO, MessageBody="c"), behind)
    assert behind.count == 3
    assert [one[:2] for one in again] == [
        (FIFO, sent),
        (FIFO, [{"QueueUrl": FIFO, "MessageBody": "c", "Id": "1"}]),
    ]


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was sent."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """One request."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Path", self.path)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def echo() -> Iterator[str]:
    """A server behind a proxy without faults; the proxy's address."""
    with serving(Echo) as target, FaultProxy(target, seed=1).serving() as endpoint:
        yield endpoint


def test_bytes_pass_unchanged(echo: str) -> None:
    """Any body, on one connection after the other, with headers and path."""
    for number in range(5):
        data = random.Random(number).randbytes(number * 50_000)
        with urllib.request.urlopen(f"{echo}/a%20b?c=d", data) as answer:
            assert answer.read() == data
            assert answer.headers["X-Path"] == "/a%20b?c=d"


def test_a_proxy_before_nothing_cuts_the_line() -> None:
    """As if the emulator were down: no answer, and no error of somebody else's."""
    dead = FaultProxy(f"http://127.0.0.1:{free_port()}", seed=1)
    with dead.serving() as endpoint, pytest.raises((urllib.error.URLError, ConnectionError)):
        urllib.request.urlopen(f"{endpoint}/", b"x")


@pytest.mark.parametrize(
    ("kind", "error"),
    [(FaultKind.THROTTLE, Throttled), (FaultKind.ERROR_BEFORE, Unreachable)],
)
def test_the_clients_take_the_answers_for_those_of_aws(
    kind: FaultKind, error: type[Exception]
) -> None:
    """botocore knows what is throttling and what is a failure of the service, of SQS and S3."""
    with proxy(kind).serving() as endpoint:
        clients = AwsClients(client_environment(endpoint), attempts=1)
        with pytest.raises(error):
            SqsQueue(clients).depth(STANDARD)
        with pytest.raises(error):
            S3ObjectStore(clients).get("bucket", "key")
        clients.close()
