"""Runs the implementations one at a time, in turns; the least of all rounds is kept.

A B C A B C, photo by photo: whatever else the machine does hits all alike. The minimum counts,
because load only ever adds to it.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from worker.bench.config import OURS, USUAL_EFFORT, Key, Workload
from worker.domain.errors import EngineError, InputError, TransientError
from worker.subprocesses.child import Child

TIMES = 2
"""How often an implementation does a photo in one turn; the least counts. The first time finds the
processor's caches full of the others' pixels, which a worker that does one picture after the other
never meets."""

TIMEOUT = 300.0
"""Seconds of wall time after which a process counts as hung. Photos take a few."""

SINGLE_THREAD = {
    "VIPS_CONCURRENCY": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
"""One thread each. sharp is told by ``sharp.concurrency(1)``, imagecodecs by an argument."""

SHARP_VERSION = "0.35.5"
SHARP_FOLDER = Path(".safelight/bench")
"""Where npm installs sharp, below the folder that the command is run in; nothing else uses it."""

Commands = Mapping[Key, Sequence[str]]
"""The program and arguments of each implementation, in the order of their turns."""


class Broken(Exception):
    """The process did not start, died, hung or broke the protocol."""


class Refused(Exception):
    """The implementation could not do this photo."""


class SharpMissing(Exception):
    """sharp cannot be measured."""


# --- the programs ------------------------------------------------------------------------------


def commands(work: Workload, sharp: Sequence[str] | None) -> Commands:
    """Every implementation that takes part.

    Args:
        work: with the engine's own WebP effort.
        sharp: how sharp is started; None to leave it out.
    """
    usual, same = work.with_effort(USUAL_EFFORT).dumps(), work.dumps()

    def python(*arguments: str) -> tuple[str, ...]:
        return (sys.executable, "-m", "worker.bench.implementations", *arguments)

    found = {
        Key.ENGINE: python("engine", "render", same),
        Key.ENGINE_FULL: python("engine", "process", same),
        Key.MODERN: python("engine", "modern", same),
        Key.TARGET: python("engine", "target", same),
        Key.PILLOW_USUAL: python("pillow", "per-output", usual),
        Key.PILLOW_ONCE: python("pillow", "once", same),
        Key.FLOOR: python("floor", "all", same),
        Key.REPACK: python("repack", "all", same),
    }
    if sharp is not None:
        found[Key.SHARP_USUAL] = (*sharp, "per-output", usual)
        found[Key.SHARP_SIZES] = (*sharp, "per-size", same)
        found[Key.SHARP_ONCE] = (*sharp, "once", same)
    return {key: found[key] for key in Key if key in found}


def find_sharp(
    folder: Path = SHARP_FOLDER,
    *,
    which: Callable[[str], str | None] = shutil.which,
    notice: Callable[[str], None] = lambda _: None,
) -> tuple[str, ...]:
    """How sharp, the npm package, is started. npm installs it if it is missing.

    Args:
        folder: where it is or shall be.
        which: finds programs by name.
        notice: gets a line before anything is downloaded.

    Raises:
        SharpMissing: no node, no npm, or the installation failed.
    """
    node, npm = which("node"), which("npm")
    if node is None:
        raise SharpMissing("sharp is not measured: there is no `node` on the PATH")
    if not _has_sharp(folder):
        if npm is None:
            raise SharpMissing(
                f"sharp is not measured: it is not in {folder / 'node_modules'} "
                "and there is no `npm` on the PATH to install it with"
            )
        notice(f"installing sharp {SHARP_VERSION} with npm into {folder}")
        # sharp's compiled parts are packages of their own: none of its scripts needs to run.
        options = "--no-audit --no-fund --no-save --no-package-lock --ignore-scripts"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Without one, npm would install into the next folder above that has a package.json.
            (folder / "package.json").write_text('{"private": true}\n', encoding="utf-8")
            subprocess.run(  # noqa: S603  the npm that was found, fixed arguments
                [npm, "install", *options.split(), "--loglevel=error", f"sharp@{SHARP_VERSION}"],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=300,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            said = str(getattr(error, "stderr", None) or error).strip().splitlines()
            raise SharpMissing(f"sharp is not measured: npm install failed: {said[0]}") from error
        if not _has_sharp(folder):
            raise SharpMissing("sharp is not measured: npm install did not install it")
    return (node, str(Path(__file__).with_name("sharp.cjs")), str(folder.resolve()))


def _has_sharp(folder: Path) -> bool:
    package = folder / "node_modules" / "sharp" / "package.json"
    try:
        return bool(json.loads(package.read_text(encoding="utf-8"))["version"] == SHARP_VERSION)
    except (OSError, ValueError, KeyError, TypeError):
        return False


# --- one process -------------------------------------------------------------------------------


class MadeFile(NamedTuple):
    """One file that an implementation wrote."""

    name: str
    format: str
    path: Path


class ImplementationProcess:
    """A running implementation, asked photo by photo. A context manager: it ends with the block.

    The protocol is described in ``worker.bench.implementations``.
    """

    def __init__(self, command: Sequence[str], log: Path, *, timeout: float = TIMEOUT) -> None:
        """Start it and wait until it is ready.

        Args:
            command: program and arguments.
            log: where its standard error goes; the last line is quoted when it breaks.
            timeout: seconds to wait for any answer.

        Raises:
            Broken: it does not start.
        """
        self._log = log
        self._timeout = timeout
        try:
            with log.open("wb") as errors:
                self._child = Child(
                    command,
                    environment={**os.environ, **SINGLE_THREAD},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors.fileno(),
                )
        except TransientError as error:
            raise Broken(f"{command[0]} cannot be run: {error.message}") from error
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._requests = self._child.stdin
        self._answers = os.fdopen(self._child.stdout, "rb", buffering=0, closefd=False)
        try:
            versions = self._receive().get("versions", {})
            self.versions = {str(name): str(version) for name, version in versions.items()}
        except BaseException:
            self.close()
            raise
        self.idle_memory = self.peak_memory()

    def __enter__(self) -> ImplementationProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(
        self, photo: Path, out: Path | None = None
    ) -> tuple[dict[str, float], tuple[MadeFile, ...]]:
        """Have one photo done: CPU seconds by part, and the files.

        Args:
            photo: the original.
            out: folder to write the files to; None to write none.

        Raises:
            Refused: it could not be done.
            Broken: the process is of no more use.
        """
        request = {"photo": str(photo), "out": None if out is None else str(out)}
        try:
            os.write(self._requests, json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise Broken(f"ended early: {self._last_line()}") from error
        answer = self._receive()
        if "error" in answer:
            raise Refused(str(answer["error"]))
        try:
            seconds = {str(part): float(cpu) for part, cpu in answer["seconds"].items()}
            return seconds, tuple(
                MadeFile(file["name"], file["format"], Path(file["path"]))
                for file in answer["files"]
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Broken("gave an answer without seconds and files") from error

    def peak_memory(self) -> int | None:
        """Most bytes resident at once so far (Linux: VmHWM of proc(5)); None where unknown.

        Not ``ru_maxrss``, which a child inherits from the process that started it.
        """
        try:
            status = Path(f"/proc/{self._child.pid}/status").read_text(encoding="ascii")
        except OSError:
            return None
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
        return int(found[1]) * 1024 if found else None

    def close(self) -> None:
        """End the process."""
        self._child.end()

    def _receive(self) -> dict[str, Any]:
        # An answer is one line, written at once: what can be read begins a whole one.
        if not select.select([self._answers], [], [], self._timeout)[0]:
            raise Broken(f"gave no answer within {self._timeout:g} s")
        line = self._answers.readline()
        if not line:
            raise Broken(f"ended early: {self._last_line()}")
        try:
            answer = json.loads(line)
        except ValueError as error:
            raise Broken(f"printed {line[:80]!r} instead of JSON") from error
        if not isinstance(answer, dict):
            raise Broken(f"printed {line[:80]!r} instead of an object")
        return answer

    def _last_line(self) -> str:
        self._child.ended(wait=True)
        lines = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
        # Node ends its reports with its version, after the error and a stack.
        kept = [line.strip() for line in lines if line.strip() and not line.startswith("Node.js")]
        errors = [line for line in kept if "Error" in line]
        return (errors or kept or [f"exit code {self._child.status}"])[-1][:300]


# --- the comparison ----------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class Measured:
    """Everything measured of one implementation."""

    versions: Mapping[str, str]
    idle_memory: int | None
    """Bytes before the first photo: the runtime and its libraries."""
    peak_memory: int | None = None
    runs: dict[str, list[Mapping[str, float]]] = field(default_factory=dict)
    """Photo to the CPU seconds of the parts, for every time that it was done."""
    files: dict[str, tuple[MadeFile, ...]] = field(default_factory=dict)
    """Photo to what was made of it."""

    def least(self, parts: Collection[str]) -> float:
        """CPU seconds a photo of some parts together: of each photo, the least run counts.

        Not the sum of the least of each part: those come from different runs, and no run is quiet
        from one end to the other.
        """
        return fmean(
            min(sum(run[part] for part in parts) for run in runs) for runs in self.runs.values()
        )


class Measurements(NamedTuple):
    """All measurements."""

    measured: dict[Key, Measured]
    refused: dict[str, str]
    """Photos that an implementation could not do: out of the figures of all, and why."""
    absent: tuple[str, ...]
    """Implementations that did not start, and why, in a line each."""


def compare(
    implementations: Commands,
    photos: Mapping[str, Path],
    scratch: Path,
    *,
    rounds: int,
    progress: Callable[[str], None] = lambda _: None,
) -> Measurements:
    """Measure every implementation on every photo.

    Args:
        implementations: in the order of their turns.
        photos: by name.
        scratch: an empty folder; the files of the first round stay in it.
        rounds: how often each photo is done by each.
        progress: gets a line about each turn.

    Raises:
        EngineError: the engine did not start, or an implementation died on the way.
        InputError: no photo could be done by all of them.
    """
    refused: dict[str, str] = {}
    with ExitStack() as stack:
        running, absent = _start(implementations, scratch, stack)
        measured = {
            key: Measured(versions=one.versions, idle_memory=one.idle_memory)
            for key, one in running.items()
        }
        for number in range(rounds):
            for name in photos:
                if name in refused:
                    continue
                progress(f"round {number + 1} of {rounds}: {name}")
                for key, one in running.items():
                    out = scratch / key / name if number == 0 else None
                    try:
                        _turn(one, measured[key], name, photos[name], out)
                    except Refused as error:
                        refused[name] = f"{key} could not do it: {error}"
                        break
                    except Broken as error:
                        raise EngineError(f"bench: {key} on {name}: {error}") from error
        for key, one in running.items():
            measured[key].peak_memory = one.peak_memory()
    if len(refused) == len(photos):
        reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
        raise InputError(f"--corpus: no picture in it can be measured ({reasons})")
    for result in measured.values():
        for name in refused:
            result.runs.pop(name, None)
            result.files.pop(name, None)
    return Measurements(measured, refused, absent)


def _start(
    implementations: Commands, scratch: Path, stack: ExitStack
) -> tuple[dict[Key, ImplementationProcess], tuple[str, ...]]:
    running: dict[Key, ImplementationProcess] = {}
    absent: list[str] = []
    for key, command in implementations.items():
        try:
            running[key] = stack.enter_context(
                ImplementationProcess(command, scratch / f"{key}.log")
            )
        except Broken as error:
            if key in OURS:
                raise EngineError(f"bench: {key} did not start: {error}") from error
            absent.append(f"{key} is not measured: it {error}")
    return running, tuple(absent)


def _turn(
    one: ImplementationProcess, measured: Measured, name: str, photo: Path, out: Path | None
) -> None:
    if out is not None:
        out.mkdir(parents=True)
        if not measured.runs:
            # Lazy imports, tables and just-in-time compilation are no part of a photo.
            one.ask(photo)
    seconds, files = one.ask(photo, out)
    runs = measured.runs.setdefault(name, [])
    runs += [seconds, *(one.ask(photo)[0] for _ in range(TIMES - 1))]
    if out is not None:
        measured.files[name] = files
