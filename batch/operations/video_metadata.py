"""``video-metadata``: what a video says about itself, as details of the job's result."""

from __future__ import annotations

from collections.abc import Mapping

from batch.work import Work
from worker.video.probe import VideoLimits, describe, probe
from worker.video.timing import measure


def run(work: Work) -> Mapping[str, object]:
    """Probe the input. ``deep`` counts key frames, ``location`` tells where it was taken."""
    limits = VideoLimits(seconds=work.number("max_seconds"))
    path, deep = work.inputs[0], work.flag("deep")
    work.progress(0.0, "reading")
    found = probe(path, limits, need_video=False, deep=deep, stop=work.stop)
    timing = None
    if deep and found.video is not None:
        work.progress(0.5, "counting key frames")
        timing = measure(path, found.video.index, limits.reading(path), stop=work.stop)
    work.progress(1.0, "done")
    return describe(found, location=work.flag("location"), timing=timing)
