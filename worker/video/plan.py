"""Everything that is decided about a transcode before anything is encoded, as one value.

The plan is made of what the source is, and written down so that several machines follow the same
one. The same plan makes the same bytes: whatever they depend on is in it, the encoders' thread
count too, and nothing of the machine that made it.

A *rung* of the ladder is one size in one codec. A *segment* is what a player fetches; it begins
with a key frame, and all have the same length but the last. A *chunk* is what is encoded in one go
and kept when a job is interrupted: whole segments. Reading for a chunk begins at a key frame of the
source, and cuts are chosen where one is near, so that little is decoded twice.
"""

from __future__ import annotations

import hashlib
import json
import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from worker.codec import build, plain
from worker.domain.errors import ConfigurationError, EngineError, Reason, UnsupportedInput
from worker.job_context import Stop
from worker.video import colours
from worker.video.colours import Colours
from worker.video.ffmpeg import ProgramLimits
from worker.video.timing import Timeline, playable_audio, read_timeline
from worker.video.tracks import VideoProbe

# --- the ladder --------------------------------------------------------------------------------


class VideoCodec(StrEnum):
    """A video codec that rungs can be encoded with."""

    H264 = "h264"
    HEVC = "hevc"
    AV1 = "av1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One size in one codec."""

    name: str
    """``720p`` in H.264, ``720p-av1`` in others: a folder and a file name."""
    codec: VideoCodec
    width: int
    height: int
    """Pixels; even, square, upright."""
    quality: int
    """Constant rate factor of the codec's encoder; lower is better."""
    kilobits: int
    """Average kilobits a second that it may come to; 0 is without a bound."""


QUALITY = {VideoCodec.H264: 23, VideoCodec.HEVC: 28, VideoCodec.AV1: 35}
"""The encoders' own defaults (x264, x265, SVT-AV1), which look about alike."""

_H264_RATES = (
    (416 * 234, 145),
    (640 * 360, 365),
    (768 * 432, 1100),
    (960 * 540, 2000),
    (1280 * 720, 4500),
    (1920 * 1080, 7800),
)
_HEVC_RATES = (
    (640 * 360, 145),
    (768 * 432, 300),
    (960 * 540, 1600),
    (1280 * 720, 3400),
    (1920 * 1080, 5800),
    (2560 * 1440, 8100),
    (3840 * 2160, 16800),
)
"""(Pixels, average kilobits a second): "HLS authoring specification for Apple devices", tables of
video bit rates, the highest row of each size. They bound what the quality asks for."""

_LEAST_RATIO = 1.2
"""A source this much larger than the largest listed rung below it gets a rung of its own."""
_AV1_LEAST = 64
"""SVT-AV1 takes no side shorter than this, pixels."""


def choose_rungs(
    width: int, height: int, *, heights: Sequence[int], codecs: Sequence[VideoCodec]
) -> tuple[Rung, ...]:
    """The ladder of a source, largest first, in the order of ``codecs``.

    A rung is named by its shorter side, so 720p is as sharp upright as it is lying. Videos are
    never enlarged. Odd sides lose their last line, because 4:2:0 has one colour sample for two
    pixels.

    Args:
        width: of the source as it is shown: upright, pixels made square.
        height: likewise.
        heights: shorter sides that are wanted; those above the source are left out.
        codecs: each gets every rung.

    Returns:
        At least one rung for each codec, except that AV1 has none below 64 pixels.
    """
    short = min(width, height)
    most = max(heights)
    fitting = sorted({side for side in heights if side <= short}, reverse=True)
    if short <= most and (not fitting or short >= fitting[0] * _LEAST_RATIO):
        fitting.insert(0, short)
    sizes = dict.fromkeys(_size(width, height, side) for side in fitting or [most])
    return tuple(
        Rung(
            name=_name(min(size), codec),
            codec=codec,
            width=size[0],
            height=size[1],
            quality=QUALITY[codec],
            kilobits=kilobits(size[0] * size[1], codec),
        )
        for codec in codecs
        for size in sizes
        if codec is not VideoCodec.AV1 or min(size) >= _AV1_LEAST
    )


def _size(width: int, height: int, side: int) -> tuple[int, int]:
    """The even size with ``side`` as its shorter one, of the same shape, within the source."""
    scale = Fraction(side, min(width, height))
    return _even(width * scale, width), _even(height * scale, height)


