"""A Redis of our own on a free port, as a child process."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAM = shutil.which("redis-server")


@contextmanager
def redis_running(port: int, folder: Path) -> Iterator[str]:
    """Redis for as long as the block lasts; the URL to reach it."""
    assert PROGRAM is not None
    command = [PROGRAM, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir"]
    server = subprocess.Popen(
        [*command, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
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
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.communicate()


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
