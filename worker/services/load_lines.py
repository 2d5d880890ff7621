"""Simulated connections of a load test: slow, broken once, or abandoned halfway; requests are
counted.

The transport is below the ordinary client of the API (``worker.client``), so everything above it is
real client code. A context variable, shared by the tasks of one upload, identifies the client of a
request.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass

import anyio
import httpx2

from worker.domain.load import PlannedUpload

PIECE_SECONDS = 0.1
"""A slow connection sends the bytes of this many seconds at a time."""
SMALLEST_PIECE = 512


class ClientLeft(Exception):
    """The client of an upload has disconnected in the middle of it."""


@dataclass(slots=True)
class ClientConnection:
    """The connection of one client, with its measurements."""

    planned: PlannedUpload
    asset: str = ""
    ticket: float | None = None
    """Time when the API had answered with a ticket; seconds of ``time.monotonic``."""
    asked: float | None = None
    """Time when that request was sent."""
    failed: int = 0
    """Number of requests without a 2xx response."""
    was_cut: bool = False

    def shaped(self, request: httpx2.Request) -> httpx2.Request:
        """The request with its body limited by this connection."""
        planned = self.planned
        cut = planned.cut and not self.was_cut
        if not (planned.abandoned or cut or planned.bytes_per_second):
            return request
        stream = request.stream
        assert isinstance(stream, httpx2.AsyncByteStream)
        size = int(request.headers.get("content-length", "0"))
        ends = size // 2 if planned.abandoned or cut else None
        self.was_cut = self.was_cut or cut
        return httpx2.Request(
            request.method,
            request.url,
            headers=request.headers,
            stream=_ShapedBody(stream, rate=planned.bytes_per_second, ends=ends, left=not cut),
            extensions=request.extensions,
        )


CONNECTION: ContextVar[ClientConnection | None] = ContextVar("connection", default=None)
"""The connection of the client that a task belongs to."""


class _ShapedBody(httpx2.AsyncByteStream):
    """A body that is sent slowly, or ends early.

    Args:
        rate: bytes a second; None for no limit.
        ends: bytes after which the connection ends; None if it does not.
        left: whether it ends because the client disconnects, instead of a broken connection.
    """

    def __init__(
        self, body: httpx2.AsyncByteStream, *, rate: int | None, ends: int | None, left: bool
    ) -> None:
        self._body, self._rate, self._ends, self._left = body, rate, ends, left

    async def __aiter__(self) -> AsyncIterator[bytes]:
        began, sent = time.monotonic(), 0
        async with aclosing(_blocks(self._body)) as blocks:
            async for block in blocks:
                for piece in self._pieces(block):
                    if self._ends is not None and sent + len(piece) >= self._ends:
                        yield piece[: self._ends - sent]
                        raise ClientLeft if self._left else httpx2.WriteError("the line was cut")
                    yield piece
                    sent += len(piece)
                    if self._rate is not None:
                        await anyio.sleep(max(0.0, began + sent / self._rate - time.monotonic()))

    def _pieces(self, block: bytes) -> list[bytes]:
        if self._rate is None:
            return [block]
        size = max(SMALLEST_PIECE, int(self._rate * PIECE_SECONDS))
        return [block[at : at + size] for at in range(0, len(block), size)]

    async def aclose(self) -> None:
        await self._body.aclose()


async def _blocks(body: httpx2.AsyncByteStream) -> AsyncGenerator[bytes, None]:
    """The blocks of a body. The inner iterator is closed together with this one, not by garbage
    collection."""
    iterator = body.__aiter__()
    try:
        async for block in iterator:
            yield block
    finally:
        if isinstance(iterator, AsyncGenerator):
            await iterator.aclose()


class LoadTransport(httpx2.AsyncBaseTransport):
    """Sends requests of simulated clients.

    Args:
        inner: the transport that sends requests over the network.
        api: address of the API; all other requests go to the store.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport, api: str) -> None:
        self._inner, self._api = inner, api.rstrip("/") + "/"

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request through the simulated connection of its client."""
        connection = CONNECTION.get()
        if connection is None:
            return await self._inner.handle_async_request(request)
        to_api = str(request.url).startswith(self._api)
        sent = time.monotonic()
        try:
            answer = await self._inner.handle_async_request(
                request if to_api else connection.shaped(request)
            )
        except httpx2.TransportError:
            connection.failed += 1
            raise
        if not answer.is_success:
            connection.failed += 1
        elif to_api and request.method == "POST" and request.url.path.endswith("/uploads"):
            answer.request = request  # reading a body that breaks off names the request
            await answer.aread()
            _note_ticket(connection, answer.content, sent)
        return answer

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


def _note_ticket(connection: ClientConnection, body: bytes, sent: float) -> None:
    """Record the asset of an upload that has begun. The client itself refuses an invalid
    response."""
    try:
        asset = json.loads(body)["asset"]
    except (ValueError, KeyError, TypeError):
        return
    if isinstance(asset, str):
        connection.asset, connection.asked = asset, sent
        connection.ticket = time.monotonic()
