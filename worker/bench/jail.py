"""Measures the cost of decoding a picture in a locked-in child instead of in the process itself."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from worker.imaging import engine
from worker.recipes import load
from worker.subprocesses import sandbox
from worker.subprocesses.sandbox import SandboxLimits, Warm

LIMITS = SandboxLimits(cpu_seconds=120, wall_seconds=300, memory_bytes=2 * 2**30)


@dataclass(frozen=True, slots=True, kw_only=True)
class JailCost:
    """Milliseconds of processor time; a picture's is the median of its rounds."""

    pictures: int
    here_ms: float
    """A picture, on average, in the process itself."""
    jailed_ms: float
    """A picture, on average, in a child that stays: both processes together."""
    start_ms: float
    """The start of one child, until it has served a call without work."""

    @property
    def extra_ms(self) -> float:
        """The cost of the jail for a picture."""
        return self.jailed_ms - self.here_ms


def used() -> float:
    """Processor time of the process that is asked, seconds: it is called in the child."""
    return time.process_time()


def measure(photos: Sequence[bytes], rounds: int) -> JailCost:
    """Process each photo by the default recipe in turns, here and in a child.

    Args:
        photos: JPEG files.
        rounds: how often; one more comes first and does not count.
    """
    recipe = load("default")
    engine.get_ready()
    jailed = Warm(("worker.imaging.engine", "get_ready"))
    here: list[list[float]] = [[] for _ in photos]
    there: list[list[float]] = [[] for _ in photos]
    try:
        start = jailed.run(used, limits=LIMITS)
        for _ in range(rounds + 1):
            for photo, plain, locked in zip(photos, here, there, strict=True):
                began = time.process_time()
                sandbox.here(engine.process, photo, recipe, limits=LIMITS)
                plain.append(time.process_time() - began)
                began = time.process_time() + jailed.run(used, limits=LIMITS)
                jailed.run(engine.process, photo, recipe, limits=LIMITS)
                locked.append(time.process_time() + jailed.run(used, limits=LIMITS) - began)
    finally:
        jailed.close()
    return JailCost(
        pictures=len(photos),
        here_ms=_mean(here),
        jailed_ms=_mean(there),
        start_ms=round(start * 1000, 1),
    )


def _mean(seconds: list[list[float]]) -> float:
    return round(statistics.mean(statistics.median(one[1:]) for one in seconds) * 1000, 2)
