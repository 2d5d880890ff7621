"""The child's side of the protocol: JSON lines in, JSON lines out, one photo at a time.

Asked ``{"photo": PATH, "out": FOLDER or null}``, a child answers ``{"seconds": {PART: CPU
SECONDS}, "files": [{"name", "format", "path"}]}``, or ``{"error": TEXT}``. Its first line,
unasked, is ``{"versions": {NAME: VERSION}}``. Reading the photo and writing the files are not
measured; CPU seconds are those of the whole process, all threads, user and system. The same
protocol is spoken by ``sharp.cjs``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

TOTAL = "total"
"""The part of a contender that is measured as a whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One file, by value."""

    name: str
    format: str
    data: bytes = field(repr=False)


class Watch:
    """Adds up CPU time by part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Measure what happens inside, under a name."""
        before = time.process_time()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - before


Work = Callable[[bytes, Watch], list[Output]]
"""Does one photo, and measures what counts with the watch it is given."""


def serve(work: Work, versions: Mapping[str, str]) -> None:
    """Answer requests until the input ends.

    Args:
        work: what this contender does.
        versions: of the libraries at work.
    """
    # A library that prints must not break the protocol: its lines go where errors go.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    _say(answers, {"versions": dict(versions)})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            _say(answers, _answer(work, Path(request["photo"]), request["out"]))
        except Exception as error:  # noqa: BLE001  whatever it is, the measuring side must hear it
            _say(answers, {"error": f"{type(error).__name__}: {error}"})


def _answer(work: Work, photo: Path, out: str | None) -> dict[str, object]:
    watch = Watch()
    made = work(photo.read_bytes(), watch)
    files = []
    for output in made if out is not None else ():
        path = Path(out or "") / f"{output.name}.{output.format}"
        path.write_bytes(output.data)
        files.append({"name": output.name, "format": output.format, "path": str(path)})
    return {"seconds": watch.seconds, "files": files}


def _say(answers: TextIO, answer: Mapping[str, object]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
