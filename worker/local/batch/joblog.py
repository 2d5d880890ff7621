"""The log files of jobs: where they are, reading them while they grow, and the progress in them.
This module only reads the logs; the jobs write them.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

FOLDER = "logs"
_TAIL_BYTES = 16_384
_CHUNK_BYTES = 65_536
_LINE_BYTES = 1_000_000
"""A longer line is shown in pieces: a program that never ends a line must not fill the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProgress:
    """The last progress that a job has reported."""

    share: float
    """0 to 1."""
    doing: str


def path(folder: Path, job: str, attempt: int) -> Path:
    """The log of an attempt (from 1); children of one array are in one folder."""
    return folder / FOLDER / job.replace(":", "/") / f"{attempt}.log"


def read(
    file: Callable[[int], Path],
    state: Callable[[], tuple[int, bool]],
    *,
    pause: Callable[[], None] | None = None,
) -> Iterator[str]:
    """Lines of all attempts, without their ends.

    Args:
        file: the log of an attempt.
        state: how many attempts there are, and whether the job has ended.
        pause: called before the next look; None does not wait for lines to come.
    """

    def complete(attempt: int) -> bool:
        """Whether no more lines of an attempt are waited for."""
        attempts, ended = state()
        return ended or attempts > attempt or pause is None

    for attempt in itertools.count(1):
        while True:
            attempts, ended = state()
            if attempt <= attempts:
                break
            if ended or pause is None:
                return
            pause()
        yield from _lines(file(attempt), partial(complete, attempt), pause)


def _lines(
    log: Path, complete: Callable[[], bool], pause: Callable[[], None] | None
) -> Iterator[str]:
    """Lines of one file, those to come included until it is complete."""
    rest = b""
    try:
        stream = log.open("rb")
    except FileNotFoundError:
        return  # the program did not get as far as a log
    with stream:
        while True:
            # Asked before reading: what was written before the end is read after it.
            last = complete()
            while chunk := stream.read(_CHUNK_BYTES):
                *whole, rest = (rest + chunk).split(b"\n")
                yield from (line.decode("utf-8", "replace").rstrip("\r") for line in whole)
                if len(rest) > _LINE_BYTES:
                    yield rest.decode("utf-8", "replace")
                    rest = b""
            if last or pause is None:
                break
            pause()
    if rest:
        yield rest.decode("utf-8", "replace")


def tail(log: Path, count: int) -> list[str]:
    """The last lines of a log that are not empty; none if there is no log."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - _TAIL_BYTES))
            text = stream.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-count:]


def progress(log: Path) -> JobProgress | None:
    """How far a job has last said it is (``batch.reporting``); None if it has not yet."""
    for event in _events(log):
        percent = event.get("percent")
        if isinstance(percent, int | float) and 0 <= percent <= 100:
            return JobProgress(share=percent / 100, doing=str(event.get("doing", "")))
    return None


def trouble(log: Path) -> str:
    """The error that a job has reported, ``code: message``; empty without one."""
    for event in _events(log):
        if event.get("event") in {"rejected", "failed", "stopped"}:
            return f"{event.get('code', '')}: {event.get('message', '')}"
    return ""


def _events(log: Path) -> Iterator[Mapping[str, Any]]:
    """JSON objects among the last lines, last first; other programs write lines of their own."""
    for line in reversed(tail(log, 200)):
        if not line.startswith("{"):
            continue
        try:
            value: Any = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield value
