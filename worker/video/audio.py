"""The sound of a film: measured, brought to one loudness, encoded once and as a whole.

What lives here: two runs of ffmpeg for each track. What may not: cutting it into segments
(``package``): an encoder that starts anew at every cut would click there.

Decision: loudness follows EBU R 128 in two passes, and the second is one gain for the whole track.
Where peaks would pass the ceiling the gain is smaller instead: nothing is compressed, so music
keeps its dynamics. (ffmpeg's ``loudnorm`` does the same in its linear mode, but changes over to a
compressor by itself where that would miss the target; its measuring costs four times this one.)
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from worker.domain.errors import DamagedInput, Reason
from worker.job_context import Stop
from worker.video import commands, ffmpeg, fmp4
from worker.video.commands import Filter, Options, Output, Stream
from worker.video.ffmpeg import Pipes
from worker.video.filters import since
from worker.video.limits import GIBIBYTE, ProgramLimits
from worker.video.normalised_audio import evened
from worker.video.transcode_plan import AudioSettings, TranscodePlan

LIMITS = ProgramLimits(wall_seconds=4 * 3600.0, stall_seconds=900.0, memory_bytes=4 * GIBIBYTE)

SAMPLE_RATE = 48_000
FRAME_SAMPLES = 1024
"""Of AAC-LC (ISO/IEC 14496-3)."""
_KILOBITS = {1: 64, 2: 128}
"""By channels; within the 32 to 160 of "HLS authoring specification for Apple devices"."""
_CEILING = -1.0
"""True peak, dBTP (EBU R 128: -1 dBTP)."""
_SILENCE = -69.0
"""LUFS; the gate of ITU-R BS.1770 is at -70, where the measure says nothing."""
_MOST_GAIN = 30.0
"""Decibels: more would only bring up noise."""
EVERYWHERE: Options = {"copyts": None, "max_error_rate": 1}
"""Options of these runs that belong to no input or output."""
_FRAGMENTS: Options = {
    "f": "mp4",
    "movflags": "+delay_moov+default_base_moof",
    "frag_duration": 1_000_000,
}
_VALUE = re.compile(rb"^lavfi\.r128\.(I|true_peak)=(-?[0-9.]+|-?inf|nan)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loudness:
    """What was measured of one track and what is done about it."""

    integrated: float | None
    """LUFS; None of silence."""
    peak: float | None
    """dBTP; None of silence."""
    gain: float
    """Decibels that are added."""


def make(
    plan: TranscodePlan,
    sound: AudioSettings,
    source: Path,
    path: Path,
    *,
    limits: ProgramLimits = LIMITS,
    stop: Stop | None = None,
) -> Loudness:
    """Measure a track and encode it to AAC in a fragmented MP4, as long as the picture.

    Raises:
        DamagedInput: CORRUPT, there is no way to make it as long as the picture.
    """
    for uneven in (False, True):
        loudness = measure(plan, sound, source, uneven=uneven, limits=limits, stop=stop)
        encode(plan, sound, loudness.gain, source, path, uneven=uneven, limits=limits, stop=stop)
        if _whole(plan, path):
            return loudness
    raise DamagedInput(Reason.CORRUPT, f"its sound, track {sound.stream}, has no even order")


def measure(
    plan: TranscodePlan,
    sound: AudioSettings,
    source: Path,
    *,
    uneven: bool = False,
    limits: ProgramLimits = LIMITS,
    stop: Stop | None = None,
) -> Loudness:
    """Measure a track by EBU R 128, on the very samples that would be encoded.

    Args:
        plan: of the film.
        sound: the track.
        source: the film.
        uneven: its form may change on the way.
        limits: of each program.
        stop: ends it early.
    """
    if plan.loudness is None:
        return Loudness(integrated=None, peak=None, gain=0.0)
    found = _Meter()
    with _heard(plan, sound, source, uneven=uneven, limits=limits, stop=stop) as (track, pipes):
        measured = commands.filtered(
            track,
            [
                ("ebur128", {"peak": "true", "metadata": 1, "framelog": "verbose"}),
                *(
                    ("ametadata", {"mode": "print", "key": f"lavfi.r128.{key}", "file": "pipe:1"})
                    for key in ("I", "true_peak")
                ),
            ],
        )
        nothing = commands.output("-", [measured], {"f": "null"})
        ffmpeg.run(
            commands.arguments(nothing, everywhere=EVERYWHERE),
            limits=limits,
            stop=stop,
            sink=found.take,
            pipes=pipes,
        )
    return found.result(plan.loudness)


@contextlib.contextmanager
def _heard(
    plan: TranscodePlan,
    sound: AudioSettings,
    source: Path,
    *,
    uneven: bool,
    limits: ProgramLimits,
    stop: Stop | None,
) -> Iterator[tuple[Stream, Pipes]]:
    """The samples of a track, and what whoever reads them is to read from."""
    if not uneven:
        yield samples(plan, sound, commands.source(source)), Pipes()
        return
    with evened(
        source,
        sound.stream,
        rate=SAMPLE_RATE,
        layout=_layout(sound),
        origin=float(plan.origin * plan.clock),
        limits=limits,
        stop=stop,
    ) as track:
        yield commands.filtered(track.stream, _timed(plan, sound)), track.pipes


class _Meter:
    """Reads what the filters print, as it comes: hours of it are many megabytes."""

    def __init__(self) -> None:
        self._rest = b""
        self._integrated = float("-inf")
        self._peak = 0.0

    def take(self, data: bytes) -> None:
        whole, _, self._rest = (self._rest + data).rpartition(b"\n")
        for name, value in _VALUE.findall(whole):
            number = float(value)
            if name == b"I":
                self._integrated = number
            elif not math.isnan(number):
                self._peak = max(self._peak, number)

    def result(self, target: float) -> Loudness:
        if not self._integrated > _SILENCE or self._peak <= 0:
            return Loudness(integrated=None, peak=None, gain=0.0)
        peak = 20 * math.log10(self._peak)
        gain = min(target - self._integrated, _CEILING - peak, _MOST_GAIN)
        return Loudness(
            integrated=round(self._integrated, 2), peak=round(peak, 2), gain=round(gain, 2)
        )


def encode(
    plan: TranscodePlan,
    sound: AudioSettings,
    gain: float,
    source: Path,
    path: Path,
    *,
    uneven: bool = False,
    limits: ProgramLimits = LIMITS,
    stop: Stop | None = None,
) -> None:
    """Encode a track to AAC in a fragmented MP4; ``uneven`` as for :func:`measure`."""
    with _heard(plan, sound, source, uneven=uneven, limits=limits, stop=stop) as (track, pipes):
        made = output(sound, gain, track, path=path, muxer=_FRAGMENTS)
        ffmpeg.run(
            commands.arguments(made, everywhere=EVERYWHERE), limits=limits, stop=stop, pipes=pipes
        )


def _whole(plan: TranscodePlan, path: Path) -> bool:
    """Whether a file of ours is as long as the picture, of frames that follow each other."""
    track = fmp4.read(path)
    ticks = [each for fragment in track.fragments for each in fragment.durations]
    long = sum(ticks) - track.delay
    even = all(each == FRAME_SAMPLES for each in ticks[:-1])
    return even and abs(long - length(plan)) <= FRAME_SAMPLES


def output(
    sound: AudioSettings, gain: float, track: Stream, *, path: Path, muxer: Options
) -> Output:
    """A file of one track.

    Args:
        sound: the track.
        gain: decibels to add.
        track: its :func:`samples`.
        path: the file.
        muxer: its format and that format's options.
    """
    louder: Filter = ("volume", {"volume": f"{gain:.2f}dB", "precision": "float"})
    return commands.output(
        path,
        [commands.filtered(track, [louder])],
        {
            **{"map_metadata": -1, "map_chapters": -1},
            **{"c:a": "aac", "b:a": f"{_KILOBITS[sound.channels]}k", "ar": SAMPLE_RATE},
            **{"flags:a": "+bitexact", "fflags": "+bitexact"},
            **muxer,
        },
    )


def length(plan: TranscodePlan) -> int:
    """Samples of every track: as long as the picture."""
    return round(plan.seconds * SAMPLE_RATE)


def samples(plan: TranscodePlan, sound: AudioSettings, film: Stream) -> Stream:
    """From a decoded track to samples that begin and end with the picture.

    Gaps become silence, so nothing drifts; what begins before the picture is cut, what ends
    early is filled up.
    """
    origin = float(plan.origin * plan.clock)
    return commands.filtered(film[str(sound.stream)], [since(origin), *_timed(plan, sound)])


def _timed(plan: TranscodePlan, sound: AudioSettings) -> list[Filter]:
    return [
        ("aresample", {"sample_rate": SAMPLE_RATE, "async": 1, "first_pts": 0}),
        ("aformat", {"sample_fmts": "fltp", "channel_layouts": _layout(sound)}),
        ("apad", {}),
        ("atrim", {"end_sample": length(plan)}),
    ]


def _layout(sound: AudioSettings) -> str:
    return "mono" if sound.channels == 1 else "stereo"
