"""A proxy that is a weak line: slow, far away, and cut again and again in the middle of a request.

It is an HTTP proxy, so that hosts and signatures stay as they are, and counts the bytes of bodies.
"""

from __future__ import annotations

import http.client
import random
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from tests.servers import serving

BLOCK = 16_384
PACKET = 1_460
"""Bytes of data in a packet on Ethernet."""
TIMEOUT = 1.0
"""Seconds, the least that TCP waits before it sends a packet again by itself (RFC 6298, 2.4)."""
_HOP = frozenset({"connection", "keep-alive", "proxy-connection", "transfer-encoding", "date"})


@dataclass
class Sent:
    """One request to the store."""

    what: str
    """Its key, and its part if it is one."""
    size: int
    """Bytes that its body has."""
    passed: int = 0
    """Bytes that went through."""
    answered: bool = False
    """Whether the answer went back."""
    time: float = 0.0
    """Seconds on the clock of a ``LossyLine``, when its last byte had passed."""


class WeakLine:
    """All connections share it."""

    def __init__(
        self,
        *,
        rate: float,
        delay: float = 0.0,
        cut_after: int = 0,
        most_cuts: int = 1_000_000,
        lost_answers: int = 0,
    ) -> None:
        """Prepare.

        Args:
            rate: bytes a second.
            delay: seconds before each answer.
            cut_after: bytes of bodies after which everything that is open is cut; 0 never.
            lost_answers: so many PUT requests are served, and their answers cut off.
        """
        self.rate, self.delay = rate, delay
        self.cut_after, self._most_cuts = cut_after, most_cuts
        self.sent: list[Sent] = []
        self.cuts = 0
        self.lost_answers = lost_answers
        self._passed, self._free = 0, 0.0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    @property
    def open_count(self) -> int:
        """Connections that are open."""
        return len(self._open)

    def begin(self, request: Sent) -> Sent:
        """Count a request from now on."""
        with self._lock:
            self.sent.append(request)
        return request

    def carry(self, request: Sent, count: int) -> None:
        """Take the time that bytes take; the line may be cut after them."""
        with self._lock:
            self._free = max(self._free, time.monotonic()) + count / self.rate
            until = self._free
            request.passed += count
            self._passed += count
            cut = 0 < self.cut_after <= self._passed and self.cuts < self._most_cuts
            if cut:
                self._passed = 0
                self.cut()
        if cut:
            raise ConnectionError("cut")
        time.sleep(max(0.0, until - time.monotonic()))

    def cut(self) -> None:
        """End everything that is open. Called by whoever holds the lock."""
        self.cuts += 1
        for one in self._open:
            with suppress(OSError):  # closed already
                one.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    @contextmanager
    def connected(self, connection: socket.socket) -> Iterator[None]:
        """A connection that a cut ends."""
        with self._lock:
            self._open.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(connection)

    @contextmanager
    def answering(self, connection: socket.socket, request: Sent) -> Iterator[None]:
        """Send an answer as a whole: no cut comes between, and none has come before."""
        with self._lock:
            if connection not in self._open:
                raise ConnectionError("cut")
            request.answered = True  # before anybody can see the answer
            yield

    def serving(self) -> AbstractContextManager[str]:
        """Serve on a free port; the address for a client's proxy setting."""
        return serving(partial(_Handler, self))


class LossyLine(WeakLine):
    """A line far away that loses packets and is cut at intervals, on a clock of its own.

    No test waits for that clock, and none depends on how busy the machine is. A block waits for the
    line and takes its bytes' time on it. If one of its packets was lost its connection stalls: for
    a round trip (fast retransmit, RFC 5681), or for a second more where the repeated packet is lost
    as well (retransmission timeout, RFC 6298). Others use the line meanwhile. A new request waits
    for two round trips, of a handshake and of its own. A cut resets all that is open.
    """

    def __init__(
        self, *, rate: float, round_trip: float, loss: float, cut_every: float, seed: int = 1
    ) -> None:
        """Prepare.

        Args:
            rate: bytes a second.
            round_trip: seconds.
            loss: share of packets.
            cut_every: seconds.
            seed: of the dice.
        """
        super().__init__(rate=rate)
        self.seconds = 0.0
        self._round_trip, self._cut_every, self._next_cut = round_trip, cut_every, cut_every
        self._loss, self._dice = loss, random.Random(seed)

    def begin(self, request: Sent) -> Sent:
        """Count a request from now on."""
        request.time = self.seconds + 2 * self._round_trip
        return super().begin(request)

    def carry(self, request: Sent, count: int) -> None:
        """Take the time that bytes take; the line may be cut while they are on it."""
        with self._lock:
            self.seconds = max(self.seconds, request.time) + count / self.rate
            request.time = self.seconds
            if self._dice.random() > (1 - self._loss) ** (count / PACKET):
                request.time += self._round_trip
                if self._dice.random() < self._loss:
                    request.time += TIMEOUT
            if cut := self.seconds >= self._next_cut:
                self._next_cut = self.seconds + self._cut_every
                self.cut()
            else:
                request.passed += count
        if cut:
            raise ConnectionError("cut")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, line: WeakLine, *request: Any) -> None:
        self._line = line
        super().__init__(*request)  # which answers the requests

    def handle(self) -> None:
        with self._line.connected(self.connection):
            super().handle()

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def serve(self) -> None:
        url = urlsplit(self.path)
        request = self._line.begin(Sent(_name(url.path, url.query), self._length()))
        upstream = http.client.HTTPConnection("127.0.0.1", url.port or 80, timeout=60)
        try:
            upstream.putrequest(
                self.command,
                url._replace(scheme="", netloc="").geturl(),
                skip_host=True,
                skip_accept_encoding=True,
            )
            for name, value in self.headers.items():
                if name.lower() not in _HOP:
                    upstream.putheader(name, value)
            upstream.endheaders()
            left = request.size
            while left:
                block = self.rfile.read1(min(left, BLOCK))
                if not block:
                    raise ConnectionError("the client was cut off")
                left -= len(block)
                self._line.carry(request, len(block))
                upstream.send(block)
            self._answer(request, upstream.getresponse())
        finally:
            upstream.close()

    # The names are http.server's.
    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = do_OPTIONS = serve  # noqa: N815

    def _length(self) -> int:
        return int(self.headers.get("Content-Length", 0))

    def _answer(self, request: Sent, answer: http.client.HTTPResponse) -> None:
        body = answer.read()
        time.sleep(self._line.delay)
        if self._line.lost_answers and self.command == "PUT":
            self._line.lost_answers -= 1
            raise ConnectionError("the answer is lost")
        with self._line.answering(self.connection, request):
            self._say(answer, body)

    def _say(self, answer: http.client.HTTPResponse, body: bytes) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {*_HOP, "content-length"}:
                self.send_header(name, value)
        if answer.status not in {204, 304}:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Quiet."""


def _name(path: str, query: str) -> str:
    part = re.search(r"partNumber=(\d+)", query)
    return f"{path} {part[1]}" if part else path
