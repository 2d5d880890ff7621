"""The local stack's stand-in for Lambda's SQS event source, and its pipe and event sink."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.unit.fakes import Fuse, MemoryEvents
from tests.unit.memory_queue import MemoryQueue
from worker.domain.errors import Conflict, Unreachable
from worker.domain.events import Event, cloud_event
from worker.job_context import Stop
from worker.local import services
from worker.local.event_source import (
    EventSource,
    EventSourceMapping,
    FunctionConfig,
    Handler,
    Lease,
    failed_ids,
    lambda_event,
)
from worker.ports import Message
from worker.services import ordering

URL = "http://here/000000000000/work.fifo"
FUNCTION = FunctionConfig(name="ingest", timeout=30, memory=1769)


def source(queue: MemoryQueue, handler: Handler, **more: Any) -> EventSource:
    """An event source on a queue whose handler may run as long as it likes."""
    return EventSource(
        queue,
        handler,
        EventSourceMapping(queue_url=URL, function=FUNCTION, **more),
        end_process=lambda: None,
    )


def filled(*bodies: str, fuse: Fuse | None = None) -> MemoryQueue:
    """A FIFO queue with one message a group."""
    queue = MemoryQueue(fuse)
    queue.send(URL, [(body, f"g-{body}", f"d-{body}") for body in bodies])
    return queue


# --- the event --------------------------------------------------------------------------------


def test_the_event_has_lambdas_form() -> None:
    """Attributes of SQS and of the sender stand where Lambda puts them."""
    message = Message(
        id="m1",
        body="ü",
        receipt="r1",
        receives=3,
        sent_at="2026-01-02T03:04:05.678Z",
        group="g",
        attributes={"SequenceNumber": "18", "MessageDeduplicationId": "d", "colour": "blue"},
    )

    (record,) = lambda_event([message], URL)["Records"]

    assert record == {
        "messageId": "m1",
        "receiptHandle": "r1",
        "body": "ü",
        "attributes": {
            "ApproximateReceiveCount": "3",
            "SentTimestamp": "1767323045678",
            "SequenceNumber": "18",
            "MessageDeduplicationId": "d",
            "MessageGroupId": "g",
        },
        "messageAttributes": {"colour": {"stringValue": "blue", "dataType": "String"}},
        "md5OfBody": "c03410a5204b21cd8229ff754688d743",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-central-1:000000000000:work.fifo",
        "awsRegion": "eu-central-1",
    }


@pytest.mark.parametrize(
    ("response", "kept"),
    [
        (None, ()),
        ({}, ()),
        ({"batchItemFailures": []}, ()),
        ({"batchItemFailures": [{"itemIdentifier": "b"}]}, ("b",)),
        ({"batchItemFailures": [{"itemIdentifier": ""}]}, ("a", "b")),
        ({"batchItemFailures": [{"itemIdentifier": None}]}, ("a", "b")),
        ({"batchItemFailures": [{"itemIdentifier": "c"}]}, ("a", "b")),
        ({"batchItemFailures": [{}]}, ("a", "b")),
        ({"batchItemFailures": ["b"]}, ("a", "b")),
        ("done", ("a", "b")),
    ],
)
def test_an_answer_is_read_as_lambda_reads_it(response: object, kept: tuple[str, ...]) -> None:
    """No answer is success; an answer that names what was not there fails the whole batch."""
    assert failed_ids(response, ["a", "b"]) == set(kept)


# --- one batch --------------------------------------------------------------------------------


def test_what_succeeded_is_deleted_and_the_rest_stays() -> None:
    """Of three messages the response names one: it alone is still there."""
    queue = filled("a", "b", "c")

    def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
        assert 0 < context.get_remaining_time_in_millis() <= 30_000
        assert context.invoked_function_arn.endswith(":function:ingest")
        return {
            "batchItemFailures": [
                {"itemIdentifier": record["messageId"]}
                for record in event["Records"]
                if record["body"] == "b"
            ]
        }

    assert source(queue, handler).once() == 3
    assert queue.bodies(URL) == ["b"]


def test_an_invocation_that_raises_deletes_nothing() -> None:
    """As on Lambda: the messages come back when they are hidden no longer."""
    queue = filled("a", "b")

    def handler(_event: object, _context: object) -> None:
        raise ValueError("a defect")

    assert source(queue, handler).once() == 2
    assert queue.bodies(URL) == ["a", "b"]


def test_nothing_waiting_is_no_invocation() -> None:
    """An empty queue does not start the handler."""

    def handler(_event: object, _context: object) -> None:
        raise AssertionError

    assert source(MemoryQueue(), handler).once() == 0


def test_a_batch_holds_no_more_than_it_may() -> None:
    """With a batch size of two, three messages are two batches."""
    queue = filled("a", "b", "c")
    sizes: list[int] = []

    def handler(event: Mapping[str, Any], _context: object) -> None:
        sizes.append(len(event["Records"]))

    assert [source(queue, handler, batch_size=2).once() for _ in range(3)] == [2, 1, 0]
    assert sizes == [2, 1]


def test_a_window_collects_beyond_one_receive() -> None:
    """A batch of 15 takes two receives; the window ends the wait for more."""
    queue = filled(*(f"{number:02}" for number in range(17)))
    sizes: list[int] = []

    def handler(event: Mapping[str, Any], _context: object) -> None:
        sizes.append(len(event["Records"]))

    assert source(queue, handler, batch_size=15, window=60).once() == 15
    assert sizes == [15]


def test_a_delete_that_comes_too_late_is_no_failure() -> None:
    """The message is delivered again, and the handler is made for that."""
    queue = filled("a")
    queue.fuse.burns_at, queue.fuse.error = 3, lambda: Conflict("hidden no longer")

    assert source(queue, lambda _event, _context: None).once() == 1


def test_a_run_outlives_a_queue_that_does_not_answer() -> None:
    """Unreachable at first, then there: the batch is handled and the run ends when asked to."""
    queue, stop = filled("a"), Stop()
    queue.fuse.burns_at, queue.fuse.error = 2, lambda: Unreachable("not now")

    def handler(_event: object, _context: object) -> None:
        stop.request()

    source(queue, handler).run(stop)

    assert queue.bodies(URL) == []
    stop.close()


def test_a_stop_while_the_handler_runs_finishes_its_batch() -> None:
    """Messages of the running batch are deleted; the other messages stay in the queue."""
    queue, stop = filled("a", "b"), Stop()

    def handler(_event: object, _context: object) -> None:
        stop.request()

    source(queue, handler, batch_size=1).run(stop)

    assert queue.bodies(URL) == ["b"]
    stop.close()


# --- the lease --------------------------------------------------------------------------------


class Renewing(MemoryQueue):
    """Tells when a lease was renewed so many times."""

    def __init__(self, times: int, error: Callable[[], Exception] | None = None) -> None:
        """Start empty."""
        super().__init__()
        self.enough = threading.Event()
        self._times, self._error = times, error

    def hide(self, queue: str, message: Message, seconds: int) -> None:
        """Count; fail if asked to."""
        super().hide(queue, message, seconds)
        if len(self.hidden) >= self._times:
            self.enough.set()
        if self._error is not None:
            raise self._error()


def message(name: str) -> Message:
    """A message that was received."""
    return Message(id=name, body="", receipt=name, receives=1)


def short(queue: MemoryQueue, *, limit: float = 60, expire: Callable[[], None]) -> Lease:
    """A lease that is renewed without pause."""
    return Lease(queue, URL, seconds=0, limit=limit, expire=expire)


@pytest.mark.parametrize(
    "error", [None, lambda: Conflict("put back already"), lambda: Unreachable("not now")]
)
def test_a_lease_is_renewed_while_the_handler_runs(error: Callable[[], Exception] | None) -> None:
    """Every message of the batch, again and again, whatever a renewal meets."""
    queue = Renewing(6, error)

    with short(queue, expire=lambda: None) as lease:
        lease.hold([message("a"), message("b")])
        assert queue.enough.wait(60)

    assert {name for name, _ in queue.hidden} == {"a", "b"}


def test_what_takes_too_long_is_ended() -> None:
    """A handler beyond the function's timeout: the process is told to end, once."""
    ended = threading.Event()

    with short(MemoryQueue(), limit=0, expire=ended.set) as lease:
        lease.hold([message("a")])
        assert ended.wait(60)


