"""``safelight bench video``: a transcode beside plain ffmpeg with the same settings.

What lives here: the contenders, their clocks and the goals. What may not: encoding
(``worker.media``), printing (the command line).

How it is measured. All contenders take the same plan, so the same filters, encoders and quality;
they run one after the other, in turns, and the least of the rounds counts. *Plain* is what a person
would type: one ffmpeg that measures the loudness, one that encodes picture and sound of the whole
film straight into HLS with as many threads as the encoders like, one that copies the largest step
into a progressive file. *In parts* is a whole job: probe, plan, parts (one for each core at the
same time), sound, packaging. *Two workers* are two processes that encode half of the parts each,
each bound to one core; beside them stands one process with all parts bound to one of these cores,
so that ffmpeg's own threads have nothing to gain in either. A *reclaim* is a stop at a random
moment with a second attempt, whose result is compared with an uninterrupted one byte by byte.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import resource
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.atomic import staging
from worker.bench import video_plain
from worker.errors import EngineError, TransientError
from worker.media.video import (
    commands,
    encode,
    fragments,
    package,
    program,
    segments,
    transcode,
    transcode_plan,
)
from worker.media.video.limits import VideoLimits, threads
from worker.media.video.probe import probe
from worker.media.video.transcode_plan import Options, TranscodePlan

OVERHEAD_GOAL = 0.05
BYTES_GOAL = 0.02
WORKERS_GOAL = 1.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a run took: its processes together."""

    wall: float
    cpu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFigures:
    """Everything measured. Seconds and bytes."""

    film_seconds: float
    frames: int
    parts: int
    plain: Cost
    ours: Cost
    plain_bytes: int
    """Of the picture's segments as one piece."""
    our_bytes: int
    pinned_one: float | None
    """Wall time of all parts in one worker on one core; None where cores cannot be chosen."""
    pinned_two: float | None
    """Wall time of two workers on a core each."""
    larger_share: float
    """Share of the film's frames that the busier of the two has: parts are not divided."""
    free_one: float
    """Wall time of all parts in one worker on all cores, one part on each."""
    cores: int
    interrupted: Cost
    """Two attempts together."""
    film_lost: float
    """Seconds of film that the first attempt had encoded and not finished."""
    longest_part: float

    @property
    def overhead(self) -> float:
        """Share by which ours is slower than plain ffmpeg, wall time."""
        return self.ours.wall / self.plain.wall - 1

    @property
    def cpu_overhead(self) -> float:
        """The same of CPU time, which a busy machine disturbs less."""
        return self.ours.cpu / self.plain.cpu - 1

    @property
    def more_bytes(self) -> float:
        """Share by which the parts are larger than one piece."""
        return self.our_bytes / self.plain_bytes - 1

    @property
    def workers_at_best(self) -> float:
        """What two workers could reach if nothing but the parts' sizes stood in the way."""
        return 1 / self.larger_share

    @property
    def workers(self) -> float | None:
        """How much faster two workers are than one, a core each."""
        if self.pinned_one is None or self.pinned_two is None:
            return None
        return self.pinned_one / self.pinned_two


class _Kept:
    """Pieces in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, name: str) -> Path | None:
        path = self._folder / name
        return path if path.is_file() else None

    def put(self, name: str, path: Path) -> None:
        with staging(self._folder / name) as unfinished:
            shutil.copyfile(path, unfinished)


class _Reclaimed(TransientError):
    """The machine was taken away."""

    code = "stopped"


class _StopAt:
    """Asks to stop at a moment of this process's clock."""

    def __init__(self, moment: float) -> None:
        self._moment = moment

    @property
    def requested(self) -> bool:
        return time.monotonic() >= self._moment

    def check(self) -> None:
        if self.requested:
            raise _Reclaimed("reclaimed by the bench")


