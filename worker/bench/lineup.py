"""Who is measured, at which settings: the table of contenders."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from worker.bench.job import USUAL_EFFORT, Job
from worker.bench.sharp import Sharp

_PYTHON = "worker.bench.contenders"


class Key(StrEnum):
    """A contender at one setting."""

    ENGINE = "engine"
    ENGINE_FULL = "engine-full"
    SHARP_USUAL = "sharp-usual"
    PILLOW_USUAL = "pillow-usual"
    SHARP_SIZES = "sharp-sizes"
    SHARP_ONCE = "sharp-once"
    PILLOW_ONCE = "pillow-once"
    FLOOR = "floor"


OURS = (Key.ENGINE, Key.ENGINE_FULL)
USUAL = (Key.SHARP_USUAL, Key.PILLOW_USUAL)
"""Each tool as most people use it."""
SAME = (Key.SHARP_SIZES, Key.SHARP_ONCE, Key.PILLOW_ONCE)
"""Every tool at the settings of the engine, pixels shared between the files made from them."""

LABELS = {
    Key.ENGINE: "Safelight, renditions only",
    Key.ENGINE_FULL: "Safelight, with metadata and hashes",
    Key.SHARP_USUAL: "sharp, one pipeline per output",
    Key.PILLOW_USUAL: "Pillow, one pipeline per output",
    Key.SHARP_SIZES: "sharp, one decode per size",
    Key.SHARP_ONCE: "sharp, one decode",
    Key.PILLOW_ONCE: "Pillow, one decode",
    Key.FLOOR: "floor",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One program to start."""

    key: Key
    command: tuple[str, ...]


def line_up(job: Job, sharp: Sharp | None) -> tuple[Contender, ...]:
    """Everybody who takes part.

    Args:
        job: the ladder, with the engine's own WebP effort.
        sharp: where it is; None to leave it out.
    """
    usual, same = job.with_effort(USUAL_EFFORT).dump(), job.dump()
    commands = {
        Key.ENGINE: _python("engine", "render"),
        Key.ENGINE_FULL: _python("engine", "process"),
        Key.PILLOW_USUAL: _python("pillow", "per-output", usual),
        Key.PILLOW_ONCE: _python("pillow", "once", same),
        Key.FLOOR: _python("floor", same),
    }
    if sharp is not None:
        script = str(Path(__file__).with_name("contenders") / "sharp.cjs")
        begin = (sharp.node, script, str(sharp.folder))
        commands[Key.SHARP_USUAL] = (*begin, "per-output", usual)
        commands[Key.SHARP_SIZES] = (*begin, "per-size", same)
        commands[Key.SHARP_ONCE] = (*begin, "once", same)
    # In the order of Key: the engine and its rivals at the same settings take turns.
    return tuple(Contender(key=key, command=commands[key]) for key in Key if key in commands)


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"{_PYTHON}.{module}", *arguments)
