"""The logs and the spans of the local stack, read from its folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from worker.adapters.disk_errors import disk_call
from worker.adapters.spans import otlp_spans
from worker.local.address import JOBS
from worker.ports import FoundSpans, LogLine, SpanRecord

TRACES = "traces"
"""Folder of the spans, a file a process."""
LOGS = "logs"
LONGEST_LINE = 4_000_000
"""Bytes. A longer one is not read."""
_EXPORT = b'"resourceSpans"'
"""Is in every line of spans."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTraces:
    """``TraceStore`` of a local stack.

    Args:
        data: its folder.
    """

    data: Path

    def spans(self, trace: str, *, since: str = "") -> FoundSpans:  # noqa: ARG002 - all are read
        """See the port."""
        spans: list[SpanRecord] = []
        unreadable = 0
        wanted = trace.encode()
        for _, line in _lines(sorted((self.data / TRACES).glob("*.jsonl*"))):
            if wanted not in line:
                # Of another trace, if it is a line of spans at all. Decoding it would take long.
                unreadable += _EXPORT not in line
                continue
            try:
                found = [one for id_, one in otlp_spans(json.loads(line)) if id_ == trace]
            except (ValueError, RecursionError):
                unreadable += 1
                continue
            spans += [one for one in found if one is not None]
            unreadable += found.count(None)
        return FoundSpans(spans=tuple(spans), unreadable=unreadable)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalLogs:
    """``LogStore`` of a local stack: the log lines of its processes and jobs.

    Args:
        data: its folder.
    """

    data: Path

    def lines(self, words: Sequence[str], *, since: str = "") -> Sequence[LogLine]:  # noqa: ARG002 - all are read
        """See the port."""
        jobs = self.data / JOBS / LOGS
        paths = [*(self.data / LOGS).glob("*.log*"), *jobs.rglob("*.log")]
        wanted = [word.encode() for word in words]
        return tuple(
            LogLine(text=line.decode(errors="replace").rstrip("\r\n"), source=_source(path, jobs))
            for path, line in _lines(sorted(paths))
            if any(word in line for word in wanted)
        )


def _source(path: Path, jobs: Path) -> str:
    if path.is_relative_to(jobs):
        return "job"
    return path.name.partition(".log")[0]


def _lines(paths: Sequence[Path]) -> Iterator[tuple[Path, bytes]]:
    """Whole lines of files: the last one may be half written. Anything that is not a readable file
    is skipped."""
    for path in paths:
        if not path.is_file():  # a folder; a pipe, which would be waited for
            continue
        # The oldest files go while others are read.
        with suppress(FileNotFoundError, PermissionError), path.open("rb") as file:
            while line := _line(file, path):
                if line.endswith(b"\n"):
                    yield path, line


def _line(file: BinaryIO, path: Path) -> bytes:
    """The next line; an empty one in place of one that is too long."""
    with disk_call(path):
        line = file.readline(LONGEST_LINE)
        if len(line) < LONGEST_LINE:
            return line
        while line and not line.endswith(b"\n"):
            line = file.readline(LONGEST_LINE)
        return b"\n"
