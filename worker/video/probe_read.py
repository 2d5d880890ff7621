"""ffprobe's JSON as our values.

What lives here: reading of what ffprobe prints, defensively: every field may be missing or wrong.
What may not: limits and verdicts (``probe``), starting a program.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from worker.video.tracks import TEXT_SUBTITLES, AudioTrack, SubtitleTrack, VideoTrack

Json = Mapping[str, Any]

_MOST_TAGS = 64
_TAG_LENGTH = 1000
_PLACE = re.compile(r"location|gps|iso6709|©xyz|latitude|longitude", re.IGNORECASE)
_RATE_LIMIT = 1000
"""Frames a second: above this a rate is a tick of a clock, and the average is believed instead."""


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
    turned, crooked = rotation(stream)
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
        rotation=turned,
        crooked=crooked,
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
    """A stream of sound as a track."""
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
    """What a file or stream says of itself, names in lower case, without places; bounded."""
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


def clock(value: str) -> float:
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
