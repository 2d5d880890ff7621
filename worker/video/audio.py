"""The audio of a video: measured, brought to one loudness, encoded once and as a whole.

An encoder that starts anew at every cut would click there, so ``package`` cuts it into segments.
There are two runs of ffmpeg for each track.

Loudness follows EBU R 128 in two passes, and the second is one gain for the whole track. Where
peaks would pass the ceiling the gain is smaller instead: nothing is compressed, so music keeps its
dynamics. (ffmpeg's ``loudnorm`` does the same in its linear mode, but changes over to a compressor
by itself where that would miss the target; its measuring costs four times this one.)

The form of a track may change on the way: its rate, its channels or its samples. ffmpeg makes its
filters anew there. Those that count from the beginning (``aresample`` with a first time, ``apad``,
``atrim``) then begin again, and the audio comes out with hours of silence or in shreds. So
:func:`normalised_audio` runs a first program that brings it to one form, which needs no counting,
and writes it to a second by a pipe.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from worker.domain.errors import DamagedInput, Reason, SafelightError
from worker.job_context import Stop
from worker.video import commands, ffmpeg, fmp4
from worker.video.commands import Filter, Options, Output, Stream, counted_from
from worker.video.ffmpeg import GIBIBYTE, Pipes, ProgramLimits
from worker.video.plan import AudioSettings, TranscodePlan

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
_RAW = "nut"
"""A container that keeps the times of raw samples."""
_FRAGMENTS: Options = {
    "f": "mp4",
    "movflags": "+delay_moov+default_base_moof",
    "frag_duration": 1_000_000,
}
_VALUE = re.compile(rb"^lavfi\.r128\.(I|true_peak)=(-?[0-9.]+|-?inf|nan)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loudness:
    """The measured loudness of one track and the gain that follows."""

    integrated: float | None
    """LUFS; None of silence."""
    peak: float | None
    """dBTP; None of silence."""
    gain: float
    """Decibels that are added."""


def make(
    plan: TranscodePlan,
    track: AudioSettings,
    source: Path,
    path: Path,
    *,
    stop: Stop | None = None,
) -> Loudness:
    """Measure a track and encode it to AAC in a fragmented MP4, as long as the picture.

    Raises:
        DamagedInput: CORRUPT, there is no way to make it as long as the picture.
    """
    for normalise in (False, True):
        loudness = measure(plan, track, source, normalise=normalise, stop=stop)
        encode(plan, track, loudness.gain, source, path, normalise=normalise, stop=stop)
        if _whole(plan, path):
            return loudness
    raise DamagedInput(Reason.CORRUPT, f"its audio, track {track.stream}, has no even order")


def measure(
    plan: TranscodePlan,
    track: AudioSettings,
    source: Path,
    *,
    normalise: bool = False,
    stop: Stop | None = None,
) -> Loudness:
    """Measure a track by EBU R 128, on the very samples that would be encoded.

    Args:
        plan: of the video.
        track: which.
        source: the video.
        normalise: its form may change on the way.
        stop: ends it early.
    """
    if plan.loudness is None:
        return Loudness(integrated=None, peak=None, gain=0.0)
    found = _LoudnessMeter()
    with _heard(plan, track, source, normalise=normalise, stop=stop) as (heard, pipes):
        measured = commands.filtered(
            heard,
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
            limits=LIMITS,
            stop=stop,
            sink=found.take,
            pipes=pipes,
        )
    return found.result(plan.loudness)


@contextlib.contextmanager
def _heard(
    plan: TranscodePlan,
    track: AudioSettings,
    source: Path,
    *,
    normalise: bool,
    stop: Stop | None,
) -> Iterator[tuple[Stream, Pipes]]:
    """The samples of a track, and the source to read them from."""
    if not normalise:
        yield samples(plan, track, commands.source(source)), Pipes()
        return
    with normalised_audio(
        source,
        track.stream,
        rate=SAMPLE_RATE,
        layout=_layout(track),
        start=float(plan.start_pts * plan.time_base),
        limits=LIMITS,
        stop=stop,
    ) as (heard, pipes):
        yield commands.filtered(heard, _timed(plan, track)), pipes


class _LoudnessMeter:
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
    track: AudioSettings,
    gain: float,
    source: Path,
    path: Path,
    *,
    normalise: bool = False,
    stop: Stop | None = None,
) -> None:
    """Encode a track to AAC in a fragmented MP4; ``normalise`` as for :func:`measure`."""
    with _heard(plan, track, source, normalise=normalise, stop=stop) as (heard, pipes):
        made = output(track, gain, heard, path=path, muxer=_FRAGMENTS)
        ffmpeg.run(
            commands.arguments(made, everywhere=EVERYWHERE), limits=LIMITS, stop=stop, pipes=pipes
        )


def _whole(plan: TranscodePlan, path: Path) -> bool:
    """Whether a file of ours is as long as the picture, of frames that follow each other."""
    track = fmp4.read(path)
    ticks = [each for fragment in track.fragments for each in fragment.durations]
    long = sum(ticks) - track.delay
    even = all(each == FRAME_SAMPLES for each in ticks[:-1])
    return even and abs(long - length(plan)) <= FRAME_SAMPLES


def output(
    track: AudioSettings, gain: float, heard: Stream, *, path: Path, muxer: Options
) -> Output:
    """A file of one track.

    Args:
        track: which.
        gain: decibels to add.
        heard: its :func:`samples`.
        path: the file.
        muxer: its format and that format's options.
    """
    louder: Filter = ("volume", {"volume": f"{gain:.2f}dB", "precision": "float"})
    return commands.output(
        path,
        [commands.filtered(heard, [louder])],
        {
            **{"map_metadata": -1, "map_chapters": -1},
            **{"c:a": "aac", "b:a": f"{_KILOBITS[track.channels]}k", "ar": SAMPLE_RATE},
            **{"flags:a": "+bitexact", "fflags": "+bitexact"},
            **muxer,
        },
    )


def length(plan: TranscodePlan) -> int:
    """Samples of every track: as long as the picture."""
    return round(plan.seconds * SAMPLE_RATE)


def samples(plan: TranscodePlan, track: AudioSettings, source: Stream) -> Stream:
    """From a decoded track to samples that begin and end with the picture.

    Gaps become silence, so nothing drifts; what begins before the picture is cut, what ends
    early is filled up.
    """
    start = float(plan.start_pts * plan.time_base)
    return commands.filtered(source[str(track.stream)], [counted_from(start), *_timed(plan, track)])


def _timed(plan: TranscodePlan, track: AudioSettings) -> list[Filter]:
    return [
        ("aresample", {"sample_rate": SAMPLE_RATE, "async": 1, "first_pts": 0}),
        ("aformat", {"sample_fmts": "fltp", "channel_layouts": _layout(track)}),
        ("apad", {}),
        ("atrim", {"end_sample": length(plan)}),
    ]


def _layout(track: AudioSettings) -> str:
    return "mono" if track.channels == 1 else "stereo"


@contextlib.contextmanager
def normalised_audio(
    path: Path,
    stream: int,
    *,
    rate: int,
    layout: str,
    start: float,
    limits: ProgramLimits,
    stop: Stop | None = None,
) -> Iterator[tuple[Stream, Pipes]]:
    """Run the first program for as long as the block lasts.

    The times of its samples are kept: run the second with ``copyts``.

    Args:
        path: the file.
        stream: the track's number in it.
        rate: samples a second of the one form.
        layout: its channels, ``mono`` or ``stereo``.
        start: what becomes 0 of the track's time, seconds; what is earlier is left out.
        limits: of the first program.
        stop: ends it early.

    Yields:
        The track in one form, and the pipes for the program that reads it.

    Raises:
        Rejected, TransientError: as ``ffmpeg.run`` says of the first program, whatever its end
            did to the second.
    """
    form = {"sample_fmts": "fltp", "sample_rates": rate, "channel_layouts": layout}
    filters: list[Filter] = [
        counted_from(start),
        ("atrim", {"start": 0}),
        ("aformat", form),
    ]
    track = commands.filtered(commands.source(path)[str(stream)], filters)
    raw: Options = {"f": _RAW, "c:a": "pcm_f32le", "map_metadata": -1, "map_chapters": -1}
    everywhere: Options = {"copyts": None, "max_error_rate": 1}
    arguments = commands.arguments(commands.output("pipe:1", [track], raw), everywhere=everywhere)
    read, write = os.pipe()

    def make() -> None:
        try:
            ffmpeg.run(arguments, limits=limits, stop=stop, pipes=Pipes(write=write))
        finally:
            os.close(write)  # only now does the reader see the end

    with ThreadPoolExecutor(1, thread_name_prefix="normalise") as pool:
        made = pool.submit(make)
        try:
            yield commands.piped(_RAW)["0"], Pipes(read=read)
        except BaseException as error:
            os.close(read)
            _raise_unless_reader_left(made.exception(), error)
            raise
        os.close(read)
        _raise_unless_reader_left(made.exception(), None)


def _raise_unless_reader_left(error: BaseException | None, cause: BaseException | None) -> None:
    """The reader may end first, of its own accord or by a failure of its own."""
    left = isinstance(error, SafelightError) and error.code == "reader_gone"
    if error is not None and not left:
        raise error from cause
