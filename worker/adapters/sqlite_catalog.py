"""The catalog in one SQLite file: the local adapter, with the standard library alone.

Several processes may use one file: it is in WAL mode, and every change is one transaction that
takes the write lock first. Rules are those of ``succession``, so that what holds here holds on
AWS. What may not live here: anything that DynamoDB's adapter does not promise too.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from worker.adapters.listing import Cursors, check_limit, now, place, stamp
from worker.adapters.serial import build, plain
from worker.adapters.succession import (
    MAX_SAME_CONTENT,
    MAX_SIMILAR,
    bands,
    bits_apart,
    check_distance,
    check_hash,
    entry_id,
    known_hash,
    relabel,
    succeed,
)
from worker.errors import (
    AccessDenied,
    AssetMissing,
    ConfigurationError,
    EngineError,
    StorageFull,
    Throttled,
    Unreachable,
)
from worker.labels import check_id
from worker.records import AssetRecord, JobRecord, LogEntry, Page, Similar, Status

LOCK_SECONDS = 30.0
"""Each transaction takes milliseconds: whoever waits longer has met something that hangs."""
VERSION = 1
"""Of the tables, kept in ``PRAGMA user_version``."""

# created and committed are places (listing.place): by the first record, by the newest outcome.
_TABLES = """
CREATE TABLE assets (
    asset TEXT PRIMARY KEY, record TEXT NOT NULL,
    owner TEXT NOT NULL, status TEXT NOT NULL, sha256 TEXT,
    band0 TEXT, band1 TEXT, band2 TEXT, band3 TEXT,
    created TEXT NOT NULL, committed TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX by_owner ON assets (owner, created);
CREATE INDEX by_status ON assets (status, committed);
CREATE INDEX by_outcome ON assets (committed);
CREATE INDEX by_content ON assets (sha256, created);
CREATE INDEX by_band0 ON assets (band0);
CREATE INDEX by_band1 ON assets (band1);
CREATE INDEX by_band2 ON assets (band2);
CREATE INDEX by_band3 ON assets (band3);
CREATE TABLE tags (
    tag TEXT, created TEXT, asset TEXT, PRIMARY KEY (tag, created, asset)
) WITHOUT ROWID;
CREATE INDEX tags_of ON tags (asset);
CREATE TABLE log (
    asset TEXT, at TEXT, id TEXT, entry TEXT NOT NULL, PRIMARY KEY (asset, at, id)
) WITHOUT ROWID;
CREATE TABLE jobs (
    asset TEXT, id TEXT, created TEXT NOT NULL, job TEXT NOT NULL, PRIMARY KEY (asset, id)
) WITHOUT ROWID;
"""


class SqliteCatalog:
    """``ports.Catalog`` in one file. Safe between threads, processes and after a fork.

    Args:
        path: the file; made, with its tables, if it is not there. Its folder must be.
        cursor_key: makes cursors unforgeable; see ``listing.Cursors``.
        lock_seconds: longest wait for another process's transaction.
        clock: the time now, ISO 8601 UTC.

    Raises:
        ConfigurationError: the file is not a catalog, or of a newer version.
        Unreachable: it cannot be opened.
    """

    def __init__(
        self,
        path: Path,
        *,
        cursor_key: bytes = b"",
        lock_seconds: float = LOCK_SECONDS,
        clock: Callable[[], str] = now,
    ) -> None:
        self._path = path
        self._lock_seconds = lock_seconds
        self._cursors = Cursors(cursor_key)
        self._clock = clock
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._process = 0
        with self._transaction() as db:
            [(version,)] = db.execute("PRAGMA user_version")
            if version == 0:
                for statement in _TABLES.split(";\n"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {VERSION}")
            elif version != VERSION:
                raise ConfigurationError(f"{path}: a catalog of version {version}, not {VERSION}")

    def close(self) -> None:
        """Close the file. The next use opens it again."""
        with self._lock:
            if self._connection is not None and self._process == os.getpid():
                self._connection.close()
            self._connection = None

    # --- one asset --------------------------------------------------------------------------

    def get(self, asset: str) -> AssetRecord | None:
        """The current record."""
        check_id(asset, "asset id")
        with self._reading() as db:
            return _record(db, asset)

    def commit(self, record: AssetRecord, entry: LogEntry) -> AssetRecord:
        """Record the outcome of processing one upload.

        Raises:
            Superseded: a newer upload is recorded.
            AlreadyRecorded: exactly this upload and recipe is recorded as final.
        """
        check_id(record.asset, "asset id")
        at, line, id_ = stamp(entry.time), _text(entry), entry_id(entry)
        with self._transaction() as db:
            made = succeed(_record(db, record.asset), record, now=self._clock())
            phash = known_hash(made)
            row = {
                "asset": made.asset,
                "record": _text(made),
                "owner": made.owner,
                "status": made.status.value,
                "sha256": made.metadata.sha256.lower() if made.metadata else None,
                **{
                    f"band{n}": band for n, band in enumerate(bands(phash) if phash else [None] * 4)
                },
                "created": place(made.created_at, made.asset),
                "committed": place(entry.time, made.asset),
            }
            db.execute(
                "INSERT OR REPLACE INTO assets VALUES (:asset, :record, :owner, :status, :sha256,"
                " :band0, :band1, :band2, :band3, :created, :committed)",
                row,
            )
            db.execute(
                "INSERT OR REPLACE INTO log VALUES (?, ?, ?, ?)", (made.asset, at, id_, line)
            )
            _list_tags(db, made)
            return made

    def update(
        self,
        asset: str,
        *,
        add_tags: Iterable[str] = (),
        remove_tags: Iterable[str] = (),
        set_attributes: Mapping[str, str] | None = None,
        remove_attributes: Iterable[str] = (),
        revision: int | None = None,
    ) -> AssetRecord:
        """Change tags and attributes.

        Raises:
            AssetMissing: no such asset.
            Conflict: ``revision`` is given and is not the current one.
            InputError: a tag or attribute is too long, or there are too many.
        """
        check_id(asset, "asset id")
        with self._transaction() as db:
            known = _record(db, asset)
            if known is None:
                raise AssetMissing(f"the catalog knows no asset {asset}")
            changed = relabel(
                known,
                add_tags=add_tags,
                remove_tags=remove_tags,
                set_attributes=set_attributes,
                remove_attributes=remove_attributes,
                revision=revision,
                now=self._clock(),
            )
            if changed is known:
                return known
            db.execute("UPDATE assets SET record = ? WHERE asset = ?", (_text(changed), asset))
            _list_tags(db, changed)
            return changed

    def delete(self, asset: str) -> None:
        """Forget an asset with everything about it; a missing one is no error."""
        check_id(asset, "asset id")
        with self._transaction() as db:
            for table in ("assets", "tags", "log", "jobs"):
                db.execute(f"DELETE FROM {table} WHERE asset = ?", (asset,))  # noqa: S608 - ours

    # --- lists ------------------------------------------------------------------------------

    def list_assets(self, *, limit: int = 50, cursor: str | None = None) -> Page:
        """All assets, by the time of the log entry that came with the current outcome."""
        # Every list has a name as its first value: here it chooses nothing.
        query = "SELECT record, committed FROM assets WHERE ? <> '' AND committed < ?"
        return self._list(("list", "assets"), query, "committed", limit, cursor)

    def by_owner(self, owner: str, *, limit: int = 50, cursor: str | None = None) -> Page:
        """Newest first, by the time of the first record. Assets without an owner are in no list."""
        query = "SELECT record, created FROM assets WHERE owner = ? AND created < ?"
        return self._list(("owner", owner), query, "created", limit, cursor)

    def by_status(self, status: Status, *, limit: int = 50, cursor: str | None = None) -> Page:
        """Newest first, by the time of the log entry that came with the current outcome."""
        query = "SELECT record, committed FROM assets WHERE status = ? AND committed < ?"
        return self._list(("status", status.value), query, "committed", limit, cursor)

    def by_tag(self, tag: str, *, limit: int = 50, cursor: str | None = None) -> Page:
        """Newest first, by the time of the first record."""
        query = (
            "SELECT record, tags.created FROM tags JOIN assets USING (asset)"
            " WHERE tag = ? AND tags.created < ?"
        )
        return self._list(("tag", tag), query, "tags.created", limit, cursor)

    def _list(
        self, what: tuple[str, str], query: str, order: str, limit: int, cursor: str | None
    ) -> Page:
        kind, name = what
        check_limit(limit)
        before = self._cursors.open(f"{kind} {name}", cursor)
        if not name:
            return Page(records=())
        check_id(name, kind)
        with self._reading() as db:
            rows = db.execute(
                f"{query} ORDER BY {order} DESC LIMIT ?", (name, before or "~", limit + 1)
            ).fetchall()
        more = len(rows) > limit
        return Page(
            records=tuple(build(AssetRecord, json.loads(held)) for held, _ in rows[:limit]),
            cursor=self._cursors.seal(f"{kind} {name}", rows[limit - 1][1]) if more else None,
        )

    def by_content(self, sha256: str) -> Sequence[AssetRecord]:
        """Assets with identical bytes, oldest first, at most 25."""
        check_id(sha256, "content hash")
        with self._reading() as db:
            rows = db.execute(
                "SELECT record FROM assets WHERE sha256 = ? ORDER BY created LIMIT ?",
                (sha256.lower(), MAX_SAME_CONTENT),
            ).fetchall()
        return [build(AssetRecord, json.loads(held)) for (held,) in rows]

    def similar(self, phash: str, *, distance: int = 3) -> Sequence[Similar]:
        """Assets that look alike, nearest first, at most 50.

        Raises:
            InputError: not a hash of 16 hex digits, or a distance that is not 0 to 3.
        """
        wanted = check_hash(phash)
        check_distance(distance)
        with self._reading() as db:
            rows = db.execute(
                "SELECT asset, band0 || band1 || band2 || band3 FROM assets"
                " WHERE band0 = ? OR band1 = ? OR band2 = ? OR band3 = ?",
                bands(wanted),
            )
            near = sorted((bits_apart(held, wanted), asset) for asset, held in rows)
            return [
                Similar(record=record, distance=apart)
                for apart, asset in near[:MAX_SIMILAR]
                if apart <= distance and (record := _record(db, asset)) is not None
            ]

    # --- timeline and jobs ------------------------------------------------------------------

    def timeline(self, asset: str, *, limit: int = 100) -> Sequence[LogEntry]:
        """Newest first."""
        check_id(asset, "asset id")
        check_limit(limit)
        with self._reading() as db:
            rows = db.execute(
                "SELECT entry FROM log WHERE asset = ? ORDER BY at DESC, id DESC LIMIT ?",
                (asset, limit),
            ).fetchall()
        return [build(LogEntry, json.loads(held)) for (held,) in rows]

    def log(self, asset: str, entry: LogEntry) -> None:
        """Add a line to the timeline; the same ``id`` and time again is one line."""
        check_id(asset, "asset id")
        row = (asset, stamp(entry.time), entry_id(entry), _text(entry))
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO log VALUES (?, ?, ?, ?)", row)

    def jobs(self, asset: str) -> Sequence[JobRecord]:
        """Oldest first."""
        check_id(asset, "asset id")
        with self._reading() as db:
            rows = db.execute(
                "SELECT job FROM jobs WHERE asset = ? ORDER BY created, id", (asset,)
            ).fetchall()
        return [build(JobRecord, json.loads(held)) for (held,) in rows]

    def put_job(self, job: JobRecord) -> None:
        """Add or replace a job of an asset."""
        check_id(job.asset, "asset id")
        check_id(job.id, "job id")
        row = (job.asset, job.id, job.created_at, _text(job))
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, ?)", row)

    # --- the file ---------------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Change something, alone: the write lock is taken before anything is read."""
        with self._reading() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._open()
            except sqlite3.Error as error:
                raise translate(error, self._path) from error

    def _open(self) -> sqlite3.Connection:
        # A connection must not cross a fork: the child makes its own and leaves this one alone.
        if self._connection is None or self._process != os.getpid():
            connection = sqlite3.connect(
                self._path,
                timeout=self._lock_seconds,
                isolation_level=None,
                check_same_thread=False,
            )
            connection.execute("PRAGMA journal_mode = WAL")
            # Safe in WAL mode; a power cut may lose the newest commits, never the file.
            connection.execute("PRAGMA synchronous = NORMAL")
            self._connection, self._process = connection, os.getpid()
        return self._connection


def _record(db: sqlite3.Connection, asset: str) -> AssetRecord | None:
    row = db.execute("SELECT record FROM assets WHERE asset = ?", (asset,)).fetchone()
    return None if row is None else build(AssetRecord, json.loads(row[0]))


def _list_tags(db: sqlite3.Connection, record: AssetRecord) -> None:
    db.execute("DELETE FROM tags WHERE asset = ?", (record.asset,))
    created = place(record.created_at, record.asset)
    rows = [(tag, created, record.asset) for tag in record.tags]
    db.executemany("INSERT INTO tags VALUES (?, ?, ?)", rows)


def _text(value: Any) -> str:
    # ASCII only: a lone surrogate from a file name is no UTF-8, which SQLite's texts are.
    return json.dumps(plain(value), separators=(",", ":"))


def translate(error: sqlite3.Error, path: Path) -> Exception:
    """The error of ours that says the same (sqlite.org/rescode.html, primary codes)."""
    text = f"{path}: {error}"
    kind = {
        "SQLITE_BUSY": Throttled,
        "SQLITE_LOCKED": Throttled,
        "SQLITE_FULL": StorageFull,
        "SQLITE_CANTOPEN": Unreachable,
        "SQLITE_IOERR": Unreachable,
        "SQLITE_READONLY": AccessDenied,
        "SQLITE_PERM": AccessDenied,
        "SQLITE_NOTADB": ConfigurationError,
        "SQLITE_CORRUPT": ConfigurationError,
    }
    # Extended codes begin with the primary one: SQLITE_READONLY_DBMOVED.
    code = "_".join(getattr(error, "sqlite_errorname", "").split("_")[:2])
    return kind.get(code, EngineError)(text)
