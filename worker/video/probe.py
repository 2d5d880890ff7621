"""What a video is, read without decoding more than one frame of it, and whether it is acceptable.

What lives here: :func:`probe`, the verdict on a file before any work is done on it. What may not:
the reading of ffprobe's words (``probe_read``), of bytes (``structure``) and of time stamps
(``timing``).

Nothing the header claims is believed where it can be measured cheaply: a file of moderate size is
read to its end (not decoded), so its length, its frames and their distances are counted. Of a
large one the first minute is, and its claims are held against its bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias, cast

from worker.domain.errors import (
    DamagedInput,
    EngineError,
    InputError,
    LimitExceeded,
    Reason,
    UnsupportedInput,
)
from worker.job_context import Stop
from worker.video import commands, structure
from worker.video import probe_read as read
from worker.video.ffmpeg import input_url, run
from worker.video.limits import VideoLimits
from worker.video.timing import Timing, measure
from worker.video.tracks import AudioTrack, SubtitleTrack, VideoProbe, VideoTrack

__all__ = ["AudioTrack", "SubtitleTrack", "VideoLimits", "VideoProbe", "VideoTrack", "probe"]

Report: TypeAlias = dict[str, Any]

_DESCRIBE = ("-show_format", "-show_streams", "-show_chapters", "-of", "json=compact=1")
_READ_WHOLE_BYTES = 512 << 20
_SAMPLE_SECONDS = 60.0
_LEAST_BITS_PER_SECOND = 2_000
"""Below this a claimed length does not fit the bytes; the poorest speech codecs need as much."""
_CORRECTED = 0.05
"""Share by which claim and measure may differ before the claim is called wrong."""
_PLAIN_RATE = 240
_END_SLIP = 0.05
"""Seconds by which header and packets may differ on the end of the pictures."""
_MOV_SLIP = 0.1
"""The same where decoding times, of which an MP4 counts its length, end later than pictures."""
_DAMAGED = 0.2
"""Share of the frames that may be missing of a file with damage."""
_MOST_OTHERS = 8
"""Tracks beside the measured one that are asked whether they are as long as the header says."""
_SURE = 25
"""ffprobe's score of a guess by content, of 100 (libavformat: AVPROBE_SCORE_RETRY)."""


def probe(
    path: Path,
    limits: VideoLimits | None = None,
    *,
    need_video: bool = True,
    deep: bool = False,
    stop: Stop | None = None,
) -> VideoProbe:
    """Say what a file is.

    Args:
        path: a local file; its name plays no part.
        limits: what is refused.
        need_video: False accepts sound without pictures.
        deep: read even a large file to its end.
        stop: as for ``program.run``.

    Raises:
        Rejected: ``empty``, ``truncated``, ``corrupt``, ``unknown_format``,
            ``format_not_allowed`` (a picture, a playlist), ``unsupported_variant``, ``no_video``,
            ``no_audio`` (neither, where no video is needed), ``too_many_bytes``,
            ``too_many_pixels``, ``too_large_dimension``, ``too_long_duration``,
            ``too_many_streams``, ``timed_out``, ``out_of_memory``, ``decoder_crashed``.
        InputError: there is no such file.
        ConfigurationError: ffprobe is not installed.
    """
    limits = limits or VideoLimits()
    size = _size(path, limits)
    report = _report(path, limits, known=structure.look(path), stop=stop)
    cut = structure.cut_off(path) is not None
    _check_streams(report, limits)
    stream = read.main_video(report)
    if stream is None and need_video:
        raise UnsupportedInput(Reason.NO_VIDEO, "the file has no moving pictures")
    audio = tuple(read.audio_track(each) for each in read.streams(report, "audio"))
    if stream is None and not audio:
        raise UnsupportedInput(Reason.NO_AUDIO, "the file has neither pictures nor sound")
    if stream is not None:
        _check_frame(stream, limits)
        if need_video:
            _check_dolby_vision(stream)
            _decode_one(path, stream, limits, stop)
    claimed = read.number(report.get("format", {}).get("duration"))
    whole = deep or size <= _READ_WHOLE_BYTES or not _believable(claimed, size)
    index = stream["index"] if stream is not None else audio[0].index
    timing = measure(
        path, index, limits.reading(path), seconds=None if whole else _SAMPLE_SECONDS, stop=stop
    )
    missing = 0
    if stream is not None and whole and not cut:
        missing = _check_whole(stream, timing, claimed, named=structure.avi_frames(path, index))
        timing = replace(timing, end=_end(report, stream, timing, size=size))
    duration = timing.duration
    if not (cut and whole and duration):
        others = (
            read.number(each.get("duration"))
            # Matroska and FLV do not tell how long a track is.
            or measure(path, each["index"], limits.reading(path), stop=stop).duration
            for each in report["streams"]
            if each.get("index") != index and each.get("codec_type") in ("video", "audio")
        )
        duration = _duration(timing, others, claimed=claimed, whole=whole, size=size)
    if not timing.stamped and stream is not None:
        duration = float(timing.packets / read.claimed_fps(stream))
    if duration > limits.seconds:
        raise LimitExceeded(
            Reason.TOO_LONG_DURATION, f"{duration:.0f} s long; allowed: {limits.seconds:.0f} s"
        )
    return VideoProbe(
        container=str(report["format"].get("format_name", "unknown")),
        bytes=size,
        duration=duration,
        claimed_duration=claimed,
        measured=whole,
        start=read.number(report["format"].get("start_time")) or 0.0,
        video=None if stream is None else _track(stream, timing, whole=whole),
        audio=audio,
        subtitles=tuple(read.subtitle_track(each) for each in read.streams(report, "subtitle")),
        streams=len(report["streams"]),
        chapters=len(report.get("chapters", ())),
        tags=read.tags(report["format"]),
        location=read.location(report),
        warnings=(
            *_warnings(
                stream,
                timing,
                claimed=claimed,
                duration=duration,
                incomplete=cut or missing > 0 or structure.torn(path),
            ),
            *(("audio_ignored",) if not all(track.playable for track in audio) else ()),
        ),
    )


