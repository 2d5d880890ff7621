"""The jobs of one local Batch, in one SQLite file. Rows and the rules between them.

Any number of processes submit, look and ask for stops; one runner (``runner``) moves jobs on. It
also derives state from the tables (parents of arrays), and starts no process.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from worker.adapters.disk_errors import disk_call
from worker.domain.errors import ConfigurationError, StorageFull, Unreachable
from worker.domain.job import JobRequest
from worker.local.batch.resources import CHILD_FAILED

FILE = "jobs.sqlite"
VERSION = 3
BUSY_SECONDS = 30.0
"""Longest wait for another process that is writing; every transaction takes milliseconds."""

# A row is a single job, the parent of an array (size is set) or a child (parent and child are).
# The runner acts on stop_reason and reclaim. pid and start_ticks (the kernel's start time of the
# process) find a process that a killed runner has left. A token belongs to a task of a state
# machine that waits for the end of a job.
_TABLES = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, parent TEXT, child INTEGER, size INTEGER,
    name TEXT NOT NULL, kind TEXT NOT NULL, queue TEXT NOT NULL, priority INTEGER NOT NULL,
    request TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', exit_code INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0, spared INTEGER NOT NULL DEFAULT 0,
    created TEXT NOT NULL, started TEXT NOT NULL DEFAULT '', stopped TEXT NOT NULL DEFAULT '',
    stop_reason TEXT, reclaim REAL, pid INTEGER, start_ticks INTEGER
);
CREATE INDEX by_state ON jobs (state);
CREATE INDEX by_name ON jobs (name) WHERE parent IS NULL;
CREATE INDEX by_parent ON jobs (parent, child);
CREATE TABLE tokens (token TEXT PRIMARY KEY, job TEXT NOT NULL) WITHOUT ROWID;
"""

ENDED = "('SUCCEEDED', 'FAILED')"
WAITING = "('SUBMITTED', 'PENDING', 'RUNNABLE')"
ACTIVE = "('STARTING', 'RUNNING')"


def connect(folder: Path) -> sqlite3.Connection:
    """A connection to the table in a folder; both are made if they are not there.

    Transactions begin only where ``writing`` says so.

    Raises:
        ConfigurationError: not a table of jobs, or of another version.
        Unreachable, StorageFull, AccessDenied: it cannot be opened.
    """
    with disk_call(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with sql_call(folder / FILE):
        database = sqlite3.connect(folder / FILE, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            database.row_factory = sqlite3.Row
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            _prepare(database, folder / FILE)
        except BaseException:
            database.close()
            raise
    return database


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    with writing(database):
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            for statement in _TABLES.split(";\n"):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {VERSION}")
        elif version != VERSION:
            raise ConfigurationError(f"{path}: jobs of version {version}, not {VERSION}")


@contextmanager
def opened(folder: Path) -> Iterator[sqlite3.Connection]:
    """A connection for as long as the block lasts, with its errors mapped."""
    with closing(connect(folder)) as database, sql_call(folder / FILE):
        yield database


@contextmanager
def writing(database: sqlite3.Connection) -> Iterator[None]:
    """One transaction that holds the write lock from its beginning."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


@contextmanager
def sql_call(path: Path) -> Iterator[None]:
    """Map the errors of SQLite. They are handled only here."""
    try:
        yield
    except sqlite3.Error as error:
        text = f"{path}: {error}"
        code = getattr(error, "sqlite_errorcode", None)  # errors of the module itself have none
        if code == sqlite3.SQLITE_FULL:
            raise StorageFull(text) from error
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise Unreachable(text) from error
        raise ConfigurationError(text) from error


def insert(database: sqlite3.Connection, id_: str, request: JobRequest, created: str) -> None:
    """Add a job with the children of its array."""
    text = json.dumps(asdict(request))
    common = (created, request.name, request.kind, request.queue, request.priority)
    add = (
        "INSERT INTO jobs (id, parent, child, size, created, name, kind, queue, priority, request,"
        " state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'SUBMITTED')"
    )
    database.execute(add, (id_, None, None, request.array_size, *common, text))
    # Only the parent has the request: it may be long, and there may be 10,000 children.
    children = range(request.array_size or 0)
    database.executemany(add, ((f"{id_}:{n}", id_, n, None, *common, "") for n in children))


def request_of(database: sqlite3.Connection, row: sqlite3.Row) -> JobRequest:
    """The request that a row was made of."""
    text = row["request"]
    if row["parent"] is not None:
        [(text,)] = database.execute("SELECT request FROM jobs WHERE id = ?", (row["parent"],))
    value: dict[str, Any] = json.loads(text)
    return JobRequest(**value | {"inputs": tuple(value["inputs"])})


def advance(database: sqlite3.Connection, now: str) -> None:
    """Let parents of arrays end with their last child, and new jobs become runnable; a parent with
    children left is ``PENDING``. Call inside a transaction."""
    failed = "EXISTS (SELECT 1 FROM jobs c WHERE c.parent = jobs.id AND c.state = 'FAILED')"
    database.execute(
        f"UPDATE jobs SET state = CASE WHEN {failed} THEN 'FAILED' ELSE 'SUCCEEDED' END,"  # noqa: S608 - constants
        f" reason = CASE WHEN {failed} THEN coalesce(stop_reason, ?) ELSE '' END, stopped = ?"
        f" WHERE size IS NOT NULL AND state NOT IN {ENDED} AND NOT EXISTS"
        f" (SELECT 1 FROM jobs c WHERE c.parent = jobs.id AND c.state NOT IN {ENDED})",
        (CHILD_FAILED, now),
    )
    database.execute(
        "UPDATE jobs SET state = iif(size IS NULL, 'RUNNABLE', 'PENDING') WHERE state = 'SUBMITTED'"
    )


def forget(database: sqlite3.Connection, before: str) -> list[str]:
    """Delete jobs that ended before a time, with their children; returns their ids."""
    old = [
        row["id"]
        for row in database.execute(
            f"SELECT id FROM jobs WHERE parent IS NULL AND state IN {ENDED}"  # noqa: S608 - constants
            " AND stopped < ?",
            (before,),
        )
    ]
    for id_ in old:
        database.execute("DELETE FROM jobs WHERE id = ? OR parent = ?", (id_, id_))
    return old
