"""``storyboard``: sheets of small frames and the WebVTT track that points into them."""

from __future__ import annotations

from collections.abc import Mapping

from batch.work import Work
from worker.domain.image import Encoding, Format
from worker.imaging.encode import Extras, Picture, encode
from worker.video.frames import image, open_video
from worker.video.storyboard import Sheet, draw, plan, track


def run(work: Work) -> Mapping[str, object]:
    """Store each sheet as it is full, and the track last, when all it names is there."""
    kind, quality = Format(work.text("format")), work.integer("quality")
    video = open_video(work.inputs[0], max_seconds=work.number("max_seconds"), context=work.context)
    grid = plan(
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
    path.write_text(track(grid, name, video.seconds))
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
