"""The operations that make something small of a video: ``poster`` to ``video-metadata``.

Each reads its parameters, calls ``worker.video``, stores the results and returns the details for
``result.json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from batch.work import Work
from worker.codec import plain
from worker.domain.errors import Reason, UnsupportedInput
from worker.domain.image import Encoding, Format, Recipe, RenditionSpec
from worker.imaging import engine
from worker.imaging.encode import Extras, Picture, encode
from worker.video.ffmpeg import MEBIBYTE, ProgramLimits, for_file
from worker.video.frames import image, open_video
from worker.video.poster import choose
from worker.video.preview import collect, write_mp4, write_webp
from worker.video.probe import VideoLimits, describe, probe
from worker.video.storyboard import Sheet, draw
from worker.video.storyboard import plan as plan_grid
from worker.video.storyboard import track as vtt_track
from worker.video.subtitles import extract
from worker.video.timing import measure
from worker.video.waveform import draw_png, draw_svg, read_curve

_TALLEST = 4
"""Height in widths at most."""
_AVIF_EFFORT = 4
_LOOK = Recipe(
    name="poster",
    version=1,
    renditions=(
        RenditionSpec(name="look", width=64, frames=1, encodings=(Encoding(format=Format.PNG),)),
    ),
)
"""The least that makes the engine measure."""


def run_poster(work: Work) -> Mapping[str, object]:
    """Look at candidates, write the best in every format, say why it is the best."""
    width, quality = work.integer("width"), work.integer("quality")
    video = open_video(work.inputs[0], max_seconds=work.number("max_seconds"), context=work.context)
    found = choose(
        video,
        candidates=work.integer("candidates"),
        size=video.inside(width, width * _TALLEST),
        context=work.context.within(0.05, 0.9),
    )
    picture = Picture([image(found.frame)])
    names = work.texts("formats")
    files: list[dict[str, object]] = []
    measured: object = None
    for name in dict.fromkeys(names):
        work.context.step(0.9 + 0.1 * len(files) / len(names), f"writing {name}")
        kind = Format(name)
        effort = _AVIF_EFFORT if kind is Format.AVIF else Encoding(format=kind).effort
        data = encode(
            picture, Encoding(format=kind, quality=quality, effort=effort), quality, Extras()
        )
        measured = measured or plain(engine.process(data, _LOOK).metadata.measures)
        path = work.scratch / f"poster.{kind.extension}"
        path.write_bytes(data)
        work.outputs.file(path, path.name, content_type=kind.media_type)
        files.append({"name": path.name, "format": kind.value, "bytes": len(data)})
    measures = {name: round(value, 4) for name, value in asdict(found.judgement.measures).items()}
    fault = found.judgement.fault
    return {
        "seconds": round(found.seconds, 3),
        "score": found.judgement.score,
        "fault": None if fault is None else fault.value,
        "measures": measures,
        # The metadata of a picture in the catalog, so that finishing a video need not decode its
        # poster again.
        "image_measures": measured,
        "candidates": found.candidates,
        "passed_over": found.faults,
        "way": found.way.value,
        "width": picture.width,
        "height": picture.height,
        "files": files,
    }


def run_storyboard(work: Work) -> Mapping[str, object]:
    """Store each sheet as it is full, and the track last, when all it names is there."""
    kind, quality = Format(work.text("format")), work.integer("quality")
    video = open_video(work.inputs[0], max_seconds=work.number("max_seconds"), context=work.context)
    grid = plan_grid(
        video,
        interval=work.number("interval"),
        width=work.integer("width"),
        columns=work.integer("columns"),
        rows=work.integer("rows"),
        most=work.integer("frames"),
    )
    sheets: list[dict[str, object]] = []

    def name(sheet: int) -> str:
        return f"storyboard-{sheet:03}.{kind.extension}"

    def store(sheet: Sheet) -> None:
        picture = Picture([image(sheet.frame)])
        data = encode(picture, Encoding(format=kind, quality=quality), quality, Extras())
        path = work.scratch / name(sheet.number)
        path.write_bytes(data)
        work.outputs.file(path, path.name, content_type=kind.media_type)
        path.unlink()
        sheets.append(
            {
                "name": path.name,
                "width": picture.width,
                "height": picture.height,
                "bytes": len(data),
            }
        )

    way = draw(video, grid, store, context=work.context.within(0.05, 0.98))
    path = work.scratch / "storyboard.vtt"
    path.write_text(vtt_track(grid, name, video.seconds))
    work.outputs.file(path, path.name)
    return {
        "track": path.name,
        "sheets": sheets,
        "frames": grid.frames,
        "interval": round(grid.interval, 6),
        "tile_width": grid.tile.width,
        "tile_height": grid.tile.height,
        "columns": grid.columns,
        "rows": grid.rows,
        "seconds": round(video.seconds, 6),
        "way": way.value,
    }


_COLLECTED = 0.6
"""Share of the job after which the frames are there."""


def run_preview(work: Work) -> Mapping[str, object]:
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


def run_audio_waveform(work: Work) -> Mapping[str, object]:
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


def run_subtitles(work: Work) -> Mapping[str, object]:
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


def run_video_metadata(work: Work) -> Mapping[str, object]:
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
