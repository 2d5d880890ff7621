"""The sound of a film: measured, brought to one loudness, encoded once and as a whole.

What lives here: two runs of ffmpeg for each track. What may not: cutting it into segments
(``package``): an encoder that starts anew at every cut would click there.

Decision: loudness follows EBU R 128 in two passes, and the second is one gain for the whole track.
Where peaks would pass the ceiling the gain is smaller instead: nothing is compressed, so music
keeps its dynamics. (ffmpeg's ``loudnorm`` does the same in its linear mode, but changes over to a
compressor by itself where that would miss the target; its measuring costs four times this one.)
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from worker.errors import EngineError
from worker.media.video import fragments, program
from worker.media.video.limits import GIBIBYTE, ProgramLimits
from worker.media.video.program import StopLike
from worker.media.video.transcode_plan import Sound, TranscodePlan

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


def measure(
    plan: TranscodePlan,
    sound: Sound,
    source: Path,
    *,
    limits: ProgramLimits = LIMITS,
    stop: StopLike | None = None,
) -> Loudness:
    """Measure a track by EBU R 128, on the very samples that would be encoded."""
    if plan.loudness is None:
        return Loudness(integrated=None, peak=None, gain=0.0)
    found = _Meter()
    chain = (
        f"{_samples(plan, sound)},ebur128=peak=true:metadata=1:framelog=verbose,"
        "ametadata=mode=print:key=lavfi.r128.I:file=pipe\\\\:1,"
        "ametadata=mode=print:key=lavfi.r128.true_peak:file=pipe\\\\:1"
    )
    program.run(
        [*_input(source), "-map", f"0:{sound.stream}", "-af", chain, "-f", "null", "-"],
        limits=limits,
        stop=stop,
        sink=found.take,
    )
    return found.result(plan.loudness)


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
    sound: Sound,
    gain: float,
    source: Path,
    path: Path,
    *,
    limits: ProgramLimits = LIMITS,
    stop: StopLike | None = None,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Encode a track to AAC in a fragmented MP4, as long as the picture.

    Raises:
        EngineError: it did not come out as long as the picture.
    """
    program.run(
        [
            *_input(source),
            *options(plan, sound, gain),
            *("-f", "mp4", "-movflags", "+delay_moov+default_base_moof"),
            *("-frag_duration", "1000000", f"file:{path.absolute()}"),
        ],
        limits=limits,
        stop=stop,
        progress=progress,
    )
    track = fragments.read(path)
    made = sum(fragment.ticks for fragment in track.fragments) - track.delay
    if abs(made - samples(plan)) > FRAME_SAMPLES:
        raise EngineError(f"sound came out {made} samples long, not {samples(plan)}")


def options(plan: TranscodePlan, sound: Sound, gain: float) -> list[str]:
    """Options of an output of one track, all but its muxer."""
    chain = f"{_samples(plan, sound)},volume={gain:.2f}dB:precision=float"
    return [
        *("-map", f"0:{sound.stream}", "-af", chain, "-vn", "-sn", "-dn"),
        *("-map_metadata", "-1", "-map_chapters", "-1"),
        *("-c:a", "aac", "-b:a", f"{_KILOBITS[sound.channels]}k", "-ar", str(SAMPLE_RATE)),
        *("-flags:a", "+bitexact", "-fflags", "+bitexact"),
    ]


def samples(plan: TranscodePlan) -> int:
    """How long every track is: as long as the picture."""
    return round(plan.seconds * SAMPLE_RATE)


def _input(source: Path) -> list[str]:
    return ["-copyts", "-i", program.input_url(source), "-max_error_rate", "1"]


def _samples(plan: TranscodePlan, sound: Sound) -> str:
    """The chain from a decoded track to samples that begin and end with the picture.

    Gaps become silence, so nothing drifts; what begins before the picture is cut, what ends
    early is filled up.
    """
    origin = float(plan.origin * plan.clock)
    layout = "mono" if sound.channels == 1 else "stereo"
    return (
        f"asetpts=PTS-({origin:.9f})/TB,aresample={SAMPLE_RATE}:async=1:first_pts=0,"
        f"aformat=sample_fmts=fltp:channel_layouts={layout},apad,"
        f"atrim=end_sample={samples(plan)}"
    )
