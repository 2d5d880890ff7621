"""Connections of load: a client is slow, is cut off once, or leaves halfway; requests are counted.

The transport stands below the ordinary client of the API (``worker.client``), so that everything
above it is what a real client does. Which client a request belongs to is a context variable: the
tasks of one upload share it.
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
"""A slow connection takes so many seconds' bytes at a time."""
SMALLEST_PIECE = 512


class ClientLeft(Exception):
    """The client of an upload has gone away in the middle of it."""


@dataclass(slots=True)
class ClientConnection:
    """The connection of one client, and what was seen on it."""

    planned: PlannedUpload
    asset: str = ""
    ticket: float | None = None
    """When the API had answered with a ticket; seconds of ``time.monotonic``."""
    asked: float | None = None
    """When that request was sent."""
    failed: int = 0
    """Requests that got no answer, or another one than 2xx."""
    was_cut: bool = False

    def shaped(self, request: httpx2.Request) -> httpx2.Request:
        """The request with the body as this connection lets it through."""
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
"""Of the client that a task works for."""


class _ShapedBody(httpx2.AsyncByteStream):
    """A body that is sent slowly, or ends early.

    Args:
        rate: bytes a second; None: as fast as it goes.
        ends: bytes after which the connection ends; None: it does not.
        left: it ends because the client has left, not because the line was cut.
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
    """The blocks of a body. Its own iterator is closed with this one, not when it is collected."""
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
        inner: that sends them over the network.
        api: address of the API; all other requests go to the store.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport, api: str) -> None:
        self._inner, self._api = inner, api.rstrip("/") + "/"

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request as the connection of its client lets it through."""
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
    """Remember the asset of an upload that has begun. What is no such answer the client refuses."""
    try:
        asset = json.loads(body)["asset"]
    except (ValueError, KeyError, TypeError):
        return
    if isinstance(asset, str):
        connection.asset, connection.asked = asset, sent
        connection.ticket = time.monotonic()
