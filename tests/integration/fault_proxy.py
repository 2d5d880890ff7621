"""A proxy in front of the embedded AWS that throttles some requests, as AWS does under load."""

from __future__ import annotations

import http.client
import json
import random
import threading
from collections import Counter
from contextlib import AbstractContextManager, closing
from functools import partial
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from tests.servers import serving

_DYNAMODB = json.dumps(
    {
        "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
        "message": "The level of configured provisioned throughput was exceeded",
    }
).encode()
_S3 = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"""
_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}


class FaultProxy:
    """Passes requests on, except those the dice are against."""

    def __init__(self, target: str, *, probability: float, seed: int) -> None:
        """Prepare.

        Args:
            target: endpoint of the emulator.
            probability: share of DynamoDB and S3 requests that are throttled.
            seed: of the dice.
        """
        self.address = urlsplit(target)
        self.probability = probability
        self.throttled: Counter[str] = Counter()
        self._dice = random.Random(seed)
        self._lock = threading.Lock()

    def unlucky(self, service: str) -> bool:
        """Throw the dice for one request."""
        with self._lock:
            throttle = service != "other" and self._dice.random() < self.probability
            self.throttled[service] += throttle
            return throttle

    def serving(self) -> AbstractContextManager[str]:
        """Serve on a free port; the endpoint to use instead of the emulator's."""
        return serving(partial(_Handler, self))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, proxy: FaultProxy, *request: Any) -> None:
        self._proxy = proxy
        super().__init__(*request)  # which answers the request

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True  # the client was killed

    def serve(self) -> None:
        body = self._body()
        service = self._service()
        if self._proxy.unlucky(service):
            status, fault = (400, _DYNAMODB) if service == "dynamodb" else (503, _S3)
            self._answer(status, [], fault)
            return
        host, port = str(self._proxy.address.hostname), self._proxy.address.port
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP}
        headers.pop("Expect", None)
        with closing(http.client.HTTPConnection(host, port, timeout=60)) as connection:
            connection.request(self.command, self.path, body=body, headers=headers)
            response = connection.getresponse()
            self._answer(response.status, response.getheaders(), response.read())

    # The names are http.server's.
    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = serve  # noqa: N815

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

    def _service(self) -> str:
        if self.headers.get("X-Amz-Target", "").startswith("DynamoDB_"):
            return "dynamodb"
        return "s3" if "/s3/" in self.headers.get("Authorization", "") else "other"

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        length = str(len(body))
        for name, value in headers:
            if self.command == "HEAD" and name.lower() == "content-length":
                length = value
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Quiet."""
