"""Sound whose form changes on the way, brought to one form before anything counts its samples.

ffmpeg makes its filters anew where the rate, the channels or the samples of a track change. Those
that count from the beginning (``aresample`` with a first time, ``apad``, ``atrim``) then begin
again, and the sound comes out with hours of silence or in shreds. So one program brings it to one
form, which needs no counting, and hands it on to a second by a pipe. What may not live here: what
the second does.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from worker.domain.errors import SafelightError
from worker.job_context import Stop
from worker.video import commands, ffmpeg
from worker.video.commands import Filter, Options, Stream
from worker.video.ffmpeg import Pipes
from worker.video.filters import since
from worker.video.limits import ProgramLimits

_FORM = "nut"
"""A container that keeps the times of raw samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalisedAudio:
    """A track in one form. Its times are kept: run with ``copyts``."""

    stream: Stream
    pipes: Pipes
    """For the program that reads it."""


@contextlib.contextmanager
def evened(
    path: Path,
    stream: int,
    *,
    rate: int,
    layout: str,
    origin: float,
    limits: ProgramLimits,
    stop: Stop | None = None,
) -> Iterator[NormalisedAudio]:
    """Run the first program for as long as the block lasts.

    Args:
        path: the file.
        stream: the track's number in it.
        rate: samples a second of the one form.
        layout: its channels, ``mono`` or ``stereo``.
        origin: what becomes 0 of the track's time, seconds; what is earlier is left out.
        limits: of the first program.
        stop: ends it early.

    Raises:
        Rejected, TransientError: as ``program.run`` says of the first program, whatever its end
            did to the second.
    """
    form = {"sample_fmts": "fltp", "sample_rates": rate, "channel_layouts": layout}
    steps: list[Filter] = [
        since(origin),
        ("atrim", {"start": 0}),
        ("aformat", form),
    ]
    track = commands.filtered(commands.source(path)[str(stream)], steps)
    raw: Options = {"f": _FORM, "c:a": "pcm_f32le", "map_metadata": -1, "map_chapters": -1}
    everywhere: Options = {"copyts": None, "max_error_rate": 1}
    arguments = commands.arguments(commands.output("pipe:1", [track], raw), everywhere=everywhere)
    read, write = os.pipe()

    def make() -> None:
        try:
            ffmpeg.run(arguments, limits=limits, stop=stop, pipes=Pipes(write=write))
        finally:
            os.close(write)  # only now does the reader see the end

    with ThreadPoolExecutor(1, thread_name_prefix="even") as pool:
        made = pool.submit(make)
        try:
            yield NormalisedAudio(stream=commands.piped(_FORM)["0"], pipes=Pipes(read=read))
        except BaseException as error:
            os.close(read)
            _raise_unless_left(made.exception(), error)
            raise
        os.close(read)
        _raise_unless_left(made.exception(), None)


def _raise_unless_left(error: BaseException | None, cause: BaseException | None) -> None:
    """The reader may end first, of its own accord or by a failure of its own."""
    left = isinstance(error, SafelightError) and error.code == "reader_gone"
    if error is not None and not left:
        raise error from cause