def test_a_lease_without_messages_costs_nothing() -> None:
    """An empty poll starts no thread."""
    before = set(threading.enumerate())

    with short(MemoryQueue(), expire=lambda: None):
        assert not set(threading.enumerate()) - before


# --- the pipe ---------------------------------------------------------------------------------

NOTIFICATION = {
    "Records": [
        {
            "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": "b"}, "object": {"key": "a+b", "sequencer": "0A"}},
        }
    ]
}


def carried(queue: MemoryQueue) -> int:
    """Let the pipe carry one batch."""
    return services.move(queue.receive("uploads"), queue, source="uploads", target=URL)


def test_the_pipe_names_groups_as_on_aws() -> None:
    """Group, deduplication id and body are what the enrichment function says."""
    queue = MemoryQueue()
    queue.send("uploads", [(json.dumps(NOTIFICATION), "", ""), ("no JSON", "", "")])
    queue.sent.clear()

    assert carried(queue) == 2

    expected = ordering.handler([{"body": json.dumps(NOTIFICATION)}, {"body": "no JSON"}])
    assert [(group, dedup) for *_, group, dedup in queue.sent] == [
        (answer["group"], answer["deduplication"]) for answer in expected
    ]
    assert [json.loads(queue.sent[0][1]), queue.sent[1][1]] == [NOTIFICATION, "no JSON"]
    assert queue.bodies("uploads") == []


