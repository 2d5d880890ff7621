"""The other side of ``safelight bench video``: the command lines a person would type.

What lives here: one film through plain ffmpeg, with the filters and encoders of a plan. What may
not: clocks.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from worker.media.video import commands, encode, package, program, sound
from worker.media.video.limits import threads
from worker.media.video.segments import Part
from worker.media.video.transcode_plan import TranscodePlan


def run(plan: TranscodePlan, source: Path, folder: Path) -> None:
    """Measure the loudness, encode straight into HLS, copy into a progressive file."""
    gains = [sound.measure(plan, track, source).gain for track in plan.sounds]
    whole = Part(number=0, first=0, frames=plan.frames, seek=None)
    files = {rung.name: folder / rung.name / "index.m3u8" for rung in plan.rungs}
    heard = [folder / f"sound-{number}" / "index.m3u8" for number in range(len(plan.sounds))]
    for path in (*files.values(), *heard):
        path.parent.mkdir()
    # x264's own choice of threads, which makes other bytes in every run (see ``Options``).
    free = replace(plan, encoder_threads=0)
    film = encode.opened(free, source, threads=threads(), seek=None)
    muxer: commands.Options = {
        **{"f": "hls", "hls_segment_type": "fmp4", "hls_playlist_type": "vod"},
        "hls_time": f"{float(plan.segment_frames / plan.rate):.6f}",
        "hls_flags": "independent_segments",
    }
    pictures = encode.pictures(free, whole, film, filled=False)
    made = [
        *encode.outputs(free, pictures, whole.frames, files, muxer),
        *(
            sound.output(track, gain, sound.samples(plan, track, film), path=path, muxer=muxer)
            for track, gain, path in zip(plan.sounds, gains, heard, strict=True)
        ),
    ]
    arguments = commands.arguments(*made, everywhere=encode.everywhere(threads()))
    program.run(arguments, limits=encode.LIMITS)
    joined = [commands.source(_joined(path)) for path in (files[plan.rungs[0].name], *heard)]
    copy: commands.Options = {"f": "mp4", "c": "copy", "movflags": "+faststart"}
    progressive = commands.output(folder / "video.mp4", [one["0"] for one in joined], copy)
    program.run(commands.arguments(progressive), limits=package.LIMITS)


def _joined(playlist: Path) -> Path:
    """The segments of a playlist as one file."""
    path = playlist.with_name("joined.mp4")
    pieces = sorted(playlist.parent.glob("index*.m4s"), key=lambda piece: int(piece.stem[5:]))
    with path.open("wb") as file:
        for piece in [next(playlist.parent.glob("init*.mp4")), *pieces]:
            file.write(piece.read_bytes())
    return path
