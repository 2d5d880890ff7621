"""Stands between the processes of a local stack and its embedded AWS, and lets faults happen.

It passes requests on, except those the dice are against: it throttles, answers with errors before
or after a request is done, takes its time, and delays, repeats and shuffles messages. What it does
is within what AWS documents of its services: standard queues deliver at least once and in any
order, messages of FIFO queues come again if an answer is lost, and any answer can be lost.
"""

from __future__ import annotations

import http.client
import json
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.message import Message
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from worker.local.faults.plan import WIRE, FaultKind, PlannedFault

_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}
_SERVICE = re.compile(r"Credential=[^/]+/[0-9]+/[^/]+/([a-z0-9]+)/aws4_request")
_READS = re.compile(r"(Get|BatchGet|Query|Scan|Describe|List|Receive|TransactGet|Validate)")
_SECONDS = 60.0
"""Longest wait for an answer of the emulator."""

SendAgain: TypeAlias = Callable[[str, Sequence[Mapping[str, Any]], float], object]
"""Sends entries of SendMessageBatch to a queue (URL) once more, after so many seconds, under other
deduplication ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsRequest:
    """What a request asks for."""

    service: str
    """``s3``, ``dynamodb``, ``sqs``, ``streams``, ``states``, ``events`` ...; empty if unsigned."""
    operation: str
    """Of services that speak JSON; of S3 the method."""
    body: bytes

    @property
    def writes(self) -> bool:
        """Whether it changes something."""
        if self.service == "s3":
            return self.operation not in ("GET", "HEAD")
        return _READS.match(self.operation) is None

    @property
    def value(self) -> dict[str, Any]:
        """The body, if it is JSON."""
        with suppress(ValueError):
            found = json.loads(self.body)
            if isinstance(found, dict):
                return found
        return {}

    @property
    def fifo(self) -> bool:
        """Whether it is about a FIFO queue."""
        return str(self.value.get("QueueUrl", "")).endswith(".fifo")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """A response."""

    status: int
    body: bytes
    headers: Sequence[tuple[str, str]] = ()


class FaultProxy:
    """Passes requests on, except those the dice are against.

    Args:
        target: endpoint of the emulator.
        seed: of the dice.
        send_again: how a message is doubled in a FIFO queue; without it none is.
    """

    def __init__(self, target: str, *, seed: int, send_again: SendAgain | None = None) -> None:
        self.address = urlsplit(target)
        self.hits: Counter[str] = Counter()
        """Requests that a fault has struck, by kind and service: ``throttle s3``."""
        self._send_again = send_again
        self._dice = random.Random(seed)
        self._lock = threading.Lock()
        self._faults: list[PlannedFault] = []

    def begin(self, fault: PlannedFault) -> None:
        """Let it happen from now on."""
        assert fault.kind in WIRE
        with self._lock:
            self._faults.append(fault)

    def end(self, fault: PlannedFault) -> None:
        """Let it happen no more."""
        with self._lock, suppress(ValueError):
            self._faults.remove(fault)

    @contextmanager
    def serving(self, port: int = 0) -> Iterator[str]:
        """Serve on a port of loopback; the endpoint to use instead of the emulator's."""
        server = _Server(("127.0.0.1", port), partial(_Handler, self))
        thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    # --- requests ---------------------------------------------------------------------------

    def struck(self, request: AwsRequest) -> tuple[PlannedFault, ...]:
        """The faults that strike a request, as the dice fall."""
        with self._lock:
            found = tuple(
                fault
                for fault in self._faults
                if _concerns(fault, request) and self._dice.random() < fault.share
            )
            for fault in found:
                self.hits[f"{fault.kind.value} {request.service}"] += 1
        return found

    def handle(self, request: AwsRequest, forward: Callable[[], HttpAnswer]) -> HttpAnswer | None:
        """The answer; None if the line is to be cut without one.

        Raises:
            OSError, HTTPException: the emulator does not answer.
        """
        faults = {fault.kind: fault for fault in self.struck(request)}
        if FaultKind.SLOW in faults:
            time.sleep(max(0.0, faults[FaultKind.SLOW].amount))
        if FaultKind.THROTTLE in faults:
            return refusal(request.service)
        if FaultKind.ERROR_BEFORE in faults:
            return failure(request.service)
        if FaultKind.LATE in faults:
            time.sleep(0.5)  # whoever polls would ask again at once
            return _json({})
        if FaultKind.TWICE in faults and request.operation.startswith("Delete"):
            return _deleted(request)
        answer = forward()
        if FaultKind.ERROR_AFTER in faults:
            return failure(request.service) if self._toss() else None
        if FaultKind.TWICE in faults and answer.status == 200:
            self._double(request, faults[FaultKind.TWICE])
        if FaultKind.SHUFFLE in faults and answer.status == 200:
            return self._shuffled(request, answer, faults[FaultKind.SHUFFLE].share)
        return answer

    def _toss(self) -> bool:
        with self._lock:
            return self._dice.random() < 0.5

    def _double(self, request: AwsRequest, fault: PlannedFault) -> None:
        if self._send_again is not None:
            value = request.value
            entries = value.get("Entries") or [{**value, "Id": "1"}]
            self._send_again(str(value["QueueUrl"]), entries, fault.amount)

    def _shuffled(self, request: AwsRequest, answer: HttpAnswer, share: float) -> HttpAnswer:
        with suppress(ValueError):
            value = json.loads(answer.body)
            messages = list(value.get("Messages") or ())
            with self._lock:
                if request.fifo:
                    # Its order holds: all of the answer is lost, and comes again in order.
                    messages = []
                else:
                    self._dice.shuffle(messages)
                    messages = [one for one in messages if self._dice.random() >= share]
            return _json({**value, "Messages": messages})
        return answer


