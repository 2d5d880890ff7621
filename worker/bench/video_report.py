"""The figures of ``safelight bench video`` in words and as JSON, beside their goals.

What lives here: wording. What may not: measuring (``video``).
"""

from __future__ import annotations

import re

from worker.bench.video import BYTES_GOAL, OVERHEAD_GOAL, WORKERS_GOAL, VideoFigures
from worker.errors import InputError


def check_size(size: str) -> None:
    """Raise ``InputError`` unless a size is given as ``1280x720``."""
    found = re.fullmatch(r"([0-9]{2,4})x([0-9]{2,4})", size)
    if found is None or int(found[1]) % 2 or int(found[2]) % 2:
        raise InputError(f"--size {size}: give two even numbers of pixels like 1280x720")


def as_dict(figures: VideoFigures) -> dict[str, object]:
    """Every figure with its goal."""
    return {
        "film_seconds": figures.film_seconds,
        "frames": figures.frames,
        "parts": figures.parts,
        "plain": {
            "wall_seconds": round(figures.plain.wall, 2),
            "cpu_seconds": round(figures.plain.cpu, 2),
        },
        "parts_run": {
            "wall_seconds": round(figures.ours.wall, 2),
            "cpu_seconds": round(figures.ours.cpu, 2),
        },
        "overhead": round(figures.overhead, 4),
        "overhead_cpu": round(figures.cpu_overhead, 4),
        "overhead_goal": OVERHEAD_GOAL,
        "plain_bytes": figures.plain_bytes,
        "parts_bytes": figures.our_bytes,
        "more_bytes": round(figures.more_bytes, 5),
        "more_bytes_goal": BYTES_GOAL,
        "one_worker_one_core_seconds": _rounded(figures.pinned_one),
        "two_workers_a_core_each_seconds": _rounded(figures.pinned_two),
        "one_worker_all_cores_seconds": _rounded(figures.free_one),
        "cores": figures.cores,
        "two_workers": _rounded(figures.workers),
        "two_workers_at_best": round(figures.workers_at_best, 2),
        "two_workers_goal": WORKERS_GOAL,
        "reclaimed_wall_seconds": round(figures.interrupted.wall, 2),
        "reclaimed_cpu_seconds": round(figures.interrupted.cpu, 2),
        "reclaim_film_seconds_lost": round(figures.film_lost, 2),
        "longest_part_seconds": round(figures.longest_part, 2),
    }


def lines(figures: VideoFigures) -> list[str]:
    """For a terminal."""
    plain, ours = figures.plain, figures.ours
    part = ours.wall / figures.parts * min(figures.cores, figures.parts)
    more = figures.interrupted.wall - ours.wall
    result = [
        f"film            {figures.film_seconds:8.1f} s, {figures.frames} frames,"
        f" {figures.parts} parts",
        f"plain ffmpeg    {plain.wall:8.1f} s wall, {plain.cpu:.1f} s CPU",
        f"in parts        {ours.wall:8.1f} s wall, {ours.cpu:.1f} s CPU",
        f"overhead        {figures.overhead:8.1%} of wall time ({figures.cpu_overhead:.1%} of CPU)"
        f"  (goal {OVERHEAD_GOAL:.0%}: {_verdict(figures.overhead <= OVERHEAD_GOAL)})",
        f"bytes           {figures.more_bytes:+8.2%} against one piece"
        f"  (goal {BYTES_GOAL:.0%}: {_verdict(figures.more_bytes <= BYTES_GOAL)})",
    ]
    if figures.workers is None:
        result.append("two workers     not measured: needs two cores that can be chosen")
    else:
        result += [
            f"two workers     {figures.workers:8.2f} times one, a core each; at best"
            f" {figures.workers_at_best:.2f}: a part goes to one of them"
            f"  (goal {WORKERS_GOAL}: {_verdict(figures.workers >= WORKERS_GOAL)})",
            f"one worker      {(figures.pinned_one or 0) / figures.free_one:8.2f} times as fast"
            f" on all {figures.cores} cores",
        ]
    at_once = min(figures.cores, figures.parts)
    lost = figures.film_lost <= figures.longest_part * at_once
    result.append(
        f"a reclaim       {more:8.1f} s more wall time; {figures.film_lost:.1f} s of film encoded"
        f" again, a part is {figures.longest_part:.1f} s of film and takes {part:.1f} s"
        f"  (goal: at most a part on each of {at_once} cores: {_verdict(lost)})"
    )
    return result


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _verdict(met: object) -> str:
    return "met" if met else "missed"
