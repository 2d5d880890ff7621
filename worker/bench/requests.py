"""Measures the overhead of the API for an upload: in the Lambda handler, and for the rate of many
uploads at once.

The handler is called in this process with events as the HTTP API sends them, on the catalog of a
local stack: routing, rights, one write to the catalog, the signature, the answer. The way through
the network is not in it.

Many at once: clients upload a file each, at the same time, in turns by tickets of the API of the
stack and straight into its bucket. Both send the same requests with the bytes; the plain ones have
been signed before. Ingest stands still meanwhile.
"""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any
from urllib.parse import urlsplit

from worker.local.address import Address
from worker.local.api import SECRET
from worker.local.stack import API_HANDLER, on_new_stack
from worker.local.throughput import held_back
from worker.ports import UploadTicket

WARM_UP = 20
"""Requests before the first that counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTimes:
    """Of requests."""

    seconds: Sequence[float]
    """Wall time, the shortest first."""
    cpu_seconds: float
    """Processor time of this process, the mean: says more where the machine is busy."""

    def percentile(self, share: float) -> float:
        """Seconds that so large a share of the requests took at most."""
        return self.seconds[min(len(self.seconds) - 1, int(share * len(self.seconds)))]


def measure(requests: int, *, say: Callable[[str], None]) -> RequestTimes:
    """Begin so many uploads, one after the other.

    Raises:
        EmulatorError: the stack does not start.
    """

    def work(address: Address, _pids: object) -> RequestTimes:
        say(f"{requests} requests")
        return _measure(requests, address)

    return on_new_stack(work, say=say)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelUploads:
    """Of uploads at the same time."""

    plain_seconds: float
    """Straight into the bucket, all rounds together."""
    api_seconds: float
    """By tickets of the API."""
    uploads: int
    """Of either kind, all rounds together."""

    @property
    def ratio(self) -> float:
        """The rate through the API, as a share of the plain one."""
        return self.plain_seconds / self.api_seconds


def measure_parallel(
    clients: int, *, size: int, rounds: int, say: Callable[[str], None]
) -> ParallelUploads:
    """Let so many clients upload a file of ``size`` bytes each, in turns with and without the API.

    Raises:
        EmulatorError: the stack does not start.
    """

    def work(address: Address, pids: Mapping[str, int]) -> ParallelUploads:
        say(f"{rounds} rounds of {clients} uploads at once")
        with held_back(pids["services"]):
            return _parallel(clients, size, rounds, address)

    return on_new_stack(work, say=say)


def _parallel(clients: int, size: int, rounds: int, address: Address) -> ParallelUploads:
    from worker.adapters.aws.clients import AwsClients
    from worker.adapters.aws.uploads import S3UploadStore

    signer = S3UploadStore(AwsClients(address.environment))
    bucket = address.environment["SAFELIGHT_INTAKE_BUCKET"]
    data = os.urandom(size)
    conditions: dict[str, Any] = {
        "size": size,
        "media_type": "image/jpeg",
        "metadata": {"owner": "operator"},
        "sha256": "",
        "seconds": 3600,
    }

    def signed(name: str) -> UploadTicket:
        return signer.put(bucket, f"bench/{name}.jpg", **conditions)

    seconds = {"plain": 0.0, "api": 0.0}
    _together(2, lambda _: _by_api(address, data))  # both processes have everything loaded
    for number in range(rounds):
        tickets = [signed(f"{number}-{client}") for client in range(clients)]
        seconds["plain"] += _together(
            clients,
            lambda client, made=tickets: _send(made[client], data),  # type: ignore[misc]
        )
        seconds["api"] += _together(clients, lambda _: _by_api(address, data))
    return ParallelUploads(
        plain_seconds=seconds["plain"], api_seconds=seconds["api"], uploads=clients * rounds
    )


def _together(clients: int, upload: Callable[[int], None]) -> float:
    """Seconds until the last call is done; all begin at the same moment."""
    start = threading.Barrier(clients + 1)

    def run(client: int) -> None:
        start.wait()
        upload(client)

    with ThreadPoolExecutor(clients) as pool:
        ends = [pool.submit(run, client) for client in range(clients)]
        start.wait()
        began = time.perf_counter()
        for end in ends:
            end.result()
        return time.perf_counter() - began


def _by_api(address: Address, data: bytes) -> None:
    wanted = {"name": "photo.jpg", "size": len(data), "type": "image/jpeg", "method": "put"}
    headers = {"authorization": f"Bearer {address.token}", "content-type": "application/json"}
    answer = _request("POST", f"{address.api}/uploads", json.dumps(wanted).encode(), headers)
    ticket = json.loads(answer)["ticket"]
    _send(UploadTicket(method="PUT", url=ticket["url"], headers=ticket["headers"]), data)


def _send(ticket: UploadTicket, data: bytes) -> None:
    _request(ticket.method, ticket.url, data, ticket.headers)


def _request(method: str, address: str, data: bytes, headers: Mapping[str, str]) -> bytes:
    url = urlsplit(address)
    connection = http.client.HTTPConnection(url.netloc, timeout=120)
    try:
        target = url._replace(scheme="", netloc="").geturl()
        connection.request(method, target, data, dict(headers))
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status not in {200, 201}:
        raise RuntimeError(f"{address} answered {answer.status}: {body[:500]!r}")
    return body


def _measure(requests: int, address: Address) -> RequestTimes:
    # Without the secret the handler goes by what the gateway says, as on AWS.
    given = {name: text for name, text in address.environment.items() if name != SECRET}
    before = dict(os.environ)
    os.environ.update(given)
    try:
        handler = resolve_name(API_HANDLER)
        for _ in range(WARM_UP):
            _timed(handler)
        began = time.process_time()
        seconds = [_timed(handler) for _ in range(requests)]
        spent = time.process_time() - began
    finally:
        os.environ.clear()
        os.environ.update(before)
    return RequestTimes(seconds=sorted(seconds), cpu_seconds=spent / requests)


def _timed(handler: Callable[[Any, Any], Any]) -> float:
    began = time.perf_counter()
    answer = handler(request_event(), None)
    seconds = time.perf_counter() - began
    if answer["statusCode"] != 201:
        raise RuntimeError(f"the handler answered {answer['statusCode']}: {answer['body'][:500]}")
    return seconds


def request_event() -> dict[str, Any]:
    """An event of an HTTP API (payload format 2.0) for a request with a verified token."""
    claims = {"sub": "bench", "scope": "safelight:write"}
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/uploads",
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "host": "api.example.com"},
        "requestContext": {
            "authorizer": {"jwt": {"claims": claims, "scopes": None}},
            "domainName": "api.example.com",
            "http": {
                "method": "POST",
                "path": "/uploads",
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "bench",
            },
            "requestId": "bench",
            "routeKey": "$default",
            "stage": "$default",
        },
        "body": json.dumps({"name": "photo.jpg", "size": 1_000_000, "type": "image/jpeg"}),
        "isBase64Encoded": False,
    }
