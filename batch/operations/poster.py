"""``poster``: the best frame of a video as pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from batch.work import Work
from worker.codec import plain
from worker.domain.image import Encoding, Format, Recipe, RenditionSpec
from worker.imaging import engine
from worker.imaging.encode import Extras, Picture, encode
from worker.video.frames import image, open_video
from worker.video.poster import choose

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


def run(work: Work) -> Mapping[str, object]:
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
        # What the catalog says of a picture: the end of a video need not decode its poster again.
        "image_measures": measured,
        "candidates": found.candidates,
        "passed_over": found.faults,
        "way": found.way.value,
        "width": picture.width,
        "height": picture.height,
        "files": files,
    }
