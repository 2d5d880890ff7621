"""The other side of ``safelight bench video``: the command lines a person would type.

What lives here: one film through plain ffmpeg, with the filters and encoders of a plan. What may
not: clocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from worker.media.video import encode, package, program, sound
from worker.media.video.limits import threads
from worker.media.video.segments import Part
from worker.media.video.transcode_plan import TranscodePlan


def run(plan: TranscodePlan, source: Path, folder: Path) -> None:
    """Measure the loudness, encode straight into HLS, copy into a progressive file."""
    gains = [sound.measure(plan, track, source).gain for track in plan.sounds]
    whole = Part(number=0, first=0, frames=plan.frames, seek=None)
    files = {rung.name: folder / rung.name / "index.m3u8" for rung in plan.rungs}
    for path in files.values():
        path.parent.mkdir()
    # x264's own choice of threads, which makes other bytes in every run (see ``Options``).
    free = replace(plan, encoder_threads=0)
    arguments = encode.command(free, whole, source, files, threads=threads(), seek=None)
    seconds = f"{float(plan.segment_frames / plan.rate):.6f}"
    straight = ["-f", "hls", "-hls_segment_type", "fmp4", "-hls_playlist_type", "vod"]
    straight += ["-hls_time", seconds, "-hls_flags", "independent_segments"]
    command = _replaced(arguments, "mp4", straight)
    for number, (track, gain) in enumerate(zip(plan.sounds, gains, strict=True)):
        path = folder / f"sound-{number}" / "index.m3u8"
        path.parent.mkdir()
        command += [*sound.options(plan, track, gain), *straight, f"file:{path.absolute()}"]
    program.run(command, limits=encode.LIMITS)
    inputs = [files[plan.rungs[0].name]]
    inputs += [folder / f"sound-{number}" / "index.m3u8" for number in range(len(plan.sounds))]
    copy: list[str] = []
    for path in inputs:
        joined = path.with_name("joined.mp4")
        pieces = sorted(path.parent.glob("index*.m4s"), key=lambda piece: int(piece.stem[5:]))
        with joined.open("wb") as file:
            for piece in [next(path.parent.glob("init*.mp4")), *pieces]:
                file.write(piece.read_bytes())
        copy += ["-i", program.input_url(joined)]
    for number in range(len(inputs)):
        copy += ["-map", str(number)]
    copy += ["-c", "copy", "-movflags", "+faststart", "-f", "mp4"]
    program.run([*copy, f"file:{(folder / 'video.mp4').absolute()}"], limits=package.LIMITS)


def _replaced(arguments: Sequence[str], muxer: str, options: Sequence[str]) -> list[str]:
    """The arguments with one muxer and its options replaced by another's."""
    result: list[str] = []
    position = 0
    while position < len(arguments):
        argument = arguments[position]
        if argument == "-f" and arguments[position + 1] == muxer:
            result += options
            position += 2
        elif argument in ("-movflags", "-video_track_timescale"):
            position += 2
        else:
            result.append(argument)
            position += 1
    return result
