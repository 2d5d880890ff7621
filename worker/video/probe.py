"""Probes a video, decoding at most one frame, and decides whether it is acceptable.

Claims of the header are verified where that is cheap: a file of moderate size is read to its end
(not decoded) to count its length, its frames and their distances. Of a large one the first minute
is, and its claims are held against its bytes. Limits never widen by a header's claims: time follows
from bytes on disk, which cannot be invented, and from the progress that is seen while a program
runs.

ffprobe's output is parsed defensively: every field may be missing or wrong.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

from worker.domain.errors import (
    DamagedInput,
    EngineError,
    InputError,
    LimitExceeded,
    Reason,
    UnsupportedInput,
)
from worker.job_context import Stop
from worker.video import commands, container
from worker.video.container import Container
from worker.video.ffmpeg import GIBIBYTE, MEBIBYTE, ProgramLimits, for_file, input_url, run
from worker.video.timing import Timing, measure
from worker.video.tracks import TEXT_SUBTITLES, AudioTrack, SubtitleTrack, VideoProbe, VideoTrack

Json: TypeAlias = Mapping[str, Any]

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


_MOST_TAGS = 64
_TAG_LENGTH = 1000
_PLACE = re.compile(r"location|gps|iso6709|©xyz|latitude|longitude", re.IGNORECASE)
_RATE_LIMIT = 1000
"""Frames a second: a higher rate is a tick of a time base, and the average is believed instead."""
_CONTAINER_TAGS = frozenset({"major_brand", "minor_version", "compatible_brands", "duration"})
"""Tags that say something about the container only."""


_PROBE = ProgramLimits(wall_seconds=1800.0, memory_bytes=2 * GIBIBYTE, file_bytes=MEBIBYTE)


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoLimits:
    """Limits checked before any decoding. All inclusive."""

    bytes: int = 20 * GIBIBYTE
    seconds: float = 4 * 3600.0
    """Length of the media: claimed, and measured where the claim does not fit the bytes."""
    pixels: int = 8192 * 4608
    """Of one frame."""
    dimension: int = 16384
    """Longer side of a frame."""
    streams: int = 64
    probe: ProgramLimits = _PROBE
    """Highest limits of ffprobe; see :meth:`reading`."""

    def reading(self, path: Path) -> ProgramLimits:
        """Limits of ffprobe for this file: the time allows for 10 MB a second."""
        return for_file(path, self.probe, bytes_per_second=1e7)


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
        limits: checked before decoding.
        need_video: False accepts audio without pictures.
        deep: read even a large file to its end.
        stop: ends it early.

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
    found = container.examine(path)
    cut = found.readable is not None
    report = _report(path, limits, known=found.known, stop=stop)
    _check_streams(report, limits)
    stream = main_video(report)
    if stream is None and need_video:
        raise UnsupportedInput(Reason.NO_VIDEO, "the file has no moving pictures")
    audio = tuple(audio_track(each) for each in streams(report, "audio"))
    if stream is None and not audio:
        raise UnsupportedInput(Reason.NO_AUDIO, "the file has neither pictures nor audio")
    if stream is not None:
        _check_frame(stream, limits)
        if need_video:
            _check_dolby_vision(stream)
            _decode_one(path, stream, limits, stop)
    claimed = number(report.get("format", {}).get("duration"))
    whole = deep or size <= _READ_WHOLE_BYTES or not _believable(claimed, size)
    index = stream["index"] if stream is not None else audio[0].index
    timing = measure(
        path, index, limits.reading(path), seconds=None if whole else _SAMPLE_SECONDS, stop=stop
    )
    missing = 0
    if stream is not None and whole and not cut:
        missing = _check_whole(stream, timing, claimed, named=_indexed_frames(found, index))
        timing = replace(timing, end=_end(report, stream, timing, size=size))
    duration = timing.duration
    if not (cut and whole and duration):
        others = (
            number(each.get("duration"))
            # Matroska and FLV do not tell how long a track is.
            or measure(path, each["index"], limits.reading(path), stop=stop).duration
            for each in report["streams"]
            if each.get("index") != index and each.get("codec_type") in ("video", "audio")
        )
        duration = _duration(timing, others, claimed=claimed, whole=whole, size=size)
    if not timing.stamped and stream is not None:
        duration = float(timing.packets / claimed_fps(stream))
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
        start=number(report["format"].get("start_time")) or 0.0,
        video=None if stream is None else _track(stream, timing, whole=whole),
        audio=audio,
        subtitles=tuple(subtitle_track(each) for each in streams(report, "subtitle")),
        streams=len(report["streams"]),
        chapters=len(report.get("chapters", ())),
        tags=tags(report["format"]),
        location=location(report),
        warnings=(
            *_warnings(
                stream,
                timing,
                claimed=claimed,
                duration=duration,
                incomplete=cut or missing > 0 or found.torn,
            ),
            *(("audio_ignored",) if not all(track.playable for track in audio) else ()),
        ),
    )


def _indexed_frames(found: Container, index: int) -> int | None:
    return None if found.avi_frames is None else found.avi_frames.get(index, 0)


def _size(path: Path, limits: VideoLimits) -> int:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error}", code="input_missing") from error
    if size > limits.bytes:
        raise LimitExceeded(Reason.TOO_MANY_BYTES, f"{size} bytes; allowed: {limits.bytes}")
    return size


def _report(path: Path, limits: VideoLimits, *, known: bool, stop: Stop | None) -> Json:
    """ffprobe's description of the container and its streams."""
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
            Reason.UNKNOWN_FORMAT, "the content is of no video or audio format known here"
        ) from error
    report = read_report(printed)
    if whole(report["format"].get("probe_score")) < _SURE and not known:
        raise UnsupportedInput(
            Reason.UNKNOWN_FORMAT, "the content is of no video or audio format known here"
        )
    return report


