"""Encoded chunks become what is served: CMAF segments for HLS and DASH, and one progressive MP4.

Segments are the encoders' own fragments with their numbers and times written anew; nothing is
encoded again. A segment begins at a whole number of ticks, so nothing is rounded or drifts.

The time that a segment has in itself (``tfdt``) is the time at which it is shown or heard. Players
differ in whether they apply an edit list to audio: of the same files hls.js 1.7.4 does,
shaka-player 5.2.12 applies it twice (-20 ms), Chromium 156 by itself not at all (+21 ms). So audio
has none (:func:`_audio`). Pictures have one that takes back what B-frames add to the times of a
segment, which leaves ``tfdt`` right.
Sources: ISO/IEC 23000-19 (CMAF), ISO/IEC 14496-12, RFC 6381 (``CODECS``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from worker.domain.errors import EngineError
from worker.job_context import JobContext
from worker.video import audio, commands, ffmpeg, fmp4, manifests
from worker.video.ffmpeg import GIBIBYTE, ProgramLimits
from worker.video.fmp4 import Track
from worker.video.manifests import INIT, PLAYLIST, MediaStream, Segment, quoted, segment_file
from worker.video.plan import Rung, TranscodePlan

LIMITS = ProgramLimits(wall_seconds=3600.0, stall_seconds=600.0, file_bytes=200 * GIBIBYTE)

FOLDER = "hls"
"""Of everything but the MP4."""
MASTER = f"{FOLDER}/master.m3u8"
DASH = f"{FOLDER}/manifest.mpd"
PROGRESSIVE = "video.mp4"


def package(
    plan: TranscodePlan,
    chunks: Sequence[Mapping[str, Path]],
    tracks: Sequence[Path],
    folder: Path,
    context: JobContext,
) -> tuple[MediaStream, ...]:
    """Write everything that is served below ``folder``.

    Args:
        plan: of the video.
        chunks: of each chunk in order, the file of each rung by its name (``encode``).
        tracks: of each audio track in order, its file (``audio.encode``).
        folder: gets ``hls/...`` and ``video.mp4``.
        context: its scratch folder is on the same disk; what is put there is taken away again.

    Returns:
        The streams of the ladder, then those of the audio; empty without HLS.

    Raises:
        EngineError: the chunks do not fit together.
    """
    streams: list[MediaStream] = []
    joined = context.scratch / "joined.mp4"
    for number, rung in enumerate(plan.rungs):
        main = number == 0 and plan.mp4
        if plan.hls or main:
            to = folder / FOLDER / rung.name if plan.hls else None
            whole = joined if main else None
            encoded = _joined(rung.name, chunks)
            streams.append(_video(plan, rung, encoded, to=to, joined=whole, context=context))
    if plan.hls:
        for number, path in enumerate(tracks):
            name = f"audio-{number}"
            streams.append(_audio(plan, name, path, folder / FOLDER / name, context))
        (folder / MASTER).write_text(manifests.master(plan, streams))
        (folder / DASH).write_text(manifests.dash(plan, streams))
    if plan.mp4:
        try:
            _progressive(plan, joined, tracks, folder / PROGRESSIVE, context)
        finally:
            joined.unlink(missing_ok=True)
    return tuple(streams) if plan.hls else ()


def _joined(name: str, chunks: Sequence[Mapping[str, Path]]) -> Iterator[Track]:
    """The chunks of one rung, one after the other; all must begin with the same header."""
    header = b""
    for files in chunks:
        track = fmp4.read(files[name])
        if header and track.header != header:
            raise EngineError(f"the chunks of {name} were encoded differently and cannot be joined")
        header = track.header
        yield track


def _video(
    plan: TranscodePlan,
    rung: Rung,
    tracks: Iterator[Track],
    *,
    to: Path | None,
    joined: Path | None,
    context: JobContext,
) -> MediaStream:
    """Write one rung's segments, and all of it as one file if ``joined`` is given."""
    each = plan.segment_frames // plan.key_frames
    segments: list[Segment] = []
    codec = ""
    number, time = 1, 0
    whole = joined.open("wb") if joined is not None else None
    try:
        for track in tracks:
            context.stop.check()
            if not codec:
                codec = codec_string(track.header)
                if to is not None:
                    to.mkdir(parents=True)
                    (to / INIT).write_bytes(track.header)
                if whole is not None:
                    whole.write(track.header)
            for at in range(0, len(track.fragments), each):
                taken = track.fragments[at : at + each]
                data = fmp4.moved(track, taken, number=number, time=time)
                if to is not None:
                    (to / segment_file(len(segments))).write_bytes(data)
                if whole is not None:
                    whole.write(data)
                ticks = sum(fragment.ticks for fragment in taken)
                segments.append(Segment(bytes=len(data), ticks=ticks))
                number += len(taken)
                time += ticks
    finally:
        if whole is not None:
            whole.close()
    if time != plan.frames * plan.frame_ticks:
        raise EngineError(f"{rung.name} came out {time} ticks long, which is not the whole video")
    stream = MediaStream(
        name=rung.name, codec=codec, timescale=plan.timescale, segments=tuple(segments)
    )
    if to is not None:
        (to / PLAYLIST).write_text(manifests.playlist(stream))
    return stream


