"""A Redis of our own on a free port, as a child process; and servers that pretend to be one."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PROGRAM = shutil.which("redis-server")


@contextmanager
def redis_running(port: int, folder: Path, *options: str) -> Iterator[str]:
    """Redis for as long as the block lasts; the URL to reach it."""
    with redis_process(port, folder, *options):
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def redis_process(port: int, folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """The process, which a test may stop for a while or kill.

    Args:
        port: to listen on.
        folder: to work in.
        options: further ones of redis-server.
    """
    assert PROGRAM is not None
    command = [PROGRAM, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir"]
    server = subprocess.Popen(
        [*command, str(folder), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert server.stdout is not None
        said = []
        for line in server.stdout:
            said.append(line)
            if "Ready to accept connections" in line:
                break
        else:
            raise AssertionError("redis-server did not start:\n" + "".join(said))
        yield server
    finally:
        server.send_signal(signal.SIGCONT)
        server.terminate()
        server.communicate()


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that does with each connection what it is told; its URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, suppress(OSError):
                    answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(30)


@contextmanager
def hanging() -> Iterator[tuple[socket.socket, str]]:
    """A port that takes connections and says nothing; the listener counts who came."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        listener.setblocking(False)
        yield listener, f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


def callers(listener: socket.socket) -> int:
    """How many have connected since the last time; their connections are closed."""
    count = 0
    while True:
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            return count
        connection.close()
        count += 1
