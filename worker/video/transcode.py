"""A whole transcode: what is finished is looked up, what is missing is encoded, all is packaged.

What lives here: the order of things, for one machine and for one of several. What may not: where
finished pieces are kept (``ChunkStore`` is given), what is decided (``transcode_plan``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from threading import Event
from typing import Protocol

from worker.domain.errors import DamagedInput, Reason, TransientError
from worker.job_context import Stop
from worker.video import audio, encode, package
from worker.video.package import Stream
from worker.video.segments import Chunk
from worker.video.transcode_plan import TranscodePlan

_DAMAGED = 0.2
"""Share of a film that may be in damaged parts."""


class ChunkStore(Protocol):
    """Keeps finished pieces. A name comes from the plan, so another plan never finds them."""

    def get(self, name: str) -> Path | None:
        """A copy on disk; None if there is none or it is damaged."""
        ...

    def put(self, name: str, path: Path) -> None:
        """Keep a finished piece."""
        ...


Progress = Callable[[float, str], None]
"""Share done, 0 to 1, and what is being done."""


def piece_names(plan: TranscodePlan, number: int) -> Mapping[str, str]:
    """Names of the pieces of one part, by the names of the steps."""
    return {
        rung.name: f"{plan.digest[:16]}-part-{number:05}-{rung.name}.mp4" for rung in plan.rungs
    }


def damage_name(plan: TranscodePlan, number: int) -> str:
    """Name of the piece that is there if most of a part's source is damaged."""
    return f"{plan.digest[:16]}-part-{number:05}.damaged.json"


def fault_name(plan: TranscodePlan, number: int) -> str:
    """Name of the piece that is there if some of a part's source is damaged."""
    return f"{plan.digest[:16]}-part-{number:05}.faults.json"


def check_damage(plan: TranscodePlan, damaged: Iterable[int]) -> None:
    """See that enough of a film is left.

    Args:
        plan: of the film.
        damaged: numbers of the parts that are.

    Raises:
        DamagedInput: CORRUPT.
    """
    lost = sum(plan.parts[number].frames for number in damaged)
    if lost > _DAMAGED * plan.frames:
        raise DamagedInput(
            Reason.CORRUPT,
            f"too much of it cannot be decoded: {float(lost / plan.rate):.0f} of "
            f"{float(plan.seconds):.0f} s",
        )


def is_damaged(plan: TranscodePlan, number: int, pieces: ChunkStore) -> bool:
    """Whether most of the source of a part that is finished is damaged."""
    return pieces.get(damage_name(plan, number)) is not None


def sound_name(plan: TranscodePlan, number: int) -> str:
    """Name of the piece of one track of sound; what was measured of it is kept beside it."""
    return f"{plan.digest[:16]}-sound-{number}.mp4"


def finished(plan: TranscodePlan, number: int, pieces: ChunkStore) -> Mapping[str, Path] | None:
    """The files of a part if all of them are there."""
    found: dict[str, Path] = {}
    for rung, name in piece_names(plan, number).items():
        path = pieces.get(name)
        if path is None:
            return None
        found[rung] = path
    return found


