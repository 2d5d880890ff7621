"""Data types of videos, filled in by ``probe``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from worker.video.ffmpeg import CODECS

HDR_TRANSFERS = frozenset({"smpte2084", "arib-std-b67"})
"""PQ and HLG (ITU-R BT.2100), in ffmpeg's words."""

TEXT_SUBTITLES = frozenset(
    {
        *("mov_text", "text", "subrip", "srt", "ass", "ssa", "webvtt", "microdvd", "sami", "stl"),
        *("subviewer", "subviewer1"),
    }
)
"""Codecs of subtitles that are text; the others are pictures, or captions within the video."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoTrack:
    """The moving pictures of a file: the track that is worked on."""

    index: int
    """Number of the stream in the file: ``-map 0:INDEX``."""
    codec: str
    """ffmpeg's name: h264, hevc, av1, vp9, mpeg4 ..."""
    profile: str | None = None
    width: int
    """Pixels across as a person sees it: upright, and square (stored pixels times ``sar``)."""
    height: int
    """Pixels down, likewise. What ffmpeg's filters get is upright and *not* yet square."""
    stored_width: int
    """Pixels across as stored, before rotation."""
    stored_height: int
    sar: Fraction = Fraction(1)
    """Width of a stored pixel over its height; 1 if the file does not say."""
    rotation: int = 0
    """Degrees clockwise that turn the stored picture upright: 0, 90, 180 or 270. ffmpeg does so
    by itself, unless it is ``odd_rotation``."""
    odd_rotation: bool = False
    """The file asks for a turn that is not by quarters. It is not made, and ffmpeg must be told."""
    fps: Fraction
    """Frames a second; the average if ``vfr``."""
    vfr: bool = False
    """Frames are not equally far apart."""
    frames: int | None = None
    """Counted if the file was read to its end, else what the header says, if it does."""
    duration: float | None = None
    """Seconds."""
    start: float = 0.0
    """Time stamp of the first frame that can be decoded, seconds."""
    end: float | None = None
    """Time stamp when the last frame has been shown, seconds, if the file was read to its end."""
    pix_fmt: str
    bit_depth: int = 8
    alpha: bool = False
    interlaced: bool = False
    transfer: str | None = None
    primaries: str | None = None
    space: str | None = None
    range: str | None = None
    """``tv`` or ``pc``."""
    bit_rate: int | None = None
    """Bits a second."""
    dolby_vision: str | None = None
    """Profile and compatibility of the base layer, ``8.1`` or ``5.0``, as Dolby numbers them; None
    if it is no Dolby Vision."""

    @property
    def dolby_only(self) -> bool:
        """Whether pictures are right on displays of Dolby Vision alone (IPTPQc2), which ffmpeg does
        not know: profiles 1, 3 and 5, and later ones whose base layer is compatible with nothing
        ("Dolby Vision Streams Within the ISO Base Media File Format", 2.6, table 2)."""
        profile, _, base = (self.dolby_vision or "").partition(".")
        return profile in {"1", "3", "5"} or (profile in {"10", "20"} and base == "0")

    @property
    def hdr(self) -> bool:
        """Whether it must be tone-mapped for ordinary screens."""
        return self.transfer in HDR_TRANSFERS


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioTrack:
    """One audio track."""

    index: int
    codec: str
    channels: int
    layout: str | None = None
    sample_rate: int
    """Hertz."""
    bit_rate: int | None = None
    duration: float | None = None
    start: float = 0.0
    language: str | None = None
    """ISO 639-2 as a rule; None for ``und``."""
    title: str | None = None
    default: bool = False

    @property
    def playable(self) -> bool:
        """Whether its coding is known here."""
        return self.codec in CODECS and self.channels > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SubtitleTrack:
    """One track of subtitles."""

    index: int
    codec: str
    text: bool
    """Characters, not pictures of characters."""
    language: str | None = None
    title: str | None = None
    default: bool = False
    forced: bool = False
    hearing_impaired: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoProbe:
    """Everything known of a video without decoding more than a frame of it."""

    container: str
    """ffmpeg's names of the demuxer: ``mov,mp4,m4a,3gp,3g2,mj2``."""
    bytes: int
    duration: float
    """Seconds of media, measured where the header cannot be believed."""
    claimed_duration: float | None = None
    """The header's value."""
    measured: bool = False
    """The file was read to its end: duration, frames and frame rate are facts."""
    start: float = 0.0
    """Smallest time stamp, seconds."""
    video: VideoTrack | None = None
    audio: tuple[AudioTrack, ...] = ()
    subtitles: tuple[SubtitleTrack, ...] = ()
    streams: int
    """All tracks, those of data, cover pictures and second videos too."""
    chapters: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)
    """Tags of the file, without locations; at most 64, with names in lower case."""
    location: str | None = None
    """Where it was taken (ISO 6709), if the file says."""
    warnings: tuple[str, ...] = ()
    """Codes: ``duration_corrected``, ``timestamps_irregular``, ``damaged`` (the container is hurt,
    or cut off, frames may be too), ``rotation_ignored`` (it is not by quarters of a turn),
    ``audio_ignored`` (an audio track has a coding that is not known here)."""

    @property
    def first_shown(self) -> float:
        """The time stamp from which results count, seconds: that of the first picture."""
        return self.start if self.video is None else self.video.start
