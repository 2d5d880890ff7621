"""Lambda's SQS event source, as a process: it polls, invokes the handler and deletes messages.

The handler is named and imported as Lambda imports it; one invocation at a time, so N processes
are N instances of the function. Like Lambda: the event has Lambda's form, a batch is collected
for a window, what the response does not name in ``batchItemFailures`` is deleted, an invocation
that raises or answers nonsense deletes nothing, one that takes longer than the function's timeout
is ended with its process. Unlike Lambda: messages are hidden for a short lease that is renewed
while the handler runs, so that what a killed worker held comes back in seconds, not after six
function timeouts.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Self

from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.sqs import SqsQueue
from worker.domain.errors import Conflict, SafelightError
from worker.imaging.malloc import release_memory
from worker.job_context import Stop
from worker.local.child import log, repeat, working
from worker.ports import Message, Queue

POLL_SECONDS = 1
"""Length of a poll. The stop of the stack waits for it, so it is short."""
MESSAGES = 10
"""Most that one receive brings."""
GRACE_SECONDS = 1.0
"""A handler may be this late before its process is ended."""
_SYSTEM = (
    "AWSTraceHeader",
    "ApproximateFirstReceiveTimestamp",
    "DeadLetterQueueSourceArn",
    "MessageDeduplicationId",
    "SenderId",
    "SequenceNumber",
)
"""Attributes of SQS itself, beside those the port has fields for."""

Handler = Callable[[dict[str, Any], Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionConfig:
    """The deployed function, as its context object describes it."""

    name: str
    timeout: float
    """Seconds."""
    memory: int
    """Megabytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The context object of one invocation (AWS Lambda Developer Guide, "Python context")."""

    function_name: str
    memory_limit_in_mb: int
    deadline: float
    """On the monotonic clock."""
    function_version: str = "$LATEST"
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def invoked_function_arn(self) -> str:
        """As on AWS, in the local stack's account."""
        region = os.environ.get("AWS_REGION", "eu-central-1")
        return f"arn:aws:lambda:{region}:000000000000:function:{self.function_name}"

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the invocation is ended."""
        return max(0, int((self.deadline - time.monotonic()) * 1000))


def lambda_event(messages: Sequence[Message], queue_url: str) -> dict[str, Any]:
    """The event that Lambda makes of messages (the same guide, "Using Lambda with Amazon SQS")."""
    region = os.environ.get("AWS_REGION", "eu-central-1")
    name = queue_url.rstrip("/").rpartition("/")[2]
    arn = f"arn:aws:sqs:{region}:000000000000:{name}"
    return {"Records": [_record(message, arn, region) for message in messages]}


def _record(message: Message, arn: str, region: str) -> dict[str, Any]:
    attributes = {
        "ApproximateReceiveCount": str(message.receives),
        "SentTimestamp": _milliseconds(message.sent_at),
        **{name: message.attributes[name] for name in _SYSTEM if name in message.attributes},
    }
    if message.group is not None:
        attributes["MessageGroupId"] = message.group
    own = {name: text for name, text in message.attributes.items() if name not in _SYSTEM}
    return {
        "messageId": message.id,
        "receiptHandle": message.receipt,
        "body": message.body,
        "attributes": attributes,
        "messageAttributes": {
            name: {"stringValue": text, "dataType": "String"} for name, text in own.items()
        },
        "md5OfBody": hashlib.md5(message.body.encode(), usedforsecurity=False).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": region,
    }


def _milliseconds(iso: str) -> str:
    return str(int(datetime.fromisoformat(iso).timestamp() * 1000)) if iso else "0"


def failed_ids(response: object, ids: Sequence[str]) -> frozenset[str]:
    """The messages to keep, from what the handler answered.

    An answer of another form, or one that names a message that was not in the batch, fails the
    whole batch, as on Lambda; no answer and an empty one fail nothing.
    """
    if response is None:
        return frozenset()
    if not isinstance(response, Mapping):
        return frozenset(ids)
    items = response.get("batchItemFailures") or []
    named = [item.get("itemIdentifier") if isinstance(item, Mapping) else None for item in items]
    if not set(named) <= set(ids):
        return frozenset(ids)
    return frozenset(name for name in named if isinstance(name, str))


class Lease:
    """Keeps messages hidden while they are worked on, and ends what takes too long.

    Args:
        seconds: messages are hidden for so long at a time, renewed at a third of it.
        expire: called once if the block is still running after ``limit`` seconds.
    """

    def __init__(
        self,
        queue: Queue,
        url: str,
        *,
        seconds: int,
        limit: float,
        expire: Callable[[], None],
    ) -> None:
        self._queue, self._url = queue, url
        self._seconds, self._limit, self._expire = seconds, limit, expire
        self._held: Sequence[Message] = ()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def hold(self, messages: Sequence[Message]) -> None:
        """From now on these as well."""
        self._held = (*self._held, *messages)
        if not self._thread.ident:
            self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread.ident:
            self._thread.join()

    def _renew(self) -> None:
        ends = time.monotonic() + self._limit
        while not self._over.wait(min(self._seconds / 3, max(0.0, ends - time.monotonic()))):
            if time.monotonic() >= ends:
                self._expire()
                return
            for message in self._held:
                try:
                    self._queue.hide(self._url, message, self._seconds)
                except Conflict:
                    pass  # the handler has put it back already
                except SafelightError as error:
                    log(f"lease not renewed: {error.code}: {error.message}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSourceMapping:
    """An event source mapping."""

    queue_url: str
    function: FunctionConfig
    batch_size: int = 10
    window: float = 0.0
    """Seconds to wait for a full batch after its first message."""
    lease: int = 10
    """Seconds."""


class EventSource:
    """Polls a queue and invokes a handler, one batch after the other.

    Args:
        end_process: called for an invocation that does not end in time.
    """

    def __init__(
        self,
        queue: Queue,
        handler: Handler,
        source: EventSourceMapping,
        *,
        end_process: Callable[[], None] | None = None,
    ) -> None:
        self._queue, self._handler, self._source = queue, handler, source
        self._end_process = end_process or self._die

    def run(self, stop: Stop) -> None:
        """Work until asked to stop; a batch that was begun is finished."""
        held = False

        def once() -> None:
            nonlocal held
            size = self.once()
            if held and not size:
                release_memory()  # idle: the buffers of the last pictures have no further use
            held = size > 0

        repeat(once, stop)

    def once(self) -> int:
        """Take at most one batch; returns its size.

        Raises:
            SafelightError: the queue does not answer.
        """
        source = self._source
        lease = Lease(
            self._queue,
            source.queue_url,
            seconds=source.lease,
            limit=source.window + source.function.timeout + GRACE_SECONDS,
            expire=self._end_process,
        )
        with lease:
            messages = self._collect(lease)
            if not messages:
                return 0
            kept = self._invoke(messages)
        done = [message for message in messages if message.id not in kept]
        if done:
            try:
                self._queue.delete(source.queue_url, done)
            except Conflict as error:
                log(f"done, but delivered again: {error.message}")
        return len(messages)

    def _collect(self, lease: Lease) -> Sequence[Message]:
        source = self._source
        batch: list[Message] = []
        until: float | None = None
        while len(batch) < source.batch_size:
            received = self._queue.receive(
                source.queue_url,
                limit=min(MESSAGES, source.batch_size - len(batch)),
                wait=POLL_SECONDS,
                visibility=source.lease,
            )
            if received:
                lease.hold(received)
                batch += received
                until = until if until is not None else time.monotonic() + source.window
            if until is None or time.monotonic() >= until:
                break
        return batch

    def _invoke(self, messages: Sequence[Message]) -> frozenset[str]:
        ids = [message.id for message in messages]
        context = _context(self._source.function)
        try:
            response = self._handler(lambda_event(messages, self._source.queue_url), context)
        except Exception as error:  # noqa: BLE001 - as Lambda: a failed invocation is not ours
            log(f"the invocation failed: {type(error).__name__}: {error}")
            return frozenset(ids)
        return failed_ids(response, ids)

    def _die(self) -> None:
        log(f"the function ran longer than its {self._source.function.timeout:g} s and is ended")
        os._exit(1)


def run_worker(handler_name: str, mapping: EventSourceMapping, ready: Path) -> None:
    """Work as one instance of the function until a signal asks to stop.

    Args:
        handler_name: ``module:name``
        mapping: the source of its events.
        ready: written once it works.
    """
    handler: Handler = resolve_name(handler_name)
    # An empty batch wires the services: a mistake in the settings shows now, not at an upload.
    handler({"Records": []}, _context(mapping.function))
    with working(ready) as stop:
        EventSource(SqsQueue(AwsClients()), handler, mapping).run(stop)


def _context(function: FunctionConfig) -> Context:
    return Context(
        function_name=function.name,
        memory_limit_in_mb=function.memory,
        deadline=time.monotonic() + function.timeout,
    )
