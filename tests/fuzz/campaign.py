"""Runs targets, each in a process of its own, and keeps the inputs that fail.

Where atheris is installed, the code of ``worker`` is instrumented and libFuzzer looks for inputs
that reach new code. Elsewhere (it has wheels for Linux on x86-64 alone) inputs are damaged blindly.
Either way the same seed and number of runs give the same inputs.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import re
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from tests.fuzz.mutations import mutant

if TYPE_CHECKING:
    from tests.fuzz.targets import Target

CALL_SECONDS = 25
"""The longest call. Honest inputs take milliseconds; machines may be busy."""
MEMORY_MB = 2048
"""Most memory of the process, the fuzzer's own 200 MB included."""
_FAILED = 77
"""Exit status after an exception; libFuzzer's own."""
_TRACE = "=== the exception ==="


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How long to look, and where to begin."""

    seed: int
    seconds: int = 0
    """In all, over the targets by their weight; 0: as many runs as said."""
    runs: int = 0
    """Of each target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one target."""

    target: str
    runs: int
    seconds: float
    places: int
    """Edges of our code that were reached; 0 where nothing is instrumented."""
    failure: str = ""
    """Last line of the traceback, or what the fuzzer said; empty if nothing failed."""
    kept: tuple[Path, ...] = ()
    """Inputs that failed."""
    log: Path | None = None


def coverage_guided() -> bool:
    """Whether atheris is installed."""
    return find_spec("atheris") is not None


def run(names: Sequence[str], budget: Budget, folder: Path) -> Iterator[Result]:
    """Fuzz targets, one after the other.

    Args:
        names: of targets; none: all of them.
        budget: see there.
        folder: failing inputs and logs go here, a folder for each target.
    """
    with _instrumented(folder):
        from tests.fuzz.targets import targets

        known = targets()
    chosen = [known[name] for name in names or known]
    weights = sum(one.weight for one in chosen)
    for target in chosen:
        share = max(1, round(budget.seconds * target.weight / weights)) if budget.seconds else 0
        yield fuzz(target, replace(budget, seconds=share), folder / target.name)


def fuzz(target: Target, budget: Budget, place: Path, *, guided: bool | None = None) -> Result:
    """Fuzz one target in a process of its own.

    Args:
        target: which one.
        budget: of this target alone.
        place: folder for the log and what fails.
        guided: by coverage; None: where that is possible.
    """
    place.mkdir(parents=True, exist_ok=True)
    log, before, began = place / "log", set(place.iterdir()), time.monotonic()
    attack = _guided if (coverage_guided() if guided is None else guided) else _blind
    status = _forked(attack, target, budget, place)
    said = log.read_text("utf-8", "replace")
    return Result(
        target=target.name,
        runs=_last(r"stat::number_of_executed_units:\s*(\d+)|^#(\d+)", said),
        seconds=time.monotonic() - began,
        places=_last(r"cov: (\d+)", said),
        failure=_failure(status, said),
        kept=tuple(sorted(set(place.iterdir()) - before - {log})),
        log=log,
    )


@contextlib.contextmanager
def _instrumented(folder: Path) -> Iterator[None]:
    """Watch what is imported in the block, if there is something to watch with."""
    if not coverage_guided():
        yield
        return
    import atheris

    folder.mkdir(parents=True, exist_ok=True)
    kept = os.dup(2)
    with (folder / "instrumented").open("w") as log:
        os.dup2(log.fileno(), 2)  # a line for each module
        try:
            with atheris.instrument_imports(include=["worker"]):
                yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


Attack: TypeAlias = "Callable[[Target, Budget, Path], int]"


def _forked(attack: Attack, target: Target, budget: Budget, place: Path) -> int:
    """Fuzz in a child; its exit status, or the negative number of a signal."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            log = os.open(place / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(log, 1)
            os.dup2(log, 2)
            sys.stdout = sys.stderr = os.fdopen(log, "w", buffering=1)  # not what pytest put there
            status = attack(target, budget, place)
        except BaseException:  # noqa: BLE001 - the child ends here, whatever it was
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _guided(target: Target, budget: Budget, place: Path) -> int:
    """Hand over to libFuzzer, which ends the process."""
    import atheris

    def attack(data: bytes) -> None:
        # Kept here: at an exception libFuzzer keeps the input only if the process ends its own way.
        try:
            target.attack(data)
        except Exception:  # noqa: BLE001 - what is looked for
            _keep(place, data)
            os._exit(_FAILED)

    with tempfile.TemporaryDirectory(prefix="safelight-fuzz-") as scratch:
        corpus, words = Path(scratch) / "corpus", Path(scratch) / "words"
        corpus.mkdir()
        for number, data in enumerate(target.seeds()):
            (corpus / f"{number:04}").write_bytes(data)
        entries = ("".join(f"\\x{byte:02x}" for byte in word) for word in target.words)
        words.write_text("".join(f'"{entry}"\n' for entry in (*entries, "\\x00\\x0a")))
        seconds, runs = budget.seconds, budget.runs
        limit = f"-max_total_time={seconds}" if seconds else f"-runs={runs}"
        atheris.Setup(
            [
                "fuzz",
                limit,
                f"-seed={budget.seed or 1}",  # 0 asks for a seed by the time
                f"-max_len={target.longest}",
                f"-timeout={CALL_SECONDS}",
                f"-rss_limit_mb={MEMORY_MB}",
                f"-artifact_prefix={place}/",
                f"-dict={words}",
                "-print_final_stats=1",
                "-reload=0",
                str(corpus),
            ],
            attack,
        )
        atheris.Fuzz()
    return 0


def _blind(target: Target, budget: Budget, place: Path) -> int:
    """Damage seeds at random."""
    seeds = list(target.seeds())
    chance = random.Random(budget.seed)
    until = time.monotonic() + budget.seconds
    number = 0
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    while (time.monotonic() < until) if budget.seconds else (number < budget.runs):
        data = seeds[number] if number < len(seeds) else mutant(seeds, chance)
        number += 1
        signal.alarm(CALL_SECONDS)
        try:
            target.attack(data[: target.longest])
        except Exception:  # noqa: BLE001 - what is looked for
            sys.stdout.write(f"#{number}\n")
            _keep(place, data)
            return _FAILED
    sys.stdout.write(f"#{number}\n")
    return 0


def _keep(place: Path, data: bytes) -> None:
    """Keep the input, and print the exception that is handled, with its causes."""
    name = hashlib.sha256(data).hexdigest()[:16]
    (place / f"crash-{name}").write_bytes(data)
    sys.stdout.write(f"{_TRACE}\n")
    traceback.print_exc(file=sys.stdout)
    sys.stdout.flush()


def _last(pattern: str, said: str) -> int:
    found = re.findall(pattern, said, re.MULTILINE)
    if not found:
        return 0
    last = found[-1]
    return int(last if isinstance(last, str) else next(filter(None, last)))


def _failure(status: int, said: str) -> str:
    """One line for what went wrong."""
    if status == 0:
        return ""
    if status == _FAILED and _TRACE in said:
        return said.strip().splitlines()[-1][:300]
    if status < 0:
        return f"ended by {signal.Signals(-status).name}"
    raised = re.search(r"ERROR: libFuzzer: (.*)", said)
    return raised[1] if raised else f"ended with {status}: {said.strip()[-300:]}"
