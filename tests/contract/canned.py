"""A server that answers as told, and AWS clients that never leave the machine."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from worker.adapters.aws.clients import AwsClients


@dataclass
class Canned:
    """One answer to every request, and how often it was asked for."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    """Content-Length to claim; the connection is closed after a body of another length."""
    silent: bool = False
    """Take the request and never answer."""
    requests: list[str] = field(default_factory=list)
    connections: int = 0
    endpoint: str = ""


@contextmanager
def serving(canned: Canned) -> Iterator[Canned]:
    """Serve it on loopback for as long as the block lasts."""
    ended = threading.Event()
    opened: list[socket.socket] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            canned.connections += 1
            opened.append(self.request)
            super().setup()

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            canned.requests.append(f"{self.command} {self.path}")
            if canned.silent:
                ended.wait()
                self.close_connection = True
                return
            self.send_response(canned.status)
            for name, value in canned.headers.items():
                self.send_header(name, value)
            length = len(canned.body) if canned.length is None else canned.length
            self.send_header("Content-Length", str(length))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(canned.body)
            self.close_connection = length != len(canned.body)

        do_GET = do_PUT = do_HEAD = do_POST = answer  # noqa: N815 - the library's names

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    canned.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield canned
    finally:
        ended.set()
        # A client that a caught error still refers to would keep its connection, and so us.
        for connection in opened:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def clients_for(endpoint: str, *, read_seconds: float = 10.0) -> Iterator[AwsClients]:
    """Clients that ask there, once."""
    environment = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "eu-central-1",
    }
    clients = AwsClients(environment, attempts=1, read_seconds=read_seconds, connect_seconds=2)
    try:
        yield clients
    finally:
        clients.close()