def _size(path: Path, limits: VideoLimits) -> int:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error}", code="input_missing") from error
    if size > limits.bytes:
        raise LimitExceeded(Reason.TOO_MANY_BYTES, f"{size} bytes; allowed: {limits.bytes}")
    return size


def _report(path: Path, limits: VideoLimits, *, known: bool, stop: Stop | None) -> Report:
    """What ffprobe says of the container and its streams."""
    source = input_url(path)
    try:
        printed = run(
            [*_DESCRIBE, "-i", source],
            limits=limits.reading(path),
            program="ffprobe",
            capture=True,
            stop=stop,
        )
    except DamagedInput as error:
        if known:
            raise
        # ffprobe calls damaged whatever no demuxer knows, and by the name what has none.
        raise UnsupportedInput(
            Reason.UNKNOWN_FORMAT, "the content is of no video or sound format known here"
        ) from error
    try:
        report = cast("Report", json.loads(printed.decode(errors="replace")))
    except ValueError as error:
        raise EngineError("ffprobe printed what is not JSON") from error
    if read.whole(report.get("format", {}).get("probe_score")) < _SURE and not known:
        raise UnsupportedInput(
            Reason.UNKNOWN_FORMAT, "the content is of no video or sound format known here"
        )
    return report


def _check_streams(report: Report, limits: VideoLimits) -> None:
    count = len(report.get("streams", ()))
    if count > limits.streams:
        raise LimitExceeded(Reason.TOO_MANY_STREAMS, f"{count} tracks; allowed: {limits.streams}")


def _check_frame(stream: read.Json, limits: VideoLimits) -> None:
    """Sides and pixels of a frame, and that its coding is known."""
    width, height = read.whole(stream.get("width")), read.whole(stream.get("height"))
    if not read.text(stream.get("codec_name")) or stream["codec_name"] == "none":
        raise UnsupportedInput(Reason.UNSUPPORTED_VARIANT, "its video coding is not known")
    if not width or not height:
        raise DamagedInput(Reason.CORRUPT, "its video track has no frame that could be read")
    # As stored, which is what is decoded, and with square pixels, which is what is encoded.
    for across, down in ((width, height), read.shown_size(stream)):
        if max(across, down) > limits.dimension:
            raise LimitExceeded(
                Reason.TOO_LARGE_DIMENSION,
                f"{across} x {down} pixels; allowed on the longer side: {limits.dimension}",
            )
        if across * down > limits.pixels:
            raise LimitExceeded(
                Reason.TOO_MANY_PIXELS,
                f"{across} x {down} pixels in a frame; allowed: {limits.pixels}",
            )


def _check_dolby_vision(stream: read.Json) -> None:
    track = read.video_track(stream, Fraction(1))
    if track.dolby_only:
        raise UnsupportedInput(
            Reason.UNSUPPORTED_VARIANT,
            f"its colours are those of Dolby Vision profile {track.dolby_vision} alone: export it "
            "as HDR10, HLG, SDR or Dolby Vision profile 8",
        )


def _decode_one(path: Path, stream: read.Json, limits: VideoLimits, stop: Stop | None) -> None:
    """Decode the first frame that can be, into the pixel format everything here starts from."""
    small = commands.filtered(
        commands.source(path, {"threads": 1})[str(stream["index"])],
        [("scale", {"w": 16, "h": 16}), ("format", {"pix_fmts": "yuv420p"})],
    )
    try:
        shown = run(
            commands.arguments(
                commands.output("pipe:1", [small], {"f": "framecrc", "frames:v": 1}),
                # How many before it cannot be decoded says nothing of the others.
                everywhere={"max_error_rate": 1},
            ),
            limits=limits.reading(path),
            capture=True,
            stop=stop,
        )
    except EngineError as error:
        # The arguments are the same for every file: what is wrong is in this one.
        raise DamagedInput(Reason.CORRUPT, "its first frame cannot be decoded") from error
    if not any(line and not line.startswith(b"#") for line in shown.splitlines()):
        raise DamagedInput(Reason.CORRUPT, "not one frame of it can be decoded")


