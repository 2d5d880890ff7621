"""Spans in files of a folder, for a machine without a cloud.

A line is one request of OTLP in JSON, as OpenTelemetry's file exporters write them (Specification,
"OpenTelemetry Protocol File Exporter"). Each process has a file of its own and appends whole lines
to it, so that no lock is needed and a killed process leaves whole lines behind.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

FILE_BYTES = 16_000_000
"""A process that has written so much begins another file."""
FOLDER_FILES = 64
"""Kept; of more, the oldest go."""
SUFFIX = ".jsonl"


class SpanFiles:
    """Where they are written to.

    Args:
        folder: is made with the first line.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._file = self._folder
        self._process = 0
        self._written = 0

    def send(self, request: bytes) -> None:
        """Append one request.

        Raises:
            OSError: it cannot be written.
        """
        line = request + b"\n"
        # After a fork the file is the parent's.
        if self._process != os.getpid() or self._written + len(line) > FILE_BYTES:
            self._begin()
        opened = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(opened, line)
        finally:
            os.close(opened)
        self._written += len(line)

    def _begin(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._process, self._written = os.getpid(), 0
        # In order of time, by name.
        self._file = self._folder / f"{time.time_ns():020}-{self._process}{SUFFIX}"
        for old in sorted(self._folder.glob(f"*{SUFFIX}"))[: -FOLDER_FILES + 1]:
            with suppress(OSError):  # another process has done it
                old.unlink()
