"""``safelight bench video``: a transcode in parts beside plain ffmpeg with the same settings.

All take the same plan: the same filters, encoders and quality. They run one after the other, in
turns, and the least of the rounds counts.

- *Plain* is what a person would type: one ffmpeg measures the loudness, one encodes video and audio
  whole, straight into HLS, with as many threads as the encoders like, one copies the largest rung
  into a progressive file.
- *In parts* is a whole job: probe, plan, parts (one for each core at once), audio, packaging.
- *Two workers* are two processes, each bound to one core, that encode half of the parts each. They
  are compared with one process that encodes all parts on one of these cores, so that ffmpeg's own
  threads gain nothing in either.
- A *reclaim* is a stop at a random moment and a second attempt. Its result is compared with an
  uninterrupted one byte by byte.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import re
import resource
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from worker.atomic import staging
from worker.domain.errors import EngineError, InputError, Stopped
from worker.job_context import JobContext, Stop, processors
from worker.video import audio, commands, encode, ffmpeg, fmp4, package, transcode
from worker.video import plan as plans
from worker.video.plan import Chunk, TranscodeOptions, TranscodePlan
from worker.video.probe import VideoLimits, probe

OVERHEAD_GOAL = 0.05
BYTES_GOAL = 0.02
WORKERS_GOAL = 1.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Time and memory of a run, summed over its processes."""

    wall_seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFigures:
    """Everything measured. Seconds and bytes."""

    video_seconds: float
    frames: int
    parts: int
    plain: Cost
    parts_run: Cost
    plain_bytes: int
    """Of the video's segments, encoded whole."""
    parts_bytes: int
    one_worker_one_core_seconds: float | None
    """Wall time of all parts in one worker on one core; None where cores cannot be chosen."""
    two_workers_a_core_each_seconds: float | None
    one_worker_all_cores_seconds: float
    """Wall time of all parts in one worker on all cores, one part on each."""
    cores: int
    larger_share: float
    """Share of the frames that the busier of two workers has: parts are not divided."""
    reclaimed_wall_seconds: float
    """Of two attempts together."""
    reclaimed_cpu_seconds: float
    reclaim_video_seconds_lost: float
    """Seconds of video that the first attempt had encoded and not finished."""
    longest_part_seconds: float

    @property
    def overhead(self) -> float:
        """Share by which parts are slower than plain ffmpeg, wall time."""
        return self.parts_run.wall_seconds / self.plain.wall_seconds - 1

    @property
    def overhead_cpu(self) -> float:
        """The same of CPU time, which a busy machine disturbs less."""
        return self.parts_run.cpu_seconds / self.plain.cpu_seconds - 1

    @property
    def more_bytes(self) -> float:
        """Share by which the parts are larger than the video encoded whole."""
        return self.parts_bytes / self.plain_bytes - 1

    @property
    def two_workers(self) -> float | None:
        """How much faster two workers are than one, a core each."""
        one, two = self.one_worker_one_core_seconds, self.two_workers_a_core_each_seconds
        return None if one is None or two is None else one / two

    @property
    def two_workers_at_best(self) -> float:
        """The speed-up of two workers if only the sizes of the parts limited it."""
        return 1 / self.larger_share

    def as_dict(self) -> dict[str, Any]:
        """Every figure with its goal, as JSON-ready values."""
        derived = ("overhead", "overhead_cpu", "more_bytes", "two_workers", "two_workers_at_best")
        return {
            **asdict(self),
            **{name: getattr(self, name) for name in derived},
            "overhead_goal": OVERHEAD_GOAL,
            "more_bytes_goal": BYTES_GOAL,
            "two_workers_goal": WORKERS_GOAL,
        }

    def lines(self) -> list[str]:
        """Every figure with its goal, for a terminal."""
        plain, run = self.plain, self.parts_run
        at_once = min(self.cores, self.parts)
        part = run.wall_seconds / self.parts * at_once
        more = self.reclaimed_wall_seconds - run.wall_seconds
        lost, longest = self.reclaim_video_seconds_lost, self.longest_part_seconds
        result = [
            f"video           {self.video_seconds:8.1f} s, {self.frames} frames,"
            f" {self.parts} parts",
            f"plain ffmpeg    {plain.wall_seconds:8.1f} s wall, {plain.cpu_seconds:.1f} s CPU",
            f"in parts        {run.wall_seconds:8.1f} s wall, {run.cpu_seconds:.1f} s CPU",
            f"overhead        {self.overhead:8.1%} of wall time ({self.overhead_cpu:.1%} of CPU)"
            f"  (goal {OVERHEAD_GOAL:.0%}: {_verdict(self.overhead <= OVERHEAD_GOAL)})",
            f"bytes           {self.more_bytes:+8.2%} against one encoding"
            f"  (goal {BYTES_GOAL:.0%}: {_verdict(self.more_bytes <= BYTES_GOAL)})",
        ]
        if self.two_workers is None or self.one_worker_one_core_seconds is None:
            result.append("two workers     not measured: needs two cores that can be chosen")
        else:
            all_cores = self.one_worker_one_core_seconds / self.one_worker_all_cores_seconds
            result += [
                f"two workers     {self.two_workers:8.2f} times one, a core each; at best"
                f" {self.two_workers_at_best:.2f}: a part goes to one of them"
                f"  (goal {WORKERS_GOAL}: {_verdict(self.two_workers >= WORKERS_GOAL)})",
                f"one worker      {all_cores:8.2f} times as fast on all {self.cores} cores",
            ]
        result.append(
            f"a reclaim       {more:8.1f} s more wall time; {lost:.1f} s of video encoded again, a"
            f" part is {longest:.1f} s of video and takes {part:.1f} s  (goal: at most a part on"
            f" each of {at_once} cores: {_verdict(lost <= longest * at_once)})"
        )
        return result


