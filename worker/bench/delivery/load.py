"""HTTP clients that ask for one file after the other and measure how long each takes.

They are plain sockets that stay open: a client of ``http.client`` takes more time than a hit.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from worker.domain.errors import EngineError

CLIENTS = 2
TIMEOUT = 60.0
"""Seconds that one answer may take."""
_MOST_HEADERS = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Measurements of a number of requests."""

    wall_seconds: float
    seconds: Sequence[float]
    """Of each request, the shortest first."""
    body_bytes: int
    """Of all bodies together."""

    @property
    def per_second(self) -> float:
        """Requests a second."""
        return len(self.seconds) / self.wall_seconds

    def percentile(self, share: float) -> float:
        """Seconds that so large a share of the requests took at most."""
        return self.seconds[min(len(self.seconds) - 1, int(share * len(self.seconds)))]


class Connection:
    """One connection.

    Args:
        address: ``http://HOST:PORT``.
        headers: of every request.
    """

    def __init__(self, address: str, headers: Mapping[str, str]) -> None:
        url = urlsplit(address)
        assert url.hostname is not None
        assert url.port is not None
        lines = {"Host": url.netloc, "Accept": "image/*,*/*", **headers}
        self._head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._socket = socket.create_connection((url.hostname, url.port), timeout=TIMEOUT)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def get(self, path: str) -> bytes:
        """The body for a path.

        Raises:
            EngineError: the server does not answer, or with another status than 200.
        """
        request = f"GET {path} HTTP/1.1\r\n{self._head}\r\n"
        try:
            self._socket.sendall(request.encode("latin-1"))
            return self._read(path)
        except OSError as error:
            raise EngineError(f"no answer for {path}: {error}") from error

    def _read(self, path: str) -> bytes:
        data = bytearray()
        while (end := data.find(b"\r\n\r\n")) < 0:
            self._receive(data, path)
            if len(data) > _MOST_HEADERS and b"\r\n\r\n" not in data:
                raise EngineError(f"the answer for {path} has endless headers")
        status, *lines = data[:end].decode("latin-1").split("\r\n")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        length = headers.get("content-length", "")
        if not length.isdigit():
            raise EngineError(f"the answer for {path} does not say its length: {status}")
        del data[: end + 4]
        while len(data) < int(length):
            self._receive(data, path)
        if status.split(" ")[1] != "200":
            raise EngineError(f"{path}: {status}: {bytes(data[:200])!r}")
        return bytes(data)

    def _receive(self, data: bytearray, path: str) -> None:
        more = self._socket.recv(1 << 18)
        if not more:
            raise EngineError(f"the server closed the connection while it answered {path}")
        data += more


def run(
    address: str,
    paths: Sequence[str],
    *,
    clients: int = CLIENTS,
    headers: Mapping[str, str] | None = None,
) -> Load:
    """Ask for every path once. Each client takes the next path when it has its answer.

    Raises:
        EngineError: an answer was not 200.
    """
    remaining, lock = iter(paths), threading.Lock()
    seconds: list[float] = []
    sizes: list[int] = []
    failures: list[BaseException] = []
    start = threading.Barrier(clients + 1)
    open_clients = [Connection(address, headers or {}) for _ in range(clients)]

    def work(client: Connection) -> None:
        start.wait()
        try:
            for path in _taken(remaining, lock):
                began = time.perf_counter()
                body = client.get(path)
                seconds.append(time.perf_counter() - began)
                sizes.append(len(body))
        except Exception as failure:  # noqa: BLE001  the caller raises it
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(one,)) for one in open_clients]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    wall = time.perf_counter() - began
    for one in open_clients:
        one.close()
    if failures:
        raise failures[0]
    return Load(wall_seconds=wall, seconds=sorted(seconds), body_bytes=sum(sizes))


def _taken(paths: Iterator[str], lock: threading.Lock) -> Iterator[str]:
    while True:
        with lock:
            path = next(paths, None)
        if path is None:
            return
        yield path
