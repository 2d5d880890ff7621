"""Events as JSON, and in a file of this machine which other processes can follow.

EventBridge's ``detail`` and a line of the log are the same: see ``domain.events.cloud_event``.

A file has one line of JSON for each event. Any number of processes may append and read at the same
time. The file only grows; to empty it, delete it: followers go on with the new
one.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from worker.adapters.disk_errors import disk_call
from worker.domain import trace
from worker.domain.errors import EngineError
from worker.domain.events import Event, cloud_event

POLL_SECONDS = 0.2
_CHUNK = 1 << 16


class EventLog:
    """Events appended to one file.

    Args:
        path: the file; it and its folder are made when the first event is published.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def publish(self, events: Sequence[Event]) -> None:
        """See ``Events.publish``. All of them or none stand in the file afterwards."""
        lines = "".join(event_line(event) + "\n" for event in events).encode()
        if not lines:
            return
        with disk_call(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)  # let go by close
                _append(file, lines)
            finally:
                os.close(file)


def _append(file: int, data: bytes) -> None:
    before = os.fstat(file).st_size
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(file, rest) :]
    except BaseException:
        os.ftruncate(file, before)  # the disk is full: leave no half line to the next one
        raise


def _wait() -> bool:
    time.sleep(POLL_SECONDS)
    return True


def follow(
    path: Path, *, from_start: bool = False, wait: Callable[[], bool] = _wait
) -> Iterator[Event]:
    """Yield events of a log as they are written, for as long as it is asked.

    Lines that are no events are passed over. A file that is not there yet is waited for, and
    read from its start; so is a new file under the same name, and one that was cut.

    Args:
        path: of the log.
        from_start: begin with the oldest event, not with the next.
        wait: called when there is nothing to read; returns whether to look again.
    """
    reader = _LogReader(path, from_start=from_start)
    try:
        while True:
            lines = reader.lines()
            for each in lines:
                event = parse_event(each)
                if event is not None:
                    yield event
            if not lines and not wait():
                return
    finally:
        reader.close()


def read_all(paths: Iterable[Path]) -> Iterator[Event]:
    """Yield the events that some logs have by now, in order; a file that is not there has none."""
    for path in paths:
        if path.exists():
            yield from follow(path, from_start=True, wait=lambda: False)


class _LogReader:
    """The lines of one path, across files of that name."""

    def __init__(self, path: Path, *, from_start: bool) -> None:
        self._path = path
        self._file: int | None = None
        self._open(at_end=not from_start)
        self._rest = b""

    def lines(self) -> list[str]:
        """The new complete lines; empty if there are none."""
        with disk_call(self._path):
            if self._file is None:
                self._open(at_end=False)
            if self._file is None:
                return []
            chunk = os.read(self._file, _CHUNK)
            if not chunk:
                self._look_again(self._file)
                return []
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        # A line longer than a chunk is not there yet, but there was something to read.
        return [text.decode(errors="replace") for text in whole] or [""]

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self, *, at_end: bool) -> None:
        with disk_call(self._path):
            try:
                self._file = os.open(self._path, os.O_RDONLY)
            except FileNotFoundError:
                return
            if at_end:
                os.lseek(self._file, 0, os.SEEK_END)

    def _look_again(self, file: int) -> None:
        """At the end: is this still the file of that name, and as long as it was?"""
        held = os.fstat(file)
        if held.st_size < os.lseek(file, 0, os.SEEK_CUR):
            os.lseek(file, 0, os.SEEK_SET)
            self._rest = b""
            return
        try:
            named = self._path.stat()
        except FileNotFoundError:
            return  # deleted; the next writer makes a new one
        if (named.st_dev, named.st_ino) != (held.st_dev, held.st_ino):
            self.close()
            self._rest = b""


# --- events as JSON ---------------------------------------------------------------------------


def event_line(event: Event) -> str:
    """The event as one line of JSON, without the line break.

    Raises:
        EngineError: JSON cannot say it.
    """
    try:
        return json.dumps(cloud_event(event), separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise EngineError(f"an event cannot be written as JSON: {error}") from error


def parse_event(line: str) -> Event | None:
    """The event of a log's line, or None if the line is none."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    names = ("id", "type", "asset", "time", "subject")
    words = {name: value.get(name, "" if name in ("time", "subject") else None) for name in names}
    data = value.get("data", {})
    if not all(isinstance(word, str) for word in words.values()) or not isinstance(data, dict):
        return None
    if words["subject"] == words["asset"]:
        words["subject"] = ""
    traceparent = trace.valid(value.get(trace.NAME))
    return Event(**words, detail=data, traceparent=traceparent)  # type: ignore[arg-type]  # texts