def _verdict(met: object) -> str:
    return "met" if met else "missed"


def check_size(size: str) -> None:
    """Raise ``InputError`` unless a size is given as ``1280x720``."""
    found = re.fullmatch(r"([0-9]{2,4})x([0-9]{2,4})", size)
    if found is None or int(found[1]) % 2 or int(found[2]) % 2:
        raise InputError(f"--size {size}: give two even numbers of pixels like 1280x720")


class _FolderChunks:
    """Finished parts in a folder: a ``ChunkStore``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, name: str) -> Path | None:
        path = self._folder / name
        return path if path.is_file() else None

    def put(self, name: str, path: Path) -> None:
        with staging(self._folder / name) as unfinished:
            shutil.copyfile(path, unfinished)


def generate(path: Path, *, seconds: int, size: str) -> None:
    """A video with movement, detail, grain, cuts and a tone, made by ffmpeg itself."""
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
    video = commands.filtered(
        commands.joined(scenes),
        [("noise", {"alls": 7, "allf": "t"}), ("format", {"pix_fmts": "yuv420p"})],
    )
    options = {"f": "mp4", "c:v": "libx264", "preset": "ultrafast", "crf": 18, "g": 60}
    made = commands.output(path, [video, tone], {**options, "c:a": "aac"})
    ffmpeg.run(commands.arguments(made), limits=encode.LIMITS)


def measure(
    source: Path,
    scratch: Path,
    *,
    preset: str,
    rounds: int,
    seed: int,
    notice: Callable[[str], None],
) -> VideoFigures:
    """Run everything.

    Args:
        source: the video; a minute or more, or fixed costs are all that is seen.
        scratch: an empty folder.
        preset: of the encoders.
        rounds: how often plain and parts take turns.
        seed: of the moment of the reclaim.
        notice: gets a line about each stage.
    """
    plan = _plan(source, preset)
    plain, parts_run = [], []
    for number in range(rounds):
        notice(f"plain ffmpeg, round {number + 1} of {rounds}")
        plain.append(_timed(lambda: _plain(plan, source, _fresh(scratch / "plain"))))
        notice(f"parts, round {number + 1} of {rounds}")
        parts_run.append(_timed(lambda: _in_parts(source, preset, _fresh(scratch / "parts"))))
    notice("one worker on all cores")
    everything = tuple(range(len(plan.chunks)))
    free = _workers(plan, source, _fresh(scratch / "free"), [(everything, None)])
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    one = two = None
    halves = plans.share_out(plan.chunks, 2)
    if len(cores) > 1:
        notice("one worker on one core")
        one = _workers(plan, source, _fresh(scratch / "one"), [(everything, cores[0])])
        notice("two workers on a core each")
        shared = [(halves[0], cores[0]), (halves[1], cores[1])]
        two = _workers(plan, source, _fresh(scratch / "two"), shared)
    notice("a reclaim at a random moment, and a second attempt")
    best = min(parts_run, key=lambda cost: cost.wall_seconds)
    moment = random.Random(seed).uniform(0.2, 0.8) * best.wall_seconds
    again = _fresh(scratch / "again")
    lost = 0.0

    def interrupted() -> None:
        nonlocal lost
        stop = Stop()
        timer = threading.Timer(moment, stop.request)
        timer.start()
        try:
            _in_parts(source, preset, again, stop)
        except Stopped:
            lost = _unfinished(plan, again)
        finally:
            timer.cancel()
        _in_parts(source, preset, again)

    attempts = _timed(interrupted)
    if _content(again) != _content(scratch / "parts"):
        raise EngineError("an interrupted transcode came out different")
    busier = max(sum(plan.chunks[number].frames for number in half) for half in halves)
    return VideoFigures(
        video_seconds=float(plan.seconds),
        frames=plan.frames,
        parts=len(plan.chunks),
        plain=min(plain, key=lambda cost: cost.wall_seconds),
        parts_run=best,
        plain_bytes=_bytes(scratch / "plain", plan),
        parts_bytes=_bytes(scratch / "parts" / "served" / "hls", plan),
        one_worker_one_core_seconds=one,
        two_workers_a_core_each_seconds=two,
        one_worker_all_cores_seconds=free,
        cores=processors(),
        larger_share=busier / plan.frames,
        reclaimed_wall_seconds=attempts.wall_seconds,
        reclaimed_cpu_seconds=attempts.cpu_seconds,
        reclaim_video_seconds_lost=lost,
        longest_part_seconds=float(max(part.frames for part in plan.chunks) / plan.rate),
    )


def _plan(source: Path, preset: str) -> TranscodePlan:
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    options = TranscodeOptions(preset=preset)
    return plans.make_plan(
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
    return Cost(wall_seconds=time.monotonic() - start, cpu_seconds=_cpu() - before)


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _plain(plan: TranscodePlan, source: Path, folder: Path) -> None:
    """The commands of a person: measure the loudness, encode into HLS, copy into one file."""
    gains = [audio.measure(plan, track, source).gain for track in plan.audio]
    whole = Chunk(number=0, first=0, frames=plan.frames, seek=None)
    files = {rung.name: folder / rung.name / "index.m3u8" for rung in plan.rungs}
    heard = [folder / f"audio-{number}" / "index.m3u8" for number in range(len(plan.audio))]
    for path in (*files.values(), *heard):
        path.parent.mkdir()
    # x264's own choice of threads, which makes other bytes in every run (see ``Options``).
    free = replace(plan, encoder_threads=0)
    opened = encode.open_source(free, source, threads=processors(), seek=None)
    muxer: commands.Options = {
        **{"f": "hls", "hls_segment_type": "fmp4", "hls_playlist_type": "vod"},
        "hls_time": f"{float(plan.segment_frames / plan.rate):.6f}",
        "hls_flags": "independent_segments",
    }
    pictures = encode.pictures(free, whole, opened, filled=False)
    made = [
        *encode.outputs(free, pictures, whole.frames, files, muxer),
        *(
            audio.output(track, gain, audio.samples(plan, track, opened), path=path, muxer=muxer)
            for track, gain, path in zip(plan.audio, gains, heard, strict=True)
        ),
    ]
    arguments = commands.arguments(*made, everywhere=encode.everywhere(processors()))
    ffmpeg.run(arguments, limits=encode.LIMITS)
    joined = [commands.source(_joined(path)) for path in (files[plan.rungs[0].name], *heard)]
    copy: commands.Options = {"f": "mp4", "c": "copy", "movflags": "+faststart"}
    progressive = commands.output(folder / "video.mp4", [one["0"] for one in joined], copy)
    ffmpeg.run(commands.arguments(progressive), limits=package.LIMITS)


def _joined(playlist: Path) -> Path:
    """The segments of a playlist as one file."""
    path = playlist.with_name("joined.mp4")
    segments = sorted(playlist.parent.glob("index*.m4s"), key=lambda segment: int(segment.stem[5:]))
    with path.open("wb") as file:
        for segment in [next(playlist.parent.glob("init*.mp4")), *segments]:
            file.write(segment.read_bytes())
    return path


def _in_parts(source: Path, preset: str, folder: Path, stop: Stop | None = None) -> None:
    """A whole transcode as a job does it."""
    scratch = _fresh(folder / "scratch")
    kept = _FolderChunks(folder / "kept")
    plan = _plan(source, preset)
    context = JobContext(scratch=scratch, stop=stop or Stop())
    chunks, tracks = transcode.encode_all(plan, source, store=kept, context=context)
    package.package(plan, chunks, tracks, _fresh(folder / "served"), context)


def _unfinished(plan: TranscodePlan, folder: Path) -> float:
    """Seconds of video in parts that were being encoded, as far as they reached the disk."""
    kept = _FolderChunks(folder / "kept")
    frames = 0
    for part in plan.chunks:
        path = folder / "scratch" / f"part-{part.number:05}" / f"{plan.rungs[0].name}.mp4"
        if transcode.finished(plan, part.number, kept) is None and path.is_file():
            try:
                frames += fmp4.read(path).samples
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
            args=(plans.dumps(plan), source, folder / str(number), parts, core, ready),
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
    transcode.encode_chunks(
        plans.loads(plan),
        source,
        parts,
        store=_FolderChunks(folder / "kept"),
        context=JobContext(scratch=scratch),
    )


def _bytes(folder: Path, plan: TranscodePlan) -> int:
    """Of all video segments."""
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
