"""A whole transcode: what is finished is looked up, what is missing is encoded, all is packaged.

It works alike on one machine and on one of several. Where finished chunks are kept is the caller's:
a ``ChunkStore`` is given.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from threading import Event
from typing import Protocol

from worker.domain.errors import DamagedInput, Reason, TransientError
from worker.job_context import JobContext, Stop
from worker.video import audio, encode, package
from worker.video.manifests import MediaStream
from worker.video.plan import Chunk, TranscodePlan

_DAMAGED = 0.2
"""Share of a video that may be in damaged chunks."""


class ChunkStore(Protocol):
    """Keeps finished files. A name comes from the plan, so another plan never finds them."""

    def get(self, name: str) -> Path | None:
        """A copy on disk; None if there is none or it is damaged."""
        ...

    def put(self, name: str, path: Path) -> None:
        """Keep a finished file."""
        ...


def _chunk_files(plan: TranscodePlan, number: int) -> Mapping[str, str]:
    """Stored names of the files of one chunk, by the names of the rungs."""
    return {
        rung.name: f"{plan.digest[:16]}-part-{number:05}-{rung.name}.mp4" for rung in plan.rungs
    }


def _damage_name(plan: TranscodePlan, number: int) -> str:
    """Name of the note that is there if most of a chunk's source is damaged."""
    return f"{plan.digest[:16]}-part-{number:05}.damaged.json"


def _fault_name(plan: TranscodePlan, number: int) -> str:
    """Name of the note that is there if some of a chunk's source is damaged."""
    return f"{plan.digest[:16]}-part-{number:05}.faults.json"


def _audio_name(plan: TranscodePlan, number: int) -> str:
    """Name of the file of one audio track; what was measured of it is kept beside it."""
    return f"{plan.digest[:16]}-sound-{number}.mp4"


def check_damage(plan: TranscodePlan, damaged: Iterable[int]) -> None:
    """See that enough of a video is left.

    Args:
        plan: of the video.
        damaged: numbers of the chunks that are.

    Raises:
        DamagedInput: CORRUPT.
    """
    lost = sum(plan.chunks[number].frames for number in damaged)
    if lost > _DAMAGED * plan.frames:
        raise DamagedInput(
            Reason.CORRUPT,
            f"too much of it cannot be decoded: {float(lost / plan.rate):.0f} of "
            f"{float(plan.seconds):.0f} s",
        )


def is_damaged(plan: TranscodePlan, number: int, store: ChunkStore) -> bool:
    """Whether most of the source of a chunk that is finished is damaged."""
    return store.get(_damage_name(plan, number)) is not None


def finished(plan: TranscodePlan, number: int, store: ChunkStore) -> Mapping[str, Path] | None:
    """The files of a chunk if all of them are there."""
    found: dict[str, Path] = {}
    for rung, name in _chunk_files(plan, number).items():
        path = store.get(name)
        if path is None:
            return None
        found[rung] = path
    return found


