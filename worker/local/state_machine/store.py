"""Executions and their steps in an SQLite file: what is there after any crash.

One process drives executions; any number may look. What may not live here: what a step means.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from worker.adapters.disk_errors import disk_call
from worker.adapters.local_workflows import BUSY_SECONDS
from worker.adapters.timestamps import now_text
from worker.domain.errors import ConfigurationError, StorageFull, Unreachable
from worker.local.state_machine.evaluate import Ended, Phase, Step

_TABLES = """
CREATE TABLE IF NOT EXISTS executions (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, workflow TEXT NOT NULL,
    name TEXT NOT NULL, definition TEXT NOT NULL, input TEXT NOT NULL, started TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'RUNNING', output TEXT, error TEXT, cause TEXT, stopped TEXT
);
CREATE INDEX IF NOT EXISTS executions_by_status ON executions (status);
CREATE TABLE IF NOT EXISTS steps (
    execution TEXT NOT NULL, place TEXT NOT NULL, phase TEXT NOT NULL, step TEXT NOT NULL,
    time TEXT NOT NULL, PRIMARY KEY (execution, place)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One run of a state machine."""

    id: str
    workflow: str
    name: str
    definition: str
    """Its own: a file that changes while it runs changes nothing for it, as on AWS."""
    input: Any
    started: str
    """ISO 8601 UTC."""
    status: str = "RUNNING"
    """``RUNNING``, ``SUCCEEDED`` or ``FAILED``."""
    output: Any = None
    error: str | None = None
    cause: str | None = None


class Executions:
    """The executions of one file.

    Args:
        path: made when it is needed, its folder too.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, execution: Execution) -> bool:
        """Record one that is to run; False if that id is there already."""
        with self._opened() as database:
            done = database.execute(
                "INSERT OR IGNORE INTO executions (id, workflow, name, definition, input, started)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (
                    *(execution.id, execution.workflow, execution.name, execution.definition),
                    *(json.dumps(execution.input), execution.started),
                ),
            )
        return done.rowcount == 1

    def end(self, id_: str, ended: Ended) -> None:
        """Record how one has ended; its steps stay to be looked at."""
        with self._opened() as database:
            database.execute(
                "UPDATE executions SET status = ?, output = ?, error = ?, cause = ?, stopped = ?"
                " WHERE id = ?",
                (
                    "SUCCEEDED" if ended.error is None else "FAILED",
                    json.dumps(ended.output),
                    *(ended.error, ended.cause, now_text(), id_),
                ),
            )

    def running(self) -> tuple[Execution, ...]:
        """Those that have not ended, oldest first."""
        return self._found("WHERE status = 'RUNNING' ORDER BY number")

    def get(self, id_: str) -> Execution | None:
        """One by its id."""
        return next(iter(self._found("WHERE id = ?", id_)), None)

    def all(self) -> tuple[Execution, ...]:
        """Every one there ever was, oldest first."""
        return self._found("ORDER BY number")

    def steps(self, id_: str) -> Steps:
        """The memory of one execution, read once and kept up to date by the one who drives it."""
        with self._opened() as database:
            rows = database.execute(
                "SELECT place, step FROM steps WHERE execution = ?", (id_,)
            ).fetchall()
        return Steps(self, id_, {place: _step(text) for place, text in rows})

    def keep(self, id_: str, place: str, step: Step) -> None:
        """Remember a step, instead of what was there."""
        with self._opened() as database:
            database.execute(
                "INSERT OR REPLACE INTO steps (execution, place, phase, step, time)"
                " VALUES (?, ?, ?, ?, ?)",
                (id_, place, step.phase.value, json.dumps(asdict(step)), now_text()),
            )

    def _found(self, which: str, *values: str) -> tuple[Execution, ...]:
        with self._opened() as database:
            rows = database.execute(
                "SELECT id, workflow, name, definition, input, started, status, output, error,"  # noqa: S608 - constants
                f" cause FROM executions {which}",
                values,
            ).fetchall()
        return tuple(
            Execution(
                id=row[0],
                workflow=row[1],
                name=row[2],
                definition=row[3],
                input=json.loads(row[4]),
                started=row[5],
                status=row[6],
                output=None if row[7] is None else json.loads(row[7]),
                error=row[8],
                cause=row[9],
            )
            for row in rows
        )

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """A connection for one transaction."""
        with disk_call(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with closing(sqlite3.connect(self._path, timeout=BUSY_SECONDS)) as database, database:
                database.executescript(_TABLES)
                yield database
        except sqlite3.Error as error:
            text = f"{self._path}: {error}"
            if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                raise StorageFull(text) from error
            if error.sqlite_errorcode in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
                raise Unreachable(text) from error
            raise ConfigurationError(text) from error


class Steps:
    """``evaluate.Memory`` of one execution: written through, so that a crash forgets nothing."""

    def __init__(self, executions: Executions, id_: str, known: dict[str, Step]) -> None:
        """Of the execution ``id_``, whose steps so far are ``known``."""
        self._executions, self._id, self._known = executions, id_, known

    def get(self, place: str) -> Step | None:
        """See ``Memory``."""
        return self._known.get(place)

    def put(self, place: str, step: Step) -> None:
        """See ``Memory``."""
        self._executions.keep(self._id, place, step)
        self._known[place] = step

    def working(self, below: str) -> Mapping[str, Step]:
        """See ``Memory``."""
        return {
            place: step
            for place, step in self._known.items()
            if step.phase is Phase.WORKING and place.startswith(below)
        }


def _step(text: str) -> Step:
    value = json.loads(text)
    return Step(**{**value, "phase": Phase(value["phase"])})