def _audio(
    plan: TranscodePlan, name: str, path: Path, to: Path, context: JobContext
) -> MediaStream:
    """Write one track's segments: AAC frames are shared out where the picture's segments begin.

    AAC needs the frame before to decode a frame in full, so an encoder begins with one that is not
    heard, and an edit list hides it. Here both are left out: the first frame is the one that is
    heard at 0, and fades in (21 ms), as after every seek. The MP4 has the hidden frame.
    """
    track = fmp4.read(path)
    sizes = [size for fragment in track.fragments for size in fragment.sizes]
    durations = [ticks for fragment in track.fragments for ticks in fragment.durations]
    frame, time = 0, -track.delay
    while time < 0 and frame < len(sizes):
        time += durations[frame]
        frame += 1
    if frame == len(sizes):
        raise EngineError(f"{name} is nothing but the encoder's silence before the beginning")
    to.mkdir(parents=True)
    (to / INIT).write_bytes(fmp4.without_edits(track.header))
    segments: list[Segment] = []
    with path.open("rb") as file:
        reader = _Samples(file, track)
        reader.take(sizes[:frame])
        while frame < len(sizes):
            context.stop.check()
            first = (len(segments) + 1) * plan.segment_frames
            # The frame that is heard when the next segment's picture begins goes to that segment.
            border = first / plan.rate * audio.SAMPLE_RATE
            last = first >= plan.frames
            end = len(sizes) if last else frame + int((border - time) // audio.FRAME_SAMPLES)
            end = min(len(sizes), max(frame + 1, end))
            data = fmp4.built(
                sizes[frame:end],
                durations[frame:end],
                reader.take(sizes[frame:end]),
                number=len(segments) + 1,
                time=time,
            )
            (to / segment_file(len(segments))).write_bytes(data)
            after = time + sum(durations[frame:end])
            # The first lasts from 0 on, wherever in it the first whole frame begins.
            segments.append(Segment(bytes=len(data), ticks=after - (time if segments else 0)))
            frame, time = end, after
    stream = MediaStream(
        name=name, codec="mp4a.40.2", timescale=track.timescale, segments=tuple(segments)
    )
    (to / PLAYLIST).write_text(manifests.playlist(stream))
    return stream


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


def _progressive(
    plan: TranscodePlan,
    joined: Path,
    tracks: Sequence[Path],
    path: Path,
    context: JobContext,
) -> None:
    """The first rung with all audio in one file whose index comes first."""
    # As they are: ffmpeg would otherwise begin each input at its own first packet, which of audio
    # is the encoder's silence before the beginning.
    everywhere = {"copyts": None}
    options: dict[str, object] = {"f": "mp4", "c": "copy", "fflags": "+bitexact"}
    options |= {"movflags": "+faststart", "video_track_timescale": plan.timescale}
    for number, track in enumerate(plan.audio[: len(tracks)]):
        options[f"metadata:s:a:{number}"] = f"language={quoted(track.language)}"
    if plan.rungs[0].codec == "hevc":
        options["tag:v"] = "hvc1"
    streams = [commands.source(each)["0"] for each in (joined, *tracks)]
    made = commands.output(path, streams, options)
    ffmpeg.run(commands.arguments(made, everywhere=everywhere), limits=LIMITS, stop=context.stop)


# --- codecs, from the decoder configuration records in our own init segments -------------------


def codec_string(header: bytes) -> str:
    """The codec string of an init segment's video track.

    Raises:
        EngineError: it has no record of a codec that we encode to.
    """
    for name, reader in _READERS.items():
        at = header.find(name)
        if at >= 4:
            size = int.from_bytes(header[at - 4 : at])
            record = header[at + 4 : at - 4 + size]
            if len(record) >= 4:
                return reader(record)
    raise EngineError("an init segment of our own says nothing of its codec")


def _avc(record: bytes) -> str:
    """ISO/IEC 14496-15, 5.3.3.1: profile, constraints, level."""
    return f"avc1.{record[1]:02x}{record[2]:02x}{record[3]:02x}"


def _hevc(record: bytes) -> str:
    """ISO/IEC 14496-15, annex E.3."""
    if len(record) < 13:
        raise EngineError("an init segment of our own ends within its codec")
    space = ("", "A", "B", "C")[record[1] >> 6]
    tier = "H" if record[1] & 0x20 else "L"
    compatible = int(f"{int.from_bytes(record[2:6]):032b}"[::-1], 2)
    constraints = record[6:12].rstrip(b"\0")
    parts = [f"hvc1.{space}{record[1] & 0x1F}", f"{compatible:X}", f"{tier}{record[12]}"]
    return ".".join([*parts, *(f"{value:X}" for value in constraints)])


def _av1(record: bytes) -> str:
    """AV1 Codec ISO Media File Format Binding, section 5."""
    tier = "H" if record[2] & 0x80 else "M"
    depth = (10 if not record[2] & 0x20 else 12) if record[2] & 0x40 else 8
    return f"av01.{record[1] >> 5}.{record[1] & 0x1F:02}{tier}.{depth:02}"


_READERS = {b"avcC": _avc, b"hvcC": _hevc, b"av1C": _av1}
