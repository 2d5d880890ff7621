"""Reads the event log for the console: changed assets, and the numbers of verdicts.

A read costs what is new in the file. Any number of pages may wait for changes at the same time.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker.adapters.disk_errors import disk_call
from worker.adapters.event_log import parse_event
from worker.domain.events import Event
from worker.domain.ledger import CountedWork, work_of

MOST_BYTES = 1 << 20
"""Of one read; the next one goes on behind it."""
MINUTES = 30
"""The period of the reported rates."""


def read_events(path: Path, cursor: str | None) -> tuple[Sequence[Event], str]:
    """The events behind a cursor, and the cursor behind them.

    Args:
        path: of the log; it need not be there yet.
        cursor: as it was returned; None begins with what happens next. One of another file, which
            this one has replaced, begins with its start, and so does one that is none.
    """
    with disk_call(path):
        try:
            file = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return (), "0-0"
        try:
            status = os.fstat(file)
            start = status.st_size if cursor is None else _offset(cursor, status)
            data = os.pread(file, MOST_BYTES, start)
        finally:
            os.close(file)
    # A line that is being written has no end yet.
    whole = data[: data.rfind(b"\n") + 1]
    lines = whole.decode(errors="replace").split("\n")
    found = [event for line in lines if (event := parse_event(line)) is not None]
    return found, f"{status.st_ino}-{start + len(whole)}"


def _offset(cursor: str, status: os.stat_result) -> int:
    inode, _, offset = cursor.partition("-")
    if inode != str(status.st_ino) or not offset.isascii() or not offset.isdigit():
        return 0
    return int(offset) if int(offset) <= status.st_size else 0


@dataclass(slots=True)
class Counts:
    """Verdicts of the log, counted as it grows.

    Args:
        path: of the log.
    """

    path: Path
    _cursor: str = "0-0"
    _minutes: Counter[tuple[str, str]] = field(default_factory=Counter)
    _reasons: Counter[str] = field(default_factory=Counter)
    _messages: dict[str, str] = field(default_factory=dict)
    _days: dict[str, CountedWork] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def minutes(self, now: str) -> list[Mapping[str, Any]]:
        """Accepted and rejected assets of each of the last minutes, oldest first.

        Args:
            now: ISO 8601 UTC.
        """
        self._read()
        names = _minutes_before(now)
        return [
            {
                "time": f"{name}:00Z",
                "accepted": self._minutes[name, "asset.accepted"],
                "rejected": self._minutes[name, "asset.rejected"],
            }
            for name in names
        ]

    def reasons(self, limit: int = 12) -> list[Mapping[str, Any]]:
        """Why assets were rejected, the most frequent reason first."""
        self._read()
        return [
            {"code": code, "count": count, "message": self._messages.get(code, "")}
            for code, count in self._reasons.most_common(limit)
        ]

    def days(self) -> Mapping[str, CountedWork]:
        """The work of each day (ISO 8601) on which there was some; that of jobs is not in it."""
        self._read()
        return dict(self._days)

    def _read(self) -> None:
        with self._lock:
            while True:
                events, cursor = read_events(self.path, self._cursor)
                for event in events:
                    self._count(event)
                if cursor == self._cursor:
                    break
                self._cursor = cursor
            # Older ones are not shown; sorted, minutes are in the order of time.
            kept = sorted({minute for minute, _ in self._minutes})[-2 * MINUTES :]
            self._minutes = Counter(
                {key: count for key, count in self._minutes.items() if key[0] in kept}
            )

    def _count(self, event: Event) -> None:
        self._minutes[event.time[:16], event.type] += 1
        if work := work_of(event):
            day = event.time[:10]
            self._days[day] = self._days.get(day, CountedWork()) + work
        reason = event.detail.get("reason")
        if event.type == "asset.rejected" and isinstance(reason, Mapping):
            code = str(reason.get("code", "unknown"))
            self._reasons[code] += 1
            self._messages[code] = str(reason.get("message", ""))


def _minutes_before(now: str) -> list[str]:
    from datetime import datetime, timedelta

    moment = datetime.fromisoformat(now)
    return [
        (moment - timedelta(minutes=back)).strftime("%Y-%m-%dT%H:%M")
        for back in reversed(range(MINUTES))
    ]
