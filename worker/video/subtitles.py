"""The subtitles of a video as WebVTT, one file a track.

What lives here: which tracks can be had as text, what their files are called, and the making of
them. What may not: reading of letters from pictures; such tracks are named and left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.domain.errors import EngineError, Reason, Rejected
from worker.job_context import Stop
from worker.video import commands
from worker.video.ffmpeg import run
from worker.video.limits import ProgramLimits
from worker.video.tracks import SubtitleTrack, VideoProbe
from worker.video.webvtt import tidy

_BAD_WORLD = frozenset({Reason.TIMED_OUT, Reason.OUT_OF_MEMORY, Reason.TOO_LARGE_OUTPUT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """One track that is now a file."""

    track: SubtitleTrack
    name: str
    """``deu.vtt``, ``deu.forced.vtt``, ``eng.sdh.vtt``, ``und.2.vtt``."""
    path: Path
    cues: int
    """Texts with a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """One track that is not."""

    track: SubtitleTrack
    reason: str
    """``bitmap`` (pictures of letters), ``language`` (not asked for), ``empty``, ``damaged``."""


def extract(
    path: Path,
    probe: VideoProbe,
    folder: Path,
    *,
    languages: Sequence[str] = (),
    limits: ProgramLimits,
    stop: Stop | None = None,
    progress: Callable[[float], None] | None = None,
) -> tuple[list[Extracted], list[Skipped]]:
    """Write the text tracks into ``folder``, their times counted from the first picture.

    All tracks are written in one pass over the file. If that fails each is tried alone, so one
    damaged track costs no other.

    Args:
        path: the file.
        probe: of that file.
        folder: must be there; nothing else may be in it.
        languages: only these, compared with what the file says; none means all.
        limits: of the program.
        stop: as for ``program.run``.
        progress: told the seconds read.

    Raises:
        Rejected: the file is the reason, not one of its tracks.
    """
    skipped: list[Skipped] = []
    wanted: list[tuple[SubtitleTrack, str]] = []
    names: set[str] = set()
    asked = {each.lower() for each in languages}
    for track in probe.subtitles:
        if asked and (track.language or "und") not in asked:
            skipped.append(Skipped(track=track, reason="language"))
        elif not track.text:
            skipped.append(Skipped(track=track, reason="bitmap"))
        else:
            wanted.append((track, _name(track, names)))
    if not wanted:
        return [], skipped
    try:
        _write(path, wanted, folder, limits=limits, stop=stop, progress=progress)
        failed: set[str] = set()
    except (Rejected, EngineError) as error:
        if isinstance(error, Rejected) and error.reason in _BAD_WORLD:
            raise
        failed = _one_by_one(path, wanted, folder, limits=limits, stop=stop)
    extracted: list[Extracted] = []
    for track, name in wanted:
        written = name not in failed and (folder / name).exists()
        cues = tidy(folder / name, since=probe.origin) if written else 0
        if name in failed:
            skipped.append(Skipped(track=track, reason="damaged"))
        elif not cues:
            skipped.append(Skipped(track=track, reason="empty"))
        else:
            extracted.append(Extracted(track=track, name=name, path=folder / name, cues=cues))
    return extracted, skipped


def _name(track: SubtitleTrack, taken: set[str]) -> str:
    """A name with the language in it that no other track has."""
    parts = [track.language or "und"]
    if track.forced:
        parts.append("forced")
    if track.hearing_impaired:
        parts.append("sdh")
    stem = ".".join(parts)
    name, number = f"{stem}.vtt", 1
    while name in taken:
        number += 1
        name = f"{stem}.{number}.vtt"
    taken.add(name)
    return name


def _write(
    path: Path,
    wanted: Sequence[tuple[SubtitleTrack, str]],
    folder: Path,
    *,
    limits: ProgramLimits,
    stop: Stop | None,
    progress: Callable[[float], None] | None = None,
) -> None:
    source = commands.source(path)
    outputs = [
        commands.output(folder / name, [source[str(track.index)]], {"f": "webvtt", "c:s": "webvtt"})
        for track, name in wanted
    ]
    # Times as they are: ffmpeg would count from the first packet, which may be of sound.
    arguments = commands.arguments(*outputs, everywhere={"copyts": None})
    run(arguments, limits=limits, stop=stop, progress=progress)


def _one_by_one(
    path: Path,
    wanted: Sequence[tuple[SubtitleTrack, str]],
    folder: Path,
    *,
    limits: ProgramLimits,
    stop: Stop | None,
) -> set[str]:
    """Names of the tracks that cannot be written even alone."""
    failed: set[str] = set()
    for track, name in wanted:
        try:
            _write(path, [(track, name)], folder, limits=limits, stop=stop)
        except (Rejected, EngineError) as error:
            if isinstance(error, Rejected) and error.reason in _BAD_WORLD:
                raise
            failed.add(name)
    return failed