def _believable(claimed: float | None, size: int) -> bool:
    return claimed is not None and claimed > 0 and size * 8 / claimed >= _LEAST_BITS_PER_SECOND


def _duration(
    timing: Timing, others: Iterable[float], *, claimed: float | None, whole: bool, size: int
) -> float:
    """Seconds: measured if the file was read, else as claimed.

    Other tracks may go on for longer than the measured one: a claim that they confirm stands, if
    there are bytes enough for it. ``others`` are their lengths, looked at only then.
    """
    if not whole or timing.duration == 0:
        return claimed or 0.0
    if claimed is None or not _believable(claimed, size):
        return timing.duration
    if abs(timing.duration - claimed) <= _tolerance(claimed):
        return claimed
    near = (abs(each - claimed) <= _tolerance(claimed) for each in islice(others, _MOST_OTHERS))
    return claimed if any(near) else timing.duration


def _end(report: Report, stream: read.Json, timing: Timing, *, size: int) -> float:
    """When the last picture has been shown, seconds.

    Its packet often does not tell: Matroska and AVI have no place for it, ffmpeg 5 guesses it
    where an MP4 has B-frames, and an edit list may end it earlier. So what the header says of the
    track counts, or of the file where tracks have no length. Longer than the packets it must be
    confirmed: in an MP4 by the lengths of all samples, in Matroska by a tag of the track, else by
    bytes enough, where no subtitle can be what goes on for longer.
    """
    name = str(report["format"].get("format_name"))
    part = report["format"] if name.startswith("matroska") else stream
    start, length = (read.number(part.get(key)) for key in ("start_time", "duration"))
    samples = length
    if length is not None and name.startswith("mov"):
        rate = read.ratio(stream.get("avg_frame_rate"))
        samples = float(timing.packets / rate) if rate else 0.0
        if timing.decoding is not None and abs(samples - length) <= _END_SLIP:
            # Of time to decode, as samples are: what the others leave is that of the last.
            return timing.last + max(0.0, length - timing.decoding)
    if start is None or length is None or start + length <= timing.last:
        return timing.end
    end = start + length
    if end < timing.end - _END_SLIP:
        return end
    if samples is not None and name.startswith("mov"):
        confirmed = end > timing.end + _MOV_SLIP and length <= samples + _MOV_SLIP
    elif told := read.clock(read.tags(stream).get("duration", "")):
        end, confirmed = min(end, told), name.startswith("matroska")
    else:
        confirmed = name.startswith(("matroska", "avi")) and _believable(length, size)
        confirmed = confirmed and not any(read.streams(report, "subtitle"))
    longer = end > timing.end + _END_SLIP
    return end if longer and confirmed and not timing.complaints else timing.end


def _check_whole(
    stream: read.Json, timing: Timing, claimed: float | None, *, named: int | None
) -> int:
    """Damage between the packets: a decoder never sees what the demuxer has skipped.

    Fewer packets than claimed are no proof, the frames may be of different lengths; nor is a
    complaint. Both together are, and so are fewer than an index names one by one.

    Args:
        named: frames in the index, if there is such a one.

    Returns:
        How many frames of the index are not there.
    """
    expected = (
        named
        or read.whole(stream.get("nb_frames"))
        or int((claimed or 0.0) * read.claimed_fps(stream))
    )
    if (named or timing.complaints) and timing.packets < (1 - _DAMAGED) * expected:
        raise DamagedInput(
            Reason.CORRUPT,
            f"of about {expected} frames {timing.packets} can be found, the rest is damaged",
        )
    return max(0, (named or 0) - timing.packets)


def _warnings(
    stream: read.Json | None,
    timing: Timing,
    *,
    claimed: float | None,
    duration: float,
    incomplete: bool,
) -> Iterator[str]:
    if timing.broken:
        yield "timestamps_irregular"
    if claimed is not None and abs(duration - claimed) > _tolerance(claimed):
        yield "duration_corrected"
    if timing.complaints or incomplete:
        yield "damaged"
    if stream is not None and read.rotation(stream)[1]:
        yield "rotation_ignored"


def _tolerance(claimed: float) -> float:
    return max(_CORRECTED * claimed, 0.5)


def _track(stream: read.Json, timing: Timing, *, whole: bool) -> VideoTrack:
    """The track with what was measured in place of what was claimed."""
    claimed = read.claimed_fps(stream)
    if timing.packets < 2 and not 1 <= claimed <= _PLAIN_RATE:
        claimed = Fraction(25)  # one frame has no rate; what is derived from its length is none
    found = timing.fps
    vfr = found is not None and not timing.regular
    fps = claimed
    if found is not None and (vfr or abs(claimed - found) > found / 100):
        fps = found
    track = replace(
        read.video_track(stream, max(fps, Fraction(1, 1000))), vfr=vfr, start=timing.origin
    )
    if not whole:
        return track
    return replace(
        track,
        frames=timing.packets or None,
        duration=timing.duration or None,
        end=timing.end if timing.stamped else None,
    )