def _concerns(fault: PlannedFault, request: AwsRequest) -> bool:
    if not request.service or fault.target not in ("*", request.service):
        return False
    match fault.kind:
        case FaultKind.ERROR_AFTER:
            return request.writes
        case FaultKind.LATE | FaultKind.SHUFFLE:
            return request.operation == "ReceiveMessage"
        case FaultKind.TWICE:
            # A FIFO queue keeps no message that was deleted; a duplicate is sent there.
            wanted = ("SendMessage",) if request.fifo else ("DeleteMessage",)
            return request.operation.startswith(wanted)
        case _:
            return True


def _json(value: object, status: int = 200) -> HttpAnswer:
    headers = [("Content-Type", "application/x-amz-json-1.0")]
    return HttpAnswer(status=status, body=json.dumps(value).encode(), headers=headers)


def _xml(code: str, status: int) -> HttpAnswer:
    body = f"<Error><Code>{code}</Code><Message>A fault on purpose.</Message></Error>"
    headers = [("Content-Type", "application/xml")]
    return HttpAnswer(status=status, body=body.encode(), headers=headers)


_THROTTLED: Mapping[str, str] = {
    "dynamodb": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
    "sqs": "com.amazonaws.sqs#RequestThrottled",
}


def refusal(service: str) -> HttpAnswer:
    """How a service says that there are too many requests."""
    if service == "s3":
        return _xml("SlowDown", 503)
    code = _THROTTLED.get(service, "ThrottlingException")
    return _json({"__type": code, "message": "Rate exceeded, by a fault on purpose"}, 400)


def failure(service: str) -> HttpAnswer:
    """How a service says that it has failed."""
    if service == "s3":
        return _xml("InternalError", 500)
    return _json({"__type": "InternalServerError", "message": "A fault on purpose"}, 500)


def _deleted(request: AwsRequest) -> HttpAnswer:
    """As if messages were deleted. SQS says that a copy may stay where a server was not there."""
    entries = request.value.get("Entries")
    if entries is None:
        return _json({})
    return _json({"Successful": [{"Id": one["Id"]} for one in entries], "Failed": []})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def __init__(self, proxy: FaultProxy, *request: Any) -> None:
        self._proxy = proxy
        self._line: http.client.HTTPConnection | None = None
        super().__init__(*request)  # which answers the requests

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True  # the client was killed

    def finish(self) -> None:
        if self._line is not None:
            self._line.close()
        with suppress(ConnectionError):
            super().finish()

    def serve(self) -> None:
        body = self._body()
        service, operation = _named(self.command, self.headers)
        request = AwsRequest(service=service, operation=operation, body=body)
        try:
            answer = self._proxy.handle(request, partial(self._forward, body))
        except (OSError, http.client.HTTPException):
            answer = None  # the emulator is down: so is the line
        if answer is None:
            self.close_connection = True
            return
        self._answer(answer)

    # The names are http.server's.
    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_OPTIONS = serve  # noqa: N815

    def _forward(self, body: bytes) -> HttpAnswer:
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP}
        headers.pop("Expect", None)
        known = self._line
        if known is not None:
            try:
                return self._ask(known, headers, body)
            except http.client.RemoteDisconnected:
                pass  # it was idle for too long: nothing was done
        host, port = str(self._proxy.address.hostname), self._proxy.address.port
        self._line = http.client.HTTPConnection(host, port, timeout=_SECONDS)
        return self._ask(self._line, headers, body)

    def _ask(
        self, line: http.client.HTTPConnection, headers: Mapping[str, str], body: bytes
    ) -> HttpAnswer:
        try:
            line.request(self.command, self.path, body=body, headers=dict(headers))
            response = line.getresponse()
            return HttpAnswer(
                status=response.status, body=response.read(), headers=response.getheaders()
            )
        except BaseException:
            line.close()
            self._line = None
            raise

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, answer: HttpAnswer) -> None:
        self.send_response_only(answer.status)
        length = str(len(answer.body))
        for name, value in answer.headers:
            if self.command == "HEAD" and name.lower() == "content-length":
                length = value
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, *args: object) -> None:
        """Quiet."""


def _named(method: str, headers: Message) -> tuple[str, str]:
    """Service and operation of a request."""
    target = headers.get("X-Amz-Target", "")
    if target.startswith("DynamoDBStreams_"):
        return "streams", target.rpartition(".")[2]
    signed = _SERVICE.search(headers.get("Authorization", ""))
    service = signed[1] if signed else ""
    return service, target.rpartition(".")[2] or method