def test_test_events_end_at_the_pipe() -> None:
    """S3's test message is taken and not sent on."""
    queue = MemoryQueue()
    queue.send("uploads", [(json.dumps({"Event": "s3:TestEvent"}), "", "")])

    assert carried(queue) == 0
    assert (queue.bodies("uploads"), queue.bodies(URL)) == ([], [])


def test_what_cannot_be_sent_stays() -> None:
    """At least once: deleted only after it was sent."""
    queue = MemoryQueue()
    queue.send("uploads", [(json.dumps(NOTIFICATION), "", "")])
    queue.fuse.burns_at, queue.fuse.error = 3, lambda: Unreachable("not now")

    with pytest.raises(Unreachable):
        carried(queue)

    assert len(queue.bodies("uploads")) == 1


def test_what_is_sent_twice_arrives_once() -> None:
    """Sent but not deleted, the FIFO queue knows it by its deduplication id."""
    queue = MemoryQueue()
    queue.send("uploads", [(json.dumps(NOTIFICATION), "", "")])
    queue.fuse.burns_at, queue.fuse.error = 4, lambda: Conflict("hidden no longer")
    carried(queue)
    queue.waiting["uploads"][0].hidden = False

    carried(queue)

    assert (len(queue.bodies("uploads")), len(queue.bodies(URL))) == (0, 1)


# --- the event sink ---------------------------------------------------------------------------


def test_events_of_the_bus_reach_the_file() -> None:
    """Messages of the rule become the published events; other messages are dropped."""
    event = Event(id="i", type="asset.accepted", asset="a", time="t", detail={"key": "k"})
    envelope = {"detail-type": event.type, "source": "safelight", "detail": cloud_event(event)}
    queue, sink, stop = MemoryQueue(), MemoryEvents(), Stop()
    for body in ("no JSON", "[]", json.dumps({"detail-type": "x"}), json.dumps(envelope)):
        queue.send("events", [(body, "", "")])

    class Once(MemoryQueue):
        def delete(self, name: str, messages: Any) -> None:
            super().delete(name, messages)
            stop.request()

    last = Once()
    last.waiting = queue.waiting
    services.log_events(last, sink, url="events", stop=stop)

    assert sink.published == [event]
    assert last.bodies("events") == []
    stop.close()
