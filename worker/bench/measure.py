"""One whole run: line up, race, judge, sum up."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from worker.bench import goals, job, lineup, sharp, summary
from worker.bench.contenders.floor import EXCLUDED
from worker.bench.corpus import Corpus
from worker.bench.job import Job
from worker.bench.lineup import Key
from worker.bench.race import Finish, Outcome, race
from worker.bench.reference import Yardstick
from worker.bench.report import Floor, Machine, Photos, Report
from worker.bench.summary import Judged, Name
from worker.errors import EngineError

_STARTS = 7
"""How often ``--help`` is started; the least counts."""


def run(
    corpus: Corpus,
    scratch: Path,
    *,
    rounds: int,
    command: str,
    notice: Callable[[str], None],
    find_sharp: Callable[[], sharp.Sharp],
) -> Report:
    """Measure everything.

    Args:
        corpus: the photos.
        scratch: an empty folder.
        rounds: how often each photo is done by each contender.
        command: what the user typed, for the report.
        notice: is told what is going on, a line at a time.
        find_sharp: says where sharp is, or raises ``Missing``.

    Raises:
        InputError: no photo could be measured.
        EngineError: a contender that had started died on the way.
    """
    wanted = job.of(job.recipe())
    absent: list[str] = []
    found: sharp.Sharp | None = None
    try:
        found = find_sharp()
    except sharp.Missing as error:
        absent.append(str(error))
        notice(str(error))
    finish = race(
        lineup.line_up(wanted, found), corpus.photos, scratch, rounds=rounds, progress=notice
    )
    notice("comparing with the originals")
    photos = {name: path for name, path in corpus.photos.items() if name not in finish.refused}
    judged = judge(finish, photos, wanted)
    counted = summary.common(judged.values())
    figures = tuple(
        summary.figures(key, finish.outcomes[key], files, counted) for key, files in judged.items()
    )
    by_key = {one.key: one for one in figures}
    engine, full = by_key[Key.ENGINE], by_key[Key.ENGINE_FULL]
    ratios = tuple(summary.ratio(engine, one) for one in figures if one.key not in lineup.OURS)
    floor = _floor(finish)
    share = full.cpu_ms / engine.cpu_ms - 1
    help_seconds = start_seconds()
    left_out = corpus.left_out | finish.refused
    return Report(
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        command=command,
        rounds=rounds,
        webp_effort=wanted.webp_effort,
        machine=machine(),
        photos=Photos(
            count=len(photos),
            synthetic=corpus.synthetic,
            mean_bytes=sum(path.stat().st_size for path in photos.values()) / len(photos),
            left_out=left_out,
        ),
        figures=figures,
        ratios=ratios,
        floor=floor,
        metadata_share=share,
        help_seconds=help_seconds,
        checks=goals.checks(ratios, engine.cpu_ms, floor, share, help_seconds),
        absent=(*absent, *finish.absent),
        notes=_notes(judged, counted, corpus, finish),
        versions={key: dict(one.versions) for key, one in finish.outcomes.items()},
    )


def judge(finish: Finish, photos: dict[str, Path], wanted: Job) -> dict[Key, dict[Name, Judged]]:
    """Weigh every file of every contender but the floor, and compare it with its original."""
    covers = {rung.name for rung in wanted.rungs if rung.cover}
    judged: dict[Key, dict[Name, Judged]] = {key: {} for key in finish.outcomes if key != Key.FLOOR}
    for name, path in photos.items():
        yardstick = Yardstick(path.read_bytes())
        scores: dict[tuple[str, str], float] = {}
        for key, files in judged.items():
            for file in finish.outcomes[key].files[name]:
                # The engine's two entries write the same bytes: compared once.
                same = (file.name, sha256(file.path.read_bytes()).hexdigest())
                if same not in scores:
                    scores[same] = yardstick.score(file.path, cover=file.name in covers)
                files[name, file.name, file.format] = Judged(
                    bytes=file.path.stat().st_size, ssim=scores[same]
                )
    return judged


def _floor(finish: Finish) -> Floor | None:
    outcome = finish.outcomes.get(Key.FLOOR)
    if outcome is None:
        return None
    return summary.floor(outcome, _sizes(outcome), EXCLUDED)


def _sizes(outcome: Outcome) -> dict[str, float]:
    """Mean bytes of what each part of the floor wrote. Its files are named RENDITION CANDIDATE."""
    sizes: dict[str, float] = {}
    for files in outcome.files.values():
        for file in files:
            rung, _, candidate = file.name.partition(" ")
            part = f"{rung} {file.format}/{candidate}"
            sizes[part] = sizes.get(part, 0.0) + file.path.stat().st_size / len(outcome.files)
    return sizes


def _notes(
    judged: dict[Key, dict[Name, Judged]],
    counted: frozenset[Name],
    corpus: Corpus,
    finish: Finish,
) -> tuple[str, ...]:
    notes = []
    if corpus.synthetic:
        notes.append(
            "Measured on generated pictures, not on photos: ratios hold roughly, SSIM and bytes "
            "do not. Give a folder of photos with --corpus."
        )
    every = frozenset[Name]().union(*judged.values())
    if every != counted:
        notes.append(
            f"{len(every) - len(counted)} of {len(every)} files are left out of bytes and SSIM: "
            "the minimum-saving rule dropped them."
        )
    if Key.FLOOR in finish.outcomes and EXCLUDED not in finish.outcomes[Key.FLOOR].versions:
        notes.append(f"{EXCLUDED} is not installed here: the floor is without it.")
    return tuple(notes)


def start_seconds() -> float:
    """Wall time of ``safelight --help``, the least of several starts.

    Raises:
        EngineError: it does not start.
    """
    least = float("inf")
    for _ in range(_STARTS):
        before = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "worker", "--help"], capture_output=True, check=False
        )
        least = min(least, time.perf_counter() - before)
        if done.returncode != 0:
            raise EngineError(f"safelight --help ended with exit code {done.returncode}")
    return least


def machine() -> Machine:
    """What this runs on."""
    return Machine(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1,
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
    )


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or "unknown"
