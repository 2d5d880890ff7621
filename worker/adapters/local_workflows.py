"""Workflows that are only written down, in an SQLite file: for machines without state machines.

Whoever runs them reads ``started()``. Any number of processes may start and read.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.adapters.aws.stepfunctions import execution_name, payload_text
from worker.adapters.disk_errors import disk_call
from worker.adapters.timestamps import now_text
from worker.domain.errors import ConfigurationError, StorageFull, Unreachable

BUSY_SECONDS = 10.0
"""Longest wait for another process that is writing."""

_TABLE = """
CREATE TABLE IF NOT EXISTS starts (
    number INTEGER PRIMARY KEY,
    workflow TEXT NOT NULL,
    name TEXT NOT NULL,
    payload TEXT NOT NULL,
    time TEXT NOT NULL,
    UNIQUE (workflow, name)
)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One run that was asked for."""

    id: str
    workflow: str
    name: str
    """As Step Functions would have it: see ``execution_name``."""
    number: int
    """Later starts have higher ones."""
    payload: Mapping[str, Any]
    time: str
    """ISO 8601 UTC."""


class LocalWorkflows:
    """Starts in an SQLite file.

    Args:
        path: the file; it and its folder are made when they are needed.
        names: the workflows there are; None allows any.
    """

    def __init__(self, path: Path, *, names: Collection[str] | None = None) -> None:
        self._path = path
        self._names = None if names is None else frozenset(names)

    def start(self, workflow: str, name: str, payload: Mapping[str, object]) -> str:
        """See ``Workflows.start``. Raises as ``StepFunctionsWorkflows.start`` does."""
        if self._names is not None and workflow not in self._names:
            raise ConfigurationError(f"there is no workflow {workflow}")
        text = payload_text(payload)
        execution = execution_name(name)
        with self._opened() as database:
            database.execute(
                "INSERT OR IGNORE INTO starts (workflow, name, payload, time) VALUES (?, ?, ?, ?)",
                (workflow, execution, text, now_text()),
            )
        return _id(workflow, execution)

    def started(self, workflow: str | None = None, *, after: int = 0) -> tuple[Start, ...]:
        """What was started after start number ``after``, oldest first; of one workflow or all."""
        with self._opened() as database:
            rows = database.execute(
                "SELECT number, workflow, name, payload, time FROM starts"
                " WHERE (?1 IS NULL OR workflow = ?1) AND number > ?2 ORDER BY number",
                (workflow, after),
            ).fetchall()
        return tuple(
            Start(
                id=_id(flow, name),
                workflow=flow,
                name=name,
                number=number,
                payload=json.loads(text),
                time=time,
            )
            for number, flow, name, text, time in rows
        )

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """A connection for one transaction: starts are rare, and it can be used after a fork."""
        with disk_call(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with closing(sqlite3.connect(self._path, timeout=BUSY_SECONDS)) as database, database:
                database.execute(_TABLE)
                yield database
        except sqlite3.Error as error:
            text = f"{self._path}: {error}"
            if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                raise StorageFull(text) from error
            if error.sqlite_errorcode in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
                raise Unreachable(text) from error
            raise ConfigurationError(text) from error


def _id(workflow: str, name: str) -> str:
    return f"local:{workflow}:{name}"
