"""The SQLite file of all state that the embedded AWS has confirmed."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

NAME = "emulator.sqlite"
"""In the folder of the state."""
UNWRITABLE = 74
"""Exit code (EX_IOERR of sysexits.h): the disk refuses a write that would have been confirmed."""

_TABLES = """
CREATE TABLE IF NOT EXISTS services (name TEXT PRIMARY KEY, state TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS items (
    owner TEXT, key TEXT, item TEXT NOT NULL, PRIMARY KEY (owner, key)
);
CREATE TABLE IF NOT EXISTS changes (
    stream TEXT, place INTEGER, record TEXT NOT NULL, PRIMARY KEY (stream, place)
);
CREATE TABLE IF NOT EXISTS executions (arn TEXT PRIMARY KEY, execution TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS messages (
    number INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT, id TEXT, message TEXT NOT NULL,
    UNIQUE (queue, id)
);
CREATE TABLE IF NOT EXISTS deduplication (
    queue TEXT, id TEXT, entry TEXT NOT NULL, expires REAL NOT NULL, PRIMARY KEY (queue, id)
);
"""
Handler: TypeAlias = Callable[..., Awaitable[Any]]


class Store:
    """The file. Changes are collected as they happen and written at the next ``commit``.

    Only the event loop commits, between requests: no transaction of a client is cut in two.

    Args:
        path: made if it is not there; only its owner may read it, because there are keys in it.
    """

    def __init__(self, path: Path) -> None:
        # Waits for a process before this one that has been told to end and has not yet.
        self._alone = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._alone, fcntl.LOCK_EX)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.executescript(_TABLES)
        [[closed]] = self.rows("PRAGMA user_version")
        self.was_closed = bool(closed)
        """Whether the process before ended in order, with nothing half-way."""
        self._database.execute("PRAGMA user_version = 0")
        self._lock = threading.Lock()
        self._changes: list[tuple[str, tuple[object, ...]]] = []
        self._stale: dict[str, Callable[[], object]] = {}
        self._following: list[Callable[[], object]] = []
        self.refused: OSError | None = None
        """The disk error of an object that could not be written."""

    def add(self, statement: str, *values: object) -> None:
        """Collect one change. Any thread may."""
        with self._lock:
            self._changes.append((statement, values))

    def mark(self, service: str, encoded: Callable[[], object]) -> None:
        """Write the state of a service at the next commit, as it is then."""
        with self._lock:
            self._stale[service] = encoded

    def after(self, action: Callable[[], object]) -> None:
        """Do something right after the next commit. Only the event loop may ask for it."""
        self._following.append(action)

    def commit(self) -> None:
        """Write everything collected, or end the process: an answer means that it is on disk."""
        self._write()
        following, self._following = self._following, []
        for action in following:
            action()
        self._write()  # ends the process if one of them has failed

    def _write(self) -> None:
        if not (self._changes or self._stale or self.refused):
            return
        with self._lock:
            changes, self._changes = self._changes, []
            stale, self._stale = self._stale, {}
        changes += [
            ("INSERT OR REPLACE INTO services VALUES (?, ?)", (service, encoded()))
            for service, encoded in stale.items()
        ]
        try:
            if self.refused is not None:
                raise self.refused
            self._database.execute("BEGIN")
            for statement, values in changes:
                self._database.execute(statement, values)
            self._database.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            try:
                _say(f"what was asked for cannot be kept: {error}; not answered, and ended")
            finally:  # the log may be on the same full disk
                os._exit(UNWRITABLE)

    def rows(self, query: str, *values: object) -> list[Any]:
        """Read."""
        return self._database.execute(query, values).fetchall()

    def close(self) -> None:
        """Write the rest and fold the write-ahead log into the file."""
        self.commit()
        self._database.execute("PRAGMA user_version = 1")
        self._database.close()
        os.close(self._alone)


def _say(line: str) -> None:
    print(f"durable: {line}", file=sys.stderr, flush=True)  # noqa: T201 - the emulator's log


def answering(app: Handler, store: Store, begin: Callable[[], None]) -> Handler:
    """The ASGI application, with everything written before an answer begins.

    Args:
        begin: called once, when everything is loaded and before the first request.
    """

    async def answered(scope: Any, receive: Any, send: Any) -> None:
        async def sent(message: Any) -> None:
            kind = message["type"]
            if kind == "lifespan.shutdown.complete":
                store.close()
            elif kind == "lifespan.startup.complete":
                begin()
                store.commit()
            elif kind == "http.response.start":
                store.commit()
            await send(message)

        await app(scope, receive, sent)

    return answered