def _check_streams(report: Json, limits: VideoLimits) -> None:
    count = len(report["streams"])
    if count > limits.streams:
        raise LimitExceeded(Reason.TOO_MANY_STREAMS, f"{count} tracks; allowed: {limits.streams}")


def _check_frame(stream: Json, limits: VideoLimits) -> None:
    """Sides and pixels of a frame, and that its coding is known."""
    width, height = whole(stream.get("width")), whole(stream.get("height"))
    if not text(stream.get("codec_name")) or stream["codec_name"] == "none":
        raise UnsupportedInput(Reason.UNSUPPORTED_VARIANT, "its video coding is not known")
    if not width or not height:
        raise DamagedInput(Reason.CORRUPT, "its video track has no frame that could be read")
    # As stored, which is what is decoded, and with square pixels, which is what is encoded.
    for across, down in ((width, height), shown_size(stream)):
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


def _check_dolby_vision(stream: Json) -> None:
    track = video_track(stream, Fraction(1))
    if track.dolby_only:
        raise UnsupportedInput(
            Reason.UNSUPPORTED_VARIANT,
            f"its colours are those of Dolby Vision profile {track.dolby_vision} alone: export it "
            "as HDR10, HLG, SDR or Dolby Vision profile 8",
        )


def _decode_one(path: Path, stream: Json, limits: VideoLimits, stop: Stop | None) -> None:
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


def _end(report: Json, stream: Json, timing: Timing, *, size: int) -> float:
    """When the last picture has been shown, seconds.

    Its packet often does not tell: Matroska and AVI have no place for it, ffmpeg 5 guesses it
    where an MP4 has B-frames, and an edit list may end it earlier. So what the header says of the
    track counts, or of the file where tracks have no length. Longer than the packets it must be
    confirmed: in an MP4 by the lengths of all samples, in Matroska by a tag of the track, else by
    bytes enough, where no subtitle can be what goes on for longer.
    """
    name = str(report["format"].get("format_name"))
    part = report["format"] if name.startswith("matroska") else stream
    start, length = (number(part.get(key)) for key in ("start_time", "duration"))
    samples = length
    if length is not None and name.startswith("mov"):
        rate = ratio(stream.get("avg_frame_rate"))
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
    elif told := seconds_of(tags(stream).get("duration", "")):
        end, confirmed = min(end, told), name.startswith("matroska")
    else:
        confirmed = name.startswith(("matroska", "avi")) and _believable(length, size)
        confirmed = confirmed and not any(streams(report, "subtitle"))
    longer = end > timing.end + _END_SLIP
    return end if longer and confirmed and not timing.complaints else timing.end


