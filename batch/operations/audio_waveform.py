"""``audio-waveform``: the curve of an audio track as peaks.js data, as SVG and as PNG."""

from __future__ import annotations

from collections.abc import Mapping

from batch.work import Work
from worker.domain.errors import Reason, UnsupportedInput
from worker.video.ffmpeg import ProgramLimits, for_file
from worker.video.probe import VideoLimits, probe
from worker.video.waveform import draw_png, draw_svg, read_curve


def run(work: Work) -> Mapping[str, object]:
    """Read the default audio track once and draw it."""
    colour, height = work.text("colour"), work.integer("height")
    seconds = work.number("max_seconds")
    path = work.inputs[0]
    found = probe(path, VideoLimits(seconds=seconds), need_video=False, stop=work.stop)
    if not found.audio:
        raise UnsupportedInput(Reason.NO_AUDIO, "the file has no audio")
    known = [each for each in found.audio if each.playable]
    if not known:
        raise UnsupportedInput(
            Reason.UNSUPPORTED_VARIANT, "its audio has a coding that is not known here"
        )
    track = next((each for each in known if each.default), known[0])
    curve = read_curve(
        path,
        track,
        points=work.integer("points"),
        start=found.first_shown,
        seconds=found.duration,
        most_seconds=seconds,
        limits=for_file(path, ProgramLimits()),
        context=work.context,
    )
    data, svg, png = (work.scratch / f"waveform.{ending}" for ending in ("json", "svg", "png"))
    data.write_text(curve.json())
    svg.write_text(draw_svg(curve, height=height, colour=colour))
    width, height = draw_png(curve, png, height=height, colour=colour)
    for made in (data, svg, png):
        work.outputs.file(made, made.name)
    work.progress(1.0, "done")
    return {
        "seconds": round(curve.seconds, 6),
        "columns": curve.columns,
        "sample_rate": curve.sample_rate,
        "samples_per_pixel": curve.samples_per_pixel,
        "peak": round(max(-int(curve.low.min()), int(curve.high.max())) / 32768, 4),
        "track": track.index,
        "picture": {"width": width, "height": height},
    }