def _even(value: Fraction, most: int) -> int:
    """The nearest even number that is at most ``most``; 2 is the least there is."""
    return max(2, min(2 * round(value / 2), most // 2 * 2))


def _name(side: int, codec: VideoCodec) -> str:
    return f"{side}p" if codec is VideoCodec.H264 else f"{side}p-{codec}"


def kilobits(pixels: int, codec: VideoCodec) -> int:
    """The average rate a rung of that many pixels may come to, from the published table.

    Between two rows it follows the straight line on logarithmic scales, outside of them the
    nearest two rows. There is no table for AV1: its encoder's quality decides alone.
    """
    if codec is VideoCodec.AV1:
        return 0
    rows = _H264_RATES if codec is VideoCodec.H264 else _HEVC_RATES
    for (small, low), (large, high) in pairwise(rows):
        if pixels <= large or (large, high) == rows[-1]:
            share = math.log(pixels / small) / math.log(large / small)
            return max(64, round(low * math.pow(high / low, share)))
    raise AssertionError  # the last pair of rows always returns


# --- cuts --------------------------------------------------------------------------------------

KEY_SECONDS = 2
"""Between key frames, about: "HLS authoring specification for Apple devices", 1.10."""
CHUNK_SECONDS = 12
"""Length of a chunk, about: what each processor of a reclaimed machine has done in vain at most. In
shorter ones the start of the encoder shows; longer ones are no cheaper (``safelight bench video``).
"""
_FARTHEST = 4
"""Chunks that may be decoded in vain before a cut; without a nearer key frame there is no cut."""

_LEAST_FRAMES = 8
"""In a chunk that others come before. Of one or two frames an encoder makes no B-frames and sets
decoding times without a delay (x264's and x265's ``bframe_delay``): they cannot be joined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A run of frames that is encoded in one go."""

    number: int
    first: int
    """Frame of the grid it begins with."""
    frames: int
    seek: int | None
    """Time stamp in the source's ticks of the key frame where reading begins; None is its start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How a video is divided."""

    key_frames: int
    """Frames from one key frame to the next."""
    segment_frames: int
    """Frames of a segment, a whole number of key frame intervals."""
    chunks: tuple[Chunk, ...]


def cut_timeline(
    timeline: Timeline, *, segment_seconds: float, chunk_seconds: float = CHUNK_SECONDS
) -> Cut:
    """Divide a video.

    Args:
        timeline: of the source.
        segment_seconds: wanted; the real length is the nearest whole number of frames.
        chunk_seconds: wanted; rounded to whole segments, then moved by one at most.
    """
    intervals = max(1, round(segment_seconds / KEY_SECONDS))
    key_frames = max(1, round(Fraction(segment_seconds) * timeline.rate / intervals))
    segment_frames = key_frames * intervals
    wanted = max(1, round(Fraction(chunk_seconds) * timeline.rate / segment_frames))
    entries = timeline.keys if timeline.entries is None else timeline.entries
    places = [place for place, _ in entries]
    chunks: list[Chunk] = []
    first = 0
    while first < timeline.frames:
        left = -(-(timeline.frames - first) // segment_frames)
        count = left
        if left > wanted + wanted // 2:
            choices = range(max(1, wanted - 1), wanted + 2) if wanted > 1 else range(1, 2)
            count = min(
                choices,
                key=lambda many: (
                    _run_in(places, first + many * segment_frames) / many,
                    abs(many - wanted),
                ),
            )
        far = _FARTHEST * wanted * segment_frames
        while count < left and _run_in(places, first + count * segment_frames) > far:
            count += 1
        if timeline.frames - first - count * segment_frames < _LEAST_FRAMES:
            count = left
        frames = min(count * segment_frames, timeline.frames - first)
        before = bisect_right(places, first) - 1
        seek = entries[before][1] if first > 0 and before > 0 else None
        chunks.append(Chunk(number=len(chunks), first=first, frames=frames, seek=seek))
        first += frames
    return Cut(key_frames=key_frames, segment_frames=segment_frames, chunks=tuple(chunks))


def _run_in(places: list[int], first: int) -> int:
    """Frames that are decoded before the first that is wanted."""
    before = bisect_right(places, first) - 1
    return first - (places[before] if before >= 0 else 0)


def share_out(chunks: tuple[Chunk, ...], groups: int) -> tuple[tuple[int, ...], ...]:
    """Numbers of the chunks of each of ``groups`` children, in order, about equally long.

    Some are empty if there are more groups than chunks.
    """
    total = sum(chunk.frames for chunk in chunks)
    result: list[list[int]] = [[] for _ in range(groups)]
    for chunk in chunks:
        middle = chunk.first + chunk.frames / 2
        result[min(groups - 1, int(middle * groups / total))].append(chunk.number)
    return tuple(tuple(numbers) for numbers in result)


# --- the plan ----------------------------------------------------------------------------------

VERSION = 4
"""Of the plan and of what is encoded by it: goes up when the same plan would make other bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscodeOptions:
    """Options of a transcode."""

    codecs: tuple[VideoCodec, ...] = (VideoCodec.H264,)
    heights: tuple[int, ...] = (1080, 720, 480, 240)
    segment_seconds: float = 6.0
    chunk_seconds: float = float(CHUNK_SECONDS)
    frame_rate: float = 60.0
    """The highest that results have."""
    loudness: float | None = -16.0
    """LUFS; None leaves the audio as loud as it is."""
    preset: str = "medium"
    """A preset of x264; other encoders get what is like it."""
    encoder_threads: int = 1
    """Of each encoder. With more than one, x264's rate control depends on which of them is first
    (measured: five runs, five results), so machines are filled with chunks instead."""
    hls: bool = True
    mp4: bool = True
    max_seconds: float = 14400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioSettings:
    """One audio track of the result."""

    stream: int
    """Index in the source."""
    language: str
    """As the source has it, ``eng``; ``und`` if it does not say."""
    title: str
    channels: int
    """Of the result: 1 or 2. More are mixed down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscodePlan:
    """One transcode."""

    version: int
    source: str
    """SHA-256 of the file it was made for: chunks of another must not be taken for this one's."""
    stream: int
    """Index of the video track in the source."""
    time_base: Fraction
    """Seconds a tick of the source's time stamps."""
    start_pts: int
    """Time stamp of the first picture, ticks."""
    rate: Fraction
    """Frames a second of the result."""
    slack: Fraction
    """Seconds by which a picture may be late so that it has a frame of its own."""
    frames: int
    key_frames: int
    segment_frames: int
    colours: Colours
    """Of the source."""
    interlaced: bool
    """Frames of the source are two fields of different instants."""
    rotated: bool
    """The source is stored lying on its side or upside down."""
    odd_rotation: bool
    """It asks for a turn that is not by quarters, which is not made."""
    rungs: tuple[Rung, ...]
    chunks: tuple[Chunk, ...]
    audio: tuple[AudioSettings, ...]
    loudness: float | None
    preset: str
    encoder_threads: int
    hls: bool
    mp4: bool
    warnings: tuple[str, ...]
    """Codes of what is odd about the source, as ``VideoProbe`` has them."""

    @property
    def seconds(self) -> Fraction:
        """Length of the result."""
        return self.frames / self.rate

    @property
    def timescale(self) -> int:
        """Ticks a second of the result's video tracks: a frame is a whole number of them."""
        return self.rate.numerator * self._fineness

    @property
    def frame_ticks(self) -> int:
        """Ticks of a frame of the result."""
        return self.rate.denominator * self._fineness

    @property
    def _fineness(self) -> int:
        return max(1, -(-12_000 // self.rate.numerator))

    @property
    def digest(self) -> str:
        """SHA-256 of its meaning, 64 hex digits."""
        return hashlib.sha256(dumps(self)).hexdigest()


def make_plan(
    path: Path,
    probe: VideoProbe,
    options: TranscodeOptions,
    *,
    source: str,
    limits: ProgramLimits,
    stop: Stop | None = None,
) -> TranscodePlan:
    """Decide everything; reads the source's packets, decodes nothing.

    Args:
        path: the source.
        probe: of it.
        options: what a person has chosen.
        source: its SHA-256.
        limits: of the programs that read it.
        stop: ends it early.

    Raises:
        Rejected: the source cannot be transcoded.
    """
    video = probe.video
    if video is None:
        raise UnsupportedInput(Reason.NO_VIDEO, "the file has no moving pictures")
    found = read_timeline(
        path,
        probe,
        most_rate=options.frame_rate,
        most_seconds=options.max_seconds,
        limits=limits,
        stop=stop,
    )
    rungs = choose_rungs(
        video.width,
        video.height,
        heights=options.heights,
        codecs=options.codecs,
    )
    if not options.hls:
        rungs = rungs[:1]  # the MP4 has no other
    if not rungs:
        raise UnsupportedInput(
            Reason.UNSUPPORTED_VARIANT, "a picture this small in the chosen codec is not supported"
        )
    cut = cut_timeline(
        found, segment_seconds=options.segment_seconds, chunk_seconds=options.chunk_seconds
    )
    return TranscodePlan(
        version=VERSION,
        source=source,
        stream=video.index,
        time_base=found.time_base,
        start_pts=found.start_pts,
        rate=found.rate,
        slack=found.slack,
        frames=found.frames,
        key_frames=cut.key_frames,
        segment_frames=cut.segment_frames,
        colours=colours.of(video),
        interlaced=video.interlaced,
        rotated=video.rotation != 0,
        odd_rotation=video.odd_rotation,
        rungs=rungs,
        chunks=cut.chunks,
        audio=_audio(probe),
        loudness=options.loudness,
        preset=options.preset,
        encoder_threads=options.encoder_threads,
        hls=options.hls,
        mp4=options.mp4,
        warnings=probe.warnings,
    )


def dumps(plan: TranscodePlan) -> bytes:
    """The plan as JSON; the same plan is always the same bytes."""
    return json.dumps(plain(plan, defaults=True), sort_keys=True, indent=1).encode()


def loads(data: bytes) -> TranscodePlan:
    """A plan from its JSON.

    Raises:
        ConfigurationError: it is none, or of another version.
    """
    try:
        found: dict[str, Any] = json.loads(data)
        if found["version"] != VERSION:
            raise ConfigurationError(
                f"the plan is of version {found['version']}, this program makes {VERSION}: "
                "run transcode-plan again",
                code="plan_unusable",
            )
        return build(TranscodePlan, found)
    except (EngineError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError("plan.json is not a plan", code="plan_unusable") from error


def _audio(probe: VideoProbe) -> tuple[AudioSettings, ...]:
    return tuple(
        AudioSettings(
            stream=track.index,
            language=track.language or "und",
            title=track.title or "",
            channels=1 if track.channels == 1 else 2,
        )
        for track in playable_audio(probe)
    )
