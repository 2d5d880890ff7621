"""Everything that is decided about a transcode before anything is encoded, as one value.

What lives here: the plan, how it is made of what the source is, and how it is written down so that
several machines follow the same one. What may not: encoding.

The same plan makes the same bytes: whatever they depend on is in it, the encoders' thread count
too, and nothing of the machine that made it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from worker.codec import build, plain
from worker.domain.errors import ConfigurationError, EngineError, Reason, UnsupportedInput
from worker.job_context import Stop
from worker.video import colours, ladder, segments, timeline
from worker.video.colours import Colours
from worker.video.ladder import Codec, Rung
from worker.video.last_frame import LastFrame, heard
from worker.video.limits import ProgramLimits
from worker.video.segments import Chunk
from worker.video.tracks import VideoProbe

VERSION = 3
"""Of the plan and of what is encoded by it: goes up when the same plan would make other bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a person may choose."""

    codecs: tuple[Codec, ...] = (Codec.H264,)
    heights: tuple[int, ...] = (1080, 720, 480, 240)
    segment_seconds: float = 6.0
    part_seconds: float = float(segments.PART_SECONDS)
    frame_rate: float = 60.0
    """The highest that results have."""
    loudness: float | None = -16.0
    """LUFS; None leaves the sound as loud as it is."""
    preset: str = "medium"
    """A preset of x264; other encoders get what is like it."""
    encoder_threads: int = 1
    """Of each encoder. With more than one, x264's rate control depends on which of them is first
    (measured: five runs, five results), so machines are filled with parts instead."""
    hls: bool = True
    mp4: bool = True
    max_seconds: float = 14400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioSettings:
    """One track of sound."""

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
    """SHA-256 of the file it was made for: pieces of another must not be taken for this one's."""
    stream: int
    """Index of the video track in the source."""
    clock: Fraction
    """Seconds a tick of the source's time stamps."""
    origin: int
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
    turned: bool
    """The source is stored lying on its side or upside down."""
    crooked: bool
    """It asks for a turn that is not by quarters, which is not made."""
    rungs: tuple[Rung, ...]
    parts: tuple[Chunk, ...]
    sounds: tuple[AudioSettings, ...]
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


def make(
    path: Path,
    probe: VideoProbe,
    options: Options,
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
    found = timeline.read(
        path,
        video.index,
        claimed=video.fps,
        end=video.end,
        held=LastFrame(path=path, probe=probe, limits=limits, stop=stop),
        most_rate=options.frame_rate,
        most_seconds=options.max_seconds,
        limits=limits,
        stop=stop,
    )
    rungs = ladder.choose(
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
    cut = segments.cut(
        found, segment_seconds=options.segment_seconds, part_seconds=options.part_seconds
    )
    return TranscodePlan(
        version=VERSION,
        source=source,
        stream=video.index,
        clock=found.clock,
        origin=found.origin,
        rate=found.rate,
        slack=found.slack,
        frames=found.frames,
        key_frames=cut.key_frames,
        segment_frames=cut.segment_frames,
        colours=colours.of(video),
        interlaced=video.interlaced,
        turned=video.rotation != 0,
        crooked=video.crooked,
        rungs=rungs,
        parts=cut.parts,
        sounds=_sounds(probe),
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


def _sounds(probe: VideoProbe) -> tuple[AudioSettings, ...]:
    return tuple(
        AudioSettings(
            stream=track.index,
            language=track.language or "und",
            title=track.title or "",
            channels=1 if track.channels == 1 else 2,
        )
        for track in heard(probe)
    )
