"""The subtitles of a video as WebVTT, one file a track.

Tracks that are pictures of letters are named and left. ffmpeg copies what a subtitle says into
WebVTT as it is. There ``-->`` in a text is a mistake, a loose ``<`` or ``&`` can swallow what
follows, and an empty line ends the text: :func:`tidy` puts that right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.atomic import staging
from worker.domain.errors import EngineError, Reason, Rejected
from worker.job_context import JobContext
from worker.video import commands
from worker.video.ffmpeg import ProgramLimits, run
from worker.video.tracks import SubtitleTrack, VideoProbe

_NOT_THE_TRACK = frozenset({Reason.TIMED_OUT, Reason.OUT_OF_MEMORY, Reason.TOO_LARGE_OUTPUT})


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
    context: JobContext,
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
        context: its progress goes to 0.95.

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
        _write(path, wanted, folder, probe=probe, limits=limits, context=context)
        failed: set[str] = set()
    except (Rejected, EngineError) as error:
        if isinstance(error, Rejected) and error.reason in _NOT_THE_TRACK:
            raise
        failed = _one_by_one(path, wanted, folder, probe=probe, limits=limits, context=context)
    extracted: list[Extracted] = []
    for track, name in wanted:
        written = name not in failed and (folder / name).exists()
        cues = tidy(folder / name, since=probe.first_shown) if written else 0
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
    probe: VideoProbe,
    limits: ProgramLimits,
    context: JobContext,
) -> None:
    whole = max(probe.duration, 0.001)
    source = commands.source(path)
    outputs = [
        commands.output(folder / name, [source[str(track.index)]], {"f": "webvtt", "c:s": "webvtt"})
        for track, name in wanted
    ]
    # Times as they are: ffmpeg would count from the first packet, which may be of audio.
    arguments = commands.arguments(*outputs, everywhere={"copyts": None})
    run(
        arguments,
        limits=limits,
        stop=context.stop,
        progress=lambda done: context.progress(min(0.95, done / whole), "reading subtitles"),
    )


def _one_by_one(
    path: Path,
    wanted: Sequence[tuple[SubtitleTrack, str]],
    folder: Path,
    *,
    probe: VideoProbe,
    limits: ProgramLimits,
    context: JobContext,
) -> set[str]:
    """Names of the tracks that cannot be written even alone."""
    failed: set[str] = set()
    for track, name in wanted:
        try:
            _write(path, [(track, name)], folder, probe=probe, limits=limits, context=context)
        except (Rejected, EngineError) as error:
            if isinstance(error, Rejected) and error.reason in _NOT_THE_TRACK:
                raise
            failed.add(name)
    return failed


# --- WebVTT ------------------------------------------------------------------------------------

_TIME = r"(?:\d{2,}:)?\d\d:\d\d\.\d{3}"
_TIMES = re.compile(rf"({_TIME}) --> ({_TIME})(| .*)")
_INNER = re.compile(rf"<({_TIME})>")
_TAG = r"/?(?:b|i|u|c|v|lang|ruby|rt)(?:[.\s][^<>]*)?>"
_LOOSE_LESS = re.compile(rf"<(?!(?:{_TAG}|{_TIME}>))")
_LOOSE_AND = re.compile(r"&(?!(?:amp|lt|gt|lrm|rlm|nbsp|#\d{1,7}|#[xX][0-9A-Fa-f]{1,6});)")


def tidy(path: Path, *, since: float = 0.0) -> int:
    """Put the texts of a file right, in place, and return how many there are.

    Tags and escapes that WebVTT knows stay. Bytes that are no UTF-8 become U+FFFD.

    Args:
        path: the file.
        since: seconds that become 0; a text that ends before goes.
    """
    count, shown = 0, False
    with (
        staging(path) as tidied,
        path.open(encoding="utf-8", errors="replace") as source,
        tidied.open("w", encoding="utf-8", newline="\n") as target,
    ):
        blocks = _blocks(source)
        target.writelines(f"{line}\n" for line in next(blocks, ()))
        for block in blocks:
            # A block may have a name before its times. One without times is the rest of a text
            # that had an empty line in it.
            start = next((i + 1 for i, line in enumerate(block[:2]) if _TIMES.fullmatch(line)), 0)
            if start:
                times = _moved(block[start - 1], since)
                shown = times is not None
                if times is not None:
                    count += 1
                    target.writelines(f"{line}\n" for line in ("", *block[: start - 1], times))
            if shown:
                inner = (
                    _INNER.sub(lambda found: f"<{_since(found[1], since)}>", line)
                    for line in block[start:]
                )
                target.writelines(f"{escaped(line)}\n" for line in inner)
    return count


def _moved(line: str, since: float) -> str | None:
    """The times of a text, counted from another moment; None if it has ended by then."""
    found = _TIMES.fullmatch(line)
    assert found is not None
    if since == 0:
        return line
    if _seconds(found[2]) <= since:
        return None
    return f"{_since(found[1], since)} --> {_since(found[2], since)}{found[3]}"


def _since(time: str, since: float) -> str:
    return timestamp(max(0.0, _seconds(time) - since)).removeprefix("00:")


def _seconds(time: str) -> float:
    whole, _, thousandths = time.partition(".")
    seconds = 0
    for part in whole.split(":"):
        seconds = seconds * 60 + int(part)
    return seconds + int(thousandths) / 1000


def timestamp(seconds: float) -> str:
    """Hours, minutes, seconds and thousandths (WebVTT, 4.3)."""
    minutes, rest = divmod(round(seconds * 1000), 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"


def escaped(text: str) -> str:
    """One line of a text with everything escaped that WebVTT would take for something else."""
    return _LOOSE_LESS.sub("&lt;", _LOOSE_AND.sub("&amp;", text)).replace("-->", "--&gt;")


def _blocks(lines: Iterable[str]) -> Iterator[Sequence[str]]:
    """The blocks between empty lines."""
    block: list[str] = []
    for line in lines:
        text = line.rstrip("\n")
        if text:
            block.append(text)
        elif block:
            yield block
            block = []
    if block:
        yield block
