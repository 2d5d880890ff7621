"""The measuring side of the protocol: one child process, asked photo by photo.

The child's side is ``worker.bench.contenders.serving``, which describes the lines. What may not
live here: anything that depends on which contender it is.
"""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

PATIENCE = 300.0
"""Seconds of wall time after which a child counts as hung. Photos take a few."""

SINGLE_THREAD = {
    "VIPS_CONCURRENCY": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
"""One thread each. sharp is told by ``sharp.concurrency(1)``, imagecodecs by an argument."""


class Broken(Exception):
    """The child did not start, died, hung or does not speak the protocol; says which."""


class Refused(Exception):
    """The child could not do this photo; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file that a child wrote."""

    name: str
    format: str
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One photo, done once."""

    seconds: Mapping[str, float]
    """CPU seconds (user and system, all threads) by part."""
    files: tuple[File, ...]


class Child:
    """A running contender. Use as a context manager: it ends with the block."""

    def __init__(self, command: Sequence[str], log: Path, *, patience: float = PATIENCE) -> None:
        """Start it and wait until it is ready.

        Args:
            command: program and arguments.
            log: where its standard error goes; its last line is quoted when it breaks.
            patience: seconds to wait for any answer.

        Raises:
            Broken: it does not start.
        """
        self._log = log
        self._patience = patience
        self._rest = b""
        try:
            with log.open("wb") as errors:
                self._process = subprocess.Popen(  # noqa: S603  our own command line
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env={**os.environ, **SINGLE_THREAD},
                )
        except OSError as error:
            raise Broken(f"{command[0]} cannot be run: {error.strerror}") from error
        try:
            versions = self._hear().get("versions", {})
            self.versions = {str(name): str(version) for name, version in versions.items()}
        except BaseException:
            self.close()
            raise
        self.idle_memory = self.peak_memory()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def ask(self, photo: Path, out: Path | None = None) -> Answer:
        """Have one photo done.

        Args:
            photo: the original.
            out: folder to write the files to; None to write none.

        Raises:
            Refused: it could not be done.
            Broken: the child is of no more use.
        """
        request = {"photo": str(photo), "out": None if out is None else str(out)}
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise Broken(f"ended early: {self._last_words()}") from error
        answer = self._hear()
        if "error" in answer:
            raise Refused(str(answer["error"]))
        try:
            return Answer(
                seconds={str(part): float(cpu) for part, cpu in answer["seconds"].items()},
                files=tuple(
                    File(name=file["name"], format=file["format"], path=Path(file["path"]))
                    for file in answer["files"]
                ),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Broken("gave an answer without seconds and files") from error

    def peak_memory(self) -> int | None:
        """Most bytes resident at once so far (Linux: VmHWM of proc(5)); None where unknown.

        Not ``ru_maxrss``, which a child inherits from the process that started it.
        """
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        except OSError:
            return None
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
        return int(found[1]) * 1024 if found else None

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            try:
                if pipe is not None:
                    pipe.close()
            except OSError:
                pass  # what was still to be said to a dead process
        self._process.kill()
        self._process.wait()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        deadline = time.monotonic() + self._patience
        while b"\n" not in self._rest:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([descriptor], [], [], left)[0]:
                raise Broken(f"gave no answer within {self._patience:g} s")
            read = os.read(descriptor, 65_536)
            if not read:
                raise Broken(f"ended early: {self._last_words()}")
            self._rest += read
        line, _, self._rest = self._rest.partition(b"\n")
        try:
            answer = json.loads(line)
        except ValueError as error:
            raise Broken(f"said {line[:80]!r} instead of JSON") from error
        if not isinstance(answer, dict):
            raise Broken(f"said {line[:80]!r} instead of an object")
        return answer

    def _last_words(self) -> str:
        self._process.wait()
        lines = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
        # Node ends its reports with its version, after the error and a stack.
        said = [line.strip() for line in lines if line.strip() and not line.startswith("Node.js")]
        errors = [line for line in said if "Error" in line]
        return (errors or said or [f"exit code {self._process.returncode}"])[-1][:300]
