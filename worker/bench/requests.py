"""How long the API takes to begin an upload, in the handler that Lambda runs.

The handler is called in this process with events as the HTTP API sends them, on the catalog of a
local stack: routing, rights, one write to the catalog, the signature, the answer. The way through
the network is not in it.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from worker.job_context import Stop
from worker.local.address import Address
from worker.local.api import SECRET
from worker.local.emulator import free_port
from worker.local.stack import API_HANDLER, Stack, StackOptions

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
    results: list[RequestTimes] = []
    stop = Stop()
    with tempfile.TemporaryDirectory(prefix="safelight-requests-") as folder:

        def ready(address: Address, _pids: object) -> None:
            try:
                say(f"{requests} requests")
                results.append(_measure(requests, address))
            finally:
                stop.request()

        options = StackOptions(data=Path(folder, "data"), port=free_port(), api_port=0)
        Stack(options, say=say).run(stop, ready)
    return results[0]


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
    """What an HTTP API sends (payload format 2.0) for a request whose token it has checked."""
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