def _check_whole(stream: Json, timing: Timing, claimed: float | None, *, named: int | None) -> int:
    """Damage between the packets: a decoder never sees what the demuxer has skipped.

    Fewer packets than claimed are no proof, the frames may be of different lengths; nor is a
    complaint. Both together are, and so are fewer than an index names one by one.

    Args:
        named: frames in the index, if there is such a one.

    Returns:
        How many frames of the index are not there.
    """
    expected = (
        named or whole(stream.get("nb_frames")) or int((claimed or 0.0) * claimed_fps(stream))
    )
    if (named or timing.complaints) and timing.packets < (1 - _DAMAGED) * expected:
        raise DamagedInput(
            Reason.CORRUPT,
            f"of about {expected} frames {timing.packets} can be found, the rest is damaged",
        )
    return max(0, (named or 0) - timing.packets)


def _warnings(
    stream: Json | None,
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
    if stream is not None and rotation(stream)[1]:
        yield "rotation_ignored"


def _tolerance(claimed: float) -> float:
    return max(_CORRECTED * claimed, 0.5)


def _track(stream: Json, timing: Timing, *, whole: bool) -> VideoTrack:
    """The track with what was measured in place of what was claimed."""
    claimed = claimed_fps(stream)
    if timing.packets < 2 and not 1 <= claimed <= _PLAIN_RATE:
        claimed = Fraction(25)  # one frame has no rate; what is derived from its length is none
    found = timing.fps
    vfr = found is not None and not timing.regular
    fps = claimed
    if found is not None and (vfr or abs(claimed - found) > found / 100):
        fps = found
    track = replace(
        video_track(stream, max(fps, Fraction(1, 1000))), vfr=vfr, start=timing.first_shown
    )
    if not whole:
        return track
    return replace(
        track,
        frames=timing.packets or None,
        duration=timing.duration or None,
        end=timing.end if timing.stamped else None,
    )


# --- ffprobe's JSON as our values --------------------------------------------------------------


def read_report(printed: bytes) -> Json:
    """What ffprobe printed, with every part in its place: what is of another kind is left out.

    Whoever takes the program over by a file decides what it prints.

    Raises:
        DamagedInput: it is no JSON object.
    """
    try:
        found = json.loads(printed.decode(errors="replace"))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        # The arguments are the same for every file: what is wrong is in this one.
        raise DamagedInput(Reason.CORRUPT, "ffprobe cannot say what the file holds")
    return {
        "format": _part(found.get("format")),
        "streams": [_part(each) for each in _each(found.get("streams"))],
        "chapters": _each(found.get("chapters")),
    }


def _part(value: Any) -> Json:
    """The container, or a stream."""
    part = value if isinstance(value, dict) else {}
    return part | {
        "index": whole(part.get("index")),
        "tags": _object(part.get("tags")),
        "disposition": _object(part.get("disposition")),
        "side_data_list": [_object(each) for each in _each(part.get("side_data_list"))],
    }


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def streams(report: Json, kind: str) -> Iterator[Json]:
    """The streams of a kind: video (without cover pictures and thumbnails), audio, subtitle."""
    for stream in report.get("streams", ()):
        if stream.get("codec_type") == kind and not (
            flag(stream, "attached_pic") or flag(stream, "timed_thumbnails")
        ):
            yield stream


def main_video(report: Json) -> Json | None:
    """The stream to work on: the default one, of several the largest, of those the first."""
    found = list(streams(report, "video"))
    return max(
        found,
        key=lambda each: (
            flag(each, "default"),
            whole(each.get("width")) * whole(each.get("height")),
            -whole(each.get("index")),
        ),
        default=None,
    )


def video_track(stream: Json, fps: Fraction) -> VideoTrack:
    """A stream as a track; its sides must not be 0."""
    width, height = whole(stream.get("width")), whole(stream.get("height"))
    rotated, odd_rotation = rotation(stream)
    across, down = shown_size(stream)
    pix_fmt = text(stream.get("pix_fmt")) or "unknown"
    return VideoTrack(
        index=whole(stream.get("index")),
        codec=text(stream.get("codec_name")) or "unknown",
        profile=text(stream.get("profile")),
        width=across,
        height=down,
        stored_width=width,
        stored_height=height,
        sar=_sar(stream),
        rotation=rotated,
        odd_rotation=odd_rotation,
        fps=fps,
        frames=whole(stream.get("nb_frames")) or None,
        duration=number(stream.get("duration")),
        start=number(stream.get("start_time")) or 0.0,
        pix_fmt=pix_fmt,
        bit_depth=bit_depth(pix_fmt, whole(stream.get("bits_per_raw_sample"))),
        alpha=bool(re.match(r"yuva|rgba|bgra|argb|abgr|gbrap|ya\d|pal8|ayuv|vuya", pix_fmt)),
        interlaced=text(stream.get("field_order")) in ("tt", "bb", "tb", "bt"),
        transfer=text(stream.get("color_transfer")),
        primaries=text(stream.get("color_primaries")),
        space=text(stream.get("color_space")),
        range=text(stream.get("color_range")),
        bit_rate=whole(stream.get("bit_rate")) or None,
        dolby_vision=dolby_vision(stream),
    )


def dolby_vision(stream: Json) -> str | None:
    """Profile and compatibility of a stream's Dolby Vision configuration record."""
    for side in stream.get("side_data_list", ()):
        if "dv_profile" in side:
            base = whole(side.get("dv_bl_signal_compatibility_id"))
            return f"{whole(side['dv_profile'])}.{base}"
    return None


def shown_size(stream: Json) -> tuple[int, int]:
    """Pixels across and down as a person sees a stream: upright and square.

    Square pixels are made by stretching the side that is too short, so nothing is lost.
    """
    width, height, sar = whole(stream.get("width")), whole(stream.get("height")), _sar(stream)
    across = round(width * sar) if sar > 1 else width
    down = round(height / sar) if sar < 1 else height
    return (down, across) if rotation(stream)[0] in (90, 270) else (across, down)


def _sar(stream: Json) -> Fraction:
    sar = ratio(stream.get("sample_aspect_ratio"))
    return sar if sar and Fraction(1, 20) <= sar <= 20 else Fraction(1)


def audio_track(stream: Json) -> AudioTrack:
    """An audio stream as a track."""
    return AudioTrack(
        index=whole(stream.get("index")),
        codec=text(stream.get("codec_name")) or "unknown",
        channels=whole(stream.get("channels")),
        layout=text(stream.get("channel_layout")),
        sample_rate=whole(stream.get("sample_rate")),
        bit_rate=whole(stream.get("bit_rate")) or None,
        duration=number(stream.get("duration")),
        start=number(stream.get("start_time")) or 0.0,
        language=language(stream),
        title=tags(stream).get("title"),
        default=flag(stream, "default"),
    )


def subtitle_track(stream: Json) -> SubtitleTrack:
    """A stream of subtitles as a track."""
    codec = text(stream.get("codec_name")) or "unknown"
    return SubtitleTrack(
        index=whole(stream.get("index")),
        codec=codec,
        text=codec in TEXT_SUBTITLES,
        language=language(stream),
        title=tags(stream).get("title"),
        default=flag(stream, "default"),
        forced=flag(stream, "forced"),
        hearing_impaired=flag(stream, "hearing_impaired"),
    )


def claimed_fps(stream: Json) -> Fraction:
    """Frames a second as the header has it; 25 if it has nothing that can be true."""
    for name in ("avg_frame_rate", "r_frame_rate"):
        rate = ratio(stream.get(name))
        if rate and 0 < rate <= _RATE_LIMIT:
            return rate.limit_denominator(100_000)
    return Fraction(25)


def rotation(stream: Json) -> tuple[int, bool]:
    """Degrees clockwise to upright, and whether the file asked for a turn that is none by quarters.

    Such a turn is not made: players do not either. The degree is ffmpeg's own tolerance.
    """
    turn: float | None = None
    for side in stream.get("side_data_list", ()):
        found = number(side.get("rotation"))
        if found is not None:
            turn = -found  # the matrix is counted counter-clockwise
    if turn is None:
        return 0, False
    quarter = round(turn / 90)
    if abs(turn) > 360 or abs(turn - quarter * 90) >= 1:
        return 0, True
    return quarter % 4 * 90, False


def bit_depth(pix_fmt: str, raw: int) -> int:
    """Bits a channel, from the name of the pixel format (libavutil/pixdesc.c)."""
    name = re.sub(r"(le|be)$", "", pix_fmt)
    if match := re.match(r"(?:rgb|bgr)(48|64)|(?:rgba|bgra|ayuv)(64)", name):
        return {"48": 16, "64": 16}[match[1] or match[2]]
    if match := re.search(
        r"^(?:p[024]|y2|xv\d|yuva?\d\d\d[pf]?|gbra?p|gray|ya|x2rgb|x2bgr)f?(\d\d)$", name
    ):
        return int(match[1]) if 9 <= int(match[1]) <= 32 else 8
    if match := re.match(r"xyz(\d\d)|nv2[04]?(10)?", name):
        return 12 if match[1] else 10 if name.startswith("nv20") else 8
    return raw if 8 < raw <= 16 else 8


def location(report: Json) -> str | None:
    """Where it was taken, ISO 6709."""
    own = report.get("format", {}).get("tags", {})
    for name, value in own.items():
        if _PLACE.search(name) and re.match(r"[+-]\d", str(value)):
            return str(value)[:100]
    return None


def tags(part: Json) -> dict[str, str]:
    """Tags of a file or stream, with names in lower case, without locations; bounded."""
    result: dict[str, str] = {}
    for name, value in part.get("tags", {}).items():
        clean = "".join(mark for mark in str(value)[:_TAG_LENGTH] if mark.isprintable()).strip()
        if clean and not _PLACE.search(name) and len(result) < _MOST_TAGS:
            result[name.lower()[:100]] = clean
    return result


def language(stream: Json) -> str | None:
    """The track's language, if it is one."""
    found = tags(stream).get("language", "").lower()
    return found if re.fullmatch(r"[a-z]{2,3}(-[a-z0-9]{2,8})*", found) and found != "und" else None


def flag(stream: Json, name: str) -> bool:
    """One of the stream's dispositions."""
    return bool(stream.get("disposition", {}).get(name))


def text(value: object) -> str | None:
    """Text that says something."""
    return value if isinstance(value, str) and value not in ("", "unknown", "N/A") else None


def whole(value: object) -> int:
    """A number that is not negative; 0 for anything else."""
    try:
        return max(0, int(str(value)))
    except ValueError:
        return 0


def number(value: object) -> float | None:
    """A finite number."""
    try:
        found = float(str(value))
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def seconds_of(value: str) -> float:
    """Seconds of ``HH:MM:SS.fraction``; 0 for anything else."""
    match = re.fullmatch(r"(\d{1,4}):(\d\d):(\d\d(?:\.\d+)?)", value)
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3]) if match else 0.0


