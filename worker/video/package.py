"""Encoded parts become what is served: HLS with CMAF segments, and one progressive MP4.

What lives here: joining parts without re-encoding, playlists. What may not: encoding.

Segments are the encoders' own fragments with their numbers and times written anew; a segment
begins at a whole number of ticks, so nothing is rounded and nothing drifts.
Sources: RFC 8216 and its successor draft-pantos-hls-rfc8216bis (playlists), ISO/IEC 23000-19
(CMAF).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from worker.domain.errors import EngineError
from worker.job_context import Stop
from worker.video import audio, codec_names, commands, ffmpeg, fmp4
from worker.video.fmp4 import Track
from worker.video.ladder import Rung
from worker.video.languages import tag
from worker.video.limits import GIBIBYTE, ProgramLimits
from worker.video.transcode_plan import AudioSettings, TranscodePlan

LIMITS = ProgramLimits(wall_seconds=3600.0, stall_seconds=600.0, file_bytes=200 * GIBIBYTE)

MASTER = "hls/master.m3u8"
FILM = "video.mp4"
_FIRST_BITS = 2_000_000
"""Bits a second of the variant that is named first, about: a player begins with that one ("HLS
authoring specification for Apple devices", 9.11)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One file of a playlist."""

    bytes: int
    seconds: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One track, written as a folder with a playlist."""

    name: str
    codec: str
    """For ``CODECS`` (RFC 6381)."""
    segments: tuple[Segment, ...]

    @property
    def peak(self) -> int:
        """Bits a second of the segment that has most; a short last one is spread as it is."""
        return max(round(item.bytes * 8 / item.seconds) for item in self.segments)

    @property
    def average(self) -> int:
        """Bits a second of all together."""
        seconds = sum((item.seconds for item in self.segments), Fraction(0))
        return round(sum(item.bytes for item in self.segments) * 8 / seconds)


def package(
    plan: TranscodePlan,
    parts: Sequence[Mapping[str, Path]],
    sounds: Sequence[Path],
    folder: Path,
    *,
    scratch: Path,
    stop: Stop | None = None,
) -> tuple[Stream, ...]:
    """Write everything that is served below ``folder``.

    Args:
        plan: of the film.
        parts: of each part in order, the file of each step by its name (``encode``).
        sounds: of each track of sound in order, its file (``sound.encode``).
        folder: gets ``hls/...`` and ``video.mp4``.
        scratch: an existing folder on the same disk; what is put there is taken away again.
        stop: ends it early.

    Returns:
        The streams of the ladder, then those of the sound; empty without HLS.

    Raises:
        EngineError: the parts do not fit together.
    """
    streams: list[Stream] = []
    joined = scratch / "joined.mp4"
    for number, rung in enumerate(plan.rungs):
        main = number == 0 and plan.mp4
        if plan.hls or main:
            place = folder / "hls" / rung.name if plan.hls else None
            tracks = _tracks(rung.name, parts)
            whole = joined if main else None
            streams.append(_video(plan, rung, tracks, place=place, joined=whole, stop=stop))
    if plan.hls:
        for number, path in enumerate(sounds):
            name = f"audio-{number}"
            streams.append(_sound(plan, name, path, folder / "hls" / name, stop))
        (folder / MASTER).write_text(_master(plan, streams))
    if plan.mp4:
        try:
            _progressive(plan, joined, sounds, folder / FILM, stop)
        finally:
            joined.unlink(missing_ok=True)
    return tuple(streams) if plan.hls else ()


def _tracks(name: str, parts: Sequence[Mapping[str, Path]]) -> Iterator[Track]:
    """The parts of one step, one after the other; all must begin with the same header."""
    header = b""
    for files in parts:
        track = fmp4.read(files[name])
        if header and track.header != header:
            raise EngineError(f"the parts of {name} were encoded differently and cannot be joined")
        header = track.header
        yield track


def _video(
    plan: TranscodePlan,
    rung: Rung,
    tracks: Iterator[Track],
    *,
    place: Path | None,
    joined: Path | None,
    stop: Stop | None,
) -> Stream:
    """Write one step's segments, and all of it as one file if ``joined`` is given."""
    each = plan.segment_frames // plan.key_frames
    segments: list[Segment] = []
    codec = ""
    number, time = 1, 0
    whole = joined.open("wb") if joined is not None else None
    try:
        for track in tracks:
            if stop is not None:
                stop.check()
            if not codec:
                codec = codec_names.name_of(track.header)
                if place is not None:
                    place.mkdir(parents=True)
                    (place / "init.mp4").write_bytes(track.header)
                if whole is not None:
                    whole.write(track.header)
            for at in range(0, len(track.fragments), each):
                taken = track.fragments[at : at + each]
                data = fmp4.moved(track, taken, number=number, time=time)
                if place is not None:
                    (place / _file(len(segments))).write_bytes(data)
                if whole is not None:
                    whole.write(data)
                ticks = sum(fragment.ticks for fragment in taken)
                segments.append(Segment(bytes=len(data), seconds=Fraction(ticks, plan.timescale)))
                number += len(taken)
                time += ticks
    finally:
        if whole is not None:
            whole.close()
    if time != plan.frames * plan.frame_ticks:
        raise EngineError(f"{rung.name} came out {time} ticks long, which is not the whole film")
    if place is not None:
        (place / "index.m3u8").write_text(_playlist(segments))
    return Stream(name=rung.name, codec=codec, segments=tuple(segments))


def _sound(plan: TranscodePlan, name: str, path: Path, place: Path, stop: Stop | None) -> Stream:
    """Write one track's segments: AAC frames are shared out where the picture's segments begin."""
    track = fmp4.read(path)
    place.mkdir(parents=True)
    (place / "init.mp4").write_bytes(track.header)
    sizes = [size for fragment in track.fragments for size in fragment.sizes]
    durations = [ticks for fragment in track.fragments for ticks in fragment.durations]
    segments: list[Segment] = []
    frame = time = 0
    with path.open("rb") as file:
        reader = _Samples(file, track)
        while frame < len(sizes):
            if stop is not None:
                stop.check()
            first = (len(segments) + 1) * plan.segment_frames
            # The frame that sounds when the next segment's picture begins goes to that segment.
            border = first / plan.rate * audio.SAMPLE_RATE + track.delay
            end = len(sizes) if first >= plan.frames else int(border // audio.FRAME_SAMPLES)
            end = min(len(sizes), max(frame + 1, end))
            data = fmp4.built(
                sizes[frame:end],
                durations[frame:end],
                reader.take(sizes[frame:end]),
                number=len(segments) + 1,
                time=time,
            )
            (place / _file(len(segments))).write_bytes(data)
            ticks = sum(durations[frame:end])
            shown = ticks - (track.delay if frame == 0 else 0)
            segments.append(
                Segment(bytes=len(data), seconds=Fraction(max(1, shown), track.timescale))
            )
            frame, time = end, time + ticks
    (place / "index.m3u8").write_text(_playlist(segments))
    return Stream(name=name, codec="mp4a.40.2", segments=tuple(segments))


class _Samples:
    """Reads samples in order across the fragments of a file."""

    def __init__(self, file: object, track: Track) -> None:
        self._file = file
        self._places = iter(
            [(one.position + one.data_at, sum(one.sizes)) for one in track.fragments]
        )
        self._ready = b""

    def take(self, sizes: Sequence[int]) -> bytes:
        wanted = sum(sizes)
        while len(self._ready) < wanted:
            position, size = next(self._places)
            self._file.seek(position)  # type: ignore[attr-defined]
            self._ready += self._file.read(size)  # type: ignore[attr-defined]
        data, self._ready = self._ready[:wanted], self._ready[wanted:]
        return data


def _file(number: int) -> str:
    return f"{number:05}.m4s"


def _playlist(segments: Sequence[Segment]) -> str:
    """A media playlist. Lengths to the microsecond, which is exact or off by less than one."""
    longest = max(item.seconds for item in segments)
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        # At least every length rounded to the nearest whole number (RFC 8216, 4.3.3.1).
        f"#EXT-X-TARGETDURATION:{max(1, int(longest + Fraction(1, 2)))}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        '#EXT-X-MAP:URI="init.mp4"',
    ]
    for number, item in enumerate(segments):
        lines += [f"#EXTINF:{float(item.seconds):.6f},", _file(number)]
    return "\n".join([*lines, "#EXT-X-ENDLIST", ""])


def _master(plan: TranscodePlan, streams: Sequence[Stream]) -> str:
    """The playlist that names all others."""
    videos = list(zip(plan.rungs, streams, strict=False))
    sounds = streams[len(videos) :]
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-INDEPENDENT-SEGMENTS"]
    taken: set[str] = set()
    spoken: set[str] = set()
    for number, (stream, track) in enumerate(zip(sounds, plan.sounds, strict=True)):
        name = _label(track, number, taken)
        first = "YES" if number == 0 else "NO"
        # A player chooses by language: of two tracks of one only the first (RFC 8216, 4.3.4.1.1).
        chosen = "NO" if track.language in spoken else "YES"
        spoken.add(track.language)
        said = "" if track.language == "und" else f',LANGUAGE="{_quoted(tag(track.language))}"'
        lines.append(
            f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="{name}"{said},DEFAULT={first},'
            f'AUTOSELECT={chosen},CHANNELS="{track.channels}",URI="{stream.name}/index.m3u8"'
        )
    peak = max((stream.peak for stream in sounds), default=0)
    average = max((stream.average for stream in sounds), default=0)
    # Every player has the first codec that was asked for; the others are for those that can.
    common = [item for item in videos if item[0].codec is videos[0][0].codec]
    start = min(common, key=lambda item: abs(item[1].peak + peak - _FIRST_BITS))
    for rung, stream in [start, *(item for item in videos if item is not start)]:
        codecs = ",".join([stream.codec, *{one.codec for one in sounds}])
        lines.append(
            f"#EXT-X-STREAM-INF:BANDWIDTH={stream.peak + peak},"
            f"AVERAGE-BANDWIDTH={stream.average + average},"
            f'CODECS="{codecs}",RESOLUTION={rung.width}x{rung.height},'
            f"FRAME-RATE={float(plan.rate):.3f},VIDEO-RANGE=SDR,CLOSED-CAPTIONS=NONE"
            + (',AUDIO="audio"' if sounds else "")
        )
        lines.append(f"{stream.name}/index.m3u8")
    return "\n".join([*lines, ""])


def _label(track: AudioSettings, number: int, taken: set[str]) -> str:
    """A name that no other track of the group has."""
    language = "" if track.language == "und" else track.language
    name = _quoted(track.title) or _quoted(language) or f"Track {number + 1}"
    base, count = name, number + 1
    while name in taken:
        name, count = f"{base} {count}", count + 1
    taken.add(name)
    return name


def _quoted(text: str) -> str:
    """Text that may stand between quotes: what would end them or the line is left out."""
    kept = "".join(character for character in text if character.isprintable() and character != '"')
    return kept.strip()[:80]


def _progressive(
    plan: TranscodePlan,
    joined: Path,
    sounds: Sequence[Path],
    path: Path,
    stop: Stop | None,
) -> None:
    """The first step with all sound in one file whose index comes first."""
    # As they are: ffmpeg would otherwise begin each input at its own first packet, which of sound
    # is the encoder's silence before the beginning.
    everywhere = {"copyts": None}
    options: dict[str, object] = {"f": "mp4", "c": "copy", "fflags": "+bitexact"}
    options |= {"movflags": "+faststart", "video_track_timescale": plan.timescale}
    for number, track in enumerate(plan.sounds[: len(sounds)]):
        options[f"metadata:s:a:{number}"] = f"language={_quoted(track.language)}"
    if plan.rungs[0].codec == "hevc":
        options["tag:v"] = "hvc1"
    streams = [commands.source(each)["0"] for each in (joined, *sounds)]
    film = commands.output(path, streams, options)
    ffmpeg.run(commands.arguments(film, everywhere=everywhere), limits=LIMITS, stop=stop)
