"""``subtitles``: every track of a video that is text, as WebVTT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from batch.work import Work
from worker.video.ffmpeg import MEBIBYTE, ProgramLimits, for_file
from worker.video.probe import VideoLimits, probe
from worker.video.subtitles import extract


def run(work: Work) -> Mapping[str, object]:
    """Write the tracks; a video without any is no mistake. Tracks of pictures are listed."""
    path = work.inputs[0]
    limits = VideoLimits(seconds=work.number("max_seconds"))
    # Subtitles may be an hour apart: nothing is written for as long as it takes to read that.
    program = ProgramLimits(file_bytes=64 * MEBIBYTE, stall_seconds=3600.0)
    found = probe(path, limits, need_video=False, stop=work.stop)
    folder = work.scratch / "subtitles"
    folder.mkdir()
    extracted, skipped = extract(
        path,
        found,
        folder,
        languages=work.texts("languages"),
        limits=for_file(path, program),
        context=work.context,
    )
    for each in extracted:
        work.outputs.file(each.path, f"subtitles/{each.name}", content_type="text/vtt")
    work.progress(1.0, "done")
    return {
        "tracks": [
            asdict(each.track) | {"name": f"subtitles/{each.name}", "cues": each.cues}
            for each in extracted
        ],
        "skipped": [asdict(each.track) | {"reason": each.reason} for each in skipped],
    }
