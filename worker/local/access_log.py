"""The delivery server's log of requests, with the names of CloudFront's standard logs."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from worker.domain.errors import SafelightError
from worker.local.child import log

NAME = "access.log"
"""In the folder of logs; the one before is ``access.log.1``."""
MOST_BYTES = 50_000_000
"""Of a file; then a new one begins."""


@dataclass(slots=True)
class AccessLog:
    """Appends a line for each request. A disk that is full costs lines, and no answer."""

    path: Path
    most: int = MOST_BYTES
    _failed: bool = False

    def write(self, *, method: str, path: str, status: int, sent: int, kind: str, how: str) -> None:
        """One request.

        Args:
            path: that the edge function has chosen, with its ``/``.
            sent: bytes of the body.
            kind: its media type.
            how: ``Hit``, ``Miss`` and so on.
        """
        now = datetime.now(UTC)
        line = {
            "date": now.strftime("%Y-%m-%d"),
            "time": now.strftime("%H:%M:%S"),
            "cs-method": method,
            "cs-uri-stem": path,
            "sc-status": str(status),
            "sc-bytes": str(sent),
            "sc-content-type": kind,
            "x-edge-result-type": how,
        }
        try:
            self._append((json.dumps(line, separators=(",", ":")) + "\n").encode())
        except (OSError, SafelightError) as failure:
            if not self._failed:
                log(f"requests are not logged: {failure}")
            self._failed = True

    def _append(self, line: bytes) -> None:
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(file, line)
            full = os.fstat(file).st_size >= self.most
        finally:
            os.close(file)
        if full:
            with suppress(FileNotFoundError):
                self.path.replace(self.path.with_name(f"{self.path.name}.1"))