def generate(path: Path, *, seconds: int, size: str) -> None:
    """A film with movement, detail, grain, cuts and a tone, made by ffmpeg itself."""
    third = max(1, seconds // 3)
    moving = commands.generated(f"testsrc2=size={size}:rate=30:duration={third}")
    zooming = commands.generated(f"mandelbrot=size={size}:rate=30:end_scale=0.02")
    flowing = commands.generated(f"gradients=size={size}:rate=30:speed=0.02:duration={third}")
    tone = commands.generated(f"sine=frequency=330:sample_rate=44100:duration={3 * third}")
    square: commands.Filter = ("setsar", {"sar": 1})
    scenes = [
        commands.filtered(moving, [square]),
        commands.filtered(zooming, [("trim", {"duration": third}), square]),
        commands.filtered(flowing, [square]),
    ]
    film = commands.filtered(
        commands.joined(scenes),
        [("noise", {"alls": 7, "allf": "t"}), ("format", {"pix_fmts": "yuv420p"})],
    )
    options = {"f": "mp4", "c:v": "libx264", "preset": "ultrafast", "crf": 18, "g": 60}
    made = commands.output(path, [film, tone], {**options, "c:a": "aac"})
    program.run(commands.arguments(made), limits=encode.LIMITS)


def measure(
    source: Path,
    scratch: Path,
    *,
    preset: str,
    rounds: int,
    seed: int,
    say: Callable[[str], None],
) -> VideoFigures:
    """Run every contender.

    Args:
        source: the film; a minute or more, or fixed costs are all that is seen.
        scratch: an empty folder.
        preset: of the encoders.
        rounds: how often plain and ours take turns.
        seed: of the moment of the reclaim.
        say: is told what is going on.
    """
    plan = _plan(source, preset)
    plain, ours = [], []
    for number in range(rounds):
        say(f"plain ffmpeg, round {number + 1} of {rounds}")
        plain.append(_timed(lambda: video_plain.run(plan, source, _fresh(scratch / "plain"))))
        say(f"parts, round {number + 1} of {rounds}")
        ours.append(_timed(lambda: _ours(source, preset, _fresh(scratch / "ours"))))
    say("one worker on all cores")
    everything = tuple(range(len(plan.parts)))
    free = _workers(plan, source, _fresh(scratch / "free"), [(everything, None)])
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    one = two = None
    halves = segments.group(plan.parts, 2)
    if len(cores) > 1:
        say("one worker on one core")
        one = _workers(plan, source, _fresh(scratch / "one"), [(everything, cores[0])])
        say("two workers on a core each")
        shared = [(halves[0], cores[0]), (halves[1], cores[1])]
        two = _workers(plan, source, _fresh(scratch / "two"), shared)
    say("a reclaim at a random moment, and a second attempt")
    best = min(ours, key=lambda cost: cost.wall)
    moment = random.Random(seed).uniform(0.2, 0.8) * best.wall
    lost, interrupted = _interrupted(source, preset, _fresh(scratch / "again"), moment)
    if _content(scratch / "again") != _content(scratch / "ours"):
        raise EngineError("an interrupted transcode came out different")
    return VideoFigures(
        film_seconds=float(plan.seconds),
        frames=plan.frames,
        parts=len(plan.parts),
        plain=min(plain, key=lambda cost: cost.wall),
        ours=best,
        plain_bytes=_bytes(scratch / "plain", plan),
        our_bytes=_bytes(scratch / "ours" / "served" / "hls", plan),
        pinned_one=one,
        pinned_two=two,
        larger_share=max(sum(plan.parts[number].frames for number in half) for half in halves)
        / plan.frames,
        free_one=free,
        cores=threads(),
        interrupted=interrupted,
        film_lost=lost,
        longest_part=float(max(part.frames for part in plan.parts) / plan.rate),
    )


def _plan(source: Path, preset: str) -> TranscodePlan:
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    options = Options(preset=preset)
    return transcode_plan.make(
        source, probe(source), options, source=digest, limits=VideoLimits().probe
    )


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _timed(work: Callable[[], object]) -> Cost:
    """Wall and CPU time, this process's and its children's."""
    start, before = time.monotonic(), _cpu()
    work()
    return Cost(wall=time.monotonic() - start, cpu=_cpu() - before)


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _ours(source: Path, preset: str, folder: Path, stop: program.StopLike | None = None) -> None:
    """A whole transcode as a job does it."""
    scratch = _fresh(folder / "scratch")
    kept = _Kept(folder / "kept")
    plan = _plan(source, preset)
    parts, sounds = transcode.encode_film(
        plan, source, scratch=scratch, pieces=kept, threads=threads(), stop=stop
    )
    served = _fresh(folder / "served")
    package.package(plan, parts, sounds, served, scratch=scratch, stop=stop)


def _interrupted(source: Path, preset: str, folder: Path, after: float) -> tuple[float, Cost]:
    """Stop after so many seconds, then go on to the end."""
    start, before = time.monotonic(), _cpu()
    lost = 0.0
    try:
        _ours(source, preset, folder, _StopAt(time.monotonic() + after))
    except _Reclaimed:
        lost = _unfinished(source, preset, folder)
    _ours(source, preset, folder)
    return lost, Cost(wall=time.monotonic() - start, cpu=_cpu() - before)


def _unfinished(source: Path, preset: str, folder: Path) -> float:
    """Seconds of film in parts that were being encoded, as far as they reached the disk."""
    plan = _plan(source, preset)
    kept = _Kept(folder / "kept")
    frames = 0
    for part in plan.parts:
        path = folder / "scratch" / f"part-{part.number:05}" / f"{plan.rungs[0].name}.mp4"
        if transcode.finished(plan, part.number, kept) is None and path.is_file():
            try:
                frames += fragments.read(path).samples
            except EngineError:  # cut off within a fragment, or before the first
                frames += plan.key_frames
    return float(frames / plan.rate)


def _workers(
    plan: TranscodePlan,
    source: Path,
    folder: Path,
    shares: Sequence[tuple[Sequence[int], int | None]],
) -> float:
    """Wall time of some workers, each with its parts and its core; without their start."""
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(len(shares) + 1)
    workers = [
        context.Process(
            target=_worker,
            args=(transcode_plan.dumps(plan), source, folder / str(number), parts, core, ready),
        )
        for number, (parts, core) in enumerate(shares)
    ]
    for worker in workers:
        worker.start()
    try:
        ready.wait(120)
        start = time.monotonic()
        for worker in workers:
            worker.join()
        took = time.monotonic() - start
    finally:
        for worker in workers:
            worker.kill()
    if any(worker.exitcode for worker in workers):
        raise EngineError("a worker of the bench failed")
    return took


def _worker(  # noqa: PLR0917  (arguments of a process)
    plan: bytes, source: Path, folder: Path, parts: Sequence[int], core: int | None, ready: object
) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})
    scratch = _fresh(folder / "scratch")
    ready.wait(120)  # type: ignore[attr-defined]
    transcode.encode_parts(
        transcode_plan.loads(plan),
        source,
        parts,
        scratch=scratch,
        pieces=_Kept(folder / "kept"),
        threads=threads(),
    )


def _bytes(folder: Path, plan: TranscodePlan) -> int:
    """Of all segments of the picture."""
    return sum(
        path.stat().st_size for rung in plan.rungs for path in (folder / rung.name).glob("*.m4s")
    )


def _content(folder: Path) -> Mapping[str, bytes]:
    served = folder / "served"
    return {
        path.relative_to(served).as_posix(): path.read_bytes()
        for path in sorted(served.rglob("*"))
        if path.is_file()
    }