def encode_parts(
    plan: TranscodePlan,
    source: Path,
    numbers: Iterable[int],
    *,
    scratch: Path,
    pieces: ChunkStore,
    threads: int,
    stop: Stop | None = None,
    progress: Progress | None = None,
) -> Mapping[int, Mapping[str, Path]]:
    """Encode those of the parts that are not finished yet.

    Each is kept as soon as it is done; one that is interrupted leaves nothing.

    Args:
        plan: of the film.
        source: the video.
        numbers: which parts.
        scratch: an existing folder.
        pieces: where finished ones are kept.
        threads: how many parts are encoded at the same time, one processor each; if there are
            fewer parts, more for decoding. The bytes do not depend on it.
        stop: ends it early, by its own error.
        progress: told the share of these parts.

    Returns:
        Of each part, the file of each step.

    Raises:
        DamagedInput: CORRUPT, these parts alone are more than a film may lose.
    """
    wanted = [plan.parts[number] for number in numbers]
    result: dict[int, Mapping[str, Path]] = {}
    damaged: set[int] = set()
    for part in wanted:
        if stop is not None:
            stop.check()
        found = finished(plan, part.number, pieces)
        if found is not None:
            result[part.number] = found
            if is_damaged(plan, part.number, pieces):
                damaged.add(part.number)
    check_damage(plan, damaged)
    missing = [part for part in wanted if part.number not in result]
    at_once = max(1, min(threads, len(missing)))
    shared = _Shared(plan, wanted, missing, stop=stop, progress=progress)

    def encode_one(part: Chunk) -> Mapping[str, Path]:
        try:
            shared.check()
            folder = scratch / f"part-{part.number:05}"
            folder.mkdir()
            made = encode.encode(
                plan,
                part,
                source,
                folder,
                threads=max(1, threads // at_once),
                stop=shared,
                progress=lambda seconds: shared.advance(part, seconds),
            )
            note = folder / "damaged.json"
            note.write_text("{}")
            # First: a part is finished when its files are there.
            if made.faults:
                pieces.put(fault_name(plan, part.number), note)
            if made.damaged:
                pieces.put(damage_name(plan, part.number), note)
                damaged.add(part.number)
                check_damage(plan, damaged)
            for rung, name in piece_names(plan, part.number).items():
                pieces.put(name, made.files[rung])
        except BaseException as error:
            shared.give_up(error)
            raise
        shared.finish(part)
        return made.files

    # Threads only wait for their ffmpeg, which has one processor's worth of work.
    with ThreadPoolExecutor(at_once, thread_name_prefix="part") as pool:
        running = {part.number: pool.submit(encode_one, part) for part in missing}
    if shared.error is not None:
        raise shared.error  # the first: those of the others came of it
    return result | {number: one.result() for number, one in running.items()}


def encode_film(
    plan: TranscodePlan,
    source: Path,
    *,
    scratch: Path,
    pieces: ChunkStore,
    threads: int,
    stop: Stop | None = None,
    progress: Progress | None = None,
) -> tuple[Sequence[Mapping[str, Path]], tuple[Path, ...]]:
    """Everything that is not finished yet: all parts, and the sound beside them.

    Takes what ``encode_parts`` takes.

    Returns:
        Of each part in order the file of each step, and the files of the tracks of sound.
    """
    beside = _Shared(plan, (), (), stop=stop, progress=None)
    with ThreadPoolExecutor(1, thread_name_prefix="sound") as pool:
        sounds = pool.submit(
            encode_sounds, plan, source, scratch=scratch, pieces=pieces, stop=beside
        )
        try:
            parts = encode_parts(
                plan,
                source,
                range(len(plan.parts)),
                scratch=scratch,
                pieces=pieces,
                threads=threads,
                stop=stop,
                progress=progress,
            )
        except BaseException as error:
            beside.give_up(error)
            raise
        return [parts[number] for number in range(len(plan.parts))], sounds.result()


class _Shared(Stop):
    """What parts that are encoded at the same time share: a stop and one measure of progress."""

    def __init__(
        self,
        plan: TranscodePlan,
        wanted: Sequence[Chunk],
        missing: Sequence[Chunk],
        *,
        stop: Stop | None,
        progress: Progress | None,
    ) -> None:
        super().__init__()
        self._plan = plan
        self._stop = stop
        self._tell = progress
        self._given_up = Event()
        self._total = max(1, sum(part.frames for part in wanted))
        self._before = self._total - sum(part.frames for part in missing)
        self._done: dict[int, float] = {}
        self._parts, self._finished = len(wanted), len(wanted) - len(missing)
        self.error: BaseException | None = None

    @property
    def requested(self) -> bool:
        return self._given_up.is_set() or (self._stop is not None and self._stop.requested)

    def check(self) -> None:
        if self._stop is not None:
            self._stop.check()
        if self._given_up.is_set():
            raise TransientError("another part has failed", code="stopped")

    def give_up(self, error: BaseException) -> None:
        """A part has failed: there is no use in going on with the others."""
        with self._lock:
            self.error = self.error or error
        self._given_up.set()

    def advance(self, part: Chunk, seconds: float) -> None:
        """So much of a part is encoded."""
        with self._lock:
            self._done[part.number] = min(part.frames, seconds * float(self._plan.rate))
            self._say()

    def finish(self, part: Chunk) -> None:
        """A part is kept."""
        with self._lock:
            self._done[part.number] = part.frames
            self._finished += 1
            self._say()

    def _say(self) -> None:
        if self._tell is None:
            return
        share = (self._before + sum(self._done.values())) / self._total
        # Several are encoded at a time: which of them has moved is nothing to say.
        self._tell(min(1.0, share), f"encoding, {self._finished} of {self._parts} parts done")


def encode_sounds(
    plan: TranscodePlan,
    source: Path,
    *,
    scratch: Path,
    pieces: ChunkStore,
    stop: Stop | None = None,
    progress: Progress | None = None,
) -> tuple[Path, ...]:
    """Measure and encode every track of sound that is not finished yet."""
    tell = progress or (lambda _share, _what: None)
    paths = []
    for number, track in enumerate(plan.sounds):
        name = sound_name(plan, number)
        path = pieces.get(name)
        if path is None:
            tell(number / len(plan.sounds), f"sound {number + 1} of {len(plan.sounds)}")
            path = scratch / f"sound-{number}.mp4"
            loudness = audio.make(plan, track, source, path, stop=stop)
            notes = scratch / f"sound-{number}.json"
            notes.write_text(json.dumps(asdict(loudness)))
            pieces.put(f"{name}.json", notes)
            pieces.put(name, path)  # last: it counts as finished now
        paths.append(path)
    tell(1.0, "sound")
    return tuple(paths)


def finished_sounds(plan: TranscodePlan, pieces: ChunkStore) -> tuple[Path, ...] | None:
    """The files of all tracks of sound, if all are there."""
    found = [pieces.get(sound_name(plan, number)) for number in range(len(plan.sounds))]
    paths = tuple(path for path in found if path is not None)
    return paths if len(paths) == len(found) else None


def details(
    plan: TranscodePlan, streams: Sequence[Stream], pieces: ChunkStore, folder: Path
) -> Mapping[str, object]:
    """What there is to say of a finished transcode, for ``result.json``."""
    loudness = []
    for number in range(len(plan.sounds)):
        notes = pieces.get(f"{sound_name(plan, number)}.json")
        loudness.append(json.loads(notes.read_bytes()) if notes is not None else None)
    faults = any(pieces.get(fault_name(plan, part.number)) is not None for part in plan.parts)
    film = folder / package.FILM
    averages = {stream.name: round(stream.average / 1000) for stream in streams}
    return {
        "plan": plan.digest,
        "seconds": round(float(plan.seconds), 6),
        "frame_rate": f"{plan.rate.numerator}/{plan.rate.denominator}",
        "frames": plan.frames,
        "parts": len(plan.parts),
        "segment_seconds": round(float(plan.segment_frames / plan.rate), 6),
        "warnings": list(dict.fromkeys((*plan.warnings, *(("damaged",) if faults else ())))),
        "tone_mapped": plan.colours.hdr,
        "master": package.MASTER if plan.hls else None,
        "mp4": package.FILM if film.is_file() else None,
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
            for track, measured in zip(plan.sounds, loudness, strict=True)
        ],
    }
