"""Asks the distribution for a file as a client does, for its status and its etag alone."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import quote, urlsplit

from worker.domain.errors import ConfigurationError, Unreachable
from worker.services.invariants import ServedFile

SECONDS = 60.0
"""Without a byte."""


@contextmanager
def looking_at(url: str) -> Iterator[Callable[[str], ServedFile]]:
    """Makes requests to the distribution at a URL. For several threads, each with a connection of
    its own, while the block lasts.

    The function raises ``Unreachable`` if nothing answers.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"{url} is no address of a distribution")
    make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    own, lines = threading.local(), list[http.client.HTTPConnection]()

    def look(path: str) -> ServedFile:
        line: http.client.HTTPConnection | None = getattr(own, "line", None)
        for again in (True, False):
            if line is None:
                line = make(str(parts.hostname), parts.port, timeout=SECONDS)
                lines.append(line)
            try:
                line.request("HEAD", f"{parts.path.rstrip('/')}/{quote(path)}")
                answer = line.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                line.close()
                line = own.line = None
                if not again:  # the first error may be of a connection that was idle for too long
                    raise Unreachable(f"head {url}/{path}: {error!r}") from error
            else:
                own.line = line
                etag = answer.headers.get("ETag", "").removeprefix("W/").strip('"')
                return ServedFile(status=answer.status, etag=etag)
        raise AssertionError("one of two tries returns or raises")

    try:
        yield look
    finally:
        for line in lines:
            line.close()
