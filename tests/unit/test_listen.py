"""Servers of the local stack: the sockets that they listen on, and requests at the same time."""

from __future__ import annotations

import asyncio
import socket

import anyio
import httpx2
import pytest
from starlette.types import Receive, Scope, Send

from worker.local.api import RETRY_SECONDS, RequestBound, listen


def test_answers_are_sent_at_once() -> None:
    """Otherwise the second packet of a response waits 40 ms for an acknowledgement of the first."""
    without_delay: list[int] = []

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        without_delay.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()
        await writer.wait_closed()

    async def ask(listener: socket.socket) -> None:
        async with await asyncio.start_server(answer, sock=listener):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            await reader.read()
            writer.close()
            await writer.wait_closed()

    with listen(0) as listener:
        asyncio.run(ask(listener))

    assert without_delay == [1]


def test_more_requests_than_can_be_answered_are_refused_at_once() -> None:
    """Those in work are answered; a place is free again when one is over, fails, or is given up."""

    async def story() -> None:
        go_on, begun = anyio.Event(), anyio.Semaphore(0)

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"] == "/broken":
                raise OSError("broken")
            begun.release()
            await go_on.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        transport = httpx2.ASGITransport(app=RequestBound(slow, most=2))
        async with httpx2.AsyncClient(transport=transport, base_url="http://api") as client:
            with pytest.raises(OSError, match="broken"):
                await client.get("/broken")
            async with anyio.create_task_group() as given_up:
                given_up.start_soon(client.get, "/")
                await begun.acquire()
                given_up.cancel_scope.cancel()
            answers: list[int] = []

            async def ask() -> None:
                answers.append((await client.get("/")).status_code)

            async with anyio.create_task_group() as asked:
                for _ in range(2):
                    asked.start_soon(ask)
                    await begun.acquire()
                refused = await client.get("/")
                go_on.set()
            again = await client.get("/")

        assert (refused.status_code, refused.json()["code"]) == (503, "throttled")
        assert refused.headers["retry-after"] == str(RETRY_SECONDS)
        assert [*answers, again.status_code] == [200, 200, 200]

    anyio.run(story)