def ratio(value: object) -> Fraction | None:
    """``30000/1001`` or ``4:3``, positive."""
    over, _, under = str(value).replace(":", "/").partition("/")
    try:
        found = Fraction(int(over), int(under or 1))
    except (ValueError, ZeroDivisionError):
        return None
    return found if found > 0 else None


# --- as plain data -----------------------------------------------------------------------------


def describe(probe: VideoProbe, *, location: bool, timing: Timing | None = None) -> dict[str, Any]:
    """The probe as JSON-able values.

    Args:
        probe: what is known.
        location: tell where the video was taken, if it says. People do not expect a video that
            they share to tell where they live, so this is off unless asked for.
        timing: of a complete pass over the video's packets, for key frames.
    """
    found = asdict(probe)
    found.pop("location")
    found["tags"] = {
        name: value for name, value in probe.tags.items() if name not in _CONTAINER_TAGS
    }
    found["taken_at"] = probe.tags.get("com.apple.quicktime.creationdate") or probe.tags.get(
        "creation_time"
    )
    if probe.video is not None:
        found["video"] |= {"fps_text": str(probe.video.fps), "hdr": probe.video.hdr}
    if timing is not None:
        found["key_frames"] = timing.key_frames
        found["longest_group"] = timing.longest_group
    if location:
        found["location"] = probe.location
    plain: dict[str, Any] = _plain(found)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, Fraction):
        return round(float(value), 6)
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
