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
"""Bytes. A longer one is passed over."""


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
        for _, line in _lines(sorted((self.data / TRACES).glob("*.jsonl*")), [trace]):
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
    """``LogStore`` of a local stack: what its processes and jobs have written.

    Args:
        data: its folder.
    """

    data: Path

    def lines(self, words: Sequence[str], *, since: str = "") -> Sequence[LogLine]:  # noqa: ARG002 - all are read
        """See the port."""
        jobs = self.data / JOBS / LOGS
        paths = [*(self.data / LOGS).glob("*.log*"), *jobs.rglob("*.log")]
        return tuple(
            LogLine(text=line, source=_source(path, jobs))
            for path, line in _lines(sorted(paths), words)
        )


def _source(path: Path, jobs: Path) -> str:
    if path.is_relative_to(jobs):
        return "job"
    return path.name.partition(".log")[0]


def _lines(paths: Sequence[Path], words: Sequence[str]) -> Iterator[tuple[Path, str]]:
    """Whole lines of files that have one of the words: the last line may be half written."""
    wanted = [word.encode() for word in words]
    for path in paths:
        # The oldest files go while others are read.
        with suppress(FileNotFoundError), path.open("rb") as file:
            while line := _line(file, path):
                if line.endswith(b"\n") and any(word in line for word in wanted):
                    yield path, line.decode(errors="replace").rstrip("\r\n")


def _line(file: BinaryIO, path: Path) -> bytes:
    """The next line; an empty one in place of one that is too long."""
    with disk_call(path):
        line = file.readline(LONGEST_LINE)
        if len(line) < LONGEST_LINE:
            return line
        while line and not line.endswith(b"\n"):
            line = file.readline(LONGEST_LINE)
        return b"\n"
