"""``preview``: a short moving preview of a video."""

from __future__ import annotations

from collections.abc import Mapping

from batch.work import Work
from worker.video.frames import open_video
from worker.video.preview import collect, write_mp4, write_webp

_COLLECTED = 0.6
"""Share of the job after which the frames are there."""


def run(work: Work) -> Mapping[str, object]:
    """Collect the moments once, write them in every format."""
    video = open_video(work.inputs[0], max_seconds=work.number("max_seconds"), context=work.context)
    moments = collect(
        video,
        work.scratch / "moments.rgb",
        width=work.integer("width"),
        seconds=work.number("seconds"),
        clips=work.integer("clips"),
        frame_rate=work.number("frame_rate"),
        context=work.context.within(0.05, _COLLECTED),
    )
    quality, most = work.integer("quality"), work.integer("max_bytes")
    names = work.texts("formats")
    files: list[dict[str, object]] = []
    for kind in dict.fromkeys(names):
        start = _COLLECTED + (0.99 - _COLLECTED) * len(files) / len(names)
        context = work.context.within(start, start + (0.99 - _COLLECTED) / len(names))
        path = work.scratch / f"preview.{kind}"
        if kind == "webp":
            made = write_webp(moments, path, quality=quality, most=most, context=context)
        else:
            context.step(0.0, "encoding MP4")
            made = write_mp4(moments, path, quality=quality, most=most, context=context)
        work.outputs.file(path, path.name)
        files.append(
            {
                "name": path.name,
                "bytes": path.stat().st_size,
                "width": made.size.width,
                "height": made.size.height,
                "frames": made.count,
                "quality": made.quality,
            }
        )
    moments.path.unlink()
    return {
        "files": files,
        "starts": [round(start, 3) for start in moments.starts],
        "seconds": round(moments.seconds, 3),
        "frame_rate": round(moments.frame_rate, 3),
    }