def encode_chunks(
    plan: TranscodePlan,
    source: Path,
    numbers: Iterable[int],
    *,
    store: ChunkStore,
    context: JobContext,
) -> Mapping[int, Mapping[str, Path]]:
    """Encode those of the chunks that are not finished yet.

    Each is kept as soon as it is done; one that is interrupted leaves nothing.

    Args:
        plan: of the video.
        source: the video.
        numbers: which chunks.
        store: where finished ones are kept.
        context: its threads are how many chunks are encoded at the same time, one processor each;
            if there are fewer chunks, more for decoding. The bytes do not depend on it. Its
            progress is told the share of these chunks.

    Returns:
        Of each chunk, the file of each rung.

    Raises:
        DamagedInput: CORRUPT, these chunks alone are more than a video may lose.
    """
    wanted = [plan.chunks[number] for number in numbers]
    result: dict[int, Mapping[str, Path]] = {}
    damaged: set[int] = set()
    for chunk in wanted:
        context.stop.check()
        found = finished(plan, chunk.number, store)
        if found is not None:
            result[chunk.number] = found
            if is_damaged(plan, chunk.number, store):
                damaged.add(chunk.number)
    check_damage(plan, damaged)
    missing = [chunk for chunk in wanted if chunk.number not in result]
    at_once = max(1, min(context.threads, len(missing)))
    shared = _Shared(plan, wanted, missing, context)
    threads = max(1, context.threads // at_once)

    def encode_one(chunk: Chunk) -> Mapping[str, Path]:
        try:
            shared.check()
            folder = context.scratch / f"part-{chunk.number:05}"
            folder.mkdir()
            made = encode.encode(
                plan,
                chunk,
                source,
                folder,
                threads=threads,
                stop=shared,
                progress=lambda seconds: shared.advance(chunk, seconds),
            )
            note = folder / "damaged.json"
            note.write_text("{}")
            # First: a chunk is finished when its files are there.
            if made.faults:
                store.put(_fault_name(plan, chunk.number), note)
            if made.damaged:
                store.put(_damage_name(plan, chunk.number), note)
                damaged.add(chunk.number)
                check_damage(plan, damaged)
            for rung, name in _chunk_files(plan, chunk.number).items():
                store.put(name, made.files[rung])
        except BaseException as error:
            shared.give_up(error)
            raise
        shared.finish(chunk)
        return made.files

    # Threads only wait for their ffmpeg, which has one processor's worth of work.
    with ThreadPoolExecutor(at_once, thread_name_prefix="chunk") as pool:
        running = {chunk.number: pool.submit(encode_one, chunk) for chunk in missing}
    if shared.error is not None:
        raise shared.error  # the first: those of the others came of it
    return result | {number: one.result() for number, one in running.items()}


def encode_all(
    plan: TranscodePlan, source: Path, *, store: ChunkStore, context: JobContext
) -> tuple[Sequence[Mapping[str, Path]], tuple[Path, ...]]:
    """Everything that is not finished yet: all chunks, and the audio beside them.

    Takes what :func:`encode_chunks` takes.

    Returns:
        Of each chunk in order the file of each rung, and the files of the audio tracks.
    """
    quiet = replace(context, progress=lambda _share, _what: None)
    beside = _Shared(plan, (), (), quiet)
    with ThreadPoolExecutor(1, thread_name_prefix="audio") as pool:
        tracks = pool.submit(
            encode_audio, plan, source, store=store, context=replace(quiet, stop=beside)
        )
        try:
            numbers = range(len(plan.chunks))
            chunks = encode_chunks(plan, source, numbers, store=store, context=context)
        except BaseException as error:
            beside.give_up(error)
            raise
        return [chunks[number] for number in numbers], tracks.result()


class _Shared(Stop):
    """Shared state of chunks that are encoded in parallel: a stop and the progress."""

    def __init__(
        self,
        plan: TranscodePlan,
        wanted: Sequence[Chunk],
        missing: Sequence[Chunk],
        context: JobContext,
    ) -> None:
        super().__init__()
        self._plan = plan
        self._context = context
        self._given_up = Event()
        self._total = max(1, sum(chunk.frames for chunk in wanted))
        self._before = self._total - sum(chunk.frames for chunk in missing)
        self._done: dict[int, float] = {}
        self._chunks, self._finished = len(wanted), len(wanted) - len(missing)
        self.error: BaseException | None = None

    @property
    def requested(self) -> bool:
        return self._given_up.is_set() or self._context.stop.requested

    def check(self) -> None:
        self._context.stop.check()
        if self._given_up.is_set():
            raise TransientError("another chunk has failed", code="stopped")

    def give_up(self, error: BaseException) -> None:
        """A chunk has failed: there is no use in going on with the others."""
        with self._lock:
            self.error = self.error or error
        self._given_up.set()

    def advance(self, chunk: Chunk, seconds: float) -> None:
        """So much of a chunk is encoded."""
        with self._lock:
            self._done[chunk.number] = min(chunk.frames, seconds * float(self._plan.rate))
            self._report()

    def finish(self, chunk: Chunk) -> None:
        """A chunk is kept."""
        with self._lock:
            self._done[chunk.number] = chunk.frames
            self._finished += 1
            self._report()

    def _report(self) -> None:
        share = (self._before + sum(self._done.values())) / self._total
        # Several are encoded at a time: which of them has moved is nothing to say.
        self._context.progress(
            min(1.0, share), f"encoding, {self._finished} of {self._chunks} parts done"
        )


def encode_audio(
    plan: TranscodePlan, source: Path, *, store: ChunkStore, context: JobContext
) -> tuple[Path, ...]:
    """Measure and encode every audio track that is not finished yet."""
    paths = []
    for number, track in enumerate(plan.audio):
        name = _audio_name(plan, number)
        path = store.get(name)
        if path is None:
            what = f"audio track {number + 1} of {len(plan.audio)}"
            context.progress(number / len(plan.audio), what)
            path = context.scratch / f"audio-{number}.mp4"
            loudness = audio.make(plan, track, source, path, stop=context.stop)
            notes = context.scratch / f"audio-{number}.json"
            notes.write_text(json.dumps(asdict(loudness)))
            store.put(f"{name}.json", notes)
            store.put(name, path)  # last: it counts as finished now
        paths.append(path)
    context.progress(1.0, "audio")
    return tuple(paths)


def finished_audio(plan: TranscodePlan, store: ChunkStore) -> tuple[Path, ...] | None:
    """The files of all audio tracks, if all are there."""
    found = [store.get(_audio_name(plan, number)) for number in range(len(plan.audio))]
    paths = tuple(path for path in found if path is not None)
    return paths if len(paths) == len(found) else None


def details(
    plan: TranscodePlan, streams: Sequence[MediaStream], store: ChunkStore, folder: Path
) -> Mapping[str, object]:
    """The description of a finished transcode for ``result.json``."""
    loudness = []
    for number in range(len(plan.audio)):
        notes = store.get(f"{_audio_name(plan, number)}.json")
        loudness.append(json.loads(notes.read_bytes()) if notes is not None else None)
    faults = any(store.get(_fault_name(plan, chunk.number)) is not None for chunk in plan.chunks)
    mp4 = folder / package.PROGRESSIVE
    averages = {stream.name: round(stream.average / 1000) for stream in streams}
    return {
        "plan": plan.digest,
        "seconds": round(float(plan.seconds), 6),
        "frame_rate": f"{plan.rate.numerator}/{plan.rate.denominator}",
        "frames": plan.frames,
        "parts": len(plan.chunks),
        "segment_seconds": round(float(plan.segment_frames / plan.rate), 6),
        "warnings": list(dict.fromkeys((*plan.warnings, *(("damaged",) if faults else ())))),
        "tone_mapped": plan.colours.hdr,
        "master": package.MASTER if plan.hls else None,
        "dash": package.DASH if plan.hls else None,
        "mp4": package.PROGRESSIVE if mp4.is_file() else None,
        "rungs": [
            {
                "name": rung.name,
                "codec": str(rung.codec),
                "width": rung.width,
                "height": rung.height,
                "kilobits": averages.get(rung.name),
            }
            for rung in plan.rungs
        ],
        "sounds": [
            {
                "language": track.language,
                "title": track.title,
                "channels": track.channels,
                "loudness": measured,
            }
            for track, measured in zip(plan.audio, loudness, strict=True)
        ],
    }
