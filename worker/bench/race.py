"""Running the contenders: strictly one at a time, taking turns, the least of all rounds kept.

A B C A B C, photo by photo, so that whatever else the machine does hits all alike; and the
minimum, because load only ever adds to it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from worker.bench.child import Broken, Child, File, Refused
from worker.bench.lineup import OURS, Contender, Key
from worker.errors import EngineError, InputError

GOES = 2
"""Times a contender does a photo in one turn. The first go finds the processor's caches full of the
others' pixels, which a worker that does picture after picture never meets; the least counts."""


@dataclass(slots=True, kw_only=True)
class Outcome:
    """Everything measured of one contender."""

    versions: Mapping[str, str]
    idle_memory: int | None
    """Bytes before the first photo: the runtime and its libraries."""
    peak_memory: int | None = None
    seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    """Photo to part to the least CPU seconds of all rounds."""
    goes: dict[str, list[Mapping[str, float]]] = field(default_factory=dict)
    """Photo to the CPU seconds of the parts of every go."""
    files: dict[str, tuple[File, ...]] = field(default_factory=dict)
    """Photo to what was made of it."""

    def keep(self, photo: str, seconds: Mapping[str, float]) -> None:
        """Take one go's figures of a photo; the lowest of each part count."""
        self.goes.setdefault(photo, []).append(seconds)
        best = self.seconds.setdefault(photo, {})
        for part, spent in seconds.items():
            best[part] = min(spent, best.get(part, spent))

    def least(self, parts: Collection[str]) -> float:
        """CPU seconds a photo of several parts together: of each photo's goes, the least counts.

        Not the sum of the least of each part: those come from different goes, and no go is quiet
        from one end to the other.
        """
        spent = [min(sum(go[part] for part in parts) for go in goes) for goes in self.goes.values()]
        return sum(spent) / len(spent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """The result of a race."""

    outcomes: dict[Key, Outcome]
    refused: dict[str, str]
    """Photos that a contender could not do: out of the figures of all, and why."""
    absent: tuple[str, ...]
    """Contenders that did not start, and why, in a line each."""


def race(
    contenders: Sequence[Contender],
    photos: Mapping[str, Path],
    scratch: Path,
    *,
    rounds: int,
    progress: Callable[[str], None] = lambda _: None,
) -> Finish:
    """Measure every contender on every photo.

    Args:
        contenders: in the order of their turns.
        photos: by name.
        scratch: an empty folder; the files of the first round stay in it.
        rounds: how often each photo is done by each.
        progress: is told what is going on, in a line.

    Raises:
        EngineError: the engine did not start, or a contender died on the way.
        InputError: no photo could be done by all of them.
    """
    with ExitStack() as stack:
        running, absent = _start(contenders, scratch, stack)
        outcomes = {
            key: Outcome(versions=child.versions, idle_memory=child.idle_memory)
            for key, child in running.items()
        }
        refused: dict[str, str] = {}
        for number, name in _turns(photos, rounds):
            if name in refused:
                continue
            progress(f"round {number + 1} of {rounds}: {name}")
            for key, child in running.items():
                out = scratch / key / name if number == 0 else None
                try:
                    _turn(child, outcomes[key], name, photos[name], out)
                except Refused as error:
                    refused[name] = f"{key} could not do it: {error}"
                    break
                except Broken as error:
                    raise EngineError(f"bench: {key} on {name}: {error}") from error
        for key, child in running.items():
            outcomes[key].peak_memory = child.peak_memory()
    if len(refused) == len(photos):
        reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
        raise InputError(f"--corpus: no picture in it can be measured ({reasons})")
    for outcome in outcomes.values():
        for name in refused:
            outcome.seconds.pop(name, None)
            outcome.goes.pop(name, None)
            outcome.files.pop(name, None)
    return Finish(outcomes=outcomes, refused=refused, absent=absent)


def _start(
    contenders: Sequence[Contender], scratch: Path, stack: ExitStack
) -> tuple[dict[Key, Child], tuple[str, ...]]:
    running: dict[Key, Child] = {}
    absent: list[str] = []
    for contender in contenders:
        log = scratch / f"{contender.key}.log"
        try:
            running[contender.key] = stack.enter_context(Child(contender.command, log))
        except Broken as error:
            if contender.key in OURS:
                raise EngineError(f"bench: {contender.key} did not start: {error}") from error
            absent.append(f"{contender.key} is not measured: it {error}")
    return running, tuple(absent)


def _turns(photos: Mapping[str, Path], rounds: int) -> list[tuple[int, str]]:
    return [(number, name) for number in range(rounds) for name in photos]


def _turn(child: Child, outcome: Outcome, name: str, photo: Path, out: Path | None) -> None:
    if out is not None:
        out.mkdir(parents=True)
        if not outcome.seconds:
            # Lazy imports, tables and just-in-time compilation are no part of a photo.
            child.ask(photo)
    answer = child.ask(photo, out)
    outcome.keep(name, answer.seconds)
    for _ in range(GOES - 1):
        outcome.keep(name, child.ask(photo).seconds)
    if out is not None:
        outcome.files[name] = answer.files
