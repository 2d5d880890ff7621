"""The sockets that servers of the local stack listen on."""

from __future__ import annotations

import asyncio
import socket

from worker.local.api import listen


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
